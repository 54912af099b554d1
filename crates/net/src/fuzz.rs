//! For fuzz targets and the tests that call the same: packets of a hostile guest, without a
//! machine. No packet leaves this host: whatever the guest would reach is a listener here.
use crate::dial::Local;
use crate::host::{Io, Share};
use crate::icmp::Icmp;
use crate::reach::Reach;
use crate::reactor::Reactor;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::wire::Wire;
use mio::Poll;
use std::net::{Ipv4Addr, TcpListener};
use wasmlinux_devices::virtio::NetDevice;

/// Flows of each kind.
const FLOWS: usize = 4;

/// Carries packets, of which each has its Ethernet type and its length before it, two bytes each,
/// high before low. A length that is too large means the rest.
pub fn packets(bytes: &[u8]) {
    // A host that has no descriptor left is not what is looked for.
    let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) else { return };
    let (Ok(poll), Ok(here)) = (Poll::new(), listener.local_addr()) else { return };
    let Ok(registry) = poll.registry().try_clone() else { return };
    let reach = Reach { host: true, private: true, link_local: true };
    let io = Io::new(registry, Box::new(Local::new(reach).leading_to(here)), reach.host);
    let wire = Wire::new(NetDevice::new(crate::address::GUEST_MAC, crate::address::MTU));
    let tcp = Tcp::new(Share { sockets: FLOWS, buffers: 1 << 17 });
    let mut reactor = Reactor::new(poll, io, wire, (tcp, Udp::new(FLOWS), Icmp::new(FLOWS)));
    let mut rest = bytes;
    while let Some(([k0, k1, l0, l1], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1])).min(after.len());
        let (packet, after) = after.split_at(length);
        rest = after;
        reactor.packet(u16::from_be_bytes([*k0, *k1]), packet);
        let _ = reactor.turn();
    }
    let _ = reactor.next_time();
}
