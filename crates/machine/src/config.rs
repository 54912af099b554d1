//! How to build a machine.
use crate::{engine::code::Guest, engine::compiler::Broker, engine::compiler::Compiler};
use std::{borrow::Cow, path::PathBuf, sync::Arc};
use wasmlinux_devices::{Bus, Streams};

/// Takes what the kernel writes to its console, in pieces of any length.
pub type ConsoleSink = Box<dyn FnMut(&[u8]) + Send>;

/// Gives up what a process does not need to run a guest, or says why it cannot.
pub type BeforeStart = Box<dyn FnOnce() -> Result<(), String> + Send>;

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
    /// A directory for the compiled code of other programs, made if absent; without one they are
    /// compiled at each boot.
    pub cache: Option<PathBuf>,
    /// Where those are compiled.
    pub compiler: Compiler,
    /// Where compiled code comes from in place of these two, in a process that can open nothing.
    pub broker: Option<Broker>,
    /// Called when all is there but the processor's thread: the last moment before the guest runs.
    pub before_start: Option<BeforeStart>,
    /// The byte pipes between host and guest.
    pub streams: Arc<Streams>,
    /// The devices with registers.
    pub bus: Arc<Bus>,
    /// Gets what the kernel writes to its console: its messages.
    pub console: ConsoleSink,
}

impl Config {
    /// A machine with so many bytes of memory and nothing else: no initramfs, no cache, no devices,
    /// and a console that nobody reads. Programs are compiled as by [`Compiler::Default`].
    pub fn new(memory: u64, guest: Guest) -> Config {
        Config {
            memory,
            cmdline: String::new(),
            initramfs: Vec::new(),
            guest,
            cache: None,
            compiler: Compiler::Default,
            broker: None,
            before_start: None,
            streams: Streams::new(),
            bus: Arc::default(),
            console: Box::new(|_| ()),
        }
    }
}
