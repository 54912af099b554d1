//! Compiled code: the kernel's and the programs', where it comes from and where it is kept.
//!
//! Compiled code is trusted: whoever can write it can do anything in this process. It comes from three places: the
//! executable itself (the bundle), a folder that only this user can write, or the compiler, which is given what
//! `program.rs` has checked.
use crate::{Error, ProgramError, engine, program};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};
use wasmlinux_image::bundle::{ALIGNMENT, Bundle, Kind};
use wasmtime::{Engine, Module};

/// SHA-256 of a program's bytes.
type Key = [u8; 32];

/// A kernel compiled for a bundle.
pub struct KernelImage {
    /// Compiled code, for any x86-64 processor of the last decade.
    pub code: Vec<u8>,
    /// Data segments: address and bytes.
    pub data: Vec<(u32, Vec<u8>)>,
    /// Exported constants, by name.
    pub symbols: Vec<(String, u32)>,
}

/// Compiles a kernel (`vmlinux.wasm`) for a bundle.
///
/// # Errors
/// If it is no module, or does not compile.
pub fn compile_kernel(wasm: &[u8]) -> Result<KernelImage, ProgramError> {
    let parts = program::split_kernel(wasm)?;
    let data = parts.data.into_iter().map(|(at, range)| (at, wasm[range].to_vec())).collect();
    Ok(KernelImage { code: precompile(&parts.module)?, data, symbols: parts.symbols })
}

/// Compiles a program for a bundle: its key (SHA-256 of its bytes) and its code.
///
/// # Errors
/// If it is refused by the same checks as at run time, or does not compile.
pub fn compile_program(wasm: &[u8]) -> Result<(Key, Vec<u8>), ProgramError> {
    Ok((Sha256::digest(wasm).into(), precompile(&program::prepare(wasm)?)?))
}

fn precompile(module: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let compile = || engine::portable()?.precompile_module(module);
    compile().map_err(|e| ProgramError::Compile(format!("{e:#}")))
}

/// What the executable brings along: kernel, base root file system, compiled programs.
#[derive(Clone)]
pub struct Guest {
    bundle: Bundle<'static>,
}

impl Guest {
    /// Reads a bundle. It must be part of the executable, as its code is trusted like the executable's own: hence `'static`.
    ///
    /// # Errors
    /// If it is damaged, or of another version.
    pub fn load(bundle: &'static [u8]) -> Result<Guest, Error> {
        let bundle = Bundle::parse(bundle).map_err(|e| Error::Kernel(e.to_string()))?;
        Ok(Guest { bundle })
    }

    /// The base root file system, a cpio archive; empty if there is none.
    pub fn initramfs(&self) -> &'static [u8] {
        self.bundle.first(Kind::Initramfs).map_or(&[], |entry| entry.data)
    }

    pub(crate) fn kernel(&self) -> Result<Module, Error> {
        let entry = self.bundle.first(Kind::KernelCode).ok_or_else(|| Error::Kernel("there is none".into()))?;
        // SAFETY: part of the executable, by load(): as trustworthy as the code that we are.
        let kernel = unsafe { in_place(engine::get()?, entry.data)? };
        map_for_profilers(&kernel);
        Ok(kernel)
    }

    pub(crate) fn kernel_data(&self) -> impl Iterator<Item = (u32, &'static [u8])> {
        self.bundle.of(Kind::KernelData).map(|entry| (entry.tag as u32, entry.data))
    }

    pub(crate) fn symbol(&self, name: &str) -> Result<u32, Error> {
        match self.bundle.named(Kind::KernelSymbol, name) {
            Some(entry) => Ok(entry.tag as u32),
            None => Err(Error::Kernel(format!("it exports no {name}"))),
        }
    }
}

/// Compiled code where it lies in the executable: nothing is copied, and processes share the host's pages. The engine knows code
/// by its address, so all machines of this process share one module of it, for good.
///
/// # Safety
/// As for `Module::deserialize`: the engine believes what it reads.
unsafe fn in_place(engine: &Engine, code: &'static [u8]) -> wasmtime::Result<Module> {
    static MODULES: Mutex<BTreeMap<usize, Module>> = Mutex::new(BTreeMap::new());
    let at = code.as_ptr() as usize;
    if !at.is_multiple_of(ALIGNMENT) {
        // SAFETY: by this function's contract.
        return unsafe { Module::deserialize(engine, code) };
    }
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(&at) {
        return Ok(module.clone());
    }
    // SAFETY: by this function's contract; constants live and stay as they are.
    let module = unsafe { Module::deserialize_raw(engine, NonNull::from(code))? };
    modules.insert(at, module.clone());
    Ok(module)
}

/// A program that can be run.
pub(crate) struct Program {
    pub(crate) module: Module,
    /// Addresses of its functions' code, sorted.
    pub(crate) functions: Arc<[(usize, usize)]>,
}

impl Program {
    fn new(module: Module) -> Program {
        map_for_profilers(&module);
        let text = module.text().as_ptr() as usize;
        let mut functions: Vec<_> = module.functions().map(|f| (text + f.offset, text + f.offset + f.len)).collect();
        functions.sort_unstable();
        Program { module, functions: functions.into() }
    }
}

/// With the environment variable `WASMLINUX_PERF_MAP` set, tells profilers and debuggers the names of compiled functions, in the
/// file that perf looks for: `/tmp/perf-PID.map`, a line with address, length and name each.
fn map_for_profilers(module: &Module) {
    static WANTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("WASMLINUX_PERF_MAP").is_some());
    if !*WANTED {
        return;
    }
    let text = module.text().as_ptr() as usize;
    let mut lines = String::new();
    for function in module.functions() {
        let name = function.name.unwrap_or_else(|| format!("function[{}]", function.index.as_u32()));
        lines.push_str(&format!("{:x} {:x} {name}\n", text + function.offset, function.len));
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let file = fs::OpenOptions::new().append(true).create(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(lines.as_bytes())) {
        tracing::warn!("{path}: {error}");
    }
}

/// Programs in memory that no task runs any more, at most.
const IDLE_MAX: usize = 32;

/// A machine's programs.
pub(crate) struct Programs {
    guest: Guest,
    cache: Option<Cache>,
    loaded: HashMap<Key, Arc<Program>>,
}

impl Programs {
    pub(crate) fn new(guest: Guest, cache: Option<&Path>) -> Programs {
        let cache = cache.and_then(|path| match Cache::open(path) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!("compiled code is not kept in {}: {error}", path.display());
                None
            }
        });
        Programs { guest, cache, loaded: HashMap::new() }
    }

    /// The program of these bytes, compiled at most once.
    pub(crate) fn load(&mut self, wasm: &[u8]) -> Result<Arc<Program>, ProgramError> {
        let key: Key = Sha256::digest(wasm).into();
        if let Some(program) = self.loaded.get(&key) {
            return Ok(program.clone());
        }
        let compile = |e: wasmtime::Error| ProgramError::Compile(format!("{e:#}"));
        let engine = engine::get().map_err(compile)?;
        let bundled = self.guest.bundle.keyed(Kind::ProgramCode, &key).and_then(|entry| {
            // SAFETY: part of the executable, by Guest::load().
            unsafe { in_place(engine, entry.data) }.ok()
        });
        let module = match bundled.or_else(|| self.cache.as_ref()?.get(&key)) {
            Some(module) => module,
            None => {
                let module = Module::new(engine, program::prepare(wasm)?).map_err(compile)?;
                if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.put(&key, &module)) {
                    tracing::warn!("compiled code is not kept: {error}");
                }
                module
            }
        };
        if self.loaded.len() >= IDLE_MAX {
            self.loaded.retain(|_, program| Arc::strong_count(program) > 1);
        }
        let program = Arc::new(Program::new(module));
        self.loaded.insert(key, program.clone());
        Ok(program)
    }
}

/// A folder of compiled code: one file a program and engine.
struct Cache {
    folder: PathBuf,
    /// Tells engines apart whose code is not exchangeable.
    engine: u64,
}

impl Cache {
    /// Makes the folder if absent. It must belong to this user, and nobody else may write it.
    fn open(folder: &Path) -> std::io::Result<Cache> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = fs::symlink_metadata(folder)?;
        // SAFETY: no arguments, cannot fail.
        let user = unsafe { libc::geteuid() };
        if !metadata.is_dir() || metadata.uid() != user || metadata.mode() & 0o022 != 0 {
            return Err(std::io::Error::other("it is not a folder that only this user can write (chmod 700)"));
        }
        let mut hasher = DefaultHasher::new();
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        engine::get().map_err(std::io::Error::other)?.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Cache { folder: folder.into(), engine: hasher.finish() })
    }

    fn file(&self, key: &Key) -> PathBuf {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{hex}-{:016x}", self.engine))
    }

    fn get(&self, key: &Key) -> Option<Module> {
        let file = self.file(key);
        if !file.exists() {
            return None;
        }
        // SAFETY: in a folder that only this user can write, by open(), where only put() writes, and never in place.
        unsafe { Module::deserialize_file(engine::get().ok()?, file) }.ok()
    }

    fn put(&self, key: &Key, module: &Module) -> std::io::Result<()> {
        let file = self.file(key);
        // Another process, or another machine of this one, may compile the same program now.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let temporary = file.with_extension(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed)));
        let code = module.serialize().map_err(std::io::Error::other)?;
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let written = out.write_all(&code).and_then(|()| fs::rename(&temporary, &file));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}
