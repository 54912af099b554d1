//! Files and directories of the host, to be copied.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::paths::text;
use super::{Content, Error, Time, Tree, mode};

/// The device number of /dev/null.
const NULL: u64 = 1 << 8 | 3;

/// Where things of the host with more than one name have been put, by device and inode.
type Links = HashMap<(u64, u64), Vec<u8>>;

impl Tree {
    /// Adds the file or directory `host` as `guest`. A directory is merged into one that the guest
    /// has; a file takes the place of a file. A file goes into `guest` under its own name if
    /// `guest` is a directory there or ends in a slash.
    ///
    /// Permissions and times are kept, also links of both kinds as they are, except that `host`
    /// itself is followed. `host` may be a pipe without a name, as shells make them, or a block
    /// device, which are read to their end, or `/dev/null`, which is an empty file; inside
    /// directories pipes and devices are copied as nodes, and sockets left out. Files are read when
    /// the tree is made.
    ///
    /// # Errors
    /// [`Error::Host`] names what could not be looked at, [`Error::Endless`] what has no content of
    /// its own; the tree is then incomplete and of no use.
    pub fn add_host(&mut self, host: impl AsRef<Path>, guest: impl AsRef<[u8]>) -> Result<(), Error> {
        let (host, guest) = (host.as_ref(), guest.as_ref());
        let metadata = fs::metadata(host).map_err(|source| failed(host, source))?;
        if metadata.is_dir() {
            return self.add_dir(host, guest, &metadata, &mut Links::new());
        }
        if let Some(what) = endless(host, &metadata) {
            return Err(Error::Endless { path: host.to_owned(), what });
        }
        let mut guest = guest.to_vec();
        if guest.ends_with(b"/") || self.is_guest_dir(&guest) {
            let name = host.file_name().ok_or_else(|| Error::BadPath(text(&guest)))?;
            guest.push(b'/');
            guest.extend_from_slice(name.as_bytes());
        }
        self.add_file(host, &guest, &metadata)
    }

    fn add_dir(&mut self, host: &Path, guest: &[u8], metadata: &Metadata, links: &mut Links) -> Result<(), Error> {
        let new = self.dir_at(guest, metadata.mode())?;
        let list =
            fs::read_dir(host).and_then(|list| list.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>());
        let mut names = list.map_err(|source| failed(host, source))?;
        names.sort();
        for name in names {
            let mut inner = guest.to_vec();
            inner.push(b'/');
            inner.extend_from_slice(name.as_bytes());
            self.add_inner(&host.join(&name), &inner, links)?;
        }
        if new { self.filled_at(guest, time(metadata)) } else { Ok(()) }
    }

    fn add_inner(&mut self, host: &Path, guest: &[u8], links: &mut Links) -> Result<(), Error> {
        let metadata = fs::symlink_metadata(host).map_err(|source| failed(host, source))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.add_dir(host, guest, &metadata, links);
        }
        if metadata.nlink() > 1 {
            let file = (metadata.dev(), metadata.ino());
            if let Some(first) = links.get(&file) {
                return self.same_at(guest, first);
            }
            links.insert(file, guest.to_vec());
        }
        if kind.is_symlink() {
            let target = fs::read_link(host).map_err(|source| failed(host, source))?;
            self.symlink_at(guest, Some(time(&metadata)), target.as_os_str().as_bytes())
        } else if kind.is_file() {
            self.add_file(host, guest, &metadata)
        } else if kind.is_socket() {
            Ok(())
        } else {
            self.node_at(guest, metadata.mode(), Some(time(&metadata)), device(metadata.rdev()))
        }
    }

    fn add_file(&mut self, host: &Path, guest: &[u8], metadata: &Metadata) -> Result<(), Error> {
        // A pipe or device has the permissions of its node, which say nothing about the content.
        let permissions = if metadata.mode() & mode::TYPE == mode::FILE { metadata.mode() } else { 0o644 };
        self.file_at(guest, permissions, Some(time(metadata)), Content::Host(host.to_owned(), metadata.len()))
    }
}

/// What a file is that has no content with an end.
fn endless(host: &Path, metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_socket() {
        Some("a socket")
    } else if kind.is_fifo() {
        // A pipe between two programs has no name (/dev/fd/63 leads to `pipe:[7]`), but a writer.
        fs::canonicalize(host).is_ok().then_some("a named pipe, which may have no writer")
    } else {
        (kind.is_char_device() && metadata.rdev() != NULL).then_some("a device, whose content may have no end")
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Host { path: path.to_owned(), source }
}

fn time(metadata: &Metadata) -> Time {
    Time { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 }
}

/// Major and minor number in the C library's encoding of `dev_t`.
fn device(rdev: u64) -> (u32, u32) {
    let major = (rdev >> 8) & 0xfff | (rdev >> 32) & 0xffff_f000;
    let minor = rdev & 0xff | (rdev >> 12) & 0xffff_ff00;
    (major as u32, minor as u32)
}
