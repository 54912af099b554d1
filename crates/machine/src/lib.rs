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
//!  hypercall.rs  what the kernel imports        trap.rs   signal handlers that inject kernel calls into user code
//!  physical.rs   physical memory (a memfd)      space.rs  user address spaces: the page walk, host mappings
//!  stack.rs      native stacks of tasks         memory.rs how the engine gets those memories
//!  exceptions.rs heaps for exceptions           allowed.rs  what programs may use of WebAssembly
//!  program.rs    what a program may be          code.rs   compiled code, and where it is kept
//! ```
mod accesses;
mod allowed;
mod clock;
mod code;
mod cpu;
mod engine;
mod error;
mod exceptions;
mod hypercall;
mod instance;
mod interrupt;
mod known;
mod leave;
mod memory;
mod physical;
mod program;
mod space;
mod stack;
mod task;
mod trap;

pub use code::{Guest, KernelImage, compile_kernel, compile_program};
pub use error::{Error, ProgramError};

use interrupt::Interrupts;
use std::{
    borrow::Cow,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};
use wasmlinux_devices::{Bus, GuestMemory, Interrupt, Streams};

/// Takes what the kernel writes to its console, in pieces of any length.
pub type ConsoleSink = Box<dyn FnMut(&[u8]) + Send>;

/// How to build a machine.
pub struct Config {
    /// Bytes of physical memory; rounded down to whole pages of 64 KiB.
    pub memory: u64,
    /// The kernel's command line.
    pub cmdline: String,
    /// Archives in cpio's newc format, unpacked by the kernel one after the other.
    pub initramfs: Vec<Cow<'static, [u8]>>,
    /// The kernel, and the compiled code of programs that came with it.
    pub guest: Guest,
    /// A folder for the compiled code of other programs, made if absent; without one they are compiled at each boot.
    pub cache: Option<PathBuf>,
    /// The byte pipes between host and guest.
    pub streams: Arc<Streams>,
    /// The devices with registers.
    pub bus: Arc<Bus>,
    /// Gets what the kernel writes to its console: its messages.
    pub console: ConsoleSink,
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The guest switched it off.
    Off,
    /// The guest halted it.
    Halt,
    /// The guest asked for a reboot. The machine does not boot again by itself.
    Reboot,
    /// The kernel panicked; its messages are on the console.
    Panic,
    /// [`Machine::power_off`] pulled the plug.
    Unplugged,
    /// The machine itself failed, with what is known about it.
    Failed(String),
}

/// A machine that is switched on. It runs on a thread of its own.
pub struct Machine {
    shared: Arc<Shared>,
}

/// What the machine's thread and its owner share.
struct Shared {
    outcome: Mutex<Option<Outcome>>,
    ended: Condvar,
    interrupts: Arc<Interrupts>,
}

impl Shared {
    fn outcome(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    /// Builds a machine and switches it on.
    ///
    /// # Errors
    /// If the host cannot give the memory, or the kernel does not fit this machine.
    pub fn power_on(config: Config) -> Result<Machine, Error> {
        engine::get()?;
        let board = cpu::Board::new(&config)?;
        let interrupts = board.interrupts();
        let shared =
            Arc::new(Shared { outcome: Mutex::default(), ended: Condvar::new(), interrupts: interrupts.clone() });
        config.streams.connect(interrupts.clone());
        let memory: Arc<dyn GuestMemory> = board.physical.clone();
        let line: Arc<dyn Interrupt> = interrupts;
        config.bus.connect(&memory, &line);
        let (streams, bus) = (config.streams.clone(), config.bus.clone());
        let of_thread = shared.clone();
        std::thread::Builder::new()
            .name("machine".into())
            .stack_size(8 << 20)
            .spawn(move || {
                cpu::run(board, config, |outcome| {
                    *of_thread.outcome() = Some(outcome);
                    streams.shut();
                    bus.disconnect();
                    of_thread.ended.notify_all();
                });
            })
            .map_err(Error::Thread)?;
        Ok(Machine { shared })
    }

    /// Waits until the machine is off.
    pub fn wait(&self) -> Outcome {
        let mut outcome = self.shared.outcome();
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.shared.ended.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How the machine ended, if it did.
    pub fn try_wait(&self) -> Option<Outcome> {
        self.shared.outcome().clone()
    }

    /// Pulls the plug: the guest gets no time to do anything. Returns at once; [`Machine::wait`] tells when it is off.
    pub fn power_off(&self) {
        self.shared.interrupts.unplug();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}
