//! The ledger of what a machine takes of the host, and the shares that it may take:
//! `docs/limits.md` has the table.
//!
//! Who asks for something beyond its share gets ENOMEM or EAGAIN, after what is only kept for speed
//! was given back: nothing here ends the host's process. What is charged is an upper bound of what
//! the host sees, never an estimate.
//!
//! ```text
//!  HOST     what this process may take: vm.max_map_count, RLIMIT_AS, RLIMIT_NOFILE, less what it had at start
//!    └─ Ledger   a machine's: shares by its memory; what is used, by a Charge each, which gives it back when dropped
//!         └─ spaces   whose host mappings are a cache: the least recently used are flushed when others need room
//! ```
use crate::{
    host::process,
    local,
    sizes::{SPACE, STACK_HOST, STACK_WASM},
    sync::lock,
};
use std::{
    cell::RefCell,
    fs,
    sync::{
        Arc, LazyLock, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// Mappings left to what is not counted: allocator, threads, files of compiled code, libraries
/// loaded later, and stacks and Stores that are kept for reuse.
const MAPS_APART: usize = 2048;
/// And bytes of address space: stacks and Stores that are kept for reuse have 6 GiB of it.
const ADDRESS_APART: u64 = 7 << 30;
/// Bytes of address space that a process has on x86-64, less a quarter for the rest of it.
const ADDRESS_MAX: u64 = 96 << 40;
/// The host's `vm.max_map_count` where it does not say.
const MAP_COUNT: usize = 65_530;

/// Of a task with its Store: a stack and its guard, the heap for exceptions and its rest, two large
/// blocks of the allocator.
pub(crate) const TASK_MAPS: usize = 6;
pub(crate) const TASK_ADDRESS: u64 = (STACK_WASM + STACK_HOST) as u64 + (2 << 20);
/// Of an address space in which nothing is mapped: both halves of its reservation, and what a
/// neighbour splits.
pub(crate) const SPACE_MAPS: usize = 3;
pub(crate) const SPACE_ADDRESS: u64 = 2 * SPACE as u64;
/// Of a program's code in memory.
pub(crate) const CODE_MAPS: usize = 4;
/// Bytes of an entry of a table, and of what an instance has of the function that it names.
pub(crate) const TABLE_ENTRY: usize = 8 + 32;
/// Mappings that one mmap or mprotect may add.
pub(crate) const SPLIT: usize = 2;

/// What this process may take, for all its machines.
struct Host {
    maps: usize,
    address: u64,
}

static HOST: LazyLock<Host> = LazyLock::new(|| {
    let max = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let max = max.and_then(|text| text.trim().parse().ok()).unwrap_or(MAP_COUNT);
    let taken = fs::read("/proc/self/maps").map_or(0, |maps| maps.iter().filter(|byte| **byte == b'\n').count());
    // On a host with few, half of them stays apart.
    let maps = max.saturating_sub(taken + MAPS_APART).max((max / 2).saturating_sub(taken));
    let address = process::limit(process::RLIMIT_AS).min(ADDRESS_MAX);
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages: u64 = pages.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
    Host { maps, address: address.saturating_sub(pages * 4096 + ADDRESS_APART) }
});

static MAPS: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);

/// What a machine may take of the host at most. All of it follows from the size of its memory and
/// the limits of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Tasks, the kernel's own too.
    pub tasks: usize,
    /// Host mappings (`vm.max_map_count`): tasks and address spaces have three quarters, the rest
    /// is for their pages.
    pub maps: usize,
    /// Bytes of address space (RLIMIT_AS).
    pub address: u64,
    /// Bytes of native stacks beyond the 128 KiB that each task has.
    pub stacks: usize,
    /// Bytes of the tables of programs, in all instances.
    pub tables: usize,
    /// Bytes of the compiled code of programs that are in memory.
    pub code: usize,
    /// Descriptors for sockets of the network (RLIMIT_NOFILE).
    pub sockets: usize,
    /// Bytes of buffers of the network's connections.
    pub buffers: usize,
}

impl Limits {
    /// Those of a machine with so many bytes of memory.
    pub fn of(memory: u64) -> Limits {
        let bytes = memory as usize;
        let files = fs::read_dir("/proc/self/fd").map_or(64, Iterator::count) as u64;
        let sockets = process::limit(process::RLIMIT_NOFILE).saturating_sub(files + FILES_APART).min(memory >> 14);
        Limits {
            // As many as the kernel allows itself by default, which is a task for 128 KiB, and its
            // own threads.
            tasks: (bytes >> 17) + 128,
            // A page of the host's page tables for each makes as much as the memory, at most.
            maps: HOST.maps.min(bytes >> 12),
            address: HOST.address,
            stacks: bytes,
            tables: bytes,
            code: bytes.max(CODE_MIN),
            sockets: sockets as usize,
            buffers: bytes,
        }
    }
}

/// Descriptors left to what is not counted: files of compiled code while they are read, the
/// library's own.
const FILES_APART: u64 = 64;
/// Compiled code that any machine may have in memory, in bytes: a program or two that are as large
/// as any.
const CODE_MIN: usize = 512 << 20;

/// What something takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) tasks: usize,
    /// Not those of pages, which are a cache.
    pub(crate) maps: usize,
    pub(crate) address: u64,
    pub(crate) stacks: usize,
    pub(crate) tables: usize,
    pub(crate) code: usize,
}

#[derive(Default)]
struct Used {
    tasks: AtomicUsize,
    /// All of them, and those that are not of pages.
    maps: AtomicUsize,
    fixed_maps: AtomicUsize,
    address: AtomicU64,
    stacks: AtomicUsize,
    tables: AtomicUsize,
    code: AtomicUsize,
}

/// An address space: its host mappings are a cache, which can be flushed when others need room.
pub(crate) trait Cached: Send + Sync {
    /// Host mappings that a flush would give back, at most.
    fn cached(&self) -> usize;
    /// See [`Ledger::tick`].
    fn used(&self) -> u64;
    /// Forgets everything. Async-signal-safe.
    fn flush_all(&self);
}

/// A machine's ledger. Its own thread alone writes it.
pub(crate) struct Ledger {
    limits: Limits,
    used: Used,
    spaces: Mutex<Vec<Weak<dyn Cached>>>,
    /// Counts what address spaces look up.
    time: AtomicU64,
    failed: AtomicBool,
}

thread_local! {
    /// Of the machine whose processor this thread is.
    static CURRENT: RefCell<Option<Arc<Ledger>>> = const { RefCell::new(None) };
}

/// The ledger of the machine whose processor this thread is.
pub(crate) fn current() -> Option<Arc<Ledger>> {
    CURRENT.with_borrow(Clone::clone)
}

/// This thread is that machine's processor from now on, or nobody's.
pub(crate) fn set_current(ledger: Option<Arc<Ledger>>) {
    CURRENT.set(ledger);
}

impl Ledger {
    pub(crate) fn new(memory: u64) -> Arc<Ledger> {
        Arc::new(Ledger {
            limits: Limits::of(memory),
            used: Used::default(),
            spaces: Mutex::default(),
            time: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        })
    }

    /// Takes something; None, and nothing is taken, if that were too much.
    pub(crate) fn charge(self: &Arc<Ledger>, cost: Cost) -> Option<Charge> {
        let (limits, used) = (&self.limits, &self.used);
        let fits = |used: &AtomicUsize, more: usize, most: usize| used.load(Relaxed).saturating_add(more) <= most;
        let address = |used: &AtomicU64| used.load(Relaxed).saturating_add(cost.address) <= limits.address;
        let allowed = fits(&used.tasks, cost.tasks, limits.tasks)
            && fits(&used.fixed_maps, cost.maps, limits.maps / 4 * 3)
            && address(&used.address)
            && address(&ADDRESS)
            && fits(&used.stacks, cost.stacks, limits.stacks)
            && fits(&used.tables, cost.tables, limits.tables)
            && fits(&used.code, cost.code, limits.code);
        if !allowed || !self.make_room(cost.maps, None) {
            return None;
        }
        Some(self.charge_anyway(cost))
    }

    /// Takes something that cannot be refused.
    pub(crate) fn charge_anyway(self: &Arc<Ledger>, cost: Cost) -> Charge {
        self.count(cost, usize::wrapping_add, u64::wrapping_add);
        Charge { ledger: self.clone(), cost }
    }

    /// Counts what is taken or given back: the sum of 0 and the cost, or the difference.
    fn count(&self, cost: Cost, words: fn(usize, usize) -> usize, bytes: fn(u64, u64) -> u64) {
        let used = &self.used;
        // Addition to an atomic wraps.
        let add = |used: &AtomicUsize, amount: usize| {
            if amount != 0 {
                used.fetch_add(words(0, amount), Relaxed);
            }
        };
        add(&used.tasks, cost.tasks);
        add(&used.fixed_maps, cost.maps);
        add(&used.stacks, cost.stacks);
        add(&used.tables, cost.tables);
        add(&used.code, cost.code);
        add(&used.maps, cost.maps);
        add(&MAPS, cost.maps);
        if cost.address != 0 {
            used.address.fetch_add(bytes(0, cost.address), Relaxed);
            ADDRESS.fetch_add(bytes(0, cost.address), Relaxed);
        }
    }

    /// Mappings that came and went.
    pub(crate) fn count_maps(&self, more: usize, less: usize) {
        let change = more.wrapping_sub(less);
        if change != 0 {
            self.used.maps.fetch_add(change, Relaxed);
            MAPS.fetch_add(change, Relaxed);
        }
    }

    fn has_room(&self, maps: usize) -> bool {
        self.used.maps.load(Relaxed) + maps <= self.limits.maps && MAPS.load(Relaxed) + maps <= HOST.maps
    }

    /// Makes room for so many mappings, if need be by flushing address spaces other than `keep`,
    /// least recently used first. False if that is not enough. Async-signal-safe where a program's
    /// access has faulted.
    pub(crate) fn make_room(&self, maps: usize, keep: Option<&dyn Cached>) -> bool {
        self.has_room(maps) || self.evict(maps, keep)
    }

    #[cold]
    fn evict(&self, maps: usize, keep: Option<&dyn Cached>) -> bool {
        // An eighth at once, so that it is not for each mapping.
        let wanted = maps + self.limits.maps / 8;
        let spaces = lock(&self.spaces);
        let cached = || {
            let alive = spaces.iter().filter_map(Weak::upgrade);
            alive.filter(|space| !keep.is_some_and(|keep| std::ptr::addr_eq(keep, &**space)) && space.cached() != 0)
        };
        while !self.has_room(wanted) {
            let Some(oldest) = cached().map(|space| space.used()).min() else { break };
            // The older half of the time that is left.
            let until = oldest + (self.time.load(Relaxed) - oldest) / 2;
            cached().filter(|space| space.used() <= until).for_each(|space| space.flush_all());
        }
        drop(spaces);
        self.has_room(maps)
    }

    /// The time of a lookup.
    pub(crate) fn tick(&self) -> u64 {
        self.time.fetch_add(1, Relaxed)
    }

    /// An address space whose mappings are counted here.
    pub(crate) fn add_space(&self, space: &Arc<dyn Cached>) {
        let mut spaces = lock(&self.spaces);
        if spaces.len() == spaces.capacity() {
            spaces.retain(|space| space.strong_count() != 0);
        }
        spaces.push(Arc::downgrade(space));
    }

    /// The host has refused what cannot be done without: the machine must end. Async-signal-safe.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Relaxed);
        local::set_stack_limit(usize::MAX);
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

/// Something that is taken until this is dropped.
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    cost: Cost,
}

impl Charge {
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.count(self.cost, usize::wrapping_sub, u64::wrapping_sub);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let ledger = Ledger::new(128 << 20);
        let cost = Cost { tasks: ledger.limits.tasks, ..Cost::default() };
        let all = ledger.charge(cost).expect("as many tasks as are allowed");
        assert!(ledger.charge(Cost { tasks: 1, ..Cost::default() }).is_none());
        drop(all);
        assert!(ledger.charge(cost).is_some());
    }

    #[test]
    fn address_spaces_leave_mappings_to_pages() {
        let ledger = Ledger::new(128 << 20);
        let mut taken = vec![];
        while let Some(charge) = ledger.charge(Cost { maps: SPACE_MAPS, ..Cost::default() }) {
            taken.push(charge);
        }
        assert!(ledger.make_room(ledger.limits.maps / 5, None));
    }

    #[test]
    fn a_machine_may_take_little_of_a_host_with_little() {
        let limits = Limits::of(1 << 30);
        assert!(limits.maps <= HOST.maps && limits.address <= HOST.address);
        assert!(Limits::of(64 << 20).maps < 20_000);
    }
}
