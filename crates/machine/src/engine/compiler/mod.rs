//! The compiler: a process of its own for each program, with limits, which a program that nobody
//! waits for ends with.
//!
//! What it compiles is hostile, and makes a compiler take any time and memory, or crash. So the
//! engine's compiler, and all that looks into the program before, run in a process ([`worker`])
//! that dies alone. Its answer is trusted as the compiler's own result would be that ran here: it
//! is our own executable, and nobody else has the other end of the socket. A program that made the
//! compiler give wrong code would get that into this process either way; nothing here protects from
//! that but the checks before (`crates/module`). What it gives is never parsed as anything but the
//! engine's own form of a module.
mod broker;
mod worker;

pub use broker::{Broker, BrokerServer};
pub use worker::compile_if_asked;

use crate::{CompileError, Error, ProgramError, ResourceError, UnavailableError, engine, sync::lock};
use std::{
    fs, io,
    io::{Read, Write},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream, unix::process::CommandExt, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// Bytes of memory that the compiler may use for a program, and for each of the program's bytes:
/// two thirds more than the kernel takes, whose functions are small.
const MEMORY: u64 = 1 << 30;
const MEMORY_FACTOR: u64 = 48;
/// Threads of a compiler, at most: each takes memory for the function that it compiles.
const THREADS: usize = 4;
/// Bytes of compiled code that are taken, at most.
const CODE_MAX: u64 = 512 << 20;
/// How long a process may take to end that has closed its socket.
const ENDING: Duration = Duration::from_secs(2);

/// Where the programs of a machine are compiled that come neither with it nor out of the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compiler {
    /// As [`Compiler::Executable`] by this process's own executable, if its `main` has called
    /// [`compile_if_asked`]; else as [`Compiler::Threads`].
    #[default]
    Default,
    /// Each in a process of this executable, whose `main` begins with [`compile_if_asked`], as that
    /// of the command line `wasmlinux` does. It must be of the same version as this library.
    Executable(PathBuf),
    /// On threads of this process. The limits of [`Compiler::Executable`] do not hold: a hostile
    /// program can make the compiler take gigabytes and minutes, or crash, and this process with
    /// it.
    Threads,
}

impl Compiler {
    /// The executable to start, if there is one; an error if it is none.
    pub(crate) fn resolve(&self) -> Result<Option<PathBuf>, Error> {
        Ok(match self {
            Compiler::Threads => None,
            // Not by its path, where a newer one may lie meanwhile.
            Compiler::Default => worker::has_been_offered().then(|| "/proc/self/exe".into()),
            Compiler::Executable(path) => {
                // A path without a slash would be looked up in PATH; a relative one by a directory
                // that may change.
                let found = fs::canonicalize(path).and_then(|found| match found.is_file() {
                    true => Ok(found),
                    false => Err(io::Error::other("it is no file")),
                });
                Some(found.map_err(|source| Error::Compiler { executable: path.clone(), source })?)
            }
        })
    }
}

/// What a process may use for a program.
#[derive(Clone, Copy)]
struct Limits {
    /// Bytes of memory.
    memory: u64,
    /// Seconds of all its threads on processors together.
    processor: u64,
    /// From its start to its answer.
    time: Duration,
}

impl Limits {
    /// For a program of so many bytes, which are several times what real ones take.
    fn of(bytes: u64) -> Limits {
        let processor = 10 + (bytes * 15).div_ceil(1 << 20);
        let memory = MEMORY + bytes * MEMORY_FACTOR;
        // Other processes want the processors too, dozens of them perhaps: what is bounded here is
        // a process that does nothing.
        Limits { memory, processor, time: Duration::from_secs(60 + 20 * processor) }
    }
}

/// Why there is no code.
pub(crate) enum Failure {
    /// The program, each time. Or one that was good had bad luck, unless `again` is false.
    Program { error: ProgramError, again: bool },
    /// There is no compiler, and why.
    Unavailable(UnavailableError),
}

impl Failure {
    fn compile(error: impl Into<CompileError>, again: bool) -> Failure {
        Failure::Program { error: ProgramError::Compile(error.into()), again }
    }
}

/// Ends a compilation from another thread.
#[derive(Default)]
pub(crate) struct Cancel(Mutex<Cancelling>);

#[derive(Default)]
struct Cancelling {
    cancelled: bool,
    socket: Option<UnixStream>,
}

impl Cancel {
    fn lock(&self) -> MutexGuard<'_, Cancelling> {
        lock(&self.0)
    }

    /// The compiler ends soon, or does not begin.
    pub(crate) fn cancel(&self) {
        let mut this = self.lock();
        this.cancelled = true;
        if let Some(socket) = this.socket.take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.lock().cancelled
    }

    fn by(&self, socket: UnixStream) {
        let mut this = self.lock();
        if this.cancelled {
            let _ = socket.shutdown(Shutdown::Both);
        } else {
            this.socket = Some(socket);
        }
    }
}

/// Why a conversation ended without code.
enum Stop {
    /// The other end has closed the socket.
    Lost,
    /// The time is over.
    Late,
    Failed(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Stop::Late,
            _ => Stop::Lost,
        }
    }
}

/// The code of a program, as `Module::deserialize` takes it, from a process of this executable.
/// Blocks.
pub(crate) fn compile(executable: &Path, wasm: &[u8], cancel: &Cancel) -> Result<Vec<u8>, Failure> {
    let limits = Limits::of(wasm.len() as u64);
    let identity = engine::identity().map_err(|e| Failure::compile(e, true))?;
    let unavailable = |error: io::Error| Failure::Unavailable(UnavailableError::Start(error));
    let (socket, mut child) = start(executable).map_err(unavailable)?;
    let result = match socket.try_clone() {
        Ok(clone) => {
            cancel.by(clone);
            talk(&Talk { socket: &socket, deadline: Instant::now() + limits.time }, identity, wasm, limits)
        }
        Err(error) => Err(Stop::Failed(unavailable(error))),
    };
    drop(cancel.lock().socket.take());
    // Tells it to end, if it has not.
    drop(socket);
    let ends = matches!(result, Ok(_) | Err(Stop::Lost)) && !cancel.cancelled();
    let status = end(&mut child, if ends { ENDING } else { Duration::ZERO });
    result.map_err(|stop| match stop {
        Stop::Failed(failure) => failure,
        Stop::Late => Failure::compile(CompileError::Late(limits.time), true),
        Stop::Lost => fate(status, &mut child, limits),
    })
}

/// What a process has died of that gave no answer.
fn fate(status: Option<ExitStatus>, child: &mut Child, limits: Limits) -> Failure {
    let Some(status) = status else { return Failure::compile(CompileError::Ended, true) };
    let mut words = Vec::new();
    if let Some(errors) = child.stderr.take() {
        // It has ended: nobody can make this wait.
        let _ = errors.take(1000).read_to_end(&mut words);
    }
    let words = String::from_utf8_lossy(&words);
    match status.signal() {
        Some(libc::SIGXCPU) => Failure::compile(CompileError::Processor(limits.processor), false),
        // As the standard library says it before it aborts.
        Some(libc::SIGABRT) if words.starts_with("memory allocation of ") => {
            Failure::compile(CompileError::Memory(limits.memory), false)
        }
        Some(signal) => Failure::compile(CompileError::Signal(signal), true),
        None => Failure::compile(CompileError::Status(status), true),
    }
}

fn start(executable: &Path) -> io::Result<(UnixStream, Child)> {
    let (socket, theirs) = UnixStream::pair()?;
    let theirs = OwnedFd::from(theirs);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let child = Command::new(executable)
        .arg0("wasmlinux")
        .arg(worker::VERB)
        .env("RAYON_NUM_THREADS", threads.to_string())
        .current_dir("/")
        .stdin(theirs.try_clone()?)
        .stdout(theirs)
        .stderr(Stdio::piped())
        // What the terminal sends to this process's group is not for it.
        .process_group(0)
        .spawn()?;
    Ok((socket, child))
}

/// Waits for its end so long, then makes it.
fn end(child: &mut Child, wait: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + wait;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            // Somebody else in this process has waited for it.
            Err(_) => return None,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let _ = child.kill();
                return child.wait().ok();
            }
        }
    }
}

/// A conversation that ends in time.
struct Talk<'a> {
    socket: &'a UnixStream,
    deadline: Instant,
}

impl Talk<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Write for &Talk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        let mut socket = self.socket;
        socket.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for &Talk<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        let mut socket = self.socket;
        socket.read(bytes)
    }
}

/// Kinds of an answer.
const CODE: u8 = 0;
const REFUSED: u8 = 1;
const OTHER_VERSION: u8 = 2;

fn talk(mut talk: &Talk<'_>, identity: u64, wasm: &[u8], limits: Limits) -> Result<Vec<u8>, Stop> {
    let request = [identity, limits.memory, limits.processor, wasm.len() as u64];
    let request: Vec<u8> = request.into_iter().flat_map(u64::to_le_bytes).collect();
    let mut head = [0; 9];
    // One that refuses us does not read on.
    let _ = talk.write_all(&request).and_then(|()| talk.write_all(wasm));
    talk.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    let failed = |error: CompileError, again| Stop::Failed(Failure::compile(error, again));
    if length > CODE_MAX {
        return Err(failed(CompileError::Code { length, limit: CODE_MAX }, false));
    }
    let mut bytes = Vec::new();
    if let Err(error) = bytes.try_reserve_exact(length as usize) {
        return Err(Stop::Failed(Failure::Program { error: ResourceError::Memory(error).into(), again: true }));
    }
    if talk.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(Stop::Lost);
    }
    let text = || String::from_utf8_lossy(&bytes).into_owned();
    match kind {
        CODE => Ok(bytes),
        REFUSED => Err(Stop::Failed(Failure::Program { error: ProgramError::Refused(text()), again: false })),
        OTHER_VERSION => Err(Stop::Failed(Failure::Unavailable(UnavailableError::Version))),
        _ => Err(failed(CompileError::Answer, true)),
    }
}

/// Compiles a program on the calling thread.
pub(crate) fn compile_here(wasm: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let program = wasmlinux_module::check(wasm)?;
    let code = engine::get().and_then(|engine| engine.precompile_module(&program.module));
    Ok(code.map_err(CompileError::from)?)
}
