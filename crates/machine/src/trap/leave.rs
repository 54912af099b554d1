//! Ends what runs on a task's stack from within a signal's handler, at any instruction of compiled
//! code: as a trap of the engine's does.
//!
//! Compiled code can be left anywhere. It has frame pointers and nothing that needs a destructor,
//! and the engine's trap leads to the place where the host called it, whose stack pointer the entry
//! has noted. So the handler makes it look as if an instruction had trapped that the engine knows
//! can do so, and the engine's own handler does the rest. Why it was left is noted beside it: see
//! [`cause`].
use crate::{arch::SignalFrame, engine::kernel_code::KernelCode};
use std::{cell::Cell, fmt};

thread_local! {
    static CAUSE: Cell<Option<Thrown>> = const { Cell::new(None) };
}

/// What a host function throws to end the frames of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Thrown {
    /// execve() has succeeded: the task goes on with the new program.
    Restart,
    /// User code entered the kernel with too little native stack left.
    StackExhausted,
    /// The machine ends, or the task is gone.
    Unplugged,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Thrown {}

/// Once the handler returns, the host's call of the compiled code on this stack ends with an error,
/// of which [`cause`] makes `why`. Async-signal-safe where the interrupted code is.
///
/// # Safety
/// The arguments are those of a handler for a signal that interrupted compiled code of the task
/// that runs, or a routine of the engine that it called and that holds nothing. `fp` is the frame
/// pointer of the innermost frame of compiled code, or of its caller's.
pub(crate) unsafe fn leave(
    kernel: &KernelCode,
    why: Thrown,
    fp: usize,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    CAUSE.set(Some(why));
    // SAFETY: the host's own, by this function's contract; the engine's handler replaces what it
    // needs to.
    unsafe {
        let frame = SignalFrame::of(context);
        frame.set_pc(kernel.trap);
        frame.set_fp(fp);
        super::chain(libc::SIGILL, info, context);
    }
}

/// Why a call of compiled code ended: the error, or what [`leave`] was told.
pub(crate) fn cause(error: wasmtime::Error) -> wasmtime::Error {
    CAUSE.take().map_or(error, wasmtime::Error::from)
}
