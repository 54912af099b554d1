//! The kernel's own style: `checkpatch.pl --strict` of the kernel's tree over our files, but for
//! what a list next to them excepts with a reason.

use super::project_files;
use crate::support::project::Project;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What is checked.
const FILES: &str = "guest/kernel/arch/wasm/";
/// What is excepted: a type of message, a file (relative to [`FILES`]) or `*`, and why, each line.
const EXCEPTIONS: &str = "guest/kernel/checkpatch.exceptions";

/// Names every message that is not excepted, and every exception that is not needed.
pub(super) fn check(project: &Project) -> Result<()> {
    let exceptions = fs::read_to_string(project.root.join(EXCEPTIONS)).context(EXCEPTIONS)?;
    let exceptions = parse(&exceptions)?;
    let tree = kernel(project)?;
    let is_source = |name: &String| name.starts_with(FILES) && name.ends_with(['c', 'h', 'S']);
    let names: Vec<String> = project_files(project)?.into_iter().filter(is_source).collect();
    let mut command = Command::new("perl");
    command.arg(tree.join("scripts/checkpatch.pl")).arg("--root").arg(&tree);
    command.args(["--no-tree", "--strict", "--terse", "--show-types", "--no-summary", "--color=never"]);
    // Which names in capitals it knows depends on where it runs. It leaves a file there.
    command.arg("--ignore=CAMELCASE");
    let names = names.iter().map(|name| project.root.join(name));
    let output = command.arg("--file").args(names).current_dir(&project.target).output();
    let output = output.context("cannot run perl: `apt-get install perl`")?;
    let text = String::from_utf8_lossy(&output.stdout).replace(&format!("{}/", project.root.display()), "");
    if !output.status.success() && text.is_empty() {
        bail!("checkpatch.pl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let faults = compare(&text, &exceptions);
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

/// The newest tree of the kernel's source that a build has left.
fn kernel(project: &Project) -> Result<PathBuf> {
    let nodes = project.cache.join("nodes/kernel-source");
    let trees = fs::read_dir(&nodes).into_iter().flatten().flatten().map(|node| node.path().join("out"));
    let there = trees.filter_map(|tree| {
        let time = tree.join("scripts/checkpatch.pl").metadata().ok()?.modified().ok()?;
        Some((time, tree))
    });
    let newest = there.max().map(|(_, tree)| tree);
    newest.with_context(|| format!("no kernel source in {}: run `cargo xtask build` first", nodes.display()))
}

/// The exceptions: types of messages, and the file of each.
fn parse(text: &str) -> Result<BTreeSet<(&str, &str)>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(kind), Some(file), Some(_)) => Ok((kind, file)),
            _ => bail!("{EXCEPTIONS}: `{line}` is not a type, a file and a reason"),
        }
    });
    parsed.collect()
}

/// What is wrong, given checkpatch's lines `FILE:LINE: LEVEL:TYPE: TEXT`.
fn compare(text: &str, exceptions: &BTreeSet<(&str, &str)>) -> Vec<String> {
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for line in text.lines() {
        let mut parts = line.splitn(5, ':');
        let (Some(file), Some(_), Some(_), Some(kind)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let file = file.strip_prefix(FILES).unwrap_or(file);
        match [(kind, file), (kind, "*")].into_iter().find(|one| exceptions.contains(one)) {
            Some(one) => drop(used.insert(one)),
            None => faults.push(line.to_string()),
        }
    }
    let unused = exceptions.iter().filter(|one| !used.contains(*one));
    faults.extend(unused.map(|(kind, file)| format!("{EXCEPTIONS}: {kind} {file} is not needed any more")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_exceptions_must_meet() {
        let text = "guest/kernel/arch/wasm/a.c:3: CHECK:SPACING: spaces\nguest/kernel/arch/wasm/b.c:4: ERROR:X: y\n";
        let exceptions = parse("# why\nSPACING a.c as it is\nX * everywhere\n").unwrap();
        assert_eq!(compare(text, &exceptions), Vec::<String>::new());
        let exceptions = parse("SPACING b.c wrong file\n").unwrap();
        assert_eq!(compare(text, &exceptions).len(), 3);
        assert!(parse("SPACING a.c\n").is_err(), "no reason");
    }
}
