//! What the machine boots, as files and bytes: nothing here runs anything.
//!
//! - [`tree`] collects files for the guest's root file system, those of the host among them;
//! - [`cpio`] writes and reads archives of the kind that the kernel unpacks into its root file
//!   system;
//! - [`rootfs`] makes the base archive out of a manifest;
//! - [`bundle`] is the one file that holds a compiled kernel, compiled programs and that archive.
//!
//! ```
//! use wasmlinux_image::{cpio, tree::Tree};
//!
//! let mut tree = Tree::new();
//! tree.file("/etc/motd", 0o644, b"hello")?;
//! let archive = cpio::write(&tree)?;
//!
//! let names: Vec<_> = cpio::entries(&archive).map(|entry| entry.map(|entry| entry.name)).collect::<Result<_, _>>()?;
//! assert!(names.contains(&&b"etc/motd"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod bundle;
pub mod cpio;
pub mod rootfs;
pub mod tree;
