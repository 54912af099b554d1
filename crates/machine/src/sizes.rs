//! Sizes that more than one module builds on, in bytes.

/// Bytes of native stack that a task's code may use. A frame has 16 bytes or more here, and none at
/// all in the program's own stack if it keeps nothing there: that one, of 8 MiB by default, whose
/// overflow is a fault like any other, may be used up first or last.
pub(crate) const STACK_WASM: usize = 64 << 20;
/// Bytes of it that each task has. What is below is charged to the machine's ledger as far as it is
/// used: `stack.rs`.
pub(crate) const STACK_FREE: usize = 128 << 10;
/// Bytes of native stack behind that, for host functions and signal frames.
pub(crate) const STACK_HOST: usize = 256 << 10;
/// Bytes that must be left of [`STACK_WASM`] when user code enters the kernel: its deepest path
/// takes less.
pub(crate) const STACK_KERNEL: usize = 512 << 10;
/// Bytes of a user's address space.
pub(crate) const SPACE: usize = 1 << 32;
/// Bytes of the host's smallest page.
pub(crate) const PAGE: usize = 4096;
