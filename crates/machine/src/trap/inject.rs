//! Calls of the kernel's exports, and of a program's handler of signals, at an instruction that a
//! signal of the host has interrupted.
use super::{UserContext, overflow};
use crate::{
    arch::{self, EPILOGUE, RET_AT, SignalFrame},
    engine::code::Function,
    mmu::exceptions::{Exceptions, Heap},
};
use std::sync::Arc;
use wasmlinux_boundary::RESUME_HANDLER;
use wasmtime::{Func, Module};
use wasmtime_environ::{HostPtr, PtrSize};

/// A function of an instance, ready for a direct call.
#[derive(Clone, Copy)]
pub(crate) struct Callee {
    code: usize,
    pub(super) context: usize,
    /// An instruction `ret` in the module's code.
    ret: usize,
}

impl Callee {
    /// None if the function cannot return, or has others than up to three parameters and one
    /// result, all of them i32.
    ///
    /// # Safety
    /// `func` is a function of an instance of that module. The Store outlives the entry's use.
    pub(crate) unsafe fn new(func: Func, module: &Module, mut store: impl wasmtime::AsContextMut) -> Option<Callee> {
        let ty = func.ty(&mut store);
        if ty.params().len() > 3 || ty.results().len() > 1 || !ty.params().chain(ty.results()).all(|ty| ty.is_i32()) {
            return None;
        }
        let raw = func.to_raw(store) as usize;
        let offsets = HostPtr;
        let read = |offset: u8| {
            // SAFETY: to_raw() gives the address of a VMFuncRef, alive as long as its Store; the
            // engine tells where its fields lie.
            unsafe { ((raw + usize::from(offset)) as *const usize).read() }
        };
        let code = read(offsets.vm_func_ref().wasm_call());
        let context = read(offsets.vm_func_ref().vmctx());
        let text = module.text();
        let rest = text.get(code.checked_sub(text.as_ptr() as usize)?..)?;
        let end = rest.windows(EPILOGUE.len()).position(|bytes| bytes == EPILOGUE)?;
        Some(Callee { code, context, ret: code + end + RET_AT })
    }

    /// A field of the Store's context, by its offset.
    fn of_store(self, offset: u8) -> *mut usize {
        // SAFETY: an instance's context begins with what the engine tells; its Store lives.
        let store = unsafe { ((self.context + usize::from(HostPtr.vmctx_store_context())) as *const usize).read() };
        (store + usize::from(offset)) as *mut usize
    }

    /// Where the engine notes how Wasm of this Store last left for the host: addresses of the
    /// program counter and of the trampoline's frame, whose first word is the frame pointer.
    fn last_exit(self) -> (*mut usize, *mut usize) {
        let offsets = HostPtr.vm_store_context();
        (self.of_store(offsets.last_wasm_exit_pc()), self.of_store(offsets.last_wasm_exit_trampoline_fp()))
    }

    /// The frame from which Wasm of this Store was entered: all its frames lie below.
    pub(super) fn entered_from(self) -> usize {
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
    // SAFETY: to_raw() gives the address of a VMFuncRef, alive as long as its Store, and that tells
    // its instance; the engine tells where the fields lie. The collector without collections keeps
    // there the address of one word, the index of the next object, for as long as the Store lives.
    unsafe {
        let context = ((raw + usize::from(offsets.vm_func_ref().vmctx())) as *const usize).read();
        let next = ((context + usize::from(offsets.vmctx_gc_heap_data())) as *const *mut u32).read();
        (!next.is_null()).then(|| Exceptions::new(heap, next))
    }
}

impl UserContext {
    /// The function of the program that was interrupted; None if it was something else.
    pub(super) fn function(&self, frame: &SignalFrame) -> Option<&Function> {
        self.program.function(frame.pc())
    }

    /// Where a function of the program is interrupted: a program counter that the frame pointer
    /// belongs to, its own or its caller's. None if that is not the program's.
    pub(super) fn place(&self, function: &Function, frame: &SignalFrame) -> Option<usize> {
        if function.is_unclear(frame.pc()) {
            return None;
        }
        match function.without_frame(frame.pc()) {
            Some(_) => Some(self.caller(function, frame)).filter(|caller| self.program.function(*caller).is_some()),
            None => Some(frame.pc()),
        }
    }

    /// The return address of the function that is interrupted.
    pub(super) fn caller(&self, function: &Function, frame: &SignalFrame) -> usize {
        let at = match function.without_frame(frame.pc()) {
            Some(offset) => frame.sp() + offset,
            None => frame.fp() + size_of::<usize>(),
        };
        // SAFETY: on the stack of the interrupted code, which has its return address there.
        unsafe { (at as *const usize).read() }
    }

    /// Calls a function as if the interrupted code had. Needs a signal frame of that code on this
    /// very stack.
    pub(super) unsafe fn inject(&self, callee: Callee, arguments: [u32; 3], frame: &SignalFrame) -> u32 {
        let call = |pc, fp| {
            // SAFETY: in a handler on that code's stack, by the caller; the function is what
            // Callee::new() has found.
            unsafe { arch::call_injected(callee.code, callee.context, &arguments, (pc, fp), callee.ret) }
        };
        if let Some(function) = self.function(frame) {
            let fp = frame.fp();
            return call(self.place(function, frame).unwrap_or(frame.pc()), fp);
        }
        // In a routine of the engine that the program called (memory.fill, memory.copy), whose
        // frame pointer means nothing: but the engine has noted where it left the program. The
        // injected call notes the same of itself.
        let (exit_pc, exit_fp) = callee.last_exit();
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
    pub(super) unsafe fn resume(&self, answer: u32, frame: &SignalFrame) {
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
    pub(super) unsafe fn frame_pointer(&self, frame: &SignalFrame) -> usize {
        if self.function(frame).is_some() {
            return frame.fp();
        }
        // SAFETY: as for inject(), by the caller: the engine has noted where it left the program.
        unsafe { (self.fault.last_exit().1.read() as *const usize).read() }
    }

    /// Where the engine keeps the stack limit of the task's Store.
    pub(super) unsafe fn stack_limit(&self) -> *mut usize {
        // SAFETY: the context of an instance of that Store, which lives as long as this.
        unsafe { overflow::limit_of(self.fault.context) }
    }
}
