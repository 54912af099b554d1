//! Work of a device that the processor's thread does by itself, when it sleeps or would have to wake another thread for it.
use std::os::fd::RawFd;
use std::time::Duration;

/// What is at the other end of a device's wire. It has a thread of its own for what happens while the processor computes;
/// waking that costs more than the work, so the processor does the work when it can.
pub trait Attendant: Send + Sync {
    /// Does what there is to do now, on the calling thread. Never waits, and comes to an end whatever the guest and the peers do.
    fn attend(&self);

    /// The processor is about to sleep, and attends by itself from now on: when this descriptor is readable, and after so
    /// much time if there is any.
    fn processor_sleeps(&self) -> (RawFd, Option<Duration>);

    /// The processor runs again.
    fn processor_runs(&self);

    /// The processor still runs. Called now and then, by its timer.
    fn processor_ticks(&self);
}
