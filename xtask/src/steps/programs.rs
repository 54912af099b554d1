//! init and the programs of ours: `guest/userland`.

use super::{Build, Step};
use crate::support::cache::{Key, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

const INIT: &str = "guest/userland/init";
const PROGRAMS: &str = "guest/userland/programs";
const FLAGS: [&str; 4] = ["-O2", "-Wall", "-Wextra", "-Werror"];

fn c_files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(files::sorted(folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "c")).collect())
}

/// The step: a node with the compiled programs.
pub(super) fn build(build: &Build, task: &Task) -> Result<()> {
    let cc = build.done(Step::Cc)?;
    let key = || {
        let key = Key::new(include_str!("programs.rs"))
            .node("cc", &cc)
            .text("control", &wasmlinux_boundary::control_header());
        key.tree("init", &build.source(INIT))?.tree("programs", &build.source(PROGRAMS))
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        let include = place.work.join("include");
        files::write(&include.join("control.h"), wasmlinux_boundary::control_header())?;
        let compile = |name: &str, sources: Vec<PathBuf>| {
            task.status(&format!("compiles {name}"));
            let mut command = Command::new(cc.out.join("bin/wasmlinux-cc"));
            command.args(FLAGS).arg("-I").arg(&include).args(sources).arg("-o").arg(place.out.join(name));
            task.run(command)
        };
        files::folder(&place.out)?;
        compile("init", c_files(&build.source(INIT))?)?;
        for source in c_files(&build.source(PROGRAMS))? {
            let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            compile(&name, vec![source])?;
        }
        Ok(())
    })?;
    build.keep(Step::Programs, node);
    Ok(())
}
