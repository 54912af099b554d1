//! Busybox in its default configuration.

use super::{Build, Step, jobs};
use crate::support::cache::{Key, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

const CHANGES: &str = "guest/userland/busybox/config";

/// The step: a node with `busybox`, and `busybox.links`, which lists the names of its applets.
pub(super) fn build(build: &Build, task: &Task) -> Result<()> {
    let (source, cc) = (build.done(Step::BusyboxSource)?, build.done(Step::Cc)?);
    let key = || Key::new(include_str!("busybox.rs")).node("source", &source).node("cc", &cc).tree("changes", &build.source(CHANGES));
    let node = build.store.node(task, key, |place: &Workplace| {
        let tree = place.work.join("busybox");
        files::copy_tree(&source.out, &tree)?;
        task.status("configures");
        let mut configure = make(&tree, &cc.out.join("bin"));
        configure.arg("defconfig");
        task.run(configure)?;
        change(&tree.join(".config"), &std::fs::read_to_string(build.source(CHANGES))?)?;
        let mut compile = make(&tree, &cc.out.join("bin"));
        compile.arg(jobs()).args(["busybox", "busybox.links"]);
        task.run(compile)?;
        for name in ["busybox", "busybox.links"] {
            files::copy(&tree.join(name), &place.out.join(name))?;
        }
        files::copy(&tree.join(".config"), &place.out.join("busybox.config"))
    })?;
    build.keep(Step::Busybox, node);
    Ok(())
}

/// Replaces the lines of a configuration that set the same options as those of `changes`.
fn change(config: &Path, changes: &str) -> Result<()> {
    let option = |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|word| word.starts_with("CONFIG_")).map(str::to_owned);
    let changes: Vec<_> = changes.lines().filter(|line| line.starts_with("CONFIG_") || line.ends_with(" is not set")).collect();
    let changed: Vec<_> = changes.iter().filter_map(|line| option(line)).collect();
    let text = std::fs::read_to_string(config)?;
    let kept = text.lines().filter(|line| option(line).is_none_or(|option| !changed.contains(&option)));
    let lines: Vec<_> = kept.chain(changes.iter().copied()).collect();
    files::write(config, lines.join("\n") + "\n")
}

fn make(tree: &Path, tools: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(tree).args(["HOSTCC=gcc", "SKIP_STRIP=y", "KBUILD_VERBOSE=0"]);
    for (variable, tool) in
        [("CC", "cc"), ("LD", "ld"), ("AR", "ar"), ("NM", "nm"), ("STRIP", "strip"), ("OBJCOPY", "objcopy")]
    {
        make.arg(format!("{variable}={}", tools.join(format!("wasmlinux-{tool}")).display()));
    }
    // busybox prints the date of its build.
    make.env_remove("MAKEFLAGS").env("LC_ALL", "C").env("SOURCE_DATE_EPOCH", "0").env("KCONFIG_NOTIMESTAMP", "1");
    make
}
