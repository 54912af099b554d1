//! Stores with the instances of a task, and a pool of those that dead tasks left: most tasks get
//! one that is ready.
//!
//! What a Store has, and why the next task finds nothing of the last one in it:
//! - The kernel's instance: its one variable is `__stack_pointer` (`crates/module` refuses another
//!   kernel).
//! - A program's instance is used again for the same program only, on the address range that its
//!   code is bound to. Its variables are all exported (`crates/module` sees to that), and get the
//!   values that the new task wants. Tables cannot change (`allowed.rs` there); a program that can
//!   drop its segments is never used again.
//! - Instances of other programs stay until the Store goes, but nothing refers to them: an instance
//!   has the kernel's `syscall` as its only import.
//! - The heap for exceptions is emptied, and one that nobody caught is taken out of the Store.
//! - Memory is the kernel's affair: `space.rs` makes it agree with the new task's page tables.
use crate::{
    cpu::clock::Monotonic,
    cpu::processor::Processor,
    cpu::start::Image,
    engine::code::Program,
    limits::{Charge, Cost, SPACE_ADDRESS, SPACE_MAPS, TABLE_ENTRY},
    mmu::exceptions::Heap,
    mmu::space::Space,
    sync::{ThreadBound, lock},
    system::System,
    trap::UserContext,
};
use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, Weak},
};
use wasmtime::{AsContextMut, Error, Global, Instance, InstancePre, ResourceLimiter, Result, RootScope, Store, Val};

#[cfg(test)]
mod tests;

/// Kernel instances kept for reuse. Each takes a few hundred kilobytes.
const POOL: usize = 32;
/// Program instances that a Store may come to hold: they are freed with it only.
const PROGRAMS: usize = 6;

/// Instances, and memories, that a Store may come to hold.
const INSTANCES: usize = 64;
/// Entries to which a table may grow.
const TABLE: usize = 1 << 18;

/// What the Store of a task holds beside its instances: what host functions know.
pub(crate) struct TaskData {
    pub(crate) system: Arc<System>,
    /// The machine's: programs read it all the time.
    pub(crate) clock: Monotonic,
    /// The one that runs the task.
    pub(crate) processor: Arc<ThreadBound<Processor>>,
    /// Weak, as the pool holds Stores.
    pool: Weak<Pool>,
    /// What its instances have taken, until it is freed. Their heaps would be counted here too.
    pub(crate) charges: Vec<Charge>,
    /// Bytes of tables that may be made without a charge: there is one already, or they are the
    /// kernel's.
    pub(crate) tables_paid: usize,
    /// The program that runs, its address space, and its mutable globals in the order of
    /// [`Program::globals`].
    pub(crate) program: Option<Arc<Program>>,
    pub(crate) space: Option<Arc<Space>>,
    pub(crate) globals: Arc<[Global]>,
    pub(crate) stack_pointer: Option<Global>,
}

impl TaskData {
    /// Of a new Store, in which the kernel's tables can be made.
    pub(crate) fn new(pool: &Arc<Pool>) -> TaskData {
        TaskData {
            system: pool.system.clone(),
            clock: pool.system.clock,
            processor: pool.processor.clone(),
            pool: Arc::downgrade(pool),
            charges: Vec::new(),
            tables_paid: usize::MAX,
            program: None,
            space: None,
            globals: Arc::default(),
            stack_pointer: None,
        }
    }

    /// Calls `f` with the address space of a page directory, once it has one: mostly the task's
    /// own, which need not be looked for.
    pub(crate) fn with_space(&self, pgd: u32, f: impl FnOnce(&Space)) {
        match &self.space {
            Some(space) if space.is_of(pgd) => f(space),
            _ => self.system.with_space(pgd, f),
        }
    }

    /// The pool of the processor.
    pub(crate) fn pool(&self) -> Result<Arc<Pool>> {
        self.pool.upgrade().ok_or_else(|| Error::msg("the machine is off"))
    }
}

impl ResourceLimiter for TaskData {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        // What grows is the heap for exceptions, which has a limit of its own; other memories do
        // not.
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let tables = desired.saturating_sub(current).saturating_mul(TABLE_ENTRY);
        if tables <= self.tables_paid {
            self.tables_paid -= tables;
            return Ok(true);
        }
        let cost = Cost { tables, ..Cost::default() };
        let charge = (desired <= TABLE).then(|| self.system.board.ledger.charge(cost)).flatten();
        Ok(charge.map(|charge| self.charges.push(charge)).is_some())
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        4 * INSTANCES
    }

    fn memories(&self) -> usize {
        INSTANCES
    }
}

/// A program's instance, bound to an address range.
pub(crate) struct User {
    pub(crate) instance: Instance,
    /// What the signal handlers need. It stays where it is.
    pub(crate) context: Box<UserContext>,
    pub(crate) globals: Arc<[Global]>,
    /// What the globals were when the instance was new.
    pub(crate) initial: Vec<Val>,
    pub(crate) stack_pointer: Option<Global>,
}

impl User {
    /// Whether it can be this program's on this address space, or on a new one.
    pub(crate) fn fits(&self, program: &Arc<Program>, space: Option<&Arc<Space>>) -> bool {
        let context = &self.context;
        let range = match space {
            Some(space) => Arc::ptr_eq(space, &context.space),
            None => !context.space.is_bound(),
        };
        program.reusable && Arc::ptr_eq(program, &context.program) && range
    }
}

/// A Store with a kernel instance, and perhaps program instances, the last of which is in use.
pub(crate) struct Instances {
    pub(crate) store: Store<TaskData>,
    pub(crate) instance: Instance,
    pub(crate) stack_pointer: Global,
    pub(crate) user: Option<User>,
    pub(crate) programs: usize,
    /// Of its programs' exceptions, once one of them can throw.
    pub(crate) heap: Option<Arc<Heap>>,
}

/// A processor's pool: where its tasks get their instances from.
pub(crate) struct Pool {
    pub(crate) system: Arc<System>,
    pub(crate) processor: Arc<ThreadBound<Processor>>,
    pub(crate) kernel: InstancePre<TaskData>,
    /// Those that dead tasks left, least recently used first.
    ready: Mutex<Vec<Instances>>,
}

/// Instances that go back to the pool.
pub(crate) struct Pooled(Option<Instances>);

impl Deref for Pooled {
    type Target = Instances;
    fn deref(&self) -> &Instances {
        self.0.as_ref().expect("taken only by drop")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Instances {
        self.0.as_mut().expect("taken only by drop")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(mut kernel) = self.0.take() else { return };
        let data = kernel.store.data_mut();
        (data.program, data.space, data.globals, data.stack_pointer) = (None, None, Arc::default(), None);
        if let Some(exceptions) = kernel.user.as_ref().and_then(|user| user.context.exceptions.as_ref()) {
            // SAFETY: no frame of the program is left.
            unsafe { exceptions.clear() };
        }
        // One that nobody caught.
        let _ = RootScope::new(&mut kernel.store).as_context_mut().take_pending_exception();
        if let Some(pool) = kernel.store.data().pool.upgrade() {
            pool.keep(kernel);
        }
    }
}

/// What a task will run.
pub(crate) struct Wanted {
    pub(crate) program: Arc<Program>,
    /// None if none exists for it yet.
    pub(crate) space: Option<Arc<Space>>,
    /// It begins as a copy made by fork().
    pub(crate) is_fork: bool,
}

impl Wanted {
    /// How well these instances fit, if they do. Best is an address range that was last used alike,
    /// by a forked process or by another: it has most of what the task will use.
    fn rate(&self, kernel: &Instances) -> Option<bool> {
        let user = kernel.user.as_ref().filter(|user| user.fits(&self.program, self.space.as_ref()))?;
        Some(user.context.space.is_fork() == self.is_fork)
    }
}

impl Pool {
    /// `kernel` is what its instances are made of.
    pub(crate) fn new(
        system: Arc<System>,
        processor: Arc<ThreadBound<Processor>>,
        kernel: InstancePre<TaskData>,
    ) -> Arc<Pool> {
        Arc::new(Pool { system, processor, kernel, ready: Mutex::default() })
    }

    /// Takes something of the host; what is kept for reuse is given back if it would be too much.
    pub(crate) fn charge(&self, cost: Cost) -> Option<Charge> {
        loop {
            if let Some(charge) = self.system.board.ledger.charge(cost) {
                return Some(charge);
            }
            let oldest = {
                let mut ready = lock(&self.ready);
                if ready.is_empty() { None } else { Some(ready.remove(0)) }
            };
            oldest?;
        }
    }

    /// Takes what an instance of a program needs, on an address space that exists or on a new one.
    pub(crate) fn image(&self, program: &Program, new_space: bool) -> Option<Image> {
        let tables = self.charge(Cost { tables: program.tables, ..Cost::default() })?;
        let space = Cost { maps: SPACE_MAPS, address: SPACE_ADDRESS, ..Cost::default() };
        Some(Image { tables, space: if new_space { Some(self.charge(space)?) } else { None } })
    }

    /// Instances for a task that will run a program, or that stays in the kernel; None if new ones
    /// are to be made.
    pub(crate) fn take(&self, wanted: Option<&Wanted>) -> Option<Instances> {
        let mut ready = lock(&self.ready);
        let rate = |(at, kernel)| wanted.and_then(|wanted| Some((wanted.rate(kernel)?, at)));
        let rated: Vec<_> = ready.iter().enumerate().filter_map(rate).collect();
        // The only one of the other sort stays for its like.
        let best = rated.iter().max().filter(|(alike, _)| *alike || rated.len() > 1);
        let at = best.map(|(_, at)| *at);
        // Any other will do, but one without a program is no loss to others.
        let at = at.or_else(|| ready.iter().rposition(|kernel| kernel.user.is_none()));
        let at = at.or((ready.len() == POOL).then_some(0));
        at.map(|at| ready.remove(at))
    }

    /// Keeps instances that nobody uses any more, for which the oldest ones may have to go.
    fn keep(&self, kernel: Instances) {
        if kernel.programs > PROGRAMS {
            return;
        }
        let surplus = {
            let mut ready = lock(&self.ready);
            ready.push(kernel);
            (ready.len() > POOL).then(|| ready.remove(0))
        };
        drop(surplus);
    }

    /// Gives back what is kept.
    pub(crate) fn clear(&self) {
        let ready = std::mem::take(&mut *lock(&self.ready));
        drop(ready);
    }
}

impl Instances {
    /// They go back to their pool when this is dropped.
    pub(crate) fn pooled(self) -> Pooled {
        Pooled(Some(self))
    }
}
