//! What threads have in common, and what one of them has for itself.
use std::{
    cell::Cell,
    ops::Deref,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Locks a mutex, also after a thread that had it has panicked: what such mutexes protect is whole
/// between any two statements.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The number of this thread; 0 before it has one.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// A value of the thread that made it. Others may hold it in an `Arc`, but not look into it. A
/// check costs a load and a compare.
pub(crate) struct ThreadBound<T> {
    thread: u64,
    value: T,
}

// SAFETY: only the thread that made it gets a reference to the value, by deref(). Another one may
// have the value itself, to drop it, when there is no reference left; that is what `Send` allows.
unsafe impl<T: Send> Sync for ThreadBound<T> {}

impl<T> ThreadBound<T> {
    /// Bound to the calling thread.
    pub(crate) fn new(value: T) -> ThreadBound<T> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        if NUMBER.get() == 0 {
            NUMBER.set(LAST.fetch_add(1, Relaxed) + 1);
        }
        ThreadBound { thread: NUMBER.get(), value }
    }
}

impl<T> Deref for ThreadBound<T> {
    type Target = T;

    /// # Panics
    /// On another thread than that which made the value.
    #[inline]
    fn deref(&self) -> &T {
        assert!(self.thread == NUMBER.get(), "this is another thread's");
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, thread};

    #[test]
    fn only_its_thread_looks_into_it() {
        let value = Arc::new(ThreadBound::new(Cell::new(1)));
        value.set(2);
        for _ in 0..2 {
            let theirs = value.clone();
            assert!(thread::spawn(move || theirs.set(3)).join().is_err());
        }
        // One that has a number of its own.
        let theirs = value.clone();
        assert!(thread::spawn(move || theirs.set(3 + ThreadBound::new(0).min(1))).join().is_err());
        assert_eq!(value.get(), 2);
    }
}
