//! What one of our crates is made from: its files, and the versions in Cargo.lock of all that it
//! depends on.
//!
//! So a guest tool's results are known again in another checkout without building the tool, and a
//! change of an unrelated dependency changes nothing.

use super::digest;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A package in Cargo.lock.
#[derive(Default)]
struct Package {
    version: String,
    /// Registry packages have one.
    checksum: Option<String>,
    dependencies: Vec<String>,
}

/// A text that changes when anything changes that the crate is compiled from.
pub(crate) fn closure(root: &Path, name: &str) -> Result<String> {
    let lock = root.join("Cargo.lock");
    let packages = parse(&fs::read_to_string(&lock).with_context(|| lock.display().to_string())?);
    let folders = workspace_folders(root)?;
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![name.to_string()];
    while let Some(reference) = open.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        // "name" or "name version"
        let (name, version) =
            reference.split_once(' ').map_or((reference.as_str(), None), |(name, rest)| (name, rest.split(' ').next()));
        for package in
            packages.get(name).into_iter().flatten().filter(|package| version.is_none_or(|v| v == package.version))
        {
            open.extend(package.dependencies.iter().cloned());
            let content = match (&package.checksum, folders.get(name)) {
                (Some(checksum), _) => checksum.clone(),
                (None, Some(folder)) => digest::tree(&root.join(folder))?,
                (None, None) => String::new(),
            };
            text += &format!("{name} {} {content}\n", package.version);
        }
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.join("\n") + "\n")
}

/// The directories of our own crates by their names.
fn workspace_folders(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut folders = vec!["xtask".to_string(), "tests".into(), "bench".into()];
    for path in super::files::sorted(&root.join("crates"))? {
        folders.push(format!("crates/{}", path.file_name().unwrap_or_default().to_string_lossy()));
    }
    let mut named = BTreeMap::new();
    for folder in folders {
        let Ok(manifest) = fs::read_to_string(root.join(&folder).join("Cargo.toml")) else { continue };
        if let Some(name) = manifest.lines().find_map(|line| value(line, "name")) {
            named.insert(name, folder);
        }
    }
    Ok(named)
}

/// Reads the few forms of lines that Cargo writes into its lock file.
fn parse(text: &str) -> BTreeMap<String, Vec<Package>> {
    let mut packages: BTreeMap<String, Vec<Package>> = BTreeMap::new();
    for block in text.split("[[package]]").skip(1) {
        let mut package = Package::default();
        let mut name = String::new();
        for line in block.lines() {
            if let Some(text) = value(line, "name") {
                name = text;
            } else if let Some(text) = value(line, "version") {
                package.version = text;
            } else if let Some(text) = value(line, "checksum") {
                package.checksum = Some(text);
            } else if let Some(text) = line.strip_prefix(" \"") {
                package.dependencies.push(text.trim_end_matches([',', '"']).to_string());
            }
        }
        packages.entry(name).or_default().push(package);
    }
    packages
}

/// The text of a line `key = "text"`.
fn value(line: &str, key: &str) -> Option<String> {
    let text = line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
    Some(text.strip_prefix('"')?.strip_suffix('"')?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_lock_file() {
        let packages = parse(
            "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"12\"\ndependencies = [\n \"b\",\n \"c 2.0.0\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n",
        );
        assert_eq!(packages["a"][0].dependencies, ["b", "c 2.0.0"]);
        assert_eq!(packages["a"][0].checksum.as_deref(), Some("12"));
        assert_eq!(packages["b"][0].version, "0.1.0");
        assert!(packages["b"][0].checksum.is_none());
    }
}
