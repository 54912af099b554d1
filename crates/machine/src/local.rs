//! What code on a processor's thread knows of that processor without being told, also in signal
//! handlers and in functions that compiled code calls by the thousand. Each is set on the thread
//! that reads it.
use std::cell::Cell;

thread_local! {
    /// See [`stack_limit`].
    static STACK_LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// See [`suspended_at`].
    static SUSPENDED_AT: Cell<usize> = const { Cell::new(0) };
    /// See [`raise_limit`].
    static RAISE_LIMIT: Cell<usize> = const { Cell::new(0) };
    /// See [`trim_stacks`].
    static TRIM: Cell<fn()> = const { Cell::new(|| ()) };
}

/// The lowest native stack pointer with which the current task may enter the kernel; usize::MAX if
/// something must be looked at first: it is not known yet, or the plug was pulled.
#[inline]
pub(crate) fn stack_limit() -> usize {
    STACK_LIMIT.get()
}

/// Async-signal-safe.
#[inline]
pub(crate) fn set_stack_limit(limit: usize) {
    STACK_LIMIT.set(limit);
}

/// The stack pointer with which a task suspended on this thread last.
#[inline]
pub(crate) fn suspended_at() -> usize {
    SUSPENDED_AT.get()
}

#[inline]
pub(crate) fn set_suspended_at(sp: usize) {
    SUSPENDED_AT.set(sp);
}

/// The engine's stack limit that the task which is polled next shall go on with; 0 for its own.
#[inline]
pub(crate) fn raise_limit(limit: usize) {
    RAISE_LIMIT.set(limit);
}

#[inline]
pub(crate) fn take_raise_limit() -> usize {
    RAISE_LIMIT.take()
}

/// Gives back what the stacks of sleeping tasks do not need. Which those are, the processor's loop
/// knows, far above who asks: a handler in which a stack must grow.
#[inline]
pub(crate) fn trim_stacks() {
    TRIM.get()();
}

/// How that is done on this thread.
#[inline]
pub(crate) fn set_trim_stacks(trim: fn()) {
    TRIM.set(trim);
}
