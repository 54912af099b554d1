//! Makes the sockets for what the guest wants to reach, after asking what it may: in this process
//! ([`Local`]), or for a machine in a process of its own, which can make none ([`Remote`], served
//! by [`serve`]). The address is the guest's: what it stands for and whether it is allowed is
//! decided where the socket is made.
use crate::address;
use crate::host::{Kind, Refusals, Refused};
use crate::reach::{Kept, Reach};
use crate::resolver;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;
use wasmlinux_boundary::{Message, Received};
use wasmlinux_devices::Channel;

/// Why there is no socket.
#[derive(Debug)]
pub enum Denied {
    /// The address is not for the guest.
    Kept(Kept),
    /// The host's reason.
    Io(io::Error),
}

impl From<io::Error> for Denied {
    fn from(error: io::Error) -> Denied {
        Denied::Io(error)
    }
}

impl From<Denied> for io::Error {
    fn from(denied: Denied) -> io::Error {
        match denied {
            Denied::Kept(Kept::Nowhere) => io::ErrorKind::HostUnreachable.into(),
            Denied::Kept(Kept::Prohibited(_)) => io::ErrorKind::PermissionDenied.into(),
            Denied::Io(error) => error,
        }
    }
}

/// Makes sockets to the outside.
pub trait Dialer: Send {
    /// A socket that does not block and is connected, or being connected, to what this address of
    /// the guest's network stands for.
    ///
    /// # Errors
    /// See [`Denied`].
    fn dial(&self, kind: Kind, to: SocketAddr) -> Result<OwnedFd, Denied>;
}

/// Makes them in this process.
#[derive(Debug, Clone, Default)]
pub struct Local {
    reach: Reach,
    told: Refusals,
    /// Where everything goes, for tests.
    only: Option<SocketAddr>,
}

impl Local {
    /// The guest will reach the outside, and what `reach` says.
    pub fn new(reach: Reach) -> Local {
        Local { reach, ..Local::default() }
    }

    /// Whatever the guest would reach outside is this: for tests, which send nothing to anybody.
    pub(crate) fn leading_to(mut self, only: SocketAddr) -> Local {
        self.only = Some(only);
        self
    }

    /// What the guest was kept from, from now on.
    pub fn refusals(&self) -> Refusals {
        self.told.clone()
    }

    /// Where a packet of the guest to this address is to go. What the user has not allowed is told.
    fn outside(&self, to: SocketAddr) -> Result<SocketAddr, Kept> {
        let result = address::outside(to, self.reach, resolver::server);
        if let Err(Kept::Prohibited(word)) = result {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.iter().all(|refused| refused.word != word) {
                let refused = Refused { address: to.ip(), word };
                tracing::info!("{refused}");
                told.push(refused);
            }
        }
        self.only.map_or(result, |only| result.map(|_| only))
    }
}

impl Dialer for Local {
    fn dial(&self, kind: Kind, to: SocketAddr) -> Result<OwnedFd, Denied> {
        let to = self.outside(to).map_err(Denied::Kept)?;
        Ok(match kind {
            Kind::Tcp => mio::net::TcpStream::connect(to)?.into(),
            Kind::Udp => {
                let any: IpAddr =
                    if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                socket.set_nonblocking(true)?;
                socket.connect(to)?;
                socket.into()
            }
            Kind::Icmp => {
                let protocol = if to.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
                let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(protocol))?;
                socket.set_nonblocking(true)?;
                socket.connect(&to.into())?;
                socket.into()
            }
        })
    }
}

/// Messages: what is asked is of the kind of the socket, with the address; the answer is one of
/// these.
const MADE: u32 = 16;
const NOWHERE: u32 = 17;
const PROHIBITED: u32 = 18;
const FAILED: u32 = 19;
/// Sixteen bytes of address in words, and the port; IPv4 has one word.
const FIELD_ADDRESS: u32 = 1;
const FIELD_PORT: u32 = 2;
/// Of [`PROHIBITED`], which of [`WORDS`]; of [`FAILED`], the host's error.
const FIELD_WHY: u32 = 3;
/// The words of `--network`.
const WORDS: [&str; 3] = ["host", "private", "link-local"];

/// Asks another process for them.
#[derive(Debug)]
pub struct Remote(pub Channel);

impl Dialer for Remote {
    fn dial(&self, kind: Kind, to: SocketAddr) -> Result<OwnedFd, Denied> {
        let mut message = Message::new(kind as u32, 0);
        match to.ip() {
            IpAddr::V4(four) => message.words(FIELD_ADDRESS, &[four.to_bits()]),
            IpAddr::V6(six) => {
                let bits = six.to_bits();
                message.words(FIELD_ADDRESS, &[96, 64, 32, 0].map(|shift| (bits >> shift) as u32))
            }
        };
        message.words(FIELD_PORT, &[to.port().into()]);
        let (answer, socket) = self.0.ask(message, None)?;
        let why = answer.words(FIELD_WHY).map_or(0, |[why]| why);
        Err(match (answer.kind, socket) {
            (MADE, Some(socket)) => return Ok(socket),
            (NOWHERE, _) => Denied::Kept(Kept::Nowhere),
            (PROHIBITED, _) => Denied::Kept(Kept::Prohibited(WORDS.get(why as usize).unwrap_or(&WORDS[0]))),
            _ => io::Error::from_raw_os_error(why as i32).into(),
        })
    }
}

/// Makes the sockets that another process asks for, until that one is gone.
pub fn serve(channel: &Channel, local: &Local) {
    while let Ok(Some((asked, _))) = channel.receive() {
        let made = request(&asked).ok_or(Denied::Kept(Kept::Nowhere)).and_then(|(kind, to)| local.dial(kind, to));
        let (kind, why) = match &made {
            Ok(_) => (MADE, 0),
            Err(Denied::Kept(Kept::Nowhere)) => (NOWHERE, 0),
            Err(Denied::Kept(Kept::Prohibited(word))) => {
                (PROHIBITED, WORDS.iter().position(|known| known == word).unwrap_or(0) as u32)
            }
            Err(Denied::Io(error)) => (FAILED, error.raw_os_error().unwrap_or(0) as u32),
        };
        let mut answer = Message::new(kind, 0);
        answer.words(FIELD_WHY, &[why]);
        if channel.send(answer, made.as_ref().ok().map(AsFd::as_fd)).is_err() {
            return;
        }
    }
}

fn request(asked: &Received) -> Option<(Kind, SocketAddr)> {
    let kind = [Kind::Tcp, Kind::Udp, Kind::Icmp].into_iter().find(|kind| *kind as u32 == asked.kind)?;
    let ip: IpAddr = match asked.words(FIELD_ADDRESS) {
        Ok([four]) => Ipv4Addr::from_bits(four).into(),
        Err(_) => {
            let words: [u32; 4] = asked.words(FIELD_ADDRESS).ok()?;
            Ipv6Addr::from_bits(words.into_iter().fold(0, |bits, word| bits << 32 | u128::from(word))).into()
        }
    };
    let [port] = asked.words(FIELD_PORT).ok()?;
    Some((kind, SocketAddr::new(ip, port.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_asked() {
        let (ours, theirs) = Channel::pair().unwrap();
        let local = Local::new(Reach { host: true, ..Reach::default() });
        let told = local.refusals();
        let server = std::thread::spawn(move || serve(&ours, &local));
        let remote = Remote(theirs);
        let listener = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // The gateway's address stands for this host.
        let to = |ip: &str| SocketAddr::new(ip.parse().unwrap(), listener.local_addr().unwrap().port());
        let socket = UdpSocket::from(remote.dial(Kind::Udp, to("10.0.2.2")).unwrap());
        socket.send(b"x").unwrap();
        assert_eq!(listener.recv(&mut [0; 8]).unwrap(), 1);
        let denied = |ip| remote.dial(Kind::Tcp, to(ip)).unwrap_err();
        assert!(matches!(denied("127.0.0.1"), Denied::Kept(Kept::Nowhere)));
        assert!(matches!(denied("169.254.169.254"), Denied::Kept(Kept::Prohibited("link-local"))));
        assert!(matches!(denied("fc00::1"), Denied::Kept(Kept::Prohibited("private"))));
        assert_eq!(told.lock().unwrap().len(), 2);
        drop(remote);
        server.join().unwrap();
    }
}
