//! The network device: frames between the guest's driver and whatever is at the other end of the
//! wire.
use super::queue::{Batch, Broken};
use super::{Device, Queues, copy_config};
use crate::{Backend, Panic};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};

/// The type of the device, and its features that are used here.
const NETWORK: u32 = 1;
const F_CSUM: u64 = 1 << 0;
const F_GUEST_CSUM: u64 = 1 << 1;
const F_MTU: u64 = 1 << 3;
const F_MAC: u64 = 1 << 5;
const F_MRG_RXBUF: u64 = 1 << 15;

/// What precedes each frame in a buffer, in bytes; a flag in it; where in it the count of buffers
/// is.
const HEADER: usize = 12;
const HEADER_DATA_VALID: u8 = 2;
const HEADER_BUFFERS: usize = 10;

const RX: usize = 0;
const TX: usize = 1;
const QUEUE_SIZE: u16 = 128;

/// What became of a frame for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the guest's memory.
    Yes,
    /// The guest has no room now; the backend is polled when it has.
    Full,
    /// There is no driver that takes it.
    Lost,
}

/// A network device with one pair of queues. Its [`Backend`] takes frames with
/// [`NetDevice::receive`] and gives frames with [`NetDevice::send`], from any thread, one at a
/// time.
///
/// Checksums of TCP and UDP are neither made nor needed: memory does not flip bits.
pub struct NetDevice {
    config: [u8; 12],
    queues: Queues,
    backend: OnceLock<Weak<dyn Backend>>,
    /// The last frame found no room.
    full: AtomicBool,
}

impl NetDevice {
    /// A device with this address, on a wire that carries packets of up to `mtu` bytes.
    pub fn new(mac: [u8; 6], mtu: u16) -> Arc<NetDevice> {
        let mut config = [0; 12];
        config[..6].copy_from_slice(&mac);
        config[10..].copy_from_slice(&mtu.to_le_bytes());
        Arc::new(NetDevice {
            config,
            queues: Queues::new(&[QUEUE_SIZE; 2]),
            backend: OnceLock::new(),
            full: AtomicBool::new(false),
        })
    }

    /// Tells the device who is at the other end of the wire, as long as that exists; the first call
    /// counts.
    pub fn set_backend(&self, backend: Weak<dyn Backend>) {
        let _ = self.backend.set(backend);
    }

    /// Takes a frame that the guest has sent: its length, which is 0 if it does not fit into
    /// `frame`. None if there is no more.
    pub fn receive(&self, frame: &mut [u8]) -> Option<usize> {
        let received = self.queues.with(TX, |queue| {
            let Some(mut chain) = queue.pop()? else { return Ok(None) };
            if chain.is_writable() {
                return Err(Broken);
            }
            let mut len = 0;
            if chain.readable() <= (HEADER + frame.len()) as u64 {
                queue.read(&mut chain, &mut [0; HEADER])?;
                len = queue.read(&mut chain, frame)?;
            }
            queue.push(chain)?;
            Ok(Some(len))
        });
        received.flatten()
    }

    /// Gives the guest a frame. It learns of it by [`NetDevice::flush`].
    pub fn send(&self, frame: &[u8]) -> Sent {
        let sent = self.queues.with(RX, |queue| {
            // Before the look, so that buffers that come meanwhile wake the backend.
            self.full.store(true, SeqCst);
            let most = if queue.features() & F_MRG_RXBUF != 0 { queue.size() } else { 1 };
            let mut chains = match queue.pop_batch(HEADER + frame.len(), most)? {
                Batch::Taken(chains) => chains,
                Batch::Wait => return Ok(Sent::Full),
                Batch::TooSmall => {
                    self.full.store(false, SeqCst);
                    return Ok(Sent::Lost);
                }
            };
            self.full.store(false, SeqCst);
            let mut header = [0; HEADER];
            header[0] = HEADER_DATA_VALID;
            header[HEADER_BUFFERS..].copy_from_slice(&(chains.len() as u16).to_le_bytes());
            let (mut header, mut rest) = (&header[..], frame);
            for chain in &mut chains {
                // The guest is told of what was written: one that is to be read has no room.
                if !chain.is_writable() || chain.readable() > 0 {
                    return Err(Broken);
                }
                header = &header[queue.write(chain, header)?..];
                if header.is_empty() {
                    rest = &rest[queue.write(chain, rest)?..];
                }
            }
            queue.push_batch(chains)?;
            Ok(Sent::Yes)
        });
        sent.unwrap_or(Sent::Lost)
    }

    /// Tells the guest what was done since the last call, if it wants to know.
    pub fn flush(&self) {
        self.queues.signal();
    }

    /// The code at the other end of the wire has panicked: the machine ends at once.
    pub fn fail(&self, why: Panic) {
        self.queues.fail(why);
    }
}

impl Device for NetDevice {
    fn id(&self) -> u32 {
        NETWORK
    }

    fn queues(&self) -> &Queues {
        &self.queues
    }

    fn features(&self) -> u64 {
        F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_MRG_RXBUF
    }

    fn read_config(&self, offset: usize, to: &mut [u8]) {
        copy_config(&self.config, offset, to);
    }

    fn ready(&self, _: u64) -> bool {
        true
    }

    fn notified(&self, queue: usize) -> bool {
        match queue {
            TX => true,
            RX => self.full.load(SeqCst) && self.full.swap(false, SeqCst),
            _ => false,
        }
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        self.backend.get()?.upgrade()
    }
}
