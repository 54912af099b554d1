//! How a task gets its instances: out of the pool of `store.rs`, or new ones.
use crate::{
    cpu::start::UserStart,
    cpu::store::{Instances, Pool, Pooled, TaskData, User, Wanted},
    engine::code::Program,
    local,
    mmu::linear::{self, Backing},
    mmu::space::Space,
    trap::{self, UserContext},
};
use std::{cell::Cell, sync::Arc};
use wasmlinux_boundary::{kernel as names, program};
use wasmtime::{Error, Func, Global, Instance, Result, Store, Val, WasmParams, WasmResults};

impl Pooled {
    /// For a task that will run a program, or that stays in the kernel.
    pub(crate) async fn new(pool: &Arc<Pool>, stack: u32, wanted: Option<Wanted>) -> Result<Pooled> {
        let mut instances = match pool.take(wanted.as_ref()) {
            Some(instances) => instances,
            None => Instances::new(pool).await?,
        };
        instances.empty_stack(stack)?;
        Ok(instances.pooled())
    }
}

impl Instances {
    async fn new(pool: &Arc<Pool>) -> Result<Instances> {
        let mut store = Store::new(pool.kernel.module().engine(), TaskData::new(pool));
        store.limiter(|data| data);
        let physical = Backing::Physical(pool.system.board.physical.clone());
        let (instance, _) = linear::with(physical, pool.kernel.instantiate_async(&mut store)).await?;
        store.data_mut().tables_paid = 0;
        let stack_pointer = instance.get_global(&mut store, program::STACK_POINTER);
        let stack_pointer = stack_pointer.ok_or_else(|| Error::msg("the kernel exports no __stack_pointer"))?;
        Ok(Instances { store, instance, stack_pointer, user: None, programs: 0, heap: None })
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
        local::set_stack_limit(usize::MAX);
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
        local::set_stack_limit(usize::MAX);
        function.call_async(&mut self.store, arguments).await.map_err(trap::cause)
    }

    /// Makes the program ready on the address space of a page directory, its mutable globals as
    /// given; others as they are when an instance is new.
    pub(crate) async fn enter(&mut self, start: UserStart) -> Result<()> {
        let UserStart { program, pgd, parent, globals, image, .. } = start;
        let program = &program;
        let system = self.store.data().system.clone();
        let bound = system.space_of(pgd);
        let fits = self.user.as_ref().is_some_and(|user| user.fits(program, bound.as_ref()));
        if !fits {
            // No code of an instance that was here before runs any more.
            let before = self.user.take().map(|user| user.context.space.clone()).filter(|space| !space.is_bound());
            let space = match (bound.clone().or(before), image.space) {
                (Some(space), _) => space,
                (None, Some(charge)) => system.new_space(charge)?,
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
            system.bind_space(pgd, space.clone(), parent.as_deref());
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
        let made = linear::with(backing, Instance::new_async(&mut self.store, &program.module, &imports)).await;
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
        let kernel = self.store.data().system.board.kernel.clone();
        let signal = match signal {
            Some(signal) => {
                // SAFETY: of that program's instance; context and Store are dropped together.
                Some(unsafe { trap::Callee::new(signal, &program.module, &mut self.store) }.ok_or_else(endless)?)
            }
            None => None,
        };
        let start = instance.get_func(&mut self.store, program::START);
        let start = start.ok_or_else(|| Error::msg("an export vanished"))?;
        // SAFETY: the heap that was made for this Store, which is dropped together with what uses
        // it.
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
