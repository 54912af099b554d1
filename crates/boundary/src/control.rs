//! The control channel: how the library tells `/init` what to run, and how it learns what became of it.
//!
//! Every message is a header of three little-endian words (length of the payload in bytes, type, id)
//! and the payload. `id` is chosen by the host and names one command or host task in both directions.
use crate::table::{constants, header};

constants! { STREAMS:
    /// The stream (see docs/machine.md) that carries the control channel.
    STREAM_CONTROL: u32 = 0;
    /// The stream that carries files for the root file system at boot, before the control channel is served.
    STREAM_FILES: u32 = 1;
    /// The first stream that commands and host tasks may use.
    STREAM_FIRST: u32 = 2;
    /// Bytes of a message's header.
    HEADER_SIZE: u32 = 12;
    /// The longest payload, in bytes.
    PAYLOAD_MAX: u32 = 16 << 20;
}

constants! { TO_INIT:
    /// Run a command: words flags, stdin, stdout, stderr (stream numbers, or RUN_PATH), argc, envc; then strings, each ended by a zero: working directory (made if absent), the arguments, the environment (K=V), and a path for each RUN_PATH in that order. The first argument is looked up in the environment's PATH if it has no slash.
    RUN: u32 = 1;
    /// Start a host task: word stream. It becomes a process that serves system calls on that stream.
    TASK: u32 = 2;
    /// Send a signal: words pid, signal.
    KILL: u32 = 3;
    /// Switch the machine off: no payload.
    SHUTDOWN: u32 = 4;
    /// A terminal has another size: words stream, rows, columns.
    RESIZE: u32 = 5;
}

constants! { RUN_FLAGS:
    /// RUN: switch the machine off when this command has ended.
    RUN_POWEROFF: u32 = 1;
    /// RUN: the command has a controlling terminal, whose stream is the word stdin; it is standard output and error too. The words stdout and stderr are its rows and columns.
    RUN_TERMINAL: u32 = 2;
    /// RUN, in place of a stream number: open a path of the guest, for reading as stdin, else for writing (created if absent, not truncated). For example /dev/null, or /proc/PID/fd/N of a host task.
    RUN_PATH: u32 = 0xffff_ffff;
}

constants! { FROM_INIT:
    /// Init is up, id 0: no payload.
    READY: u32 = 16;
    /// The command or task runs: word pid.
    STARTED: u32 = 17;
    /// It could not be started: words errno, step (FAILED_*).
    FAILED: u32 = 18;
    /// It has ended: word status, as wait4() gives it.
    EXITED: u32 = 19;
}

constants! { FAILED_STEPS:
    /// FAILED: the program was not found or not executable.
    FAILED_EXEC: u32 = 0;
    /// FAILED: the working directory.
    FAILED_DIR: u32 = 1;
    /// FAILED: a standard stream.
    FAILED_STREAM: u32 = 2;
}

constants! { TASK_MESSAGES:
    /// Host task to host, first: words pid, address of its buffer, size of its buffer.
    TASK_HELLO: u32 = 32;
    /// Host to host task: words nr, six arguments, offset and length of what to send back from the buffer; then bytes to put at the start of the buffer.
    TASK_CALL: u32 = 33;
    /// Host task to host: word result (negative errno), then the bytes asked for.
    TASK_RESULT: u32 = 34;
}

constants! { TASK_LIMITS:
    /// Bytes of a host task's buffer.
    TASK_BUFFER: u32 = 1 << 20;
}

constants! { FILES:
    /// Bytes of an entry's header: words kind, permissions with the type's bits, seconds (low, high) and nanoseconds of its time, length of its path, and two numbers of the kind; then the path, absolute, without a zero.
    FILES_HEADER: u32 = 32;
    /// The end. Init answers: words errno (0 if all was made) and length of a path, then the path of the entry that failed.
    FILES_END: u32 = 0;
    /// A folder; one that is there is left as it is.
    FILES_FOLDER: u32 = 1;
    /// A file, which takes the place of one that is there. Pieces follow: a word of length and so many bytes, at last one without bytes.
    FILES_FILE: u32 = 2;
    /// A symbolic link: the length of the target, which follows.
    FILES_SYMLINK: u32 = 3;
    /// Another name of a file that was made before: the length of that one's path, which follows.
    FILES_LINK: u32 = 4;
    /// A device node or pipe: its major and minor number.
    FILES_NODE: u32 = 5;
    /// The time of a folder that has been filled.
    FILES_TIME: u32 = 6;
    /// In place of nanoseconds: the time is that of making it.
    FILES_NO_TIME: u32 = 0xffff_ffff;
    /// Bytes of memory that must be left for programs when the files have been made.
    FILES_RESERVE: u32 = 12 << 20;
    /// Bytes of memory that a machine has not to spare before, for the kernel and the base root file system.
    FILES_KERNEL: u32 = 13 << 20;
    /// The kernel describes each page of memory: a byte for so many.
    FILES_PAGE_SHARE: u32 = 100;
    /// Bytes of memory that a file, folder or link takes beside its content's pages.
    FILES_INODE_COST: u32 = 1024;
    /// Bytes of memory for each of which tmpfs may have an inode.
    FILES_INODE_SHARE: u32 = 8192;
}

constants! { NETWORK:
    /// The guest's IPv4 address, as the others. In IPv6 everybody has fd00:: followed by the same last number, digit for digit.
    NET_GUEST: u32 = 0x0a00_020f;
    /// The gateway, which stands for the host.
    NET_GATEWAY: u32 = 0x0a00_0202;
    /// The name server.
    NET_DNS: u32 = 0x0a00_0203;
    /// Bits of the IPv4 network.
    NET_PREFIX: u32 = 24;
    /// Bits of the IPv6 network.
    NET_PREFIX6: u32 = 64;
}

/// The header `control.h` of `/init`.
pub fn control_header() -> String {
    let tables = [
        NETWORK,
        STREAMS,
        crate::machine::TERMINALS,
        TO_INIT,
        RUN_FLAGS,
        FROM_INIT,
        FAILED_STEPS,
        TASK_MESSAGES,
        TASK_LIMITS,
        FILES,
    ];
    header("WASMLINUX_CONTROL_H", "CONTROL_", &tables, "")
}
