//! ICMP: echo requests. The gateway answers by itself.
use crate::address;
use crate::packet::{self, Packet};
use crate::wire::Wire;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Address};
use std::net::IpAddr;

#[derive(Default)]
pub(crate) struct Icmp;

impl Icmp {
    /// An ICMP packet of the guest.
    pub(crate) fn receive(&mut self, wire: &mut Wire, packet: &Packet<'_>) {
        if !(address::is_gateway(packet.to) || address::is_dns(packet.to)) {
            return;
        }
        let caps = ChecksumCapabilities::ignored();
        match (packet.from, packet.to, packet.protocol) {
            (_, _, IpProtocol::Icmp) => {
                let Ok(request) = Icmpv4Packet::new_checked(packet.payload) else { return };
                if let Ok(Icmpv4Repr::EchoRequest { ident, seq_no, data }) = Icmpv4Repr::parse(&request, &caps) {
                    reply4(wire, packet.to, packet.from, ident, seq_no, data);
                }
            }
            (IpAddr::V6(from), IpAddr::V6(to), IpProtocol::Icmpv6) => {
                let Ok(request) = Icmpv6Packet::new_checked(packet.payload) else { return };
                if let Ok(Icmpv6Repr::EchoRequest { ident, seq_no, data }) =
                    Icmpv6Repr::parse(&from, &to, &request, &caps)
                {
                    reply6(wire, to, from, ident, seq_no, data);
                }
            }
            _ => {}
        }
    }
}

fn reply4(wire: &mut Wire, from: IpAddr, to: IpAddr, ident: u16, seq_no: u16, data: &[u8]) {
    let reply = Icmpv4Repr::EchoReply { ident, seq_no, data };
    packet::emit(wire, from, to, IpProtocol::Icmp, reply.buffer_len(), |bytes| {
        reply.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
    });
}

fn reply6(wire: &mut Wire, from: Ipv6Address, to: Ipv6Address, ident: u16, seq_no: u16, data: &[u8]) {
    let reply = Icmpv6Repr::EchoReply { ident, seq_no, data };
    packet::emit(wire, from.into(), to.into(), IpProtocol::Icmpv6, reply.buffer_len(), |bytes| {
        reply.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
    });
}
