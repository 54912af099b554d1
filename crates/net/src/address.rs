//! Who has which address on the guest's wire, and who that is for the host.
use crate::reach::{Kept, Reach};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wasmlinux_boundary as boundary;

/// The MAC addresses of the guest and of everybody else.
pub(crate) const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0x00, 0x02, 0x02];

/// Bytes of the largest IP packet. Large, as nothing of it is ever split: both ends of the wire are
/// memory.
pub(crate) const MTU: u16 = 65520;

pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::from_bits(boundary::NET_GUEST);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::from_bits(boundary::NET_GATEWAY);
pub(crate) const DNS: Ipv4Addr = Ipv4Addr::from_bits(boundary::NET_DNS);
pub(crate) const MASK: Ipv4Addr = Ipv4Addr::from_bits(u32::MAX << (32 - boundary::NET_PREFIX));
pub(crate) const GUEST6: Ipv6Addr = six(boundary::NET_GUEST);
pub(crate) const GATEWAY6: Ipv6Addr = six(boundary::NET_GATEWAY);
pub(crate) const DNS6: Ipv6Addr = six(boundary::NET_DNS);

/// `fd00::` with the last byte of the IPv4 address, written with the same digits.
const fn six(four: u32) -> Ipv6Addr {
    let host = four & 0xff;
    let digits = host / 10 * 16 + host % 10;
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, digits as u16)
}

/// The gateway in the family of `like`.
pub(crate) fn gateway(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { GATEWAY.into() } else { GATEWAY6.into() }
}

/// The guest, in the family of `like`.
pub(crate) fn guest(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { GUEST.into() } else { GUEST6.into() }
}

pub(crate) fn is_gateway(address: IpAddr) -> bool {
    address == IpAddr::V4(GATEWAY) || address == IpAddr::V6(GATEWAY6)
}

pub(crate) fn is_dns(address: IpAddr) -> bool {
    address == IpAddr::V4(DNS) || address == IpAddr::V6(DNS6)
}

/// On the guest's wire.
pub(crate) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four & MASK == GATEWAY & MASK,
        IpAddr::V6(six) => six.segments()[..4] == GATEWAY6.segments()[..4],
    }
}

/// An address that the guest may send from.
pub(crate) fn is_source(address: IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
    (is_local(address) && !is_gateway(address) && !is_dns(address) && is_unicast(address)) || link_local
}

/// An address that one host may have.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let class_e = four.octets()[0] >= 240;
            !(four.is_multicast()
                || class_e
                || four.is_unspecified()
                || four.octets()[0] == 0
                || four == !MASK | GATEWAY)
        }
        IpAddr::V6(six) => !(six.is_multicast() || six.is_unspecified()),
    }
}

/// Where a packet of the guest to this address is to go.
pub(crate) fn outside(to: SocketAddr, reach: Reach, dns: impl FnOnce() -> IpAddr) -> Result<SocketAddr, Kept> {
    let ip = match to.ip() {
        ip if is_gateway(ip) && !reach.host => return Err(Kept::Prohibited("host")),
        ip if is_gateway(ip) && ip.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        ip if is_gateway(ip) => Ipv6Addr::LOCALHOST.into(),
        // Without it nothing outside has a name: that one port of that one server is reached
        // wherever it is.
        ip if is_dns(ip) && to.port() == 53 => dns(),
        // The host's own loopback is reached by the gateway only.
        ip if is_local(ip) || !is_unicast(ip) => return Err(Kept::Nowhere),
        ip => reach.allows(ip).map(|()| ip)?,
    };
    Ok(SocketAddr::new(ip, to.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Reach = Reach { host: true, private: false, link_local: false };

    fn to(text: &str) -> Option<String> {
        outside(text.parse().unwrap(), HOST, || "9.9.9.9".parse().unwrap()).ok().map(|address| address.to_string())
    }

    #[test]
    fn the_gateway_is_the_host() {
        assert_eq!(to("10.0.2.2:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(to("[fd00::2]:80").as_deref(), Some("[::1]:80"));
        assert_eq!(to("10.0.2.3:53").as_deref(), Some("9.9.9.9:53"));
        assert_eq!(to("1.2.3.4:5").as_deref(), Some("1.2.3.4:5"));
    }

    #[test]
    fn the_host_is_reached_by_consent_only() {
        let to = |text: &str| outside(text.parse().unwrap(), Reach::default(), || "127.0.0.53".parse().unwrap());
        assert_eq!(to("10.0.2.2:80"), Err(Kept::Prohibited("host")));
        assert_eq!(to("[fd00::2]:80"), Err(Kept::Prohibited("host")));
        assert_eq!(to("10.0.2.3:53"), Ok("127.0.0.53:53".parse().unwrap()));
        assert_eq!(to("10.0.2.3:54"), Err(Kept::Nowhere));
    }

    #[test]
    fn what_is_no_host_is_not_reached() {
        for address in [
            "127.0.0.1:1",
            "10.0.2.3:80",
            "10.0.2.9:1",
            "10.0.2.255:1",
            "255.255.255.255:1",
            "224.0.0.1:1",
            "0.0.0.0:1",
            "[::1]:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
            "[::ffff:127.0.0.1]:1",
            "[::]:1",
        ] {
            assert_eq!(to(address), None, "{address}");
        }
    }

    #[test]
    fn addresses_are_the_documented_ones() {
        assert_eq!((GUEST.to_string(), MASK.to_string()), ("10.0.2.15".into(), "255.255.255.0".into()));
        assert_eq!((GUEST6.to_string(), DNS6.to_string()), ("fd00::15".into(), "fd00::3".into()));
        assert!(is_source(GUEST.into()) && is_source(GUEST6.into()) && is_source("fe80::1".parse().unwrap()));
        assert!(!is_source("10.0.2.2".parse().unwrap()) && !is_source("1.2.3.4".parse().unwrap()));
    }
}
