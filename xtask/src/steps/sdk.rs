//! The SDK as others get it: compiler driver, sysroot and what builds need to find them, in one
//! directory that works anywhere.

use super::{Build, Step};
use crate::support::files;
use anyhow::{Context, Result, bail};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is written for the SDK only.
pub(crate) const FOLDER: &str = "guest/sdk";
/// The target's name, as configure scripts have it with `--host`.
pub(crate) const TARGET: &str = "wasm32-unknown-linux-musl";
/// Tools under that name.
const TOOLS: [(&str, &str); 11] = [
    ("cc", "cc"),
    ("gcc", "cc"),
    ("ar", "ar"),
    ("ranlib", "ranlib"),
    ("nm", "nm"),
    ("strip", "strip"),
    ("ld", "ld"),
    ("objcopy", "objcopy"),
    ("objdump", "objdump"),
    ("size", "size"),
    ("pkg-config", "pkg-config"),
];

/// Puts the SDK into a directory that is not there yet. Needs the step `cc`.
pub(crate) fn assemble(build: &Build, to: &Path) -> Result<()> {
    let ours = build.source(FOLDER);
    let toolchain = build.done(Step::Cc)?.out;
    for part in ["bin", "sysroot", "lib"] {
        files::copy_tree(&toolchain.join(part), &to.join(part))?;
    }
    // The prefix /usr, which most builds want for libraries, is the sysroot itself.
    files::point(&to.join("sysroot/usr"), ".".as_ref())?;
    let builtins = builtins(&toolchain.join("bin/wasmlinux-cc"))?;
    files::copy(&builtins, &to.join("sysroot/lib").join(builtins.file_name().context("a library without a name")?))?;
    for script in ["wasmlinux-exec", "wasmlinux-pkg-config"] {
        files::copy(&ours.join(script), &to.join("bin").join(script))?;
    }
    for (name, tool) in TOOLS {
        let path = to.join("bin").join(format!("{TARGET}-{name}"));
        files::write(&path, format!("#!/bin/sh\nexec \"${{0%/*}}/wasmlinux-{tool}\" \"$@\"\n"))?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    }
    for file in ["wasmlinux.cmake", "wasmlinux-rules.cmake"] {
        files::copy(&ours.join(file), &to.join("share/cmake").join(file))?;
    }
    files::copy_tree(&ours.join("examples"), &to.join("examples"))
}

/// The compiler's run-time library: with it in the sysroot, clang and lld are enough.
fn builtins(cc: &Path) -> Result<PathBuf> {
    let output = Command::new(cc).arg("-print-libgcc-file-name").output().context("cannot run wasmlinux-cc")?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !path.is_file() {
        bail!("the compiler's run-time library is missing: install libclang-rt-19-dev-wasm32");
    }
    Ok(path)
}
