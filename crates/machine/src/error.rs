//! What can go wrong with a machine or a program, in a user's words.
use std::{fmt, io, sync::Arc};
use wasmlinux_devices::Panic;

/// Why a machine could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The size of memory makes no sense.
    #[error("{size} bytes of memory are {}; give between {min} and {max} bytes", if size < min { "too few for this kernel" } else { "too many" })]
    MemorySize {
        /// Bytes asked for.
        size: u64,
        /// Bytes that the kernel and the files need at least.
        min: u64,
        /// The most that a 32-bit machine can have.
        max: u64,
    },
    /// The host refused memory.
    #[error("the host gives no memory for the machine")]
    HostMemory(#[source] io::Error),
    /// The host refused a thread.
    #[error("the host gives no thread for the machine")]
    Thread(#[source] io::Error),
    /// The host refused a timer.
    #[error("the host gives no timer for the machine")]
    Timer(#[source] io::Error),
    /// This process may use too few addresses.
    #[error("this process may use {} GiB of addresses, and a machine takes more than that: set no such limit (`ulimit -v unlimited`)", .0 >> 30)]
    Addresses(u64),
    /// This process may make no file as large as the memory of the machine, which is one.
    #[error(
        "this process may make files of {limit} bytes, and the machine's memory is one of {size}: raise the limit (`ulimit -f unlimited`) or give it less memory"
    )]
    FileSize {
        /// The limit of the host, in bytes.
        limit: u64,
        /// The memory of the machine, in bytes.
        size: u64,
    },
    /// What was named as the compiler of programs cannot be started.
    #[error("{} cannot be the compiler of programs: name an executable such as `wasmlinux` of this version", .executable.display())]
    Compiler {
        /// The executable that was named.
        executable: std::path::PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The machine's process could not give up what it has to.
    #[error("the machine's process cannot be confined: {0}; `--confine=on` goes on without")]
    Confine(String),
    /// The kernel does not fit this machine.
    #[error("the kernel does not fit this machine: {0}")]
    Kernel(String),
    /// The bundle with kernel and programs is damaged.
    #[error("the kernel and its programs are damaged")]
    Bundle(#[from] wasmlinux_image::bundle::BundleError),
    /// The command line is too long.
    #[error("the kernel's command line has {0} bytes; at most {max} are possible", max = wasmlinux_boundary::CMDLINE_SIZE - 1)]
    CommandLine(usize),
    /// The engine refused.
    #[error("the WebAssembly engine refuses")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<wasmtime::Error> for Error {
    fn from(error: wasmtime::Error) -> Error {
        Error::Engine(error.into())
    }
}

/// Why a program is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Its module is none that a program or kernel may have.
    #[error(transparent)]
    Module(#[from] wasmlinux_module::Error),
    /// The engine could not compile it.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// The compiler, a process of its own, says so.
    #[error("{0}")]
    Refused(String),
    /// The host has too little of something to compile it; later it may have enough.
    #[error("it cannot be compiled now: {0}")]
    Resources(String),
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The guest switched it off.
    Off,
    /// The guest halted it.
    Halt,
    /// The guest asked for a reboot. The machine does not boot again by itself.
    Reboot,
    /// The kernel panicked; its messages are on the console.
    Panic,
    /// [`Machine::power_off`](crate::Machine::power_off) pulled the plug.
    Unplugged,
    /// The machine itself failed.
    Failed(Failure),
}

/// Why a machine failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Code of the machine's own has panicked.
    #[error(transparent)]
    Panic(#[from] Panic),
    /// The host gives the machine's thread not all that it needs.
    #[error(transparent)]
    Start(Cause),
    /// A task ended by an error of the engine that no task may end by.
    #[error(transparent)]
    Task(Cause),
    /// The host refuses to unmap memory.
    #[error("the host refuses to unmap memory")]
    Unmap,
    /// The kernel switched to what is no task.
    #[error("the kernel switched to {0:#x}, which is no task")]
    NoTask(u32),
    /// The kernel switched the machine off by another number than those of `POWER_*`.
    #[error("the kernel switched off in an unknown way, {0}")]
    PowerOff(u32),
    /// A signal has ended the process that the machine had of its own.
    #[error("its process was ended by signal {0}")]
    Killed(i32),
    /// The process that the machine had of its own has exited, with this status.
    #[error("its process has ended (exit status: {0})")]
    Exited(i32),
    /// The process that the machine had of its own cannot be waited for.
    #[error("its process is lost")]
    Lost(#[source] Cause),
}

/// An error of any kind that can be cloned. Two are equal if they and their causes read the same.
#[derive(Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// With all its causes.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Cause {
        Cause(error.into().into())
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        explained(self) == explained(other)
    }
}

impl Eq for Cause {}

/// An error with its causes, as far as it does not name them itself.
pub fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
