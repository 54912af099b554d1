//! IP packets: what the guest's are, and how to write some.
use crate::address;
use crate::reach::Kept;
use crate::wire::{TYPE_IP4, TYPE_IP6, Wire};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr, IpProtocol, IpRepr,
    Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
};
use std::net::{IpAddr, SocketAddr};

/// What is needed of an IP packet. Packets with options that change the way, and fragments, are not
/// taken.
pub(crate) struct Packet<'a> {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: IpProtocol,
    pub(crate) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes an IP packet apart; None if it is malformed or of a kind that is not taken.
    pub(crate) fn parse(kind: u16, bytes: &'a [u8]) -> Option<Packet<'a>> {
        match kind {
            TYPE_IP4 => {
                let packet = Ipv4Packet::new_checked(bytes).ok()?;
                let whole = packet.version() == 4 && !packet.more_frags() && packet.frag_offset() == 0;
                whole.then(|| Packet {
                    from: packet.src_addr().into(),
                    to: packet.dst_addr().into(),
                    protocol: packet.next_header(),
                    payload: packet.payload(),
                })
            }
            TYPE_IP6 => {
                let packet = Ipv6Packet::new_checked(bytes).ok()?;
                (packet.version() == 6).then(|| Packet {
                    from: packet.src_addr().into(),
                    to: packet.dst_addr().into(),
                    protocol: packet.next_header(),
                    payload: packet.payload(),
                })
            }
            _ => None,
        }
    }

    /// The two ports that TCP and UDP begin with.
    pub(crate) fn ports(&self) -> Option<(SocketAddr, SocketAddr)> {
        let [s0, s1, d0, d1] = *self.payload.first_chunk()?;
        let from = SocketAddr::new(self.from, u16::from_be_bytes([s0, s1]));
        Some((from, SocketAddr::new(self.to, u16::from_be_bytes([d0, d1]))))
    }
}

/// Sends an IP packet to the guest; both addresses are of one family.
pub(crate) fn emit(
    wire: &mut Wire,
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) {
    emit_with(wire, from, to, protocol, 64, len, fill);
}

/// The same with this hop limit.
pub(crate) fn emit_with(
    wire: &mut Wire,
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    hops: u8,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) {
    let ip = IpRepr::new(from.into(), to.into(), protocol, len, hops);
    let kind = if from.is_ipv4() { TYPE_IP4 } else { TYPE_IP6 };
    wire.emit(kind, ip.buffer_len(), |packet| {
        ip.emit(&mut *packet, &ChecksumCapabilities::default());
        fill(&mut packet[ip.header_len()..]);
    });
}

/// Why a packet of the guest got nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    Network,
    Host,
    Port,
    /// It is not allowed.
    Prohibited,
}

impl From<Kept> for Unreachable {
    fn from(kept: Kept) -> Unreachable {
        match kept {
            Kept::Nowhere => Unreachable::Host,
            Kept::Prohibited(_) => Unreachable::Prohibited,
        }
    }
}

/// Tells the guest that a packet of it got nowhere. Of the payload the first eight bytes are
/// needed.
pub(crate) fn unreachable(wire: &mut Wire, packet: &Packet<'_>, why: Unreachable) {
    let Some(data) = packet.payload.get(..8) else { return };
    let gateway = address::gateway(packet.from);
    match (packet.from, packet.to) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let header = Ipv4Repr {
                src_addr,
                dst_addr,
                next_header: packet.protocol,
                payload_len: packet.payload.len(),
                hop_limit: 64,
            };
            let reason = match why {
                Unreachable::Network => Icmpv4DstUnreachable::NetUnreachable,
                Unreachable::Host => Icmpv4DstUnreachable::HostUnreachable,
                Unreachable::Port => Icmpv4DstUnreachable::PortUnreachable,
                Unreachable::Prohibited => Icmpv4DstUnreachable::CommProhibited,
            };
            let message = Icmpv4Repr::DstUnreachable { reason, header, data };
            emit(wire, gateway, packet.from, IpProtocol::Icmp, message.buffer_len(), |bytes| {
                message.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
            });
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let header = Ipv6Repr {
                src_addr,
                dst_addr,
                next_header: packet.protocol,
                payload_len: packet.payload.len(),
                hop_limit: 64,
            };
            let reason = match why {
                Unreachable::Network => Icmpv6DstUnreachable::NoRoute,
                Unreachable::Host => Icmpv6DstUnreachable::AddrUnreachable,
                Unreachable::Port => Icmpv6DstUnreachable::PortUnreachable,
                Unreachable::Prohibited => Icmpv6DstUnreachable::AdminProhibit,
            };
            let message = Icmpv6Repr::DstUnreachable { reason, header, data };
            emit(wire, gateway, packet.from, IpProtocol::Icmpv6, message.buffer_len(), |bytes| {
                let mut icmp = Icmpv6Packet::new_unchecked(bytes);
                message.emit(&address::GATEWAY6, &src_addr, &mut icmp, &ChecksumCapabilities::default());
            });
        }
        _ => {}
    }
}
