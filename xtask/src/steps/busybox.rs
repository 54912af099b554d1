//! Busybox in its default configuration.

use super::{Build, Step, jobs};
use crate::support::cache::{Key, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// What its build needs of ours.
const FOLDER: &str = "guest/userland/busybox";
/// One link. Busybox's own script links again and again to find out which libraries are needed;
/// libc is all there is, and finishing such a large program takes long.
const LINK: &str = "$(CC) $(CFLAGS) $(CFLAGS_busybox) -o $@ -Wl,--start-group $(core-y) $(libs-y) -Wl,--end-group";

/// The step: a node with `busybox`, and `busybox.links`, which lists the names of its applets.
pub(super) fn build(build: &Build, task: &Task) -> Result<()> {
    let (source, cc) = (build.done(Step::BusyboxSource)?, build.done(Step::Cc)?);
    let folder = build.source(FOLDER);
    let key = || Key::new(include_str!("busybox.rs")).node("source", &source).node("cc", &cc).tree("ours", &folder);
    let node = build.store.node(task, key, |place: &Workplace| {
        let tree = place.work.join("busybox");
        files::copy_tree(&source.out, &tree)?;
        task.status("configures");
        let mut configure = make(&tree, &cc.out.join("bin"), &folder);
        configure.arg("defconfig");
        task.run(configure)?;
        let mut compile = make(&tree, &cc.out.join("bin"), &folder);
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

fn make(tree: &Path, tools: &Path, ours: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(tree).args(["HOSTCC=gcc", "SKIP_STRIP=y", "KBUILD_VERBOSE=0"]);
    for (variable, tool) in
        [("CC", "cc"), ("LD", "ld"), ("AR", "ar"), ("NM", "nm"), ("STRIP", "strip"), ("OBJCOPY", "objcopy")]
    {
        make.arg(format!("{variable}={}", tools.join(format!("wasmlinux-{tool}")).display()));
    }
    // The kernel's headers have lost what one file still asks for.
    make.arg(format!("CFLAGS_tc.o=-include {}", ours.join("cbq.h").display()));
    make.env("cmd_busybox__", LINK).env("WASMLINUX_FORK_QUIET", ours.join("fork.quiet"));
    // busybox prints the date of its build.
    make.env_remove("MAKEFLAGS").env("LC_ALL", "C").env("SOURCE_DATE_EPOCH", "0").env("KCONFIG_NOTIMESTAMP", "1");
    make
}
