//! Clocks, and the timer: a host timer whose signal goes to the machine's thread.
use crate::{Error, trap};
use std::{
    cell::Cell,
    io, mem, ptr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

thread_local! {
    /// When the machine whose processor this thread is was switched on, in nanoseconds of the host's clock.
    static POWER_ON: Cell<u64> = const { Cell::new(0) };
}

/// Nanoseconds of the host's clock, which only goes forward.
fn host() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a structure of ours; a clock that every Linux has, so the call does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds since power on, of the machine whose processor this thread is. Programs read clocks all the time: what is
/// spared here counts.
pub(crate) fn monotonic() -> u64 {
    host() - POWER_ON.get()
}

pub(crate) struct Clock {
    timer: libc::timer_t,
    /// When the timer expires for the guest, in nanoseconds since power on.
    expiry: u64,
    /// It expires before that.
    hurried: bool,
}

impl Clock {
    /// On the machine's thread.
    pub(crate) fn new() -> Result<Clock, Error> {
        let mut timer = ptr::null_mut();
        // SAFETY: plain data, zero is a valid start; the results are checked.
        unsafe {
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = trap::interrupt_signal();
            event.sigev_notify_thread_id = libc::gettid();
            if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) != 0 {
                return Err(Error::Timer(io::Error::last_os_error()));
            }
        }
        POWER_ON.set(host());
        Ok(Clock { timer, expiry: u64::MAX, hurried: false })
    }

    /// Nanoseconds since 1970.
    pub(crate) fn realtime() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
    }

    /// Expires once, after so many nanoseconds.
    pub(crate) fn set(&mut self, nanoseconds: u64) {
        self.expiry = monotonic().saturating_add(nanoseconds);
        self.hurried = false;
        set_timer(self.timer, nanoseconds);
    }

    /// Expires after so many nanoseconds at the latest. Before the guest's time that is a surprise to the guest, which sets the
    /// timer again.
    pub(crate) fn hurry(&mut self, nanoseconds: u64) {
        let now = monotonic();
        if self.expiry <= now || self.expiry > now.saturating_add(nanoseconds) {
            self.hurried = true;
            set_timer(self.timer, nanoseconds);
        }
    }

    /// Takes that back.
    pub(crate) fn take_time(&mut self) {
        if std::mem::take(&mut self.hurried) {
            set_timer(self.timer, self.expiry.saturating_sub(monotonic()));
        }
    }

    pub(crate) fn timer(&self) -> libc::timer_t {
        self.timer
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // SAFETY: the timer of new(), deleted once.
        unsafe { libc::timer_delete(self.timer) };
    }
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

/// Async-signal-safe.
pub(crate) fn set_timer(timer: libc::timer_t, nanoseconds: u64) {
    let nanoseconds = nanoseconds.clamp(1, i64::MAX as u64);
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let at =
        libc::timespec { tv_sec: (nanoseconds / 1_000_000_000) as i64, tv_nsec: (nanoseconds % 1_000_000_000) as i64 };
    let spec = libc::itimerspec { it_interval: zero, it_value: at };
    // SAFETY: the caller's timer is alive; a bad one gives EINVAL.
    unsafe { libc::timer_settime(timer, 0, &spec, ptr::null_mut()) };
}
