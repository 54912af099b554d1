//! Limits of a command's resources.

/// A resource that can be limited, with Linux's number (`asm-generic/resource.h`). The names that
/// `--ulimit` takes, as docker's, are these in small letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Resource {
    /// Seconds of processor time.
    Cpu = 0,
    /// Bytes of a file that is written.
    Fsize = 1,
    /// Bytes of data and heap.
    Data = 2,
    /// Bytes of stack.
    Stack = 3,
    /// Bytes of a core dump.
    Core = 4,
    /// Bytes of resident memory; Linux ignores it.
    Rss = 5,
    /// Processes and threads of the user.
    Nproc = 6,
    /// Open files.
    Nofile = 7,
    /// Bytes of locked memory.
    Memlock = 8,
    /// Bytes of addresses.
    As = 9,
    /// File locks; Linux ignores it.
    Locks = 10,
    /// Signals that wait for the user's processes.
    Sigpending = 11,
    /// Bytes of message queues of the user.
    Msgqueue = 12,
    /// 20 less the lowest nice value.
    Nice = 13,
    /// The highest real-time priority.
    Rtprio = 14,
    /// Microseconds of real-time processing without a pause.
    Rttime = 15,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 16] = [
        Resource::Cpu,
        Resource::Fsize,
        Resource::Data,
        Resource::Stack,
        Resource::Core,
        Resource::Rss,
        Resource::Nproc,
        Resource::Nofile,
        Resource::Memlock,
        Resource::As,
        Resource::Locks,
        Resource::Sigpending,
        Resource::Msgqueue,
        Resource::Nice,
        Resource::Rtprio,
        Resource::Rttime,
    ];

    /// Its name in small letters, such as `nofile`.
    pub fn name(self) -> String {
        format!("{self:?}").to_ascii_lowercase()
    }
}
