//! What can go wrong, in the caller's words.
use crate::machine::{MEMORY_MAX, MEMORY_MIN};
use crate::{ApartError, Errno};
use wasmlinux_boundary as boundary;
use wasmlinux_devices::printable;
use wasmlinux_machine::{Outcome, explained};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library was built without kernel and root file system.
    #[error("this build has no guest in it: run `cargo xtask build`, which makes one")]
    NoGuest,
    /// The amount of memory asked for is out of range.
    #[error("a machine cannot have {} of memory: give it {} to {}", size(*.asked), size(MEMORY_MIN), size(MEMORY_MAX))]
    Memory {
        /// What was asked for, in bytes.
        asked: u64,
    },
    /// What is added to the root file system does not fit into the memory.
    #[error("{} of memory is too little for the {count} files and directories that are added, which take {} of it: {}",
        size(*.memory), size(*.files), advice(*.needed))]
    FilesTooLarge {
        /// The machine's memory, in bytes.
        memory: u64,
        /// Files, directories and links.
        count: u64,
        /// What they take of the memory, in bytes.
        files: u64,
        /// The memory that would do, in bytes; it may be more than [`MEMORY_MAX`].
        needed: u64,
    },
    /// The guest could not make a file that is added.
    #[error("cannot put `{path}` into the guest: {errno}{}", if *.errno == Errno::ENOSPC { "; give the machine more memory" } else { "" })]
    NotMade {
        /// The path in the guest.
        path: String,
        /// The guest's reason.
        errno: Errno,
    },
    /// A file or directory could not be added to the root file system.
    #[error(transparent)]
    Add(#[from] wasmlinux_image::tree::Error),
    /// The kernel's command line is too long or has a zero byte in it.
    #[error("the kernel's arguments are too long (at most {} bytes), or hold a zero byte", wasmlinux_boundary::CMDLINE_SIZE - 1)]
    KernelArguments,
    /// The host name is empty, longer than 64 bytes, or not one word.
    #[error("`{0}` is not a host name: 1 to 64 printable characters without spaces")]
    Hostname(String),
    /// The machine could not be switched on.
    #[error(transparent)]
    Machine(#[from] wasmlinux_machine::Error),
    /// The network could not be set up: a port of the host is in use, perhaps.
    #[error(transparent)]
    Network(#[from] wasmlinux_net::Error),
    /// The guest's init speaks another version of the control protocol than this library.
    #[error(
        "the guest's init speaks versions {theirs} of the control protocol, this library {} to {}: kernel and root file system must be those that were built with it",
        boundary::VERSION_OLDEST,
        boundary::VERSION
    )]
    Version {
        /// The versions of init, such as `2 to 3`.
        theirs: String,
    },
    /// Files of the guest could not be read.
    #[error("cannot read `{path}` in the guest: {errno}")]
    Read {
        /// The path in the guest.
        path: String,
        /// The guest's reason.
        errno: Errno,
    },
    /// The machine would have too many devices.
    #[error(transparent)]
    Devices(#[from] wasmlinux_devices::BusFull),
    /// The machine ended before its first process was up.
    #[error("the machine did not boot: {}{}", how_it_ended(.outcome), last_line(.messages))]
    Boot {
        /// How it ended.
        outcome: Outcome,
        /// The last kernel messages.
        messages: String,
    },
    /// The machine's first process was not up in time.
    #[error("the machine was not up after {} seconds{}", .after.as_secs(), last_line(.messages))]
    BootTimeout {
        /// How long it was waited for.
        after: std::time::Duration,
        /// The last kernel messages.
        messages: String,
    },
    /// The host gives no process for the machine, or that one is lost.
    #[error("the machine's process is lost")]
    Process(#[source] std::io::Error),
    /// The machine's process says why it is no machine.
    #[error(transparent)]
    Apart(ApartError),
    /// This executable cannot be started as a machine.
    #[error("this program cannot be a machine's process: call `machine_if_asked` at the beginning of its `main`")]
    NotOffered,
    /// The machine is off, or went off meanwhile.
    #[error("the machine is off")]
    Off,
    /// A command could not be started.
    #[error("{}", cannot_spawn(*.step, .subject, *.errno))]
    Spawn {
        /// What was being done.
        step: SpawnStep,
        /// The program, directory, stream, user or group.
        subject: String,
        /// The guest's reason.
        errno: Errno,
    },
    /// Every terminal line of the machine is in use.
    #[error(
        "all {} terminals of the machine are in use: wait until a command with one has ended",
        wasmlinux_boundary::TERMINAL_LINES
    )]
    Terminals,
    /// A host task could not be started.
    #[error("cannot start a host task")]
    Task(#[source] Errno),
    /// The host task's process has ended, killed perhaps.
    #[error("the host task has ended")]
    TaskEnded,
    /// A system call failed in the guest.
    #[error("{call}: {errno}")]
    System {
        /// The call's name or number.
        call: &'static str,
        /// The guest's reason.
        errno: Errno,
    },
    /// A string for the guest has a zero byte in it.
    #[error("`{0}` has a zero byte in it")]
    ZeroByte(String),
    /// Arguments and environment of a command, or the buffers of a system call, are larger than the
    /// channel takes.
    #[error("{what} of {size} bytes: at most {limit} can be passed")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The guest's side of the control channel sent what it must not.
    #[error("the guest broke the protocol: {0}")]
    Protocol(&'static str),
    /// A thread could not be started, or a stream failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The step at which a command could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnStep {
    /// Understanding what was asked for.
    Understand,
    /// Making a process.
    Process,
    /// Opening a standard stream.
    OpenStream,
    /// Getting a terminal.
    Terminal,
    /// Setting a limit.
    Limit,
    /// Entering the working directory.
    ChangeDirectory,
    /// Becoming the user.
    User,
    /// Finding a group.
    Group,
    /// Finding and executing the program.
    Execute,
}

impl SpawnStep {
    /// From STEP_*.
    pub(crate) fn of(step: u32) -> SpawnStep {
        match step {
            boundary::STEP_PROCESS => SpawnStep::Process,
            boundary::STEP_STREAM => SpawnStep::OpenStream,
            boundary::STEP_TERMINAL => SpawnStep::Terminal,
            boundary::STEP_LIMIT => SpawnStep::Limit,
            boundary::STEP_DIRECTORY => SpawnStep::ChangeDirectory,
            boundary::STEP_USER => SpawnStep::User,
            boundary::STEP_GROUP => SpawnStep::Group,
            boundary::STEP_EXECUTE => SpawnStep::Execute,
            _ => SpawnStep::Understand,
        }
    }
}

impl std::fmt::Display for SpawnStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SpawnStep::Understand => "understand how to run",
            SpawnStep::Process => "make a process for",
            SpawnStep::OpenStream => "open as a standard stream",
            SpawnStep::Terminal => "give a terminal to",
            SpawnStep::Limit => "set a limit of",
            SpawnStep::ChangeDirectory => "enter the working directory",
            SpawnStep::User => "become the user",
            SpawnStep::Group => "have the group",
            SpawnStep::Execute => "run",
        })
    }
}

fn cannot_spawn(step: SpawnStep, subject: &str, errno: Errno) -> String {
    match (step, errno) {
        (SpawnStep::User, Errno::ENOENT) => {
            format!("there is no user `{subject}` in the machine's /etc/passwd: give a name from there, or a number")
        }
        (SpawnStep::Group, Errno::ENOENT) => {
            format!("there is no group `{subject}` in the machine's /etc/group: give a name from there, or a number")
        }
        _ => format!("cannot {step} `{subject}`: {errno}"),
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Off | Error::TaskEnded => std::io::Error::new(std::io::ErrorKind::BrokenPipe, error),
            error => std::io::Error::other(error),
        }
    }
}

/// A size as a person writes it.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 10 << 20 => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ if bytes >= 1 << 10 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{bytes} bytes"),
    }
}

fn advice(needed: u64) -> String {
    match needed {
        _ if needed <= MEMORY_MAX => format!("give the machine at least {}m", needed.div_ceil(1 << 20)),
        _ => "no machine can have so much: add less, or one archive that the command unpacks in parts".into(),
    }
}

fn how_it_ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Off => "it switched itself off".into(),
        Outcome::Halt => "it halted".into(),
        Outcome::Reboot => "it asked for a reboot".into(),
        Outcome::Panic => "the kernel panicked".into(),
        Outcome::Unplugged => "it was unplugged".into(),
        Outcome::Failed(why) => explained(why),
        #[allow(unreachable_patterns, reason = "more kinds of end may come")]
        other => format!("{other:?}"),
    }
}

/// The kernel's last words, for the end of a message.
fn last_line(messages: &str) -> String {
    match messages.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(" (last kernel message: {})", printable(line.trim())),
        None => String::new(),
    }
}
