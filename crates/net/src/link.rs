//! What a network does beside carrying packets: it says who has an address (ARP, neighbour
//! discovery) and gives addresses out (DHCP).
use crate::address::{self, DNS, DNS6, GATEWAY, GATEWAY_MAC, GATEWAY6, GUEST, MASK, MTU};
use crate::packet::{self, Packet};
use crate::wire::{TYPE_ARP, Wire};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress, UDP_HEADER_LEN, UdpPacket,
};
use std::net::{IpAddr, Ipv4Addr};

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
/// How long an address is the guest's, in seconds.
const LEASE: u32 = 86400;
/// DHCP's option for the MTU.
const OPTION_MTU: u8 = 26;

/// Answers who has an address.
pub(crate) fn arp(wire: &mut Wire, bytes: &[u8]) {
    let Ok(packet) = ArpPacket::new_checked(bytes) else { return };
    let Ok(ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    }) = ArpRepr::parse(&packet)
    else {
        return;
    };
    if target_protocol_addr != GATEWAY && target_protocol_addr != DNS {
        return;
    }
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(GATEWAY_MAC),
        source_protocol_addr: target_protocol_addr,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    };
    wire.emit(TYPE_ARP, reply.buffer_len(), |bytes| reply.emit(&mut ArpPacket::new_unchecked(bytes)));
}

/// Answers who has an IPv6 address. True if the packet was such a question.
pub(crate) fn neighbour(wire: &mut Wire, packet: &Packet<'_>) -> bool {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (packet.from, packet.to) else { return false };
    let Ok(request) = Icmpv6Packet::new_checked(packet.payload) else { return false };
    let Ok(Icmpv6Repr::Ndisc(question)) = Icmpv6Repr::parse(&from, &to, &request, &ChecksumCapabilities::ignored())
    else {
        return false;
    };
    if let NdiscRepr::NeighborSolicit { target_addr, .. } = question
        && (target_addr == GATEWAY6 || target_addr == DNS6)
        && !from.is_unspecified()
    {
        let answer = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
            target_addr,
            lladdr: Some(RawHardwareAddress::from(EthernetAddress(GATEWAY_MAC))),
        });
        // Neighbours are believed only with a hop limit of 255.
        packet::emit_with(
            wire,
            target_addr.into(),
            from.into(),
            IpProtocol::Icmpv6,
            255,
            answer.buffer_len(),
            |bytes| {
                answer.emit(
                    &target_addr,
                    &from,
                    &mut Icmpv6Packet::new_unchecked(bytes),
                    &ChecksumCapabilities::default(),
                );
            },
        );
    }
    true
}

/// Answers a guest that asks for its address. True if the packet was such a question.
pub(crate) fn dhcp(wire: &mut Wire, packet: &Packet<'_>) -> bool {
    let Ok(datagram) = UdpPacket::new_checked(packet.payload) else { return false };
    if datagram.dst_port() != DHCP_SERVER || !packet.to.is_ipv4() {
        return false;
    }
    let Ok(request) = DhcpPacket::new_checked(datagram.payload()) else { return true };
    let Ok(request) = DhcpRepr::parse(&request) else { return true };
    let other = request.server_identifier.is_some_and(|server| server != GATEWAY);
    let message_type = match request.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if other => return true,
        DhcpMessageType::Request => {
            let asked = request.requested_ip.unwrap_or(request.client_ip);
            if asked == GUEST { DhcpMessageType::Ack } else { DhcpMessageType::Nak }
        }
        _ => return true,
    };
    let nak = message_type == DhcpMessageType::Nak;
    let mtu = MTU.to_be_bytes();
    let options = [DhcpOption { kind: OPTION_MTU, data: &mtu }];
    let reply = DhcpRepr {
        message_type,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: if nak { Ipv4Addr::UNSPECIFIED } else { GUEST },
        server_ip: GATEWAY,
        router: (!nak).then_some(GATEWAY),
        subnet_mask: (!nak).then_some(MASK),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: request.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: (!nak).then(|| [DNS].into_iter().collect()),
        max_size: None,
        lease_duration: (!nak).then_some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: if nak { &[] } else { &options },
    };
    let len = UDP_HEADER_LEN + reply.buffer_len();
    let to = IpAddr::V4(Ipv4Addr::BROADCAST);
    packet::emit(wire, address::gateway(to), to, IpProtocol::Udp, len, |bytes| {
        let mut datagram = UdpPacket::new_unchecked(bytes);
        datagram.set_src_port(DHCP_SERVER);
        datagram.set_dst_port(DHCP_CLIENT);
        datagram.set_len(len as u16);
        let _ = reply.emit(&mut DhcpPacket::new_unchecked(datagram.payload_mut()));
        datagram.fill_checksum(&GATEWAY.into(), &to.into());
    });
    true
}
