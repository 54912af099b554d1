//! One direction of a stream: a bounded ring of bytes between a side that may block (the host) and
//! one that must not (the guest).
//!
//! A side that finds nothing to do leaves a note, and the other side wakes it when that changes.
//! The guest is woken on every change from empty to not empty and from full to not full besides,
//! since a guest that waits for edges (EPOLLET) leaves no note.
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that a pipe holds: enough for the two sides to work at the same time, little enough to
/// stay in the cache.
pub(crate) const CAPACITY: usize = 256 << 10;

/// Bytes of room that a guest may find too few: it is told when there is more.
const SCARCE: usize = 64;

/// What became of an attempt to move bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// None now: empty or full.
    Again,
    /// The other end is closed: the end of the bytes, or nobody who reads them.
    Closed,
}

/// Whether the other side has to be woken.
pub(crate) type Wake = bool;

#[derive(Default)]
struct State {
    ring: VecDeque<u8>,
    /// Bytes that were ever read.
    read: u64,
    writer_closed: bool,
    reader_closed: bool,
    /// The host thread sleeps on `changed`.
    host_waits: bool,
    /// The guest was told that there is nothing to do.
    guest_waits: bool,
}

impl State {
    fn take(&mut self, buf: &mut [u8]) -> Moved {
        let (front, back) = self.ring.as_slices();
        let first = front.len().min(buf.len());
        let second = back.len().min(buf.len() - first);
        buf[..first].copy_from_slice(&front[..first]);
        buf[first..first + second].copy_from_slice(&back[..second]);
        self.read += (first + second) as u64;
        match first + second {
            0 if self.writer_closed => Moved::Closed,
            0 => Moved::Again,
            // A ring that is emptied starts again at its beginning: in one piece, in memory that is
            // warm.
            n if n == self.ring.len() => {
                self.ring.clear();
                Moved::Bytes(n)
            }
            n => {
                self.ring.drain(..n);
                Moved::Bytes(n)
            }
        }
    }

    fn put(&mut self, buf: &[u8]) -> Moved {
        if self.reader_closed || self.writer_closed {
            return Moved::Closed;
        }
        let n = buf.len().min(CAPACITY - self.ring.len());
        if n == 0 {
            return Moved::Again;
        }
        if self.ring.capacity() < CAPACITY {
            let more = CAPACITY - self.ring.len();
            self.ring.reserve_exact(more);
        }
        self.ring.extend(&buf[..n]);
        Moved::Bytes(n)
    }

    fn readable(&self) -> bool {
        !self.ring.is_empty() || self.writer_closed
    }

    /// Bytes that can be written. A closed pipe takes all, to refuse it.
    fn room(&self) -> usize {
        if self.reader_closed || self.writer_closed { CAPACITY } else { CAPACITY - self.ring.len() }
    }
}

/// One direction.
#[derive(Default)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can leave the ring half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the host thread that waits on this pipe, if one does.
    fn wake_host(&self, mut state: MutexGuard<'_, State>) {
        let waits = std::mem::take(&mut state.host_waits);
        drop(state);
        if waits {
            self.changed.notify_all();
        }
    }

    /// Runs `step` until it has something to do; sleeps in between.
    fn host(&self, mut step: impl FnMut(&mut State) -> Moved) -> (Moved, MutexGuard<'_, State>) {
        let mut state = self.lock();
        loop {
            match step(&mut state) {
                Moved::Again => {
                    state.host_waits = true;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                moved => return (moved, state),
            }
        }
    }

    /// Reads for the host: waits for bytes; 0 is the end.
    pub(crate) fn host_read(&self, buf: &mut [u8]) -> (usize, Wake) {
        if buf.is_empty() {
            return (0, false);
        }
        let mut was_full = false;
        let (moved, mut state) = self.host(|state| {
            was_full = state.ring.len() == CAPACITY;
            state.take(buf)
        });
        match moved {
            Moved::Bytes(n) => (n, std::mem::take(&mut state.guest_waits) || was_full),
            _ => (0, false),
        }
    }

    /// Writes for the host: waits for space; None if nobody will read it.
    pub(crate) fn host_write(&self, buf: &[u8]) -> (Option<usize>, Wake) {
        if buf.is_empty() {
            return (Some(0), false);
        }
        let mut was_empty = false;
        let (moved, mut state) = self.host(|state| {
            was_empty = state.ring.is_empty();
            state.put(buf)
        });
        match moved {
            Moved::Bytes(n) => (Some(n), std::mem::take(&mut state.guest_waits) || was_empty),
            _ => (None, false),
        }
    }

    /// Reads for the guest, at once.
    pub(crate) fn guest_read(&self, buf: &mut [u8]) -> Moved {
        let mut state = self.lock();
        if buf.is_empty() {
            return Moved::Closed;
        }
        let moved = state.take(buf);
        match moved {
            Moved::Again => state.guest_waits = true,
            _ => self.wake_host(state),
        }
        moved
    }

    /// Writes for the guest, at once.
    pub(crate) fn guest_write(&self, buf: &[u8]) -> Moved {
        let mut state = self.lock();
        let moved = state.put(buf);
        match moved {
            Moved::Again => state.guest_waits = true,
            _ => self.wake_host(state),
        }
        moved
    }

    /// For the guest, which reads: (readable, the end is known).
    pub(crate) fn guest_readable(&self) -> (bool, bool) {
        let mut state = self.lock();
        let readable = state.readable();
        state.guest_waits |= !readable;
        (readable, state.writer_closed)
    }

    /// For the guest, which writes: (bytes that can be written, nobody reads).
    pub(crate) fn guest_writable(&self) -> (usize, bool) {
        let mut state = self.lock();
        let room = state.room();
        state.guest_waits |= room < SCARCE;
        (room, state.reader_closed)
    }

    /// All that was written is read, or nobody will read it.
    pub(crate) fn is_read(&self) -> bool {
        let state = self.lock();
        state.ring.is_empty() || state.reader_closed
    }

    /// How many bytes were ever read; None if nobody will read any more.
    pub(crate) fn bytes_read(&self) -> Option<u64> {
        let state = self.lock();
        (!state.reader_closed).then_some(state.read)
    }

    /// No more bytes will be written; what is buffered can still be read.
    pub(crate) fn close_writer(&self) {
        let mut state = self.lock();
        state.writer_closed = true;
        self.wake_host(state);
    }

    /// Nobody will read: what is buffered is dropped.
    pub(crate) fn close_reader(&self) {
        let mut state = self.lock();
        state.reader_closed = true;
        state.ring = VecDeque::new();
        self.wake_host(state);
    }
}
