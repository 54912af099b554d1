//! What a program's module may be, and what is made of it. Everything here is hostile input: it is
//! checked before an engine sees it, by safe code that knows no engine and no host.
//!
//! ```text
//!  bytes of a file
//!    │ check_size       not more of them than is gone through
//!    │ program.rs       goes through the sections: imports, exports, limits
//!    │   allowed.rs       types, instructions: an allow-list of what compilers make
//!    │   rewrite/         memory accesses, in the form in which the engine's compiler keeps them
//!    │ output.rs        the sections of the new module in their order, and their offsets
//!    │ cost.rs          validates the new module; what compiling it may cost
//!    ▼
//!  Program              the module that the engine gets; offsets.rs: what came from where
//! ```
//!
//! [`check`] is all of that, [`split_kernel`] the same for a kernel. The contract that a program
//! keeps to is in `docs/abi.md`, and its names are in [`wasmlinux_boundary::program`].
//!
//! What else goes through modules, as the linker does, finds tools in [`sections`] and [`code`].
//!
//! ```
//! let wasm = wat::parse_str(
//!     r#"(module (import "env" "memory" (memory 1)) (func (export "_start") (param i32)))"#,
//! )?;
//! let program = wasmlinux_module::check(&wasm)?;
//! assert!(program.module.starts_with(b"\0asm"));
//!
//! let error = wasmlinux_module::check(&wasm[..20]).unwrap_err();
//! assert!(matches!(error.kind(), wasmlinux_module::ErrorKind::Malformed(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod allowed;
pub mod code;
mod cost;
mod error;
mod kernel;
mod offsets;
mod output;
mod program;
mod rewrite;
pub mod sections;

pub use error::{Error, ErrorKind, Forbidden};
pub use kernel::{Kernel, split_kernel};
pub use offsets::OffsetMap;
pub use program::{FORM, Program, REUSABLE, check, check_size};
