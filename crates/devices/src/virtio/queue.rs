//! A split virtqueue, from the device's side. The driver, which is the guest, is not trusted, and
//! changes its memory whenever it likes: each number is read once, and checked as it was read.
use crate::GuestMemory;
use std::sync::Arc;
use std::sync::atomic::{Ordering::SeqCst, fence};

/// Descriptor flags, and the flag by which the driver asks for no interrupt.
const DESC_NEXT: u16 = 1;
const DESC_WRITE: u16 = 2;
const AVAIL_NO_INTERRUPT: u16 = 1;

/// Where a queue lies in memory; physical addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Layout {
    pub(crate) size: u16,
    pub(crate) descriptors: u32,
    pub(crate) available: u32,
    pub(crate) used: u32,
}

impl Layout {
    fn is_valid(&self) -> bool {
        let size = u32::from(self.size);
        let ring = |at: u32, align: u32, len: u32| at.is_multiple_of(align) && at.checked_add(len).is_some();
        self.size.is_power_of_two()
            && ring(self.descriptors, 16, 16 * size)
            && ring(self.available, 2, 6 + 2 * size)
            && ring(self.used, 4, 6 + 8 * size)
    }
}

/// The ring makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// A piece of guest memory.
#[derive(Debug, Clone, Copy)]
struct Piece {
    at: u32,
    len: u32,
}

/// How far a chain was read, or written.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    piece: usize,
    offset: u32,
}

/// A buffer of the driver: a chain of descriptors, first those that the device reads, then those
/// that it writes. What was taken is given back by [`Queue::push`]; one that is dropped is lost to
/// the driver.
#[derive(Debug)]
pub struct Chain {
    head: u16,
    /// Of which life of the queue it is.
    generation: u32,
    pieces: Vec<Piece>,
    /// How many pieces are for reading.
    readable: usize,
    read: Cursor,
    write: Cursor,
    written: u32,
}

impl Chain {
    /// Bytes for the device to read, read or not. Nobody has looked whether they lie in memory.
    pub fn readable(&self) -> u64 {
        self.pieces[..self.readable].iter().map(|piece| u64::from(piece.len)).sum()
    }

    /// Bytes of room for the device to write, written or not. Nobody has looked whether they lie in
    /// memory.
    pub fn writable(&self) -> u64 {
        self.pieces[self.readable..].iter().map(|piece| u64::from(piece.len)).sum()
    }

    /// Whether there is anything for the device to write.
    pub fn is_writable(&self) -> bool {
        self.readable < self.pieces.len()
    }
}

/// What became of [`Queue::pop_batch`].
pub(crate) enum Batch {
    Taken(Vec<Chain>),
    /// The driver has not made so much available.
    Wait,
    /// So many chains are too small.
    TooSmall,
}

/// A virtqueue that the driver has set up.
pub struct Queue {
    memory: Arc<dyn GuestMemory>,
    layout: Layout,
    features: u64,
    generation: u32,
    next_available: u16,
    /// What of it is published is for the driver to see.
    next_used: u16,
    published: u16,
    /// Chains taken and not given back.
    in_flight: u16,
    /// Chains were given back since the driver was told.
    unsignalled: bool,
    /// What chains have left, for the next: nothing is allocated for a buffer.
    spare: Vec<Vec<Piece>>,
    batch: Vec<Chain>,
}

impl Queue {
    /// A queue whose size and addresses the driver gave.
    pub(crate) fn new(
        memory: Arc<dyn GuestMemory>,
        layout: Layout,
        features: u64,
        generation: u32,
    ) -> Result<Queue, Broken> {
        if !layout.is_valid() {
            return Err(Broken);
        }
        Ok(Queue {
            memory,
            layout,
            features,
            generation,
            next_available: 0,
            next_used: 0,
            published: 0,
            in_flight: 0,
            unsignalled: false,
            spare: vec![],
            batch: vec![],
        })
    }

    /// The features that the driver has accepted.
    pub fn features(&self) -> u64 {
        self.features
    }

    /// Descriptors of the queue; a chain has as many at most.
    pub fn size(&self) -> u16 {
        self.layout.size
    }

    /// Chains that the driver has made available and that are not taken yet.
    ///
    /// # Errors
    /// [`Broken`] if there would be more than the driver has.
    pub fn available(&self) -> Result<u16, Broken> {
        let index = self.memory.load_u16(self.layout.available + 2).ok_or(Broken)?;
        let count = index.wrapping_sub(self.next_available);
        if count > self.layout.size - self.in_flight { Err(Broken) } else { Ok(count) }
    }

    /// Takes the next chain; None if the driver has made none available.
    ///
    /// # Errors
    /// [`Broken`], for [`Queues::with`](super::Queues::with) to act on.
    pub fn pop(&mut self) -> Result<Option<Chain>, Broken> {
        if self.available()? == 0 { Ok(None) } else { self.take().map(Some) }
    }

    /// Takes chains until they have room for `len` bytes, at most `most`; or none.
    pub(crate) fn pop_batch(&mut self, len: usize, most: u16) -> Result<Batch, Broken> {
        let available = self.available()?;
        let mut chains = std::mem::take(&mut self.batch);
        let mut room = 0;
        loop {
            let taken = chains.len() as u16;
            if taken > 0 && room >= len as u64 {
                return Ok(Batch::Taken(chains));
            }
            if taken == available || taken == most {
                while let Some(chain) = chains.pop() {
                    self.put_back(chain);
                }
                self.batch = chains;
                return Ok(if taken == most { Batch::TooSmall } else { Batch::Wait });
            }
            let chain = self.take()?;
            room += chain.writable();
            chains.push(chain);
        }
    }

    /// Takes the next chain, which must be there.
    fn take(&mut self) -> Result<Chain, Broken> {
        let slot = u32::from(self.next_available % self.layout.size);
        let head = self.memory.load_u16(self.layout.available + 4 + 2 * slot).ok_or(Broken)?;
        let mut pieces = self.spare.pop().unwrap_or_default();
        pieces.clear();
        let (mut index, mut readable) = (head, 0);
        loop {
            // As many descriptors as there are: more would be a loop.
            if index >= self.layout.size || pieces.len() == usize::from(self.layout.size) {
                return Err(Broken);
            }
            let mut raw = [0; 16];
            self.memory.read(self.layout.descriptors + 16 * u32::from(index), &mut raw).ok_or(Broken)?;
            let [a0, a1, a2, a3, 0, 0, 0, 0, l0, l1, l2, l3, f0, f1, n0, n1] = raw else { return Err(Broken) };
            let flags = u16::from_le_bytes([f0, f1]);
            if flags & DESC_WRITE == 0 {
                if readable < pieces.len() {
                    return Err(Broken);
                }
                readable += 1;
            }
            let (at, len) = (u32::from_le_bytes([a0, a1, a2, a3]), u32::from_le_bytes([l0, l1, l2, l3]));
            // Memory ends below 4 GiB.
            at.checked_add(len).ok_or(Broken)?;
            pieces.push(Piece { at, len });
            if flags & DESC_NEXT == 0 {
                break;
            }
            index = u16::from_le_bytes([n0, n1]);
        }
        self.next_available = self.next_available.wrapping_add(1);
        self.in_flight += 1;
        let (read, write) = (Cursor::default(), Cursor { piece: readable, offset: 0 });
        Ok(Chain { head, generation: self.generation, pieces, readable, read, write, written: 0 })
    }

    /// Puts the chain back that was taken last and has not been used.
    pub(crate) fn put_back(&mut self, chain: Chain) {
        self.next_available = self.next_available.wrapping_sub(1);
        self.in_flight -= 1;
        self.spare.push(chain.pieces);
    }

    /// Reads on in the chain: so many bytes as there are, and as `to` takes.
    ///
    /// # Errors
    /// [`Broken`] if they are not all memory.
    pub fn read(&self, chain: &mut Chain, to: &mut [u8]) -> Result<usize, Broken> {
        let pieces = if chain.generation == self.generation { &chain.pieces[..chain.readable] } else { &[] };
        walk(pieces, &mut chain.read, to.len(), |at, from, len| self.memory.read(at, &mut to[from..from + len]))
    }

    /// Writes on in the chain: so many bytes as there is room for, and as `from` has.
    ///
    /// # Errors
    /// [`Broken`] if they are not all memory.
    pub fn write(&self, chain: &mut Chain, from: &[u8]) -> Result<usize, Broken> {
        let pieces = if chain.generation == self.generation { &chain.pieces[..] } else { &[] };
        let len = walk(pieces, &mut chain.write, from.len(), |at, begin, len| {
            self.memory.write(at, &from[begin..begin + len])
        })?;
        chain.written = chain.written.saturating_add(len as u32);
        Ok(len)
    }

    /// Gives a chain back. [`Queues::signal`](super::Queues::signal) tells the driver. One from
    /// before the driver's last reset is dropped.
    ///
    /// # Errors
    /// [`Broken`] if the ring is not in memory.
    pub fn push(&mut self, chain: Chain) -> Result<(), Broken> {
        if chain.generation != self.generation {
            return Ok(());
        }
        self.give(chain)?;
        self.publish()
    }

    /// Gives chains back, which the driver sees at once.
    pub(crate) fn push_batch(&mut self, mut chains: Vec<Chain>) -> Result<(), Broken> {
        for chain in chains.drain(..) {
            self.give(chain)?;
        }
        self.batch = chains;
        self.publish()
    }

    fn give(&mut self, chain: Chain) -> Result<(), Broken> {
        let slot = u32::from(self.next_used % self.layout.size);
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&u32::from(chain.head).to_le_bytes());
        entry[4..].copy_from_slice(&chain.written.to_le_bytes());
        self.memory.write(self.layout.used + 4 + 8 * slot, &entry).ok_or(Broken)?;
        self.next_used = self.next_used.wrapping_add(1);
        self.in_flight -= 1;
        self.spare.push(chain.pieces);
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Broken> {
        if self.published != self.next_used {
            self.memory.store_u16(self.layout.used + 2, self.next_used).ok_or(Broken)?;
            self.published = self.next_used;
            self.unsignalled = true;
        }
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was given back since the last call.
    pub(crate) fn take_signal(&mut self) -> bool {
        if !std::mem::take(&mut self.unsignalled) {
            return false;
        }
        // The driver sets the flag, then looks at the index once more: the other way round here.
        fence(SeqCst);
        self.memory.load_u16(self.layout.available).is_none_or(|flags| flags & AVAIL_NO_INTERRUPT == 0)
    }
}

/// Moves on by at most `len` bytes, and calls `copy` for each part: where it is in the guest, where
/// in the buffer, its length.
fn walk(
    pieces: &[Piece],
    cursor: &mut Cursor,
    len: usize,
    mut copy: impl FnMut(u32, usize, usize) -> Option<()>,
) -> Result<usize, Broken> {
    let mut done = 0;
    while done < len
        && let Some(piece) = pieces.get(cursor.piece)
    {
        let part = ((piece.len - cursor.offset) as usize).min(len - done);
        // In 32 bits, as it was when the chain was taken.
        copy(piece.at + cursor.offset, done, part).ok_or(Broken)?;
        done += part;
        cursor.offset += part as u32;
        if cursor.offset == piece.len {
            *cursor = Cursor { piece: cursor.piece + 1, offset: 0 };
        }
    }
    Ok(done)
}
