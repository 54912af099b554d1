//! Ends what runs on a task's stack from within a signal's handler, at any instruction of compiled code: as a trap of the engine's does.
//!
//! Compiled code can be left anywhere. It has frame pointers, no callee-saved registers and nothing that needs a destructor, and
//! the engine's trap leads to the place where the host called it, whose stack pointer the entry has noted. So the handler says that
//! an instruction has trapped which the engine knows to trap, and the engine's own handler does the rest. Why it was left is noted
//! beside it: see [`cause`].
use crate::{Error, code::section, task::Thrown, trap};
use std::{cell::Cell, ops::Range, sync::OnceLock};
use wasmtime::Module;
use wasmtime_environ::{CompiledTrap, iterate_traps, obj::ELF_WASMTIME_TRAPS};

thread_local! {
    static CAUSE: Cell<Option<Thrown>> = const { Cell::new(None) };
}

/// The kernel's code, as the handlers know it.
pub(crate) struct KernelCode {
    module: Module,
    /// An instruction of it that traps.
    trap: usize,
    /// Sorted by address. Made when somebody wants to know: it takes longer than all else that is done before a boot.
    functions: OnceLock<Vec<Range<usize>>>,
}

impl KernelCode {
    pub(crate) fn new(module: &Module) -> Result<KernelCode, Error> {
        let traps = iterate_traps(section(module, ELF_WASMTIME_TRAPS));
        let known = traps.and_then(|mut traps| traps.find(|(_, trap)| matches!(trap, CompiledTrap::Normal(_))));
        let (offset, _) = known.ok_or_else(|| Error::Kernel("no instruction of it traps".into()))?;
        let trap = module.text().as_ptr() as usize + offset as usize;
        Ok(KernelCode { module: module.clone(), trap, functions: OnceLock::new() })
    }

    /// From now on [`KernelCode::contains`] knows.
    pub(crate) fn prepare(&self) {
        self.functions.get_or_init(|| {
            let text = self.module.text().as_ptr() as usize;
            let of = |f: wasmtime::ModuleFunction| text + f.offset..text + f.offset + f.len;
            let mut functions: Vec<_> = self.module.functions().map(of).collect();
            functions.sort_unstable_by_key(|function| function.start);
            functions
        });
    }

    /// Whether this is an instruction of a function of the kernel; the engine's glue between it and the host is none. False before
    /// [`KernelCode::prepare`]. Async-signal-safe.
    pub(crate) fn contains(&self, pc: usize) -> bool {
        let functions = self.functions.get().map_or(&[][..], Vec::as_slice);
        let index = functions.partition_point(|function| function.start <= pc);
        index.checked_sub(1).is_some_and(|index| functions[index].contains(&pc))
    }
}

/// When the handler returns, the call that the host made of this stack's compiled code ends with an error, of which [`cause`] makes
/// `why`. Async-signal-safe where the interrupted code is.
///
/// # Safety
/// The arguments are those of a handler for a signal that interrupted compiled code of the task that runs, or a routine of the engine
/// that it called and that holds nothing. `fp` is the frame pointer of the innermost frame of compiled code, or of its caller's.
pub(crate) unsafe fn leave(
    kernel: &KernelCode,
    why: Thrown,
    fp: usize,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    CAUSE.set(Some(why));
    // SAFETY: the host's own, by this function's contract; the engine's handler replaces what it needs to.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        registers[libc::REG_RIP as usize] = kernel.trap as i64;
        registers[libc::REG_RBP as usize] = fp as i64;
        trap::chain(libc::SIGILL, info, context);
    }
}

/// Why a call of compiled code ended: the error, or what [`leave`] was told.
pub(crate) fn cause(error: wasmtime::Error) -> wasmtime::Error {
    CAUSE.take().map_or(error, wasmtime::Error::from)
}
