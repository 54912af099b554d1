//! What is the host processor's own, and the engine's when it compiles for that: registers in a
//! signal's frame, how a function begins and ends, how one is called from a handler. Everything
//! else in this crate is the same on every processor.
#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "wasmlinux-machine runs on x86-64. A port to another processor supplies, beside `arch/x86_64.rs`: \
    `SignalFrame` (program counter, stack and frame pointer, the context of the running instance, whether a fault was a write or \
    the fetch of an instruction, single steps); `PROLOGUE`, `EPILOGUE` and `RET_AT`, the bytes with which the engine's functions \
    begin and end; `is_unclear_return` and `return_address`, which tell where a function has no frame of its own; and \
    `call_injected`, a call by the engine's convention from a signal's handler. It makes loads and stores of 16 and 32 bits that \
    are single accesses, and an engine whose target `engine::portable` names."
);
