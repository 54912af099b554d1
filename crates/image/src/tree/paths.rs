//! The entries, one after the other, and what the guest will have by then.

use std::collections::BTreeMap;

use super::{Content, Device, Entry, Error, PATH_MAX, Time, mode};
use crate::cpio;

/// A tree that is being collected.
///
/// Guest paths are absolute, as bytes. Directories on the way to an entry are made as needed (mode
/// 0755) if the guest will not have them yet; one that it has keeps its mode.
#[derive(Debug, Default)]
pub struct Tree {
    entries: Vec<Entry>,
    /// Type bits of everything the guest will have when this tree has been made, by path without
    /// the first slash.
    guest: BTreeMap<Vec<u8>, u32>,
}

impl Tree {
    /// A tree for an empty root.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree to be made over what the archive `base` holds.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is none.
    pub fn on_top_of(base: &[u8]) -> Result<Self, Error> {
        let mut tree = Self::new();
        for entry in cpio::entries(base) {
            let entry = entry?;
            tree.guest.insert(entry.name.to_vec(), entry.mode & mode::TYPE);
        }
        Ok(tree)
    }

    /// What has been collected, in the order in which it is to be made.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A directory with these permissions; also sets those of one that exists.
    pub fn dir(&mut self, path: impl AsRef<[u8]>, permissions: u32) -> Result<(), Error> {
        let path = clean(path.as_ref())?;
        if path.is_empty() {
            return Ok(());
        }
        self.parents(&path)?;
        self.entry(&path, mode::DIR | permissions & 0o7777, None, Content::Nothing)
    }

    /// A file.
    pub fn file(&mut self, path: impl AsRef<[u8]>, permissions: u32, content: &[u8]) -> Result<(), Error> {
        self.file_at(path.as_ref(), permissions, None, Content::Bytes(content.to_vec()))
    }

    /// A symbolic link at `path`.
    pub fn symlink(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<(), Error> {
        self.symlink_at(path.as_ref(), None, target.as_ref())
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
        self.node_at(path.as_ref(), kind | permissions & 0o7777, None, (major, minor))
    }

    pub(super) fn file_at(
        &mut self,
        path: &[u8],
        permissions: u32,
        time: Option<Time>,
        content: Content,
    ) -> Result<(), Error> {
        let path = self.place(path)?;
        self.entry(&path, mode::FILE | permissions & 0o7777, time, content)
    }

    pub(super) fn symlink_at(&mut self, path: &[u8], time: Option<Time>, target: &[u8]) -> Result<(), Error> {
        if target.len() >= PATH_MAX {
            return Err(Error::PathTooLong(text(target)));
        }
        let path = self.place(path)?;
        self.entry(&path, mode::LINK | 0o777, time, Content::Target(target.to_vec()))
    }

    pub(super) fn node_at(
        &mut self,
        path: &[u8],
        mode: u32,
        time: Option<Time>,
        (major, minor): (u32, u32),
    ) -> Result<(), Error> {
        let path = self.place(path)?;
        self.entry(&path, mode, time, Content::Device(major, minor))
    }

    /// Another name of something that this tree has.
    pub(super) fn same_at(&mut self, path: &[u8], first: &[u8]) -> Result<(), Error> {
        let (path, first) = (self.place(path)?, clean(first)?);
        let kind = self.guest.get(&first).copied().unwrap_or(mode::FILE);
        self.entry(&path, kind, None, Content::Same(first))
    }

    /// A directory that something goes into: left alone if the guest has it, or a link to one. True
    /// if it is new.
    pub(super) fn dir_at(&mut self, path: &[u8], permissions: u32) -> Result<bool, Error> {
        let path = clean(path)?;
        match self.guest.get(&path) {
            _ if path.is_empty() => Ok(false),
            Some(&mode::DIR | &mode::LINK) => Ok(false),
            Some(_) => Err(Error::NotDirectory(text(&path))),
            None => {
                self.parents(&path)?;
                self.entry(&path, mode::DIR | permissions & 0o7777, None, Content::Nothing)?;
                Ok(true)
            }
        }
    }

    /// A directory of this tree has all that goes into it.
    pub(super) fn filled_at(&mut self, path: &[u8], time: Time) -> Result<(), Error> {
        let path = clean(path)?;
        self.entry(&path, mode::DIR, Some(time), Content::Filled)
    }

    pub(super) fn is_guest_dir(&self, path: &[u8]) -> bool {
        clean(path).is_ok_and(|path| path.is_empty() || self.guest.get(&path) == Some(&mode::DIR))
    }

    /// Checks the path of something that is no directory and makes the directories before it.
    fn place(&mut self, path: &[u8]) -> Result<Vec<u8>, Error> {
        let cleaned = clean(path)?;
        if cleaned.is_empty() {
            return Err(Error::BadPath(text(path)));
        }
        if self.guest.get(&cleaned) == Some(&mode::DIR) {
            return Err(Error::IsDirectory(text(path)));
        }
        self.parents(&cleaned)?;
        Ok(cleaned)
    }

    fn parents(&mut self, path: &[u8]) -> Result<(), Error> {
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let parent = &path[..end];
            match self.guest.get(parent) {
                Some(&mode::DIR | &mode::LINK) => {}
                Some(_) => return Err(Error::NotDirectory(text(parent))),
                None => self.entry(parent, mode::DIR | 0o755, None, Content::Nothing)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &[u8], mode: u32, time: Option<Time>, content: Content) -> Result<(), Error> {
        if path.len() >= PATH_MAX {
            return Err(Error::PathTooLong(text(path)));
        }
        self.guest.insert(path.to_vec(), mode & mode::TYPE);
        self.entries.push(Entry { path: path.to_vec(), mode, time, content });
        Ok(())
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
