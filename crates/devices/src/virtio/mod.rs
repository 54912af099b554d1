//! Devices after the standard "Virtual I/O Device (VIRTIO) Version 1.2".
//!
//! - [`Device`] is what a kind of device has of its own, the *frontend* (chapter 5 of the
//!   standard).
//! - [`Mmio`] is the *transport*: the registers, by which a driver finds the device and sets it up.
//! - [`Queues`] are its *virtqueues*, which frontend and [backend](crate::backend) use, from any
//!   thread.
//!
//! The driver is the guest and not trusted. A ring that makes no sense stops that queue, until the
//! driver resets the device; other queues and devices do not notice.
mod console;
mod mmio;
mod net;
mod queue;
mod queues;

pub use console::{ConsoleDevice, ConsoleReader, ConsoleWriter};
pub use mmio::Mmio;
pub use net::{NetDevice, Sent};
pub use queue::{Broken, Chain, Queue};
pub use queues::Queues;

use crate::Backend;
use std::sync::Arc;

/// What a kind of device has of its own.
///
/// All is called on a processor's thread, and returns at once: see [the contract](crate::backend).
pub trait Device: Send + Sync {
    /// The type of the device (5 of the standard).
    fn id(&self) -> u32;

    /// Its virtqueues, which it has made with [`Queues::new`].
    fn queues(&self) -> &Queues;

    /// The features that it offers, beside that of the standard's version.
    fn features(&self) -> u64 {
        0
    }

    /// The driver reads the device's configuration at an offset. `to` is zeros, and stays so where
    /// there is none.
    fn read_config(&self, offset: usize, to: &mut [u8]) {
        let _ = (offset, to);
    }

    /// The driver writes there.
    fn write_config(&self, offset: usize, from: &[u8]) {
        let _ = (offset, from);
    }

    /// The driver is ready, with these features, and so are the queues. True if the backend is to
    /// be polled.
    fn ready(&self, features: u64) -> bool {
        let _ = features;
        false
    }

    /// The driver has reset the device, and the queues are gone.
    fn reset(&self) {}

    /// The machine is off: the driver is gone for good.
    fn disconnected(&self) {}

    /// The driver has put something into this queue. True if the backend is to be polled.
    fn notified(&self, queue: usize) -> bool;

    /// Who does the work, if the processor's thread polls for it.
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

/// For [`Device::read_config`] of a configuration that is these bytes.
pub fn copy_config(config: &[u8], offset: usize, to: &mut [u8]) {
    let rest = config.get(offset..).unwrap_or_default();
    let len = rest.len().min(to.len());
    to[..len].copy_from_slice(&rest[..len]);
}
