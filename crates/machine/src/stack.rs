//! Native stacks of tasks, reused: a page fault for each page of each new task would cost more than the task.
use crate::{
    cpu,
    engine::{STACK_HOST, STACK_KERNEL},
    physical::reserve,
};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, PoisonError},
};
use wasmtime::{StackCreator, StackMemory};

/// Bytes below a stack without access.
const GUARD: usize = 64 << 10;
/// Stacks kept for reuse, and the bytes at their top that stay in memory.
const KEEP: usize = 64;
const KEEP_RESIDENT: usize = 32 << 10;

static FREE: Mutex<Vec<Mapping>> = Mutex::new(Vec::new());
/// Top of each stack in use, by its bottom.
static IN_USE: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// The lowest stack pointer with which user code may enter the kernel, on the stack that `sp` lies on; 0 if that is no
/// task's stack.
pub(crate) fn limit_for(sp: usize) -> usize {
    let in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    match in_use.range(..=sp).next_back() {
        Some((bottom, top)) if sp < *top => bottom + STACK_HOST + STACK_KERNEL,
        _ => 0,
    }
}

/// Whether the kernel has room on the task's stack whose pointer is `here`. Async-signal-safe where the interrupted code is compiled.
pub(crate) fn has_room(here: usize) -> bool {
    let limit = match cpu::stack_limit() {
        usize::MAX => limit_for(here),
        known => known,
    };
    here > limit
}

pub(crate) struct Stacks;

// SAFETY: every stack is page-aligned, zero or reused within this process, with a guard below.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mapping = match free {
            Some(mapping) if mapping.size == size => mapping,
            _ => Mapping::new(size)?,
        };
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).insert(mapping.bottom(), mapping.top());
        Ok(Box::new(Stack(Some(mapping))))
    }
}

/// A reservation: a guard, then the stack.
struct Mapping {
    base: *mut u8,
    size: usize,
}

// SAFETY: an address range that only its owner uses.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(size: usize) -> std::io::Result<Mapping> {
        let mapping = Mapping { base: reserve(GUARD + size)?, size };
        // SAFETY: within the reservation.
        if unsafe { libc::mprotect(mapping.base.add(GUARD).cast(), size, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(mapping)
    }

    fn bottom(&self) -> usize {
        self.base as usize + GUARD
    }

    fn top(&self) -> usize {
        self.bottom() + self.size
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the reservation of new().
        unsafe { libc::munmap(self.base.cast(), GUARD + self.size) };
    }
}

struct Stack(Option<Mapping>);

impl Stack {
    fn mapping(&self) -> &Mapping {
        self.0.as_ref().expect("taken only by drop")
    }
}

// SAFETY: the ranges are those of the mapping, which lives as long as this.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        self.mapping().top() as *mut u8
    }
    fn range(&self) -> Range<usize> {
        self.mapping().bottom()..self.mapping().top()
    }
    fn guard_range(&self) -> Range<*mut u8> {
        let base = self.mapping().base;
        base..base.wrapping_add(GUARD)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(mapping) = self.0.take() else { return };
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).remove(&mapping.bottom());
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEEP {
            // SAFETY: nobody runs on this stack any more; its contents are not needed.
            unsafe { libc::madvise(mapping.bottom() as *mut _, mapping.size - KEEP_RESIDENT, libc::MADV_DONTNEED) };
            free.push(mapping);
        }
    }
}
