//! Clocks, and the timer: a host timer whose signal goes to the processor's thread.
use crate::{
    Error,
    host::time::{self, Alarm, Timer},
};
use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

/// A machine's clock that only goes forward.
#[derive(Clone, Copy)]
pub(crate) struct Monotonic {
    /// In nanoseconds of the host's clock.
    power_on: u64,
}

impl Monotonic {
    /// The machine is switched on now.
    pub(crate) fn new() -> Monotonic {
        Monotonic { power_on: time::monotonic() }
    }

    /// Nanoseconds since power on.
    #[inline]
    pub(crate) fn now(self) -> u64 {
        time::monotonic() - self.power_on
    }
}

/// Nanoseconds since 1970.
pub(crate) fn realtime() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// A processor's timer.
pub(crate) struct Clock {
    timer: Timer,
    clock: Monotonic,
    /// When the timer expires for the guest, in nanoseconds since power on.
    expiry: Cell<u64>,
    /// It expires before that.
    hurried: Cell<bool>,
}

impl Clock {
    /// Of the processor that the calling thread is.
    pub(crate) fn new(clock: Monotonic) -> Result<Clock, Error> {
        let timer = Timer::new().map_err(Error::Timer)?;
        Ok(Clock { timer, clock, expiry: Cell::new(u64::MAX), hurried: Cell::new(false) })
    }

    /// Expires once, after so many nanoseconds.
    pub(crate) fn set(&self, nanoseconds: u64) {
        self.expiry.set(self.clock.now().saturating_add(nanoseconds));
        self.hurried.set(false);
        self.timer.alarm().set(nanoseconds);
    }

    /// Expires after so many nanoseconds at the latest. Before the guest's time that is a surprise
    /// to the guest, which sets the timer again.
    pub(crate) fn hurry(&self, nanoseconds: u64) {
        let (now, expiry) = (self.clock.now(), self.expiry.get());
        if expiry <= now || expiry > now.saturating_add(nanoseconds) {
            self.hurried.set(true);
            self.timer.alarm().set(nanoseconds);
        }
    }

    /// Takes that back.
    pub(crate) fn take_time(&self) {
        if self.hurried.take() {
            self.timer.alarm().set(self.expiry.get().saturating_sub(self.clock.now()));
        }
    }

    /// Its timer, for signal handlers.
    pub(crate) fn alarm(&self) -> Alarm {
        self.timer.alarm()
    }
}
