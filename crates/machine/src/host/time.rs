//! Clocks and timers.
use super::signals::{interrupt_signal, this_thread};
use std::{io, mem, ptr, time::Duration};

/// Nanoseconds of the host's clock that only goes forward. Async-signal-safe.
#[inline]
pub(crate) fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a structure of ours; a clock that every Linux has, so the call does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How long a thread of this process has had a processor of the host; None if it is gone.
pub(crate) fn of_thread(thread: i32) -> Option<Duration> {
    // As the host makes the number of a thread's clock (`posix-timers_types.h`).
    const PER_THREAD: i32 = 4;
    const SCHED: i32 = 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to the variable; a thread that is gone gives EINVAL.
    let got = unsafe { libc::clock_gettime((!thread << 3) | PER_THREAD | SCHED, &mut time) };
    (got == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// A timer that sends the interrupt signal to a thread; it is told by `si_code`.
pub(crate) struct Timer(Alarm);

/// A timer, for signal handlers. To set one that is gone does nothing, or sets another one of this
/// process.
#[derive(Clone, Copy)]
pub(crate) struct Alarm(libc::timer_t);

// SAFETY: a number of the host's, behind which nothing of this process lies.
unsafe impl Send for Alarm {}

impl Alarm {
    /// Of no timer.
    pub(crate) const NONE: Alarm = Alarm(ptr::null_mut());

    /// Expires once, after so many nanoseconds, at least 1. Async-signal-safe.
    pub(crate) fn set(self, nanoseconds: u64) {
        let after = nanoseconds.clamp(1, i64::MAX as u64);
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let at = libc::timespec { tv_sec: (after / 1_000_000_000) as i64, tv_nsec: (after % 1_000_000_000) as i64 };
        let spec = libc::itimerspec { it_interval: zero, it_value: at };
        // SAFETY: a number that the host gave for a timer with a signal, or 0, which may be one;
        // one that is none gives EINVAL.
        unsafe { libc::timer_settime(self.0, 0, &spec, ptr::null_mut()) };
    }
}

impl Timer {
    /// For the calling thread.
    pub(crate) fn new() -> io::Result<Timer> {
        let mut timer = ptr::null_mut();
        // SAFETY: plain data, zero is a valid start; the results are checked.
        unsafe {
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = interrupt_signal();
            event.sigev_notify_thread_id = this_thread();
            if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Timer(Alarm(timer)))
    }

    pub(crate) fn alarm(&self) -> Alarm {
        self.0
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer of new(), deleted once.
        unsafe { libc::timer_delete(self.0.0) };
    }
}
