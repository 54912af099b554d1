//! Shell scripts of `scripts/`: in the guest they must say what the host's busybox says, with
//! busybox's tools in both worlds.
use std::path::{Path, PathBuf};
use wasmlinux_tests::{Run, Scratch, wasmlinux_with, workspace};

fn folder() -> PathBuf {
    workspace().join("tests/scripts")
}

/// A directory with the names of all of busybox's tools, for PATH.
fn tools(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let install = Run::new("busybox".as_ref()).args(["--install", "-s"]).arg(&folder).output();
    install.expect_status(0);
    folder
}

/// Runs one script in both worlds.
#[track_caller]
fn same(name: &str) {
    let scratch = Scratch::new();
    let (tools, work) = (tools(&scratch), scratch.path().join("work"));
    std::fs::create_dir(&work).unwrap();
    std::fs::copy(folder().join(name), work.join(name)).unwrap();
    // By the same path in both, since messages name it.
    let script = format!("./{name}");
    let native = Run::new("busybox".as_ref()).args(["env", "-i"]).arg(format!("PATH={}", tools.display()));
    let native = native.args(["HOME=/root", "sh", &script]).dir(&work).output();
    let mut add = work.join(name).into_os_string();
    add.push(format!(":/tmp/work/{name}"));
    let guest = wasmlinux_with(["run", "-w", "/tmp/work", "--add"]).arg(add).args(["--", "sh", &script]);
    guest.output().expect_same(&native, name);
}

#[test]
fn pipelines() {
    same("pipelines.sh");
}

#[test]
fn here_documents() {
    same("here_documents.sh");
}

#[test]
fn traps() {
    same("traps.sh");
}

#[test]
fn background() {
    same("background.sh");
}

#[test]
fn substitution() {
    same("substitution.sh");
}

#[test]
fn arithmetic() {
    same("arithmetic.sh");
}

#[test]
fn control() {
    same("control.sh");
}

#[test]
fn files() {
    same("files.sh");
}

#[test]
fn text() {
    same("text.sh");
}

#[test]
fn deep() {
    same("deep.sh");
}

#[test]
fn every_script_is_tested() {
    let source = include_str!("scripts.rs");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(Path::new(&name).extension().is_some_and(|end| end == "sh"), "{name}");
        assert!(source.contains(&format!("same(\"{name}\")")), "{name} has no test");
    }
}
