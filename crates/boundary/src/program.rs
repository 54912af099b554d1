//! The contract between a program and the machine: the names in a program's module.
//!
//! `docs/abi.md` says what they mean. libc has them in its own C and assembly, where a header
//! cannot say them; a test here compares.

/// Module name of the memory that a program imports.
pub const MEMORY_MODULE: &str = "env";
/// Name of the memory that a program imports.
pub const MEMORY: &str = "memory";
/// Module name of the system call that a program imports.
pub const SYSCALL_MODULE: &str = "linux";
/// Name of the system call that a program imports, and of the kernel's export that it is.
pub const SYSCALL: &str = "syscall";

/// Export: where the first thread begins, `(sp)`.
pub const START: &str = "_start";
/// Export: where a child of `clone` with a stack of its own begins, `(sp)`.
pub const CLONE_START: &str = "_clone_start";
/// Export: where a child of `clone` without a stack begins, `()`.
pub const FORK_CHILD: &str = "_fork_child";
/// Export: runs handlers of signals that come between system calls, `() → i32`.
pub const SIGNAL: &str = "_signal";
/// Export: the stack pointer, a variable i32; a kernel has one too.
pub const STACK_POINTER: &str = "__stack_pointer";
/// Export: the thread pointer, a variable i32.
pub const THREAD_POINTER: &str = "__wasm_tp";
/// Export: where a thread's own data is, a variable i32.
pub const TLS_BASE: &str = "__tls_base";
/// Export: where data ends, a constant i32; a kernel has one too.
pub const HEAP_BASE: &str = "__heap_base";
/// What exports begin with that the machine adds: a program has none.
pub const RESERVED: &str = "wasmlinux:";

/// The custom section with the version of the contract, which comes first: a little-endian word of
/// 32 bits.
pub const ABI_SECTION: &str = "wasmlinux";
/// The version of the contract.
pub const ABI_VERSION: u32 = 1;
/// The custom section with the names of functions, by the WebAssembly specification.
pub const NAME_SECTION: &str = "name";

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn libc_has_these_names() {
        let libc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/libc/musl/src");
        let has = |file: &str, text: &str| {
            let code = fs::read_to_string(libc.join(file)).expect(file);
            assert!(code.contains(text), "{file}: no {text}");
        };
        let entry = "internal/wasm32/signal_entry.s";
        has(entry, &format!(".import_module\t__linux_syscall, {SYSCALL_MODULE}\n"));
        has(entry, &format!(".import_name\t__linux_syscall, {SYSCALL}\n"));
        has(entry, &format!(".export_name\t__signal_entry, {SIGNAL}\n"));
        has(entry, &format!(".globaltype\t{STACK_POINTER}, i32\n"));
        has("process/wasm32/fork_point.c", &format!("__export_name__(\"{FORK_CHILD}\")"));
        has("thread/wasm32/clone.c", &format!("__export_name__(\"{CLONE_START}\")"));
        has("thread/wasm32/clone.c", &format!(".globaltype {TLS_BASE}, i32"));
        has("thread/wasm32/tp.s", &format!("\n{THREAD_POINTER}:\n"));
    }
}
