//! Where things lie: the checkout, its build directory, the cache outside of it.

use anyhow::{Context, Result};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directories of one checkout.
pub(crate) struct Project {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's build directory.
    pub(crate) target: PathBuf,
    /// What the build of the guest leaves for a developer to find.
    pub(crate) guest: PathBuf,
    /// Results of steps, shared by all checkouts of this user.
    pub(crate) cache: PathBuf,
}

impl Project {
    /// The checkout that this program was started from.
    pub(crate) fn find() -> Result<Project> {
        // Cargo tells at run time; the value of compile time is wrong once a checkout has moved.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("xtask lies in no checkout")?.to_path_buf();
        let target = match set("CARGO_TARGET_DIR") {
            Some(folder) => root.join(folder),
            None => root.join("target"),
        };
        // .cargo/config.toml names the bundle in this directory, wherever Cargo builds.
        let guest = root.join("target/guest");
        Ok(Project { cache: cache_folder(&root)?, root, target, guest })
    }

    /// A program that `cargo build --release` made.
    pub(crate) fn release(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A Cargo command in this checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        // What Cargo told us about ourselves is not for the crates that it builds next.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// A path as a developer in the checkout would write it.
    pub(crate) fn short(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// An environment variable that is set to something.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The cache: `$WASMLINUX_CACHE`, or `wasmlinux` in the user's cache directory, or, for a user
/// without a home, in the checkout.
fn cache_folder(root: &Path) -> Result<PathBuf> {
    if let Some(folder) = set("WASMLINUX_CACHE") {
        return std::path::absolute(folder).context("WASMLINUX_CACHE");
    }
    // The standard says that a relative XDG_CACHE_HOME is to be ignored.
    let base = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let base = base.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")));
    Ok(base.unwrap_or_else(|| root.join("target")).join("wasmlinux"))
}
