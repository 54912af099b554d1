//! Reading: a walk over the entries of one archive, or of several that follow each other.

use crate::tree::Error;

pub(super) const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;

/// One entry, as it lies in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path without a first slash.
    pub name: &'a [u8],
    /// Type and permissions.
    pub mode: u32,
    /// Time of the last change, in seconds since 1970.
    pub mtime: u32,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
    /// Content of a file, target of a link.
    pub content: &'a [u8],
}

/// The entries of `archive`, which may be several archives one after the other. Ends after the
/// first error.
pub fn entries(archive: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, Error>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            // Archives are padded with zeroes.
            at += archive.get(at..)?.iter().take_while(|byte| **byte == 0).count();
            if at >= archive.len() {
                return None;
            }
            match entry(archive, at) {
                Some((entry, next)) if matches!(entry.name, b"." | b"TRAILER!!!") => at = next,
                Some((entry, next)) => {
                    at = next;
                    return Some(Ok(entry));
                }
                None => {
                    let place = std::mem::replace(&mut at, archive.len());
                    return Some(Err(Error::Damaged(place)));
                }
            }
        }
    })
}

/// The entry at `at` and where the next one begins.
fn entry(archive: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let header = archive.get(at..at.checked_add(HEADER)?)?;
    let fields = header.strip_prefix(MAGIC)?;
    let field = |index: usize| {
        let digits = std::str::from_utf8(&fields[index * 8..index * 8 + 8]).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let name_start = at + HEADER;
    let name_end = name_start.checked_add(field(11)? as usize)?;
    let start = name_end.checked_next_multiple_of(4)?;
    let end = start.checked_add(field(6)? as usize)?;
    let name = archive.get(name_start..name_end)?.strip_suffix(&[0])?;
    let entry = Entry {
        name: name.strip_prefix(b"/").unwrap_or(name),
        mode: field(1)?,
        mtime: field(5)?,
        device: (field(9)?, field(10)?),
        content: archive.get(start..end)?,
    };
    Some((entry, end.checked_next_multiple_of(4)?))
}
