//! What is plugged into the machine: [`Streams`], byte pipes between host and guest, the
//! [`Console`], which keeps what the kernel says, and on a [`Bus`] the devices with registers,
//! which are [`virtio`]'s.
//!
//! ```text
//!  guest's driver ── registers ── Bus ── virtio::Mmio ─┬─ virtio::Device    the frontend
//!                 ── rings in memory ── virtio::Queue ─┘         │
//!                                                             backend (backend.rs)
//! ```
//!
//! Nothing here knows the engine: the machine calls the `guest_*` functions, everybody else holds
//! ordinary [`std::io`] readers and writers.
#![forbid(unsafe_code)]

pub mod backend;
mod bus;
mod channel;
mod console;
mod file;
mod memory;
mod pipe;
mod streams;
mod text;
pub mod virtio;

pub use backend::Backend;
pub use bus::{Bus, BusDevice, BusFull, Line, Slot};
pub use channel::Channel;
pub use console::Console;
pub use file::Prepared;
pub use memory::GuestMemory;
pub use streams::{Apart, StreamReader, StreamWriter, Streams};
pub use text::{Panic, Printable, printable};

use std::time::Duration;

/// The machine's interrupt lines, as a device sees them.
pub trait Interrupt: Send + Sync {
    /// Raises a line (`IRQ_*` of the boundary), from any thread.
    fn raise(&self, line: u32);

    /// The device's code has panicked: the machine ends at once.
    fn fail(&self, why: Panic) {
        let _ = why;
    }

    /// How long the processor's thread has run on a processor of the host; None if there is no such
    /// thread now.
    fn processor_time(&self) -> Option<Duration> {
        None
    }
}
