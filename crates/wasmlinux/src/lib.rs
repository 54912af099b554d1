//! Linux as a library: a machine that boots the real kernel, compiled to WebAssembly, in this
//! process.
//!
//! ```no_run
//! use std::io::Read;
//! use wasmlinux::{Machine, Stdio};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let machine = Machine::builder().memory(256 << 20).boot()?;
//! let mut child = machine.command("uname").arg("-a").stdout(Stdio::piped()).spawn()?;
//! let mut text = String::new();
//! child.stdout.take().unwrap().read_to_string(&mut text)?;
//! assert!(child.wait()?.success());
//! # Ok(())
//! # }
//! ```
//!
//! - [`Machine`] is the computer: [`Machine::builder`] boots one, dropping it pulls the plug. It
//!   runs in this process ([`Builder::boot`]), or in one of its own that has given up what it does
//!   not need ([`Builder::boot_apart`]).
//! - [`Command`] and [`Child`] run programs of the guest, after the model of [`std::process`].
//! - [`HostTask`] makes system calls on the guest's kernel from here, as a process of its own.
//!
//! Each machine has threads of its own, which let other threads handle this process's signals. The
//! process's handlers for SIGSEGV, SIGILL and SIGFPE, and for SIGRTMIN + 4, are the machine's from
//! the first boot on; what is not a machine's goes to the handlers that were there before. Whoever
//! installs one later passes on what is not its own.
//!
//! Everything may be used from any thread. Nothing panics on what the guest or the caller does: see
//! [`Error`].
#![deny(unsafe_code)]

mod apart;
mod command;
mod control;
mod errno;
mod error;
mod files;
mod files_out;
mod guest;
mod limit;
mod machine;
mod process;
mod task;

pub use apart::machine_if_asked;
pub use command::{Command, Created, Output, Stdio};
pub use errno::Errno;
pub use error::{Error, SpawnStep};
pub use files_out::{FileKind, Files, GuestFile};
pub use limit::Resource;
pub use machine::{Builder, MEMORY_DEFAULT, MEMORY_MAX, MEMORY_MIN, Machine};
pub use process::{Child, ExitStatus, Process, TerminalSize};
pub use task::{Arg, Fd, FdReader, FdWriter, HostTask, WaitTarget, Waited, flags, nr};
pub use wasmlinux_devices::{StreamReader, StreamWriter};
pub use wasmlinux_machine::{Compiler, Confine, Outcome, compile_if_asked};
pub use wasmlinux_net::{GATEWAY, Protocol, Publish, PublishError, Reach, Refused};
