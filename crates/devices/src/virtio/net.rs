//! The network device: frames between the guest's driver and whatever is at the other end of the wire.
use super::mmio::{Event, INTERRUPT_USED, Transport};
use super::queue::{Broken, Piece, Queue};
use crate::bus::Device;
use crate::{Attendant, GuestMemory, Interrupt};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use wasmlinux_boundary::IRQ_NET;

/// The type of the device, and its features that are used here.
const NETWORK: u32 = 1;
const F_CSUM: u64 = 1 << 0;
const F_GUEST_CSUM: u64 = 1 << 1;
const F_MTU: u64 = 1 << 3;
const F_MAC: u64 = 1 << 5;
const F_MRG_RXBUF: u64 = 1 << 15;

/// What precedes each frame in a buffer, in bytes; a flag in it; where in it the count of buffers is.
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
    /// The guest has no room now; the other end attends when it has.
    Full,
    /// There is no driver that takes it.
    Lost,
}

/// A network device with one pair of queues. The wire's other end is the [`Attendant`] of [`NetDevice::connect_wire`]: it
/// takes frames with [`NetDevice::receive`] and gives frames with [`NetDevice::send`].
///
/// Checksums of TCP and UDP are neither made nor needed: memory does not flip bits.
pub struct NetDevice {
    config: [u8; 12],
    registers: Mutex<Transport<2>>,
    interrupt_status: AtomicU32,
    wired: Mutex<Wired>,
    wire: OnceLock<Weak<dyn Attendant>>,
    /// The last frame found no room.
    full: AtomicBool,
}

/// What moves frames.
#[derive(Default)]
struct Wired {
    connection: Option<(Arc<dyn GuestMemory>, Arc<dyn Interrupt>)>,
    queues: Option<[Queue; 2]>,
    mergeable: bool,
    pieces: Vec<Piece>,
    /// Buffers were given back since the last interrupt.
    dirty: [bool; 2],
}

impl NetDevice {
    /// A device with this address, on a wire that carries packets of up to `mtu` bytes.
    pub fn new(mac: [u8; 6], mtu: u16) -> Arc<NetDevice> {
        let mut config = [0; 12];
        config[..6].copy_from_slice(&mac);
        config[10..].copy_from_slice(&mtu.to_le_bytes());
        let features = F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_MRG_RXBUF;
        Arc::new(NetDevice {
            config,
            registers: Mutex::new(Transport::new(NETWORK, features, QUEUE_SIZE)),
            interrupt_status: AtomicU32::new(0),
            wired: Mutex::default(),
            wire: OnceLock::new(),
            full: AtomicBool::new(false),
        })
    }

    /// Tells the device who is at the other end of the wire, as long as that exists; the first call counts.
    pub fn connect_wire(&self, wire: Weak<dyn Attendant>) {
        let _ = self.wire.set(wire);
    }

    /// Takes a frame that the guest has sent, as long as it fits into `frame`: its length.
    pub fn receive(&self, frame: &mut [u8]) -> Option<usize> {
        let mut wired = self.wired();
        loop {
            match wired.receive(frame) {
                Ok(Some(0)) => {}
                Ok(len) => return len,
                Err(Broken) => {
                    self.broken(wired);
                    return None;
                }
            }
        }
    }

    /// Gives the guest a frame. It learns of it by [`NetDevice::flush`].
    pub fn send(&self, frame: &[u8]) -> Sent {
        let mut wired = self.wired();
        // Before the look, so that buffers that come meanwhile wake this end.
        let before = self.full.swap(true, SeqCst);
        match wired.send(frame) {
            Ok(Sent::Full) => Sent::Full,
            Ok(sent) => {
                self.full.store(false, SeqCst);
                sent
            }
            Err(Broken) => {
                self.full.store(before, SeqCst);
                self.broken(wired);
                Sent::Lost
            }
        }
    }

    /// Tells the guest what was done since the last call, if it wants to know.
    pub fn flush(&self) {
        let mut wired = self.wired();
        if let Some(interrupt) = wired.flush() {
            drop(wired);
            self.interrupt_status.fetch_or(INTERRUPT_USED, SeqCst);
            interrupt.raise(IRQ_NET);
        }
    }

    /// The other end of the wire has failed: the machine ends at once, and this is why.
    pub fn fail(&self, why: String) {
        let interrupt = self.wired().connection.as_ref().map(|(_, interrupt)| interrupt.clone());
        if let Some(interrupt) = interrupt {
            interrupt.fail(why);
        }
    }

    fn wired(&self) -> MutexGuard<'_, Wired> {
        self.wired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registers(&self) -> MutexGuard<'_, Transport<2>> {
        self.registers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self, mut wired: MutexGuard<'_, Wired>) {
        wired.queues = None;
        let interrupt = wired.connection.as_ref().map(|(_, interrupt)| interrupt.clone());
        drop(wired);
        self.registers().needs_reset(&self.interrupt_status);
        if let Some(interrupt) = interrupt {
            interrupt.raise(IRQ_NET);
        }
    }

    /// Whether the other end of the wire has to look at this queue.
    fn notified(&self, queue: u32) -> bool {
        match queue as usize {
            TX => true,
            RX => self.full.load(SeqCst) && self.full.swap(false, SeqCst),
            _ => false,
        }
    }
}

impl Wired {
    /// The length of a frame; 0 for one that is none.
    fn receive(&mut self, frame: &mut [u8]) -> Result<Option<usize>, Broken> {
        let (Some((memory, _)), Some(queues)) = (&self.connection, &mut self.queues) else { return Ok(None) };
        let (memory, queue) = (&**memory, &mut queues[TX]);
        if queue.available(memory)? == 0 {
            return Ok(None);
        }
        let head = queue.take(memory, &mut self.pieces)?;
        let (mut skip, mut len) = (HEADER, 0);
        for piece in &self.pieces {
            if piece.writable {
                return Err(Broken);
            }
            let skipped = skip.min(piece.len as usize);
            skip -= skipped;
            let part = piece.len as usize - skipped;
            let Some(to) = frame.get_mut(len..).and_then(|rest| rest.get_mut(..part)) else {
                len = 0;
                break;
            };
            memory.read(piece.at.checked_add(skipped as u32).ok_or(Broken)?, to).ok_or(Broken)?;
            len += part;
        }
        queue.give(memory, head, 0)?;
        queue.publish(memory)?;
        self.dirty[TX] = true;
        Ok(Some(len))
    }

    fn send(&mut self, frame: &[u8]) -> Result<Sent, Broken> {
        let (Some((memory, _)), Some(queues)) = (&self.connection, &mut self.queues) else { return Ok(Sent::Lost) };
        let (memory, queue) = (&**memory, &mut queues[RX]);
        let available = queue.available(memory)?;
        let mut header = [0; HEADER];
        header[0] = HEADER_DATA_VALID;
        let (mut rest, mut taken, mut first) = (frame, 0, None);
        // Heads and lengths of the buffers that are full; given back when the frame is complete.
        let mut filled = [(0, 0); QUEUE_SIZE as usize];
        while !rest.is_empty() || taken == 0 {
            if taken == available || (taken > 0 && !self.mergeable) {
                queue.put_back(taken);
                return Ok(if taken == available && self.mergeable || taken == 0 { Sent::Full } else { Sent::Lost });
            }
            let head = queue.take(memory, &mut self.pieces)?;
            let mut skip = if taken == 0 { HEADER } else { 0 };
            let mut len = skip;
            for piece in &self.pieces {
                if !piece.writable {
                    return Err(Broken);
                }
                if taken == 0 && first.is_none() {
                    // A driver of today puts the header and what follows into one piece, or the header alone.
                    if piece.len < HEADER as u32 {
                        return Err(Broken);
                    }
                    first = Some(piece.at);
                }
                let skipped = skip.min(piece.len as usize);
                skip -= skipped;
                let part = (piece.len as usize - skipped).min(rest.len());
                memory.write(piece.at.checked_add(skipped as u32).ok_or(Broken)?, &rest[..part]).ok_or(Broken)?;
                rest = &rest[part..];
                len += part;
            }
            filled[usize::from(taken)] = (head, len as u32);
            taken += 1;
        }
        header[HEADER_BUFFERS..].copy_from_slice(&taken.to_le_bytes());
        memory.write(first.ok_or(Broken)?, &header).ok_or(Broken)?;
        for (head, len) in &filled[..usize::from(taken)] {
            queue.give(memory, *head, *len)?;
        }
        queue.publish(memory)?;
        self.dirty[RX] = true;
        Ok(Sent::Yes)
    }

    fn flush(&mut self) -> Option<Arc<dyn Interrupt>> {
        let (Some((memory, interrupt)), Some(queues)) = (&self.connection, &self.queues) else { return None };
        let dirty = std::mem::take(&mut self.dirty);
        let wanted = [RX, TX].into_iter().any(|queue| dirty[queue] && queues[queue].wants_interrupt(&**memory));
        wanted.then(|| interrupt.clone())
    }
}

impl Device for NetDevice {
    fn connect(&self, memory: Arc<dyn GuestMemory>, interrupt: Arc<dyn Interrupt>) {
        self.wired().connection = Some((memory, interrupt));
    }

    fn disconnect(&self) {
        *self.wired() = Wired::default();
    }

    fn read(&self, offset: u32, size: u32) -> u32 {
        self.registers().read(offset, size, &self.interrupt_status, &self.config)
    }

    fn write(&self, offset: u32, _: u32, value: u32) -> bool {
        let mut registers = self.registers();
        match registers.write(offset, value, &self.interrupt_status) {
            Event::Nothing => false,
            Event::Notify(queue) => {
                drop(registers);
                self.notified(queue)
            }
            Event::Reset => {
                drop(registers);
                self.wired().queues = None;
                false
            }
            Event::Ready(features) => {
                let queues = (registers.queue(RX), registers.queue(TX));
                drop(registers);
                let mut wired = self.wired();
                wired.mergeable = features & F_MRG_RXBUF != 0;
                match queues {
                    (Some(Ok(rx)), Some(Ok(tx))) => wired.queues = Some([rx, tx]),
                    _ => self.broken(wired),
                }
                true
            }
        }
    }

    fn attendant(&self) -> Option<Arc<dyn Attendant>> {
        self.wire.get()?.upgrade()
    }
}
