//! The names in the kernel's module: what it exports to the machine. `docs/machine.md` says what
//! they mean.

/// Function: the first task begins here, `()`.
pub const BOOT: &str = "boot";
/// Function: every other task begins here, `() → i32`.
pub const TASK_START: &str = "task_start";
/// Function: an access of user code misses, `(address, write) → i32`.
pub const FAULT: &str = "fault";
/// Function: an interrupt is pending, `(defer) → i32`.
pub const IRQ: &str = "irq";
/// Function: an instruction of user code traps, `(signal, code, address) → i32`.
pub const TRAP: &str = "trap";
/// Function: user code cannot go on, `(signal)`.
pub const ABORT: &str = "abort";
/// Function: kernel code has trapped, `(text, length)`.
pub const OOPS: &str = "oops";
/// Constant: the address of the buffer for `oops`.
pub const OOPS_BUFFER: &str = "oops_buffer";
/// Constant: the address of the first task's `task_struct`.
pub const INIT_TASK: &str = "init_task";
/// Constant: the end of the first task's stack.
pub const INIT_STACK_TOP: &str = "init_stack_top";
