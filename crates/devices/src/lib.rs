//! What is plugged into the machine: [`Streams`], byte pipes between host and guest, and the
//! [`Console`], which keeps what the kernel says.
//!
//! Nothing here knows the engine: the machine calls the `guest_*` functions, everybody else holds
//! ordinary [`std::io`] readers and writers.
#![forbid(unsafe_code)]

mod console;
mod pipe;
mod streams;

pub use console::Console;
pub use streams::{StreamReader, StreamWriter, Streams};

/// The machine's interrupt lines, as a device sees them.
pub trait Interrupt: Send + Sync {
    /// Raises a line (`IRQ_*` of the boundary), from any thread.
    fn raise(&self, line: u32);
}
