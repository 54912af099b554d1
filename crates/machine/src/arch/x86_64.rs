//! x86-64, with the engine's code for it.

/// What the host saved of the code that a signal has interrupted; changes take effect when the
/// handler returns.
#[repr(transparent)]
pub(crate) struct SignalFrame(libc::ucontext_t);

/// In the page fault's error code: the access was a write; it was the fetch of an instruction.
const ERROR_WRITE: i64 = 1 << 1;
const ERROR_FETCH: i64 = 1 << 4;
/// In the flags register: a SIGTRAP comes after the next instruction.
const TRAP_FLAG: i64 = 1 << 8;

impl SignalFrame {
    /// # Safety
    /// `context` is the third argument of a handler with SA_SIGINFO that has not returned, and
    /// nobody else has a reference to it that is in use.
    pub(crate) unsafe fn of<'a>(context: *mut libc::c_void) -> &'a mut SignalFrame {
        // SAFETY: by this function's contract; the same layout.
        unsafe { &mut *context.cast::<SignalFrame>() }
    }

    fn register(&self, number: i32) -> usize {
        self.0.uc_mcontext.gregs[number as usize] as usize
    }

    fn set(&mut self, number: i32, value: usize) {
        self.0.uc_mcontext.gregs[number as usize] = value as i64;
    }

    /// The program counter.
    pub(crate) fn pc(&self) -> usize {
        self.register(libc::REG_RIP)
    }

    pub(crate) fn set_pc(&mut self, pc: usize) {
        self.set(libc::REG_RIP, pc);
    }

    /// The stack pointer.
    pub(crate) fn sp(&self) -> usize {
        self.register(libc::REG_RSP)
    }

    pub(crate) fn set_sp(&mut self, sp: usize) {
        self.set(libc::REG_RSP, sp);
    }

    /// The frame pointer.
    pub(crate) fn fp(&self) -> usize {
        self.register(libc::REG_RBP)
    }

    pub(crate) fn set_fp(&mut self, fp: usize) {
        self.set(libc::REG_RBP, fp);
    }

    /// At the begin of a function: the context of its instance.
    pub(crate) fn instance(&self) -> usize {
        self.register(libc::REG_RDI)
    }

    /// The page fault of a write.
    pub(crate) fn is_write(&self) -> bool {
        self.0.uc_mcontext.gregs[libc::REG_ERR as usize] & ERROR_WRITE != 0
    }

    /// The page fault of the fetch of an instruction.
    pub(crate) fn is_fetch(&self) -> bool {
        self.0.uc_mcontext.gregs[libc::REG_ERR as usize] & ERROR_FETCH != 0
    }

    /// Whether a SIGTRAP comes after the next instruction.
    pub(crate) fn set_single_step(&mut self, on: bool) {
        let flags = &mut self.0.uc_mcontext.gregs[libc::REG_EFL as usize];
        *flags = if on { *flags | TRAP_FLAG } else { *flags & !TRAP_FLAG };
    }
}

/// `push rbp` and `mov rbp, rsp`, with which each function begins: its frame is there after the
/// second.
pub(crate) const PROLOGUE: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
const FRAME_PUSHED: usize = 1;
const FRAME_MADE: usize = 4;
/// How a function ends: `mov rsp, rbp`, `pop rbp`, `ret`.
pub(crate) const EPILOGUE: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc3];
/// Where in that the `ret` is.
pub(crate) const RET_AT: usize = 4;
/// The opcodes of `ret` and `ret imm16`, before which `pop rbp` has taken the frame away.
const RET: [u8; 2] = [0xc3, 0xc2];
const POP_RBP: u8 = 0x5d;

/// Whether the function that begins at `start` returns at `pc`, an instruction of it, and the one
/// before was not `pop rbp`: then it is not known whose frame the frame pointer belongs to.
/// Async-signal-safe.
///
/// # Safety
/// From `start` to `pc` and its byte there is compiled code, mapped readable.
#[inline]
pub(crate) unsafe fn is_unclear_return(start: usize, pc: usize) -> bool {
    // SAFETY: by this function's contract.
    let byte = |at: usize| unsafe { (at as *const u8).read() };
    pc > start && RET.contains(&byte(pc)) && byte(pc - 1) != POP_RBP
}

/// How many bytes above the stack pointer the return address is, if the function that begins at
/// `start` has no frame of its own at `pc`, an instruction of it: at its very beginning and end the
/// frame pointer is its caller's. Async-signal-safe.
///
/// # Safety
/// From `start` to `pc` and its byte there is compiled code, mapped readable.
#[inline]
pub(crate) unsafe fn return_address(start: usize, pc: usize) -> Option<usize> {
    match pc - start {
        0 => Some(0),
        FRAME_PUSHED..FRAME_MADE => Some(size_of::<usize>()),
        // SAFETY: by this function's contract.
        _ => RET.contains(&unsafe { (pc as *const u8).read() }).then_some(0),
    }
}

// The "tail" convention of the engine: callee's context in rdi, caller's in rsi, i32 arguments in
// rdx, rcx and r8, the result in rax; rbx and r12 to r15 are kept across calls. The interrupted
// program counter and frame pointer are pushed as a frame, so that the engine's stack walks
// (backtraces, exceptions, its garbage collector) pass from the injected call to the interrupted
// function. They accept no return address but one in compiled code: so the callee returns to a
// `ret` of its module (r9), which returns to here.
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

/// Calls the function at `code` with an instance's `context` and three arguments, as if the code
/// that was interrupted at `pc` with the frame pointer `fp` had. It returns by way of the
/// instruction at `ret`.
///
/// # Safety
/// In a signal's handler, on the stack of that code, whose frames can be walked from `pc` and `fp`.
/// `code` is a function of that instance, compiled by the engine; `ret` an [`EPILOGUE`]'s last
/// instruction in the same module.
#[inline]
pub(crate) unsafe fn call_injected(
    code: usize,
    context: usize,
    arguments: &[u32; 3],
    (pc, fp): (usize, usize),
    ret: usize,
) -> u32 {
    // SAFETY: by this function's contract; the assembly above.
    unsafe { wasmlinux_call_injected(code, context, arguments, pc, fp, ret) }
}
