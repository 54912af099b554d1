//! SHA-2 of texts, files and whole directories.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256, Sha512};
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// SHA-256 of a text, in hexadecimal digits.
pub(crate) fn text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// SHA-256 of a file's content, in hexadecimal digits.
pub(crate) fn file(path: &Path) -> Result<String> {
    Ok(hex(&hash_file::<Sha256>(path)?))
}

/// Fails unless the file has this SHA-256, in hexadecimal digits.
pub(crate) fn expect_sha256(path: &Path, expected: &str) -> Result<()> {
    let found = file(path)?;
    if found != expected {
        bail!("{} is not what it should be: its SHA-256 is {found}, not {expected}", path.display());
    }
    Ok(())
}

/// Fails unless the file has this SHA-512, in hexadecimal digits.
pub(crate) fn expect_sha512(path: &Path, expected: &str) -> Result<()> {
    let found = hex(&hash_file::<Sha512>(path)?);
    if found != expected {
        bail!("{} is not what it should be: its SHA-512 is {found}, not {expected}", path.display());
    }
    Ok(())
}

/// SHA-256 over names, contents, executable bits and symbolic links of a file or of all that lies
/// in a directory.
pub(crate) fn tree(path: &Path) -> Result<String> {
    let mut list = String::new();
    walk(path, "", &mut list)?;
    Ok(text(&list))
}

fn walk(path: &Path, name: &str, list: &mut String) -> Result<()> {
    let info = fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
    if info.is_symlink() {
        writeln!(list, "link {name} {}", fs::read_link(path)?.display())?;
    } else if info.is_dir() {
        for child in crate::support::files::sorted(path)? {
            let child_name = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
            walk(&child, &format!("{name}/{child_name}"), list)?;
        }
    } else {
        let executable = info.permissions().mode() & 0o111 != 0;
        writeln!(list, "file {name} {executable} {}", file(path)?)?;
    }
    Ok(())
}

fn hash_file<D: Digest + io::Write>(path: &Path) -> Result<Vec<u8>> {
    let mut hasher = D::new();
    let mut input = File::open(path).with_context(|| path.display().to_string())?;
    io::copy(&mut input, &mut hasher).with_context(|| path.display().to_string())?;
    Ok(hasher.finalize().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
