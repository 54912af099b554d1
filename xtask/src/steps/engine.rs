//! The Rust side, by Cargo, which knows itself what is up to date.

use super::Build;
use crate::support::task::Task;
use anyhow::Result;

/// The step: the engine, with the tool that makes the bundle.
pub(super) fn bundler(build: &Build, task: &Task) -> Result<()> {
    cargo(build, task, &["--package", "wasmlinux-bundle"])
}

/// The step: the command line, with the bundle inside, and the library's examples.
pub(super) fn wasmlinux(build: &Build, task: &Task) -> Result<()> {
    cargo(build, task, &["--package", "wasmlinux", "--bins", "--examples"])
}

fn cargo(build: &Build, task: &Task, what: &[&str]) -> Result<()> {
    let _cargo = build.cargo();
    let mut cargo = build.project.cargo();
    cargo.args(["build", "--release", "--color=never"]).args(what);
    task.run(cargo)
}
