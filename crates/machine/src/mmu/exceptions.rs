//! The heap in which a program's exceptions lie: one for each Store whose program throws.
//!
//! The engine's own collectors find references by stack maps, which exist for calls only. Here a
//! program is interrupted between any two instructions, and a handler that throws may run on top: a
//! collection would free what the interrupted function holds. So the engine is given the collector
//! that never collects (it puts one exception behind the other and never looks back), and memory
//! comes back in another way:
//! - Only a chunk of the heap that is *open* has memory. The first write to another one is a fault,
//!   which opens it (`trap/`).
//! - Every so often that fault first closes the chunks to which nothing on the task's stack points.
//!   All registers of an interrupted function are on that stack, in the host's signal frame, so
//!   nothing is overlooked; a number that looks like a reference keeps a chunk for longer, at
//!   worst.
//! - References are nowhere else: `crates/module` lets none into globals, tables or parameters of
//!   exceptions, and other tasks have other Stores.
//! - What is open at most is bounded; a program that needs more ends by a signal.
//!
//! Addresses of the heap are multiples of 4 GiB plus the engine's index, so a pointer looks like
//! the index that it comes from. `docs/exceptions.md` has the argument in full.
use crate::{
    host::memory::{self, Access},
    limits::{self, Charge, Cost},
    sizes,
    sync::lock,
};
use std::{
    io, ptr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};
use wasmtime::LinearMemory;

/// Bytes of a heap as the engine sees it: all indices but the last ones, which need no check.
pub(crate) const SIZE: usize = sizes::SPACE - CHUNK;
/// Bytes without access behind that: as far as the fields of an exception can reach.
pub(crate) const GUARD: usize = CHUNK;
/// Bytes that are opened and closed together.
const CHUNK: usize = 64 << 10;
/// Chunks that are open at the same time, at most: 8 MiB.
const OPEN_MAX: usize = 128;
/// After how many that were opened the stack is searched.
const SEARCH_AFTER: usize = 16;
/// Where exceptions lie: most numbers and addresses of programs are elsewhere.
const FIRST: u32 = 0x9000_0000;
/// Past this, [`Exceptions::begin_again`] goes back.
const LAST: u32 = 0x9800_0000;
/// Bytes before and behind a new place for exceptions in which nothing may be open: more than can
/// be opened between two looks.
const DISTANCE: u32 = 2 * (OPEN_MAX * CHUNK) as u32;
const BITS: usize = u64::BITS as usize;
const WORDS: usize = sizes::SPACE / CHUNK / BITS;

/// A set of chunks.
struct Chunks([AtomicU64; WORDS]);

impl Chunks {
    const fn none() -> Chunks {
        Chunks([const { AtomicU64::new(0) }; WORDS])
    }

    fn contains(&self, chunk: usize) -> bool {
        self.0[chunk / BITS].load(Relaxed) & 1 << (chunk % BITS) != 0
    }

    fn insert(&self, chunk: usize) {
        self.0[chunk / BITS].fetch_or(1 << (chunk % BITS), Relaxed);
    }

    fn remove(&self, chunk: usize) {
        self.0[chunk / BITS].fetch_and(!(1 << (chunk % BITS)), Relaxed);
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().map(|word| word.load(Relaxed)).enumerate().filter(|(_, word)| *word != 0);
        words.flat_map(|(index, word)| {
            (0..BITS).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * BITS + bit)
        })
    }
}

/// The memory of a heap. Only the thread that runs the Store uses it, from signal handlers too.
pub(crate) struct Heap {
    base: *mut u8,
    open: Box<Chunks>,
    count: AtomicUsize,
    opened: AtomicUsize,
    /// What open chunks take of the host, one for each, and its addresses.
    charges: Mutex<Vec<Charge>>,
    _addresses: Option<Charge>,
}

// SAFETY: an address range of its own, and atomic words.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    const RESERVED: usize = sizes::SPACE + GUARD;

    /// With nothing open.
    pub(crate) fn new() -> io::Result<Heap> {
        let all = Heap::RESERVED + sizes::SPACE;
        let reservation = memory::reserve(all)?;
        let base = reservation.map_addr(|at| at.next_multiple_of(sizes::SPACE));
        let before = base as usize - reservation as usize;
        // SAFETY: the parts of the new reservation before and behind what is kept.
        unsafe {
            memory::release(reservation, before);
            memory::release(base.add(Heap::RESERVED), all - before - Heap::RESERVED);
        }
        let addresses = Cost { address: Heap::RESERVED as u64, maps: 1, ..Cost::default() };
        Ok(Heap {
            base,
            open: Box::new(Chunks::none()),
            count: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            charges: Mutex::default(),
            _addresses: limits::current().map(|ledger| ledger.charge_anyway(addresses)),
        })
    }

    fn charges(&self) -> MutexGuard<'_, Vec<Charge>> {
        lock(&self.charges)
    }

    /// The chunk in which an address lies, if it is in the heap.
    pub(crate) fn chunk(&self, at: usize) -> Option<usize> {
        let offset = at.checked_sub(self.base as usize)?;
        (offset < SIZE).then_some(offset / CHUNK)
    }

    /// Bytes that it takes of the host's memory.
    #[cfg(test)]
    fn resident(&self) -> usize {
        self.count.load(Relaxed) * CHUNK
    }

    /// False if the host refuses, or the machine has its share.
    fn open(&self, chunk: usize) -> bool {
        if let Some(ledger) = limits::current() {
            let cost = Cost { stacks: CHUNK, maps: limits::SPLIT, ..Cost::default() };
            match ledger.charge(cost) {
                Some(charge) => self.charges().push(charge),
                None => return false,
            }
        }
        // SAFETY: a chunk of the reservation, which is nobody else's.
        let opened = unsafe { memory::protect(self.base.add(chunk * CHUNK), CHUNK, Access::Write) }.is_ok();
        if opened {
            self.open.insert(chunk);
            self.count.fetch_add(1, Relaxed);
            self.opened.fetch_add(1, Relaxed);
        } else {
            self.charges().pop();
        }
        opened
    }

    fn close(&self, chunk: usize) {
        // SAFETY: as in open(); nothing points into it, by the caller.
        if !unsafe { memory::clear(self.base.add(chunk * CHUNK), CHUNK) } {
            return;
        }
        self.open.remove(chunk);
        self.count.fetch_sub(1, Relaxed);
        self.charges().pop();
    }

    /// Closes everything: nobody has a reference any more.
    fn clear(&self) {
        self.open.iter().for_each(|chunk| self.close(chunk));
        self.opened.store(0, Relaxed);
    }

    /// Closes the chunks that none of these words is an index into. One that is near is enough: an
    /// exception may begin before, or end behind, its chunk.
    ///
    /// Out of line: its set would make the frame of every signal's handler large, and a thread that
    /// is no machine's may handle signals on a stack of 8 KiB.
    #[inline(never)]
    fn search(&self, words: impl Iterator<Item = u32>) {
        let kept = Chunks::none();
        for word in words {
            let chunk = word as usize / CHUNK;
            for chunk in [chunk.saturating_sub(1), chunk, chunk + 1] {
                if chunk < WORDS * BITS && self.open.contains(chunk) {
                    kept.insert(chunk);
                }
            }
        }
        self.open.iter().filter(|chunk| !kept.contains(*chunk)).for_each(|chunk| self.close(chunk));
        self.opened.store(0, Relaxed);
    }

    /// Where exceptions can be put from now on: nothing is open there or near.
    fn place(&self) -> Option<u32> {
        let is_free = |place: &u32| {
            let near = (place - DISTANCE) as usize / CHUNK..=(place + DISTANCE) as usize / CHUNK;
            !self.open.iter().any(|chunk| near.contains(&chunk))
        };
        (FIRST..LAST).step_by(DISTANCE as usize).find(is_free)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: the reservation of new(); the Store that used it is gone.
        unsafe { memory::release(self.base, Heap::RESERVED) };
    }
}

/// How the engine gets a heap.
pub(crate) struct Memory(pub(crate) Arc<Heap>);

// SAFETY: a reservation for as long as the Arc lives; faults in it are resolved by trap/, or end
// the program.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        SIZE
    }
    fn byte_capacity(&self) -> usize {
        SIZE
    }
    fn grow_to(&mut self, _: usize) -> wasmtime::Result<()> {
        wasmtime::bail!("the heap for exceptions is full")
    }
    fn as_ptr(&self) -> *mut u8 {
        self.0.base
    }
}

/// The exceptions of a program's instance.
pub(crate) struct Exceptions {
    heap: Arc<Heap>,
    /// Where the engine notes the index at which the next exception begins.
    next: *const AtomicU32,
}

// SAFETY: the word is the Store's, and goes where that goes.
unsafe impl Send for Exceptions {}

impl Exceptions {
    /// # Safety
    /// `next` is the engine's word for that heap, for as long as this lives.
    pub(crate) unsafe fn new(heap: Arc<Heap>, next: *mut u32) -> Exceptions {
        Exceptions { heap, next: next.cast() }
    }

    fn next(&self) -> &AtomicU32 {
        // SAFETY: by new(); aligned, and used by this thread only.
        unsafe { &*self.next }
    }

    /// Another program begins, or the same one from its beginning: there are no exceptions.
    ///
    /// # Safety
    /// No frame of the program is left that could hold one.
    pub(crate) unsafe fn clear(&self) {
        self.heap.clear();
        if !(FIRST..LAST).contains(&self.next().load(Relaxed)) {
            self.next().store(FIRST, Relaxed);
        }
    }

    /// The program writes at `at`, an address in `chunk`, which is not open. False if it has too
    /// many exceptions. Async-signal-safe.
    ///
    /// # Safety
    /// All that the program's functions hold in registers and frames is between the addresses
    /// `stack` and `end`, which are readable, or in what is written now.
    pub(crate) unsafe fn write(&self, chunk: usize, stack: *const u32, end: *const u32) -> bool {
        let heap = &*self.heap;
        if heap.open.contains(chunk) {
            // It is open: then this is not about memory.
            return false;
        }
        if heap.opened.load(Relaxed) >= SEARCH_AFTER || heap.count.load(Relaxed) >= OPEN_MAX {
            let len = (end as usize).saturating_sub(stack as usize) / size_of::<u32>();
            // SAFETY: readable, by the caller.
            let words = (0..len).map(|index| unsafe { stack.add(index).read_volatile() });
            heap.search(words.chain([self.next().load(Relaxed)]));
        }
        heap.count.load(Relaxed) < OPEN_MAX && heap.open(chunk)
    }

    /// Goes back to the beginning if exceptions have come far. An interrupted function that is
    /// about to make one may undo this. Async-signal-safe.
    pub(crate) fn begin_again(&self) {
        if self.next().load(Relaxed) >= LAST
            && let Some(place) = self.heap.place()
        {
            self.next().store(place, Relaxed);
        }
    }

    pub(crate) fn chunk(&self, at: usize) -> Option<usize> {
        self.heap.chunk(at)
    }
}

/// An aligned pointer at or above an address on the stack.
pub(crate) fn aligned(at: usize) -> *const u32 {
    ptr::with_exposed_provenance(at.next_multiple_of(align_of::<u64>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(heap: &Heap) -> Vec<usize> {
        heap.open.iter().collect()
    }

    /// What is pointed to stays, with its neighbours; the rest is given back and is zero when it
    /// comes again.
    #[test]
    fn what_nothing_points_to_is_closed() {
        let heap = Heap::new().unwrap();
        let first = FIRST as usize / CHUNK;
        for chunk in first..first + 8 {
            assert!(heap.open(chunk));
            // SAFETY: open.
            unsafe { heap.base.add(chunk * CHUNK).write(1) };
        }
        assert_eq!(heap.resident(), 8 * CHUNK);
        heap.search([7, u32::MAX, FIRST + 3 * CHUNK as u32 + 24].into_iter());
        assert_eq!(open(&heap), [first + 2, first + 3, first + 4]);
        assert!(heap.open(first));
        // SAFETY: open.
        unsafe {
            assert_eq!(heap.base.add(first * CHUNK).read(), 0);
            assert_eq!(heap.base.add((first + 3) * CHUNK).read(), 1);
        }
        heap.clear();
        assert_eq!((open(&heap).len(), heap.resident()), (0, 0));
    }

    #[test]
    fn a_pointer_looks_like_its_index() {
        let heap = Heap::new().unwrap();
        let index = FIRST + 5 * CHUNK as u32 + 40;
        assert_eq!(heap.base.wrapping_add(index as usize) as usize as u32, index);
        assert_eq!(heap.chunk(heap.base as usize + index as usize), Some(index as usize / CHUNK));
        assert_eq!(heap.chunk(heap.base as usize + SIZE), None);
        assert_eq!(heap.chunk(heap.base as usize - 1), None);
    }

    /// A heap that lives on and on: its exceptions die young, but for some that are held.
    #[test]
    fn exceptions_without_end_take_bounded_memory() {
        let next = Box::into_raw(Box::new(AtomicU32::new(1)));
        let heap = Arc::new(Heap::new().unwrap());
        // SAFETY: the word lives on.
        let exceptions = unsafe { Exceptions::new(heap.clone(), next.cast()) };
        // SAFETY: nobody holds one.
        unsafe { exceptions.clear() };
        let mut held = [0u32; 4];
        let (mut laps, mut number) = (0, 0u32);
        while laps < 3 {
            let at = exceptions.next().load(Relaxed);
            let chunk = at as usize / CHUNK;
            // SAFETY: `held` is all that there is.
            unsafe {
                if !heap.open.contains(chunk) {
                    let range = held.as_ptr_range();
                    assert!(exceptions.write(chunk, range.start, range.end));
                }
                heap.base.add(at as usize).cast::<u32>().write(at);
            }
            for held in held.into_iter().filter(|held| *held != 0) {
                // SAFETY: held, so still open.
                assert_eq!(unsafe { heap.base.add(held as usize).cast::<u32>().read() }, held, "after {number}");
            }
            number += 1;
            if number.is_multiple_of(1000) {
                held[(number / 1000 % 4) as usize] = at;
            }
            exceptions.next().store(at + 4096, Relaxed);
            exceptions.begin_again();
            laps += u32::from(exceptions.next().load(Relaxed) < at);
            assert!(heap.resident() <= OPEN_MAX * CHUNK);
        }
    }

    #[test]
    fn too_many_that_live_are_refused() {
        let next = Box::into_raw(Box::new(AtomicU32::new(FIRST)));
        let heap = Arc::new(Heap::new().unwrap());
        // SAFETY: the word lives on.
        let exceptions = unsafe { Exceptions::new(heap, next.cast()) };
        let held: Vec<u32> = (0..2 * OPEN_MAX as u32).map(|index| FIRST + index * CHUNK as u32).collect();
        let range = held.as_ptr_range();
        let first = FIRST as usize / CHUNK;
        // SAFETY: `held` is all that there is.
        let given = (0..2 * OPEN_MAX).filter(|at| unsafe { exceptions.write(first + at, range.start, range.end) });
        assert_eq!(given.count(), OPEN_MAX);
    }
}
