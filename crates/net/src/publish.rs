//! Ports of the host that lead to ports of the guest, as `docker run -p` has them.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// Where this process listens. Port 0 lets the host choose.
    pub host: SocketAddr,
    /// The port of the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// What a text says in place of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Another protocol.
    #[error("`{0}` is not a protocol: tcp or udp; {FORM}")]
    Protocol(String),
    /// No port of the guest.
    #[error("the guest's port is missing; {FORM}")]
    Missing,
    /// Something else where the host's address stands.
    #[error("`{0}` is not an IP address (an IPv6 address stands in brackets); {FORM}")]
    Address(String),
    /// Something else where a port stands.
    #[error("`{0}` is not a port number (1 to 65535); {FORM}")]
    Port(String),
    /// A range that ends before it begins.
    #[error("`{0}` is not a range of ports: the first is the lower one; {FORM}")]
    Range(String),
    /// Ranges of different lengths.
    #[error("{host} ports of the host for {guest} of the guest; {FORM}")]
    Lengths {
        /// Ports of the host.
        host: usize,
        /// Ports of the guest.
        guest: usize,
    },
}

const FORM: &str = "give [[HOSTIP:]HOSTPORT:]GUESTPORT[/udp], as 8080:80, 80 or 127.0.0.1:8000-8010:8000-8010";

impl Publish {
    /// Reads `[[HOSTIP:]HOSTPORT:]GUESTPORT[/tcp|/udp]`, where both ports may be ranges
    /// `FIRST-LAST` of one length. Without an address it is 127.0.0.1; an IPv6 address stands in
    /// brackets. Where the host's port is left out, empty or 0, the host chooses one.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn parse(text: &str) -> Result<Vec<Publish>, PublishError> {
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => return Err(PublishError::Protocol(other.into())),
        };
        let (rest, guest) = ports.rsplit_once(':').unwrap_or(("", ports));
        if guest.is_empty() {
            return Err(PublishError::Missing);
        }
        let (address, host) = match rest.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), rest),
            Some((address, host)) => {
                let inner = address.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
                match inner.unwrap_or(address).parse::<IpAddr>() {
                    Ok(ip) if ip.is_ipv6() == inner.is_some() => (ip, host),
                    _ => return Err(PublishError::Address(address.into())),
                }
            }
        };
        let guest = range(guest)?;
        if matches!(host, "" | "0") {
            let host = SocketAddr::new(address, 0);
            return Ok(guest.map(|guest| Publish { host, guest, protocol }).collect());
        }
        let host = range(host)?;
        if host.len() != guest.len() {
            return Err(PublishError::Lengths { host: host.len(), guest: guest.len() });
        }
        let pairs = host.zip(guest);
        Ok(pairs.map(|(host, guest)| Publish { host: SocketAddr::new(address, host), guest, protocol }).collect())
    }
}

fn range(text: &str) -> Result<impl ExactSizeIterator<Item = u16> + use<>, PublishError> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
        _ => Err(PublishError::Port(text.into())),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(PublishError::Range(text.into()));
    }
    Ok((0..last - first + 1).map(move |i| first + i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match Publish::parse(text) {
            Ok(all) => all
                .iter()
                .map(|one| format!("{}>{}/{}", one.host, one.guest, one.protocol))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ports_are_dockers() {
        assert_eq!(parsed("8080:80"), "127.0.0.1:8080>80/tcp");
        assert_eq!(parsed("8080:80/tcp"), "127.0.0.1:8080>80/tcp");
        assert_eq!(parsed("0.0.0.0:53:5353/udp"), "0.0.0.0:53>5353/udp");
        assert_eq!(parsed("[::1]:80:8080"), "[::1]:80>8080/tcp");
        assert_eq!(parsed("8000-8001:80-81"), "127.0.0.1:8000>80/tcp 127.0.0.1:8001>81/tcp");
        assert_eq!(parsed("80"), "127.0.0.1:0>80/tcp");
        assert_eq!(parsed("80-81/udp"), "127.0.0.1:0>80/udp 127.0.0.1:0>81/udp");
        assert_eq!(parsed("0.0.0.0::80"), "0.0.0.0:0>80/tcp");
        assert_eq!(parsed("[::1]::80"), "[::1]:0>80/tcp");
        assert_eq!((parsed("0:80"), parsed(":80")), (parsed("80"), parsed("80")));
        assert_eq!(Publish::parse("1-65535:1-65535").map(|all| all.len()), Ok(65535));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            ":",
            "80:",
            "0",
            "0:0",
            "::80",
            "1.2.3.4:80",
            "/udp",
            "a:80",
            "80:65536",
            "1.2.3:1:1",
            "::1:80:80",
            "[1.2.3.4]:1:1",
            "1-2:1",
            "2-1:2-1",
            "80:80/sctp",
            "80:80/",
            "-1:1",
            "+1:1",
            "1:1 ",
        ] {
            assert!(Publish::parse(text).is_err(), "{text}");
        }
    }
}
