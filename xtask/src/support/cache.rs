//! Results of steps, kept outside of the checkout by what they were made from.
//!
//! A node is a directory `nodes/NAME/KEY` with the files of one result in `out`. Its key is a hash
//! of all that went in: our files, versions of packages and tools, flags, and the digests of the
//! nodes that it was made from. A node is made in `tmp` and renamed when complete, under a lock:
//! checkouts that build at the same time share it, and an interrupted build leaves nothing half
//! done.

use super::digest;
use super::files;
use super::task::Task;
use anyhow::{Context, Result, bail};
use std::cmp::Reverse;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often a node is made again because somebody edited its sources meanwhile.
const ATTEMPTS: usize = 4;

/// Nodes are removed if unused for so long,
const KEPT_AT_MOST: Duration = Duration::from_secs(30 * 86400);
/// or for so long, and there are so many newer ones of the same step.
const KEPT_AT_LEAST: Duration = Duration::from_secs(86400);
const KEPT_NODES: usize = 3;

/// A finished result.
#[derive(Clone)]
pub(crate) struct Node {
    /// The directory with its files.
    pub(crate) out: PathBuf,
    /// A hash of them; so a change of the sources that changes no result goes no further.
    pub(crate) digest: String,
}

/// What a node is made from.
pub(crate) struct Key {
    lines: String,
    opaque: bool,
}

impl Key {
    /// A key with the text of the module that makes the node: its commands and flags.
    pub(crate) fn new(recipe: &str) -> Key {
        Key { lines: format!("recipe {}\n", digest::text(recipe)), opaque: false }
    }

    /// For large results: their digest is the key's, and they are never read.
    pub(crate) fn opaque(mut self) -> Key {
        self.opaque = true;
        self
    }

    /// Something that can be said in a line.
    pub(crate) fn text(mut self, label: &str, value: &str) -> Key {
        let value = if value.contains('\n') { &digest::text(value) } else { value };
        self.lines += &format!("{label} {value}\n");
        self
    }

    /// A file or directory of ours.
    pub(crate) fn tree(self, label: &str, path: &Path) -> Result<Key> {
        let value = digest::tree(path)?;
        Ok(self.text(label, &value))
    }

    /// Another node.
    pub(crate) fn node(self, label: &str, node: &Node) -> Key {
        self.text(label, &node.digest)
    }

    fn id(&self) -> String {
        digest::text(&self.lines)[..20].to_string()
    }
}

/// Where a node is being made.
pub(crate) struct Workplace {
    /// What lies here becomes the node.
    pub(crate) out: PathBuf,
    /// What lies here is removed.
    pub(crate) work: PathBuf,
}

/// The cache.
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The cache in this directory.
    pub(crate) fn new(folder: &Path) -> Store {
        Store { folder: folder.to_path_buf() }
    }

    /// A directory of the cache that is no node.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The node for this key, made if it is not there.
    pub(crate) fn node(
        &self,
        task: &Task,
        key: impl Fn() -> Result<Key>,
        make: impl Fn(&Workplace) -> Result<()>,
    ) -> Result<Node> {
        for _ in 0..ATTEMPTS {
            let wanted = key()?;
            let place = self.folder.join("nodes").join(task.name()).join(wanted.id());
            if let Some(node) = read(&place) {
                return Ok(node);
            }
            let _lock = self.lock(task, &format!("{}-{}", task.name(), wanted.id()))?;
            if let Some(node) = read(&place) {
                return Ok(node);
            }
            task.status("begins");
            let scratch = self.folder.join("tmp").join(format!("{}-{}", task.name(), wanted.id()));
            files::remove(&scratch)?;
            let workplace = Workplace { out: scratch.join("out"), work: scratch.join("work") };
            files::folder(&workplace.out)?;
            files::folder(&workplace.work)?;
            make(&workplace)?;
            files::remove(&workplace.work)?;
            if key()?.id() != wanted.id() {
                task.note("its sources changed meanwhile: once more");
                files::remove(&scratch)?;
                continue;
            }
            let digest = if wanted.opaque { wanted.id() } else { digest::tree(&workplace.out)? };
            files::write(&scratch.join("key"), &wanted.lines)?;
            files::write(&scratch.join("digest"), &digest)?;
            files::folder(place.parent().context("a node without a directory")?)?;
            // What is there without a digest is no node of ours.
            files::remove(&place)?;
            fs::rename(&scratch, &place).with_context(|| format!("cannot keep {}", place.display()))?;
            return read(&place).context("a node vanished");
        }
        bail!("the sources of {} change faster than they can be built", task.name())
    }

    /// Removes nodes that nobody has used for long, and old ones of those that are many.
    pub(crate) fn prune(&self) -> Result<()> {
        for name in files::sorted(&self.folder.join("nodes"))? {
            let used =
                |node: &PathBuf| fs::metadata(node.join("key")).and_then(|info| info.modified()).unwrap_or(UNIX_EPOCH);
            let mut nodes = files::sorted(&name)?;
            nodes.sort_by_key(|node| Reverse(used(node)));
            for (index, node) in nodes.iter().enumerate() {
                let age = used(node).elapsed().unwrap_or_default();
                if age > KEPT_AT_MOST || (age > KEPT_AT_LEAST && index >= KEPT_NODES) {
                    files::remove(node)?;
                }
            }
        }
        Ok(())
    }

    /// Holds a lock of this name against other builds until the result is dropped.
    pub(crate) fn lock(&self, task: &Task, name: &str) -> Result<File> {
        let path = self.folder.join("locks").join(name);
        files::folder(path.parent().context("a lock without a directory")?)?;
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                task.status("waits for another build");
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
        }
        Ok(file)
    }
}

/// A node that is there; notes that it was used.
fn read(place: &Path) -> Option<Node> {
    let digest = fs::read_to_string(place.join("digest")).ok()?;
    // Only for pruning: a cache that cannot be written can still be read.
    let _ = File::options().write(true).open(place.join("key")).and_then(|key| key.set_modified(SystemTime::now()));
    Some(Node { out: place.join("out"), digest })
}
