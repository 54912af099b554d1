//! The machine: what kernel and host share. `docs/machine.md` is its data sheet.
use crate::table::{constants, header};

/// The module name of every function that the kernel imports from the machine.
pub const IMPORT_MODULE: &str = "machine";
/// The version of the machine that this crate describes; the kernel says in its [`BOOT_INFO`] which
/// it was built for.
pub const MACHINE_VERSION: u32 = 2;
/// A page of WebAssembly, in bytes.
pub const WASM_PAGE: u32 = 65536;

constants! { LIMITS:
    /// Interrupt lines of the machine.
    IRQ_LINES: u32 = 32;
    /// Bytes of the kernel's command line, with its final zero.
    CMDLINE_SIZE: u32 = 4096;
    /// Bytes of the kernel's buffer `oops_buffer`.
    OOPS_BUFFER: u32 = 4096;
    /// Bytes of entropy that the host hands over at boot.
    SEED_SIZE: u32 = 32;
}

constants! { IRQS:
    /// The timer that timer_set() armed has expired.
    IRQ_TIMER: u32 = 0;
    /// A stream became readable or writable, or was closed by the host.
    IRQ_STREAM: u32 = 1;
    /// A program has been compiled, or never will be: module_state() tells.
    IRQ_MODULE: u32 = 3;
    /// The device in the first window of registers; that in the n-th has line IRQ_DEVICES + n.
    IRQ_DEVICES: u32 = 8;
}

constants! { MMIO:
    /// Physical address of the first window of device registers: above all memory.
    MMIO_BASE: u32 = 0xffff_0000;
    /// Bytes of a window.
    MMIO_WINDOW: u32 = 4096;
    /// Windows, the n-th at MMIO_BASE + n * MMIO_WINDOW.
    MMIO_WINDOWS: u32 = 16;
}

const _: () = assert!(IRQ_DEVICES + MMIO_WINDOWS <= IRQ_LINES);

constants! { POWER:
    /// power_off(): switched off.
    POWER_OFF: u32 = 0;
    /// power_off(): halted.
    POWER_HALT: u32 = 1;
    /// power_off(): the kernel asked for a reboot.
    POWER_REBOOT: u32 = 2;
    /// power_off(): the kernel panicked.
    POWER_PANIC: u32 = 3;
}

constants! { ENTRIES:
    /// user_clone(): the new task begins at the module's `_clone_start(sp)`, on memory that it
    /// shares.
    ENTRY_CLONE: u32 = 0;
    /// user_clone(): the new task begins at `_fork_child()`, on a copy of the memory.
    ENTRY_FORK: u32 = 1;
}

constants! { PTE:
    /// Page table entry: the host may map the frame.
    PTE_PRESENT: u32 = 1 << 0;
    /// Page table entry: user code may write, if PTE_DIRTY is set too.
    PTE_WRITE: u32 = 1 << 1;
    /// Page table entry: user code may read.
    PTE_USER: u32 = 1 << 2;
    /// Page table entry: set by the kernel only; a clean page is never mapped writable.
    PTE_DIRTY: u32 = 1 << 3;
}

constants! { RESUMES:
    /// fault(), irq(), trap(): user code goes on with the instruction.
    RESUME: u32 = 0;
    /// fault(), irq(), trap(): first `_signal()` is called, as a signal frame lies at the user's
    /// `__stack_pointer`.
    RESUME_HANDLER: u32 = 1;
    /// irq(): signals with handlers wait, as the host asked for.
    RESUME_WAITING: u32 = 2;
}

constants! { RESULTS:
    /// What a system call returns when a signal frame lies at the user's `__stack_pointer`.
    SIGNAL_PENDING: i32 = -4096;
    /// module_state(): it is being compiled; IRQ_MODULE will tell (Linux's EAGAIN).
    MODULE_PENDING: i32 = -11;
    /// stream_read(), stream_write(): nothing to do now; IRQ_STREAM will tell (Linux's EAGAIN).
    STREAM_AGAIN: i32 = -11;
    /// stream_*(): no such stream (Linux's ENXIO).
    STREAM_NONE: i32 = -6;
    /// stream_write(): the host has closed its end (Linux's EPIPE).
    STREAM_CLOSED: i32 = -32;
}

constants! { POLL:
    /// stream_poll(): bytes, or the end, can be read.
    STREAM_READABLE: u32 = 1;
    /// stream_poll(): bytes can be written, or writing fails at once.
    STREAM_WRITABLE: u32 = 2;
    /// stream_poll(): the host has closed its writing end: after what is buffered comes the end.
    STREAM_READ_END: u32 = 4;
    /// stream_poll(): the host has closed its reading end.
    STREAM_WRITE_END: u32 = 8;
    /// stream_poll(): the result shifted right by so many bits is how many bytes can be written
    /// now.
    STREAM_ROOM_SHIFT: u32 = 8;
}

constants! { TERMINALS:
    /// The stream of the first terminal line; those of the others follow.
    TERMINAL_STREAM: u32 = 0xfff00;
    /// Terminal lines: /dev/ttyW0 and so on.
    TERMINAL_LINES: u32 = 16;
}

/// The symbol, exported by the kernel, of its `struct boot_info`.
pub const BOOT_INFO: &str = "boot_info";

/// Defines the layout of `struct boot_info`: an offset constant for each field, and the C text.
macro_rules! boot_info {
    ($($(#[doc = $doc:literal])+ $name:ident, $offset:ident, $ty:literal, $array:literal, $bytes:expr;)*) => {
        /// Offsets of the fields of `struct boot_info`, in bytes.
        #[allow(missing_docs, reason = "a list of numbers; the fields are described in the table")]
        pub mod boot_info {
            boot_info!(@offsets 0; $($offset $bytes;)*);
        }
        const BOOT_INFO_C: &str = concat!(
            "\n#ifndef __ASSEMBLY__\n/* Shared with the host; see docs/machine.md */\nstruct boot_info {\n",
            $("\t/*", $($doc,)+ " */\n\t", $ty, " ", stringify!($name), $array, ";\n",)*
            "};\n#endif\n"
        );
    };
    (@offsets $at:expr; $offset:ident $bytes:expr; $($rest:tt)*) => {
        pub const $offset: u32 = $at;
        boot_info!(@offsets $at + $bytes; $($rest)*);
    };
    (@offsets $at:expr;) => {
        pub const SIZE: u32 = $at;
    };
}

boot_info! {
    /// Host: some line is raised. Set after the line's byte; the kernel clears it before it reads
    /// the lines.
    irq_pending, IRQ_PENDING, "__u32", "", 4;
    /// Host: a byte for each line, so that neither side needs a read-modify-write.
    irq_line, IRQ_LINE, "__u8", "[32]", 32;
    /// Kernel image: MACHINE_VERSION.
    version, VERSION, "__u32", "", 4;
    /// Kernel image: log2 of the page size, which is the format of the page tables.
    page_shift, PAGE_SHIFT, "__u32", "", 4;
    /// Kernel image: log2 of the bytes that one entry of the page directory covers.
    pgdir_shift, PGDIR_SHIFT, "__u32", "", 4;
    /// Host, before boot: bytes of physical memory.
    memory_size, MEMORY_SIZE, "__u32", "", 4;
    /// Host, before boot: physical address of the initramfs.
    initrd_start, INITRD_START, "__u32", "", 4;
    /// Host, before boot: its bytes, 0 for none.
    initrd_size, INITRD_SIZE, "__u32", "", 4;
    /// Host, before boot: entropy.
    seed, SEED, "__u8", "[32]", 32;
    /// Host, before boot: the kernel's command line, ended by a zero.
    cmdline, CMDLINE, "char", "[4096]", 4096;
}

/// The header `asm/boundary.h` of the kernel.
pub fn machine_header() -> String {
    let version = format!("\n#define MACHINE_VERSION {MACHINE_VERSION}\n");
    let tables = [LIMITS, IRQS, MMIO, POWER, ENTRIES, PTE, RESUMES, RESULTS, POLL, TERMINALS];
    let rest = version + "\n#ifndef __ASSEMBLY__\n#include <linux/types.h>\n#endif\n" + BOOT_INFO_C;
    header("_ASM_WASM_BOUNDARY_H", "MACHINE_", &tables, &rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_info_has_no_padding() {
        assert_eq!(boot_info::SIZE, 4 + 32 + 6 * 4 + 32 + CMDLINE_SIZE);
        assert_eq!(boot_info::CMDLINE % 4, 0);
    }

    #[test]
    fn header_names_every_constant() {
        let text = machine_header();
        assert!(text.contains("#define MACHINE_SIGNAL_PENDING (-4096)"));
        assert!(text.contains("__u8 irq_line[32];"));
    }
}
