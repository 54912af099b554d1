//! The signal that interrupts a processor: a tick, a line that was raised, or the plug that was
//! pulled.
use super::{
    CURRENT, UserContext,
    faults::leave_program,
    has_room,
    leave::{Thrown, leave},
};
use crate::{
    arch::SignalFrame,
    engine::hidden,
    host::time::Alarm,
    interrupt::{Interrupts, processor},
    local,
};
use wasmlinux_boundary::{IRQ_TIMER, RESUME_WAITING};

/// Nanoseconds until the next look, when the kernel, and not user code, was interrupted. The kernel
/// looks itself before it returns to user code; this is for the few instructions between that and
/// the return.
const LOOK_AGAIN: u64 = 200_000;

/// How often a signal's handler is deferred while its task is in a function that catches
/// exceptions, or in one that such a function calls without catching (setjmp's own): there
/// `siglongjmp` out of the handler would pass by. Sooner or later another is interrupted.
const DEFER_MAX: u32 = 250;

/// How often in a row the program is not found in its own code before that is made to fault: it may
/// call a routine of the engine that takes long (memory.fill, memory.copy) again and again, and
/// would never be interrupted.
const MISSED_MAX: u32 = 250;
/// Instructions of the engine's glue between a routine and the program, or the host and the
/// program, at most: 25 or so.
const STEPS_MAX: u32 = 200;

pub(super) unsafe extern "C" fn on_interrupt(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (interrupts, timer) = processor();
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
        let (user, frame) = (&*user, &*SignalFrame::of(context));
        let place = user.function(frame).and_then(|function| user.place(function, frame));
        if place.is_none() {
            return missed(user, timer);
        }
        interrupted(user, timer, info, context);
    }
}

/// The processor was not in the program's code when it should look for interrupts.
fn missed(user: &UserContext, timer: Alarm) {
    let missed = user.missed.get().saturating_add(1);
    user.missed.set(missed);
    // Ever more seldom: it may be in work of the host's that does not come to an end.
    let due = missed.is_multiple_of(MISSED_MAX) && (missed / MISSED_MAX).is_power_of_two();
    if due && !hidden::hide(user.program.text()) {
        user.missed.set(missed - 1);
    }
    timer.set(LOOK_AGAIN);
}

/// Calls the kernel from a program that was interrupted in its own code.
unsafe fn interrupted(user: &UserContext, timer: Alarm, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    user.missed.set(0);
    // SAFETY: as for inject(), by the caller.
    unsafe {
        if !has_room() {
            return leave_program(user, info, context);
        }
        if let Some(exceptions) = &user.exceptions {
            exceptions.begin_again();
        }
        let frame = &*SignalFrame::of(context);
        let Some(function) = user.function(frame) else { return };
        let passes_by = function.catches || user.program.lets_pass(user.caller(function, frame));
        let defer = passes_by && user.deferred.get() < DEFER_MAX;
        let answer = user.inject(user.irq, [defer.into(), 0, 0], frame);
        if answer == RESUME_WAITING {
            user.deferred.set(user.deferred.get() + 1);
            timer.set(LOOK_AGAIN);
        } else {
            user.deferred.set(0);
            user.resume(answer, frame);
        }
    }
}

/// The machine shall end: whatever runs is left, be it the kernel in an endless loop.
unsafe fn unplugged(interrupts: &Interrupts, timer: Alarm, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // The next entry into the kernel looks why.
    local::set_stack_limit(usize::MAX);
    // SAFETY: `on_interrupt`'s arguments; code of the kernel and of the program that runs is that
    // of the task that runs. The frame pointer belongs to it, or to its caller at its very
    // beginning and end.
    unsafe {
        let (user, frame) = (CURRENT.get(), &*SignalFrame::of(context));
        let in_program = !user.is_null() && (*user).function(frame).is_some();
        if in_program || interrupts.kernel.contains(frame.pc()) {
            let fp = frame.fp();
            leave(&interrupts.kernel, Thrown::Unplugged, fp, info, context);
        } else if !user.is_null() {
            missed(&*user, timer);
        } else {
            // In the host, which comes to an end by itself.
            timer.set(LOOK_AGAIN);
        }
    }
}

/// The program, or another task of it, was missed too often, and is now about to go on with its own
/// code.
///
/// Where it goes on may be the engine's glue on the way back from a routine, or into the program.
/// There nothing is injected: the routine may have thrown, and noted that in the Store. It goes on
/// by single steps up to code of the program's own.
pub(super) unsafe fn found(user: &UserContext, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (interrupts, timer) = processor();
    // SAFETY: as in leave_program().
    unsafe {
        let frame = SignalFrame::of(context);
        let function = user.function(frame);
        frame.set_single_step(false);
        let steps = user.steps.get();
        if function.and_then(|function| user.place(function, frame)).is_none() {
            if user.program.has_code(frame.pc()) && steps < STEPS_MAX {
                frame.set_single_step(true);
                user.steps.set(steps + 1);
            } else {
                user.steps.set(0);
                timer.set(LOOK_AGAIN);
            }
            return;
        }
        user.steps.set(0);
        if (*interrupts).unplugged() {
            let fp = user.frame_pointer(frame);
            leave(&(*interrupts).kernel, Thrown::Unplugged, fp, info, context);
        } else {
            interrupted(user, timer, info, context);
        }
    }
}
