//! What a machine has met that its owner may want to know while it runs: told here, not only in the
//! kernel's messages, in which the guest's programs have a part.
use crate::sync::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Written by the machine's thread, read by the owner.
#[derive(Default)]
pub(crate) struct Reports {
    oopses: AtomicU64,
    refusals: Mutex<(u64, Option<String>)>,
}

impl Reports {
    /// The kernel has trapped.
    pub(crate) fn oops(&self) {
        self.oopses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn oopses(&self) -> u64 {
        self.oopses.load(Ordering::Relaxed)
    }

    /// A program was refused, for this reason.
    pub(crate) fn refusal(&self, reason: String) {
        let mut refusals = lock(&self.refusals);
        *refusals = (refusals.0 + 1, Some(reason));
    }

    /// How many were refused, and the last one's reason.
    pub(crate) fn refusals(&self) -> (u64, Option<String>) {
        lock(&self.refusals).clone()
    }
}
