//! The host's name server.
use std::net::{IpAddr, Ipv4Addr};

/// The first name server that the host uses. Read anew each time: a host that moves gets another
/// one.
pub(crate) fn server() -> IpAddr {
    std::fs::read_to_string("/etc/resolv.conf").ok().and_then(|text| first(&text)).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

fn first(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        // A zone, as in `fe80::1%eth0`, names an interface of the host: such a server is passed
        // over.
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn the_first_server_counts() {
        let text =
            "# nameserver 1.1.1.1\nsearch x\nnameserver fe80::1%eth0\nnameserver\t9.9.9.9 \nnameserver 8.8.8.8\n";
        assert_eq!(first(text), Some("9.9.9.9".parse().unwrap()));
        assert_eq!(first("search x"), None);
    }
}
