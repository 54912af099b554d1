//! Traps and interrupts of user code: calls of the kernel's exports, injected by signal handlers.
//!
//! User code is compiled without checks. It stops at any instruction by a signal of the host: SIGSEGV for a page fault, the
//! interrupt signal for a tick or a device. The handler runs on the task's own stack, so all registers are saved there, and
//! calls the kernel by the engine's own convention, as if user code had made a call at that instruction. What it calls may
//! sleep, switch tasks and come back later; then the handler returns and the host retries the instruction.
//!
//! Nothing in a handler's frame may need a destructor: a task that is dropped while it sleeps here is unwound past it.
use crate::{
    clock::set_timer,
    code::{Function, Program},
    cpu,
    exceptions::{self, Exceptions, Heap},
    hidden,
    interrupt::Interrupts,
    leave::leave,
    overflow,
    space::{Mapped, Space},
    stack::{self, Need},
    task,
};
use std::{
    cell::Cell,
    mem, ptr,
    sync::{Arc, Once},
    time::Duration,
};
use wasmlinux_boundary::{IRQ_TIMER, RESUME_HANDLER, RESUME_WAITING};
use wasmtime::{Engine, Func, Module};
use wasmtime_environ::{HostPtr, PtrSize};

/// When the kernel, and not user code, was interrupted: nanoseconds until the next look. The kernel looks itself before it
/// returns to user code; this is for the few instructions between that and the return.
const LOOK_AGAIN: u64 = 200_000;

/// How often a signal's handler is put off while its task is in a function that catches exceptions, or in one that such a function
/// calls without catching (setjmp's own): there `siglongjmp` out of the handler would pass by. Sooner or later another is interrupted.
const PUT_OFF_MAX: u32 = 250;

/// How often in a row the program is not found in its own code before that is made to fault: it may call a routine of the engine that
/// takes long (memory.fill, memory.copy) again and again, and would never be interrupted.
const MISSED_MAX: u32 = 250;
/// In the page fault's error code: it was the fetch of an instruction.
const FETCH: i64 = 16;
/// In the flags register: a SIGTRAP comes after the next instruction.
const TRAP_FLAG: i64 = 1 << 8;
/// Instructions of the engine's glue between a routine and the program, or the host and the program, at
/// most: 25 or so.
const STEPS_MAX: u32 = 200;

/// What the handlers need of the task that runs: in a box that outlives its use as [`set_current`].
pub(crate) struct UserContext {
    pub(crate) space: Arc<Space>,
    pub(crate) program: Arc<Program>,
    /// The kernel's exports, in the task's own instance
    pub(crate) fault: Entry,
    pub(crate) irq: Entry,
    pub(crate) trap: Entry,
    pub(crate) abort: Entry,
    /// The program's `_signal`
    pub(crate) signal: Option<Entry>,
    /// See [`PUT_OFF_MAX`].
    pub(crate) put_off: Cell<u32>,
    /// If the program can throw.
    pub(crate) exceptions: Option<Exceptions>,
    /// See [`MISSED_MAX`].
    pub(crate) missed: Cell<u32>,
    /// Single steps that were made up to here: see [`found`].
    pub(crate) steps: Cell<u32>,
}

/// A function of an instance, ready for a direct call.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    code: usize,
    context: usize,
    /// An instruction `ret` in the module's code.
    ret: usize,
}

/// How a function ends: `mov rsp, rbp`, `pop rbp`, `ret`.
const EPILOGUE: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc3];

impl Entry {
    /// None if the function cannot return, or if it takes or returns anything but i32, three and one of them at most.
    ///
    /// # Safety
    /// `func` is a function of an instance of that module. The Store outlives the entry's use.
    pub(crate) unsafe fn new(func: Func, module: &Module, mut store: impl wasmtime::AsContextMut) -> Option<Entry> {
        let ty = func.ty(&mut store);
        if ty.params().len() > 3 || ty.results().len() > 1 || !ty.params().chain(ty.results()).all(|ty| ty.is_i32()) {
            return None;
        }
        let raw = func.to_raw(store) as usize;
        let offsets = HostPtr;
        let read = |offset: u8| {
            // SAFETY: to_raw() gives the address of a VMFuncRef, alive as long as its Store; the engine tells where its fields lie.
            unsafe { ((raw + usize::from(offset)) as *const usize).read() }
        };
        let code = read(offsets.vm_func_ref().wasm_call());
        let context = read(offsets.vm_func_ref().vmctx());
        let text = module.text();
        let rest = text.get(code.checked_sub(text.as_ptr() as usize)?..)?;
        let end = rest.windows(EPILOGUE.len()).position(|bytes| bytes == EPILOGUE)?;
        Some(Entry { code, context, ret: code + end + EPILOGUE.len() - 1 })
    }

    /// A field of the Store's context, by its offset.
    fn of_store(self, offset: u8) -> *mut usize {
        // SAFETY: an instance's context begins with what the engine tells; its Store lives.
        let store = unsafe { ((self.context + usize::from(HostPtr.vmctx_store_context())) as *const usize).read() };
        (store + usize::from(offset)) as *mut usize
    }

    /// Where the engine notes how Wasm of this Store last left for the host: addresses of the program counter and of the trampoline's
    /// frame, whose first word is the frame pointer.
    fn last_exit(self) -> (*mut usize, *mut usize) {
        let offsets = HostPtr.vm_store_context();
        (self.of_store(offsets.last_wasm_exit_pc()), self.of_store(offsets.last_wasm_exit_trampoline_fp()))
    }

    /// The frame from which Wasm of this Store was entered: all its frames lie below.
    fn entered_from(self) -> usize {
        // SAFETY: a word of the Store's context.
        unsafe { self.of_store(HostPtr.vm_store_context().last_wasm_entry_fp()).read() }
    }
}

/// What `function`'s instance knows of its Store's heap for exceptions; None if it has none.
///
/// # Safety
/// `heap` is that of the Store, which outlives what this returns.
pub(crate) unsafe fn exceptions(
    function: Func,
    heap: Arc<Heap>,
    store: impl wasmtime::AsContextMut,
) -> Option<Exceptions> {
    let offsets = HostPtr;
    let raw = function.to_raw(store) as usize;
    // SAFETY: to_raw() gives the address of a VMFuncRef, alive as long as its Store, and that tells its
    // instance; the engine tells where the fields lie. The collector without collections keeps there the
    // address of one word, the index of the next object, for as long as the Store lives.
    unsafe {
        let context = ((raw + usize::from(offsets.vm_func_ref().vmctx())) as *const usize).read();
        let next = ((context + usize::from(offsets.vmctx_gc_heap_data())) as *const *mut u32).read();
        (!next.is_null()).then(|| Exceptions::new(heap, next))
    }
}

thread_local! {
    /// The context of the user task that is polled; null while there is none.
    static CURRENT: Cell<*const UserContext> = const { Cell::new(ptr::null()) };
    /// The machine whose processor this thread is.
    static PROCESSOR: Cell<(*const Interrupts, libc::timer_t)> = const { Cell::new((ptr::null(), ptr::null_mut())) };
}

/// Which user task runs on this thread.
///
/// # Safety
/// It is null, or valid until the next call, and the context of the task whose code runs on this thread until then.
pub(crate) unsafe fn set_current(context: *const UserContext) {
    CURRENT.set(context);
}

/// This thread is the processor of a machine.
///
/// # Safety
/// Both are null, or valid until the next call. No code of the guest runs on this thread without.
pub(crate) unsafe fn set_processor(interrupts: *const Interrupts, timer: libc::timer_t) {
    PROCESSOR.set((interrupts, timer));
}

/// Whether this thread is the processor of that machine.
pub(crate) fn is_processor(interrupts: &Interrupts) -> bool {
    ptr::eq(PROCESSOR.get().0, interrupts)
}

/// Sees to it that the user task that runs, with this stack pointer, has stack enough to enter the kernel: the lowest stack pointer with
/// which it may do so again. None if there is not enough.
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
    // SAFETY: valid by set_current(); the Store of the task that runs here. A limit that is higher than need be is no harm.
    unsafe {
        if let Some(user) = CURRENT.get().as_ref() {
            let at = user.stack_limit();
            *at = limit.max(*at);
        }
    }
}

/// The signal that interrupts a processor.
pub(crate) fn interrupt_signal() -> i32 {
    libc::SIGRTMIN() + 4
}

/// Makes that thread of this process look for interrupts. False if it is gone, or the host has no room for another signal.
pub(crate) fn interrupt_thread(thread: i32) -> bool {
    // SAFETY: a signal whose handler this crate has installed; a thread that is gone gives ESRCH.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, interrupt_signal()) == 0 }
}

/// Sleeps until `ready`: a condition that is set before the interrupt signal is sent to this thread. None if it is; otherwise how
/// many of the descriptors are ready, 0 if the time is over.
pub(crate) fn wait_for_interrupt(
    ready: impl Fn() -> bool,
    polled: &mut [libc::pollfd],
    limit: Option<Duration>,
) -> Option<usize> {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().min(i64::MAX as u64) as i64,
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: plain data, initialised by the calls; the mask is put back; so many entries as there are. A descriptor that is none
    // is an event at once.
    unsafe {
        let (mut block, mut before): (libc::sigset_t, libc::sigset_t) = (mem::zeroed(), mem::zeroed());
        libc::sigemptyset(&mut block);
        libc::sigaddset(&mut block, interrupt_signal());
        libc::pthread_sigmask(libc::SIG_BLOCK, &block, &mut before);
        let mut waiting = before;
        libc::sigdelset(&mut waiting, interrupt_signal());
        let mut work = None;
        while !ready() && work.is_none() {
            // A signal ends it with -1.
            work = usize::try_from(libc::ppoll(polled.as_mut_ptr(), polled.len() as _, limit, &waiting)).ok();
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        work
    }
}

// The "tail" convention of the engine: callee's context in rdi, caller's in rsi, i32 arguments in rdx, rcx and r8, the result in
// rax, no callee-saved registers. The interrupted program counter and frame pointer are pushed as a frame, so that the engine's
// stack walks (backtraces, exceptions, its garbage collector) pass from the injected call to the interrupted function. They accept
// no return address but one in compiled code: so the callee returns to a `ret` of its module (r9), which returns to here.
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
    "push rcx",
    "push r8",
    "mov rbp, rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov ecx, [rdx + 4]",
    "mov r8d, [rdx + 8]",
    "mov edx, [rdx]",
    "sub rsp, 8",
    "lea r11, [rip + 2f]",
    "push r11",
    "push r9",
    "jmp rax",
    "2:",
    "add rsp, 32",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
);
unsafe extern "C" {
    fn wasmlinux_call_injected(
        code: usize,
        context: usize,
        arguments: *const [u32; 3],
        pc: usize,
        fp: usize,
        ret: usize,
    ) -> u32;
}

/// The interrupted program counter.
fn pc(frame: &libc::ucontext_t) -> usize {
    frame.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
}

impl UserContext {
    /// The function of the program that was interrupted; None if it was something else.
    fn function(&self, frame: &libc::ucontext_t) -> Option<&Function> {
        self.program.function(pc(frame))
    }

    /// Where a function of the program is interrupted: a program counter that the frame pointer belongs to, its own or its
    /// caller's. None if that is not the program's.
    fn place(&self, function: &Function, frame: &libc::ucontext_t) -> Option<usize> {
        if function.is_unclear(pc(frame)) {
            return None;
        }
        match function.without_frame(pc(frame)) {
            Some(_) => Some(self.caller(function, frame)).filter(|caller| self.program.function(*caller).is_some()),
            None => Some(pc(frame)),
        }
    }

    /// The return address of the function that is interrupted.
    fn caller(&self, function: &Function, frame: &libc::ucontext_t) -> usize {
        let register = |number: i32| frame.uc_mcontext.gregs[number as usize] as usize;
        let at = match function.without_frame(pc(frame)) {
            Some(offset) => register(libc::REG_RSP) + offset,
            None => register(libc::REG_RBP) + size_of::<usize>(),
        };
        // SAFETY: on the stack of the interrupted code, which has its return address there.
        unsafe { (at as *const usize).read() }
    }

    /// Calls a function as if the interrupted code had. Needs a signal frame of that code on this very stack.
    unsafe fn inject(&self, entry: Entry, arguments: [u32; 3], frame: &libc::ucontext_t) -> u32 {
        let call = |pc, fp| {
            // SAFETY: the entry's code follows the convention above.
            unsafe { wasmlinux_call_injected(entry.code, entry.context, &raw const arguments, pc, fp, entry.ret) }
        };
        if let Some(function) = self.function(frame) {
            let fp = frame.uc_mcontext.gregs[libc::REG_RBP as usize] as usize;
            return call(self.place(function, frame).unwrap_or(pc(frame)), fp);
        }
        // In a routine of the engine that the program called (memory.fill, memory.copy), whose frame pointer means nothing: but
        // the engine has noted where it left the program. The injected call notes the same of itself.
        let (exit_pc, exit_fp) = entry.last_exit();
        // SAFETY: fields of the Store; the trampoline's frame is on this stack, further out.
        unsafe {
            let (left_at, trampoline) = (exit_pc.read(), exit_fp.read());
            let answer = call(left_at, (trampoline as *const usize).read());
            exit_pc.write(left_at);
            exit_fp.write(trampoline);
            answer
        }
    }

    /// Before the interrupted code goes on: a handler, if the kernel says that there is one to run.
    unsafe fn resume(&self, answer: u32, frame: &libc::ucontext_t) {
        if answer == RESUME_HANDLER {
            // SAFETY: as for inject(), by the caller.
            unsafe {
                match self.signal {
                    Some(signal) => self.inject(signal, [0; 3], frame),
                    None => self.inject(self.abort, [libc::SIGILL as u32, 0, 0], frame),
                };
            }
        }
    }

    /// The frame pointer of the program's innermost frame, or of its caller's.
    unsafe fn frame_pointer(&self, frame: &libc::ucontext_t) -> usize {
        if self.function(frame).is_some() {
            return frame.uc_mcontext.gregs[libc::REG_RBP as usize] as usize;
        }
        // SAFETY: as for inject(), by the caller: the engine has noted where it left the program.
        unsafe { (self.fault.last_exit().1.read() as *const usize).read() }
    }

    /// The trap of the interrupted instruction.
    unsafe fn trap(&self, frame: &libc::ucontext_t) -> Handled {
        let trap = self.function(frame).and_then(|_| self.program.trap(pc(frame)));
        let Some((signal, code)) = trap.and_then(task::siginfo) else { return Handled::No };
        if !has_room() {
            return Handled::NoRoom;
        }
        // A wild jump is an access to an address that is none: as a null pointer, which most are.
        let at = if signal == libc::SIGSEGV { 0 } else { self.program.offset(pc(frame)) };
        let arguments = [signal as u32, code as u32, at];
        // SAFETY: as for inject(), by the caller.
        unsafe { self.resume(self.inject(self.trap, arguments, frame), frame) };
        Handled::Yes
    }

    /// A write of an exception to `chunk` of its heap. Async-signal-safe.
    unsafe fn exception(&self, exceptions: &Exceptions, chunk: usize, frame: &libc::ucontext_t) -> Handled {
        let is_write = frame.uc_mcontext.gregs[libc::REG_ERR as usize] & 2 != 0;
        let here = exceptions::aligned(ptr::from_ref(&is_write).addr());
        let end = exceptions::aligned(self.fault.entered_from());
        // SAFETY: the program's frames, and the host's frame of this signal with the registers, lie
        // between here and where Wasm was entered, on this very stack.
        let opened = is_write && unsafe { exceptions.write(chunk, here, end) };
        if opened { Handled::Yes } else { Handled::NoRoom }
    }

    /// An access to `at` in the task's reservation.
    unsafe fn access(&self, at: usize, frame: &libc::ucontext_t) -> Handled {
        // Bit 1 of the page fault's error code: a write.
        let write = frame.uc_mcontext.gregs[libc::REG_ERR as usize] & 2 != 0;
        // SAFETY: as for inject(), by the caller.
        unsafe {
            if at >= crate::engine::SPACE {
                // An address and an offset that together reach past the end.
                if self.function(frame).is_none() {
                    return Handled::No;
                }
                if !has_room() {
                    return Handled::NoRoom;
                }
                let arguments = [libc::SIGSEGV as u32, task::SEGV_MAPERR as u32, at as u32];
                self.resume(self.inject(self.trap, arguments, frame), frame);
            } else {
                let mut mapped = self.space.map(at as u32, write);
                if mapped != Mapped::Yes && !has_room() {
                    return Handled::NoRoom;
                }
                if mapped == Mapped::Not {
                    self.resume(self.inject(self.fault, [at as u32, write.into(), 0], frame), frame);
                    // Saves the second fault where the kernel made the page present.
                    mapped = self.space.map(at as u32, write);
                }
                if mapped == Mapped::Refused {
                    let arguments = [libc::SIGBUS as u32, task::BUS_ADRERR as u32, at as u32];
                    self.resume(self.inject(self.trap, arguments, frame), frame);
                }
            }
        }
        Handled::Yes
    }

    /// Where the engine keeps the stack limit of the task's Store.
    unsafe fn stack_limit(&self) -> *mut usize {
        // SAFETY: the context of an instance of that Store, which lives as long as this.
        unsafe { overflow::limit_of(self.fault.context) }
    }
}

/// What became of a signal of an instruction.
enum Handled {
    Yes,
    /// The kernel need not hear of it.
    No,
    /// The kernel should, but the program has left it too little native stack, or has too many
    /// exceptions.
    NoRoom,
}

/// Whether the kernel can be called from this handler, whose stack is that of the code which was
/// interrupted: perhaps after the stack has grown. Async-signal-safe where that code is compiled.
fn has_room() -> bool {
    let marker = 0u8;
    let here = &raw const marker as usize;
    let known = cpu::stack_limit();
    if here > known {
        return true;
    }
    // SAFETY: this very frame, which the handler has on the stack of the code that was interrupted.
    let limit = unsafe { grow_for_entry(here) };
    // Else the next entry looks at something else first.
    if let Some(limit) = limit.filter(|_| known != usize::MAX) {
        cpu::set_stack_limit(limit);
    }
    limit.is_some()
}

/// A signal of an instruction: of user code that missed a page, or that traps as WebAssembly lets it (by an instruction that the
/// processor refuses, or by an access to address 0). Others are the engine's.
unsafe extern "C" fn on_trap(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let user = CURRENT.get();
    // SAFETY: the host's arguments of a handler with SA_SIGINFO; `user` is valid by set_current().
    unsafe {
        if (*info).si_code <= 0 {
            // Somebody has sent it: no instruction is to blame, and this process ends as any other.
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
            return;
        }
        if signal == libc::SIGBUS {
            return chain(signal, info, context);
        }
        if signal == libc::SIGILL {
            let program = user.as_ref().map(|user| &*user.program);
            if overflow::begin_again(program, &mut *context.cast::<libc::ucontext_t>()) {
                return;
            }
        }
        let frame = &*context.cast::<libc::ucontext_t>();
        let fetch = signal == libc::SIGSEGV && frame.uc_mcontext.gregs[libc::REG_ERR as usize] & FETCH != 0;
        if signal == libc::SIGTRAP
            && let Some(user) = user.as_ref().filter(|user| user.steps.get() != 0)
        {
            return found(user, info, context);
        }
        if fetch && hidden::reveal(pc(frame), user.as_ref().map(|user| &*user.program)) {
            if let Some(user) = user.as_ref().filter(|user| user.program.has_code(pc(frame))) {
                found(user, info, context);
            }
            return;
        }
        if !user.is_null() {
            let user = &*user;
            let address = (*info).si_addr() as usize;
            let at = address.wrapping_sub(user.space.base() as usize);
            let exceptions = user.exceptions.as_ref().filter(|_| signal == libc::SIGSEGV);
            let exception = exceptions.and_then(|exceptions| Some((exceptions, exceptions.chunk(address)?)));
            let handled = if signal == libc::SIGSEGV && at < 2 * crate::engine::SPACE {
                user.access(at, frame)
            } else if let Some((exceptions, chunk)) = exception
                && user.function(frame).is_some()
            {
                user.exception(exceptions, chunk, frame)
            } else {
                user.trap(frame)
            };
            match handled {
                Handled::Yes => return,
                Handled::No => {}
                Handled::NoRoom => return leave_program(user, info, context),
            }
        }
        chain(signal, info, context);
    }
}

/// The program, or another task of it, was missed too often, and is now about to go on with its own code.
///
/// Where it goes on may be the engine's glue on the way back from a routine, or into the program. There
/// nothing is injected: the routine may have thrown, and noted that in the Store. It goes on by single
/// steps up to code of the program's own.
unsafe fn found(user: &UserContext, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (interrupts, timer) = PROCESSOR.get();
    // SAFETY: as in leave_program().
    unsafe {
        let frame = &mut *context.cast::<libc::ucontext_t>();
        let function = user.function(frame);
        let flags = &mut frame.uc_mcontext.gregs[libc::REG_EFL as usize];
        *flags &= !TRAP_FLAG;
        let steps = user.steps.get();
        if function.and_then(|function| user.place(function, &*context.cast())).is_none() {
            if user.program.has_code(pc(&*context.cast())) && steps < STEPS_MAX {
                *flags |= TRAP_FLAG;
                user.steps.set(steps + 1);
            } else {
                user.steps.set(0);
                set_timer(timer, LOOK_AGAIN);
            }
            return;
        }
        user.steps.set(0);
        if (*interrupts).unplugged() {
            let fp = user.frame_pointer(&*context.cast());
            leave(&(*interrupts).kernel, task::Thrown::Unplugged, fp, info, context);
        } else {
            interrupted(user, timer, info, context);
        }
    }
}

/// Ends the program that was interrupted, as its native stack is used up.
unsafe fn leave_program(user: &UserContext, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (interrupts, _) = PROCESSOR.get();
    // SAFETY: valid by set_processor(), which comes before set_current(); the arguments are those of a handler that has interrupted a
    // program, or one of the two routines of the engine that access its memory.
    unsafe {
        let fp = user.frame_pointer(&*context.cast());
        leave(&(*interrupts).kernel, task::Thrown::StackExhausted, fp, info, context);
    }
}

/// What was not a fault of a user's memory goes to who had the signal before: the engine.
///
/// # Safety
/// In a handler, with its arguments.
pub(crate) unsafe fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(index) = TRAPS.iter().position(|trap| *trap == signal) else { return };
    // SAFETY: written once, before the handler was installed.
    let before = unsafe { (&raw const ENGINE_HANDLERS[index]).read() };
    match before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: the default action, when the instruction is retried, or now if it is not.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if signal == libc::SIGTRAP {
                    libc::raise(signal);
                }
            }
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
        } else {
            (*interrupts).kick_arrived();
        }
        if (*interrupts).unplugged() {
            return unplugged(&*interrupts, timer, info, context);
        }
        let user = CURRENT.get();
        if user.is_null() {
            return;
        }
        let (user, frame) = (&*user, &*context.cast::<libc::ucontext_t>());
        let place = user.function(frame).and_then(|function| user.place(function, frame));
        if place.is_none() {
            return missed(user, timer);
        }
        interrupted(user, timer, info, context);
    }
}

/// The processor was not in the program's code when it should look for interrupts.
fn missed(user: &UserContext, timer: libc::timer_t) {
    let missed = user.missed.get().saturating_add(1);
    user.missed.set(missed);
    // Ever more seldom: it may be in work of the host's that does not come to an end.
    let due = missed.is_multiple_of(MISSED_MAX) && (missed / MISSED_MAX).is_power_of_two();
    if due && !hidden::hide(&user.program) {
        user.missed.set(missed - 1);
    }
    set_timer(timer, LOOK_AGAIN);
}

/// Calls the kernel from a program that was interrupted in its own code.
unsafe fn interrupted(
    user: &UserContext,
    timer: libc::timer_t,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    user.missed.set(0);
    // SAFETY: as for inject(), by the caller.
    unsafe {
        if !has_room() {
            return leave_program(user, info, context);
        }
        if let Some(exceptions) = &user.exceptions {
            exceptions.begin_again();
        }
        let frame = &*context.cast::<libc::ucontext_t>();
        let Some(function) = user.function(frame) else { return };
        let passes_by = function.catches || user.program.lets_pass(user.caller(function, frame));
        let put_off = passes_by && user.put_off.get() < PUT_OFF_MAX;
        let answer = user.inject(user.irq, [put_off.into(), 0, 0], frame);
        if answer == RESUME_WAITING {
            user.put_off.set(user.put_off.get() + 1);
            set_timer(timer, LOOK_AGAIN);
        } else {
            user.put_off.set(0);
            user.resume(answer, frame);
        }
    }
}

/// The machine shall end: whatever runs is left, be it the kernel in an endless loop.
unsafe fn unplugged(
    interrupts: &Interrupts,
    timer: libc::timer_t,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // The next entry into the kernel looks why.
    cpu::set_stack_limit(usize::MAX);
    // SAFETY: `on_interrupt`'s arguments; code of the kernel and of the program that runs is that of the task that runs. The
    // frame pointer belongs to it, or to its caller at its very beginning and end.
    unsafe {
        let (user, frame) = (CURRENT.get(), &*context.cast::<libc::ucontext_t>());
        let in_program = !user.is_null() && (*user).function(frame).is_some();
        if in_program || interrupts.kernel.contains(pc(frame)) {
            let fp = frame.uc_mcontext.gregs[libc::REG_RBP as usize] as usize;
            leave(&interrupts.kernel, task::Thrown::Unplugged, fp, info, context);
        } else if !user.is_null() {
            missed(&*user, timer);
        } else {
            // In the host, which comes to an end by itself.
            set_timer(timer, LOOK_AGAIN);
        }
    }
}

/// The signals of traps.
const TRAPS: [i32; 5] = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGBUS];

static mut ENGINE_HANDLERS: [libc::sigaction; TRAPS.len()] = {
    // SAFETY: plain data.
    unsafe { mem::zeroed() }
};

/// Makes the calling thread one that can be a processor, whatever signals its creator had blocked. Signals that are not the machine's
/// are for other threads: their handlers know nothing of stacks like those of tasks.
pub(crate) fn prepare_thread() {
    // It would make an alternate stack later on.
    Engine::tls_eager_initialize();
    // SAFETY: plain data, initialised by the calls. Nothing runs on the alternate stack now.
    unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut mask);
        for signal in TRAPS.into_iter().chain([libc::SIGBUS, libc::SIGTRAP, libc::SIGABRT, interrupt_signal()]) {
            libc::sigdelset(&mut mask, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &mask, ptr::null_mut());
        let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        libc::sigaltstack(&none, ptr::null_mut());
    }
}

/// Installs the handlers, after the engine has installed its own.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are sound on any thread at any time. On a processor's they run on the stack that was interrupted, which
        // for user code is the task's: that thread has no alternate stack. Others may need theirs, for handlers that were there before.
        // They may be entered again while they sleep (SA_NODEFER, empty mask).
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigemptyset(&mut action.sa_mask);
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
            for (index, signal) in TRAPS.into_iter().enumerate() {
                action.sa_sigaction = on_trap as *const () as usize;
                libc::sigaction(signal, ptr::null(), &raw mut ENGINE_HANDLERS[index]);
                libc::sigaction(signal, &action, ptr::null_mut());
            }
            action.sa_sigaction = on_interrupt as *const () as usize;
            action.sa_flags |= libc::SA_RESTART;
            libc::sigaction(interrupt_signal(), &action, ptr::null_mut());
        }
    });
}
