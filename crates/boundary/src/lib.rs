//! What the host and the guest must agree on: numbers and layouts, each written once.
//!
//! The Rust side uses the constants; the C side includes headers that [`machine_header`] (for the
//! kernel, `asm/boundary.h`) and [`control_header`] (for `/init`, `control.h`) print from the same
//! tables. What the numbers mean is in `docs/machine.md`. The names in modules are in [`program`]
//! and [`kernel`]; [`Message`] and [`Received`] are the control protocol's messages on the wire.
#![forbid(unsafe_code)]

mod control;
pub mod kernel;
mod machine;
mod message;
pub mod program;
mod table;

pub use control::*;
pub use machine::*;
pub use message::{Field, Malformed, Message, MessageError, Received};
