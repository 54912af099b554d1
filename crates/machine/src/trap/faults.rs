//! Signals of instructions: page faults, traps of WebAssembly, code that is hidden.
use super::{
    CURRENT, UserContext, chain, has_room,
    interrupts::found,
    leave::{Thrown, leave},
    overflow,
    siginfo::{BUS_ADRERR, SEGV_MAPERR, siginfo},
};
use crate::{
    arch::SignalFrame,
    engine::hidden,
    host::signals,
    interrupt::processor,
    mmu::exceptions::{self, Exceptions},
    mmu::space::Mapped,
    sizes::SPACE,
};
use std::ptr;

/// What became of a signal of an instruction.
enum Handled {
    Yes,
    /// The kernel need not hear of it.
    No,
    /// The kernel should, but the program has left it too little native stack, or has too many
    /// exceptions.
    NoRoom,
}

impl UserContext {
    /// The trap of the interrupted instruction.
    unsafe fn trap(&self, frame: &SignalFrame) -> Handled {
        let trap = self.function(frame).and_then(|_| self.program.trap(frame.pc()));
        let Some((signal, code)) = trap.and_then(siginfo) else { return Handled::No };
        if !has_room() {
            return Handled::NoRoom;
        }
        // A wild jump is an access to an address that is none: as a null pointer, which most are.
        let at = if signal == libc::SIGSEGV { 0 } else { self.program.offset(frame.pc()) };
        let arguments = [signal as u32, code as u32, at];
        // SAFETY: as for inject(), by the caller.
        unsafe { self.resume(self.inject(self.trap, arguments, frame), frame) };
        Handled::Yes
    }

    /// A write of an exception to `chunk` of its heap. Async-signal-safe.
    unsafe fn exception(&self, exceptions: &Exceptions, chunk: usize, frame: &SignalFrame) -> Handled {
        let is_write = frame.is_write();
        let here = exceptions::aligned(ptr::from_ref(&is_write).addr());
        let end = exceptions::aligned(self.fault.entered_from());
        // SAFETY: the program's frames, and the host's frame of this signal with the registers, lie
        // between here and where Wasm was entered, on this very stack.
        let opened = is_write && unsafe { exceptions.write(chunk, here, end) };
        if opened { Handled::Yes } else { Handled::NoRoom }
    }

    /// An access to `at` in the task's reservation.
    unsafe fn access(&self, at: usize, frame: &SignalFrame) -> Handled {
        let write = frame.is_write();
        // SAFETY: as for inject(), by the caller.
        unsafe {
            if at >= SPACE {
                // An address and an offset that together reach past the end.
                if self.function(frame).is_none() {
                    return Handled::No;
                }
                if !has_room() {
                    return Handled::NoRoom;
                }
                let arguments = [libc::SIGSEGV as u32, SEGV_MAPERR as u32, at as u32];
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
                    let arguments = [libc::SIGBUS as u32, BUS_ADRERR as u32, at as u32];
                    self.resume(self.inject(self.trap, arguments, frame), frame);
                }
            }
        }
        Handled::Yes
    }
}

/// A signal of an instruction of user code: a page fault, or a trap of WebAssembly's (an
/// instruction that the processor refuses, or an access to address 0). Others are the engine's.
pub(super) unsafe extern "C" fn on_trap(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let user = CURRENT.get();
    // SAFETY: the host's arguments of a handler with SA_SIGINFO; `user` is valid by set_current().
    unsafe {
        if (*info).si_code <= 0 {
            // Somebody has sent it: no instruction is to blame, and this process ends as any other.
            return signals::die(signal);
        }
        if signal == libc::SIGBUS {
            return chain(signal, info, context);
        }
        if signal == libc::SIGILL {
            let program = user.as_ref().map(|user| &*user.program);
            if overflow::begin_again(program, SignalFrame::of(context)) {
                return;
            }
        }
        let frame = &*SignalFrame::of(context);
        let fetch = signal == libc::SIGSEGV && frame.is_fetch();
        if signal == libc::SIGTRAP
            && let Some(user) = user.as_ref().filter(|user| user.steps.get() != 0)
        {
            return found(user, info, context);
        }
        if fetch && hidden::reveal(frame.pc(), user.as_ref().map(|user| user.program.text())) {
            if let Some(user) = user.as_ref().filter(|user| user.program.has_code(frame.pc())) {
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
            let handled = if signal == libc::SIGSEGV && at < 2 * SPACE {
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

/// Ends the program that was interrupted, as its native stack is used up.
pub(super) unsafe fn leave_program(user: &UserContext, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (interrupts, _) = processor();
    // SAFETY: valid by set_processor(), which comes before set_current(); the arguments are those
    // of a handler that has interrupted a program, or one of the two routines of the engine that
    // access its memory.
    unsafe {
        let fp = user.frame_pointer(SignalFrame::of(context));
        leave(&(*interrupts).kernel, Thrown::StackExhausted, fp, info, context);
    }
}
