//! TCP: each connection of the guest is a socket of the host. A flow has smoltcp's TCP on the
//! guest's side and carries bytes between that and the socket; each flow is an interface of its
//! own, so that a packet costs the same however many there are.
use crate::address;
use crate::host::{Io, Kind, Share};
use crate::packet::{self, Packet, Unreachable};
use crate::wire::{Port, TYPE_IP4, TYPE_IP6, Wire};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint, IpListenEndpoint, TcpPacket};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

/// Bytes that a flow holds for each direction: powers of two. A flow gets the [`PART`]th of what is
/// left of the machine's share, so that the first go fast and there is some for many. The host
/// gives what is used.
const BUFFER_MAX: usize = 1 << 20;
const BUFFER_MIN: usize = 16 << 10;
const PART: usize = 256;
/// How often a connection to the guest is begun again.
const ATTEMPTS: u8 = 3;
/// How much faster time goes for a connection to the guest that is not answered: the wire loses
/// nothing, so the guest had no room for it in the server's backlog, and has soon. The first
/// repetition comes after 1 s / HASTE.
const HASTE: u32 = 50;
/// Sockets that are kept for new flows.
const SPARE: usize = 32;
/// Ports of the gateway for connections that come in, when the peer's own is taken.
const EPHEMERAL: u16 = 32768;

/// Both ends of a connection, as the guest sees them.
type Key = (SocketAddr, SocketAddr);

pub(crate) struct Tcp {
    /// What flows may take of the host: more are refused.
    share: Share,
    /// Bytes of the buffers of all flows, and of spare sockets.
    held: usize,
    listeners: HashMap<Token, (TcpListener, u16)>,
    flows: HashMap<Token, Flow>,
    keys: HashMap<Key, Token>,
    /// Flows that something has happened to.
    dirty: Vec<Token>,
    timers: BinaryHeap<Reverse<(Instant, Token)>>,
    next_port: u16,
    /// Sockets of flows that are over, for new ones: their buffers need not be made and cleared
    /// again.
    spare: Vec<Sockets>,
}

/// The one socket of a flow.
struct Sockets {
    set: SocketSet<'static>,
    handle: SocketHandle,
    /// Bytes of both buffers together.
    held: usize,
}

impl Sockets {
    fn new(buffer: usize) -> Sockets {
        let held = 2 * buffer;
        let buffer = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Sockets { set, handle, held }
    }

    fn get(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

/// Where a flow to the outside stands.
enum Phase {
    /// The host's socket is being connected; the guest's SYN waits.
    Connecting(Vec<u8>),
    Open,
}

struct Flow {
    key: Key,
    phase: Phase,
    interface: Interface,
    sockets: Sockets,
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The host has told that its peer ends its side, which may not be read yet.
    ends: bool,
    /// The host's peer has ended its side; the guest its own, and that was passed on.
    host_ended: bool,
    guest_ended: bool,
    shut: bool,
    dirty: bool,
    timer: Option<Instant>,
    started: Instant,
    /// How much later it is for this flow than for others: see [`HASTE`].
    ahead: Duration,
    /// How often the connection to the guest was begun again.
    attempts: u8,
}

impl Tcp {
    pub(crate) fn new(share: Share) -> Tcp {
        Tcp {
            share,
            held: 0,
            listeners: HashMap::new(),
            flows: HashMap::new(),
            keys: HashMap::new(),
            dirty: vec![],
            timers: BinaryHeap::new(),
            next_port: 0,
            spare: vec![],
        }
    }

    /// The socket of a new flow; None if there are too many.
    fn socket(&mut self) -> Option<Sockets> {
        if self.flows.len() >= self.share.sockets {
            return None;
        }
        let spare: usize = self.spare.iter().map(|spare| spare.held).sum();
        let left = (self.share.buffers + spare).saturating_sub(self.held);
        let part = left / PART;
        let buffer = if part >= BUFFER_MAX { BUFFER_MAX } else { (part / 2 + 1).next_power_of_two().max(BUFFER_MIN) };
        if let Some(at) = self.spare.iter().rposition(|spare| spare.held == 2 * buffer) {
            return Some(self.spare.remove(at));
        }
        while self.held + 2 * buffer > self.share.buffers {
            self.held -= self.spare.pop()?.held;
        }
        self.held += 2 * buffer;
        Some(Sockets::new(buffer))
    }

    /// Of a flow that is over.
    fn recycle(&mut self, mut sockets: Sockets) {
        sockets.get().abort();
        if self.spare.len() < SPARE {
            self.spare.push(sockets);
        } else {
            self.held -= sockets.held;
        }
    }

    /// A port of the host that leads to one of the guest.
    pub(crate) fn listen(&mut self, io: &mut Io, mut listener: TcpListener, guest: u16) -> io::Result<()> {
        let token = io.register(Kind::Tcp, &mut listener, Interest::READABLE)?;
        self.listeners.insert(token, (listener, guest));
        Ok(())
    }

    /// A packet of the guest.
    pub(crate) fn receive(&mut self, io: &mut Io, wire: &mut Wire, packet: &Packet<'_>, bytes: &[u8]) {
        let Some(key) = packet.ports() else { return };
        if let Some(token) = self.keys.get(&key) {
            let Some(flow) = self.flows.get_mut(token) else { return };
            if matches!(flow.phase, Phase::Open) {
                flow.ingress(io.now(), wire, bytes);
                if !std::mem::replace(&mut flow.dirty, true) {
                    self.dirty.push(*token);
                }
            }
            return;
        }
        let Ok(header) = TcpPacket::new_checked(packet.payload) else { return };
        if header.rst() || header.src_port() == 0 || header.dst_port() == 0 {
            return;
        }
        let opened = if header.syn() && !header.ack() { self.connect(io, key, bytes) } else { Err(None) };
        if let Err(why) = opened {
            refuse(io.now(), wire, key.1.ip(), bytes, why);
        }
    }

    fn connect(&mut self, io: &mut Io, key: Key, syn: &[u8]) -> Result<(), Option<io::ErrorKind>> {
        let sockets = self.socket().ok_or(None)?;
        let connected = io.dial(Kind::Tcp, key.1).map_err(io::Error::from).and_then(|socket| {
            let mut stream = TcpStream::from_std(socket.into());
            let token = io.register(Kind::Tcp, &mut stream, Interest::READABLE | Interest::WRITABLE)?;
            Ok((stream, token))
        });
        let (stream, token) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                self.recycle(sockets);
                return Err(Some(error.kind()));
            }
        };
        let flow = Flow::new(io, key, stream, Phase::Connecting(syn.to_vec()), sockets);
        self.flows.insert(token, flow);
        self.keys.insert(key, token);
        Ok(())
    }

    /// A socket of the host is ready for something.
    pub(crate) fn ready(&mut self, io: &mut Io, wire: &mut Wire, token: Token, event: &Event) {
        if self.listeners.contains_key(&token) {
            self.accept(io, token);
            return;
        }
        let Some(flow) = self.flows.get_mut(&token) else { return };
        flow.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        flow.ends |= event.is_read_closed() || event.is_error();
        flow.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        if let Phase::Connecting(syn) = &mut flow.phase {
            let syn = std::mem::take(syn);
            match flow.stream.take_error() {
                Ok(None) if flow.stream.peer_addr().is_ok() => {
                    flow.phase = Phase::Open;
                    let _ = flow.stream.set_nodelay(true);
                    let endpoint = listen_endpoint(flow.key.1);
                    // Port 0 was refused before.
                    let _ = flow.sockets.get().listen(endpoint);
                    flow.ingress(io.now(), wire, &syn);
                }
                Ok(None) => {
                    flow.phase = Phase::Connecting(syn);
                    return;
                }
                failed => {
                    let why = failed.ok().flatten();
                    refuse(io.now(), wire, flow.key.1.ip(), &syn, why.map(|error| error.kind()));
                    self.remove(io, token);
                    return;
                }
            }
        }
        self.mark(token);
    }

    fn mark(&mut self, token: Token) {
        if let Some(flow) = self.flows.get_mut(&token)
            && !std::mem::replace(&mut flow.dirty, true)
        {
            self.dirty.push(token);
        }
    }

    pub(crate) fn accept(&mut self, io: &mut Io, listener: Token) {
        loop {
            let Some((socket, guest)) = self.listeners.get(&listener) else { return };
            match socket.accept() {
                Ok((stream, peer)) => {
                    let guest = *guest;
                    // One that cannot be served is closed.
                    let _ = self.accepted(io, stream, peer, guest);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.raw_os_error(), Some(23 | 24)) => {
                    // No descriptors are left: what waits is looked at again soon.
                    io.again(listener);
                    return;
                }
                // The peer went away before.
                Err(_) => {}
            }
        }
    }

    fn accepted(&mut self, io: &mut Io, mut stream: TcpStream, peer: SocketAddr, guest: u16) -> Option<()> {
        let _ = stream.set_nodelay(true);
        let guest = SocketAddr::new(address::guest(peer.ip()), guest);
        let gateway = address::gateway(peer.ip());
        let mut from = SocketAddr::new(gateway, peer.port());
        while self.keys.contains_key(&(guest, from)) || from.port() == 0 {
            self.next_port = self.next_port.wrapping_add(1) | EPHEMERAL;
            from.set_port(self.next_port);
        }
        let token = io.register(Kind::Tcp, &mut stream, Interest::READABLE | Interest::WRITABLE).ok()?;
        let sockets = self.socket()?;
        let mut flow = Flow::new(io, (guest, from), stream, Phase::Open, sockets);
        if flow.connect().is_none() {
            self.recycle(flow.sockets);
            return None;
        }
        self.keys.insert(flow.key, token);
        self.flows.insert(token, flow);
        self.mark(token);
        Some(())
    }

    /// Carries bytes for all flows that something has happened to.
    pub(crate) fn serve(&mut self, io: &mut Io, wire: &mut Wire) {
        let now = io.now();
        while let Some(Reverse((at, token))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            if let Some(flow) = self.flows.get_mut(&token)
                && flow.timer == Some(at)
            {
                flow.timer = None;
                self.mark(token);
            }
        }
        let dirty = std::mem::take(&mut self.dirty);
        for (done, token) in dirty.iter().enumerate() {
            if wire.is_full() {
                // The rest when the guest has room.
                self.dirty.extend(&dirty[done..]);
                return;
            }
            let Some(flow) = self.flows.get_mut(token) else { continue };
            flow.dirty = false;
            if flow.serve(now, wire) {
                self.remove(io, *token);
                continue;
            }
            if wire.is_full() {
                self.mark(*token);
                continue;
            }
            if let Some(at) = flow.poll_at(now)
                && flow.timer.is_none_or(|timer| at < timer)
            {
                flow.timer = Some(at);
                self.timers.push(Reverse((at, *token)));
            }
        }
    }

    /// When something is to be done without being asked.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Ends all flows, as far as what the guest had sent is delivered. True if some of it is not.
    pub(crate) fn finish(&mut self, io: &mut Io) -> bool {
        let all: Vec<_> = self.flows.keys().copied().collect();
        for token in all {
            let Some(flow) = self.flows.get_mut(&token) else { continue };
            flow.send_out();
            if flow.sockets.get().recv_queue() == 0 {
                if !flow.guest_ended {
                    reset(&flow.stream);
                }
                self.remove(io, token);
            }
        }
        !self.flows.is_empty()
    }

    /// A socket of the host takes more, while flows end.
    pub(crate) fn writable(&mut self, token: Token) {
        if let Some(flow) = self.flows.get_mut(&token) {
            flow.writable = true;
        }
    }

    fn remove(&mut self, io: &mut Io, token: Token) {
        if let Some(mut flow) = self.flows.remove(&token) {
            self.keys.remove(&flow.key);
            io.deregister(&mut flow.stream);
            self.recycle(flow.sockets);
        }
    }
}

impl Flow {
    fn new(io: &mut Io, key: Key, stream: TcpStream, phase: Phase, sockets: Sockets) -> Flow {
        Flow {
            key,
            phase,
            interface: interface(io.now(), key.1.ip(), io.random()),
            sockets,
            stream,
            readable: false,
            writable: false,
            ends: false,
            host_ended: false,
            guest_ended: false,
            shut: false,
            dirty: false,
            timer: None,
            started: io.now(),
            ahead: Duration::ZERO,
            attempts: 0,
        }
    }

    /// Connects to the guest.
    fn connect(&mut self) -> Option<()> {
        let endpoint = |at: SocketAddr| IpEndpoint { addr: at.ip().into(), port: at.port() };
        let (guest, from) = (endpoint(self.key.0), endpoint(self.key.1));
        self.sockets.get().connect(self.interface.context(), guest, from).ok()
    }

    /// What time it is for this flow.
    fn time(&mut self, now: Instant) -> Instant {
        if self.sockets.get().state() == State::SynSent {
            self.ahead = (now - self.started) * (HASTE - 1);
        }
        now + self.ahead
    }

    /// When there is something to do without being asked.
    fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        let time = self.time(now);
        let at = self.interface.poll_at(time, &self.sockets.set)?.max(time);
        let hurries = self.sockets.get().state() == State::SynSent;
        Some(now + (at - time) / if hurries { HASTE } else { 1 })
    }

    fn ingress(&mut self, now: Instant, wire: &mut Wire, packet: &[u8]) {
        let now = self.time(now);
        self.interface.poll_ingress_single(now, &mut Port { wire, packet: Some(packet) }, &mut self.sockets.set);
        if self.sockets.get().state() == State::SynSent && self.attempts < ATTEMPTS {
            // The guest remembers an older connection with these ports (TIME_WAIT) and answered for
            // that. It was told now that this is over (RST), and accepts a new one.
            self.attempts += 1;
            self.sockets.get().abort();
            let _ = self.connect();
        }
        self.guest_ended |=
            matches!(self.sockets.get().state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
    }

    /// Carries bytes both ways as far as they go. True if the flow is over.
    fn serve(&mut self, now: Instant, wire: &mut Wire) -> bool {
        let now = self.time(now);
        loop {
            let moved = self.send_out() | self.take_in();
            let mut port = Port { wire, packet: None };
            let mut sent = false;
            while self.interface.poll_egress(now, &mut port, &mut self.sockets.set) != PollResult::None {
                sent = true;
            }
            // Sending makes no room in the buffers: only acknowledgements do.
            if !(moved && sent) {
                break;
            }
        }
        match self.sockets.get().state() {
            // It listens again once the guest has taken back what it began with.
            State::Closed | State::Listen => {
                if !(self.guest_ended && self.host_ended) {
                    reset(&self.stream);
                }
                true
            }
            // The wire loses nothing: nothing can come any more.
            State::TimeWait => self.shut,
            _ => false,
        }
    }

    /// From the guest to the host's socket. True if something moved.
    fn send_out(&mut self) -> bool {
        let mut moved = false;
        let (stream, socket) = (&mut self.stream, self.sockets.get());
        while self.writable && socket.can_recv() {
            let result = socket.recv(|bytes| match stream.write(bytes) {
                Ok(len) => (len, Ok(len)),
                Err(error) => (0, Err(error)),
            });
            match result {
                Ok(Ok(len)) => moved |= len > 0,
                Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    socket.abort();
                    return true;
                }
            }
        }
        if self.guest_ended && !self.shut && socket.recv_queue() == 0 {
            self.shut = true;
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        moved
    }

    /// From the host's socket to the guest. True if something moved.
    fn take_in(&mut self) -> bool {
        let mut moved = false;
        let (stream, socket) = (&mut self.stream, self.sockets.get());
        while self.readable && !self.host_ended && socket.can_send() {
            let result = socket.send(|space| match stream.read(space) {
                Ok(len) => (len, Ok((len, space.len()))),
                Err(error) => (0, Err(error)),
            });
            match result {
                Ok(Ok((0, _))) => {
                    self.host_ended = true;
                    socket.close();
                    return true;
                }
                Ok(Ok((len, space))) => {
                    moved = true;
                    // Less than there was room for: that was all, and what comes next is told. The
                    // end was told already.
                    self.readable = len == space || self.ends;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    socket.abort();
                    return true;
                }
            }
        }
        moved
    }
}

/// An interface that is one remote host, to which the guest is next.
fn interface(now: Instant, host: IpAddr, seed: u64) -> Interface {
    struct Nothing;
    impl smoltcp::phy::Device for Nothing {
        type RxToken<'a> = crate::wire::Received<'a>;
        type TxToken<'a> = crate::wire::Sender<'a>;
        fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
            None
        }
        fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
            None
        }
        fn capabilities(&self) -> smoltcp::phy::DeviceCapabilities {
            crate::wire::capabilities()
        }
    }
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut interface = Interface::new(config, &mut Nothing, now);
    let whole = if host.is_ipv4() { 32 } else { 128 };
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::new(host.into(), whole));
    });
    let routes = interface.routes_mut();
    let _ = match host {
        IpAddr::V4(four) => routes.add_default_ipv4_route(four),
        IpAddr::V6(six) => routes.add_default_ipv6_route(six),
    };
    interface
}

fn listen_endpoint(at: SocketAddr) -> IpListenEndpoint {
    IpListenEndpoint { addr: Some(at.ip().into()), port: at.port() }
}

/// Answers a packet as a host does that has no such connection, or as a router that does not reach
/// the host.
fn refuse(now: Instant, wire: &mut Wire, host: IpAddr, packet: &[u8], why: Option<io::ErrorKind>) {
    if !address::is_unicast(host) {
        return;
    }
    let why = match why {
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut) => Some(Unreachable::Host),
        Some(io::ErrorKind::NetworkUnreachable) => Some(Unreachable::Network),
        Some(io::ErrorKind::PermissionDenied) => Some(Unreachable::Prohibited),
        _ => None,
    };
    if let Some(why) = why {
        let kind = if host.is_ipv4() { TYPE_IP4 } else { TYPE_IP6 };
        if let Some(packet) = Packet::parse(kind, packet) {
            packet::unreachable(wire, &packet, why);
        }
        return;
    }
    // An interface without a socket.
    let mut sockets = SocketSet::new(Vec::new());
    let mut port = Port { wire, packet: Some(packet) };
    interface(now, host, 0).poll_ingress_single(now, &mut port, &mut sockets);
}

/// Lets the peer see that the connection was cut, when the stream is dropped.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

#[cfg(test)]
mod tests;
