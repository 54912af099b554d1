//! What the network does, turn by turn: looks what the guest has sent, which sockets are ready and
//! what the time is, and lets the protocols do what is to be done. The processor's thread does it,
//! or the network's own: `backend.rs`.
use crate::address;
use crate::host::{Io, Kind};
use crate::icmp::Icmp;
use crate::link;
use crate::packet::Packet;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::wire::{self, ETHERNET, TYPE_ARP, Wire};
use mio::{Events, Poll, Token};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpProtocol;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Frames of the guest that are looked at before sockets have their turn.
const BURST: usize = 64;
/// How long to wait until something is tried again for which the host had no means.
const AGAIN: Duration = Duration::from_millis(50);

/// How long peers may take what the guest had sent when it was switched off.
const FINISH: std::time::Duration = std::time::Duration::from_secs(5);
/// How often flows without an end of their own are looked at.
const EXPIRY: Duration = Duration::from_secs(5);

/// Of what only wakes.
pub(crate) const WAKER: Token = Token(0);

pub(crate) struct Reactor {
    wire: Wire,
    poll: Poll,
    events: Events,
    frame: Vec<u8>,
    io: Io,
    tcp: Tcp,
    udp: Udp,
    icmp: Icmp,
    expiry: Instant,
}

impl Reactor {
    pub(crate) fn new(poll: Poll, io: Io, wire: Wire, (tcp, udp, icmp): (Tcp, Udp, Icmp)) -> Reactor {
        let (events, frame) = (Events::with_capacity(1024), vec![0; wire::frame_size()]);
        Reactor { wire, poll, events, frame, io, tcp, udp, icmp, expiry: Instant::ZERO }
    }

    /// Readable when a socket has become ready.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    /// Does what there is to do, without waiting. True if that was not all.
    pub(crate) fn turn(&mut self) -> io::Result<bool> {
        self.io.tick();
        self.look()?;
        self.wire.retry();
        let more = self.receive();
        self.tcp.serve(&mut self.io, &mut self.wire);
        self.udp.serve(&mut self.io, &mut self.wire);
        self.wire.flush();
        Ok(more || self.udp.is_busy() && !self.wire.is_full())
    }

    /// Looks which sockets are ready.
    fn look(&mut self) -> io::Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, Some(std::time::Duration::ZERO));
        if let Err(error) = polled
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            match event.token() {
                WAKER => {}
                token if token.0 & 3 == Kind::Tcp as usize => {
                    self.tcp.ready(&mut self.io, &mut self.wire, token, event);
                }
                token if token.0 & 3 == Kind::Udp as usize => self.udp.ready(token),
                token => self.icmp.ready(&mut self.wire, token),
            }
        }
        self.events = events;
        for token in self.io.take_again() {
            self.tcp.accept(&mut self.io, token);
        }
        Ok(())
    }

    /// The guest is off: what it has sent is still delivered, to peers that take it.
    pub(crate) fn finish(&mut self) {
        let mut events = Events::with_capacity(1024);
        let end = std::time::Instant::now() + FINISH;
        while self.tcp.finish(&mut self.io) {
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() || self.poll.poll(&mut events, Some(left)).is_err() {
                break;
            }
            for event in events.iter().filter(|event| event.token().0 & 3 == Kind::Tcp as usize) {
                self.tcp.writable(event.token());
            }
        }
    }

    /// After how long there is something to do in any case.
    pub(crate) fn next_time(&mut self) -> Option<std::time::Duration> {
        let again = self.io.has_again().then(|| self.io.now() + AGAIN);
        if self.io.now() >= self.expiry {
            self.expiry = self.io.now() + EXPIRY;
            self.udp.expire(&mut self.io);
            self.icmp.expire(&mut self.io);
        }
        let expiry = (self.udp.has_flows() || self.icmp.has_flows()).then_some(self.expiry);
        let times = [self.tcp.next_timer(), expiry, again];
        let next = times.into_iter().flatten().min()?;
        Some(std::time::Duration::from_micros((next.max(self.io.now()) - self.io.now()).total_micros()))
    }

    /// Takes what the guest has sent: whether there may be more.
    fn receive(&mut self) -> bool {
        let mut frame = std::mem::take(&mut self.frame);
        let mut more = true;
        for _ in 0..BURST {
            let Some((kind, len)) = self.wire.receive(&mut frame) else {
                more = false;
                break;
            };
            self.packet(kind, &frame[ETHERNET..len]);
        }
        self.frame = frame;
        more
    }

    /// Takes one packet of the guest.
    pub(crate) fn packet(&mut self, kind: u16, bytes: &[u8]) {
        if kind == TYPE_ARP {
            return link::arp(&mut self.wire, bytes);
        }
        let Some(packet) = Packet::parse(kind, bytes) else { return };
        if packet.protocol == IpProtocol::Udp && link::dhcp(&mut self.wire, &packet) {
            return;
        }
        if packet.protocol == IpProtocol::Icmpv6 && link::neighbour(&mut self.wire, &packet) {
            return;
        }
        if !address::is_source(packet.from) {
            return;
        }
        match packet.protocol {
            IpProtocol::Tcp => self.tcp.receive(&mut self.io, &mut self.wire, &packet, bytes),
            IpProtocol::Udp => self.udp.receive(&mut self.io, &mut self.wire, &packet),
            IpProtocol::Icmp | IpProtocol::Icmpv6 => self.icmp.receive(&mut self.io, &mut self.wire, &packet),
            _ => {}
        }
    }
}
