//! Traps and interrupts of user code: calls of the kernel's exports, injected by signal handlers.
//!
//! User code is compiled without checks. It stops at any instruction by a signal of the host: SIGSEGV for a page fault, the
//! interrupt signal for a tick or a device. The handler runs on the task's own stack, so all registers are saved there, and
//! calls the kernel by the engine's own convention, as if user code had made a call at that instruction. What it calls may
//! sleep, switch tasks and come back later; then the handler returns and the host retries the instruction.
//!
//! Nothing in a handler's frame may need a destructor: a task that is dropped while it sleeps here is unwound past it.
use crate::{clock::set_timer, cpu, interrupt::Interrupts, space::Space};
use std::{
    cell::Cell,
    mem, ptr,
    sync::{Arc, Once},
};
use wasmlinux_boundary::IRQ_TIMER;
use wasmtime::Func;
use wasmtime_environ::{HostPtr, PtrSize};

/// When the kernel, and not user code, was interrupted: nanoseconds until the next look. The kernel looks itself before it
/// returns to user code; this is for the few instructions between that and the return.
const LOOK_AGAIN: u64 = 200_000;

/// What the handlers need of the task that runs: in a box that outlives its use as [`set_current`].
pub(crate) struct UserContext {
    pub(crate) space: Arc<Space>,
    /// The kernel's `fault` and `irq`, in the task's own instance
    pub(crate) fault: KernelEntry,
    pub(crate) irq: KernelEntry,
    /// Ranges of the program's functions, sorted: only there user code is interrupted
    pub(crate) functions: Arc<[(usize, usize)]>,
}

/// A function of a kernel instance, ready for a direct call.
#[derive(Clone, Copy)]
pub(crate) struct KernelEntry {
    code: usize,
    context: usize,
}

impl KernelEntry {
    /// `func` takes two or fewer i32 and returns nothing; its Store outlives the entry's use.
    pub(crate) fn new(func: Func, store: impl wasmtime::AsContextMut) -> KernelEntry {
        let raw = func.to_raw(store) as usize;
        let offsets = HostPtr;
        let read = |offset: u8| {
            // SAFETY: to_raw() gives the address of a VMFuncRef, alive as long as its Store; the engine tells where its fields lie.
            unsafe { ((raw + usize::from(offset)) as *const usize).read() }
        };
        KernelEntry { code: read(offsets.vm_func_ref().wasm_call()), context: read(offsets.vm_func_ref().vmctx()) }
    }

    /// Where the engine notes who last left Wasm for the host in this Store: the frame pointer of the way out, the program counter.
    unsafe fn exit_note(self) -> (*mut usize, *mut usize) {
        let offsets = HostPtr;
        // SAFETY: the Store is alive by new(); the engine tells where the fields lie.
        unsafe {
            let store = ((self.context + usize::from(offsets.vmctx_store_context())) as *const usize).read();
            let field = |offset: u8| (store + usize::from(offset)) as *mut usize;
            let offsets = offsets.vm_store_context();
            (field(offsets.last_wasm_exit_trampoline_fp()), field(offsets.last_wasm_exit_pc()))
        }
    }
}

thread_local! {
    /// The context of the user task that is polled; null while there is none.
    static CURRENT: Cell<*const UserContext> = const { Cell::new(ptr::null()) };
    /// The machine whose processor this thread is.
    static PROCESSOR: Cell<(*const Interrupts, libc::timer_t)> = const { Cell::new((ptr::null(), ptr::null_mut())) };
}

/// Which user task runs on this thread; it stays valid until the next call.
pub(crate) fn set_current(context: *const UserContext) {
    CURRENT.set(context);
}

/// This thread is the processor of a machine; both stay valid until the next call.
pub(crate) fn set_processor(interrupts: *const Interrupts, timer: libc::timer_t) {
    PROCESSOR.set((interrupts, timer));
}

/// The signal that interrupts a processor.
pub(crate) fn interrupt_signal() -> i32 {
    libc::SIGRTMIN() + 4
}

/// Makes that thread of this process look for interrupts.
pub(crate) fn interrupt_thread(thread: i32) {
    // SAFETY: a signal whose handler this crate has installed; a thread that is gone gives ESRCH.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, interrupt_signal()) };
}

/// Sleeps until `ready`: a condition that is set before the interrupt signal is sent to this thread.
pub(crate) fn wait_for_interrupt(ready: impl Fn() -> bool) {
    // SAFETY: plain data, initialised by the calls; the mask is put back.
    unsafe {
        let (mut block, mut before): (libc::sigset_t, libc::sigset_t) = (mem::zeroed(), mem::zeroed());
        libc::sigemptyset(&mut block);
        libc::sigaddset(&mut block, interrupt_signal());
        libc::pthread_sigmask(libc::SIG_BLOCK, &block, &mut before);
        let mut waiting = before;
        libc::sigdelset(&mut waiting, interrupt_signal());
        while !ready() {
            libc::sigsuspend(&waiting);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
    }
}

// The "tail" convention of the engine: callee's context in rdi, caller's in rsi, i32 arguments in rdx and rcx, no callee-saved
// registers. The interrupted program counter and frame pointer are pushed as a frame, so that the engine's stack walks
// (backtraces, exceptions, its garbage collector) pass from the injected call to the interrupted function.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl wasmlinux_call_injected",
    "wasmlinux_call_injected:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "push r8",
    "push r9",
    "mov rbp, rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "add rsp, 24",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
);
unsafe extern "C" {
    fn wasmlinux_call_injected(code: usize, context: usize, a: u32, b: u32, pc: usize, fp: usize);
}

impl UserContext {
    fn is_user_code(&self, pc: usize) -> bool {
        let after = self.functions.partition_point(|f| f.0 <= pc);
        after > 0 && pc < self.functions[after - 1].1
    }

    /// Calls the kernel as if the interrupted code had. Needs a signal frame of that code on this very stack.
    unsafe fn inject(&self, entry: KernelEntry, a: u32, b: u32, frame: &mut libc::ucontext_t) {
        let registers = &frame.uc_mcontext.gregs;
        let (pc, fp) = (registers[libc::REG_RIP as usize] as usize, registers[libc::REG_RBP as usize] as usize);
        // SAFETY: the entry's code follows the convention above. If not in the program, we are in a routine of the engine that it
        // called (memory.fill, memory.copy), whose frame pointer means nothing: then the engine has noted where it left the program. The
        // kernel leaves Wasm too, and the routine may fault again, so the note is put back.
        unsafe {
            if self.is_user_code(pc) {
                wasmlinux_call_injected(entry.code, entry.context, a, b, pc, fp);
            } else {
                let (exit_fp, exit_pc) = entry.exit_note();
                let note = (exit_fp.read(), exit_pc.read());
                wasmlinux_call_injected(entry.code, entry.context, a, b, note.1, (note.0 as *const usize).read());
                exit_fp.write(note.0);
                exit_pc.write(note.1);
            }
        }
    }
}

unsafe extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let user = CURRENT.get();
    // SAFETY: the host's arguments of a handler with SA_SIGINFO; `user` is valid by set_current().
    unsafe {
        if !user.is_null() {
            let at = ((*info).si_addr() as usize).wrapping_sub((*user).space.base() as usize);
            if at < crate::engine::SPACE {
                let frame = &mut *context.cast::<libc::ucontext_t>();
                // Bit 1 of the page fault's error code: a write.
                let write = frame.uc_mcontext.gregs[libc::REG_ERR as usize] & 2 != 0;
                if !(*user).space.map(at as u32, write) {
                    (*user).inject((*user).fault, at as u32, write.into(), frame);
                    // Saves the second fault where the kernel made the page present.
                    (*user).space.map(at as u32, write);
                }
                return;
            }
        }
        chain(signal, info, context);
    }
}

/// What was not a fault of a user's memory goes to who had the signal before: the engine.
unsafe fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: written once, before the handler was installed.
    let before = unsafe { (&raw const ENGINE_HANDLER).read() };
    match before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: the default action, when the instruction is retried.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        handler => {
            // SAFETY: a handler with SA_SIGINFO, as the engine installs it.
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { mem::transmute(handler) };
            handler(signal, info, context);
        }
    }
}

unsafe extern "C" fn on_interrupt(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (interrupts, timer) = PROCESSOR.get();
    // SAFETY: both valid by set_processor(); the host's arguments of a handler with SA_SIGINFO.
    unsafe {
        if interrupts.is_null() {
            return;
        }
        if (*info).si_code == libc::SI_TIMER {
            (*interrupts).mark(IRQ_TIMER);
        }
        if (*interrupts).unplugged() {
            // The next entry into the kernel looks why.
            cpu::set_stack_limit(usize::MAX);
        }
        let user = CURRENT.get();
        if user.is_null() {
            return;
        }
        let frame = &mut *context.cast::<libc::ucontext_t>();
        if (*user).is_user_code(frame.uc_mcontext.gregs[libc::REG_RIP as usize] as usize) {
            (*user).inject((*user).irq, 0, 0, frame);
        } else {
            set_timer(timer, LOOK_AGAIN);
        }
    }
}

static mut ENGINE_HANDLER: libc::sigaction = {
    // SAFETY: plain data.
    unsafe { mem::zeroed() }
};

/// Installs the handlers, after the engine has installed its own.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are sound on any thread at any time. They run on the stack that was interrupted (no SA_ONSTACK),
        // which for user code is the task's, and may be entered again while they sleep (SA_NODEFER, empty mask).
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigemptyset(&mut action.sa_mask);
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            action.sa_sigaction = on_fault as *const () as usize;
            libc::sigaction(libc::SIGSEGV, ptr::null(), &raw mut ENGINE_HANDLER);
            libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut());
            action.sa_sigaction = on_interrupt as *const () as usize;
            action.sa_flags |= libc::SA_RESTART;
            libc::sigaction(interrupt_signal(), &action, ptr::null_mut());
        }
    });
}
