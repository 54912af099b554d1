//! A network from its ports to its thread.
use crate::Error;
use crate::address::{GUEST_MAC, MTU};
use crate::backend::Running;
use crate::host::{Io, Refusals, Share};
use crate::icmp::Icmp;
use crate::publish::{Protocol, Publish};
use crate::reach::Reach;
use crate::reactor::{Reactor, WAKER};
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::wire::Wire;
use mio::net::{TcpListener, UdpSocket};
use mio::{Poll, Waker};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use wasmlinux_devices::virtio::NetDevice;

/// Connections of the host that may wait until they are taken.
const BACKLOG: i32 = 1024;

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
        let mut io = Io::new(poll.registry().try_clone()?, self.reach, self.told);
        // One at least, for names.
        let udp = (self.share.sockets / 8).clamp(1, UDP_MAX);
        let pings = udp.min(PINGS_MAX);
        let share = Share { sockets: self.share.sockets.saturating_sub(udp + pings), ..self.share };
        let (mut tcp, mut udp) = (Tcp::new(share), Udp::new(udp));
        for (listener, guest) in self.tcp {
            tcp.listen(&mut io, TcpListener::from_std(listener), guest)?;
        }
        for (socket, guest) in self.udp {
            udp.listen(&mut io, UdpSocket::from_std(socket), guest)?;
        }
        let wire = Wire::new(self.device.clone());
        let reactor = Reactor::new(poll, io, wire, (tcp, udp, Icmp::new(pings)));
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
