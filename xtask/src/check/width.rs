//! Width: comments and prose have 100 columns at most, in Rust, C and Markdown. Code may have 120.

use super::project_files;
use crate::support::project::Project;
use anyhow::{Result, bail};
use std::fs;

/// Columns of a line; a tab goes to the next multiple of eight.
const WIDTH: usize = 100;

/// Names every line that is too wide.
pub(super) fn check(project: &Project) -> Result<()> {
    let mut faults = Vec::new();
    for name in project_files(project)? {
        let kind = match name.rsplit_once('.') {
            Some((_, "md")) => Kind::Markdown,
            Some((_, "rs")) => Kind::Rust,
            Some((_, "c" | "h" | "S")) => Kind::C,
            _ => continue,
        };
        let text = fs::read_to_string(project.root.join(&name))?;
        faults.extend(wide(kind, &text).into_iter().map(|line| format!("{name}:{line}: wider than {WIDTH} columns")));
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Markdown,
    Rust,
    C,
}

/// The numbers of the lines that are too wide and need not be: of comments, or of prose. Rows of
/// tables cannot be wrapped, nor what has no blank to break at; code between fences is code.
fn wide(kind: Kind, text: &str) -> Vec<usize> {
    let (mut fenced, mut comment) = (false, false);
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let plain = if kind == Kind::C && !comment { without_texts(line) } else { line.to_string() };
        let begin = plain.trim_start();
        let prose = match kind {
            Kind::Markdown => Some(begin),
            _ if begin.starts_with("//") => Some(begin.trim_start_matches(['/', '!']).trim_start()),
            Kind::Rust => None,
            Kind::C if comment || begin.starts_with("/*") => Some(begin.trim_start_matches(['/', '*', ' '])),
            // Code with a comment behind it.
            Kind::C => begin.find("/*").and_then(|at| begin.get(at..)),
        };
        if kind == Kind::C {
            comment = match (begin.rfind("/*"), begin.rfind("*/")) {
                (Some(opens), Some(closes)) => opens > closes,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => comment,
            };
        }
        let Some(prose) = prose else {
            fenced = false;
            continue;
        };
        if prose.starts_with("```") {
            fenced = !fenced;
        } else if !fenced && columns(line) > WIDTH && !prose.starts_with('|') && can_break(line) {
            found.push(index + 1);
        }
    }
    found
}

/// A line of C with what stands between quotes left out.
fn without_texts(line: &str) -> String {
    let (mut text, mut escaped) = (false, false);
    let outside = line.chars().filter(|c| {
        let quote = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        text ^= quote;
        !text && !quote
    });
    outside.collect()
}

/// Whether there is a blank between words to break the line at.
fn can_break(line: &str) -> bool {
    let words = line.trim_start().trim_start_matches(['/', '!', '*', '-', ' ']);
    let mut code = false;
    words.trim_end().chars().any(|c| {
        code ^= c == '`';
        c == ' ' && !code
    })
}

fn columns(line: &str) -> usize {
    line.chars().fold(0, |at, c| if c == '\t' { (at / 8 + 1) * 8 } else { at + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_held_and_code_is_not() {
        let long = "word ".repeat(21);
        let line = |begin: &str| format!("{begin}{long}\n");
        for (kind, begin, count) in [
            (Kind::Markdown, "", 1),
            (Kind::Markdown, "- ", 1),
            (Kind::Markdown, "| ", 0),
            (Kind::Markdown, "```\n", 0),
            (Kind::Rust, "    /// ", 1),
            (Kind::Rust, "//! ```text\n//! ", 0),
            (Kind::Rust, "let text = ", 0),
            (Kind::C, "/*\n * ", 1),
            (Kind::C, "x = 1;\t/* ", 1),
            (Kind::C, "x = ", 0),
            (Kind::C, "f(\"/*\");\ng = ", 0),
        ] {
            assert_eq!(wide(kind, &line(begin)).len(), count, "{begin}");
        }
        assert_eq!(wide(Kind::Markdown, &format!("- [{0}]({0})", "x".repeat(60))), [], "no blank");
        assert_eq!(columns("\ta\tb"), 17);
    }
}
