//! What of the host and its surroundings the guest may reach: checked when a connection is made,
//! never at a name, so that it does not matter how the guest came by an address.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What the guest may reach beside the outside, which is every public address that is not the
/// host's own. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// The host: services on its loopback by the gateway's address, and on its other addresses by
    /// these.
    pub host: bool,
    /// Private networks: RFC 1918, shared address space (RFC 6598), unique local addresses (RFC
    /// 4193) and other ranges that no public network uses.
    pub private: bool,
    /// Link-local addresses, and the others at which clouds tell a machine its secrets:
    /// 169.254.169.254, fd00:ec2::254 and so on.
    pub link_local: bool,
}

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// There is no such host.
    Nowhere,
    /// The user has not allowed it: the word of `--network` that would.
    Prohibited(&'static str),
}

/// What a host's address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Public,
    Private,
    LinkLocal,
    Nowhere,
}

/// Addresses outside 169.254.0.0/16 and fe80::/10 at which clouds answer their machines: Oracle,
/// Alibaba, Azure.
const METADATA4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
/// Amazon and Google.
const METADATA6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl Reach {
    /// Whether the guest may reach this address, which is not on its own wire.
    pub(crate) fn allows(&self, ip: IpAddr) -> Result<(), Kept> {
        let class = class(ip);
        if class == Class::Nowhere {
            return Err(Kept::Nowhere);
        }
        let (allowed, word) = match class {
            _ if !self.host && is_own(ip) => (false, "host"),
            Class::LinkLocal => (self.link_local, "link-local"),
            // With the host's loopback its other addresses are allowed too.
            Class::Private => (self.private || self.host && is_own(ip), "private"),
            _ => (true, ""),
        };
        if allowed { Ok(()) } else { Err(Kept::Prohibited(word)) }
    }
}

fn class(ip: IpAddr) -> Class {
    match ip {
        IpAddr::V4(four) => class4(four),
        IpAddr::V6(six) => class6(six),
    }
}

fn class4(ip: Ipv4Addr) -> Class {
    match ip.octets() {
        // "This host", loopback, multicast, reserved and broadcast.
        [0 | 127 | 224..=255, ..] => Class::Nowhere,
        [169, 254, ..] => Class::LinkLocal,
        _ if METADATA4.contains(&ip) => Class::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        // Shared address space, protocol assignments, benchmarks.
        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..] => Class::Private,
        _ => Class::Public,
    }
}

fn class6(ip: Ipv6Addr) -> Class {
    let [_, b, c, .., g, h] = ip.segments();
    let four = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // Unspecified, loopback, IPv4 in its deprecated form and mapped, and what was never
        // assigned: a socket of the host would take some of these for IPv4.
        [0, 0, ..] | [0x100, 0, 0, 0, ..] | [0xff00..=0xffff, ..] => Class::Nowhere,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        _ if METADATA6.contains(&ip) => Class::LinkLocal,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        // A translator makes IPv4 of these: NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => class4(four(g, h)),
        [0x64, 0xff9b, 1, ..] => Class::Private,
        [0x2002, ..] => class4(four(b, c)),
        _ => Class::Public,
    }
}

/// Whether it is an address of this host: a socket can be bound to it.
fn is_own(ip: IpAddr) -> bool {
    let binds = |ip: IpAddr| UdpSocket::bind(SocketAddr::new(ip, 0)).ok();
    let Some(socket) = binds(ip) else { return false };
    let documentation: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    if binds(documentation).is_none() {
        return true;
    }
    // A host with ip_nonlocal_bind lets sockets have every address. To its own it speaks from that
    // same one.
    drop(socket);
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let speaks = || {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
        socket.connect(SocketAddr::new(ip, 9)).ok()?;
        socket.local_addr().ok()
    };
    speaks().is_some_and(|from| from.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, reach: Reach) -> Result<(), Kept> {
        reach.allows(text.parse().unwrap())
    }

    #[test]
    fn by_default_the_outside_only() {
        let none = Reach::default();
        for address in ["1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert_eq!(kept(address, none), Ok(()), "{address}");
        }
        for address in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "198.18.0.1",
            "fd12::1",
            "fc00::1",
            "fec0::1",
            "64:ff9b::a01:203",
            "64:ff9b:1::1",
            "2002:c0a8:1::1",
        ] {
            assert_eq!(kept(address, none), Err(Kept::Prohibited("private")), "{address}");
        }
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fe80::1",
            "fd00:ec2::254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert_eq!(kept(address, none), Err(Kept::Prohibited("link-local")), "{address}");
            let most = Reach { host: true, private: true, link_local: false };
            assert_eq!(kept(address, most), Err(Kept::Prohibited("link-local")), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_reached() {
        let all = Reach { host: true, private: true, link_local: true };
        for address in ["10.1.2.3", "fd12::1", "169.254.169.254", "1.1.1.1"] {
            assert_eq!(kept(address, all), Ok(()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:169.254.169.254",
            "::ffff:1.1.1.1",
            "::7f00:1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
        ] {
            assert_eq!(kept(address, all), Err(Kept::Nowhere), "{address}");
        }
    }

    #[test]
    fn the_hosts_own_addresses_are_the_host() {
        // One that this host surely has and that is in no other class cannot be had in a test;
        // loopback's stands for it.
        assert!(is_own("127.0.0.1".parse().unwrap()) && is_own("127.1.2.3".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()) && !is_own("2001:db8::1".parse().unwrap()));
    }
}
