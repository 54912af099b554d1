//! The names that the name server knows by itself: `host.internal`, and docker's name for it. They
//! are the gateway if the guest may reach the host, and otherwise do not exist: nobody else is
//! asked for them.
use crate::address;

/// `host.internal` and `host.docker.internal` as DNS has them (RFC 1035, 3.1).
const NAMES: [&[u8]; 2] = [b"\x04host\x08internal\0", b"\x04host\x06docker\x08internal\0"];
/// Bytes in front of the question.
const HEADER: usize = 12;
/// Types of records, and the class of the Internet.
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
/// How long the answer holds, in seconds.
const TTL: u32 = 3600;

/// There is no such name.
const NXDOMAIN: u8 = 3;

/// The answer to a query for one of these names, which exist or not; None for any other, which is
/// for the host's name server.
pub(crate) fn answer(query: &[u8], exist: bool) -> Option<Vec<u8>> {
    let (header, rest) = query.split_first_chunk::<HEADER>()?;
    let [id0, id1, flags, _, 0, 1, 0, 0, ..] = *header else { return None };
    // A query, of the standard kind.
    if flags & 0xf8 != 0 {
        return None;
    }
    let is_this = |name: &&&[u8]| rest.get(..name.len()).is_some_and(|asked| asked.eq_ignore_ascii_case(name));
    let length = NAMES.iter().find(is_this)?.len();
    let [t0, t1, c0, c1] = *rest[length..].first_chunk::<4>()?;
    if u16::from_be_bytes([c0, c1]) != CLASS_IN {
        return None;
    }
    let data = match u16::from_be_bytes([t0, t1]) {
        _ if !exist => vec![],
        TYPE_A => address::GATEWAY.octets().to_vec(),
        TYPE_AAAA => address::GATEWAY6.octets().to_vec(),
        // The name exists, but has no such record.
        _ => vec![],
    };
    // A response with authority, to one who may have wished for recursion, which is available.
    let code = if exist { 0 } else { NXDOMAIN };
    let mut answer = vec![id0, id1, 0x84 | flags & 1, 0x80 | code, 0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0];
    answer.extend(&query[HEADER..HEADER + length + 4]);
    if !data.is_empty() {
        // The name is the one of the question.
        answer.extend([0xc0, HEADER as u8, t0, t1, c0, c1]);
        answer.extend(TTL.to_be_bytes());
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &[u8], kind: u8) -> Vec<u8> {
        [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0", name, &[0, kind, 0, 1]].concat()
    }

    #[test]
    fn the_host_has_a_name() {
        let answered = answer(&query(NAMES[0], 1), true).unwrap();
        assert_eq!(answered[..12], *b"\x12\x34\x85\x80\0\x01\0\x01\0\0\0\0");
        assert!(answered.ends_with(&[0, 4, 10, 0, 2, 2]));
        let answered = answer(&query(b"\x04HOST\x08Internal\0", 28), true).unwrap();
        assert!(answered.ends_with(&address::GATEWAY6.octets()));
        let docker = answer(&query(NAMES[1], 1), true).unwrap();
        assert!(docker.ends_with(&[0, 4, 10, 0, 2, 2]));
        // Not by itself, and nobody else is asked.
        let unknown = answer(&query(NAMES[0], 1), false).unwrap();
        assert_eq!(unknown[..12], *b"\x12\x34\x85\x83\0\x01\0\0\0\0\0\0");
        // No mail there.
        assert_eq!(answer(&query(NAMES[0], 15), true).unwrap()[7], 0);
    }

    #[test]
    fn other_queries_are_not_answered() {
        let good = query(NAMES[0], 1);
        assert!((0..good.len()).all(|len| answer(&good[..len], true).is_none()), "cut short");
        assert_eq!(answer(&query(b"\x04hose\x08internal\0", 1), true), None);
        assert_eq!(answer(&query(b"\x01a\x04host\x08internal\0", 1), true), None);
        let mut response = good;
        response[2] |= 0x80;
        assert_eq!(answer(&response, true), None);
    }
}
