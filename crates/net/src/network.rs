//! A network from its ports to its thread.
use crate::Error;
use crate::address::{GUEST_MAC, MTU};
use crate::backend::Running;
use crate::dial::Dialer;
use crate::host::{Io, Share};
use crate::icmp::Icmp;
use crate::publish::{Protocol, Publish};
use crate::reactor::{Reactor, WAKER};
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::wire::Wire;
use mio::net::{TcpListener, UdpSocket};
use mio::{Poll, Waker};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    ports: Ports,
    dialer: Box<dyn Dialer>,
    reaches_host: bool,
}

/// Ports of this host that will lead to the guest: open, with nobody who takes connections yet.
#[derive(Debug, Default)]
pub struct Ports {
    tcp: Vec<(std::net::TcpListener, u16)>,
    udp: Vec<(std::net::UdpSocket, u16)>,
    published: Vec<Publish>,
}

impl Ports {
    /// Opens them.
    ///
    /// # Errors
    /// [`Error::Listen`] for the first that cannot be opened.
    pub fn open(publish: &[Publish]) -> Result<Ports, Error> {
        let mut ports = Ports::default();
        for one in publish {
            let listen = |error| Error::Listen { address: one.host, protocol: one.protocol, error };
            let kind = if one.protocol == Protocol::Tcp { Type::STREAM } else { Type::DGRAM };
            let (socket, host) = open(one.host, kind).map_err(listen)?;
            ports.published.push(Publish { host, ..*one });
            ports.add(one.protocol, socket.into(), one.guest);
        }
        Ok(ports)
    }

    /// Adds one that was opened elsewhere.
    pub fn add(&mut self, protocol: Protocol, socket: OwnedFd, guest: u16) {
        match protocol {
            Protocol::Tcp => self.tcp.push((socket.into(), guest)),
            Protocol::Udp => self.udp.push((socket.into(), guest)),
        }
    }

    /// Their sockets, and the guest's port of each.
    pub fn sockets(&self) -> impl Iterator<Item = (Protocol, BorrowedFd<'_>, u16)> {
        let tcp = self.tcp.iter().map(|(socket, guest)| (Protocol::Tcp, socket.as_fd(), *guest));
        tcp.chain(self.udp.iter().map(|(socket, guest)| (Protocol::Udp, socket.as_fd(), *guest)))
    }

    /// What is published, with the ports that the host has chosen.
    pub fn published(&self) -> &[Publish] {
        &self.published
    }
}

impl Network {
    /// A network with these ports, whose connections to the outside are made by `dialer`. The name
    /// of this host is known to the guest if it `reaches_host`.
    pub fn new(ports: Ports, dialer: Box<dyn Dialer>, reaches_host: bool, share: Share) -> Network {
        Network { device: NetDevice::new(GUEST_MAC, MTU), share, ports, dialer, reaches_host }
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
        let mut io = Io::new(poll.registry().try_clone()?, self.dialer, self.reaches_host);
        // One at least, for names.
        let udp = (self.share.sockets / 8).clamp(1, UDP_MAX);
        let pings = udp.min(PINGS_MAX);
        let share = Share { sockets: self.share.sockets.saturating_sub(udp + pings), ..self.share };
        let (mut tcp, mut udp) = (Tcp::new(share), Udp::new(udp));
        for (listener, guest) in self.ports.tcp {
            tcp.listen(&mut io, TcpListener::from_std(listener), guest)?;
        }
        for (socket, guest) in self.ports.udp {
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
