//! ICMP: echo requests. The gateway answers by itself; for other hosts there is a ping socket for
//! each identifier and host, if the host lets its users have such.
use crate::address;
use crate::dial::Denied;
use crate::host::{Io, Kind};
use crate::packet::{self, Packet};
use crate::wire::Wire;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpProtocol;
use socket2::Socket;
use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// A ping without traffic ends after this time.
const IDLE: Duration = Duration::from_secs(30);

/// Types, and the bytes of an echo's header: type, code, checksum, identifier, sequence number.
const ECHO4: u8 = 8;
const REPLY4: u8 = 0;
const ECHO6: u8 = 128;
const REPLY6: u8 = 129;
const HEADER: usize = 8;

/// The guest's address, its identifier, the other host.
type Key = (IpAddr, [u8; 2], IpAddr);

struct Ping {
    key: Key,
    socket: Socket,
    used: Instant,
}

#[derive(Default)]
pub(crate) struct Icmp {
    /// More pings are not begun.
    most: usize,
    pings: HashMap<Token, Ping>,
    keys: HashMap<Key, Token>,
}

impl Icmp {
    pub(crate) fn new(most: usize) -> Icmp {
        Icmp { most, ..Icmp::default() }
    }

    /// An ICMP packet of the guest.
    pub(crate) fn receive(&mut self, io: &mut Io, wire: &mut Wire, packet: &Packet<'_>) {
        let Some([kind, 0, _, _, i0, i1, _, _]) = packet.payload.first_chunk::<HEADER>() else { return };
        let six = packet.from.is_ipv6();
        if *kind != if six { ECHO6 } else { ECHO4 } || (packet.protocol == IpProtocol::Icmpv6) != six {
            return;
        }
        if address::is_gateway(packet.to) || address::is_dns(packet.to) {
            reply(wire, (packet.from, [*i0, *i1], packet.to), packet.payload);
            return;
        }
        // Without permission there is no answer, as from a host that does not answer.
        let token = match self.open(io, (packet.from, [*i0, *i1], packet.to)) {
            Err(Denied::Kept(kept)) => return packet::unreachable(wire, packet, kept.into()),
            token => token,
        };
        if let Some(ping) = token.ok().and_then(|token| self.pings.get_mut(&token)) {
            ping.used = io.now();
            // The host puts its own identifier and checksum in.
            let _ = ping.socket.send(packet.payload);
        }
    }

    fn open(&mut self, io: &mut Io, key: Key) -> Result<Token, Denied> {
        if let Some(token) = self.keys.get(&key) {
            return Ok(*token);
        }
        if self.pings.len() >= self.most {
            return Err(io::Error::from(io::ErrorKind::QuotaExceeded).into());
        }
        let socket = Socket::from(io.dial(Kind::Icmp, SocketAddr::new(key.2, 0))?);
        let token = io.register(Kind::Icmp, &mut SourceFd(&socket.as_raw_fd()), Interest::READABLE)?;
        self.pings.insert(token, Ping { key, socket, used: io.now() });
        self.keys.insert(key, token);
        Ok(token)
    }

    /// An answer has come. While the guest has no room, answers are lost.
    pub(crate) fn ready(&mut self, wire: &mut Wire, token: Token) {
        let Some(ping) = self.pings.get(&token) else { return };
        let mut buffer = vec![0; 1 << 16];
        while let Ok(len) = (&ping.socket).read(&mut buffer) {
            if len >= HEADER && (buffer[0] == REPLY4 || buffer[0] == REPLY6) {
                reply(wire, ping.key, &buffer[..len]);
            }
        }
    }

    pub(crate) fn has_flows(&self) -> bool {
        !self.pings.is_empty()
    }

    /// Ends what is not used any more.
    pub(crate) fn expire(&mut self, io: &mut Io) {
        let now = io.now();
        let keys = &mut self.keys;
        self.pings.retain(|_, ping| {
            let used = ping.used + IDLE > now;
            if !used {
                keys.remove(&ping.key);
                io.deregister(&mut SourceFd(&ping.socket.as_raw_fd()));
            }
            used
        });
    }
}

/// Answers an echo: sequence number and data of `message`.
fn reply(wire: &mut Wire, (guest, identifier, host): Key, message: &[u8]) {
    let six = guest.is_ipv6();
    let protocol = if six { IpProtocol::Icmpv6 } else { IpProtocol::Icmp };
    packet::emit(wire, host, guest, protocol, message.len(), |bytes| {
        bytes.copy_from_slice(message);
        bytes[..4].copy_from_slice(&[if six { REPLY6 } else { REPLY4 }, 0, 0, 0]);
        bytes[4..6].copy_from_slice(&identifier);
        let pseudo = match (host, guest) {
            (IpAddr::V6(host), IpAddr::V6(guest)) => pseudo_header(host, guest, bytes.len()),
            _ => 0,
        };
        let sum = checksum(pseudo, bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    });
}

/// The Internet checksum (RFC 1071) of bytes, beginning with a sum.
fn checksum(begin: u64, bytes: &[u8]) -> u16 {
    let mut sum = begin;
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The sum of what ICMPv6 has its checksum over beside the message.
fn pseudo_header(from: Ipv6Addr, to: Ipv6Addr, len: usize) -> u64 {
    let addresses = from.segments().into_iter().chain(to.segments());
    addresses.map(u64::from).sum::<u64>() + len as u64 + u64::from(u8::from(IpProtocol::Icmpv6))
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 1071's example.
        assert_eq!(checksum(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(0, &[1]), !0x0100);
    }
}
