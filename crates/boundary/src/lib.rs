//! What the host and the guest must agree on: numbers and layouts, each written once.
//!
//! The Rust side uses the constants; the C side includes headers that [`machine_header`] (for the
//! kernel, `asm/boundary.h`) and [`control_header`] (for `/init`, `control.h`) print from the same
//! tables. What the numbers mean is in `docs/machine.md`. The names in modules are in [`program`]
//! and [`kernel`]; [`Message`] and [`Received`] are the control protocol's messages on the wire.
//!
//! ```
//! use wasmlinux_boundary::{Message, Received};
//!
//! let mut message = Message::new(2, 7);
//! message.words(1, &[3, 4]).text(2, b"/tmp");
//! let bytes = message.finish().expect("it fits");
//!
//! let read = Received::read(&mut bytes.as_slice(), 1 << 16)?.expect("one message");
//! assert_eq!((read.kind, read.id), (2, 7));
//! assert_eq!((read.words(1)?, read.text(2)?), ([3, 4], &b"/tmp"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
