//! The life of a task: a Store with a kernel instance and, when it runs a program, an instance of that.
use crate::{
    code::Program,
    cpu::{self, cpu},
    hypercall, memory,
    memory::Backing,
    trap::{self, UserContext},
};
use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    ptr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};
use wasmlinux_boundary::{ENTRY_FORK, OOPS_BUFFER, RESUME_HANDLER};
use wasmtime::{
    Error, Extern, Global, Instance, Module, Result, Store, StoreLimits, StoreLimitsBuilder, Trap, Val, WasmBacktrace,
};

const SYS_EXIT_GROUP: i32 = 94;

/// What a host function throws to end the frames of a task.
#[derive(Debug)]
pub(crate) enum Thrown {
    /// execve() has succeeded: the task goes on with the new program.
    Restart,
    /// User code entered the kernel with too little native stack left.
    StackExhausted,
    /// The machine ends.
    Unplugged,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Thrown {}

/// Where a task begins.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    /// The first one: the kernel's `boot`.
    Boot,
    /// Every other one: the kernel's `task_start`.
    Start,
}

/// What a task runs when it enters user mode.
pub(crate) struct UserStart {
    pub(crate) program: Arc<Program>,
    /// Physical address of the page directory.
    pub(crate) pgd: u32,
    /// The export to call.
    pub(crate) entry: UserEntry,
    /// The exported mutable globals to set before.
    pub(crate) globals: Vec<(String, Val)>,
}

#[derive(Clone, Copy)]
pub(crate) enum UserEntry {
    /// `_start(sp)`
    Start(u32),
    /// `_clone_start(sp)`
    Clone(u32),
    /// `_fork_child()`
    Fork,
}

impl UserEntry {
    /// By the numbers ENTRY_*.
    pub(crate) fn of_clone(entry: u32, sp: u32) -> UserEntry {
        if entry == ENTRY_FORK { UserEntry::Fork } else { UserEntry::Clone(sp) }
    }
}

/// What a Store holds beside its instances.
#[derive(Default)]
pub(crate) struct TaskData {
    limits: StoreLimits,
    /// The program that runs, and its exported mutable globals.
    pub(crate) program: Option<Arc<Program>>,
    pub(crate) globals: Vec<(String, Global)>,
    pub(crate) stack_pointer: Option<Global>,
}

/// What the processor switches beside the future.
struct Slot {
    context: Cell<*const UserContext>,
    stack_limit: Cell<usize>,
}

/// A task, as the processor sees it.
pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = Error>>>,
    slot: Rc<Slot>,
}

impl Task {
    pub(crate) fn new(id: u32, entry: Entry, kernel_stack: u32) -> Task {
        let slot = Rc::new(Slot { context: Cell::new(ptr::null()), stack_limit: Cell::new(usize::MAX) });
        let life = Life { id, kernel_stack, slot: slot.clone() };
        Task { future: Box::pin(async move { life.live(entry).await.unwrap_or_else(|error| error) }), slot }
    }

    /// Runs the task until it suspends. It never ends but with the machine.
    pub(crate) fn run(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        trap::set_current(self.slot.context.get());
        cpu::set_stack_limit(self.slot.stack_limit.get());
        let polled = self.future.as_mut().poll(context);
        trap::set_current(ptr::null());
        self.slot.stack_limit.set(cpu::stack_limit());
        polled
    }
}

/// A Store with a kernel instance.
struct Kernel {
    store: Store<TaskData>,
    instance: Instance,
    stack_pointer: Global,
}

impl Kernel {
    async fn new(stack: u32) -> Result<Kernel> {
        let board = cpu(|cpu| cpu.board.clone());
        let limits = StoreLimitsBuilder::new().instances(8).tables(32).table_elements(1 << 20).memories(8).build();
        let mut store = Store::new(board.kernel.engine(), TaskData { limits, ..TaskData::default() });
        store.limiter(|data| &mut data.limits);
        let memory = memory::create(&mut store, Backing::Physical(board.physical.clone())).await?;
        let mut linker = hypercall::linker()?.clone();
        linker.define(&store, "env", "memory", memory)?;
        let instance = linker.instantiate_async(&mut store, &board.kernel).await?;
        let stack_pointer = instance.get_global(&mut store, "__stack_pointer");
        let stack_pointer = stack_pointer.ok_or_else(|| Error::msg("the kernel exports no __stack_pointer"))?;
        let mut kernel = Kernel { store, instance, stack_pointer };
        kernel.empty_stack(stack)?;
        Ok(kernel)
    }

    fn empty_stack(&mut self, stack: u32) -> Result<()> {
        self.stack_pointer.set(&mut self.store, Val::I32(stack as i32))
    }

    async fn call<A, R>(&mut self, name: &str, arguments: A) -> Result<R>
    where
        A: wasmtime::WasmParams + Sync,
        R: wasmtime::WasmResults + Sync,
    {
        let function = self.instance.get_typed_func::<A, R>(&mut self.store, name)?;
        cpu::set_stack_limit(usize::MAX);
        function.call_async(&mut self.store, arguments).await
    }
}

/// Why a task's frames are gone.
enum End {
    Restart,
    Unplugged,
    /// The program cannot go on: the signal that it dies of.
    Program {
        signal: i32,
    },
    /// A trap of the kernel: what it was, and where.
    Kernel(String),
}

struct Life {
    id: u32,
    kernel_stack: u32,
    slot: Rc<Slot>,
}

impl Life {
    /// Returns only errors: of the machine, or [`Thrown::Unplugged`].
    async fn live(self, entry: Entry) -> Result<Error> {
        let mut kernel = Kernel::new(self.kernel_stack).await?;
        let started = match entry {
            Entry::Boot => kernel.call("boot", ()).await.map(|()| 0),
            Entry::Start => kernel.call::<_, u32>("task_start", ()).await,
        };
        let mut work = match started {
            Ok(work) => work != 0,
            Err(error) => return self.oops(&mut kernel, error).await,
        };
        loop {
            let Some(start) = cpu(|cpu| cpu.starts.remove(&self.id)) else {
                return Err(Error::msg("a task entered user mode without a program"));
            };
            let error = match self.user(&mut kernel, start, work).await {
                Err(error) => error,
                Ok(()) => Error::msg("exit_group() returned"),
            };
            work = false;
            match ending(&error) {
                End::Restart => {}
                End::Unplugged => return Err(error),
                End::Kernel(_) => return self.oops(&mut kernel, error).await,
                End::Program { signal } => {
                    tracing::debug!("task {:#x}: {error:?}", self.id);
                    kernel.empty_stack(self.kernel_stack)?;
                    return match kernel.call::<_, ()>("abort", (signal,)).await {
                        Ok(()) => Err(error.context("a program went on after its end")),
                        Err(error) if matches!(ending(&error), End::Unplugged) => Err(error),
                        Err(error) => self.oops(&mut kernel, error).await,
                    };
                }
            }
            // An instance is freed only with its Store, so every program gets a new one.
            drop(kernel);
            kernel = Kernel::new(self.kernel_stack).await?;
        }
    }

    /// Tells the kernel of its own trap; it ends the task or itself.
    async fn oops(&self, kernel: &mut Kernel, error: Error) -> Result<Error> {
        let End::Kernel(mut text) = ending(&error) else { return Err(error) };
        text.truncate(text.floor_char_boundary(OOPS_BUFFER as usize));
        let at = cpu(|cpu| {
            let board = &cpu.board;
            if let Some(buffer) = board.physical.slice(board.oops_buffer, text.len() as u32) {
                buffer.copy_from_slice(text.as_bytes());
            }
            board.oops_buffer
        });
        kernel.empty_stack(self.kernel_stack)?;
        kernel
            .call::<_, ()>("oops", (at as i32, text.len() as i32))
            .await
            .map_err(|e| e.context(format!("a trap in the kernel: {text}")))?;
        Err(error.context("the kernel went on after its own trap"))
    }

    /// Instantiates and runs a program. Returns only by an error. With `work`, the kernel has something to do first.
    async fn user(&self, kernel: &mut Kernel, start: UserStart, work: bool) -> Result<()> {
        let store = &mut kernel.store;
        let UserStart { program, pgd, entry, globals: values } = start;
        let space = cpu(|cpu| cpu.space(pgd))?;
        let memory = memory::create(&mut *store, Backing::User(space.clone())).await?;
        let mut export = |name| {
            kernel
                .instance
                .get_func(&mut *store, name)
                .ok_or_else(|| Error::msg(format!("the kernel exports no {name}")))
        };
        let (syscall, fault, irq) = (export("syscall")?, export("fault")?, export("irq")?);
        let (trap, abort) = (export("trap")?, export("abort")?);
        // program.rs lets no others through.
        let imports: Vec<Extern> =
            program.imports.iter().map(|is_memory| if *is_memory { memory.into() } else { syscall.into() }).collect();
        let instance = Instance::new_async(&mut *store, &program.module, &imports).await?;

        let globals = program.globals.iter();
        let globals: Vec<(String, Global)> =
            globals.filter_map(|name| instance.get_global(&mut *store, name).map(|g| (name.clone(), g))).collect();
        for (name, value) in values {
            if let Some((_, global)) = globals.iter().find(|(known, _)| *known == name) {
                global.set(&mut *store, value)?;
            }
        }
        let data = store.data_mut();
        data.stack_pointer = globals.iter().find(|(name, _)| name == "__stack_pointer").map(|(_, g)| *g);
        data.globals = globals;
        data.program = Some(program.clone());
        let signal = instance.get_func(&mut *store, "_signal");
        let signal = signal.filter(|signal| signal.typed::<(), i32>(&*store).is_ok());

        let context = Box::new(UserContext {
            space,
            program,
            fault: trap::Entry::new(fault, &mut *store),
            irq: trap::Entry::new(irq, &mut *store),
            trap: trap::Entry::new(trap, &mut *store),
            abort: trap::Entry::new(abort, &mut *store),
            signal: signal.map(|signal| trap::Entry::new(signal, &mut *store)),
            put_off: Cell::new(0),
        });
        let _current = Current::new(&self.slot, &context);
        cpu::set_stack_limit(usize::MAX);
        if work {
            let answer = irq.typed::<u32, u32>(&*store)?.call_async(&mut *store, 0).await?;
            if let Some(signal) = signal.filter(|_| answer == RESUME_HANDLER) {
                signal.typed::<(), i32>(&*store)?.call_async(&mut *store, ()).await?;
            }
        }
        match entry {
            UserEntry::Start(sp) => {
                instance.get_typed_func::<i32, ()>(&mut *store, "_start")?.call_async(&mut *store, sp as i32).await?
            }
            UserEntry::Clone(sp) => {
                instance
                    .get_typed_func::<i32, ()>(&mut *store, "_clone_start")?
                    .call_async(&mut *store, sp as i32)
                    .await?
            }
            UserEntry::Fork => {
                instance.get_typed_func::<(), ()>(&mut *store, "_fork_child")?.call_async(&mut *store, ()).await?
            }
        }
        // A program that falls off its end.
        let arguments = (SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0);
        let exit = syscall.typed::<(i32, i32, i32, i32, i32, i32, i32), i32>(&*store)?;
        exit.call_async(&mut *store, arguments).await.map(|_| ())
    }
}

/// While it lives, the signal handlers know the context.
struct Current<'a>(&'a Slot);

impl<'a> Current<'a> {
    fn new(slot: &'a Slot, context: &UserContext) -> Current<'a> {
        slot.context.set(context);
        trap::set_current(context);
        Current(slot)
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        self.0.context.set(ptr::null());
        trap::set_current(ptr::null());
    }
}

/// Sorts out what ended a call: the numbers are those that Linux gives on hardware.
fn ending(error: &Error) -> End {
    match error.downcast_ref::<Thrown>() {
        Some(Thrown::Restart) => return End::Restart,
        Some(Thrown::Unplugged) => return End::Unplugged,
        Some(Thrown::StackExhausted) => return End::Program { signal: libc::SIGSEGV },
        None => {}
    }
    let kernel = cpu(|cpu| cpu.board.kernel.clone());
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let in_kernel = |b: &WasmBacktrace| b.frames().first().is_some_and(|f| Module::same(f.module(), &kernel));
    let trap = error.downcast_ref::<Trap>();
    if let Some(backtrace) = backtrace.filter(|b| in_kernel(b)) {
        let what = trap.map_or_else(|| error.root_cause().to_string(), |trap| trap.to_string());
        let what = what.strip_prefix("wasm trap: ").unwrap_or(&what);
        return End::Kernel(format!("{what}\n{}", names(backtrace)));
    }
    match trap {
        // An access that reaches past the end of memory, in a routine of the engine.
        Some(Trap::StackOverflow | Trap::MemoryOutOfBounds) => End::Program { signal: libc::SIGSEGV },
        Some(_) => End::Program { signal: libc::SIGILL },
        // An uncaught exception, or an instance that could not be made.
        None => End::Program { signal: libc::SIGABRT },
    }
}

/// The signal and its code (`si_code`) for an instruction that trapped: what Linux gives on hardware. None if the program's
/// frames have to go.
pub(crate) fn siginfo(trap: Trap) -> Option<(i32, i32)> {
    Some(match trap {
        Trap::IntegerDivisionByZero | Trap::IntegerOverflow => (libc::SIGFPE, FPE_INTDIV),
        Trap::BadConversionToInteger => (libc::SIGFPE, FPE_FLTINV),
        Trap::HeapMisaligned => (libc::SIGBUS, BUS_ADRALN),
        // A wild jump.
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature => {
            (libc::SIGSEGV, SEGV_MAPERR)
        }
        Trap::StackOverflow => return None,
        _ => (libc::SIGILL, ILL_ILLOPN),
    })
}

pub(crate) const SEGV_MAPERR: i32 = 1;
const FPE_INTDIV: i32 = 1;
const FPE_FLTINV: i32 = 7;
const ILL_ILLOPN: i32 = 2;
const BUS_ADRALN: i32 = 1;

/// The functions of a backtrace, innermost first, a line each.
pub(crate) fn names(backtrace: &WasmBacktrace) -> String {
    let mut text = String::new();
    for frame in backtrace.frames() {
        match frame.func_name() {
            Some(name) => text.push_str(name),
            None => text.push_str(&format!("function {}", frame.func_index())),
        }
        text.push('\n');
    }
    text
}
