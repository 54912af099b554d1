//! The kernel: Debian's source, our patches, our `arch/wasm`.
//!
//! The patched source is a node that later steps build in, under a lock: a change of a file of ours
//! compiles again what depends on it, in whichever checkout it was made. What comes out (headers,
//! image) are nodes of their own.

use super::{Build, Step, jobs};
use crate::support::cache::{Key, Node, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package puts the source.
const ARCHIVE: &str = "/usr/src/linux-source-6.12.tar.xz";
const PATCHES: &str = "guest/kernel/patches";
const ARCH: &str = "guest/kernel/arch/wasm";
/// Parts of `ARCH` that the headers for programs come from.
const HEADERS: [&str; 3] = ["include/uapi", "Makefile", "kernel/Makefile.syscalls"];
/// Large parts of the source that no build for this architecture reads, as patterns of tar.
const UNUSED: [&str; 5] = [
    "*/Documentation/*/*",
    "*/arch/*/boot/dts/*/*",
    "*/drivers/gpu/drm/amd/include/*",
    "*/drivers/gpu/drm/*/*.[ch]",
    "*/tools/testing/*/*",
];

/// The step: the source with our patches.
pub(super) fn source(build: &Build, task: &Task) -> Result<()> {
    let key = || {
        let key = Key::new("")
            .opaque()
            .text("source", build.packages.version("linux-source-6.12")?)
            .text("compiler", &build.packages.compiler()?);
        key.text("unused", &UNUSED.join(" ")).tree("patches", &build.source(PATCHES))
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        room(&place.out)?;
        task.status("unpacks the source");
        let mut unpack = Command::new("tar");
        unpack
            .args(["--extract", "--xz", "--file", ARCHIVE, "--strip-components=1", "--no-same-owner", "--directory"])
            .arg(&place.out);
        unpack.args(UNUSED.map(|pattern| format!("--exclude={pattern}")));
        task.run(unpack)?;
        for patch in patches(build)? {
            let mut command = Command::new("patch");
            command.args(["--strip=1", "--fuzz=0", "--directory"]).arg(&place.out).arg("--input").arg(patch);
            task.run(command)?;
        }
        Ok(())
    })?;
    build.keep(Step::KernelSource, node);
    Ok(())
}

/// The step: the headers for programs.
pub(super) fn headers(build: &Build, task: &Task) -> Result<()> {
    let source = build.done(Step::KernelSource)?;
    let key = || {
        let mut key = Key::new(include_str!("kernel.rs")).node("source", &source);
        for part in HEADERS {
            key = key.tree(part, &build.source(ARCH).join(part))?;
        }
        Ok(key)
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        let _lock = build.store.lock(task, &tree_lock(&source))?;
        lay(build, &source)?;
        let mut install = make(&source.out);
        install.arg(format!("INSTALL_HDR_PATH={}", place.out.display())).arg("headers_install");
        task.run(install)
    })?;
    build.keep(Step::KernelHeaders, node);
    Ok(())
}

/// The step: `vmlinux.wasm`.
pub(super) fn image(build: &Build, task: &Task) -> Result<()> {
    let source = build.done(Step::KernelSource)?;
    let key = || {
        let key = Key::new(include_str!("kernel.rs"))
            .node("source", &source)
            .text("boundary", &wasmlinux_boundary::machine_header());
        key.tree("arch", &build.source(ARCH))
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        let _lock = build.store.lock(task, &tree_lock(&source))?;
        lay(build, &source)?;
        task.status("configures");
        let mut configure = make(&source.out);
        configure.arg("wasm_defconfig");
        task.run(configure)?;
        let mut link = make(&source.out);
        link.arg(jobs()).arg("vmlinux.wasm");
        task.run(link)?;
        files::copy(&source.out.join("vmlinux.wasm"), &place.out.join("vmlinux.wasm"))?;
        files::copy(&source.out.join(".config"), &place.out.join("config"))
    })?;
    build.install(&node, "vmlinux.wasm")?;
    build.keep(Step::Kernel, node);
    Ok(())
}

/// Lays our files over the source.
fn lay(build: &Build, source: &Node) -> Result<()> {
    let arch = source.out.join("arch/wasm");
    files::sync(&build.source(ARCH), &arch, &source.out.join(".wasmlinux-files"))?;
    let (header, text) = (arch.join("include/asm/boundary.h"), wasmlinux_boundary::machine_header());
    if std::fs::read_to_string(&header).ok().as_deref() != Some(&text) {
        files::write(&header, text)?;
    }
    Ok(())
}

fn make(tree: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(tree).args(["ARCH=wasm", "LLVM=-19", "LLVM_IAS=1", "LD=wasm-ld-19"]);
    // The same image from the same source, whoever builds it.
    make.args([
        "KBUILD_BUILD_TIMESTAMP=1970-01-01",
        "KBUILD_BUILD_USER=wasmlinux",
        "KBUILD_BUILD_HOST=wasmlinux",
        "KBUILD_BUILD_VERSION=1",
    ]);
    make.env_remove("MAKEFLAGS").env("LC_ALL", "C");
    make
}

fn tree_lock(source: &Node) -> String {
    format!("kernel-tree-{}", source.digest)
}

fn patches(build: &Build) -> Result<Vec<PathBuf>> {
    let all = files::sorted(&build.source(PATCHES))?;
    Ok(all.into_iter().filter(|path| path.extension().is_some_and(|end| end == "patch")).collect())
}

/// Fails early where the disk has too little room for the kernel and what comes after it.
fn room(folder: &Path) -> Result<()> {
    const NEEDED: u64 = 6 << 30;
    let output = Command::new("df").args(["--output=avail", "--block-size=1"]).arg(folder).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.lines().last().and_then(|line| line.trim().parse::<u64>().ok()) {
        Some(free) if free < NEEDED => bail!(
            "the disk of {} has {} MB left, and a first build needs {} MB; the environment variable WASMLINUX_CACHE can name a directory on another disk",
            folder.display(),
            free >> 20,
            NEEDED >> 20
        ),
        _ => Ok(()),
    }
}
