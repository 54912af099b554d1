//! What boots: the root file system, and the bundle of it with the kernel.

use super::{Build, Step};
use crate::support::cache::{Key, Workplace};
use crate::support::task::Task;
use crate::support::{crates, digest, files};
use anyhow::Result;
use std::fs;
use std::process::Command;

const MANIFEST: &str = "guest/userland/rootfs.manifest";
const FILES: &str = "guest/userland";

/// The step: `base.cpio`.
pub(super) fn rootfs(build: &Build, task: &Task) -> Result<()> {
    let (programs, busybox) = (build.done(Step::Programs)?, build.done(Step::Busybox)?);
    let key = || {
        let key = Key::new(include_str!("image.rs")).node("programs", &programs).node("busybox", &busybox);
        let key = key.text("image", &crates::closure(&build.project.root, "wasmlinux-image")?);
        key.tree("files", &build.source(FILES))
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        let manifest = fs::read_to_string(build.source(MANIFEST))?;
        let folders = [programs.out.as_path(), busybox.out.as_path(), &build.source(FILES)];
        let archive = wasmlinux_image::rootfs::build(&manifest, &folders)?;
        files::write(&place.out.join("base.cpio"), archive)
    })?;
    build.install(&node, "base.cpio")?;
    build.keep(Step::Rootfs, node);
    Ok(())
}

/// The step: `bundle`.
pub(super) fn bundle(build: &Build, task: &Task) -> Result<()> {
    let (kernel, rootfs) = (build.done(Step::Kernel)?, build.done(Step::Rootfs)?);
    let (programs, busybox) = (build.done(Step::Programs)?, build.done(Step::Busybox)?);
    let key = || {
        let key = Key::new(include_str!("image.rs")).opaque().node("kernel", &kernel).node("rootfs", &rootfs);
        let key = key.node("programs", &programs).node("busybox", &busybox);
        // Compiled code is for the processor's own extensions.
        let key = key.text("processor", &processor()?);
        Ok(key.text("bundler", &crates::closure(&build.project.root, "wasmlinux-bundle")?))
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        task.status("compiles kernel and programs to machine code");
        let mut command = Command::new(build.project.release("wasmlinux-bundle"));
        command
            .arg("--kernel")
            .arg(kernel.out.join("vmlinux.wasm"))
            .arg("--initramfs")
            .arg(rootfs.out.join("base.cpio"));
        for folder in [&programs.out, &busybox.out] {
            for name in files::below(folder)? {
                if is_program(&folder.join(&name))? {
                    command.arg("--program").arg(folder.join(&name));
                }
            }
        }
        command.arg("--output").arg(place.out.join("bundle"));
        task.run(command)
    })?;
    build.install(&node, "bundle")?;
    build.keep(Step::Bundle, node);
    Ok(())
}

/// Whether a file is a WebAssembly module.
fn is_program(path: &std::path::Path) -> Result<bool> {
    use std::io::Read;
    let mut start = Vec::new();
    fs::File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == b"\0asm")
}

/// What the processor can do.
fn processor() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    Ok(digest::text(
        text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features")).unwrap_or_default(),
    ))
}
