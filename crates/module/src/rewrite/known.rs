//! What the engine's compiler takes to be in memory: it merges a load into an access of the same
//! address before, and leaves out a store that writes what is there, if nothing between changes
//! memory.
//!
//! Only accesses of eight bytes are followed. Volatile ones of up to four are atomic already
//! (`docs/abi.md`), and a C compiler has merged those that are not volatile, so what is found here
//! nearly always is volatile.

use std::collections::BTreeSet;

/// The address of an access: that of its operand, and the offset, of which only equality counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operand {
    Constant(i32),
    Local(u32),
}

/// More than so many addresses are taken for all.
const MOST: usize = 32;
/// Structures within more than so many others are not followed: there, all is known.
const DEEPEST: usize = 256;
/// A branch to more places than this has all known at each.
const TARGETS: u32 = 64;

/// A set of addresses, or all.
#[derive(Clone, Default)]
struct Set {
    all: bool,
    addresses: BTreeSet<(Operand, u64)>,
}

impl Set {
    fn join(&mut self, other: &Set) {
        self.all |= other.all;
        self.addresses.extend(&other.addresses);
        self.bound();
    }

    fn bound(&mut self) {
        if self.addresses.len() > MOST {
            self.all = true;
        }
        if self.all {
            self.addresses.clear();
        }
    }
}

/// A structure that is open.
#[derive(Default)]
struct Structure {
    is_loop: bool,
    /// What is known where its `else` begins.
    at_else: Option<Set>,
    /// What is known at the branches to its end.
    at_end: Set,
}

/// What may be known at a place in a function, as the code is gone through in order.
pub(super) struct Known {
    here: Set,
    open: Vec<Structure>,
    /// How many structures are open that are not followed.
    deeper: u32,
}

impl Known {
    /// At the begin of a function.
    pub(super) fn new() -> Known {
        Known { here: Set::default(), open: vec![Structure::default()], deeper: 0 }
    }

    /// An access of eight bytes. Says whether its address may be known already.
    pub(super) fn access(&mut self, operand: Operand, offset: u64) -> bool {
        let known = self.here.all || !self.here.addresses.insert((operand, offset));
        self.here.bound();
        known
    }

    /// Memory may have changed, as far as the compiler knows.
    pub(super) fn forget(&mut self) {
        self.here = Set::default();
    }

    /// A local gets another value.
    pub(super) fn set(&mut self, local: u32) {
        if !self.here.addresses.is_empty() {
            self.here.addresses.retain(|(operand, _)| *operand != Operand::Local(local));
        }
    }

    /// All may be known.
    fn everything(&mut self) {
        self.here = Set { all: true, addresses: BTreeSet::new() };
    }

    /// A structure begins; `is_if` if a condition decides whether it is executed.
    pub(super) fn begin(&mut self, is_loop: bool, is_if: bool) {
        if self.open.len() > DEEPEST {
            self.deeper += 1;
            return self.everything();
        }
        let at_else = is_if.then(|| self.here.clone());
        self.open.push(Structure { is_loop, at_else, at_end: Set::default() });
    }

    /// `else`
    pub(super) fn otherwise(&mut self) {
        if self.deeper > 0 {
            return self.everything();
        }
        if let Some(inner) = self.open.last_mut() {
            inner.at_end.join(&self.here);
            self.here = inner.at_else.take().unwrap_or_default();
        }
    }

    /// The innermost structure ends.
    pub(super) fn end(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return self.everything();
        }
        if let Some(ended) = self.open.pop() {
            self.here.join(&ended.at_end);
            self.here.join(&ended.at_else.unwrap_or_default());
        }
    }

    /// A branch, which may be taken. Where a loop begins again, other accesses come first that are
    /// known.
    pub(super) fn branch(&mut self, depth: u32) {
        let Some(depth) = depth.checked_sub(self.deeper) else { return };
        if let Some(to) = self.open.iter_mut().nth_back(depth as usize)
            && !to.is_loop
        {
            to.at_end.join(&self.here);
        }
    }

    /// Branches to so many places come next, one of which is taken.
    pub(super) fn branches(&mut self, targets: u32) {
        if targets > TARGETS {
            self.everything();
        }
    }
}
