//! Stores with the instances of a task, and a pool of those that dead tasks left: most tasks get one that is ready.
//!
//! What a Store has, and why the next task finds nothing of the last one in it:
//! - The kernel's instance: its one variable is `__stack_pointer` (`crates/module` refuses another kernel).
//! - A program's instance is used again for the same program only, on the address range that its code
//!   is bound to. Its variables are all exported (`crates/module` sees to that), and get the values
//!   that the new task wants. Tables cannot change (`allowed.rs` there); a program that can drop its
//!   segments is never used again.
//! - Instances of other programs stay until the Store goes, but nothing refers to them: an instance has
//!   the kernel's `syscall` as its only import.
//! - The heap for exceptions is emptied, and one that nobody caught is taken out of the Store.
//! - Memory is the kernel's affair: `space.rs` makes it agree with the new task's page tables.
use crate::{
    code::Program,
    cpu::{self, cpu},
    exceptions::Heap,
    limits::{self, Charge, Cost, SPACE_ADDRESS, SPACE_MAPS, TABLE_ENTRY},
    memory::{self, Backing},
    space::Space,
    task::{Image, UserStart},
    trap::{self, UserContext},
};
use std::{
    cell::{Cell, RefCell},
    ops::{Deref, DerefMut},
    sync::Arc,
};
use wasmlinux_boundary::{kernel as names, program};
use wasmtime::{
    AsContextMut, Error, Func, Global, Instance, ResourceLimiter, Result, RootScope, Store, Val, WasmParams,
    WasmResults,
};

/// Kernel instances kept for reuse. Each takes a few hundred kilobytes.
const POOL: usize = 32;
/// Program instances that a Store may come to hold: they are freed with it only.
const PROGRAMS: usize = 6;

/// Instances, and memories, that a Store may come to hold.
const INSTANCES: usize = 64;
/// Entries to which a table may grow.
const TABLE: usize = 1 << 18;

/// Takes something of the host; what is kept for reuse is given back if it would be too much.
pub(crate) fn charge(cost: Cost) -> Option<Charge> {
    let ledger = limits::current()?;
    loop {
        if let Some(charge) = ledger.charge(cost) {
            return Some(charge);
        }
        let oldest = READY.with_borrow_mut(|ready| if ready.is_empty() { None } else { Some(ready.remove(0)) });
        oldest?;
    }
}

/// Takes what an instance of a program needs, on an address space that exists or on a new one.
pub(crate) fn image(program: &Program, new_space: bool) -> Option<Image> {
    let tables = charge(Cost { tables: program.tables, ..Cost::default() })?;
    let space = Cost { maps: SPACE_MAPS, address: SPACE_ADDRESS, ..Cost::default() };
    Some(Image { tables, space: if new_space { Some(charge(space)?) } else { None } })
}

/// What the Store of a task holds beside its instances.
#[derive(Default)]
pub(crate) struct TaskData {
    /// What its instances have taken, until it is freed. Their heaps would be counted here too.
    charges: Vec<Charge>,
    /// Bytes of tables that may be made without a charge: there is one already, or they are the kernel's.
    tables_paid: usize,
    /// The program that runs, its address space, and its mutable globals in the order of [`Program::globals`].
    pub(crate) program: Option<Arc<Program>>,
    pub(crate) space: Option<Arc<Space>>,
    pub(crate) globals: Arc<[Global]>,
    pub(crate) stack_pointer: Option<Global>,
}

impl ResourceLimiter for TaskData {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        // What grows is the heap for exceptions, which has a limit of its own; other memories do not.
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let tables = desired.saturating_sub(current).saturating_mul(TABLE_ENTRY);
        if tables <= self.tables_paid {
            self.tables_paid -= tables;
            return Ok(true);
        }
        let charge = limits::current().filter(|_| desired <= TABLE);
        let charge = charge.and_then(|ledger| ledger.charge(Cost { tables, ..Cost::default() }));
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
    globals: Arc<[Global]>,
    /// What the globals were when the instance was new.
    initial: Vec<Val>,
    stack_pointer: Option<Global>,
}

impl User {
    /// Whether it can be this program's on this address space, or on a new one.
    fn fits(&self, program: &Arc<Program>, space: Option<&Arc<Space>>) -> bool {
        let context = &self.context;
        let range = match space {
            Some(space) => Arc::ptr_eq(space, &context.space),
            None => !context.space.is_bound(),
        };
        program.reusable && Arc::ptr_eq(program, &context.program) && range
    }
}

/// A Store with a kernel instance, and perhaps program instances, the last of which is in use.
pub(crate) struct Kernel {
    pub(crate) store: Store<TaskData>,
    instance: Instance,
    stack_pointer: Global,
    pub(crate) user: Option<User>,
    programs: usize,
    /// Of its programs' exceptions, once one of them can throw.
    heap: Option<Arc<Heap>>,
}

thread_local! {
    /// Of the machine whose processor this thread is; least recently used first.
    static READY: RefCell<Vec<Kernel>> = const { RefCell::new(Vec::new()) };
}

/// Gives back what is kept.
pub(crate) fn clear() {
    drop(READY.take());
}

/// A Kernel that goes back to the pool.
pub(crate) struct Lease(Option<Kernel>);

impl Deref for Lease {
    type Target = Kernel;
    fn deref(&self) -> &Kernel {
        self.0.as_ref().expect("taken only by drop")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Kernel {
        self.0.as_mut().expect("taken only by drop")
    }
}

impl Drop for Lease {
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
        if kernel.programs > PROGRAMS {
            return;
        }
        let surplus = READY.with_borrow_mut(|ready| {
            ready.push(kernel);
            (ready.len() > POOL).then(|| ready.remove(0))
        });
        drop(surplus);
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
    /// How well the Kernel fits, if it does: its address range has most of what the task will use if it was its like's.
    fn rate(&self, kernel: &Kernel) -> Option<bool> {
        let user = kernel.user.as_ref().filter(|user| user.fits(&self.program, self.space.as_ref()))?;
        Some(user.context.space.is_fork() == self.is_fork)
    }
}

impl Lease {
    /// For a task that will run a program, or that stays in the kernel.
    pub(crate) async fn new(stack: u32, wanted: Option<Wanted>) -> Result<Lease> {
        let ready = READY.with_borrow_mut(|ready| {
            let rate = |(at, kernel)| wanted.as_ref().and_then(|wanted| Some((wanted.rate(kernel)?, at)));
            let rated: Vec<_> = ready.iter().enumerate().filter_map(rate).collect();
            // The only one of the other sort stays for its like.
            let best = rated.iter().max().filter(|(alike, _)| *alike || rated.len() > 1);
            let at = best.map(|(_, at)| *at);
            // Any other will do, but one without a program is no loss to others.
            let at = at.or_else(|| ready.iter().rposition(|kernel| kernel.user.is_none()));
            let at = at.or((ready.len() == POOL).then_some(0));
            at.map(|at| ready.remove(at))
        });
        let mut kernel = match ready {
            Some(kernel) => kernel,
            None => Kernel::new().await?,
        };
        kernel.empty_stack(stack)?;
        Ok(Lease(Some(kernel)))
    }
}

impl Kernel {
    async fn new() -> Result<Kernel> {
        let board = cpu(|cpu| cpu.board.clone());
        let data = TaskData { tables_paid: usize::MAX, ..TaskData::default() };
        let mut store = Store::new(board.kernel.module().engine(), data);
        store.limiter(|data| data);
        let physical = Backing::Physical(board.physical.clone());
        let (instance, _) = memory::with(physical, board.kernel.instantiate_async(&mut store)).await?;
        store.data_mut().tables_paid = 0;
        let stack_pointer = instance.get_global(&mut store, program::STACK_POINTER);
        let stack_pointer = stack_pointer.ok_or_else(|| Error::msg("the kernel exports no __stack_pointer"))?;
        Ok(Kernel { store, instance, stack_pointer, user: None, programs: 0, heap: None })
    }

    pub(crate) fn empty_stack(&mut self, stack: u32) -> Result<()> {
        self.stack_pointer.set(&mut self.store, Val::I32(stack as i32))
    }

    fn export(&mut self, name: &str) -> Result<Func> {
        let function = self.instance.get_func(&mut self.store, name);
        function.ok_or_else(|| Error::msg(format!("the kernel exports no {name}")))
    }

    /// Calls an export of the kernel.
    pub(crate) async fn call<A, R>(&mut self, name: &str, arguments: A) -> Result<R>
    where
        A: WasmParams + Sync,
        R: WasmResults + Sync,
    {
        let function = self.instance.get_typed_func::<A, R>(&mut self.store, name)?;
        cpu::set_stack_limit(usize::MAX);
        function.call_async(&mut self.store, arguments).await.map_err(trap::cause)
    }

    /// Calls an export of the program.
    pub(crate) async fn call_user<A, R>(&mut self, name: &str, arguments: A) -> Result<R>
    where
        A: WasmParams + Sync,
        R: WasmResults + Sync,
    {
        let user = self.user.as_ref().ok_or_else(|| Error::msg("no program"))?;
        let function = user.instance.get_typed_func::<A, R>(&mut self.store, name)?;
        cpu::set_stack_limit(usize::MAX);
        function.call_async(&mut self.store, arguments).await.map_err(trap::cause)
    }

    /// Makes the program ready on the address space of a page directory, its mutable globals as given; others as they
    /// are when an instance is new.
    pub(crate) async fn enter(&mut self, start: UserStart) -> Result<()> {
        let UserStart { program, pgd, parent, globals, image, .. } = start;
        let program = &program;
        let bound = cpu(|cpu| cpu.space_of(pgd));
        let fits = self.user.as_ref().is_some_and(|user| user.fits(program, bound.as_ref()));
        if !fits {
            // No code of an instance that was here before runs any more.
            let before = self.user.take().map(|user| user.context.space.clone()).filter(|space| !space.is_bound());
            let space = match (bound.clone().or(before), image.space) {
                (Some(space), _) => space,
                (None, Some(charge)) => cpu(|cpu| cpu.new_space(charge))?,
                (None, None) => return Err(Error::msg("a thread without an address space")),
            };
            let data = self.store.data_mut();
            (data.tables_paid, _) = (program.tables, data.charges.push(image.tables));
            self.instantiate(program, space).await?;
            self.store.data_mut().tables_paid = 0;
        }
        let user = self.user.as_mut().ok_or_else(|| Error::msg("just made"))?;
        let space = &user.context.space;
        if bound.is_none() {
            cpu(|cpu| cpu.bind_space(pgd, space.clone(), parent.as_deref()));
        }
        if fits {
            for (global, value) in user.globals.iter().zip(&user.initial) {
                global.set(&mut self.store, *value)?;
            }
        }
        for (index, value) in globals {
            user.globals[index].set(&mut self.store, value)?;
        }
        user.context.deferred.set(0);
        if let Some(exceptions) = &user.context.exceptions {
            // SAFETY: the program has not begun.
            unsafe { exceptions.clear() };
        }
        user.context.missed.set(0);
        user.context.steps.set(0);
        let (globals, stack_pointer) = (user.globals.clone(), user.stack_pointer);
        let data = self.store.data_mut();
        (data.program, data.globals, data.stack_pointer) = (Some(program.clone()), globals, stack_pointer);
        data.space = Some(user.context.space.clone());
        Ok(())
    }

    async fn instantiate(&mut self, program: &Arc<Program>, space: Arc<Space>) -> Result<()> {
        let syscall = self.export(program::SYSCALL)?;
        // `crates/module` lets no other imports through.
        let imports: Vec<_> = (0..program.imports).map(|_| syscall.into()).collect();
        let backing = Backing::User(space.clone());
        let made = memory::with(backing, Instance::new_async(&mut self.store, &program.module, &imports)).await;
        let (instance, heap) = made?;
        self.programs += 1;
        self.heap = self.heap.take().or(heap);
        let mut globals = Vec::new();
        for name in &program.globals {
            let global = instance.get_global(&mut self.store, name);
            globals.push(global.ok_or_else(|| Error::msg("an export vanished"))?);
        }
        let initial = globals.iter().map(|global: &Global| global.get(&mut self.store)).collect();
        let signal = instance.get_func(&mut self.store, program::SIGNAL);
        let signal = signal.filter(|signal| signal.typed::<(), i32>(&self.store).is_ok());
        let endless = || Error::msg("a function that cannot be called from a handler");
        let kernel = cpu(|cpu| cpu.board.kernel.module().clone());
        let signal = match signal {
            // SAFETY: of that program's instance; context and Store are dropped together.
            Some(signal) => {
                Some(unsafe { trap::Callee::new(signal, &program.module, &mut self.store) }.ok_or_else(endless)?)
            }
            None => None,
        };
        let start = instance.get_func(&mut self.store, program::START);
        let start = start.ok_or_else(|| Error::msg("an export vanished"))?;
        // SAFETY: the heap that was made for this Store, which is dropped together with what uses it.
        let exceptions = self.heap.clone().and_then(|heap| unsafe { trap::exceptions(start, heap, &mut self.store) });
        let mut entry = |name| {
            let export = self.export(name)?;
            // SAFETY: of the kernel's instance; as above.
            unsafe { trap::Callee::new(export, &kernel, &mut self.store) }.ok_or_else(endless)
        };
        let context = Box::new(UserContext {
            space,
            program: program.clone(),
            fault: entry(names::FAULT)?,
            irq: entry(names::IRQ)?,
            trap: entry(names::TRAP)?,
            abort: entry(names::ABORT)?,
            signal,
            deferred: Cell::new(0),
            exceptions,
            missed: Cell::new(0),
            steps: Cell::new(0),
        });
        let stack_pointer = program.stack_pointer.map(|index| globals[index]);
        self.user = Some(User { instance, context, globals: globals.into(), initial, stack_pointer });
        Ok(())
    }
}
