//! A tree of files for the guest: what is put into its root file system, in the order in which it
//! is to be made.
//!
//! [`Tree`] collects it, from the host's files among others, and knows what the guest will have by
//! then; who makes the files is another matter: the kernel unpacks an archive
//! ([`crate::cpio::write`]), `/init` takes what the library sends.

mod host;
mod paths;

pub use paths::Tree;

use std::path::PathBuf;

/// The type bits of a mode, and the types that occur.
pub mod mode {
    /// Mask of the type bits.
    pub const TYPE: u32 = 0o170000;
    /// A named pipe.
    pub const FIFO: u32 = 0o010000;
    /// A character device.
    pub const CHAR: u32 = 0o020000;
    /// A directory.
    pub const DIR: u32 = 0o040000;
    /// A block device.
    pub const BLOCK: u32 = 0o060000;
    /// A regular file.
    pub const FILE: u32 = 0o100000;
    /// A symbolic link.
    pub const LINK: u32 = 0o120000;
    /// A socket.
    pub const SOCKET: u32 = 0o140000;
}

/// Longest path and longest target of a link, the final zero included.
pub const PATH_MAX: usize = 4096;

/// The kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// Character device.
    Char,
    /// Block device.
    Block,
}

/// When something was changed, after 1970 or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that, less than a thousand million.
    pub nanoseconds: u32,
}

/// One step of making a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path without a first slash.
    pub path: Vec<u8>,
    /// Type and permissions.
    pub mode: u32,
    /// When it was changed; None for whenever it is made.
    pub time: Option<Time>,
    /// What is in it.
    pub content: Content,
}

/// What an entry has beside its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: a directory, a pipe.
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Those of a file of the host, which had this many when it was looked at. It is read when the
    /// tree is made.
    Host(PathBuf, u64),
    /// The target of a symbolic link.
    Target(Vec<u8>),
    /// It is another name of this file, which was made before: a path without a first slash.
    Same(Vec<u8>),
    /// Major and minor number of a device.
    Device(u32, u32),
    /// It is a directory that was made before and has been filled: only its time is set.
    Filled,
}

/// Why a tree is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path in the guest is not absolute, has `..` or a zero byte in it, or names the root as a
    /// file.
    #[error("`{0}` is not a usable path in the guest: it must begin with / and hold no `..`")]
    BadPath(String),
    /// A path or the target of a link is longer than [`PATH_MAX`].
    #[error("`{0}` is longer than a path may be ({PATH_MAX} bytes)")]
    PathTooLong(String),
    /// A file is too large for an archive, which has 32 bits for sizes.
    #[error("`{0}` is too large: at most 4 GiB - 1 bytes fit into an archive")]
    TooLarge(String),
    /// A file would replace a directory of the guest.
    #[error("`{0}` is a directory in the guest: give the name of the file in it")]
    IsDirectory(String),
    /// A file of the guest would have to be a directory.
    #[error("`{0}` is a file in the guest, not a directory")]
    NotDirectory(String),
    /// A file or directory of the host cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Host {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something of the host is no file that could be copied.
    #[error("cannot copy {}: it is {what}; give a file with its content, as in <(head -c 1M FILE)", path.display())]
    Endless {
        /// The host's path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// What is read is no archive, or ends too early.
    #[error("not a cpio archive (newc), or damaged, at byte {0}")]
    Damaged(usize),
}
