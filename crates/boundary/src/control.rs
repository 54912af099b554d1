//! The control protocol: how the library tells `/init` what to run, and how it learns what became
//! of it. `docs/control.md` describes it; [`crate::Message`] and `/init`'s `message.c` write and
//! read it.
//!
//! A message is a header of three little-endian words (length of the payload in bytes, type, id)
//! and a payload of fields. A field is two words (tag, length of the value in bytes) and the value,
//! without padding. A *word* is 32 bits; a *text* ends with a zero, the only one in it; a *list* is
//! texts one after the other.
//!
//! # Adding a field
//! It gets the next free number (the constants `FIELD_*`) for good, whichever messages have it. If
//! a receiver that does not know it would do the wrong thing by leaving it out, it has the bit
//! [`FIELD_REQUIRED`], and such a receiver refuses the message; else it is skipped. So old and new
//! work together, and [`VERSION`] stays. For example, what containers want next:
//! - capabilities: `CAPABILITIES: FIELD_REQUIRED | 28`, words low and high of each set that the
//!   command keeps, applied in `child()` of `/init`'s `spawn.c` before the user's number is set;
//! - a mount: `MOUNT: FIELD_REQUIRED | 29`, a word of flags, then a list (source, target, type,
//!   options), as often as there are mounts, in the same place; what fails is a [`FAILED`] with a
//!   step of its own.
use crate::table::{constants, header};

constants! { CHANNEL:
    /// The stream (see docs/machine.md) that carries the control channel.
    STREAM_CONTROL: u32 = 0;
    /// The stream that carries files for the root file system at boot, before the control channel
    /// is served.
    STREAM_FILES: u32 = 1;
    /// The first stream that commands, host tasks and files may use.
    STREAM_FIRST: u32 = 2;
    /// Bytes of a message's header.
    HEADER_SIZE: u32 = 12;
    /// Bytes of a field's header.
    FIELD_HEADER: u32 = 8;
    /// The longest payload, in bytes.
    PAYLOAD_MAX: u32 = 16 << 20;
    /// The newest version of the protocol that this side speaks.
    VERSION: u32 = 1;
    /// The oldest one.
    VERSION_OLDEST: u32 = 1;
}

constants! { TO_INIT:
    /// The first message in both directions, id 0: VERSIONS. Nobody waits for the other's before it
    /// sends more. Its form is that of every version.
    HELLO: u32 = 1;
    /// Make a command, under a new id: ARGUMENTS, and of ENVIRONMENT, DIRECTORY, STREAM, OPEN,
    /// TERMINAL, USER, GROUPS, LIMIT, POWEROFF, START what is wanted. Answer: STARTED if it has
    /// START, else CREATED; or FAILED.
    CREATE: u32 = 2;
    /// Execute a command that was created: no fields. Answer: STARTED or FAILED.
    START: u32 = 3;
    /// Send a signal to the command: SIGNAL, perhaps WHOLE_GROUP. No answer: it may just have
    /// ended.
    SIGNAL: u32 = 4;
    /// The command's terminal has another size: SIZE. No answer.
    RESIZE: u32 = 5;
    /// Start a host task under a new id: CHANNEL. It becomes a process that serves system calls on
    /// that stream. Answer: STARTED or FAILED.
    TASK: u32 = 6;
    /// Take files under a new id: CHANNEL. A process of its own makes what comes on that stream.
    /// Answer: STARTED or FAILED.
    FILES_IN: u32 = 7;
    /// Give files under a new id: CHANNEL, PATH, perhaps FOLLOW. A process of its own sends them on
    /// that stream. Answer: STARTED or FAILED.
    FILES_OUT: u32 = 8;
    /// Switch the machine off: no fields.
    SHUTDOWN: u32 = 9;
}

constants! { FROM_INIT:
    /// The command waits for START: PID.
    CREATED: u32 = 17;
    /// The command, host task or process for files runs: PID.
    STARTED: u32 = 18;
    /// What was asked for under this id cannot be: ERRNO, STEP, perhaps TEXT. With id 0: init
    /// itself cannot go on.
    FAILED: u32 = 19;
    /// It has ended: STATUS, perhaps OOM_KILLS.
    EXITED: u32 = 20;
}

constants! { TASK_MESSAGES:
    /// Host task to host, first: BUFFER.
    TASK_HELLO: u32 = 32;
    /// Host to host task: CALL, BACK, DATA (bytes to put at the start of the buffer).
    TASK_CALL: u32 = 33;
    /// Host task to host: RESULT, DATA (the bytes asked for by BACK).
    TASK_RESULT: u32 = 34;
}

constants! { FILES_MESSAGES:
    /// A directory; one that is there is left as it is: NAME, MODE, perhaps TIME.
    FILE_DIRECTORY: u32 = 48;
    /// A file, which takes the place of one that is there: NAME, MODE, perhaps TIME. FILE_CONTENT
    /// follows, at last one without bytes.
    FILE_REGULAR: u32 = 49;
    /// A symbolic link, as a file: NAME, TARGET, perhaps TIME.
    FILE_SYMLINK: u32 = 50;
    /// Another name of a file that was made before: NAME, TARGET (that one's NAME).
    FILE_LINK: u32 = 51;
    /// A device node or pipe: NAME, MODE, DEVICE, perhaps TIME.
    FILE_NODE: u32 = 52;
    /// A directory has been filled: NAME, TIME.
    FILE_FILLED: u32 = 53;
    /// Bytes of the file: DATA, of FILES_PIECE bytes at most.
    FILE_CONTENT: u32 = 54;
    /// The end. Files in are answered by FILES_MADE or FAILED on the same stream; FAILED is an end
    /// as well.
    FILES_END: u32 = 55;
    /// All was made.
    FILES_MADE: u32 = 56;
}

constants! { FIELDS:
    /// A receiver that does not know a field with this bit in its tag refuses the message (FAILED,
    /// EPROTONOSUPPORT); others are skipped.
    FIELD_REQUIRED: u32 = 0x8000;
    /// Words: the newest and the oldest version spoken.
    FIELD_VERSIONS: u32 = 1;
    /// Word: Linux's number of an error.
    FIELD_ERRNO: u32 = 2;
    /// Word: what was being done, STEP_*.
    FIELD_STEP: u32 = 3;
    /// Text: what it was done with, a path or a name.
    FIELD_TEXT: u32 = 4;
    /// Word: process id.
    FIELD_PID: u32 = 5;
    /// Word: status, as wait4() gives it.
    FIELD_STATUS: u32 = 6;
    /// List: the command and its arguments. The first is looked up in the environment's PATH if it
    /// has no slash.
    FIELD_ARGUMENTS: u32 = FIELD_REQUIRED | 7;
    /// List: variables, NAME=VALUE.
    FIELD_ENVIRONMENT: u32 = FIELD_REQUIRED | 8;
    /// Text: working directory, made if absent.
    FIELD_DIRECTORY: u32 = FIELD_REQUIRED | 9;
    /// Words: descriptor of the command (0 to 2), stream that it leads to.
    FIELD_STREAM: u32 = FIELD_REQUIRED | 10;
    /// Word: descriptor of the command (0 to 2); then a text: the path that is opened, for reading
    /// as 0, else for writing (created if absent, not truncated). For example /dev/null, or
    /// /proc/PID/fd/N of a host task.
    FIELD_OPEN: u32 = FIELD_REQUIRED | 11;
    /// Words: stream, rows, columns of the controlling terminal, to which all three descriptors
    /// lead.
    FIELD_TERMINAL: u32 = FIELD_REQUIRED | 12;
    /// Text: NAME or NUMBER, then perhaps a colon and a group's NAME or NUMBER, as the guest's
    /// /etc/passwd and /etc/group have them.
    FIELD_USER: u32 = FIELD_REQUIRED | 13;
    /// List: names or numbers of more groups.
    FIELD_GROUPS: u32 = FIELD_REQUIRED | 14;
    /// Words: number of a resource (RLIMIT_*), then low and high word of the soft limit, low and
    /// high word of the hard limit; all ones is none. As often as there are limits.
    FIELD_LIMIT: u32 = FIELD_REQUIRED | 15;
    /// Nothing: switch the machine off when the command has ended, or cannot be started.
    FIELD_POWEROFF: u32 = FIELD_REQUIRED | 16;
    /// Nothing: execute it at once.
    FIELD_START: u32 = FIELD_REQUIRED | 17;
    /// Word: Linux's number of a signal.
    FIELD_SIGNAL: u32 = FIELD_REQUIRED | 18;
    /// Nothing: to the process group.
    FIELD_WHOLE_GROUP: u32 = FIELD_REQUIRED | 19;
    /// Words: rows, columns.
    FIELD_SIZE: u32 = FIELD_REQUIRED | 20;
    /// Word: the stream on which the rest is told.
    FIELD_CHANNEL: u32 = FIELD_REQUIRED | 21;
    /// Text: a path.
    FIELD_PATH: u32 = FIELD_REQUIRED | 22;
    /// Nothing: what the path leads to, if it is a symbolic link.
    FIELD_FOLLOW: u32 = FIELD_REQUIRED | 26;
    /// Bytes.
    FIELD_DATA: u32 = FIELD_REQUIRED | 23;
    /// Words: number of the system call, six arguments.
    FIELD_CALL: u32 = FIELD_REQUIRED | 24;
    /// Words: offset and length of what to send back of the buffer.
    FIELD_BACK: u32 = FIELD_REQUIRED | 25;
    /// Word: processes that the kernel has killed for want of memory since this one was created,
    /// whichever they were; left out if there was none.
    FIELD_OOM_KILLS: u32 = 27;
    /// Words: address and size of a host task's buffer.
    FIELD_BUFFER: u32 = 40;
    /// Word: result of a system call, a negative errno if it failed.
    FIELD_RESULT: u32 = 41;
    /// Text: a file's path, absolute, without `.` and `..`.
    FIELD_NAME: u32 = FIELD_REQUIRED | 48;
    /// Word: permissions, with the type's bits.
    FIELD_MODE: u32 = FIELD_REQUIRED | 49;
    /// Words: seconds since 1970 (low, high) and nanoseconds.
    FIELD_TIME: u32 = 50;
    /// Text: where a link leads.
    FIELD_TARGET: u32 = FIELD_REQUIRED | 51;
    /// Words: major and minor number.
    FIELD_DEVICE: u32 = FIELD_REQUIRED | 52;
    /// Words: user and group to whom it belongs; root if it is left out.
    FIELD_OWNER: u32 = FIELD_REQUIRED | 53;
}

constants! { STEPS:
    /// The message was not understood.
    STEP_MESSAGE: u32 = 1;
    /// The versions of the two sides.
    STEP_VERSION: u32 = 2;
    /// Making a process.
    STEP_PROCESS: u32 = 3;
    /// A standard stream; the text is its path, if it has one.
    STEP_STREAM: u32 = 4;
    /// The terminal.
    STEP_TERMINAL: u32 = 5;
    /// The working directory.
    STEP_DIRECTORY: u32 = 6;
    /// The user; the text is the part that is not known.
    STEP_USER: u32 = 7;
    /// A group.
    STEP_GROUP: u32 = 8;
    /// A limit.
    STEP_LIMIT: u32 = 9;
    /// Finding and executing the program.
    STEP_EXECUTE: u32 = 10;
    /// Making a file or reading it; the text is its path.
    STEP_FILE: u32 = 11;
}

constants! { TASK_LIMITS:
    /// Bytes of a host task's buffer.
    TASK_BUFFER: u32 = 1 << 20;
}

constants! { FILES:
    /// The most bytes of one FILE_CONTENT.
    FILES_PIECE: u32 = 64 << 10;
    /// The longest payload on a stream of files, in bytes.
    FILES_PAYLOAD: u32 = 80 << 10;
    /// The longest path there, in bytes, with its zero.
    FILES_PATH: u32 = 4096;
    /// Bytes of memory that must be left for programs when the files have been made.
    FILES_RESERVE: u32 = 12 << 20;
    /// Bytes of memory that a machine has not to spare before, for the kernel and the base root
    /// file system.
    FILES_KERNEL: u32 = 13 << 20;
    /// The kernel describes each page of memory: a byte for so many.
    FILES_PAGE_SHARE: u32 = 100;
    /// Bytes of memory that a file, directory or link takes beside its content's pages.
    FILES_INODE_COST: u32 = 1024;
    /// Bytes of memory for each of which tmpfs may have an inode.
    FILES_INODE_SHARE: u32 = 8192;
}

constants! { NETWORK:
    /// The guest's IPv4 address, as the others. In IPv6 everybody has fd00:: followed by the same
    /// last number, digit for digit.
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
        CHANNEL,
        crate::machine::TERMINALS,
        TO_INIT,
        FROM_INIT,
        TASK_MESSAGES,
        FILES_MESSAGES,
        FIELDS,
        STEPS,
        TASK_LIMITS,
        FILES,
    ];
    header("WASMLINUX_CONTROL_H", "CONTROL_", &tables, "")
}
