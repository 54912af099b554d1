//! A machine in a process of its own, which gives up what it does not need before the guest runs.
//!
//! ```text
//!  this process (parent.rs)                      the machine's (child.rs)
//!   Control, files, console ── streams: sockets, files ──► Streams
//!   Shared ── requests: one answer each ─────────────────► the first thread
//!   its events ◄── console, the end ── orders: the plug ─► a thread
//!   wasmlinux_net::serve ◄── sockets to the outside ────── the network
//!   BrokerServer ◄── compiled code ─────────────────────── the programs
//! ```
//! What comes from the machine's process is hostile: its words are bounded and checked, and what it
//! asks for is decided here. `docs/confinement.md` has the whole.
mod child;
mod parent;

pub use child::machine_if_asked;
pub(crate) use parent::{Given, Process, has_been_offered};

/// The argument that asks an executable to be a machine. After it: the process that started it, and
/// how much it is to log.
const VERB: &str = "be-a-machine";

/// Requests, of which the first five come before the machine is switched on, each with a
/// descriptor.
const PORT: u32 = 1;
const EVENTS: u32 = 2;
const SOCKETS: u32 = 3;
const CODE: u32 = 4;
const OPEN: u32 = 5;
const START: u32 = 6;
const CLOSE: u32 = 7;
const BYTES_READ: u32 = 8;
const STATUS: u32 = 9;
const TRY: u32 = 10;

/// Answers.
const DONE: u32 = 32;
const REFUSED: u32 = 33;

/// Events of the machine.
const CONSOLE: u32 = 64;
const ENDED: u32 = 65;
const DELIVERED: u32 = 66;

/// Orders, which have no answer.
const POWER_OFF: u32 = 96;
const FAIL: u32 = 97;

/// Fields. A number of a stream, a code of what it is, a port of the guest, an outcome.
const FIELD_NUMBER: u32 = 1;
const FIELD_CODE: u32 = 2;
/// Bytes of text.
const FIELD_TEXT: u32 = 3;
/// Of START: bytes of memory (two words), and what is what in the FLAG_ constants.
const FIELD_MEMORY: u32 = 4;
const FIELD_FLAGS: u32 = 5;
/// The kernel's command line before and after the devices.
const FIELD_ARGUMENTS: u32 = 6;
/// Of STATUS: nanoseconds of the processor (two words); oopses and refused programs (two each).
const FIELD_TIME: u32 = 7;
const FIELD_COUNTS: u32 = 8;
/// Of the answer to BYTES_READ: how many (two words); without it the guest reads no more.
const FIELD_BYTES: u32 = 9;

/// Flags of START: a network; it reaches this host; datagrams are published; how it is confined.
const FLAG_NETWORK: u32 = 1;
const FLAG_HOST: u32 = 2;
const FLAG_DATAGRAMS: u32 = 4;
const FLAG_CONFINED: u32 = 8;
const FLAG_STRICT: u32 = 16;

/// Bytes of text in a message, at most.
const TEXT_MAX: usize = 16 << 10;

fn words(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

fn number([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(TEXT_MAX)]
}
