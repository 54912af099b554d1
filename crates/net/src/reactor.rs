//! What the network does, turn by turn: looks what the guest has sent, which sockets are ready and what the time is, and lets
//! the protocols do what is to be done. The processor's thread does it, or the network's own: `attend.rs`.
use crate::Error;
use crate::address::{self, GUEST_MAC, MTU};
use crate::attend::Running;
use crate::icmp::Icmp;
use crate::link;
use crate::packet::Packet;
use crate::publish::{Protocol, Publish};
use crate::reach::{Kept, Reach};
use crate::resolver;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::wire::{self, ETHERNET, TYPE_ARP, Wire};
use mio::event::Source;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpProtocol;
use socket2::{Domain, Socket, Type};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use wasmlinux_devices::NetDevice;

/// Connections of the host that may wait until they are taken.
const BACKLOG: i32 = 1024;
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

/// What a token belongs to: its two lowest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp = 0,
    Udp = 1,
    Icmp = 2,
}

/// What protocols need.
pub(crate) struct Io {
    registry: Registry,
    next: usize,
    epoch: std::time::Instant,
    now: Instant,
    random: RandomState,
    again: Vec<Token>,
    reach: Reach,
    told: Refusals,
}

impl Io {
    /// Where a packet of the guest to this address is to go. What the user has not allowed is told.
    pub(crate) fn outside(&mut self, to: SocketAddr) -> Result<SocketAddr, Kept> {
        let result = address::outside(to, self.reach, resolver::server);
        if let Err(Kept::Prohibited(word)) = result {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.iter().all(|refused| refused.word != word) {
                let refused = Refused { address: to.ip(), word };
                tracing::info!("{refused}");
                told.push(refused);
            }
        }
        result
    }

    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    /// A token that was never used.
    pub(crate) fn token(&mut self, kind: Kind) -> Token {
        self.next += 1;
        Token((self.next << 2) | kind as usize)
    }

    /// Waits for something from now on; tells as soon as it is ready.
    pub(crate) fn register(&mut self, kind: Kind, source: &mut impl Source, interest: Interest) -> io::Result<Token> {
        let token = self.token(kind);
        self.registry.register(source, token, interest)?;
        Ok(token)
    }

    pub(crate) fn deregister(&mut self, source: &mut impl Source) {
        // Closing does it too.
        let _ = self.registry.deregister(source);
    }

    /// Looks at this once more in a moment.
    pub(crate) fn again(&mut self, token: Token) {
        self.again.push(token);
    }

    /// The time of this turn.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    fn tick(&mut self) {
        self.now = Instant::from_micros(self.epoch.elapsed().as_micros() as i64);
    }

    /// A number that the guest cannot guess.
    pub(crate) fn random(&mut self) -> u64 {
        self.next += 1;
        let mut hasher = self.random.build_hasher();
        hasher.write_usize(self.next);
        hasher.finish()
    }
}

/// What the guest's connections may take of the host at most.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Sockets. An eighth is for UDP, as much at most for echo requests, the rest for TCP.
    pub sockets: usize,
    /// Bytes of the buffers of TCP.
    pub buffers: usize,
}

/// Flows of UDP, and echo requests, that no guest has more of.
const UDP_MAX: usize = 4096;
const PINGS_MAX: usize = 64;

/// A network that is ready: its ports are open, and its device can be plugged in.
pub struct Network {
    device: Arc<NetDevice>,
    share: Share,
    tcp: Vec<(std::net::TcpListener, u16)>,
    udp: Vec<(std::net::UdpSocket, u16)>,
    reach: Reach,
    published: Vec<Publish>,
    told: Refusals,
}

/// The first address of a kind that the guest was kept from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the guest was kept from {address}: --network user,{word} would let it")]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// The word of `--network` that would have allowed it.
    pub word: &'static str,
}

/// What the guest was kept from, one of each kind.
pub type Refusals = Arc<Mutex<Vec<Refused>>>;

impl Network {
    /// Opens the ports of the host. The guest will reach the outside, and what `reach` says.
    ///
    /// # Errors
    /// [`Error::Listen`] for the first that cannot be opened.
    pub fn new(publish: &[Publish], reach: Reach, share: Share) -> Result<Network, Error> {
        let device = NetDevice::new(GUEST_MAC, MTU);
        let (published, told) = (vec![], Refusals::default());
        let mut network = Network { device, share, tcp: vec![], udp: vec![], reach, published, told };
        for one in publish {
            let listen = |error| Error::Listen { address: one.host, protocol: one.protocol, error };
            let kind = if one.protocol == Protocol::Tcp { Type::STREAM } else { Type::DGRAM };
            let (socket, host) = open(one.host, kind).map_err(listen)?;
            network.published.push(Publish { host, ..*one });
            match one.protocol {
                Protocol::Tcp => network.tcp.push((socket.into(), one.guest)),
                Protocol::Udp => network.udp.push((socket.into(), one.guest)),
            }
        }
        Ok(network)
    }

    /// What is published, with the ports that the host has chosen.
    pub fn published(&self) -> &[Publish] {
        &self.published
    }

    /// What the guest was kept from, from now on.
    pub fn refusals(&self) -> Refusals {
        self.told.clone()
    }

    /// The device to plug into the machine.
    pub fn device(&self) -> Arc<NetDevice> {
        self.device.clone()
    }

    /// Starts the network's thread.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn start(self) -> Result<Running, Error> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let io = Io {
            registry: poll.registry().try_clone()?,
            next: 0,
            epoch: std::time::Instant::now(),
            now: Instant::ZERO,
            random: RandomState::new(),
            again: vec![],
            reach: self.reach,
            told: self.told,
        };
        // One at least, for names.
        let udp = (self.share.sockets / 8).clamp(1, UDP_MAX);
        let pings = udp.min(PINGS_MAX);
        let tcp = Share { sockets: self.share.sockets.saturating_sub(udp + pings), ..self.share };
        let mut reactor = Reactor {
            wire: Wire::new(self.device.clone()),
            poll,
            events: Events::with_capacity(1024),
            frame: vec![0; wire::frame_size()],
            io,
            tcp: Tcp::new(tcp),
            udp: Udp::new(udp),
            icmp: Icmp::new(pings),
            expiry: Instant::ZERO,
        };
        for (listener, guest) in self.tcp {
            reactor.tcp.listen(&mut reactor.io, TcpListener::from_std(listener), guest)?;
        }
        for (socket, guest) in self.udp {
            reactor.udp.listen(&mut reactor.io, UdpSocket::from_std(socket), guest)?;
        }
        Ok(Running::start(reactor, waker, &self.device)?)
    }
}

/// With the address that it has got.
fn open(address: SocketAddr, kind: Type) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and :: can both be published.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // A port whose last connections are still being forgotten is free.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, address))
}

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
        for token in std::mem::take(&mut self.io.again) {
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
        let again = (!self.io.again.is_empty()).then(|| self.io.now() + AGAIN);
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

    fn packet(&mut self, kind: u16, bytes: &[u8]) {
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
