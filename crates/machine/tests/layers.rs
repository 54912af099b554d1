//! The layers of this crate, and of the workspace, are those that its documents show.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The modules in the list at the crate's head, from the top.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let list = text.split("//! # Layers").nth(1).unwrap().split("//! ```").nth(1).unwrap();
    list.lines().skip(1).filter_map(|line| Some(line.strip_prefix("//!  ")?.trim().to_string())).collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The layer to which a path of modules belongs: the longest one that it begins with.
fn layer(layers: &[String], path: &[&str]) -> Option<usize> {
    let at = |len: usize| layers.iter().position(|layer| *layer == path[..len].join("::"));
    (1..=path.len()).rev().find_map(at)
}

/// What `use crate::TREE` names, each with the modules on its way.
fn paths(tree: &str, before: &[String], found: &mut BTreeSet<Vec<String>>) {
    let tree = tree.trim();
    if let Some(inner) = tree.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        let inner = &inner[..inner.rfind('}').unwrap()];
        for (at, byte) in inner.bytes().chain([b',']).enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b',' if depth == 0 => {
                    if !inner[start..at].trim().is_empty() {
                        paths(&inner[start..at], before, found);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else if let Some((first, rest)) = tree.split_once("::") {
        paths(rest, &[before, &[first.to_string()]].concat(), found);
    } else if tree == "self" {
        found.insert(before.to_vec());
    } else {
        found.insert([before, &[tree.to_string()]].concat());
    }
}

#[test]
fn modules_import_downwards() {
    let (root, layers) = (root().join("src"), layers());
    assert!(layers.len() > 20, "{layers:?}");
    let mut files = vec![];
    sources(&root, &mut files);
    let (mut wrong, mut imports) = (vec![], 0);
    for file in files {
        let name = file.strip_prefix(&root).unwrap().with_extension("");
        let mut name: Vec<_> = name.iter().map(|part| part.to_str().unwrap()).collect();
        name.retain(|part| *part != "mod");
        if name == ["lib"] {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]).collect();
        // Directories that are none of the layers only name their files.
        let Some(own) = layer(&layers, &name) else {
            assert!(!code.contains("crate::"), "{name:?} is not in the list");
            continue;
        };
        let mut found = BTreeSet::new();
        for part in code.split("crate::").skip(1) {
            let end = part.find(';').unwrap_or(part.len());
            let tree = &part[..end];
            // A path in the middle of code ends sooner.
            let is_tree = tree.starts_with('{') || tree.chars().all(|c| c.is_alphanumeric() || "_:{}, \n".contains(c));
            let tree = if is_tree {
                tree
            } else {
                tree.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next().unwrap()
            };
            paths(tree, &[], &mut found);
        }
        for path in found {
            imports += 1;
            let parts: Vec<_> = path.iter().map(String::as_str).collect();
            // What lib.rs gives to users has a layer of its own.
            let target = match parts[0] {
                "Outcome" | "Error" | "KernelError" | "ProgramError" | "CompileError" | "ResourceError"
                | "UnavailableError" => layer(&layers, &["error"]),
                "Config" | "ConsoleSink" => layer(&layers, &["config"]),
                "Guest" => layer(&layers, &["engine", "code"]),
                _ => layer(&layers, &parts),
            };
            match target {
                Some(target) if target >= own => {}
                _ => wrong.push(format!("{} imports {}", name.join("::"), parts.join("::"))),
            }
        }
    }
    assert!(imports > 100, "only {imports} imports were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn package(name: &str) -> String {
    if name == "wasmlinux" { name.into() } else { format!("wasmlinux-{name}") }
}

/// The table of ARCHITECTURE.md against what cargo says.
#[test]
fn crates_use_what_the_table_says() {
    let text = fs::read_to_string(root().join("../../ARCHITECTURE.md")).unwrap();
    let table = text.split("| crate | uses |").nth(1).expect("the table of crates");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let name = cells.next().unwrap().trim_matches('`').to_string();
            let uses = cells.next().unwrap().split(", ").map(|name| name.trim_matches('`').to_string());
            (name, uses.filter(|name| name != "-").collect())
        })
        .collect();
    let mut real = BTreeMap::new();
    for name in documented.keys() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "tree",
            "--offline",
            "--depth",
            "1",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        let out = cargo.args(["--package", &package(name)]).current_dir(root()).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let uses = text.lines().skip(1).filter_map(|line| line.strip_prefix("wasmlinux-")?.split(' ').next());
        real.insert(name.clone(), uses.map(String::from).collect::<BTreeSet<_>>());
    }
    assert_eq!(documented, real);
}
