//! Stacks that grow: what happens when a function finds that its frame does not fit above the
//! engine's stack limit.
//!
//! A function begins by making its frame (`arch::PROLOGUE`) and a look at the limit; nothing else
//! has happened when it traps. So it can begin again, after the limit was lowered as far as the
//! machine's ledger allows (`stack.rs`).
use crate::{
    arch::{PROLOGUE, SignalFrame},
    engine::code::{Function, Program},
    mmu::stack::{self, Need},
};
use std::cell::{OnceCell, RefCell};
use wasmtime::{Module, Trap};
use wasmtime_environ::{HostPtr, PtrSize};

thread_local! {
    /// The kernel of the machine whose processor this thread is, and what is known of its code once
    /// it was asked for.
    static KERNEL: RefCell<Option<Module>> = const { RefCell::new(None) };
    static KERNEL_CODE: OnceCell<Program> = const { OnceCell::new() };
}

/// Which kernel runs on this thread.
pub(crate) fn set_kernel(module: &Module) {
    KERNEL.set(Some(module.clone()));
}

/// Where the engine keeps the stack limit of a Store, which lies at the context of any instance of
/// it.
///
/// # Safety
/// It must be the context of an instance in a Store that lives.
pub(crate) unsafe fn limit_of(context: usize) -> *mut usize {
    let offsets = HostPtr;
    // SAFETY: an instance's context begins with what the engine tells.
    let store = unsafe { ((context + usize::from(offsets.vmctx_store_context())) as *const usize).read() };
    (store + usize::from(offsets.vm_store_context().stack_limit())) as *mut usize
}

/// Gives the task more stack, if that is what the interrupted instruction traps for, and lets its
/// function begin again. False if it is not, or there is no more: then nothing has changed.
///
/// # Safety
/// The frame is that of a signal handler on this thread; `user` the program that runs, if any.
pub(crate) unsafe fn begin_again(user: Option<&Program>, frame: &mut SignalFrame) -> bool {
    let pc = frame.pc();
    let function = |program: &Program| {
        let overflows = matches!(program.trap(pc), Some(Trap::StackOverflow));
        program.function(pc).filter(|_| overflows).map(Function::start)
    };
    let (start, need) = match user.and_then(function) {
        Some(start) => (start, Need::User),
        None => match in_kernel(pc, function) {
            Some(start) => (start, Need::Kernel),
            None => return false,
        },
    };
    let (sp, fp) = (frame.sp(), frame.fp());
    // SAFETY: the function's code is mapped readable. At its begin, by the checks, its frame
    // pointer is on the stack, and its instance's context is an argument, by the engine's
    // convention.
    unsafe {
        if sp != fp || (start as *const [u8; PROLOGUE.len()]).read_unaligned() != PROLOGUE {
            return false;
        }
        let limit = limit_of(frame.instance());
        let Some(new) = stack::grow(sp, *limit, need) else { return false };
        *limit = new;
        frame.set_fp((sp as *const usize).read());
    }
    frame.set_sp(sp + size_of::<usize>());
    frame.set_pc(start);
    true
}

/// Where the kernel's function at `pc` begins, if `find` says so.
fn in_kernel(pc: usize, find: impl Fn(&Program) -> Option<usize>) -> Option<usize> {
    let module = KERNEL.with_borrow(Clone::clone)?;
    if !module.text().as_ptr_range().contains(&(pc as *const u8)) {
        return None;
    }
    // Thousands of functions, which hardly any machine asks for.
    KERNEL_CODE.with(|code| find(code.get_or_init(|| Program::new(module))))
}
