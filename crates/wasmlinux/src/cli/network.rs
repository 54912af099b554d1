//! What `--network` and `--add-host` say.
use std::net::IpAddr;
use wasmlinux::Reach;

/// What `--network` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) on: bool,
    pub(crate) reach: Reach,
}

impl Network {
    /// `none`, or `user` and what the guest may reach beside public addresses.
    pub(crate) fn parse(text: &str) -> Result<Network, String> {
        const HELP: &str = "give none or user; after user may come host, private and link-local, as in user,host";
        let mut network = Network { on: true, reach: Reach::default() };
        let mut words = text.split(',');
        match words.next() {
            Some("none") if words.clone().next().is_none() => network.on = false,
            Some("user") => {}
            Some("host") => {
                return Err(
                    "a machine has a network of its own: user,host lets it reach this host, and -p opens ports".into(),
                );
            }
            Some("bridge" | "default") => return Err("a single machine has no such network: give user".into()),
            _ => return Err(HELP.into()),
        }
        for word in words {
            match word {
                "host" => network.reach.host = true,
                "private" => network.reach.private = true,
                "link-local" => network.reach.link_local = true,
                _ => return Err(format!("`{word}` is not something to reach: {HELP}")),
            }
        }
        Ok(network)
    }
}

/// What one `--add-host` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostEntry {
    pub(crate) name: String,
    /// None is this host.
    pub(crate) address: Option<IpAddr>,
}

impl HostEntry {
    /// `NAME:IP` or `NAME=IP`, as docker has it.
    pub(crate) fn parse(text: &str) -> Result<HostEntry, String> {
        let (name, address) = text
            .split_once('=')
            .or_else(|| text.split_once(':'))
            .ok_or("the address is missing; give NAME:IP, or NAME:host-gateway for this host")?;
        if name.is_empty() || name.chars().any(|c| !c.is_ascii_alphanumeric() && !"-._".contains(c)) {
            return Err(format!("`{name}` is not a host name; give NAME:IP"));
        }
        let bare = address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
        let address = match bare.parse() {
            _ if address == "host-gateway" => None,
            Ok(ip) => Some(ip),
            Err(_) => {
                return Err(format!(
                    "`{address}` is not an IP address; give NAME:IP, or NAME:host-gateway for this host"
                ));
            }
        };
        Ok(HostEntry { name: name.into(), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let reach = |text| Network::parse(text).map(|network| (network.on, network.reach));
        assert_eq!(reach("none"), Ok((false, Reach::default())));
        assert_eq!(reach("user"), Ok((true, Reach::default())));
        assert_eq!(reach("user,host"), Ok((true, Reach { host: true, ..Reach::default() })));
        assert_eq!(
            reach("user,link-local,private"),
            Ok((true, Reach { host: false, private: true, link_local: true }))
        );
        for text in ["", "none,host", "host", "bridge", "user,", "user,lan", "USER"] {
            assert!(reach(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_entries_are_dockers() {
        let entry = |text| HostEntry::parse(text).map(|entry| (entry.name, entry.address.map(|ip| ip.to_string())));
        assert_eq!(entry("a.b:1.2.3.4"), Ok(("a.b".into(), Some("1.2.3.4".into()))));
        assert_eq!(entry("a=::1"), Ok(("a".into(), Some("::1".into()))));
        assert_eq!(entry("a:::1"), Ok(("a".into(), Some("::1".into()))));
        assert_eq!(entry("a:[::1]"), Ok(("a".into(), Some("::1".into()))));
        assert_eq!(entry("host.docker.internal:host-gateway"), Ok(("host.docker.internal".into(), None)));
        for text in ["", "a", ":1.2.3.4", "a:", "a:b", "a b:1.2.3.4", "a#:1.2.3.4"] {
            assert!(entry(text).is_err(), "{text}");
        }
    }
}
