//! Clocks, and the timer: a host timer whose signal goes to the machine's thread.
use crate::{
    Error,
    host::time::{self, Alarm, Timer},
};
use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

thread_local! {
    /// When the machine whose processor this thread is was switched on, in nanoseconds of the host's clock.
    static POWER_ON: Cell<u64> = const { Cell::new(0) };
}

/// Nanoseconds since power on, of the machine whose processor this thread is. Programs read clocks all the time: what is
/// spared here counts.
pub(crate) fn monotonic() -> u64 {
    time::monotonic() - POWER_ON.get()
}

pub(crate) struct Clock {
    timer: Timer,
    /// When the timer expires for the guest, in nanoseconds since power on.
    expiry: u64,
    /// It expires before that.
    hurried: bool,
}

impl Clock {
    /// On the machine's thread.
    pub(crate) fn new() -> Result<Clock, Error> {
        let timer = Timer::new().map_err(Error::Timer)?;
        POWER_ON.set(time::monotonic());
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
        self.timer.alarm().set(nanoseconds);
    }

    /// Expires after so many nanoseconds at the latest. Before the guest's time that is a surprise to the guest, which sets the
    /// timer again.
    pub(crate) fn hurry(&mut self, nanoseconds: u64) {
        let now = monotonic();
        if self.expiry <= now || self.expiry > now.saturating_add(nanoseconds) {
            self.hurried = true;
            self.timer.alarm().set(nanoseconds);
        }
    }

    /// Takes that back.
    pub(crate) fn take_time(&mut self) {
        if std::mem::take(&mut self.hurried) {
            self.timer.alarm().set(self.expiry.saturating_sub(monotonic()));
        }
    }

    /// Its timer, for signal handlers.
    pub(crate) fn alarm(&self) -> Alarm {
        self.timer.alarm()
    }
}
