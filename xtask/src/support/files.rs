//! Files and directories: what the standard library leaves out.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The entries of a directory in order of their names.
pub(crate) fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// All files below a directory (or the file itself), as paths relative to it, in order.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        if fs::symlink_metadata(&path)?.is_dir() {
            open.extend(sorted(&path)?);
        } else {
            found.push(path.strip_prefix(folder)?.to_path_buf());
        }
    }
    found.sort();
    Ok(found)
}

/// Creates the directory and those above it.
pub(crate) fn folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Writes a file, and the directories above it.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    folder(path.parent().context("a file without a directory")?)?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Copies a file with its permissions, and makes the directories above it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    folder(to.parent().context("a file without a directory")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Removes a file, link or directory if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(info) if info.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// A copy of a directory whose files are hard links to those of the first, or copies where that
/// cannot be.
pub(crate) fn link_tree(from: &Path, to: &Path) -> Result<()> {
    for name in below(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        folder(target.parent().context("a file without a directory")?)?;
        if source.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if fs::hard_link(&source, &target).is_err() {
            copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Makes `link` a symbolic link to `target`, whatever it was before.
pub(crate) fn point(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|current| current == target) {
        return Ok(());
    }
    folder(link.parent().context("a link without a directory")?)?;
    let fresh = link.with_extension(format!("new-{}", std::process::id()));
    symlink(target, &fresh).with_context(|| format!("cannot make the link {}", fresh.display()))?;
    // A link replaces a link at once; anything else has to go first.
    if !link.is_symlink() {
        remove(link)?;
    }
    fs::rename(&fresh, link).with_context(|| format!("cannot make the link {}", link.display()))
}

/// Makes `to` have what `from` has, and touches nothing that is equal already: for build trees,
/// where a newer time means work. `manifest` lists what was laid there, so that a file that has
/// gone from `from` goes from `to`, and what a build made stays.
pub(crate) fn sync(from: &Path, to: &Path, manifest: &Path) -> Result<()> {
    let names =
        |paths: &BTreeSet<PathBuf>| paths.iter().map(|path| format!("{}\n", path.display())).collect::<String>();
    let current: BTreeSet<PathBuf> = below(from)?.into_iter().collect();
    let before: BTreeSet<PathBuf> =
        fs::read_to_string(manifest).unwrap_or_default().lines().map(PathBuf::from).collect();
    // Both, so that an interrupted synchronisation forgets nothing.
    write(manifest, names(&before.union(&current).cloned().collect()))?;
    for name in &current {
        let (source, target) = (from.join(name), to.join(name));
        let content = fs::read(&source).with_context(|| source.display().to_string())?;
        if fs::read(&target).ok().as_ref() != Some(&content) {
            write(&target, content)?;
        }
    }
    for gone in before.difference(&current) {
        remove(&to.join(gone))?;
    }
    write(manifest, names(&current))
}

/// Copies all that lies in a directory into another.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for name in below(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_symlink() {
            remove(&target)?;
            folder(target.parent().context("a link without a directory")?)?;
            symlink(fs::read_link(&source)?, &target)?;
        } else {
            copy(&source, &target)?;
        }
    }
    Ok(())
}
