//! The one name that the name server knows by itself: `host.internal`, which is the gateway.
use crate::address;

/// `host.internal` as DNS has it (RFC 1035, 3.1).
const NAME: &[u8] = b"\x04host\x08internal\0";
/// Bytes in front of the question.
const HEADER: usize = 12;
/// Types of records, and the class of the Internet.
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
/// How long the answer holds, in seconds.
const TTL: u32 = 3600;

/// The answer to a query for that name; None for any other, which is for the host's name server.
pub(crate) fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = query.split_first_chunk::<HEADER>()?;
    let [id0, id1, flags, _, 0, 1, 0, 0, ..] = *header else { return None };
    // A query, of the standard kind.
    if flags & 0xf8 != 0 {
        return None;
    }
    let (name, rest) = rest.split_at_checked(NAME.len())?;
    let [t0, t1, c0, c1] = *rest.first_chunk::<4>()?;
    if !name.eq_ignore_ascii_case(NAME) || u16::from_be_bytes([c0, c1]) != CLASS_IN {
        return None;
    }
    let data = match u16::from_be_bytes([t0, t1]) {
        TYPE_A => address::GATEWAY.octets().to_vec(),
        TYPE_AAAA => address::GATEWAY6.octets().to_vec(),
        // The name exists, but has no such record.
        _ => vec![],
    };
    // A response with authority, to one who may have wished for recursion, which is available.
    let mut answer = vec![id0, id1, 0x84 | flags & 1, 0x80, 0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0];
    answer.extend(&query[HEADER..HEADER + NAME.len() + 4]);
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
        let answered = answer(&query(NAME, 1)).unwrap();
        assert_eq!(answered[..12], *b"\x12\x34\x85\x80\0\x01\0\x01\0\0\0\0");
        assert!(answered.ends_with(&[0, 4, 10, 0, 2, 2]));
        let answered = answer(&query(b"\x04HOST\x08Internal\0", 28)).unwrap();
        assert!(answered.ends_with(&address::GATEWAY6.octets()));
        // No mail there.
        assert_eq!(answer(&query(NAME, 15)).unwrap()[7], 0);
    }

    #[test]
    fn other_queries_are_not_answered() {
        let good = query(NAME, 1);
        assert!((0..good.len()).all(|len| answer(&good[..len]).is_none()), "cut short");
        assert_eq!(answer(&query(b"\x04hose\x08internal\0", 1)), None);
        assert_eq!(answer(&query(b"\x01a\x04host\x08internal\0", 1)), None);
        let mut response = good;
        response[2] |= 0x80;
        assert_eq!(answer(&response), None);
    }
}
