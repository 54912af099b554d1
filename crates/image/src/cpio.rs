//! Archives in cpio's "newc" format, as the kernel unpacks them at boot
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! [`write()`] makes one of a [`Tree`](crate::tree::Tree); [`entries`] reads one back. Several
//! archives may follow each other: the kernel unpacks each over what the ones before have left. All
//! that is written belongs to root, and the same input gives the same bytes.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Entry, entries};
pub use write::write;
