//! The base root file system: an archive made out of a manifest.
//!
//! A manifest is text, one entry a line, in the words of the kernel's `gen_init_cpio` less owners
//! (all is root's); permissions are octal, `#` begins a comment:
//!
//! ```text
//! dir     PATH PERMISSIONS
//! file    PATH SOURCE PERMISSIONS
//! slink   PATH TARGET
//! nod     PATH PERMISSIONS c|b MAJOR MINOR
//! applets PROGRAM SOURCE                     a link to PROGRAM for each path that SOURCE lists, one a line
//! ```
//!
//! A SOURCE is relative, and the first of the given directories that has it provides it.
//! Permissions and times of sources do not count: the archive depends on the manifest and on
//! contents only.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cpio;
use crate::tree::{self, Device, Tree};

/// Why the base archive could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A line of the manifest is wrong.
    #[error("manifest line {line}: {text}: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No directory has this source.
    #[error("`{0}` is in none of the source directories")]
    Missing(String),
    /// A source cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An entry cannot be written.
    #[error(transparent)]
    Archive(#[from] tree::Error),
}

/// Makes the archive that `manifest` describes, out of files in `directories`.
pub fn build(manifest: &str, directories: &[&Path]) -> Result<Vec<u8>, Error> {
    let mut archive = Tree::new();
    for (index, text) in manifest.lines().enumerate() {
        let words: Vec<_> = text.split('#').next().unwrap_or("").split_whitespace().collect();
        let wrong = |reason| Error::Line { line: index + 1, text: text.to_owned(), reason };
        let octal = |word: &str| u32::from_str_radix(word, 8).map_err(|_| wrong("permissions are octal"));
        let number = |word: &str| word.parse::<u32>().map_err(|_| wrong("not a number"));
        match words[..] {
            [] => {}
            ["dir", path, permissions] => archive.dir(path, octal(permissions)?)?,
            ["file", path, source, permissions] => {
                let source = find(directories, source)?;
                archive.file(path, octal(permissions)?, &read(&source)?)?;
            }
            ["slink", path, target] => archive.symlink(path, target)?,
            ["nod", path, permissions, kind, major, minor] => {
                let device = match kind {
                    "c" => Device::Char,
                    "b" => Device::Block,
                    _ => return Err(wrong("a node is c or b")),
                };
                archive.device(path, octal(permissions)?, device, number(major)?, number(minor)?)?;
            }
            ["applets", program, source] => {
                let listing = find(directories, source)?;
                for path in String::from_utf8_lossy(&read(&listing)?).lines().map(str::trim) {
                    if !path.is_empty() && path != program {
                        archive.symlink(path, program)?;
                    }
                }
            }
            _ => {
                return Err(wrong("not one of dir, file, slink, nod, applets with their arguments"));
            }
        }
    }
    Ok(cpio::write(&archive)?)
}

fn find(directories: &[&Path], source: &str) -> Result<PathBuf, Error> {
    let found = directories.iter().map(|directory| directory.join(source)).find(|path| path.exists());
    found.ok_or_else(|| Error::Missing(source.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_becomes_an_archive() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("bb"), "program").unwrap();
        fs::write(directory.path().join("links"), "/bin/cat\n/usr/bin/env\n\n/bin/busybox\n").unwrap();
        let manifest = "# base\ndir /tmp 1777\nfile /bin/busybox bb 755 # all of it\n\
            slink /init /sbin/init\nnod /dev/null 666 c 1 3\napplets /bin/busybox links\n";
        let empty = tempfile::tempdir().unwrap();
        let archive = build(manifest, &[empty.path(), directory.path()]).unwrap();
        let list: Vec<_> = cpio::entries(&archive)
            .map(|entry| entry.unwrap())
            .map(|entry| format!("{} {:o}", String::from_utf8_lossy(entry.name), entry.mode))
            .collect();
        let expected = [
            "tmp 41777",
            "bin 40755",
            "bin/busybox 100755",
            "init 120777",
            "dev 40755",
            "dev/null 20666",
            "bin/cat 120777",
            "usr 40755",
            "usr/bin 40755",
            "usr/bin/env 120777",
        ];
        assert_eq!(list, expected);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |manifest| build(manifest, &[]).unwrap_err().to_string();
        assert!(error("dir /a 755\ndir /b").starts_with("manifest line 2: dir /b:"));
        assert!(error("dir /a 9").contains("octal"));
        assert!(error("file /a b 644").contains("`b` is in none"));
        assert!(error("nod /a 644 x 1 2").contains("c or b"));
        assert!(error("slink a b").contains("not a usable path"));
    }
}
