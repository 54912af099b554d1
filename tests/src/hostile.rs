//! Hostile programs, written in WebAssembly's text format: what no compiler would make.
use crate::{Run, Scratch, add, wasmlinux_with};
use std::path::Path;

/// What the kernel says when it has found a fault in itself.
pub const COMPLAINTS: [&str; 9] =
    ["WARNING:", "BUG:", "BUG ", "Oops", "oops", "Kernel panic", "INFO: task", "rcu: INFO", "Bad page"];

/// What every such program has: `(prelude)` stands for it.
const PRELUDE: &str = include_str!("../hostile/prelude.wat");

/// A module in the text format, with the prelude put in.
///
/// # Panics
/// If it is not well-formed.
pub fn module(text: &str) -> Vec<u8> {
    let text = text.replace("(prelude)", PRELUDE);
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The file `hostile/NAME.wat`, with words in it replaced.
///
/// # Panics
/// If there is no such file.
pub fn file(name: &str, replacements: &[(&str, &str)]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile").join(name).with_extension("wat");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    module(&replacements.iter().fold(text, |text, (from, to)| text.replace(from, to)))
}

/// Runs a command in a machine in which the program is `/bin/hostile`, with the kernel's messages
/// shown.
pub fn run(scratch: &Scratch, program: &[u8], command: &[&str]) -> Run {
    use std::os::unix::fs::PermissionsExt;
    let file = scratch.file("hostile", program);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
    wasmlinux_with(["run"]).args(add(&file, "hostile")).args(["--"]).args(command)
}
