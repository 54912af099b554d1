//! Traps and interrupts of user code: calls of the kernel's exports, injected by signal handlers.
//!
//! User code is compiled without checks. It stops at any instruction by a signal of the host:
//! SIGSEGV for a page fault, the interrupt signal for a tick or a device. The handler runs on the
//! task's own stack, so all registers are saved there, and calls the kernel by the engine's own
//! convention, as if user code had made a call at that instruction. What it calls may sleep, switch
//! tasks and come back later; then the handler returns and the host retries the instruction.
//!
//! Nothing in a handler's frame may need a destructor: a task that is dropped while it sleeps here
//! is unwound past it.
//!
//! ```text
//!  inject.rs      calls of the kernel from a handler       overflow.rs  stacks that grow
//!  faults.rs      signals of instructions                  leave.rs     ends what runs
//!  interrupts.rs  the signal that interrupts a processor
//! ```
//! What of it is the host processor's own is in `arch/`.
mod faults;
mod inject;
mod interrupts;
mod leave;
mod overflow;
mod siginfo;

pub(crate) use inject::{Callee, exceptions};
pub(crate) use leave::{Thrown, cause};
pub(crate) use overflow::set_kernel;
pub(crate) use siginfo::siginfo;

use crate::{
    engine::code::Program,
    host::signals::{self, Previous},
    local,
    mmu::exceptions::Exceptions,
    mmu::space::Space,
    mmu::stack::{self, Need},
};
use std::{
    cell::Cell,
    ptr,
    sync::{Arc, Once, OnceLock},
};
use wasmtime::Engine;

/// What the handlers need of the task that runs: in a box that outlives its use as [`set_current`].
pub(crate) struct UserContext {
    pub(crate) space: Arc<Space>,
    pub(crate) program: Arc<Program>,
    /// The kernel's exports, in the task's own instance
    pub(crate) fault: Callee,
    pub(crate) irq: Callee,
    pub(crate) trap: Callee,
    pub(crate) abort: Callee,
    /// The program's `_signal`
    pub(crate) signal: Option<Callee>,
    /// How often, up to now: see `DEFER_MAX` in `interrupts.rs`.
    pub(crate) deferred: Cell<u32>,
    /// If the program can throw.
    pub(crate) exceptions: Option<Exceptions>,
    /// How often, up to now: see `MISSED_MAX` in `interrupts.rs`.
    pub(crate) missed: Cell<u32>,
    /// Single steps that were made up to here: see [`interrupts::found`].
    pub(crate) steps: Cell<u32>,
}

thread_local! {
    /// The context of the user task that is polled; null while there is none.
    static CURRENT: Cell<*const UserContext> = const { Cell::new(ptr::null()) };
}

/// Which user task runs on this thread.
///
/// # Safety
/// It is null, or valid until the next call, and the context of the task whose code runs on this
/// thread until then.
pub(crate) unsafe fn set_current(context: *const UserContext) {
    CURRENT.set(context);
}

/// Sees to it that the user task that runs, with this stack pointer, has stack enough to enter the
/// kernel: the lowest stack pointer with which it may do so again. None if there is not enough.
///
/// # Safety
/// A frame of this thread is at `sp`, on the stack of the task that runs.
pub(crate) unsafe fn grow_for_entry(sp: usize) -> Option<usize> {
    // SAFETY: valid by set_current().
    let user = unsafe { CURRENT.get().as_ref() }?;
    // SAFETY: the Store of the task that runs here.
    unsafe {
        let limit = user.stack_limit();
        *limit = stack::grow(sp, *limit, Need::Entry)?;
        Some(stack::entry_limit(*limit))
    }
}

/// The user task that runs has less stack than its Store says: down to here only.
pub(crate) fn raise_stack_limit(limit: usize) {
    // SAFETY: valid by set_current(); the Store of the task that runs here. A limit that is higher
    // than need be is no harm.
    unsafe {
        if let Some(user) = CURRENT.get().as_ref() {
            let at = user.stack_limit();
            *at = limit.max(*at);
        }
    }
}

/// Whether the kernel can be called from this handler, whose stack is that of the code which was
/// interrupted: perhaps after the stack has grown. Async-signal-safe where that code is compiled.
fn has_room() -> bool {
    let marker = 0u8;
    let here = &raw const marker as usize;
    let known = local::stack_limit();
    if here > known {
        return true;
    }
    // SAFETY: this very frame, which the handler has on the stack of the code that was interrupted.
    let limit = unsafe { grow_for_entry(here) };
    // Else the next entry looks at something else first.
    if let Some(limit) = limit.filter(|_| known != usize::MAX) {
        local::set_stack_limit(limit);
    }
    limit.is_some()
}

/// What was not a fault of a user's memory goes to who had the signal before: the engine.
///
/// # Safety
/// In a handler, with its arguments.
unsafe fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(index) = TRAPS.iter().position(|trap| *trap == signal) else { return };
    let Some(before) = ENGINE_HANDLERS.get() else { return };
    // SAFETY: by this function's contract. The engine installs its own with SA_SIGINFO.
    unsafe { signals::forward(&before[index], signal, info, context) };
}

/// The signals of traps.
const TRAPS: [i32; 5] = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGBUS];

/// Who had these before.
static ENGINE_HANDLERS: OnceLock<[Previous; TRAPS.len()]> = OnceLock::new();

/// Makes the calling thread one that can be a processor, whatever signals its creator had blocked.
/// Signals that are not the machine's are for other threads.
pub(crate) fn prepare_thread() {
    // It would make an alternate stack later on.
    Engine::tls_eager_initialize();
    signals::prepare_thread(&TRAPS);
}

/// Installs the handlers, after the engine has installed its own.
pub(crate) fn install() {
    ENGINE_HANDLERS.get_or_init(|| TRAPS.map(signals::previous));
    static ONCE: Once = Once::new();
    // SAFETY: the handlers are sound on any thread at any time. On a processor's they run on the
    // stack that was interrupted, which for user code is the task's: that thread has no alternate
    // stack. Others may need theirs, for handlers that were there before.
    ONCE.call_once(|| unsafe {
        TRAPS.into_iter().for_each(|signal| signals::handle(signal, faults::on_trap, false));
        signals::handle(signals::interrupt_signal(), interrupts::on_interrupt, true);
    });
}
