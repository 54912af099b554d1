//! Compiled code for a machine in a process of its own, which can neither open the cache nor start
//! a compiler: it asks the process that started it.
//!
//! What is asked for is hostile. The cache is written by the process that answers only, with what
//! its own compiler has made of the very bytes that the name of the file stands for.
use super::{CODE, Cancel, Compiler, Failure, OTHER_VERSION, REFUSED, compile, compile_here};
use crate::{
    CompileError, Error, ProgramError, ResourceError, UnavailableError, engine, engine::cache::Cache,
    engine::code::Key, error::explained,
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use wasmlinux_boundary::Message;
use wasmlinux_devices::Channel;
use wasmtime::Module;

/// Asks for the code of a program that was compiled before.
const GET: u32 = 1;
/// Asks for a socket to send a program through.
const COMPILE: u32 = 2;
/// Here it is.
const HERE: u32 = 16;
/// There is none.
const NONE: u32 = 17;
/// The program's key.
const FIELD_KEY: u32 = 1;

/// Kinds of an answer beside those of a compiler: what [`Failure`] says.
const FAILED: u8 = 16;
const FAILED_AGAIN: u8 = 17;
const RESOURCES: u8 = 18;
const UNAVAILABLE: u8 = 19;

/// Programs that are compiled at the same time for a machine, at most: one that was cancelled takes
/// a moment to end.
const COMPILERS: usize = 8;

/// Where a machine's process asks for compiled code.
#[derive(Debug)]
pub struct Broker(Channel);

impl From<Channel> for Broker {
    fn from(channel: Channel) -> Broker {
        Broker(channel)
    }
}

impl Broker {
    /// The program's code, if it is kept.
    pub(crate) fn get(&self, key: &Key) -> Option<Module> {
        let mut message = Message::new(GET, 0);
        message.bytes(FIELD_KEY, key);
        let (_, file) = self.0.ask(message, None).ok()?;
        // SAFETY: of the process that started this one, which has found it as it was written.
        unsafe { Module::deserialize_open_file(engine::get().ok()?, file?.into()) }.ok()
    }

    /// As [`compile`].
    pub(crate) fn compile(&self, wasm: &[u8], cancel: &Cancel) -> Result<Vec<u8>, Failure> {
        let lost = |error: io::Error| Failure::compile(CompileError::Lost(error), true);
        let (_, socket) = self.0.ask(Message::new(COMPILE, 0), None).map_err(lost)?;
        let Some(socket) = socket else { return Err(Failure::Unavailable(UnavailableError::Busy)) };
        let mut socket = UnixStream::from(socket);
        cancel.by(socket.try_clone().map_err(lost)?);
        // One that refuses it does not read on.
        let _ = socket.write_all(&(wasm.len() as u64).to_le_bytes()).and_then(|()| socket.write_all(wasm));
        let mut head = [0; 9];
        socket.read_exact(&mut head).map_err(lost)?;
        let [kind, length @ ..] = head;
        let mut bytes = Vec::new();
        socket.take(u64::from_le_bytes(length)).read_to_end(&mut bytes).map_err(lost)?;
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        Err(match kind {
            CODE => return Ok(bytes),
            REFUSED => Failure::Program { error: ProgramError::Refused(text()), again: false },
            RESOURCES => Failure::Program { error: ResourceError::Told(text()).into(), again: true },
            UNAVAILABLE | OTHER_VERSION => Failure::Unavailable(UnavailableError::Told(text())),
            kind => Failure::compile(CompileError::Told(text()), kind != FAILED),
        })
    }
}

/// Answers what a machine's process asks for by its [`Broker`].
pub struct BrokerServer {
    cache: Option<Cache>,
    executable: Option<PathBuf>,
    running: AtomicUsize,
}

impl BrokerServer {
    /// # Errors
    /// [`Error::Compiler`], [`Error::Engine`]
    pub fn new(cache: Option<&Path>, compiler: &Compiler) -> Result<Arc<BrokerServer>, Error> {
        let executable = compiler.resolve()?;
        let cache = cache.and_then(Cache::open_or_warn);
        Ok(Arc::new(BrokerServer { cache, executable, running: AtomicUsize::new(0) }))
    }

    /// Answers until the other process is gone.
    pub fn serve(self: &Arc<Self>, channel: &Channel) {
        while let Ok(Some((asked, _))) = channel.receive() {
            let file: Option<OwnedFd> = match asked.kind {
                GET => self.get(asked.field(FIELD_KEY).and_then(|field| field.value.try_into().ok())),
                COMPILE => self.begin().map(OwnedFd::from),
                _ => None,
            };
            let kind = if file.is_some() { HERE } else { NONE };
            if channel.send(Message::new(kind, 0), file.as_ref().map(AsFd::as_fd)).is_err() {
                return;
            }
        }
    }

    fn get(&self, key: Option<Key>) -> Option<OwnedFd> {
        let file: File = self.cache.as_ref()?.open_kept(&key?)?;
        Some(file.into())
    }

    /// A socket that a thread waits at for a program.
    fn begin(self: &Arc<Self>) -> Option<UnixStream> {
        let (ours, theirs) = UnixStream::pair().ok()?;
        if self.running.fetch_add(1, SeqCst) >= COMPILERS {
            self.running.fetch_sub(1, SeqCst);
            return None;
        }
        let this = self.clone();
        let work = move || {
            let _ = this.answer(&ours);
            this.running.fetch_sub(1, SeqCst);
        };
        match std::thread::Builder::new().name("compiler".into()).stack_size(16 << 20).spawn(work) {
            Ok(_) => Some(theirs),
            Err(_) => {
                self.running.fetch_sub(1, SeqCst);
                None
            }
        }
    }

    fn answer(&self, mut socket: &UnixStream) -> io::Result<()> {
        let mut length = [0; 8];
        socket.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        let (kind, bytes) = match self.take(socket, length)? {
            Ok(code) => (CODE, code),
            Err(Failure::Program { error: ProgramError::Resources(error), .. }) => {
                (RESOURCES, explained(&error).into_bytes())
            }
            Err(Failure::Program { error: ProgramError::Compile(error), again }) => {
                (if again { FAILED_AGAIN } else { FAILED }, explained(&error).into_bytes())
            }
            Err(Failure::Program { error, .. }) => (REFUSED, error.to_string().into_bytes()),
            Err(Failure::Unavailable(error)) => (UNAVAILABLE, explained(&error).into_bytes()),
        };
        let mut head = vec![kind];
        head.extend((bytes.len() as u64).to_le_bytes());
        socket.write_all(&head)?;
        socket.write_all(&bytes)
    }

    fn take(&self, socket: &UnixStream, length: u64) -> io::Result<Result<Vec<u8>, Failure>> {
        if let Err(error) = wasmlinux_module::check_size(length) {
            return Ok(Err(Failure::Program { error: error.into(), again: false }));
        }
        let mut wasm = Vec::new();
        socket.take(length).read_to_end(&mut wasm)?;
        if wasm.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let cancel = Arc::new(Cancel::default());
        // Nothing more comes but the end, when nobody waits for the program any more.
        let (mut end, of_end) = (socket.try_clone()?, cancel.clone());
        std::thread::Builder::new().name("end".into()).stack_size(64 << 10).spawn(move || {
            let _ = end.read(&mut [0]);
            of_end.cancel();
        })?;
        let here = || compile_here(&wasm).map_err(|error| Failure::Program { error, again: false });
        let code = self.executable.as_ref().map_or_else(here, |executable| compile(executable, &wasm, &cancel));
        if let (Ok(code), Some(cache)) = (&code, &self.cache)
            && let Err(error) = cache.put(&Sha256::digest(&wasm).into(), code)
        {
            tracing::warn!("compiled code is not kept: {error}");
        }
        // Wakes the thread that waits for the end, if this was not it.
        let _ = socket.shutdown(std::net::Shutdown::Read);
        Ok(code)
    }
}
