//! The other side: a process that compiles one program and ends.
use super::{CODE, OTHER_VERSION, REFUSED};
use crate::{CompileError, ProgramError, engine, host::process, sync::lock};
use std::{
    fs,
    io::{self, Read, Write},
    os::{fd::FromRawFd, unix::fs::FileTypeExt, unix::net::UnixStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The argument that asks an executable to compile.
pub(super) const VERB: &str = "compile-for-machine";

/// Bytes of stack of the compiler's first thread.
const STACK: usize = 16 << 20;
/// What a process may take of address space beside its limit of memory: its executable, and what is
/// reserved only.
const RESERVED: u64 = 2 << 30;
/// How much less of the processors it gets than the machine that waits for it.
const NICE: i32 = 2;

static OFFERED: AtomicBool = AtomicBool::new(false);

/// Whether this executable can be started as a compiler.
pub(super) fn has_been_offered() -> bool {
    OFFERED.load(Relaxed)
}

/// To be called first in `main`, before any thread is started or descriptor opened. If this process
/// was started by a machine to be its compiler, it does that and does not return. Else it returns
/// at once, and [`Compiler::Default`](super::Compiler::Default) compiles in processes of this
/// executable.
pub fn compile_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == VERB) && arguments.next().is_none() {
        std::process::exit(serve());
    }
    OFFERED.store(true, Relaxed);
}

fn serve() -> i32 {
    let is_socket = fs::metadata("/proc/self/fd/0").is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        eprintln!("wasmlinux: {VERB} is what a machine starts by itself; `wasmlinux run` runs programs");
        return 125;
    }
    settle();
    // SAFETY: open, by the above, and nobody else's in a process that has just begun.
    let socket = unsafe { UnixStream::from_raw_fd(0) };
    // Nobody can be told.
    if answer(socket).is_ok() { 0 } else { 1 }
}

/// Leaves what came from the process that started this one.
fn settle() {
    // SAFETY: descriptors from 3 on are none of this process's own, which has just begun and will
    // do nothing else: what they lead to would otherwise stay open for as long.
    unsafe { process::be_compiler(NICE) };
    process::lower_limit(process::RLIMIT_CORE, 0);
    process::lower_limit(process::RLIMIT_FSIZE, 0);
}

fn answer(mut socket: UnixStream) -> io::Result<()> {
    let mut request = [0; 32];
    socket.read_exact(&mut request)?;
    let word = |at: usize| u64::from_le_bytes(request[at * 8..][..8].try_into().unwrap_or_default());
    let (identity, memory, processor, length) = (word(0), word(1), word(2), word(3));
    if engine::identity().ok() != Some(identity) {
        return reply(&mut socket, OTHER_VERSION, &[]);
    }
    process::lower_limit(process::RLIMIT_DATA, memory);
    process::lower_limit(process::RLIMIT_AS, memory.saturating_add(RESERVED));
    process::lower_limit(process::RLIMIT_CPU, processor);
    let mut wasm = Vec::new();
    (&socket).take(length).read_to_end(&mut wasm)?;
    if wasm.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Nothing more comes but the end, when nobody waits for the program any more, or the machine is
    // gone.
    let mut end = socket.try_clone()?;
    std::thread::Builder::new().name("end".into()).stack_size(64 << 10).spawn(move || {
        let _ = end.read(&mut [0]);
        process::end()
    })?;
    match compile(wasm) {
        Ok(code) => reply(&mut socket, CODE, &code),
        Err(error) => reply(&mut socket, REFUSED, error.explained().as_bytes()),
    }
}

fn reply(socket: &mut UnixStream, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let mut head = vec![kind];
    head.extend((bytes.len() as u64).to_le_bytes());
    socket.write_all(&head)?;
    socket.write_all(bytes)
}

/// What a panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn compile(wasm: Vec<u8>) -> Result<Vec<u8>, ProgramError> {
    std::panic::set_hook(Box::new(|info| {
        *lock(&PANIC) = info.to_string().replace('\n', " ");
    }));
    let compile = move || {
        let wasmlinux_module::Program { module, .. } = wasmlinux_module::check(&wasm)?;
        drop(wasm);
        let code = engine::compiling().and_then(|engine| engine.precompile_module(&module));
        Ok(code.map_err(CompileError::from)?)
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(compile);
    let thread = thread.map_err(CompileError::Thread)?;
    thread.join().unwrap_or_else(|_| {
        let what = lock(&PANIC);
        Err(CompileError::Panic(what.clone()).into())
    })
}
