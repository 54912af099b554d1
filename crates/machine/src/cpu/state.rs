//! The state of a processor and of what is plugged into it, how host functions reach it, and how a task suspends.
use crate::{
    ConsoleSink, ProgramError,
    board::Board,
    cpu::clock::Clock,
    cpu::start::{Image, UserStart},
    cpu::store,
    engine::code::Program,
    engine::programs::{Handle, Programs},
    limits::{CODE_MAPS, Charge, Cost, Ledger},
    local,
    mmu::space::Space,
    trap::{self, Thrown},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use wasmlinux_boundary as boundary;
use wasmlinux_devices::{Bus, Streams, printable};
use wasmtime::{Engine, Store, WasmBacktrace};

/// After how long the processor polls the backend of what was sent, if it does not sleep before, in nanoseconds.
const POLL_WITHIN: u64 = 200_000;

/// Why a task suspended; the processor acts on it.
pub(crate) enum Request {
    Switch(u32),
    Halt,
    /// Do what the backend of a device has to do now.
    Poll,
    /// Load the program at this physical address and length, for this user.
    Load {
        at: u32,
        len: u32,
        user: u32,
    },
    PowerOff(u32),
}

/// A task made, with its stack pointer and what it takes of the host, or gone.
pub(crate) enum Change {
    Created(u32, u32, Charge),
    Destroyed(u32),
}

/// The state of a processor, and of what is plugged into it.
pub(crate) struct Cpu {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Clock,
    pub(crate) streams: Arc<Streams>,
    pub(crate) bus: Arc<Bus>,
    pub(crate) console: ConsoleSink,
    pub(crate) programs: Programs,
    /// Programs loaded, until module_drop().
    pub(crate) handles: HashMap<u32, Handle>,
    pub(crate) next_handle: u32,
    /// Address spaces by their page directory.
    pub(crate) spaces: HashMap<u32, Arc<Space>>,
    /// What tasks run when they enter user mode next.
    pub(crate) starts: HashMap<u32, UserStart>,
    /// What tasks have reserved for the program that they are about to execute.
    pub(crate) images: HashMap<u32, Image>,
    /// The task that runs.
    pub(crate) current: u32,
    /// The guest has left work for the backend of a device.
    pub(crate) backend_notified: bool,
    /// It has done so since the processor slept.
    pub(crate) notified_since_halt: bool,
    /// What became of tasks since this one was polled, in order: an address is used again at once.
    pub(crate) changes: Vec<Change>,
    pub(crate) request: Option<Request>,
    pub(crate) load_result: i32,
}

impl Cpu {
    /// The address space of a page directory, once it has one.
    pub(crate) fn space_of(&self, pgd: u32) -> Option<Arc<Space>> {
        self.spaces.get(&pgd).cloned()
    }

    /// Nobody's yet.
    pub(crate) fn new_space(&self, charge: Charge) -> std::io::Result<Arc<Space>> {
        Space::new(self.board.physical.clone(), self.board.format, charge)
    }

    pub(crate) fn bind_space(&mut self, pgd: u32, space: Arc<Space>, parent: Option<&Space>) {
        space.bind(pgd, parent);
        self.spaces.insert(pgd, space);
    }

    pub(crate) fn space_flush(&self, pgd: u32, start: u32, end: u32) {
        if let Some(space) = self.spaces.get(&pgd) {
            space.flush(start, end);
        }
    }

    /// Maps what will be written next, if it can be.
    pub(crate) fn space_load(&self, pgd: u32, address: u32) {
        if let Some(space) = self.spaces.get(&pgd) {
            space.map(address, true);
        }
    }

    pub(crate) fn space_protect(&self, pgd: u32) {
        if let Some(space) = self.spaces.get(&pgd) {
            space.protect();
        }
    }

    pub(crate) fn space_destroy(&mut self, pgd: u32) {
        if let Some(space) = self.spaces.remove(&pgd) {
            space.unbind();
        }
    }

    /// The guest has left work for the backend of a device: it is done at once if it is the first since the processor slept. Guests
    /// send one thing after the other, and work for all that follows costs less: it is done when the processor sleeps, or soon. True
    /// if at once.
    pub(crate) fn notify_backend(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.notified_since_halt, true);
        if !std::mem::replace(&mut self.backend_notified, true) && !first {
            self.clock.hurry(POLL_WITHIN);
        }
        first
    }

    /// Whether the machine may have the code of this program in memory, after that of others that nobody runs was forgotten.
    fn charge_code(&mut self, program: &Program) -> bool {
        if program.charge.get().is_some() {
            return true;
        }
        let image = program.module.image_range();
        let cost = Cost { maps: CODE_MAPS, code: image.end.addr() - image.start.addr(), ..Cost::default() };
        let charge = self.ledger.charge(cost).or_else(|| {
            store::clear();
            self.programs.clear_idle();
            self.ledger.charge(cost)
        });
        charge.is_some_and(|charge| program.charge.set(charge).is_ok())
    }

    /// A handle, or a negative errno.
    pub(crate) fn load(&mut self, at: u32, len: u32, user: u32) -> i32 {
        if let Err(error) = wasmlinux_module::check_size(len.into()) {
            return self.refuse(&error.into());
        }
        // A copy, as it is looked at more than once.
        let Some(wasm) = self.board.physical.copy(at, len) else { return -libc::EFAULT };
        match self.programs.load(wasm, user) {
            Ok(Handle::Ready(program)) if !self.charge_code(&program) => -libc::ENOMEM,
            Ok(handle) => {
                // Those in use are far fewer.
                while self.handles.contains_key(&self.next_handle) {
                    self.next_handle = (self.next_handle + 1) & 0x3fff_ffff;
                }
                self.handles.insert(self.next_handle, handle);
                self.next_handle as i32
            }
            Err(error) => self.refuse(&error),
        }
    }

    /// What has become of a program that was asked for: 0, MODULE_PENDING or a negative errno.
    pub(crate) fn load_state(&mut self, handle: u32) -> wasmtime::Result<i32> {
        let job = match self.handles.get(&handle) {
            Some(Handle::Ready(_)) => return Ok(0),
            Some(Handle::Waiting(job)) => job.clone(),
            None => return Err(wasmtime::Error::msg("module_state() of no handle")),
        };
        Ok(match self.programs.take(&job) {
            None => boundary::MODULE_PENDING,
            Some(Ok(program)) if !self.charge_code(&program) => -libc::ENOMEM,
            Some(Ok(program)) => {
                self.handles.insert(handle, Handle::Ready(program));
                0
            }
            Some(Err(error)) => self.refuse(&error),
        })
    }

    /// Says why a program is refused, and gives the errno for it.
    fn refuse(&mut self, error: &ProgramError) -> i32 {
        // It may name what the program names.
        let text = printable(&error.to_string());
        (self.console)(format!("<3>[machine] program refused: {text}\n").as_bytes());
        self.board.reports.refusal(text.to_string());
        match error {
            ProgramError::Resources(_) => -libc::ENOMEM,
            _ => -libc::ENOEXEC,
        }
    }
}

thread_local! {
    static CPU: RefCell<Option<Cpu>> = const { RefCell::new(None) };
}

/// This thread is that processor.
pub(crate) fn set(cpu: Cpu) {
    CPU.set(Some(cpu));
}

/// This thread is no processor any more.
pub(crate) fn remove() {
    drop(CPU.take());
}

/// Gives access to the processor of this thread: for host functions and task futures.
pub(crate) fn cpu<R>(f: impl FnOnce(&mut Cpu) -> R) -> R {
    CPU.with_borrow_mut(|cpu| f(cpu.as_mut().expect("only the machine's thread runs guest code")))
}

struct Suspend(bool);

impl Future for Suspend {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.0, true) {
            let marker = 0u8;
            local::set_suspended_at(&raw const marker as usize);
            return Poll::Pending;
        }
        let limit = local::take_raise_limit();
        if limit != 0 {
            trap::raise_stack_limit(limit);
        }
        Poll::Ready(())
    }
}

thread_local! {
    /// Set while a task is polled so that its frames end: no backtrace, so that the engine makes none.
    static LEAVE: Cell<Option<WasmBacktrace>> = const { Cell::new(None) };
    /// Without a frame.
    static NO_FRAMES: OnceCell<Store<()>> = const { OnceCell::new() };
}

/// Suspends the current task, for the processor to act on `request`. An error if the task is gone: it unwinds the task's frames.
pub(crate) async fn suspend(request: Request) -> wasmtime::Result<()> {
    cpu(|cpu| cpu.request = Some(request));
    Suspend(false).await;
    match LEAVE.take() {
        Some(backtrace) => Err(wasmtime::Error::from(Thrown::Unplugged).context(backtrace)),
        None => Ok(()),
    }
}

/// Calls `f` so that a task that it polls leaves the host function in which it was suspended with an error.
pub(crate) fn leaving<R>(engine: &Engine, f: impl FnOnce() -> R) -> R {
    let backtrace = NO_FRAMES.with(|store| WasmBacktrace::capture(store.get_or_init(|| Store::new(engine, ()))));
    LEAVE.set(Some(backtrace));
    let result = f();
    LEAVE.set(None);
    result
}

/// The answer to [`Request::Load`].
pub(crate) fn load_result() -> i32 {
    cpu(|cpu| cpu.load_result)
}
