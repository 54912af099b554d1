//! A user-mode network: at the other end of the guest's wire there is no network, but a translator.
//! It plays the gateway and every remote host, and turns the guest's connections into sockets of
//! this process, and published ports of the host into connections to the guest. No privileges, no
//! packets on the host's network that an ordinary program could not send.
//!
//! ```text
//!  guest ── virtio-net ── wire.rs ─┬─ tcp.rs   a flow: smoltcp's TCP on the guest's side, a socket on the host's
//!                                  ├─ udp.rs   a flow: a socket, datagrams both ways
//!                                  ├─ icmp.rs  echo: answered for the gateway, by a ping socket for others
//!                                  └─ link.rs  ARP, neighbour discovery, DHCP
//!  network.rs  opens the ports and starts it      backend.rs  which thread does the work
//!  reactor.rs  the turns in which it is done      host.rs     what the protocols need for it
//!  address.rs  who has which address      publish.rs  `-p`      reach.rs  what the guest may reach
//! ```
//! Ports are published as docker has it; [`Ports::open`] opens them. A [`Dialer`] makes the sockets
//! to the outside, and the network's device is plugged into a machine before [`Network::start`]:
//!
//! ```
//! use wasmlinux_net::{Local, Network, Ports, Publish, Reach, Share};
//!
//! let ports = Ports::open(&Publish::parse("127.0.0.1:0:80/tcp")?)?;
//! assert_eq!(ports.published()[0].guest, 80);
//! assert_ne!(ports.published()[0].host.port(), 0, "the host has chosen one");
//! let (reach, share) = (Reach::default(), Share { sockets: 64, buffers: 1 << 20 });
//! let network = Network::new(ports, Box::new(Local::new(reach)), reach.host, share);
//! let device = network.device();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Arrows of imports: network → backend → reactor → the protocols → host, wire, packet → the rest.
#![forbid(unsafe_code)]

mod address;
mod backend;
mod dial;
#[doc(hidden)]
pub mod fuzz;
mod host;
mod icmp;
mod link;
mod names;
mod network;
mod packet;
mod publish;
mod reach;
mod reactor;
mod resolver;
mod tcp;
mod udp;
mod wire;

pub use backend::Running;
pub use dial::{Denied, Dialer, Local, Remote, serve};
pub use host::{Kind, Refusals, Refused, Share};
pub use network::{Network, Ports};
pub use publish::{Protocol, Publish, PublishError};
pub use reach::{Kept, Reach};

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port of the host could not be opened.
    #[error("cannot listen on {address}/{protocol}: {}", reason(.error))]
    Listen {
        /// The host's address and port.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: Protocol,
        /// The host's reason.
        #[source]
        error: io::Error,
    },
    /// The host refused what the network's thread needs.
    #[error("the network cannot be started")]
    Start(#[from] io::Error),
}

/// What to do about it, too.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; publish another one".into(),
        io::ErrorKind::PermissionDenied => "not permitted; publish a port from 1024 on".into(),
        io::ErrorKind::AddrNotAvailable => "this host does not have that address".into(),
        _ => error.to_string(),
    }
}

/// The gateway's addresses in the guest, which stand for the host.
pub const GATEWAY: [IpAddr; 2] = [IpAddr::V4(address::GATEWAY), IpAddr::V6(address::GATEWAY6)];
