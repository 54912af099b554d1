//! The life of a task: it starts in the kernel, runs a program, then another, and never ends by
//! itself.
use crate::{
    cpu::start::{UserEntry, UserStart},
    cpu::store::{Instances, Pool, Pooled, Wanted},
    engine,
    limits::Charge,
    local,
    mmu::stack,
    trap::{self, Thrown, UserContext, siginfo},
};
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    ptr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use wasmlinux_boundary::{OOPS_BUFFER, RESUME_HANDLER, kernel as names, program};
use wasmlinux_devices::{GuestMemory, printable};
use wasmtime::{Error, FrameInfo, Module, Result, Trap, WasmBacktrace};

const SYS_EXIT_GROUP: i32 = 94;

/// Where a task begins.
#[derive(Clone, Copy)]
pub(crate) enum TaskEntry {
    /// The first one: the kernel's `boot`.
    Boot,
    /// Every other one: the kernel's `task_start`.
    Start,
}

/// What the processor switches beside the future.
struct Slot {
    context: Cell<*const UserContext>,
    stack_limit: Cell<usize>,
    /// See [`stack::grown`].
    grown: Cell<usize>,
    /// Where its stack ends while it sleeps, and the limit that [`stack::trim`] gave it since; 0 if
    /// none did.
    slept_at: Cell<usize>,
    trimmed: Cell<usize>,
}

/// A task, as the processor sees it.
pub(crate) struct Task {
    _charge: Charge,
    future: Pin<Box<dyn Future<Output = Error>>>,
    pool: Arc<Pool>,
    slot: Rc<Slot>,
    /// It is suspended in a host function.
    started: bool,
}

impl Task {
    /// For the processor whose pool it is.
    pub(crate) fn new(pool: &Arc<Pool>, id: u32, entry: TaskEntry, kernel_stack: u32, charge: Charge) -> Task {
        let slot = Rc::new(Slot {
            context: Cell::new(ptr::null()),
            stack_limit: Cell::new(usize::MAX),
            grown: Cell::new(0),
            slept_at: Cell::new(0),
            trimmed: Cell::new(0),
        });
        let body = TaskBody { pool: pool.clone(), id, kernel_stack, slot: slot.clone() };
        Task {
            _charge: charge,
            future: Box::pin(async move { body.run(entry).await.unwrap_or_else(|error| error) }),
            pool: pool.clone(),
            slot,
            started: false,
        }
    }

    /// Runs the task until it suspends. It never ends but with the machine.
    pub(crate) fn run(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        // SAFETY: `Current` takes it away before what it points to is gone.
        unsafe { trap::set_current(self.slot.context.get()) };
        local::set_stack_limit(self.slot.stack_limit.get());
        // A panic passes by, and nothing is left that could be polled then.
        self.started = false;
        stack::set_grown(self.slot.grown.get());
        local::raise_limit(self.slot.trimmed.take());
        let polled = self.future.as_mut().poll(context);
        // SAFETY: no user task runs.
        unsafe { trap::set_current(ptr::null()) };
        self.started = polled.is_pending();
        self.slot.stack_limit.set(local::stack_limit());
        self.slot.grown.set(stack::grown());
        self.slot.slept_at.set(local::suspended_at());
        polled
    }

    /// Gives back what its stack does not need. It sleeps.
    pub(crate) fn trim_stack(&self) {
        let slot = &self.slot;
        if slot.grown.get() != 0
            && !slot.context.get().is_null()
            // SAFETY: a task that sleeps, and where it does.
            && let Some(limit) = unsafe { stack::trim(slot.grown.get(), slot.slept_at.get()) }
        {
            slot.trimmed.set(limit);
            slot.stack_limit.set(usize::MAX);
        }
    }
}

/// Ends the task's frames by an error without a backtrace. The engine, left to itself, would
/// capture one.
impl Drop for Task {
    fn drop(&mut self) {
        if let (true, Ok(engine)) = (self.started, engine::get()) {
            let mut context = Context::from_waker(Waker::noop());
            stack::set_grown(self.slot.grown.get());
            local::raise_limit(0);
            // Whatever is left unwinds with the future.
            let _ = self.pool.processor.leaving(engine, || self.future.as_mut().poll(&mut context));
            // SAFETY: its frames are gone.
            unsafe { stack::shrink() };
        }
    }
}

/// Why a task's frames are gone.
enum Ending {
    Restart,
    Unplugged,
    /// The program cannot go on: the signal that it dies of.
    Program {
        signal: i32,
    },
    /// A trap of the kernel: what it was, and where.
    Kernel(String),
}

struct TaskBody {
    pool: Arc<Pool>,
    id: u32,
    kernel_stack: u32,
    slot: Rc<Slot>,
}

impl TaskBody {
    /// Returns only errors: of the machine, or [`Thrown::Unplugged`].
    async fn run(self, entry: TaskEntry) -> Result<Error> {
        let mut kernel = self.lease().await?;
        let started = match entry {
            TaskEntry::Boot => kernel.call(names::BOOT, ()).await.map(|()| 0),
            TaskEntry::Start => kernel.call::<_, u32>(names::TASK_START, ()).await,
        };
        let mut work = match started {
            Ok(work) => work != 0,
            Err(error) => return self.oops(&mut kernel, error).await,
        };
        loop {
            let Some(start) = self.pool.system.take_start(self.id) else {
                return Err(Error::msg("a task entered user mode without a program"));
            };
            let error = match self.user(&mut kernel, start, work).await {
                Err(error) => error,
                Ok(()) => Error::msg("exit_group() returned"),
            };
            work = false;
            // SAFETY: the call of compiled code has ended: nothing is below the first bytes of this
            // stack, which stay.
            unsafe { stack::shrink() };
            match self.ending(&error) {
                Ending::Restart => {}
                Ending::Unplugged => return Err(error),
                Ending::Kernel(_) => return self.oops(&mut kernel, error).await,
                Ending::Program { signal } => {
                    tracing::debug!("task {:#x}: {error:?}", self.id);
                    kernel.empty_stack(self.kernel_stack)?;
                    return match kernel.call::<_, ()>(names::ABORT, (signal,)).await {
                        Ok(()) => Err(error.context("a program went on after its end")),
                        Err(error) if matches!(self.ending(&error), Ending::Unplugged) => Err(error),
                        Err(error) => self.oops(&mut kernel, error).await,
                    };
                }
            }
            drop(kernel);
            kernel = self.lease().await?;
        }
    }

    /// Instances for what the task will run.
    async fn lease(&self) -> Result<Pooled> {
        let system = &self.pool.system;
        let start = system.with_start(self.id, |start| (start.program.clone(), start.pgd, start.parent.is_some()));
        let wanted = start.map(|(program, pgd, is_fork)| Wanted { program, space: system.space_of(pgd), is_fork });
        Pooled::new(&self.pool, self.kernel_stack, wanted).await
    }

    /// Tells the kernel of its own trap; it ends the task or itself.
    async fn oops(&self, kernel: &mut Instances, error: Error) -> Result<Error> {
        let Ending::Kernel(mut text) = self.ending(&error) else { return Err(error) };
        text.truncate(text.floor_char_boundary(OOPS_BUFFER as usize));
        let board = &self.pool.system.board;
        board.reports.oops();
        // It is in memory, by Board::new().
        let _ = board.physical.write(board.oops_buffer, text.as_bytes());
        kernel.empty_stack(self.kernel_stack)?;
        kernel
            .call::<_, ()>(names::OOPS, (board.oops_buffer as i32, text.len() as i32))
            .await
            .map_err(|e| e.context(format!("a trap in the kernel: {text}")))?;
        Err(error.context("the kernel went on after its own trap"))
    }

    /// Sorts out what ended a call.
    fn ending(&self, error: &Error) -> Ending {
        ending(error, &self.pool.system.board.kernel)
    }

    /// Runs a program. Returns only by an error. With `work`, the kernel has something to do first.
    async fn user(&self, kernel: &mut Instances, start: UserStart, work: bool) -> Result<()> {
        let entry = start.entry;
        kernel.enter(start).await?;
        let context: *const UserContext = match &kernel.user {
            Some(user) => &*user.context,
            None => return Err(Error::msg("no program")),
        };
        // In a box, which nothing touches before `_current` is gone.
        // SAFETY: as said.
        let _current = unsafe { Current::new(&self.slot, context) };
        if work && kernel.call::<u32, u32>(names::IRQ, 0).await? == RESUME_HANDLER {
            kernel.call_user::<(), i32>(program::SIGNAL, ()).await?;
        }
        match entry {
            UserEntry::Start(sp) => kernel.call_user::<i32, ()>(program::START, sp as i32).await?,
            UserEntry::Clone(sp) => kernel.call_user::<i32, ()>(program::CLONE_START, sp as i32).await?,
            UserEntry::Fork => kernel.call_user::<(), ()>(program::FORK_CHILD, ()).await?,
        }
        // A program that falls off its end.
        let arguments = (SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0);
        kernel.call::<(i32, i32, i32, i32, i32, i32, i32), i32>(program::SYSCALL, arguments).await.map(|_| ())
    }
}

/// While it lives, the signal handlers know the context.
struct Current<'a>(&'a Slot);

impl<'a> Current<'a> {
    /// # Safety
    /// The context lives longer than this.
    unsafe fn new(slot: &'a Slot, context: *const UserContext) -> Current<'a> {
        slot.context.set(context);
        // SAFETY: by this function's contract; drop() takes it away.
        unsafe { trap::set_current(context) };
        Current(slot)
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        self.0.context.set(ptr::null());
        // SAFETY: no user code runs any more.
        unsafe { trap::set_current(ptr::null()) };
    }
}

/// Sorts out what ended a call: the numbers are those that Linux gives on hardware.
fn ending(error: &Error, kernel: &Module) -> Ending {
    match error.downcast_ref::<Thrown>() {
        Some(Thrown::Restart) => return Ending::Restart,
        Some(Thrown::Unplugged) => return Ending::Unplugged,
        Some(Thrown::StackExhausted) => return Ending::Program { signal: libc::SIGSEGV },
        None => {}
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let in_kernel = |frame: &FrameInfo| Module::same(frame.module(), kernel);
    let trap = error.downcast_ref::<Trap>();
    // Each function looks for stack before it does anything. So where the kernel was entered
    // without room for even its first frame, nothing of it has run: that is who called, as if
    // `stack_check` had found it.
    let inner = backtrace.map_or(&[][..], WasmBacktrace::frames);
    let entry = inner.len() > 1 && in_kernel(&inner[0]) && !in_kernel(&inner[1]);
    if entry && matches!(trap, Some(Trap::StackOverflow)) {
        return Ending::Program { signal: libc::SIGSEGV };
    }
    if let Some(backtrace) = backtrace.filter(|b| b.frames().first().is_some_and(in_kernel)) {
        let what = trap.map_or_else(|| error.root_cause().to_string(), |trap| trap.to_string());
        let what = what.strip_prefix("wasm trap: ").unwrap_or(&what);
        return Ending::Kernel(format!("{what}\n{}", names(backtrace)));
    }
    let signal = match trap {
        Some(trap) => siginfo(*trap).map_or(libc::SIGSEGV, |(signal, _)| signal),
        // An uncaught exception, or an instance that could not be made.
        None => libc::SIGABRT,
    };
    Ending::Program { signal }
}

/// The functions of a backtrace, innermost first, a line each.
pub(crate) fn names(backtrace: &WasmBacktrace) -> String {
    let mut text = String::new();
    for frame in backtrace.frames() {
        match frame.func_name() {
            // A name is the program's own choice.
            Some(name) => text.push_str(&printable(name)),
            None => text.push_str(&format!("function {}", frame.func_index())),
        }
        text.push('\n');
    }
    text
}
