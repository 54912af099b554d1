//! Signals: the one that interrupts a processor, and those of instructions.
use std::{mem, ptr, time::Duration};

/// A signal's handler.
pub(crate) type Handler = unsafe extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The signal that interrupts a processor.
pub(crate) fn interrupt_signal() -> i32 {
    libc::SIGRTMIN() + 4
}

/// The host's number of the calling thread.
pub(crate) fn this_thread() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::gettid() }
}

/// Makes that thread of this process look for interrupts. False if it is gone, or the host has no
/// room for another signal.
pub(crate) fn interrupt(thread: i32) -> bool {
    // SAFETY: a signal whose handler this crate has installed; a thread that is gone gives ESRCH.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, interrupt_signal()) == 0 }
}

/// Descriptors that are polled, for reading.
#[derive(Default)]
pub(crate) struct Polled(Vec<libc::pollfd>);

impl Polled {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// One that is none is ready at once.
    pub(crate) fn push(&mut self, fd: i32) {
        self.0.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    }

    /// Whether each was ready, in the order of [`Polled::push`].
    pub(crate) fn ready(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(|polled| polled.revents != 0)
    }
}

/// Sleeps until `ready`: a condition that is set before the interrupt signal is sent to this
/// thread. None if it is; otherwise how many of the descriptors are ready, 0 if the time is over.
pub(crate) fn wait(ready: impl Fn() -> bool, polled: &mut Polled, limit: Option<Duration>) -> Option<usize> {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().min(i64::MAX as u64) as i64,
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: plain data, initialised by the calls; the mask is put back; so many entries as there
    // are. A descriptor that is none is an event at once.
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
            work = usize::try_from(libc::ppoll(polled.0.as_mut_ptr(), polled.0.len() as _, limit, &waiting)).ok();
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        work
    }
}

/// Makes the calling thread one whose signal handlers run on the stack that was interrupted. Of all
/// signals it takes only these, the interrupt's and SIGABRT: handlers of others know nothing of
/// stacks like those of tasks.
pub(crate) fn prepare_thread(traps: &[i32]) {
    // SAFETY: plain data, initialised by the calls. Nothing runs on the alternate stack now.
    unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut mask);
        for signal in traps.iter().copied().chain([libc::SIGABRT, interrupt_signal()]) {
            libc::sigdelset(&mut mask, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &mask, ptr::null_mut());
        let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        libc::sigaltstack(&none, ptr::null_mut());
    }
}

/// Who had a signal before.
#[derive(Clone, Copy)]
pub(crate) struct Previous(libc::sigaction);

/// Who has a signal now.
pub(crate) fn previous(signal: i32) -> Previous {
    // SAFETY: plain data, written by the call.
    unsafe {
        let mut before: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut before);
        Previous(before)
    }
}

/// Installs a handler, which may be entered again while it sleeps (SA_NODEFER, empty mask) and runs
/// on the stack that was interrupted where the thread has no alternate one. With `restart`, system
/// calls that it interrupts go on.
///
/// # Safety
/// The handler is sound on any thread at any time.
pub(crate) unsafe fn handle(signal: i32, handler: Handler, restart: bool) {
    // SAFETY: plain data; the handler by this function's contract.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigemptyset(&mut action.sa_mask);
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        action.sa_flags |= if restart { libc::SA_RESTART } else { 0 };
        action.sa_sigaction = handler as *const () as usize;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

/// Gives a signal to who had it before.
///
/// # Safety
/// In a handler, with its arguments; the one before was installed with SA_SIGINFO, if it is a
/// function.
pub(crate) unsafe fn forward(before: &Previous, signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    match before.0.sa_sigaction {
        // SAFETY: the default action, when the instruction is retried, or now if it is not.
        libc::SIG_DFL | libc::SIG_IGN => unsafe {
            libc::signal(signal, libc::SIG_DFL);
            if signal == libc::SIGTRAP {
                libc::raise(signal);
            }
        },
        handler => {
            // SAFETY: by this function's contract.
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { mem::transmute(handler) };
            handler(signal, info, context);
        }
    }
}

/// This process ends of the signal, as if it had no handler.
pub(crate) fn die(signal: i32) {
    // SAFETY: no pointers.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
