//! Writing: a tree as an archive.

use crate::tree::{Content, Entry, Error, Tree, mode};

/// The archive of a tree, ended and padded so that another one may follow. Of times it has seconds
/// from 1970 to 2106.
///
/// # Errors
/// [`Error::TooLarge`], and [`Error::Host`] for a file of the host that cannot be read.
pub fn write(tree: &Tree) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::default();
    for entry in tree.entries() {
        archive.entry(entry)?;
    }
    archive.inode = 0;
    archive.raw(b"TRAILER!!!", [0; 3], &[], (0, 0));
    let length = archive.bytes.len().next_multiple_of(512);
    archive.bytes.resize(length, 0);
    Ok(archive.bytes)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let host;
        let (content, device): (&[u8], _) = match &entry.content {
            Content::Nothing => (&[], (0, 0)),
            Content::Bytes(bytes) | Content::Target(bytes) => (bytes, (0, 0)),
            Content::Host(path, _) => {
                let read = std::fs::read(path);
                host = read.map_err(|source| Error::Host { path: path.clone(), source })?;
                (&host, (0, 0))
            }
            Content::Device(major, minor) => (&[], (*major, *minor)),
            // Links of the archive's own would need the number of names before the first; nobody
            // writes them.
            Content::Same(_) | Content::Filled => return Ok(()),
        };
        if u32::try_from(content.len()).is_err() {
            return Err(Error::TooLarge(String::from_utf8_lossy(&entry.path).into_owned()));
        }
        self.inode += 1;
        let seconds = entry.time.map_or(0, |time| time.seconds.clamp(0, i64::from(u32::MAX)) as u32);
        let links = if entry.mode & mode::TYPE == mode::DIR { 2 } else { 1 };
        self.raw(&entry.path, [entry.mode, links, seconds], content, device);
        Ok(())
    }

    /// Header, name, content; sizes have been checked.
    fn raw(&mut self, path: &[u8], [mode, links, seconds]: [u32; 3], content: &[u8], (major, minor): (u32, u32)) {
        let fields = [
            self.inode,
            mode,
            0, // owner
            0, // group
            links,
            seconds,
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
