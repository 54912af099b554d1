//! Archives in cpio's "newc" format, as the kernel unpacks them at boot
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! [`Writer`] makes one; [`entries`] reads one back. Several archives may follow each other: the kernel unpacks
//! each over what the ones before have left. All that is written belongs to root, and the same input gives
//! the same bytes.

mod host;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Entry, entries};
pub use write::{Device, Writer};

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

/// Longest path and longest target of a link, the final zero included: the kernel skips longer ones without a word.
pub const PATH_MAX: usize = 4096;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path in the guest is not absolute, has `..` or a zero byte in it, or names the root as a file.
    #[error("`{0}` is no usable path in the guest: it must begin with / and hold no `..`")]
    BadPath(String),
    /// A path or the target of a link is longer than [`PATH_MAX`].
    #[error("`{0}` is longer than a path may be ({PATH_MAX} bytes)")]
    PathTooLong(String),
    /// A file is too large for the format, which has 32 bits for sizes.
    #[error("`{0}` is too large: at most 4 GiB - 1 bytes fit into an archive")]
    TooLarge(String),
    /// A file would replace a folder of the guest.
    #[error("`{0}` is a folder in the guest: give the name of the file in it")]
    IsFolder(String),
    /// A file of the guest would have to be a folder.
    #[error("`{0}` is a file in the guest, not a folder")]
    NotFolder(String),
    /// A file or folder of the host cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Host {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// What is read is no archive, or ends too early.
    #[error("not a cpio archive (newc), or damaged, at byte {0}")]
    Damaged(usize),
}
