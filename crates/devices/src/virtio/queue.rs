//! A split virtqueue, from the device's side. The driver, which is the guest, is not trusted: a ring that makes no
//! sense is broken and stays so until the driver resets the device.
use crate::GuestMemory;
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

/// The ring makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// One piece of a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) at: u32,
    pub(crate) len: u32,
    /// The device may write it; else it may read it.
    pub(crate) writable: bool,
}

pub(crate) struct Queue {
    layout: Layout,
    next_available: u16,
    /// What of it is published is for the driver to see.
    next_used: u16,
    published: u16,
}

impl Queue {
    /// A queue whose size and addresses the driver gave.
    pub(crate) fn new(layout: Layout) -> Result<Queue, Broken> {
        let aligned = layout.descriptors.is_multiple_of(16)
            && layout.available.is_multiple_of(2)
            && layout.used.is_multiple_of(4);
        if !layout.size.is_power_of_two() || !aligned {
            return Err(Broken);
        }
        Ok(Queue { layout, next_available: 0, next_used: 0, published: 0 })
    }

    /// Buffers that the driver has made available and that are not taken yet.
    pub(crate) fn available(&self, memory: &dyn GuestMemory) -> Result<u16, Broken> {
        let index = memory.load_u16(self.layout.available.wrapping_add(2)).ok_or(Broken)?;
        let count = index.wrapping_sub(self.next_available);
        if count > self.layout.size { Err(Broken) } else { Ok(count) }
    }

    /// Takes the next available buffer, which must be there: its head, and its pieces into `pieces`.
    pub(crate) fn take(&mut self, memory: &dyn GuestMemory, pieces: &mut Vec<Piece>) -> Result<u16, Broken> {
        let slot = self.next_available % self.layout.size;
        let head = memory.load_u16(self.layout.available.wrapping_add(4 + 2 * u32::from(slot))).ok_or(Broken)?;
        pieces.clear();
        let mut index = head;
        loop {
            // As many descriptors as there are: more would be a loop.
            if index >= self.layout.size || pieces.len() == usize::from(self.layout.size) {
                return Err(Broken);
            }
            let mut raw = [0; 16];
            memory.read(self.layout.descriptors.wrapping_add(16 * u32::from(index)), &mut raw).ok_or(Broken)?;
            let [a0, a1, a2, a3, 0, 0, 0, 0, l0, l1, l2, l3, f0, f1, n0, n1] = raw else { return Err(Broken) };
            let flags = u16::from_le_bytes([f0, f1]);
            pieces.push(Piece {
                at: u32::from_le_bytes([a0, a1, a2, a3]),
                len: u32::from_le_bytes([l0, l1, l2, l3]),
                writable: flags & DESC_WRITE != 0,
            });
            if flags & DESC_NEXT == 0 {
                break;
            }
            index = u16::from_le_bytes([n0, n1]);
        }
        self.next_available = self.next_available.wrapping_add(1);
        Ok(head)
    }

    /// Puts the last `count` buffers back that were taken and not used.
    pub(crate) fn put_back(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_sub(count);
    }

    /// Gives a buffer back with `len` bytes written. The driver sees it after [`Queue::publish`].
    pub(crate) fn give(&mut self, memory: &dyn GuestMemory, head: u16, len: u32) -> Result<(), Broken> {
        let slot = u32::from(self.next_used % self.layout.size);
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        entry[4..].copy_from_slice(&len.to_le_bytes());
        memory.write(self.layout.used.wrapping_add(4 + 8 * slot), &entry).ok_or(Broken)?;
        self.next_used = self.next_used.wrapping_add(1);
        Ok(())
    }

    /// Lets the driver see what was given back.
    pub(crate) fn publish(&mut self, memory: &dyn GuestMemory) -> Result<(), Broken> {
        if self.published != self.next_used {
            memory.store_u16(self.layout.used.wrapping_add(2), self.next_used).ok_or(Broken)?;
            self.published = self.next_used;
        }
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was published.
    pub(crate) fn wants_interrupt(&self, memory: &dyn GuestMemory) -> bool {
        // The driver sets the flag, then looks at the index once more: the other way round here.
        fence(SeqCst);
        memory.load_u16(self.layout.available).is_none_or(|flags| flags & AVAIL_NO_INTERRUPT == 0)
    }
}
