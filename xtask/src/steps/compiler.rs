//! The compiler driver: a tree in which `bin/wasmlinux-cc` finds its sysroot and Binaryen beside
//! itself.

use super::{Build, Step};
use crate::support::cache::{Key, Workplace};
use crate::support::task::Task;
use crate::support::{crates, files};
use anyhow::Result;

const CRATE: &str = "wasmlinux-cc";
/// Names under which the program is another tool.
const COMPANIONS: [&str; 8] = ["ar", "ranlib", "nm", "strip", "ld", "objcopy", "objdump", "size"];

/// The step: the driver itself. Known by its sources, so that another checkout has it without
/// building it.
pub(super) fn tool(build: &Build, task: &Task) -> Result<()> {
    let key =
        || Ok(Key::new(include_str!("compiler.rs")).text("sources", &crates::closure(&build.project.root, CRATE)?));
    let node = build.store.node(task, key, |place: &Workplace| {
        let _cargo = build.cargo();
        task.status("builds with cargo");
        let mut cargo = build.project.cargo();
        cargo.args(["build", "--release", "--color=never", "--package", CRATE]);
        task.run(cargo)?;
        files::copy(&build.project.release(CRATE), &place.out.join(CRATE))
    })?;
    build.keep(Step::CcTool, node);
    Ok(())
}

/// The step: driver, companions, sysroot and Binaryen in one tree.
pub(super) fn toolchain(build: &Build, task: &Task) -> Result<()> {
    let (tool, sysroot, binaryen) = (build.done(Step::CcTool)?, build.done(Step::Libc)?, build.done(Step::Binaryen)?);
    let key = || {
        let key = Key::new(include_str!("compiler.rs"))
            .node("tool", &tool)
            .node("sysroot", &sysroot)
            .node("binaryen", &binaryen);
        Ok(key.text("compiler", &build.packages.compiler()?))
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        let bin = place.out.join("bin");
        files::link_tree(&tool.out, &bin)?;
        for companion in COMPANIONS {
            files::point(&bin.join(format!("wasmlinux-{companion}")), CRATE.as_ref())?;
        }
        // What is compiled depends on it as well, but it is not in this tree.
        files::write(&place.out.join("compiler"), build.packages.compiler()?)?;
        files::link_tree(&sysroot.out, &place.out.join("sysroot"))?;
        files::link_tree(&binaryen.out, &place.out.join("lib/binaryen"))
    })?;
    for name in ["bin", "sysroot", "lib"] {
        files::point(&build.project.guest.join(name), &node.out.join(name))?;
    }
    build.keep(Step::Cc, node);
    Ok(())
}
