//! Links in Markdown files: each relative one must lead to a file or directory, and to a heading if
//! it names one.

use super::project_files;
use crate::support::project::Project;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// Names every link that leads nowhere.
pub(super) fn check(project: &Project) -> Result<()> {
    let mut faults = Vec::new();
    for name in project_files(project)?.iter().filter(|name| name.ends_with(".md")) {
        let path = project.root.join(name);
        for (line, target) in targets(&fs::read_to_string(&path)?) {
            if !leads_somewhere(&path, &target)? {
                faults.push(format!("{name}:{line}: the link `{target}` leads nowhere"));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

fn leads_somewhere(page: &Path, target: &str) -> Result<bool> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(true);
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = match (file, page.parent()) {
        ("", _) => page.to_path_buf(),
        (_, Some(folder)) => folder.join(file),
        (_, None) => return Ok(false),
    };
    if heading.is_empty() || path.extension().is_none_or(|end| end != "md") {
        return Ok(path.exists());
    }
    Ok(path.exists() && headings(&fs::read_to_string(path)?).iter().any(|known| known == heading))
}

/// The lines outside of code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (!code && !fence).then_some((index + 1, line))
    })
}

/// What the links of a page lead to, with the numbers of their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // What stands between backticks is no link.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in plain.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((number, target.split(' ').next().unwrap_or_default().to_string()));
            }
        }
    }
    found
}

/// The names that a page's headings have in links.
fn headings(text: &str) -> Vec<String> {
    let lines = prose(text).map(|(_, line)| line).filter(|line| line.starts_with('#'));
    let titles = lines.map(|line| line.trim_start_matches('#').trim());
    let slug = |title: &str| {
        let kept =
            title.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    titles.map(slug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_links_outside_of_code() {
        let text = "[a](b.md) and [`c`](d#e \"title\")\n```\n[x](y)\n```\n`[p](q)`\n";
        assert_eq!(targets(text), [(1, "b.md".to_string()), (1, "d#e".to_string())]);
    }

    #[test]
    fn names_headings() {
        assert_eq!(headings("# The Wasm machine: data sheet\n## MMU\n"), ["the-wasm-machine-data-sheet", "mmu"]);
    }
}
