//! Compiled code: the kernel's and the programs', and what the machine knows about it.
//!
//! Compiled code is trusted: whoever can write it can do anything in this process. It comes from
//! three places: the executable itself (the bundle), a directory that only this user can write
//! (`cache.rs`), or the compiler (`compiler`), which compiles what `crates/module` has checked.
use crate::{
    CompileError, Error, KernelError, ProgramError, arch, engine,
    engine::hidden,
    limits::{Charge, TABLE_ENTRY},
    sync::lock,
};
use object::read::{Object, ObjectSection};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    ptr::NonNull,
    sync::{LazyLock, Mutex, OnceLock},
};
use wasmlinux_boundary::program as names;
use wasmlinux_devices::printable;
use wasmlinux_image::bundle::{ALIGNMENT, Bundle, Kind};
use wasmtime::{Engine, Module};
use wasmtime_environ::{
    CompiledTrap, Trap, lookup_trap_code,
    obj::{ELF_WASMTIME_EXCEPTIONS, ELF_WASMTIME_TRAPS},
};
use wasmtime_internal_unwinder::ExceptionTable;

/// SHA-256 of a program's bytes.
pub(crate) type Key = [u8; 32];

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
    let parts = wasmlinux_module::split_kernel(wasm)?;
    let data = parts.data.into_iter().map(|(at, range)| (at, wasm[range].to_vec())).collect();
    Ok(KernelImage { code: precompile(&parts.module)?, data, symbols: parts.symbols })
}

/// Compiles a program for a bundle: its key (SHA-256 of its bytes) and its code.
///
/// # Errors
/// If it is refused by the same checks as at run time, or does not compile.
pub fn compile_program(wasm: &[u8]) -> Result<(Key, Vec<u8>), ProgramError> {
    Ok((Sha256::digest(wasm).into(), precompile(&wasmlinux_module::check(wasm)?.module)?))
}

fn precompile(module: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let compile = || {
        let engine = engine::portable()?;
        let code = engine.precompile_module(module)?;
        // SAFETY: just made by that engine.
        let loaded = unsafe { Module::deserialize(&engine, &code)? };
        Ok::<_, wasmtime::Error>((loaded, code))
    };
    let (loaded, code) = compile().map_err(CompileError::from)?;
    check(&loaded)?;
    Ok(code)
}

/// Checks of each function of new machine code what `trap/` relies on: that it
/// begins by making its frame. (Of a function's end they look at the bytes each time.)
pub(crate) fn check(module: &Module) -> Result<(), CompileError> {
    let text = module.text();
    let begins = |offset: usize| text.get(offset..).is_some_and(|code| code.starts_with(&arch::PROLOGUE));
    match module.functions().find(|function| !begins(function.offset)) {
        None => Ok(()),
        Some(function) => Err(CompileError::NoFrame(function.index.as_u32())),
    }
}

/// What the executable brings along: kernel, base root file system, compiled programs.
#[derive(Clone)]
pub struct Guest {
    bundle: Bundle<'static>,
}

impl Guest {
    /// Reads a bundle.
    ///
    /// # Errors
    /// If it is damaged, or of another version.
    ///
    /// # Safety
    /// It was made by `crates/bundle` of this version, and nobody has changed it since: its
    /// compiled code is executed as it is, as the executable's own. One that is part of the
    /// executable (hence `'static`) is as trustworthy as that.
    pub unsafe fn load(bundle: &'static [u8]) -> Result<Guest, Error> {
        let bundle = Bundle::parse(bundle)?;
        Ok(Guest { bundle })
    }

    /// The base root file system, a cpio archive; empty if there is none.
    pub fn initramfs(&self) -> &'static [u8] {
        self.bundle.first(Kind::Initramfs).map_or(&[], |entry| entry.data)
    }

    /// The code that came along for a program.
    pub(crate) fn program(&self, key: &Key) -> Option<Module> {
        let entry = self.bundle.keyed(Kind::ProgramCode, key)?;
        // SAFETY: part of the executable, by load().
        unsafe { in_place(engine::get().ok()?, entry.data) }.ok()
    }

    pub(crate) fn kernel(&self) -> Result<Module, Error> {
        let entry = self.bundle.first(Kind::KernelCode).ok_or(KernelError::Missing)?;
        // SAFETY: part of the executable, by load(): as trustworthy as the code that we are.
        let kernel = unsafe { in_place(engine::get()?, entry.data)? };
        map_for_profilers(&kernel);
        Ok(kernel)
    }

    pub(crate) fn kernel_data(&self) -> impl Iterator<Item = (u32, &'static [u8])> {
        self.bundle.of(Kind::KernelData).map(|entry| (entry.tag as u32, entry.data))
    }

    pub(crate) fn symbol(&self, name: &str) -> Result<u32, KernelError> {
        match self.bundle.named(Kind::KernelSymbol, name) {
            Some(entry) => Ok(entry.tag as u32),
            None => Err(KernelError::Export(name.into())),
        }
    }
}

/// Compiled code where it lies in the executable: nothing is copied, and processes share the host's
/// pages. The engine knows code by its address, so all machines of this process share one module of
/// it, for good.
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
    let mut modules = lock(&MODULES);
    if let Some(module) = modules.get(&at) {
        return Ok(module.clone());
    }
    // SAFETY: by this function's contract; constants live and stay as they are.
    let module = unsafe { Module::deserialize_raw(engine, NonNull::from(code))? };
    modules.insert(at, module.clone());
    Ok(module)
}

/// A function's compiled code.
pub(crate) struct Function {
    start: usize,
    end: usize,
    /// It has landing places for exceptions. They belong to calls: an exception that comes out of
    /// another instruction passes by.
    pub(crate) catches: bool,
}

impl Function {
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Whether it returns at `pc`, an instruction of it, and the one before was not `pop rbp`: then
    /// it is not known whose frame the frame pointer belongs to. Async-signal-safe.
    pub(crate) fn is_unclear(&self, pc: usize) -> bool {
        // SAFETY: instructions of this function, as long as the module lives that this is part of.
        (self.start..self.end).contains(&pc) && unsafe { arch::is_unclear_return(self.start, pc) }
    }

    /// If the function has no frame of its own at `pc`, one of its instructions (its first and last
    /// ones, where the frame pointer is its caller's): how many bytes above the stack pointer the
    /// return address is. Async-signal-safe.
    pub(crate) fn without_frame(&self, pc: usize) -> Option<usize> {
        if !(self.start..self.end).contains(&pc) {
            return None;
        }
        // SAFETY: instructions of this function, as long as the module lives that this is part of.
        unsafe { arch::return_address(self.start, pc) }
    }
}

/// A program that can be run.
pub(crate) struct Program {
    pub(crate) module: Module,
    /// How often it imports the system call.
    pub(crate) imports: usize,
    /// The names under which it exports its mutable globals: all, by `crates/module`.
    pub(crate) globals: Vec<String>,
    /// Where among these are `__stack_pointer` and `__wasm_tp`.
    pub(crate) stack_pointer: Option<usize>,
    pub(crate) thread_pointer: Option<usize>,
    /// An instance with other globals and memory is as good as new.
    pub(crate) reusable: bool,
    /// Bytes of the tables of an instance, at most.
    pub(crate) tables: usize,
    /// What its code takes of the host, once that is known to the machine's ledger.
    pub(crate) charge: OnceLock<Charge>,
    /// Sorted by address.
    functions: Vec<Function>,
    /// The calls that have a landing place for exceptions: their return addresses, sorted.
    caught: Vec<usize>,
    /// The engine's table of trapping instructions.
    traps: Vec<u8>,
}

impl Program {
    pub(crate) fn new(module: Module) -> Program {
        map_for_profilers(&module);
        let text = module.text().as_ptr() as usize;
        let mut functions: Vec<_> = module
            .functions()
            .map(|f| Function { start: text + f.offset, end: text + f.offset + f.len, catches: false })
            .collect();
        functions.sort_unstable_by_key(|f| f.start);
        let globals = module.exports().filter(|e| e.ty().global().is_some_and(|g| g.mutability().is_var()));
        let globals: Vec<String> = globals.map(|e| e.name().into()).collect();
        let imports = module.imports().len();
        let reusable = module.get_export(wasmlinux_module::REUSABLE).is_some();
        let traps = section(&module, ELF_WASMTIME_TRAPS).to_vec();
        let resources = module.resources_required();
        let entries = resources.max_initial_table_size.unwrap_or(0) as usize;
        let at = |name| globals.iter().position(|global| global == name);
        let mut program = Program {
            imports,
            stack_pointer: at(names::STACK_POINTER),
            thread_pointer: at(names::THREAD_POINTER),
            reusable,
            tables: resources.num_tables as usize * entries * TABLE_ENTRY,
            charge: OnceLock::new(),
            traps,
            globals,
            functions,
            caught: vec![],
            module,
        };
        if let Ok(table) = ExceptionTable::parse(section(&program.module, ELF_WASMTIME_EXCEPTIONS)) {
            for (call, _, handlers) in table.into_iter() {
                let call = text + call as usize;
                if let Some(function) = program.index(call).filter(|_| !handlers.is_empty()) {
                    program.functions[function].catches = true;
                    program.caught.push(call);
                }
            }
            program.caught.sort_unstable();
        }
        program
    }

    fn index(&self, pc: usize) -> Option<usize> {
        let index = self.functions.partition_point(|f| f.start <= pc).checked_sub(1)?;
        (pc < self.functions[index].end).then_some(index)
    }

    /// The function whose code is at `pc`. Async-signal-safe.
    pub(crate) fn function(&self, pc: usize) -> Option<&Function> {
        self.index(pc).map(|index| &self.functions[index])
    }

    /// Whether an exception that comes out of the call with this return address is not caught
    /// there, though the calling function catches others. Async-signal-safe.
    pub(crate) fn lets_pass(&self, call: usize) -> bool {
        self.function(call).is_some_and(|function| function.catches) && self.caught.binary_search(&call).is_err()
    }

    /// Its code, to be hidden. Async-signal-safe.
    pub(crate) fn text(&self) -> hidden::Text {
        // SAFETY: the module's, and drop() has it forgotten. The handlers of this process are
        // installed before it runs.
        unsafe { hidden::Text::new(self.module.text()) }
    }

    /// Whether the engine's code of the program, or what it has put around it, is at `pc`.
    /// Async-signal-safe.
    pub(crate) fn has_code(&self, pc: usize) -> bool {
        self.module.text().as_ptr_range().contains(&(pc as *const u8))
    }

    /// Where in the program's code `pc`, an address in it, is.
    pub(crate) fn offset(&self, pc: usize) -> u32 {
        pc.wrapping_sub(self.module.text().as_ptr() as usize) as u32
    }

    /// What the instruction at `pc`, an address in the program's code, traps for.
    /// Async-signal-safe.
    pub(crate) fn trap(&self, pc: usize) -> Option<Trap> {
        match lookup_trap_code(&self.traps, self.offset(pc) as usize)? {
            CompiledTrap::Normal(trap) => Some(trap),
            _ => None,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        hidden::forget(self.text());
    }
}

/// A section of the engine's file of a module, empty if there is none.
pub(crate) fn section<'a>(module: &'a Module, name: &str) -> &'a [u8] {
    let range = module.image_range();
    // SAFETY: the engine's own range, mapped readable for as long as the module lives.
    let image = unsafe { std::slice::from_raw_parts(range.start, range.end.addr() - range.start.addr()) };
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(image).ok();
    let section = file.and_then(|file| file.section_by_name(name)?.data().ok());
    section.unwrap_or(&[])
}

/// With the environment variable `WASMLINUX_PERF_MAP` set, tells profilers and debuggers the names
/// of compiled functions, in the file that perf looks for: `/tmp/perf-PID.map`, a line with
/// address, length and name each.
fn map_for_profilers(module: &Module) {
    static WANTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("WASMLINUX_PERF_MAP").is_some());
    if !*WANTED {
        return;
    }
    let text = module.text().as_ptr() as usize;
    let mut lines = String::new();
    for function in module.functions() {
        let name = function.name.unwrap_or_else(|| format!("function[{}]", function.index.as_u32()));
        let name = printable(&name);
        lines.push_str(&format!("{:x} {:x} {name}\n", text + function.offset, function.len));
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let file = fs::OpenOptions::new().append(true).create(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(lines.as_bytes())) {
        tracing::warn!("{path}: {error}");
    }
}
