//! What the host and the guest must agree on: numbers and layouts, each written once.
//!
//! The Rust side uses the constants; the C side includes headers that [`machine_header`] (for the
//! kernel, `asm/boundary.h`) and [`control_header`] (for `/init`, `control.h`) print from the same
//! tables. What the numbers mean is in `docs/machine.md`. [`Message`] and [`Received`] are the control
//! protocol's messages on the wire.
#![forbid(unsafe_code)]

mod control;
mod machine;
mod message;
mod table;

pub use control::*;
pub use machine::*;
pub use message::{Field, Malformed, Message, MessageError, Received};
