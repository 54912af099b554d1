//! Writing: the entries, one after the other, and what the guest will have by then.

use std::collections::BTreeMap;

use super::{Error, PATH_MAX, entries, mode};

/// The kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// Character device.
    Char,
    /// Block device.
    Block,
}

/// An archive that is being written.
///
/// Guest paths are absolute, as bytes. Folders on the way to an entry are made as needed (mode 0755) if the guest will not have
/// them yet; one that it has keeps its mode.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    inode: u32,
    /// Type bits of everything the guest will have when this archive has been unpacked, by path without the first slash.
    guest: BTreeMap<Vec<u8>, u32>,
}

impl Writer {
    /// An archive for an empty root.
    pub fn new() -> Self {
        Self::default()
    }

    /// An archive to be unpacked over what `base` holds.
    pub fn on_top_of(base: &[u8]) -> Result<Self, Error> {
        let mut writer = Self::new();
        for entry in entries(base) {
            let entry = entry?;
            writer.guest.insert(entry.name.to_vec(), entry.mode & mode::TYPE);
        }
        Ok(writer)
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A folder with these permissions; also sets those of one that exists.
    pub fn dir(&mut self, path: impl AsRef<[u8]>, permissions: u32) -> Result<(), Error> {
        let path = clean(path.as_ref())?;
        if path.is_empty() {
            return Ok(());
        }
        self.parents(&path)?;
        self.entry(&path, mode::DIR | permissions & 0o7777, 0, &[], (0, 0))
    }

    /// A file.
    pub fn file(&mut self, path: impl AsRef<[u8]>, permissions: u32, content: &[u8]) -> Result<(), Error> {
        self.file_at(path.as_ref(), permissions, 0, content)
    }

    /// A symbolic link at `path`.
    pub fn symlink(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<(), Error> {
        self.symlink_at(path.as_ref(), 0, target.as_ref())
    }

    /// A device node.
    pub fn device(
        &mut self,
        path: impl AsRef<[u8]>,
        permissions: u32,
        device: Device,
        major: u32,
        minor: u32,
    ) -> Result<(), Error> {
        let kind = match device {
            Device::Char => mode::CHAR,
            Device::Block => mode::BLOCK,
        };
        self.node_at(path.as_ref(), kind | permissions & 0o7777, 0, (major, minor))
    }

    /// The archive, ended and padded so that another one may follow.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.raw(b"TRAILER!!!", 0, 0, &[], (0, 0));
        let length = self.bytes.len().next_multiple_of(512);
        self.bytes.resize(length, 0);
        self.bytes
    }

    pub(super) fn file_at(&mut self, path: &[u8], permissions: u32, mtime: u32, content: &[u8]) -> Result<(), Error> {
        let path = self.place(path)?;
        self.entry(&path, mode::FILE | permissions & 0o7777, mtime, content, (0, 0))
    }

    pub(super) fn symlink_at(&mut self, path: &[u8], mtime: u32, target: &[u8]) -> Result<(), Error> {
        if target.len() >= PATH_MAX {
            return Err(Error::PathTooLong(text(target)));
        }
        let path = self.place(path)?;
        self.entry(&path, mode::LINK | 0o777, mtime, target, (0, 0))
    }

    pub(super) fn node_at(&mut self, path: &[u8], mode: u32, mtime: u32, device: (u32, u32)) -> Result<(), Error> {
        let path = self.place(path)?;
        self.entry(&path, mode, mtime, &[], device)
    }

    /// A folder that something goes into: left alone if the guest has it, or a link to one.
    pub(super) fn dir_at(&mut self, path: &[u8], permissions: u32, mtime: u32) -> Result<(), Error> {
        let path = clean(path)?;
        match self.guest.get(&path) {
            _ if path.is_empty() => Ok(()),
            Some(&mode::DIR | &mode::LINK) => Ok(()),
            Some(_) => Err(Error::NotFolder(text(&path))),
            None => {
                self.parents(&path)?;
                self.entry(&path, mode::DIR | permissions & 0o7777, mtime, &[], (0, 0))
            }
        }
    }

    pub(super) fn is_guest_dir(&self, path: &[u8]) -> bool {
        clean(path).is_ok_and(|path| path.is_empty() || self.guest.get(&path) == Some(&mode::DIR))
    }

    /// Checks the path of something that is no folder and makes the folders before it.
    fn place(&mut self, path: &[u8]) -> Result<Vec<u8>, Error> {
        let cleaned = clean(path)?;
        if cleaned.is_empty() {
            return Err(Error::BadPath(text(path)));
        }
        // The kernel would only remove it if it were empty, and otherwise skip the file silently.
        if self.guest.get(&cleaned) == Some(&mode::DIR) {
            return Err(Error::IsFolder(text(path)));
        }
        self.parents(&cleaned)?;
        Ok(cleaned)
    }

    fn parents(&mut self, path: &[u8]) -> Result<(), Error> {
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let parent = &path[..end];
            match self.guest.get(parent) {
                Some(&mode::DIR | &mode::LINK) => {}
                Some(_) => return Err(Error::NotFolder(text(parent))),
                None => self.entry(parent, mode::DIR | 0o755, 0, &[], (0, 0))?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &[u8], mode: u32, mtime: u32, content: &[u8], device: (u32, u32)) -> Result<(), Error> {
        if path.len() >= PATH_MAX {
            return Err(Error::PathTooLong(text(path)));
        }
        if u32::try_from(content.len()).is_err() {
            return Err(Error::TooLarge(text(path)));
        }
        self.inode += 1;
        self.raw(path, mode, mtime, content, device);
        self.guest.insert(path.to_vec(), mode & mode::TYPE);
        Ok(())
    }

    /// Header, name, content; sizes have been checked.
    fn raw(&mut self, path: &[u8], mode: u32, mtime: u32, content: &[u8], (major, minor): (u32, u32)) {
        let links = if mode & mode::TYPE == mode::DIR { 2 } else { 1 };
        let fields = [
            self.inode,
            mode,
            0, // owner
            0, // group
            links,
            mtime,
            content.len() as u32,
            0, // device of the file: with the inode it identifies hard links, of which there are none
            0,
            major,
            minor,
            path.len() as u32 + 1,
            0, // checksum, of the other format
        ];
        self.bytes.reserve(128 + path.len() + content.len());
        self.bytes.extend_from_slice(super::read::MAGIC);
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path);
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

/// An absolute guest path without its first slash, repeated slashes and `.`.
fn clean(path: &[u8]) -> Result<Vec<u8>, Error> {
    let bad = || Error::BadPath(text(path));
    if path.first() != Some(&b'/') || path.contains(&0) {
        return Err(bad());
    }
    let mut cleaned = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(bad()),
            _ if cleaned.is_empty() => {}
            _ => cleaned.push(b'/'),
        }
        cleaned.extend_from_slice(part);
    }
    // The reader of an archive takes this name for its end.
    if cleaned == b"TRAILER!!!" {
        return Err(bad());
    }
    Ok(cleaned)
}

pub(super) fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
