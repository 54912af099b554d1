//! The engine, configured for this machine: one for the whole process, as compiled code belongs to
//! it.
pub(crate) mod cache;
pub(crate) mod code;
pub(crate) mod compiler;
pub(crate) mod hidden;
pub(crate) mod kernel_code;
pub(crate) mod programs;

use crate::{
    host::memory::{self, Access},
    mmu::exceptions,
    mmu::linear::Creator,
    mmu::stack::Stacks,
    sizes::{PAGE, SPACE, STACK_FREE, STACK_HOST, STACK_WASM},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
};
use wasmtime::{Collector, Config, CustomCodeMemory, Engine};

/// Frames that a backtrace shows.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(48).unwrap();

/// What both the running and the precompiling engine are made with: compiled code is accepted only
/// from an equal one.
fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_exceptions(true)
        .wasm_threads(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_wide_arithmetic(false)
        .collector(Collector::Null)
        .memory_reservation(SPACE as u64)
        .memory_guard_size(SPACE as u64)
        .memory_may_move(false)
        .memory_init_cow(false)
        .gc_heap_reservation(SPACE as u64)
        .gc_heap_initial_size(exceptions::SIZE as u64)
        .gc_heap_guard_size(exceptions::GUARD as u64)
        .gc_heap_may_move(false)
        .async_stack_size(STACK_WASM + STACK_HOST)
        .max_wasm_stack(STACK_FREE)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        .generate_address_map(false)
        .native_unwind_info(false)
        .with_custom_code_memory(Some(Arc::new(Protection)))
        .with_host_memory(Arc::new(Creator))
        .with_host_stack(Arc::new(Stacks));
    config
}

/// Makes code executable where it lies, be that a copy, a file's mapping or the executable's own
/// constants.
struct Protection;

impl Protection {
    /// # Safety
    /// Whole pages of compiled code, which is never written while it may run.
    unsafe fn set(at: *const u8, len: usize, access: Access) -> wasmtime::Result<()> {
        // SAFETY: by this function's contract.
        Ok(unsafe { memory::protect(at.cast_mut(), len, access) }?)
    }
}

impl CustomCodeMemory for Protection {
    fn required_alignment(&self) -> usize {
        PAGE
    }
    fn publish_executable(&self, at: *const u8, len: usize) -> wasmtime::Result<()> {
        // SAFETY: the engine asks for pages of its own.
        unsafe { Protection::set(at, len, Access::Execute) }
    }
    fn unpublish_executable(&self, at: *const u8, len: usize) -> wasmtime::Result<()> {
        // SAFETY: as above.
        unsafe { Protection::set(at, len, Access::Read) }
    }
}

/// The engine that runs machines, with its own signal handlers.
pub(crate) fn get() -> wasmtime::Result<&'static Engine> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE
        .get_or_init(|| {
            let engine = Engine::new(&config()).map_err(|e| format!("{e:#}"))?;
            Ok(engine)
        })
        .as_ref()
        .map_err(wasmtime::Error::msg)
}

/// An engine that only compiles, for this processor.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// Tells versions of this library and engines apart whose compiled code is not exchangeable.
pub(crate) fn identity() -> wasmtime::Result<u64> {
    static IDENTITY: OnceLock<u64> = OnceLock::new();
    if let Some(identity) = IDENTITY.get() {
        return Ok(*identity);
    }
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    wasmlinux_module::FORM.hash(&mut hasher);
    compiling()?.precompile_compatibility_hash().hash(&mut hasher);
    Ok(*IDENTITY.get_or_init(|| hasher.finish()))
}

/// An engine that compiles for any x86-64 processor of the last decade, rather than for this one.
pub(crate) fn portable() -> wasmtime::Result<Engine> {
    let mut config = config();
    config.target("x86_64-unknown-linux-gnu")?;
    for feature in ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt"] {
        // SAFETY: code that uses these is only loaded where the engine finds them: it compares the
        // module's flags with the processor's when it deserialises.
        unsafe { config.cranelift_flag_enable(feature) };
    }
    Engine::new(&config)
}
