//! Licences: a line in each file of the kernel, and those of the crates that end up in the product.

use super::project_files;
use crate::support::project::Project;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;

/// What the crates that we use may be licensed under: nothing that asks more of who passes the
/// program on than to name the authors.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];
/// Files of the kernel that have no place for a licence line.
const WITHOUT: [&str; 3] = [".patch", "_defconfig", ".md"];

/// Names every file and crate at fault.
pub(super) fn check(project: &Project) -> Result<()> {
    let mut faults = kernel_files(project)?;
    faults.extend(dependencies(project)?);
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

/// Files of the kernel without `SPDX-License-Identifier: GPL-2.0`, perhaps with more, in their
/// first lines.
fn kernel_files(project: &Project) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for name in project_files(project)? {
        if !name.starts_with("guest/kernel/") || WITHOUT.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let text = fs::read_to_string(project.root.join(&name)).with_context(|| name.clone())?;
        let line = text.lines().take(3).find_map(|line| line.split_once("SPDX-License-Identifier:"));
        if !line.is_some_and(|(_, licence)| licence.trim().trim_start_matches('(').starts_with("GPL-2.0")) {
            faults.push(format!("{name}: no line `SPDX-License-Identifier: GPL-2.0` at its head"));
        }
    }
    Ok(faults)
}

/// Crates of others whose licence gives no choice that is on the list.
fn dependencies(project: &Project) -> Result<Vec<String>> {
    let mut cargo = project.cargo();
    cargo.args(["tree", "--workspace", "--edges=normal,build", "--prefix=none", "--format={p}\t{l}"]);
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo cannot list the crates: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let mut faults = Vec::new();
    for line in lines {
        let Some((package, licence)) = line.split_once('\t') else { continue };
        if !is_allowed(licence) {
            faults
                .push(format!("{package}: its licence `{licence}` is not on the list in xtask/src/check/licences.rs"));
        }
    }
    Ok(faults)
}

/// Whether a licence expression (SPDX, or with `/` as older crates have it) can be met by what is
/// on the list.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) && rest.is_empty()
}

fn either(rest: &mut &[&str]) -> bool {
    let mut met = both(rest);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        met |= both(rest);
    }
    met
}

fn both(rest: &mut &[&str]) -> bool {
    let mut met = single(rest);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        met &= single(rest);
    }
    met
}

fn single(rest: &mut &[&str]) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let met = either(rest);
            if let [")", after @ ..] = *rest {
                *rest = after;
                met
            } else {
                false
            }
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            ALLOWED.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, after @ ..] => {
            *rest = after;
            ALLOWED.contains(licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0 WITH LLVM-exception",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Unlicense/MIT",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-2.0 WITH LLVM-exception", "(MIT", "MIT MIT"] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
