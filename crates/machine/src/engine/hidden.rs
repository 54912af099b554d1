//! Code that faults when it is executed: how a program is interrupted that is never found in its
//! own code.
//!
//! `memory.fill` and `memory.copy` are routines of the host's, from which the kernel cannot be
//! called. A program that calls them again and again is hardly ever anywhere else when an interrupt
//! comes. So its code is made not executable: the fault of the return from the routine is the
//! interrupt. Machines of one process share code, so the fault may come on another thread, in any
//! of its uses: it makes the code executable, whoever had hidden it, and goes on.
use crate::{
    host::memory::{self, Access},
    sizes::PAGE,
};
use std::{
    cell::Cell,
    hint,
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Programs whose code is hidden at the same time, at most: each thread that is a processor has
/// one.
const SLOTS: usize = 64;

/// Code that is hidden. Read without the lock.
struct Slot {
    /// 0: none is.
    start: AtomicUsize,
    end: AtomicUsize,
}

static TABLE: [Slot; SLOTS] = [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; SLOTS];
/// Held to hide code and to take it out of the table, so that what is hidden is in the table. A
/// signal handler does not wait for it: it may have interrupted the holder.
static LOCK: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Where an instruction was tried again.
    static TRIED: Cell<usize> = const { Cell::new(0) };
}

fn protect(start: usize, end: usize, executable: bool) {
    let access = if executable { Access::Execute } else { Access::Read };
    // SAFETY: the engine's own pages of code, which stay mapped and readable; who executes them has
    // the handler that calls reveal().
    let _ = unsafe { memory::protect(start as *mut u8, end - start, access) };
}

/// Code of the engine's, whose pages stay mapped and readable until [`forget`], and whoever
/// executes it has the handler that calls [`reveal`].
#[derive(Clone, Copy)]
pub(crate) struct Text {
    start: usize,
    end: usize,
}

impl Text {
    /// # Safety
    /// The code of a module, and what was said.
    pub(crate) unsafe fn new(text: &[u8]) -> Text {
        let start = text.as_ptr() as usize;
        Text { start, end: start + text.len().next_multiple_of(PAGE) }
    }
}

/// The program's code faults when it is executed next. False if that cannot be had now.
/// Async-signal-safe.
pub(crate) fn hide(text: Text) -> bool {
    let Text { start, end } = text;
    if LOCK.swap(true, Acquire) {
        return false;
    }
    let used = TABLE.iter().find(|slot| slot.start.load(Relaxed) == start);
    let slot = used.or_else(|| TABLE.iter().find(|slot| slot.start.load(Relaxed) == 0));
    if let Some(slot) = slot {
        slot.end.store(end, Relaxed);
        slot.start.store(start, Release);
        protect(start, end, false);
    }
    LOCK.store(false, Release);
    slot.is_some()
}

/// The program goes away: its code is hidden no more.
pub(crate) fn forget(text: Text) {
    let Text { start, end } = text;
    let slot = TABLE.iter().find(|slot| slot.start.load(Relaxed) == start);
    let Some(slot) = slot else { return };
    while LOCK.swap(true, Acquire) {
        hint::spin_loop();
    }
    if slot.start.load(Relaxed) == start {
        protect(start, end, true);
        slot.start.store(0, Release);
    }
    LOCK.store(false, Release);
}

/// An instruction at `pc`, perhaps of the program that runs, could not be fetched. True if that was
/// because its code is hidden, or was until now: it can be tried again. Async-signal-safe.
pub(crate) fn reveal(pc: usize, runs: Option<Text>) -> bool {
    for slot in &TABLE {
        let (start, end) = (slot.start.load(Acquire), slot.end.load(Relaxed));
        if start == 0 || !(start..end).contains(&pc) {
            continue;
        }
        let locked = !LOCK.swap(true, Acquire);
        protect(start, end, true);
        if locked {
            // The place is another program's from now on.
            if slot.start.load(Relaxed) == start {
                slot.start.store(0, Release);
            }
            LOCK.store(false, Release);
        }
        return true;
    }
    // It has been revealed on another thread, or by one that unwinds.
    if let Some(Text { start, end }) = runs.filter(|text| (text.start..text.end).contains(&pc)) {
        protect(start, end, true);
        return true;
    }
    TRIED.replace(pc) != pc
}
