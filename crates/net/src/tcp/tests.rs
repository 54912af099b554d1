//! Flows between a guest that is packets here and a socket of this process.
use super::*;
use crate::dial::Local;
use mio::{Events, Poll};
use std::net::Ipv4Addr;
use wasmlinux_devices::virtio::NetDevice;

const SYN: u8 = 2;
const RST: u8 = 4;

/// What a reactor has, with a listener that is everybody outside.
struct Outside {
    poll: Poll,
    io: Io,
    wire: Wire,
    listener: std::net::TcpListener,
}

fn outside() -> Outside {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let poll = Poll::new().unwrap();
    let dialer = Box::new(Local::default().leading_to(listener.local_addr().unwrap()));
    let io = Io::new(poll.registry().try_clone().unwrap(), dialer, false);
    let wire = Wire::new(NetDevice::new(address::GUEST_MAC, address::MTU));
    Outside { poll, io, wire, listener }
}

impl Outside {
    /// The guest sends a segment without data from this port to port 80 of a host outside.
    fn segment(&mut self, tcp: &mut Tcp, port: u16, flags: u8, number: u32) {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        bytes.extend(address::GUEST.octets());
        bytes.extend([93, 184, 216, 34]);
        bytes.extend([port.to_be_bytes(), 80_u16.to_be_bytes()].concat());
        bytes.extend(number.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        let packet = Packet::parse(TYPE_IP4, &bytes).unwrap();
        tcp.receive(&mut self.io, &mut self.wire, &packet, &bytes);
    }

    /// Lets the host's sockets tell what has happened, until `done`.
    fn until(&mut self, tcp: &mut Tcp, done: impl Fn(&Tcp) -> bool) {
        let mut events = Events::with_capacity(16);
        for _ in 0..100 {
            self.io.tick();
            tcp.serve(&mut self.io, &mut self.wire);
            if done(tcp) {
                return;
            }
            self.poll.poll(&mut events, Some(std::time::Duration::from_millis(50))).unwrap();
            for event in &events {
                tcp.ready(&mut self.io, &mut self.wire, event.token(), event);
            }
        }
        panic!("it has not happened");
    }
}

fn only(tcp: &mut Tcp) -> &mut Flow {
    assert_eq!((tcp.flows.len(), tcp.keys.len()), (1, 1));
    tcp.flows.values_mut().next().unwrap()
}

#[test]
fn a_connection_of_the_guest_is_a_socket_of_the_host() {
    let mut outside = outside();
    let mut tcp = Tcp::new(Share { sockets: 8, buffers: 1 << 20 });
    outside.segment(&mut tcp, 5000, SYN, 1);
    assert!(matches!(only(&mut tcp).phase, Phase::Connecting(_)), "the guest waits for the host");
    // Said once more while it waits: still one.
    outside.segment(&mut tcp, 5000, SYN, 1);
    outside.until(&mut tcp, |tcp| tcp.flows.values().all(|flow| matches!(flow.phase, Phase::Open)));
    assert_eq!(only(&mut tcp).sockets.get().state(), State::SynReceived);
    let (mut peer, _) = outside.listener.accept().unwrap();

    // The guest gives up: the peer sees it, and what the flow took is for the next one.
    let held = tcp.held;
    outside.segment(&mut tcp, 5000, RST, 2);
    outside.until(&mut tcp, |tcp| tcp.flows.is_empty());
    assert!(tcp.keys.is_empty() && peer.read(&mut [0]).is_err(), "a reset");
    assert_eq!((tcp.spare.len(), tcp.held), (1, held));
    outside.segment(&mut tcp, 5001, SYN, 1);
    assert_eq!((tcp.flows.len(), tcp.spare.len(), tcp.held), (1, 0, held));
}

#[test]
fn what_belongs_to_no_connection_makes_none() {
    let mut outside = outside();
    let mut tcp = Tcp::new(Share { sockets: 8, buffers: 1 << 20 });
    for (port, flags) in [(5000, 0x10), (5000, RST), (5000, 0x12), (0, SYN), (5000, 0), (5000, 1)] {
        outside.segment(&mut tcp, port, flags, 1);
    }
    assert!(tcp.flows.is_empty() && tcp.keys.is_empty());
    assert_eq!(tcp.held, 0);
}

#[test]
fn flows_share_what_the_machine_may_take() {
    // The first are large, the last small, and no more than there is.
    let buffers = 1 << 29;
    let mut tcp = Tcp::new(Share { sockets: usize::MAX, buffers });
    let first = tcp.socket().unwrap();
    assert_eq!(first.held, 2 * BUFFER_MAX);
    let mut tcp = Tcp::new(Share { sockets: usize::MAX, buffers: 40 * BUFFER_MIN });
    let sockets: Vec<_> = std::iter::from_fn(|| tcp.socket()).collect();
    assert_eq!((sockets.len(), tcp.held), (20, 40 * BUFFER_MIN));
    // What is over makes room.
    tcp.recycle(sockets.into_iter().next().unwrap());
    assert!(tcp.socket().is_some() && tcp.socket().is_none());

    let mut outside = outside();
    let mut tcp = Tcp::new(Share { sockets: 2, buffers });
    for port in 1..5 {
        outside.segment(&mut tcp, port, SYN, 1);
    }
    assert_eq!(tcp.flows.len(), 2, "more are refused");
}
