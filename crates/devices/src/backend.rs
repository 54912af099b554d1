//! Backends: what does the work behind a device's registers and queues, with sockets, files or
//! streams of the host.
//!
//! # Threads
//! Work is done in one of three ways, and a device says which:
//! - **At once**, in [`virtio::Device::notified`](crate::virtio::Device::notified), on the
//!   processor's thread: for what only moves bytes (the console). The guest waits meanwhile.
//! - **By a worker**, a thread of the backend's own that `notified` wakes: for what may wait (a
//!   disk).
//! - **By polling**, for what is too short to be worth another thread (the network): the device
//!   returns a [`Backend`], whose [`Backend::poll`] the processor's thread calls, and a thread of
//!   the backend's own while the processor is busy with the guest's programs. It must bear being
//!   called on both at the same time.
//!
//! # Completion
//! Whoever has done the work of a buffer gives it back with
//! [`Queue::push`](crate::virtio::Queue::push), from any thread, and then calls
//! [`Queues::signal`](crate::virtio::Queues::signal), which raises the device's interrupt line if
//! the driver wants to know. A buffer taken before the driver has reset the device is out of date:
//! neither the guest's memory nor the new queue is touched through it.
//!
//! # What a backend must never do
//! - **Block** on the processor's thread, or under a queue's lock on any: neither for the guest,
//!   nor for a peer, nor for a lock that others hold while they wait. One call ends after bounded
//!   work, whatever the guest and the peers do.
//! - **Panic.** On the processor's thread that ends the machine. A thread of the backend's own
//!   catches it and ends the machine by [`Queues::fail`](crate::virtio::Queues::fail), as a guest
//!   with a dead device would wait for ever.
//! - **Keep the guest's memory.** It is copied from and to, once: what was read is checked as it
//!   was read, since the guest may change it at any time.
use std::os::fd::RawFd;
use std::time::Duration;

/// A backend that the processor's thread polls: see the [module's](self) contract.
pub trait Backend: Send + Sync {
    /// Does what there is to do now, on the calling thread.
    fn poll(&self);

    /// The processor is about to sleep, and polls by itself from now on: when this descriptor is
    /// readable, and after so much time if there is any.
    fn processor_sleeps(&self) -> (RawFd, Option<Duration>);

    /// The processor runs again.
    fn processor_runs(&self);

    /// The processor still runs. Called now and then, by its timer.
    fn processor_ticks(&self);
}
