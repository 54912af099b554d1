//! The bundle: one file with all that the product brings along.
//!
//! A compiled kernel, the data and symbols that go with it, compiled programs and the base root
//! file system, each an [`Entry`]. It is read in place, from wherever its bytes are
//! ([`Bundle::parse`]), and written by [`Writer`].
//!
//! # Layout
//! All numbers are little-endian.
//! ```text
//! header       magic "WLBUNDLE", version u32, number of entries u32, length of the file u64, length of the names u64
//! entries      kind u32, length of the name u32, its offset in the names u64, tag u64, payload's offset u64 and length u64, key [u8; 32]
//! names        UTF-8
//! payloads     each at a multiple of 4096
//! ```

use std::fmt;

const MAGIC: &[u8; 8] = b"WLBUNDLE";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const ENTRY: usize = 72;

/// Payloads begin at multiples of this many bytes from the start of the file.
pub const ALIGNMENT: usize = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// The kernel's compiled code, for the engine.
    KernelCode,
    /// A piece of the kernel's data; the tag is its address.
    KernelData,
    /// A symbol of the kernel: the name, and in the tag the value. No payload.
    KernelSymbol,
    /// The base root file system: a cpio archive.
    Initramfs,
    /// A program's compiled code, for the engine; the key is the SHA-256 of the program's own
    /// bytes.
    ProgramCode,
    /// Anything else that belongs to the build, by name.
    Extra,
}

const KINDS: [(Kind, u32); 6] = [
    (Kind::KernelCode, 1),
    (Kind::KernelData, 2),
    (Kind::KernelSymbol, 3),
    (Kind::Initramfs, 4),
    (Kind::ProgramCode, 5),
    (Kind::Extra, 6),
];

impl Kind {
    fn number(self) -> u32 {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, number)| *number)
    }

    fn from_number(number: u32) -> Option<Self> {
        KINDS.iter().find(|(_, known)| *known == number).map(|(kind, _)| *kind)
    }
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it is called; may be empty.
    pub name: &'a str,
    /// A number whose meaning the kind tells.
    pub tag: u64,
    /// What it is found by; zeroes if it is not.
    pub key: [u8; 32],
    /// The payload.
    pub data: &'a [u8],
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { kind, name, tag, data, .. } = self;
        write!(f, "{kind:?} {name:?} tag {tag:#x}, {} bytes", data.len())
    }
}

/// Why bytes are no usable bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// They do not begin as a bundle does.
    #[error("not a bundle")]
    NotABundle,
    /// It was written by another version of this crate.
    #[error("a bundle of version {0}, not {VERSION}")]
    Version(u32),
    /// It is shorter or longer than it says.
    #[error("the bundle is cut off or has been added to")]
    Length,
    /// The table or an entry of it points outside the file, or a name is no text.
    #[error("the bundle is damaged: entry {0}")]
    Entry(usize),
}

/// A bundle whose every entry has been checked to lie within its bytes.
#[derive(Debug, Clone)]
pub struct Bundle<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Bundle<'a> {
    /// Reads the table; payloads stay where they are.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        if bytes.get(..8) != Some(MAGIC.as_slice()) {
            return Err(BundleError::NotABundle);
        }
        let version = u32_at(bytes, 8).ok_or(BundleError::Length)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let count = u32_at(bytes, 12).ok_or(BundleError::Length)? as usize;
        if word_at(bytes, 16) != Some(bytes.len()) {
            return Err(BundleError::Length);
        }
        let names_length = word_at(bytes, 24).ok_or(BundleError::Length)?;
        let names_start = count.checked_mul(ENTRY).and_then(|table| table.checked_add(HEADER));
        let names = names_start.and_then(|start| slice(bytes, start, names_length)).ok_or(BundleError::Length)?;
        let entry = |index| entry(bytes, names, HEADER + index * ENTRY).ok_or(BundleError::Entry(index));
        let entries = (0..count).map(entry).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// All entries, in the order in which they were written.
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The entries of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(move |entry| entry.kind == kind)
    }

    /// The first entry of a kind.
    pub fn first(&self, kind: Kind) -> Option<&Entry<'a>> {
        self.of(kind).next()
    }

    /// The entry of a kind with this name.
    pub fn named(&self, kind: Kind, name: &str) -> Option<&Entry<'a>> {
        self.of(kind).find(|entry| entry.name == name)
    }

    /// The entry of a kind with this key.
    pub fn keyed(&self, kind: Kind, key: &[u8; 32]) -> Option<&Entry<'a>> {
        self.of(kind).find(|entry| entry.key == *key)
    }
}

fn entry<'a>(bytes: &'a [u8], names: &'a [u8], at: usize) -> Option<Entry<'a>> {
    let name = slice(names, word_at(bytes, at + 8)?, u32_at(bytes, at + 4)? as usize)?;
    Some(Entry {
        kind: Kind::from_number(u32_at(bytes, at)?)?,
        name: std::str::from_utf8(name).ok()?,
        tag: u64_at(bytes, at + 16)?,
        data: slice(bytes, word_at(bytes, at + 24)?, word_at(bytes, at + 32)?)?,
        key: slice(bytes, at + 40, 32)?.try_into().ok()?,
    })
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Option<&[u8]> {
    bytes.get(start..start.checked_add(length)?)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(slice(bytes, at, 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(slice(bytes, at, 8)?.try_into().ok()?))
}

fn word_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64_at(bytes, at)?).ok()
}

/// Collects entries and lays them out. The same entries give the same bytes.
#[derive(Debug, Default)]
pub struct Writer<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Writer<'a> {
    /// No entries yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: Entry<'a>) -> &mut Self {
        self.entries.push(entry);
        self
    }

    /// The whole file.
    pub fn finish(&self) -> Vec<u8> {
        let names: String = self.entries.iter().map(|entry| entry.name).collect();
        let mut offset = HEADER + self.entries.len() * ENTRY + names.len();
        let mut name_offset = 0;
        let mut table = Vec::new();
        for entry in &self.entries {
            // An empty payload lies nowhere.
            let start = if entry.data.is_empty() { 0 } else { offset.next_multiple_of(ALIGNMENT) };
            table.extend_from_slice(&entry.kind.number().to_le_bytes());
            table.extend_from_slice(&(entry.name.len() as u32).to_le_bytes());
            for number in [name_offset as u64, entry.tag, start as u64, entry.data.len() as u64] {
                table.extend_from_slice(&number.to_le_bytes());
            }
            table.extend_from_slice(&entry.key);
            name_offset += entry.name.len();
            offset = offset.max(start + entry.data.len());
        }
        let mut bytes = Vec::with_capacity(offset);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(offset as u64).to_le_bytes());
        bytes.extend_from_slice(&(names.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&table);
        bytes.extend_from_slice(names.as_bytes());
        for entry in self.entries.iter().filter(|entry| !entry.data.is_empty()) {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            bytes.extend_from_slice(entry.data);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let empty = Entry { kind: Kind::Extra, name: "", tag: 0, key: [0; 32], data: &[] };
        Writer::new()
            .add(Entry { kind: Kind::KernelCode, name: "kernel", data: b"code", ..empty })
            .add(Entry { kind: Kind::KernelSymbol, name: "boot_info", tag: 0x12340, ..empty })
            .add(Entry { kind: Kind::KernelData, tag: 65536, data: &[7; 5000], ..empty })
            .add(Entry { kind: Kind::ProgramCode, name: "/bin/hello", key: [9; 32], data: b"hello", ..empty })
            .finish()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let bundle = Bundle::parse(&bytes).unwrap();
        assert_eq!(bundle.entries().len(), 4);
        assert_eq!(bundle.first(Kind::KernelCode).unwrap().data, b"code");
        assert_eq!(bundle.named(Kind::KernelSymbol, "boot_info").unwrap().tag, 0x12340);
        assert_eq!(bundle.first(Kind::KernelData).unwrap().data, [7; 5000]);
        assert_eq!(bundle.keyed(Kind::ProgramCode, &[9; 32]).unwrap().name, "/bin/hello");
        assert!(bundle.keyed(Kind::ProgramCode, &[8; 32]).is_none());
        for entry in bundle.entries().iter().filter(|entry| !entry.data.is_empty()) {
            assert_eq!((entry.data.as_ptr() as usize - bytes.as_ptr() as usize) % ALIGNMENT, 0);
        }
        assert_eq!(bytes, sample());
    }

    #[test]
    fn an_empty_one_is_one() {
        assert!(Bundle::parse(&Writer::new().finish()).unwrap().entries().is_empty());
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(Bundle::parse(b"").unwrap_err(), BundleError::NotABundle);
        assert_eq!(Bundle::parse(&[0; 100]).unwrap_err(), BundleError::NotABundle);
        let bytes = sample();
        for length in 8..bytes.len() {
            assert_eq!(Bundle::parse(&bytes[..length]).unwrap_err(), BundleError::Length);
        }
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert_eq!(Bundle::parse(&newer).unwrap_err(), BundleError::Version(2));
    }

    #[test]
    fn no_damage_to_the_table_makes_it_panic() {
        let bytes = sample();
        for at in 0..HEADER + 4 * ENTRY {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Ok(bundle) = Bundle::parse(&damaged) {
                    assert!(bundle.entries().iter().all(|entry| entry.data.len() <= bytes.len()));
                }
            }
        }
    }
}
