//! Files and folders of the host, copied into an archive.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::write::text;
use super::{Error, Writer, mode};

impl Writer {
    /// Adds the file or folder `host` as `guest`. A folder is merged into one that the guest has; a file takes the place of a
    /// file. A file goes into `guest` under its own name if `guest` is a folder there or ends in a slash.
    ///
    /// Permissions and times are kept, also links as they are, except that `host` itself is followed. `host` may
    /// be a pipe or a device, which is read to its end; inside folders these are copied as nodes, and sockets left out.
    ///
    /// # Errors
    /// [`Error::Host`] names what could not be read; the archive is then incomplete and of no use.
    pub fn add_host(&mut self, host: impl AsRef<Path>, guest: impl AsRef<[u8]>) -> Result<(), Error> {
        let (host, guest) = (host.as_ref(), guest.as_ref());
        let metadata = fs::metadata(host).map_err(|source| failed(host, source))?;
        if metadata.is_dir() {
            return self.add_dir(host, guest, &metadata);
        }
        let mut guest = guest.to_vec();
        if guest.ends_with(b"/") || self.is_guest_dir(&guest) {
            let name = host.file_name().ok_or_else(|| Error::BadPath(text(&guest)))?;
            guest.push(b'/');
            guest.extend_from_slice(name.as_bytes());
        }
        self.add_file(host, &guest, &metadata)
    }

    fn add_dir(&mut self, host: &Path, guest: &[u8], metadata: &Metadata) -> Result<(), Error> {
        self.dir_at(guest, metadata.mode(), mtime(metadata))?;
        let list =
            fs::read_dir(host).and_then(|list| list.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>());
        let mut names = list.map_err(|source| failed(host, source))?;
        names.sort();
        for name in names {
            let mut inner = guest.to_vec();
            inner.push(b'/');
            inner.extend_from_slice(name.as_bytes());
            self.add_inner(&host.join(&name), &inner)?;
        }
        Ok(())
    }

    fn add_inner(&mut self, host: &Path, guest: &[u8]) -> Result<(), Error> {
        let metadata = fs::symlink_metadata(host).map_err(|source| failed(host, source))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.add_dir(host, guest, &metadata)
        } else if kind.is_symlink() {
            let target = fs::read_link(host).map_err(|source| failed(host, source))?;
            self.symlink_at(guest, mtime(&metadata), target.as_os_str().as_bytes())
        } else if kind.is_file() {
            self.add_file(host, guest, &metadata)
        } else if kind.is_socket() {
            Ok(())
        } else {
            self.node_at(guest, metadata.mode(), mtime(&metadata), device(metadata.rdev()))
        }
    }

    fn add_file(&mut self, host: &Path, guest: &[u8], metadata: &Metadata) -> Result<(), Error> {
        let too_large = || Error::TooLarge(host.display().to_string());
        if metadata.len() > u64::from(u32::MAX) {
            return Err(too_large());
        }
        let mut content = Vec::with_capacity(metadata.len() as usize);
        // A device or a growing file may give more than was promised.
        File::open(host)
            .and_then(|file| file.take(u64::from(u32::MAX) + 1).read_to_end(&mut content))
            .map_err(|source| failed(host, source))?;
        if content.len() > u32::MAX as usize {
            return Err(too_large());
        }
        // A pipe or device has the permissions of its node, which say nothing about the content.
        let permissions = if metadata.mode() & mode::TYPE == mode::FILE { metadata.mode() } else { 0o644 };
        self.file_at(guest, permissions, mtime(metadata), &content)
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Host { path: path.to_owned(), source }
}

fn mtime(metadata: &Metadata) -> u32 {
    metadata.mtime().clamp(0, i64::from(u32::MAX)) as u32
}

/// Major and minor number in the C library's encoding of `dev_t`.
fn device(rdev: u64) -> (u32, u32) {
    let major = (rdev >> 8) & 0xfff | (rdev >> 32) & 0xffff_f000;
    let minor = rdev & 0xff | (rdev >> 12) & 0xffff_ff00;
    (major as u32, minor as u32)
}
