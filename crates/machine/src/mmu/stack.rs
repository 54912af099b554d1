//! Native stacks of tasks, reused: a page fault for each page of each new task would cost more than
//! the task.
//!
//! A stack is a reservation of [`STACK_WASM`](crate::sizes::STACK_WASM) bytes and more, of which
//! compiled code may use the first [`STACK_FREE`]: each function looks at the engine's stack limit
//! before it makes its frame. Where it finds too little, it traps, and `trap/` asks here for more,
//! which is charged to the machine's ledger, lowers the limit, and lets the function begin again.
//! So what is resident is bounded by what was charged, but for [`STACK_HOST`] bytes that host
//! functions and signal frames may use below, and code pays nothing for it.
//!
//! ```text
//!  top     ┌──────────────────┐
//!          │ STACK_FREE       │  every task's
//!          ├──────────────────┤
//!          │ charged          │
//!  limit   ├──────────────────┤  the engine's stack limit; moves down
//!          │ not used yet     │
//!          ├──────────────────┤
//!          │ STACK_HOST       │  for host functions and signal frames, should all be used
//!  bottom  └──────────────────┘  the guard lies below
//! ```
use crate::{
    host::memory::{self, Access},
    limits::{self, Charge, Cost},
    local,
    sizes::{STACK_FREE, STACK_HOST, STACK_KERNEL},
    sync::lock,
};
use std::{cell::Cell, collections::BTreeMap, ops::Range, sync::Mutex};
use wasmtime::{StackCreator, StackMemory};

/// Bytes below a stack without access.
const GUARD: usize = 64 << 10;
/// Stacks kept for reuse, and the bytes at their top that stay in memory.
const KEEP: usize = 64;
const KEEP_RESIDENT: usize = 32 << 10;

/// Bytes that a stack grows by at least, and the part of what it has that it grows by.
const STEP: usize = 128 << 10;
const STEP_PART: usize = 4;
/// Bytes above the limit with which user code may enter the kernel: for most ways through it.
const ENTRY: usize = 48 << 10;
/// Bytes that a function of the kernel gets at once if it finds too little.
const DEBT: usize = 64 << 10;
/// Bytes by which the engine's limit may be lower than ours, as it counts from a frame below the
/// top.
const SLACK: usize = 16 << 10;
/// Bytes below the stack pointer of a task that suspends in which it has frames.
const SLEEP: usize = 16 << 10;

static FREE: Mutex<Vec<Mapping>> = Mutex::new(Vec::new());
/// Each stack in use, by its bottom.
static IN_USE: Mutex<BTreeMap<usize, InUse>> = Mutex::new(BTreeMap::new());

struct InUse {
    top: usize,
    /// As far as compiled code may go now.
    limit: usize,
    /// As far as it may go by what was charged; below, to the limit, is debt.
    paid: usize,
    charges: Vec<Charge>,
    debt: Option<Charge>,
}

impl InUse {
    fn new(top: usize) -> InUse {
        let paid = top - STACK_FREE;
        InUse { top, limit: paid, paid, charges: Vec::new(), debt: None }
    }
}

/// Who needs more of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A function of a program.
    User,
    /// A function of the kernel, which cannot be refused: it may hold locks. It takes little, and
    /// in debt: when the program enters the kernel the next time, its own frames must be paid for,
    /// or it dies.
    Kernel,
    /// An entry into the kernel: it gets enough for most ways through it, if [`STACK_KERNEL`] could
    /// be had.
    Entry,
}

/// Gives more stack to code that runs with this stack pointer and limit: the new limit. None if
/// there is none left, or the machine's share is used up even after sleeping tasks have given back
/// what they do not need.
pub(crate) fn grow(sp: usize, limit: usize, need: Need) -> Option<usize> {
    try_grow(sp, limit, need).or_else(|| {
        local::trim_stacks();
        try_grow(sp, limit, need)
    })
}

fn try_grow(sp: usize, limit: usize, need: Need) -> Option<usize> {
    let mut stacks = lock(&IN_USE);
    let (bottom, stack) = stacks.range_mut(..=sp).next_back().filter(|(_, stack)| sp < stack.top)?;
    let ledger = limits::current()?;
    let end = bottom + STACK_HOST;
    if need == Need::Kernel {
        if stack.limit + SLACK >= limit {
            let lower = stack.limit.saturating_sub(DEBT).max(end);
            if lower >= stack.limit {
                return None;
            }
            GROWN.set(*bottom);
            stack.limit = lower;
            stack.debt = None;
            stack.debt = Some(ledger.charge_anyway(Cost { stacks: stack.paid - lower, ..Cost::default() }));
        }
        return Some(stack.limit);
    }
    let wanted = match need {
        Need::Entry if sp < end + STACK_KERNEL => return None,
        Need::Entry => sp - ENTRY,
        // The engine has set its limit anew at a call, but the stack had grown before.
        _ if stack.paid + SLACK < limit => stack.paid,
        _ => stack.paid.min(sp) - 1,
    };
    if wanted < stack.paid {
        let lower = (stack.paid.min(sp) - STEP.max((stack.top - stack.paid) / STEP_PART)).max(end);
        let cost = Cost { stacks: stack.paid.saturating_sub(lower), ..Cost::default() };
        stack.debt = None;
        match ledger.charge(cost).filter(|_| lower < stack.paid) {
            Some(charge) => stack.charges.push(charge),
            None => {
                let debt = Cost { stacks: stack.paid - stack.limit, ..Cost::default() };
                stack.debt = Some(ledger.charge_anyway(debt));
                return None;
            }
        }
        GROWN.set(*bottom);
        stack.paid = lower;
    }
    // What the kernel had in debt lies below, unused now.
    stack.debt = None;
    stack.limit = stack.paid;
    Some(stack.limit)
}

/// The lowest stack pointer with which user code may enter the kernel, on the stack whose limit
/// this is.
pub(crate) fn entry_limit(limit: usize) -> usize {
    limit + ENTRY
}

/// Gives back what is far below the stack pointer of a task that sleeps on the stack with this
/// bottom: the new limit, if there is one.
///
/// # Safety
/// The task sleeps with this stack pointer, and has no frame further below than [`SLEEP`] bytes.
pub(crate) unsafe fn trim(bottom: usize, sp: usize) -> Option<usize> {
    let mut stacks = lock(&IN_USE);
    let stack = stacks.get_mut(&bottom).filter(|stack| (bottom..stack.top).contains(&sp))?;
    let limit = ((sp - SLEEP - ENTRY) & !4095).min(stack.top - STACK_FREE);
    if limit < stack.paid + STEP {
        return None;
    }
    // SAFETY: part of the stack, below all frames.
    unsafe { discard(bottom, (sp - SLEEP) & !4095) };
    let ledger = stack.charges.first()?.ledger().clone();
    stack.charges.clear();
    stack.charges.push(ledger.charge_anyway(Cost { stacks: stack.top - STACK_FREE - limit, ..Cost::default() }));
    (stack.limit, stack.paid, stack.debt) = (limit, limit, None);
    Some(limit)
}

thread_local! {
    /// The bottom of the stack of the task that runs, if that has grown; else 0.
    static GROWN: Cell<usize> = const { Cell::new(0) };
}

/// Which stack of the running task has grown: its bottom, or 0.
pub(crate) fn grown() -> usize {
    GROWN.get()
}

pub(crate) fn set_grown(bottom: usize) {
    GROWN.set(bottom);
}

/// Gives back what the running task's stack had grown by.
///
/// # Safety
/// No frame lies further than [`STACK_FREE`] bytes below its top until the stack is entered anew.
pub(crate) unsafe fn shrink() {
    let bottom = GROWN.replace(0);
    if bottom != 0
        && let Some(stack) = lock(&IN_USE).get_mut(&bottom)
    {
        // SAFETY: part of the stack, below all frames.
        unsafe { discard(bottom, stack.top - STACK_FREE) };
        *stack = InUse::new(stack.top);
    }
}

/// Gives the pages of a stack back to the host, from `from` up to `to`.
///
/// # Safety
/// They are part of a stack, nobody runs on them, and their contents are not needed any more.
unsafe fn discard(from: usize, to: usize) {
    // SAFETY: by this function's contract.
    unsafe { memory::discard(from as *mut u8, to - from) };
}

pub(crate) struct Stacks;

// SAFETY: every stack is page-aligned, zero or reused within this process, with a guard below.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        let free = lock(&FREE).pop();
        let mapping = match free {
            Some(mapping) if mapping.size == size => mapping,
            _ => Mapping::new(size)?,
        };
        let stack = InUse::new(mapping.top());
        lock(&IN_USE).insert(mapping.bottom(), stack);
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
        let mapping = Mapping { base: memory::reserve(GUARD + size)?, size };
        // SAFETY: within the reservation.
        unsafe { memory::protect(mapping.base.add(GUARD), size, Access::Write) }?;
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
        unsafe { memory::release(self.base, GUARD + self.size) };
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
        lock(&IN_USE).remove(&mapping.bottom());
        let mut free = lock(&FREE);
        if free.len() < KEEP {
            // SAFETY: nobody runs on it: it was the engine's until now.
            unsafe { discard(mapping.bottom(), mapping.top() - KEEP_RESIDENT) };
            free.push(mapping);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizes::STACK_WASM;

    fn new() -> Box<dyn StackMemory> {
        Stacks.new_stack(STACK_WASM + STACK_HOST, true).unwrap()
    }

    /// Stacks do not overlap, those that are given back are used again, and what lay deep in one is
    /// gone.
    #[test]
    fn stacks_are_used_again() {
        let mut stacks: Vec<_> = (0..KEEP + 8).map(|_| new()).collect();
        let mut ranges: Vec<_> = stacks.iter().map(|stack| stack.range()).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|pair| pair[0].end + GUARD <= pair[1].start));
        let deep = |stack: &dyn StackMemory| stack.top().wrapping_sub(4 * KEEP_RESIDENT).cast::<u64>();
        // SAFETY: within the stack, which is mapped and nobody runs on.
        stacks.iter().for_each(|stack| unsafe { deep(&**stack).write(7) });
        stacks.clear();
        assert!(FREE.lock().unwrap().len() <= KEEP);
        for _ in 0..KEEP {
            let stack = new();
            assert!(ranges.contains(&stack.range()), "one of those that were given back");
            // SAFETY: as above.
            assert_eq!(unsafe { deep(&*stack).read() }, 0);
            stacks.push(stack);
        }
    }

    /// What a stack grows by is charged, and given back when nothing runs on it.
    #[test]
    fn growth_is_charged() {
        let ledger = limits::Ledger::new(64 << 20);
        limits::set_current(Some(ledger.clone()));
        let stack = new();
        let top = stack.top() as usize;
        let mut limit = top - STACK_FREE;
        for _ in 0..4 {
            let lower = grow(limit + 64, limit, Need::User).unwrap();
            assert!(lower + STEP <= limit && lower >= top - STACK_WASM);
            limit = lower;
        }
        // The machine's share of stacks is as large as its memory: a second one does not get so
        // much.
        let rest = Cost { stacks: (64 << 20) - (top - STACK_FREE - limit) + 1, ..Cost::default() };
        assert!(ledger.charge(rest).is_none());
        // SAFETY: nothing runs on it.
        unsafe { shrink() };
        assert!(ledger.charge(rest).is_some());
        limits::set_current(None);
    }

    /// The first ones that come back are kept, and the latest of them is used first.
    #[test]
    fn what_is_kept_is_bounded() {
        let stacks: Vec<_> = (0..KEEP + 2).map(|_| new()).collect();
        let ranges: Vec<_> = stacks.iter().map(|stack| stack.range()).collect();
        let in_use = |range: &Range<usize>| lock(&IN_USE).contains_key(&range.start);
        assert!(ranges.iter().all(in_use));
        stacks.into_iter().for_each(drop);
        let free: Vec<_> = lock(&FREE).iter().map(|mapping| mapping.bottom()..mapping.top()).collect();
        assert_eq!(free, ranges[..KEEP]);
        assert!(!ranges.iter().any(in_use));
        assert_eq!(new().range(), ranges[KEEP - 1]);
        // One of another size is made.
        let smaller = Stacks.new_stack(STACK_HOST, true).unwrap();
        assert_eq!(smaller.range().len(), STACK_HOST);
    }

    /// Whatever happened on a stack, the next task on it has what every task has.
    #[test]
    fn a_stack_begins_anew() {
        let ledger = limits::Ledger::new(64 << 20);
        limits::set_current(Some(ledger.clone()));
        let all = Cost { stacks: 64 << 20, ..Cost::default() };
        let stack = new();
        let (range, first) = (stack.range(), stack.top() as usize - STACK_FREE);
        let paid = grow(first + 64, first, Need::User).unwrap();
        let debt = grow(paid + 64, paid, Need::Kernel).unwrap();
        assert!(debt < paid && ledger.charge(all).is_none());
        drop(stack);
        assert!(ledger.charge(all).is_some());
        let stack = new();
        assert_eq!(stack.range(), range);
        let again = &lock(&IN_USE)[&range.start];
        assert_eq!((again.limit, again.paid, again.charges.len(), again.debt.is_none()), (first, first, 0, true));
        limits::set_current(None);
    }

    /// A stack grows down to what is the host's, and the kernel is not entered without room for it.
    #[test]
    fn growth_has_an_end() {
        limits::set_current(Some(limits::Ledger::new(1 << 30)));
        let stack = new();
        let end = stack.range().start + STACK_HOST;
        let mut limit = stack.top() as usize - STACK_FREE;
        while let Some(lower) = grow(limit + 64, limit, Need::User) {
            assert!(lower < limit);
            limit = lower;
        }
        assert!((end..end + STEP).contains(&limit), "{} above the end", limit - end);
        while let Some(lower) = grow(limit + 64, limit, Need::Kernel) {
            assert!(lower < limit);
            limit = lower;
        }
        assert_eq!(limit, end);
        assert!(grow(end + STACK_KERNEL - 1, limit, Need::Entry).is_none());
        assert!(grow(end + STACK_KERNEL, limit, Need::Entry).is_some());
        limits::set_current(None);
    }

    /// A task that sleeps keeps what it needs.
    #[test]
    fn a_sleeping_stack_is_trimmed() {
        let ledger = limits::Ledger::new(64 << 20);
        limits::set_current(Some(ledger.clone()));
        let stack = new();
        let (bottom, top) = (stack.range().start, stack.top() as usize);
        let mut limit = top - STACK_FREE;
        while limit > top - (8 << 20) {
            limit = grow(limit + 64, limit, Need::User).unwrap();
        }
        let word = |below: usize| stack.top().wrapping_sub(below).cast::<u64>();
        // SAFETY: within the stack, on which nobody runs.
        unsafe { [64 << 10, 1 << 20, 4 << 20].into_iter().for_each(|below| word(below).write(7)) };
        let sp = top - (2 << 20);
        // SAFETY: nobody runs on it: so it sleeps wherever one likes.
        let trimmed = unsafe { trim(bottom, sp) }.unwrap();
        assert!(limit < trimmed && trimmed < sp - SLEEP);
        // SAFETY: as above.
        let words = unsafe { [64 << 10, 1 << 20, 4 << 20].map(|below| word(below).read()) };
        assert_eq!(words, [7, 7, 0]);
        let kept = top - STACK_FREE - trimmed;
        assert!(ledger.charge(Cost { stacks: (64 << 20) - kept, ..Cost::default() }).is_some());
        assert!(ledger.charge(Cost { stacks: (64 << 20) - kept + 1, ..Cost::default() }).is_none());
        // SAFETY: as above. There is nothing more to be had.
        assert_eq!(unsafe { trim(bottom, sp) }, None);
        limits::set_current(None);
    }
}
