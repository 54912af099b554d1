//! The computer that the WebAssembly Linux kernel runs on.
//!
//! `docs/machine.md` is its data sheet; this crate is one implementation, on wasmtime. All `unsafe` code of the
//! project is here.
//!
//! ```text
//!  Machine ──starts──> a thread: cpu::run, the processor
//!                        │ polls the future of the current task
//!                        ▼
//!  task.rs    a task's life: a Store with a kernel instance and, for a process, a program instance
//!  hypercall.rs  what the kernel imports        trap/     signal handlers that inject kernel calls into user code
//!  physical.rs   physical memory (a memfd)      space.rs  user address spaces: the page walk, host mappings
//!  stack.rs      native stacks of tasks         memory.rs how the engine gets those memories
//!  exceptions.rs heaps for exceptions           code.rs   compiled code
//!  programs.rs   programs that wait for the compiler (compiler/), and what is kept (cache.rs)
//!  arch/         what is x86-64's               limits.rs what a machine may take of the host
//!  hidden.rs     code that faults, to be interrupted
//! ```
//! What a program's module may be is the business of `crates/module`.
mod arch;
mod board;
mod cache;
mod clock;
mod code;
mod compiler;
mod config;
mod cpu;
mod engine;
mod error;
mod exceptions;
mod hidden;
mod host;
mod hypercall;
mod instance;
mod interrupt;
mod kernel_code;
mod limits;
mod local;
mod memory;
mod physical;
mod programs;
mod reports;
mod run;
mod sizes;
mod space;
mod stack;
mod start;
mod store;
mod task;
mod trap;

pub use code::{Guest, KernelImage, compile_kernel, compile_program};
pub use compiler::{Compiler, compile_if_asked};
pub use config::{Config, ConsoleSink};
pub use error::{Error, Outcome, ProgramError};
pub use limits::Limits;

use interrupt::Interrupts;
use reports::Reports;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use wasmlinux_devices::{Bus, GuestMemory, Interrupt, Streams, panic_text};

/// A machine that is switched on. It runs on a thread of its own.
pub struct Machine {
    shared: Arc<Shared>,
}

/// How long the machine's thread may take to end once the plug is pulled: what the guest runs is left within a millisecond, but the
/// thread may be in work of the host's that takes as long as it takes, a writer of the console's messages that blocks for instance.
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
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// After [`GRACE`] the machine has ended, whatever its thread still does. When that comes to an end it gives back what the machine
    /// had: it is the only one that can.
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
    pub fn power_on(config: Config) -> Result<Machine, Error> {
        engine::get()?;
        // After the engine's own handlers, which get what is not ours.
        trap::install();
        // What was named must be there.
        config.compiler.resolve()?;
        let board = board::Board::new(&config, hypercall::linker()?)?;
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
        let of_thread = shared.clone();
        std::thread::Builder::new()
            .name("machine".into())
            .stack_size(8 << 20)
            .spawn(move || {
                let run = || run::run(board, config, |outcome| of_thread.end(outcome));
                if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                    of_thread.interrupts.set_processor(None);
                    of_thread.end(Outcome::Failed(panic_text(&*panic)));
                    // If it panics again, what is left is lost, and nobody else has it.
                    let _ = catch_unwind(run::clear);
                }
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

    /// Pulls the plug: the guest gets no time to do anything, not even a kernel that hangs. Returns at once, and the machine is off
    /// within a second; [`Machine::wait`] tells when. (If the machine's thread is in work of the host's that does not end, such as
    /// a [`Config::console`] that blocks, the machine counts as off all the same, and its memory is given back when that work ends.)
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
