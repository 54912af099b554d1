//! What the protocols need of the host: sockets that tell when they are ready, the time, random
//! numbers, and where a packet may go.
use crate::dial::{Denied, Dialer};
use mio::event::Source;
use mio::{Interest, Registry, Token};
use smoltcp::time::Instant;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

/// What a token belongs to: its two lowest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connection of TCP.
    Tcp = 0,
    /// A flow of UDP.
    Udp = 1,
    /// Echo requests.
    Icmp = 2,
}

/// The first address of a kind that the guest was kept from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the guest was kept from {address}: --network user,{word} would allow it")]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// The word of `--network` that would have allowed it.
    pub word: &'static str,
}

/// What the guest was kept from, one of each kind.
pub type Refusals = Arc<Mutex<Vec<Refused>>>;

/// What protocols need.
pub(crate) struct Io {
    registry: Registry,
    next: usize,
    epoch: std::time::Instant,
    now: Instant,
    random: RandomState,
    again: Vec<Token>,
    dialer: Box<dyn Dialer>,
    reaches_host: bool,
}

impl Io {
    pub(crate) fn new(registry: Registry, dialer: Box<dyn Dialer>, reaches_host: bool) -> Io {
        Io {
            registry,
            next: 0,
            epoch: std::time::Instant::now(),
            now: Instant::ZERO,
            random: RandomState::new(),
            again: vec![],
            dialer,
            reaches_host,
        }
    }

    /// A socket that is connected, or being connected, to where a packet of the guest to this
    /// address is to go.
    pub(crate) fn dial(&mut self, kind: Kind, to: SocketAddr) -> Result<OwnedFd, Denied> {
        self.dialer.dial(kind, to)
    }

    /// Whether the guest may reach this host.
    pub(crate) fn reaches_host(&self) -> bool {
        self.reaches_host
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

    /// Whether something is to be looked at once more.
    pub(crate) fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    pub(crate) fn take_again(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.again)
    }

    /// The time of this turn.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// A turn begins.
    pub(crate) fn tick(&mut self) {
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
