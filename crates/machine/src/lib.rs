//! The computer that the WebAssembly Linux kernel runs on.
//!
//! `docs/machine.md` is its data sheet; this crate is one implementation, on wasmtime. Nearly all
//! `unsafe` code of the project is here.
//!
//! ```text
//!  Machine ──starts──> a thread: cpu/run.rs, the processor
//!                        │ polls the future of the current task
//!                        ▼
//!  system   what belongs to the machine, whichever processor looks at it
//!  cpu/     a processor: what it has, its loop, tasks and their instances, what the kernel imports
//!  trap/    signal handlers that inject kernel calls into user code
//!  engine/  compiled code: the engine, programs, the compiler's processes, what is kept
//!  mmu/     physical memory, user address spaces, native stacks, heaps for exceptions
//!  host/    everything that calls the host's kernel       arch/   what is x86-64's
//! ```
//! What a program's module may be is the business of `crates/module`.
//!
//! # Layers
//! A module imports only those further down (`tests/layers.rs` reads this list).
//! ```text
//!  cpu::run
//!  cpu::hypercall
//!  cpu::task
//!  cpu::instance
//!  cpu::store
//!  cpu::processor
//!  system
//!  board
//!  cpu::start
//!  config
//!  trap
//!  interrupt
//!  cpu::clock
//!  engine::programs
//!  engine::compiler
//!  engine::cache
//!  engine::kernel_code
//!  engine::code
//!  engine::hidden
//!  engine
//!  mmu::linear
//!  mmu::exceptions
//!  mmu::stack
//!  mmu::space
//!  mmu::physical
//!  limits
//!  local
//!  reports
//!  error
//!  sync
//!  sizes
//!  host
//!  arch
//! ```
//! Within `trap`, `host` and `engine::compiler` files of one matter import each other.
//!
//! # State
//! What exists, and who may touch it. "Processor" is the machine's thread; a "handler" is a
//! signal's on that thread, and may come at any instruction of it. Tasks run on the processor's
//! thread, so host functions do: they find the machine, the processor and the pool in their Store's
//! data (`cpu::store::TaskData`), everybody else is given them. State of a thread is only what
//! handlers and the engine's callbacks need, who are given nothing.
//!
//! | state | of | read | written |
//! | --- | --- | --- | --- |
//! | `system::System`: address spaces, programs, what tasks will run, the console | machine, locks | processor, never a handler: it may have interrupted who has the lock | processor |
//! | `cpu::processor::Processor`: task, request, timer | processor, cells that check the thread | processor, never a handler | processor |
//! | `cpu::store::Pool`: instances for reuse | processor, a lock | processor | processor |
//! | `cpu::run::TASKS`: those that are not polled | thread | processor; a handler for whose task a stack must grow, to trim others | processor |
//! | `trap::CURRENT`: the task whose program may run | thread | processor, handlers | processor |
//! | `trap::leave::CAUSE` | thread | processor | handlers |
//! | `trap::overflow::KERNEL`, `KERNEL_CODE` | thread | handlers | processor; handlers the second, once |
//! | `interrupt::PROCESSOR`: whose processor this thread is | thread | any thread, of itself; handlers | processor |
//! | `local::*`: limits of the running task's stack | thread | processor, handlers | processor, handlers |
//! | `sync::NUMBER` | thread | processor | who makes what is bound to its thread |
//! | `limits::CURRENT`: the ledger | thread | processor, handlers | processor |
//! | `mmu::linear::NEXT`, `HEAP`: what the engine is to get | thread | processor | processor |
//! | `mmu::stack::GROWN` | thread | processor, handlers | processor, handlers |
//! | `engine::hidden::TRIED` | thread | handlers | handlers |
//! | `mmu::stack::FREE`, `IN_USE` | process, locks | processors, handlers that have interrupted compiled code | the same |
//! | `engine::hidden::TABLE` | process, a lock for writers who do not wait | handlers of all machines | handlers; whoever drops a program |
//! | `limits::MAPS`, `ADDRESS`, `HOST` | process, atomics | all | processors, handlers |
//! | `engine` (`ENGINE`, `IDENTITY`, `MODULES`), `cpu::hypercall::LINKER`, `trap::ENGINE_HANDLERS` | process, once | all | who comes first |
//! | physical memory | machine | processor; devices' threads, by copies and 16-bit atomics | the same |
//! | `interrupt::Interrupts`: lines and the plug | machine, atomics | all threads, handlers | all threads, handlers |
//! | `limits::Ledger` | machine, atomics | all | processor, handlers |
//! | `mmu::space::Space` | machine, atomics | processor, handlers | processor, handlers that have interrupted a program |
//! | `reports::Reports`, `Shared` | machine, locks | owner | processor |
mod arch;
mod board;
mod config;
mod cpu;
mod engine;
mod error;
mod host;
mod interrupt;
mod limits;
mod local;
mod mmu;
mod reports;
mod sizes;
mod sync;
mod system;
mod trap;

pub use config::{BeforeStart, Config, ConsoleSink};
pub use engine::code::{Guest, KernelImage, compile_kernel, compile_program};
pub use engine::compiler::{Broker, BrokerServer, Compiler, compile_if_asked};
pub use error::{
    Cause, CompileError, Error, Failure, KernelError, Outcome, ProgramError, ResourceError, UnavailableError, explained,
};
pub use host::confine::{Confine, attempts, end_by_faults, give_up_calls, give_up_names, settle};
pub use limits::Limits;

use interrupt::Interrupts;
use reports::Reports;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use sync::lock;
use wasmlinux_devices::{Bus, GuestMemory, Interrupt, Panic, Streams};

/// A machine that is switched on. It runs on a thread of its own.
pub struct Machine {
    shared: Arc<Shared>,
}

/// How long the machine's thread may take to end once the plug is pulled: what the guest runs is
/// left within a millisecond, but the thread may be in work of the host's that takes as long as it
/// takes, a writer of the console's messages that blocks for instance.
const GRACE: Duration = Duration::from_millis(500);

/// What the machine's thread and its owner share.
struct Shared {
    outcome: Mutex<Option<Outcome>>,
    ended: Condvar,
    interrupts: Arc<Interrupts>,
    streams: Arc<Streams>,
    bus: Arc<Bus>,
    reports: Arc<Reports>,
}

impl Shared {
    fn outcome(&self) -> MutexGuard<'_, Option<Outcome>> {
        lock(&self.outcome)
    }

    /// The machine has ended; how, if nobody has said so before.
    fn end(&self, outcome: Outcome) {
        self.outcome().get_or_insert(outcome);
        self.streams.shut();
        self.bus.disconnect();
        self.ended.notify_all();
    }

    /// Waits until the machine has ended, not longer than until `deadline`.
    fn wait_until(&self, deadline: Option<Instant>) -> Option<Outcome> {
        let mut outcome = self.outcome();
        while outcome.is_none() {
            outcome = match deadline.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.ended.wait(outcome).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(rest) => self.ended.wait_timeout(outcome, rest).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        outcome.clone()
    }

    /// After [`GRACE`] the machine has ended, whatever its thread still does. When that comes to an
    /// end it gives back what the machine had: it is the only one that can.
    fn abandon(&self) {
        if self.wait_until(Some(Instant::now() + GRACE)).is_none() {
            tracing::warn!("the machine's thread is busy with work of the host: it is left alone");
            self.end(self.interrupts.end());
        }
    }
}

impl Machine {
    /// Builds a machine and switches it on.
    ///
    /// # Errors
    /// If the host cannot give the memory, the kernel does not fit this machine, or
    /// [`Config::compiler`] is no executable.
    pub fn power_on(mut config: Config) -> Result<Machine, Error> {
        engine::get()?;
        // After the engine's own handlers, which get what is not ours.
        trap::install();
        // What was named must be there.
        config.compiler.resolve()?;
        let board = board::Board::new(&config)?;
        let kernel = cpu::hypercall::linker()?.instantiate_pre(&board.kernel);
        let kernel = kernel.map_err(|error| KernelError::Imports(error.into()))?;
        let interrupts = board.interrupts();
        let shared = Arc::new(Shared {
            outcome: Mutex::default(),
            ended: Condvar::new(),
            interrupts: interrupts.clone(),
            streams: config.streams.clone(),
            bus: config.bus.clone(),
            reports: board.reports.clone(),
        });
        config.streams.connect(interrupts.clone());
        let memory: Arc<dyn GuestMemory> = board.physical.clone();
        let line: Arc<dyn Interrupt> = interrupts;
        config.bus.connect(&memory, &line);
        if let Some(prepare) = config.before_start.take() {
            prepare().map_err(Error::Confine)?;
        }
        let of_thread = shared.clone();
        std::thread::Builder::new()
            .name("machine".into())
            .stack_size(8 << 20)
            .spawn(move || {
                let mut on = None;
                let run = || cpu::run::run(board, kernel, config, &mut on);
                let outcome = catch_unwind(AssertUnwindSafe(run));
                of_thread.interrupts.set_processor(None);
                of_thread.end(outcome.unwrap_or_else(|panic| Outcome::Failed(Panic::caught(&*panic).into())));
                // If it panics, or panics again, what is left is lost, and nobody else has it.
                let _ = catch_unwind(AssertUnwindSafe(|| cpu::run::clear(on)));
            })
            .map_err(Error::Thread)?;
        Ok(Machine { shared })
    }

    /// Waits until the machine is off.
    pub fn wait(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.shared.wait_until(None) {
                return outcome;
            }
        }
    }

    /// Waits until the machine is off, not longer than `limit`; None if it is still on.
    pub fn wait_timeout(&self, limit: Duration) -> Option<Outcome> {
        self.shared.wait_until(Instant::now().checked_add(limit))
    }

    /// How the machine ended, if it did.
    pub fn try_wait(&self) -> Option<Outcome> {
        self.shared.outcome().clone()
    }

    /// How often the kernel has met a bug of its own and gone on; its messages say more.
    pub fn oopses(&self) -> u64 {
        self.shared.reports.oopses()
    }

    /// How many programs the loader has refused, and why the last one.
    pub fn refusals(&self) -> (u64, Option<String>) {
        self.shared.reports.refusals()
    }

    /// Pulls the plug: the guest gets no time to do anything, not even a kernel that hangs. Returns
    /// at once, and the machine is off within a second; [`Machine::wait`] tells when. (If the
    /// machine's thread is in work of the host's that does not end, such as a [`Config::console`]
    /// that blocks, the machine counts as off all the same, and its memory is given back when that
    /// work ends.)
    pub fn power_off(&self) {
        if self.shared.outcome().is_some() {
            return;
        }
        self.shared.interrupts.unplug(Outcome::Unplugged);
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("unplug".into()).stack_size(128 << 10);
        if thread.spawn(move || shared.abandon()).is_err() {
            self.shared.abandon();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}
