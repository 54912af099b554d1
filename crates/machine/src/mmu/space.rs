//! User address spaces. Linux keeps the page tables in physical memory; this is the hardware that
//! walks them and the cache (host mappings) of what it found.
use crate::{
    host::memory::{self, Access},
    limits::{Cached, Charge, Ledger, SPLIT},
    mmu::physical::Physical,
    sizes::SPACE,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};
use wasmlinux_boundary::{PTE_DIRTY, PTE_PRESENT, PTE_USER, PTE_WRITE, WASM_PAGE};

#[cfg(test)]
mod tests;

const BITS: usize = u64::BITS as usize;
/// Pages that one mmap takes in, if their frames follow each other.
const BATCH: u32 = 16;
/// Lookups that an address space remembers, and their pages at most, for the one that fork() makes
/// from it next.
const LOOKUPS: usize = 48;

/// The format of the page tables, as the kernel image says it (`docs/machine.md`, MMU).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    page_shift: u32,
    pgdir_shift: u32,
}

impl Format {
    /// None if no such tables are possible.
    pub(crate) fn new(page_shift: u32, pgdir_shift: u32) -> Option<Format> {
        ((12..=16).contains(&page_shift) && pgdir_shift > page_shift && pgdir_shift < 32)
            .then_some(Format { page_shift, pgdir_shift })
    }
}

/// One user address space: 4 GiB and a guard, in which frames of physical memory appear. When the
/// guest's address space is gone it can be another one's.
pub(crate) struct Space {
    base: *mut u8,
    /// Physical address of the page directory; 0 while this is no guest's address space.
    pgd: AtomicU32,
    physical: Arc<Physical>,
    format: Format,
    is_fork: AtomicBool,
    /// A bit for each page at which one of the host's mappings may begin: they are one more than
    /// these, at most.
    edges: Pages,
    edge_count: AtomicUsize,
    /// When something was looked up last, by the ledger's time.
    used: AtomicU64,
    /// A bit for each page that may be mapped.
    mapped: Pages,
    /// And for each that may be mapped for writing.
    writable: Pages,
    /// And for each whose frame is still there, but without access.
    hidden: Pages,
    lookups: RecentEntries,
    charge: Charge,
}

// SAFETY: `base` is the start of a mapping that lives as long as the Space. Only the machine's
// thread maps and unmaps in it.
unsafe impl Send for Space {}
// SAFETY: as above.
unsafe impl Sync for Space {}

/// A set of pages: a bit for each.
struct Pages(Box<[AtomicU64]>);

impl Pages {
    fn none(format: Format) -> Pages {
        Pages(std::iter::repeat_with(|| AtomicU64::new(0)).take((SPACE >> format.page_shift) / BITS).collect())
    }

    fn contains(&self, page: usize) -> bool {
        self.0[page / BITS].load(Relaxed) & 1 << (page % BITS) != 0
    }

    /// False if it was there.
    fn insert(&self, page: usize) -> bool {
        self.0[page / BITS].fetch_or(1 << (page % BITS), Relaxed) & 1 << (page % BITS) == 0
    }

    fn remove(&self, page: usize) {
        self.0[page / BITS].fetch_and(!(1 << (page % BITS)), Relaxed);
    }

    /// Takes out the pages from `first` to `last`: how many there were.
    fn remove_all(&self, first: usize, last: usize) -> usize {
        let mut removed = 0;
        for (index, word) in self.0.iter().enumerate().take(last / BITS + 1).skip(first / BITS) {
            let below = if index == first / BITS { (1u64 << (first % BITS)) - 1 } else { 0 };
            let above = if index == last / BITS { (!1u64).checked_shl((last % BITS) as u32).unwrap_or(0) } else { 0 };
            let inside = word.load(Relaxed) & !(below | above);
            if inside != 0 {
                word.fetch_and(below | above, Relaxed);
                removed += inside.count_ones() as usize;
            }
        }
        removed
    }

    /// In ascending order. Nearly all words are zero.
    fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().map(|word| word.load(Relaxed)).enumerate().filter(|(_, word)| *word != 0);
        words.flat_map(|(index, word)| {
            (0..BITS).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * BITS + bit)
        })
    }
}

/// What one mmap mapped: `count` pages from `va` on, to frames that follow each other.
#[derive(Clone, Copy)]
struct TlbEntry {
    va: u32,
    count: u32,
    frame: u32,
}

impl TlbEntry {
    /// Addresses of pages are multiples of 4 KiB.
    fn pack(self) -> u64 {
        u64::from(self.va | self.count) << 32 | u64::from(self.frame)
    }

    fn unpack(packed: u64) -> TlbEntry {
        let (at, frame) = ((packed >> 32) as u32, packed as u32);
        TlbEntry { va: at & !0xfff, count: at & 0xfff, frame }
    }

    /// Address and frame of each page.
    fn pages(self, page_size: u32) -> impl Iterator<Item = (u32, u32)> {
        (0..self.count).map(move |page| (self.va + page * page_size, self.frame + page * page_size))
    }
}

/// The latest lookups in an address space, numbered from 0 since it was empty last. They may have
/// been flushed since.
struct RecentEntries {
    /// By the number's remainder.
    entries: [AtomicU64; LOOKUPS],
    /// How many there were.
    len: AtomicUsize,
}

impl Default for RecentEntries {
    fn default() -> RecentEntries {
        RecentEntries { entries: [const { AtomicU64::new(0) }; LOOKUPS], len: AtomicUsize::new(0) }
    }
}

impl RecentEntries {
    /// Async-signal-safe.
    fn push(&self, lookup: TlbEntry) {
        let len = self.len.load(Relaxed);
        self.entries[len % LOOKUPS].store(lookup.pack(), Relaxed);
        self.len.store(len + 1, Relaxed);
    }

    fn clear(&self) {
        self.len.store(0, Relaxed);
    }

    /// The frame of the latest lookup of a page. Async-signal-safe.
    fn frame(&self, va: u32, page_size: u32) -> Option<u32> {
        let len = self.len.load(Relaxed);
        (len.saturating_sub(LOOKUPS)..len).rev().find_map(|index| {
            let TlbEntry { va: start, count, frame } = TlbEntry::unpack(self.entries[index % LOOKUPS].load(Relaxed));
            let offset = va.checked_sub(start)?;
            (offset < count * page_size).then_some(frame + offset)
        })
    }

    /// None if some are not there any more.
    fn all(&self) -> Option<Vec<TlbEntry>> {
        let entries = self.entries.get(..self.len.load(Relaxed))?;
        Some(entries.iter().map(|entry| TlbEntry::unpack(entry.load(Relaxed))).collect())
    }
}

/// What the walk found.
struct Pte {
    frame: u32,
    writable: bool,
}

/// What became of an access that missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// It can be repeated.
    Yes,
    /// The tables do not allow it: the kernel has to be asked.
    Not,
    /// The host has no mapping left for it.
    Refused,
}

impl Space {
    /// The charge is for the reservation; the ledger is that in which what is mapped will be
    /// counted.
    pub(crate) fn new(physical: Arc<Physical>, format: Format, charge: Charge) -> io::Result<Arc<Space>> {
        let (is_fork, used) = (AtomicBool::new(false), AtomicU64::new(0));
        let [mapped, writable, hidden, edges] = [(); 4].map(|()| Pages::none(format));
        let (base, pgd, lookups) = (memory::reserve(2 * SPACE)?, AtomicU32::new(0), RecentEntries::default());
        let edge_count = AtomicUsize::new(0);
        let space = Space {
            base,
            pgd,
            physical,
            format,
            is_fork,
            edges,
            edge_count,
            used,
            mapped,
            writable,
            hidden,
            lookups,
            charge,
        };
        let space = Arc::new(space);
        let cached: Arc<dyn Cached> = space.clone();
        space.ledger().add_space(&cached);
        Ok(space)
    }

    fn ledger(&self) -> &Ledger {
        self.charge.ledger()
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.pgd.load(Relaxed) != 0
    }

    /// Whether it is that page directory's.
    #[inline]
    pub(crate) fn is_of(&self, pgd: u32) -> bool {
        pgd != 0 && self.pgd.load(Relaxed) == pgd
    }

    /// Whether it is or was last a copy made by fork().
    pub(crate) fn is_fork(&self) -> bool {
        self.is_fork.load(Relaxed)
    }

    /// Becomes the address space of a page directory; with a parent, its copy, just made by fork().
    pub(crate) fn bind(&self, pgd: u32, parent: Option<&Space>) {
        debug_assert!(!self.is_bound());
        self.pgd.store(pgd, Relaxed);
        if self.is_fork.swap(parent.is_some(), Relaxed) == parent.is_some() {
            self.renew();
        } else {
            self.flush_all();
        }
        // Pages that both may write are those that fork() has copied at once, as the child will use
        // them.
        for page in parent.iter().flat_map(|parent| parent.writable.iter()) {
            let va = (page << self.format.page_shift) as u32;
            if !self.is_mapped(va) {
                self.map(va, true);
            }
        }
    }

    /// From now on it is nobody's address space. What is mapped stays, if it is not much: the next
    /// one is often alike, another child of the same parent, with the same pages in the same
    /// places. Until then no code runs in it.
    pub(crate) fn unbind(&self) {
        if self.lookups.all().is_none_or(|all| all.iter().map(|lookup| lookup.count as usize).sum::<usize>() > LOOKUPS)
        {
            self.flush_all();
        }
        self.pgd.store(0, Relaxed);
    }

    /// Makes what is mapped from before agree with the tables.
    fn renew(&self) {
        let Some(before) = self.lookups.all() else { return self.flush_all() };
        let page_size = 1u32 << self.format.page_shift;
        let (mut kept, mut other) = (vec![], vec![]);
        let mut seen = Vec::with_capacity(LOOKUPS);
        // The latest first: a page may have been looked up more than once.
        for (va, frame) in before.into_iter().rev().flat_map(|lookup| lookup.pages(page_size)) {
            let page = self.page(va);
            let mapped = self.mapped.contains(page);
            if !mapped && !self.hidden.contains(page) || seen.contains(&va) {
                continue;
            }
            seen.push(va);
            match self.walk(va) {
                Some(now) if !mapped || now.frame != frame || now.writable != self.writable.contains(page) => {
                    other.push(va);
                }
                None if mapped && !self.hide(va) => return self.flush_all(),
                _ => {}
            }
            kept.push(TlbEntry { va, count: 1, frame });
        }
        self.lookups.clear();
        kept.into_iter().rev().for_each(|lookup| self.lookups.push(lookup));
        for va in other {
            self.map(va, false);
        }
    }

    /// Takes all access to a page away, but leaves its frame mapped. False if the host refuses.
    fn hide(&self, va: u32) -> bool {
        self.mark_hidden(self.page(va));
        self.set_protection(va, 1 << self.format.page_shift, Access::None)
    }

    fn mark_hidden(&self, page: usize) {
        self.mapped.remove(page);
        self.writable.remove(page);
        self.hidden.insert(page);
    }

    /// Gives access to a page that is hidden, if its frame is that of the tables.
    fn reveal(&self, va: u32, entry: &Pte) -> bool {
        let page = self.page(va);
        if !self.hidden.contains(page) || self.lookups.frame(va, 1 << self.format.page_shift) != Some(entry.frame) {
            return false;
        }
        if !self.set_protection(va, 1 << self.format.page_shift, Access::writable(entry.writable)) {
            return false;
        }
        self.hidden.remove(page);
        self.mapped.insert(page);
        if entry.writable {
            self.writable.insert(page);
        }
        true
    }

    /// Where there are frames, or for no access.
    fn set_protection(&self, va: u32, len: usize, access: Access) -> bool {
        // This one is not flushed for it: where nothing is mapped any more, nothing may become
        // accessible.
        if !self.ledger().make_room(SPLIT, Some(self)) {
            return false;
        }
        let (first, end) = (self.page(va), self.page(va) + (len >> self.format.page_shift));
        self.count(first, end);
        // SAFETY: within our reservation, as va + len is at most 4 GiB; access is given to frames
        // of physical memory only.
        unsafe { memory::protect(self.base.add(va as usize), len, access) }.is_ok()
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    /// A word of physical memory; 0, which is never present, where there is none.
    /// Async-signal-safe.
    fn peek(&self, at: u32) -> u32 {
        let at = at as usize;
        if at < WASM_PAGE as usize || at + 4 > self.physical.size() || !at.is_multiple_of(4) {
            return 0;
        }
        // SAFETY: in bounds and aligned. The kernel does not run now (this thread is its
        // processor).
        unsafe { self.physical.base().add(at).cast::<u32>().read_volatile() }
    }

    fn walk(&self, va: u32) -> Option<Pte> {
        let Format { page_shift, pgdir_shift } = self.format;
        let pgd = self.pgd.load(Relaxed);
        let directory = self.peek(pgd.wrapping_add(4 * (va >> pgdir_shift)));
        if pgd == 0 || directory & PTE_PRESENT == 0 {
            return None;
        }
        let index = (va & ((1 << pgdir_shift) - 1)) >> page_shift;
        let entry = self.peek((directory & !0xfff).wrapping_add(4 * index));
        let page = 1u32 << page_shift;
        let frame = entry & !(page - 1);
        let wanted = PTE_PRESENT | PTE_USER;
        if entry & wanted != wanted || frame as u64 + page as u64 > self.physical.size() as u64 {
            return None;
        }
        Some(Pte { frame, writable: entry & (PTE_WRITE | PTE_DIRTY) == PTE_WRITE | PTE_DIRTY })
    }

    /// The hardware walk: maps the page of `va`, and those before and after it whose frames go
    /// before and follow, if the tables allow the access. Async-signal-safe; on the machine's
    /// thread only.
    pub(crate) fn map(&self, va: u32, write: bool) -> Mapped {
        let page = 1u32 << self.format.page_shift;
        let mut va = va & !(page - 1);
        let Some(mut first) = self.walk(va) else { return Mapped::Not };
        if write && !first.writable {
            return Mapped::Not;
        }
        self.used.store(self.ledger().tick(), Relaxed);
        if self.reveal(va, &first) {
            return Mapped::Yes;
        }
        let mut count = 1;
        // Backwards only as far as nothing is mapped: a program that goes up in memory would have
        // everything mapped again and again.
        while count < BATCH / 2 {
            match va.checked_sub(page).filter(|va| !self.is_mapped(*va)).and_then(|va| self.walk(va)) {
                Some(before) if before.frame + page == first.frame && before.writable == first.writable => {
                    first = before
                }
                _ => break,
            }
            va -= page;
            count += 1;
        }
        while count < BATCH {
            let step = count * page;
            match va.checked_add(step).and_then(|va| self.walk(va)) {
                Some(next) if next.frame == first.frame + step && next.writable == first.writable => count += 1,
                _ => break,
            }
        }
        if !self.make_room() {
            return Mapped::Refused;
        }
        let len = (count * page) as usize;
        // SAFETY: within our reservation (va + len <= 4 GiB, as walk() took each page of it); the
        // frames lie in the memfd.
        unsafe {
            let at = self.base.add(va as usize);
            if !memory::map(at, len, Access::writable(first.writable), self.physical.file(), first.frame) {
                // What was there may be gone, and no address of ours may become another's.
                self.count(self.page(va), self.page(va) + count as usize);
                self.flush_all();
                return Mapped::Refused;
            }
            // One read brings in the host's own page table entries of 64 KiB around it: a fifth of
            // what faults on each would cost.
            for offset in (0..len).step_by(WASM_PAGE as usize) {
                at.add(offset).read_volatile();
            }
        }
        self.edges_within(self.page(va), self.page(va) + count as usize);
        self.count(self.page(va), self.page(va) + count as usize);
        self.lookups.push(TlbEntry { va, count, frame: first.frame });
        let page = self.page(va);
        for page in page..page + count as usize {
            self.mapped.insert(page);
            self.hidden.remove(page);
            if first.writable {
                self.writable.insert(page);
            } else {
                self.writable.remove(page);
            }
        }
        Mapped::Yes
    }

    /// Sees to it that one more mapping can be split, by flushing other address spaces, or else
    /// this one. False if there is no room even so: other machines of this process have it all.
    fn make_room(&self) -> bool {
        let ledger = self.ledger();
        ledger.make_room(SPLIT, Some(self)) || {
            self.flush_all();
            ledger.make_room(SPLIT, Some(self))
        }
    }

    /// The pages from `first` up to `end` are mapped differently from their neighbours, perhaps.
    fn count(&self, first: usize, end: usize) {
        let inner = |page: &usize| *page != 0 && page << self.format.page_shift < SPACE;
        let more = [first, end].into_iter().filter(inner).filter(|page| self.edges.insert(*page)).count();
        self.edge_count.fetch_add(more, Relaxed);
        self.ledger().count_maps(more, 0);
    }

    /// The pages from `first` up to `end` have become one mapping.
    fn edges_within(&self, first: usize, end: usize) {
        if end - first > 1 {
            let less = self.edges.remove_all(first + 1, end - 1);
            self.edge_count.fetch_sub(less, Relaxed);
            self.ledger().count_maps(0, less);
        }
    }

    fn page(&self, va: u32) -> usize {
        (va >> self.format.page_shift) as usize
    }

    fn is_mapped(&self, va: u32) -> bool {
        self.mapped.contains(self.page(va))
    }

    /// Takes away the permission to write from what is mapped, where the tables no longer give it.
    pub(crate) fn protect(&self) {
        let shift = self.format.page_shift;
        let lost = |page: &usize| !self.walk((page << shift) as u32).is_some_and(|entry| entry.writable);
        let mut run = 0..0;
        for page in self.writable.iter().filter(lost).chain([usize::MAX]) {
            if page == run.end {
                run.end += 1;
                continue;
            }
            let (start, len) = (run.start << shift, run.len() << shift);
            if len != 0 && !self.set_protection(start as u32, len, Access::Read) {
                return self.flush_all();
            }
            run.for_each(|page| self.writable.remove(page));
            run = page..page.wrapping_add(1);
        }
    }

    /// Forgets what is mapped from `start` up to `end`, user addresses.
    pub(crate) fn flush(&self, start: u32, end: u32) {
        if start == 0 && end >= 0xffff_0000 {
            return self.flush_all();
        }
        if start >= end || self.cached() == 0 {
            return;
        }
        let (pages, len) = (self.page(start)..=self.page(end - 1), end - start);
        if pages.clone().count() > BATCH as usize {
            self.make_room();
            return self.unmap(start as usize, len as usize);
        }
        // Most ranges are one page, which soon has another frame. It stays mapped without access
        // until then: to replace a mapping costs half of removing and making one.
        let mut any = false;
        for page in pages.filter(|page| self.mapped.contains(*page)) {
            self.mark_hidden(page);
            any = true;
        }
        if any && !self.set_protection(start, len as usize, Access::None) {
            self.flush_all();
        }
    }

    fn unmap(&self, start: usize, len: usize) {
        let (first, last) = (start >> self.format.page_shift, (start + len - 1) >> self.format.page_shift);
        self.writable.remove_all(first, last);
        if self.mapped.remove_all(first, last) + self.hidden.remove_all(first, last) == 0 && len != SPACE {
            return;
        }
        // SAFETY: within our reservation: start + len is at most 4 GiB.
        unsafe {
            // There is room for it, by the ledger. On a host that refuses all the same nobody can
            // say what is still mapped.
            if !memory::clear(self.base.add(start), len) {
                return self.ledger().fail();
            }
        }
        self.edges_within(first, last + 1);
        self.count(first, last + 1);
    }
}

impl Cached for Space {
    fn cached(&self) -> usize {
        self.edge_count.load(Relaxed)
    }

    fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    fn flush_all(&self) {
        self.lookups.clear();
        if self.cached() != 0 {
            self.unmap(0, SPACE);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.ledger().count_maps(0, self.cached());
        // SAFETY: the reservation of new(); instances that use it hold an Arc of this.
        unsafe { memory::release(self.base, 2 * SPACE) };
    }
}
