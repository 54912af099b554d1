//! Code that faults when it is executed: how a program is interrupted that is never found in its own
//! code.
//!
//! `memory.fill` and `memory.copy` are routines of the host's, from which the kernel cannot be called.
//! A program that calls them again and again is hardly ever anywhere else when an interrupt comes. So
//! its code is made not executable: the fault of the return from the routine is the interrupt. Machines
//! of one process share code, so the fault may come on another thread, in any of its uses: it makes the
//! code executable, whoever had hidden it, and goes on.
use crate::{code::Program, engine};
use std::{
    cell::Cell,
    hint,
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Programs whose code was hidden once, at most; others are not interrupted so.
const SLOTS: usize = 64;

/// The code of programs that has been hidden, perhaps is now. Read without the lock.
struct Slot {
    /// 0: of none.
    start: AtomicUsize,
    end: AtomicUsize,
    /// Programs with this code that have hidden it.
    users: AtomicUsize,
}

static TABLE: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), users: AtomicUsize::new(0) } }; SLOTS];
/// Who writes the table. A signal handler does not wait for it, as it may have interrupted who has it.
static LOCK: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Where an instruction was tried again.
    static TRIED: Cell<usize> = const { Cell::new(0) };
}

fn protect(start: usize, end: usize, executable: bool) {
    let execute = if executable { libc::PROT_EXEC } else { 0 };
    // SAFETY: the engine's own pages of code, which stay mapped and readable; who executes them has the
    // handler that calls reveal().
    unsafe { libc::mprotect(start as *mut _, end - start, libc::PROT_READ | execute) };
}

fn extent(program: &Program) -> (usize, usize) {
    let text = program.module.text();
    let start = text.as_ptr() as usize;
    (start, start + text.len().next_multiple_of(engine::PAGE))
}

/// The program's code faults when it is executed next. Async-signal-safe.
pub(crate) fn hide(program: &Program) {
    let (start, end) = extent(program);
    if !program.hidden.load(Relaxed) {
        if LOCK.swap(true, Acquire) {
            return;
        }
        let used = TABLE.iter().find(|slot| slot.start.load(Relaxed) == start);
        let slot = used.or_else(|| TABLE.iter().find(|slot| slot.start.load(Relaxed) == 0));
        if let Some(slot) = slot {
            slot.users.fetch_add(1, Relaxed);
            slot.end.store(end, Relaxed);
            slot.start.store(start, Release);
            program.hidden.store(true, Relaxed);
        }
        LOCK.store(false, Release);
    }
    if program.hidden.load(Relaxed) {
        protect(start, end, false);
    }
}

/// Code that was hidden can be executed again; the program goes away.
pub(crate) fn forget(program: &Program) {
    if !program.hidden.load(Relaxed) {
        return;
    }
    let (start, end) = extent(program);
    while LOCK.swap(true, Acquire) {
        hint::spin_loop();
    }
    if let Some(slot) = TABLE.iter().find(|slot| slot.start.load(Relaxed) == start)
        && slot.users.fetch_sub(1, Relaxed) == 1
    {
        protect(start, end, true);
        slot.start.store(0, Release);
    }
    LOCK.store(false, Release);
}

/// An instruction at `pc` could not be fetched. True if that was because its code is hidden, or was
/// until now: it can be tried again. Async-signal-safe.
pub(crate) fn reveal(pc: usize) -> bool {
    for slot in &TABLE {
        let (start, end) = (slot.start.load(Acquire), slot.end.load(Relaxed));
        if start != 0 && (start..end).contains(&pc) {
            protect(start, end, true);
            return true;
        }
    }
    // It may have been revealed on another thread, and forgotten.
    TRIED.replace(pc) != pc
}
