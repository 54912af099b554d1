//! UDP: each pair of endpoints of the guest's datagrams is a connected socket of the host, for as
//! long as it is used. Published ports are sockets of the host whose peers get a port of the
//! gateway each.
use crate::address;
use crate::dial::Denied;
use crate::host::{Io, Kind};
use crate::names;
use crate::packet::{self, Packet, Unreachable};
use crate::wire::Wire;
use mio::net::UdpSocket;
use mio::{Interest, Token};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpProtocol, UDP_HEADER_LEN};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

/// A flow without datagrams ends after this time.
const IDLE: Duration = Duration::from_secs(60);
/// Datagrams of one socket before others have their turn.
const BURST: usize = 32;

/// The guest's endpoint, and the other one as the guest sees it.
type Key = (SocketAddr, SocketAddr);

struct Flow {
    key: Key,
    used: Instant,
    way: Way,
}

enum Way {
    /// A socket of its own, connected to the remote host.
    Out(UdpSocket),
    /// By a published port, to this peer.
    In(Token, SocketAddr),
}

struct Published {
    socket: UdpSocket,
    guest: u16,
    peers: HashMap<SocketAddr, usize>,
}

#[derive(Default)]
pub(crate) struct Udp {
    /// More flows end the oldest.
    most: usize,
    published: HashMap<Token, Published>,
    flows: HashMap<usize, Flow>,
    keys: HashMap<Key, usize>,
    /// Sockets that may have something to read.
    readable: Vec<Token>,
    next_port: u16,
    buffer: Vec<u8>,
}

impl Udp {
    pub(crate) fn new(most: usize) -> Udp {
        Udp { most, ..Udp::default() }
    }

    /// A port of the host that leads to one of the guest.
    pub(crate) fn listen(&mut self, io: &mut Io, mut socket: UdpSocket, guest: u16) -> io::Result<()> {
        let token = io.register(Kind::Udp, &mut socket, Interest::READABLE)?;
        self.published.insert(token, Published { socket, guest, peers: HashMap::new() });
        Ok(())
    }

    /// A datagram of the guest.
    pub(crate) fn receive(&mut self, io: &mut Io, wire: &mut Wire, packet: &Packet<'_>) {
        let Some(key) = packet.ports() else { return };
        let Some(length) = packet.payload.get(4..6) else { return };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let Some(data) = packet.payload.get(UDP_HEADER_LEN..length) else { return };
        if key.0.port() == 0 || key.1.port() == 0 {
            return;
        }
        if address::is_dns(key.1.ip())
            && key.1.port() == 53
            && let Some(answer) = names::answer(data, io.reaches_host())
        {
            return emit(wire, key, &answer);
        }
        let id = match self.keys.get(&key) {
            Some(id) => Some(*id),
            None => match self.connect(io, key) {
                Ok(id) => Some(id),
                Err(Denied::Kept(kept)) if address::is_unicast(key.1.ip()) => {
                    return packet::unreachable(wire, packet, kept.into());
                }
                Err(_) => return,
            },
        };
        let Some(flow) = id.and_then(|id| self.flows.get_mut(&id)) else { return };
        flow.used = io.now();
        let sent = match &flow.way {
            Way::Out(socket) => socket.send(data),
            Way::In(token, peer) => match self.published.get(token) {
                Some(published) => published.socket.send_to(data, *peer),
                None => Ok(0),
            },
        };
        // As on any network, what cannot be sent is lost.
        if let Err(error) = sent {
            refused(wire, key, &error);
        }
    }

    fn connect(&mut self, io: &mut Io, key: Key) -> Result<usize, Denied> {
        self.make_room(io);
        let mut socket = UdpSocket::from_std(io.dial(Kind::Udp, key.1)?.into());
        let token = io.register(Kind::Udp, &mut socket, Interest::READABLE)?;
        self.keys.insert(key, token.0);
        self.flows.insert(token.0, Flow { key, used: io.now(), way: Way::Out(socket) });
        Ok(token.0)
    }

    /// A socket of the host has something to read.
    pub(crate) fn ready(&mut self, token: Token) {
        if !self.readable.contains(&token) {
            self.readable.push(token);
        }
    }

    /// Carries datagrams to the guest, as long as it has room.
    pub(crate) fn serve(&mut self, io: &mut Io, wire: &mut Wire) {
        let readable = std::mem::take(&mut self.readable);
        for token in readable {
            if wire.is_full() || !self.serve_socket(io, wire, token) {
                self.readable.push(token);
            }
        }
    }

    /// There is more to do than could be done.
    pub(crate) fn is_busy(&self) -> bool {
        !self.readable.is_empty()
    }

    /// True if there is nothing left to read.
    fn serve_socket(&mut self, io: &mut Io, wire: &mut Wire, token: Token) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(1 << 16, 0);
        let mut finished = false;
        for _ in 0..BURST {
            if wire.is_full() {
                break;
            }
            let received = match (self.published.get(&token), self.flows.get(&token.0)) {
                (Some(published), _) => published.socket.recv_from(&mut buffer).map(|(len, peer)| (len, Some(peer))),
                (_, Some(Flow { way: Way::Out(socket), .. })) => socket.recv(&mut buffer).map(|len| (len, None)),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            };
            match received {
                Ok((len, peer)) => {
                    let id = match peer {
                        None => Some(token.0),
                        Some(peer) => self.incoming(io, token, peer),
                    };
                    let Some(flow) = id.and_then(|id| self.flows.get_mut(&id)) else { continue };
                    flow.used = io.now();
                    emit(wire, flow.key, &buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    finished = true;
                    break;
                }
                // The remote host refused a datagram, perhaps; this call has taken the message.
                Err(error) => {
                    if let Some(flow) = self.flows.get(&token.0) {
                        refused(wire, flow.key, &error);
                    }
                }
            }
        }
        self.buffer = buffer;
        finished
    }

    /// The flow of a peer of a published port.
    fn incoming(&mut self, io: &mut Io, token: Token, peer: SocketAddr) -> Option<usize> {
        let published = self.published.get(&token)?;
        if let Some(id) = published.peers.get(&peer) {
            return Some(*id);
        }
        let guest = SocketAddr::new(address::guest(peer.ip()), published.guest);
        self.make_room(io);
        let mut from = SocketAddr::new(address::gateway(peer.ip()), peer.port());
        while from.port() == 0 || self.keys.contains_key(&(guest, from)) {
            self.next_port = self.next_port.wrapping_add(1) | 32768;
            from.set_port(self.next_port);
        }
        let id = io.token(Kind::Udp).0;
        self.keys.insert((guest, from), id);
        self.flows.insert(id, Flow { key: (guest, from), used: io.now(), way: Way::In(token, peer) });
        self.published.get_mut(&token)?.peers.insert(peer, id);
        Some(id)
    }

    /// Ends the flow that was unused for the longest time, if there are too many.
    fn make_room(&mut self, io: &mut Io) {
        if self.flows.len() >= self.most
            && let Some(oldest) = self.flows.iter().min_by_key(|(_, flow)| flow.used).map(|(id, _)| *id)
        {
            self.remove(io, oldest);
        }
    }

    pub(crate) fn has_flows(&self) -> bool {
        !self.flows.is_empty()
    }

    /// Ends flows that are not used any more.
    pub(crate) fn expire(&mut self, io: &mut Io) {
        let now = io.now();
        let idle: Vec<_> = self.flows.iter().filter(|(_, flow)| flow.used + IDLE <= now).map(|(id, _)| *id).collect();
        for id in idle {
            self.remove(io, id);
        }
    }

    fn remove(&mut self, io: &mut Io, id: usize) {
        let Some(flow) = self.flows.remove(&id) else { return };
        self.keys.remove(&flow.key);
        match flow.way {
            Way::Out(mut socket) => io.deregister(&mut socket),
            Way::In(token, peer) => {
                if let Some(published) = self.published.get_mut(&token) {
                    published.peers.remove(&peer);
                }
            }
        }
    }
}

/// Tells the guest what became of a datagram.
fn refused(wire: &mut Wire, (guest, to): Key, error: &io::Error) {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreachable::Port,
        io::ErrorKind::HostUnreachable => Unreachable::Host,
        io::ErrorKind::NetworkUnreachable => Unreachable::Network,
        _ => return,
    };
    let mut payload = [0; UDP_HEADER_LEN];
    payload[..2].copy_from_slice(&guest.port().to_be_bytes());
    payload[2..4].copy_from_slice(&to.port().to_be_bytes());
    let packet = Packet { from: guest.ip(), to: to.ip(), protocol: IpProtocol::Udp, payload: &payload };
    packet::unreachable(wire, &packet, why);
}

/// A datagram to the guest.
fn emit(wire: &mut Wire, (guest, from): Key, data: &[u8]) {
    let len = UDP_HEADER_LEN + data.len();
    let Ok(total) = u16::try_from(len) else { return };
    packet::emit(wire, from.ip(), guest.ip(), IpProtocol::Udp, len, |packet| {
        packet[..2].copy_from_slice(&from.port().to_be_bytes());
        packet[2..4].copy_from_slice(&guest.port().to_be_bytes());
        packet[4..6].copy_from_slice(&total.to_be_bytes());
        // The device vouches for it.
        packet[6..8].copy_from_slice(&[0xff, 0xff]);
        packet[UDP_HEADER_LEN..].copy_from_slice(data);
    });
}
