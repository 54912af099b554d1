//! What can go wrong with a machine or a program, in a user's words.
use std::{collections::TryReserveError, fmt, io, process::ExitStatus, sync::Arc, time::Duration};
use wasmlinux_devices::Panic;

/// An error of any kind.
type Any = Box<dyn std::error::Error + Send + Sync>;

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
    #[error("the kernel does not fit this machine")]
    Kernel(#[from] KernelError),
    /// The bundle with kernel and programs is damaged.
    #[error("the kernel and its programs are damaged")]
    Bundle(#[from] wasmlinux_image::bundle::BundleError),
    /// The command line is too long.
    #[error("the kernel's command line has {0} bytes; at most {max} are possible", max = wasmlinux_boundary::CMDLINE_SIZE - 1)]
    CommandLine(usize),
    /// The engine refused.
    #[error("the WebAssembly engine refuses")]
    Engine(#[source] Any),
}

/// Why a kernel does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The bundle has no kernel.
    #[error("there is none")]
    Missing,
    /// It does not export what a machine needs of it.
    #[error("it exports no {0}")]
    Export(String),
    /// It imports what no machine has.
    #[error("its imports are others")]
    Imports(#[source] Any),
    /// Its data, or what the machine writes there before it starts, has no place in memory.
    #[error("its data at {0:#x} is outside memory")]
    Data(u32),
    /// It was made for another version of the machine.
    #[error("made for version {kernel} of the machine, not {machine}")]
    Version {
        /// The kernel's.
        kernel: u32,
        /// The machine's.
        machine: u32,
    },
    /// No page tables have the format that it says.
    #[error("impossible page tables")]
    PageTables,
    /// `struct boot_info` lies outside of memory, or between words.
    #[error("boot_info cannot be at {0:#x}")]
    BootInfo(u32),
    /// Without a trap in its code it could not be stopped.
    #[error("no instruction of it traps")]
    NoTrap,
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
    /// The compiler has made no code of it.
    #[error("it does not compile")]
    Compile(#[from] CompileError),
    /// The compiler, a process of its own, says so.
    #[error("{0}")]
    Refused(String),
    /// The host has too little of something to compile it; later it may have enough.
    #[error("it cannot be compiled now")]
    Resources(#[from] ResourceError),
}

impl ProgramError {
    /// With all that is known.
    pub(crate) fn explained(&self) -> String {
        match self {
            // It says itself what its causes say, and where in the file as it was.
            ProgramError::Module(error) => error.to_string(),
            error => explained(error),
        }
    }
}

/// Why the compiler has made no code of a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The engine refuses it.
    #[error(transparent)]
    Engine(Any),
    /// A function of the machine code, by its index, is not as signal handlers expect it.
    #[error("function {0} of the machine code begins without a frame")]
    NoFrame(u32),
    /// It takes more seconds of processor time than it may.
    #[error("it takes the compiler more than {0} s of processor time")]
    Processor(u64),
    /// It takes more bytes of memory than it may.
    #[error("it takes the compiler more than {} MiB of memory", .0 >> 20)]
    Memory(u64),
    /// It makes more code than it may.
    #[error("it makes {length} bytes of code, of at most {limit}")]
    Code {
        /// Bytes of code.
        length: u64,
        /// Bytes of code that a program may have.
        limit: u64,
    },
    /// The compiler had so much time.
    #[error("the compiler was not ready after {} s", .0.as_secs())]
    Late(Duration),
    /// A signal has ended the compiler.
    #[error("the compiler was ended by signal {0}")]
    Signal(i32),
    /// The compiler's process has ended by itself.
    #[error("the compiler has failed ({0})")]
    Status(ExitStatus),
    /// The compiler's process has ended, and nobody knows how.
    #[error("the compiler has ended without an answer")]
    Ended,
    /// What came is no answer.
    #[error("the compiler gives no answer that makes sense")]
    Answer,
    /// The compiler has panicked, with this message.
    #[error("the compiler has a bug: {0}")]
    Panic(String),
    /// The host gives the compiler no thread.
    #[error("no thread for the compiler")]
    Thread(#[source] io::Error),
    /// The connection with the compiler has ended.
    #[error("the compiler is lost")]
    Lost(#[source] io::Error),
    /// What another process of the machine's says, with its causes.
    #[error("{0}")]
    Told(String),
}

impl From<wasmtime::Error> for CompileError {
    fn from(error: wasmtime::Error) -> CompileError {
        CompileError::Engine(error.into())
    }
}

/// What the host has too little of to compile a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// The line for the compiler is full.
    #[error("too many programs wait for the compiler")]
    Waiting,
    /// The host gives no thread.
    #[error("no thread for the compiler")]
    Thread(#[source] io::Error),
    /// No process compiles.
    #[error("no process for the compiler")]
    Process(#[source] UnavailableError),
    /// There is no memory for the code.
    #[error(transparent)]
    Memory(TryReserveError),
    /// What another process of the machine's says, with its causes.
    #[error("{0}")]
    Told(String),
}

/// Why no process compiles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnavailableError {
    /// The host does not start it.
    #[error(transparent)]
    Start(io::Error),
    /// The executable that was named is not this one.
    #[error("it is of another version")]
    Version,
    /// As many as may be are running.
    #[error("too many programs are compiled")]
    Busy,
    /// What another process of the machine's says, with its causes.
    #[error("{0}")]
    Told(String),
}

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
    pub fn new(error: impl Into<Any>) -> Cause {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_explained_once() {
        let start = UnavailableError::Start(io::ErrorKind::NotFound.into());
        let error = ProgramError::from(ResourceError::Process(start));
        assert_eq!(error.explained(), "it cannot be compiled now: no process for the compiler: entity not found");
        let engine = wasmtime::Error::msg("inner").context("outer");
        assert_eq!(ProgramError::from(CompileError::from(engine)).explained(), "it does not compile: outer: inner");
        let version = Error::from(KernelError::Version { kernel: 7, machine: 8 });
        assert_eq!(
            explained(&version),
            "the kernel does not fit this machine: made for version 7 of the machine, not 8"
        );
    }
}
