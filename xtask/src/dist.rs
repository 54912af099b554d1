//! `cargo xtask dist`: what others get, in one archive, tried as they would.

use crate::build::{Consent, bring};
use crate::steps::{Build, Step, sdk};
use crate::support::files;
use crate::support::task::Task;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    consent: Consent,
}

/// Makes `target/dist/wasmlinux-VERSION-x86_64-linux.tar.xz`; the same sources and tools give the
/// same bytes.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let build = bring(&arguments.consent, Step::Wasmlinux)?;
    let name = format!("wasmlinux-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let place = build.project.target.join("dist");
    let archive = place.join(format!("{name}.tar.xz"));
    build.extra("dist", |task| {
        task.status("puts the files together");
        files::remove(&place)?;
        fill(&build, task, &place.join(&name))?;
        task.status("packs");
        pack(task, &place, &name, &archive)?;
        task.status("tries it in an empty directory");
        attempt(&build, task, &archive, &name)
    })?;
    let size = std::fs::metadata(&archive)?.len();
    println!("{} ({} MB)", build.project.short(&archive), size.div_ceil(1_000_000));
    Ok(ExitCode::SUCCESS)
}

/// The directory that the archive unpacks to.
fn fill(build: &Build, task: &Task, to: &Path) -> Result<()> {
    let root = &build.project.root;
    sdk::assemble(build, to)?;
    files::copy(&build.project.release("wasmlinux"), &to.join("bin/wasmlinux"))?;
    let mut strip = Command::new("strip");
    strip.arg(to.join("bin/wasmlinux")).arg(to.join("bin/wasmlinux-cc"));
    task.run(strip)?;
    files::copy(&root.join(sdk::FOLDER).join("README.md"), &to.join("README.md"))?;
    for page in ["porting.md", "abi.md"] {
        files::copy(&root.join("docs").join(page), &to.join("doc").join(page))?;
    }
    licences(build, &to.join("licences"))
}

/// The licences of all that is in the archive, and where the sources are.
fn licences(build: &Build, to: &Path) -> Result<()> {
    let root = &build.project.root;
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "LICENSE-GPL-2.0"] {
        files::copy(&root.join(name), &to.join(name))?;
    }
    let (libc, busybox) = (build.done(Step::LibcSource)?.out, build.done(Step::BusyboxSource)?.out);
    files::copy(&build.done(Step::KernelSource)?.out.join("COPYING"), &to.join("linux"))?;
    files::copy(&libc.join("COPYRIGHT"), &to.join("musl"))?;
    files::copy(&busybox.join("LICENSE"), &to.join("busybox"))?;
    files::copy(&build.done(Step::Binaryen)?.out.join("LICENSE"), &to.join("binaryen"))?;
    files::copy(Path::new("/usr/share/doc/libclang-rt-19-dev-wasm32/copyright"), &to.join("compiler-rt"))?;
    files::copy(Path::new("/usr/share/common-licenses/LGPL-2.1"), &to.join("obstack"))?;
    let mut cargo = build.project.cargo();
    cargo.args(["tree", "--package=wasmlinux", "--package=wasmlinux-cc", "--edges=normal", "--prefix=none"]);
    let output = cargo.args(["--no-dedupe", "--format={p}: {l}"]).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo cannot list the crates: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Our own have a directory behind their name, which is nobody's business.
    let mut crates: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.contains(" (/")).collect();
    crates.sort_unstable();
    crates.dedup();
    files::write(&to.join("crates"), crates.join("\n") + "\n")?;
    let text = "`bin/wasmlinux` contains Linux and busybox (GPL-2.0: files linux, busybox), musl (MIT: musl) and the Rust crates listed in crates. The sources of\n\
                Linux, busybox and musl are Debian 12's source packages linux, busybox and musl with the patches in WasmLinux' repository; `cargo xtask build` there\n\
                fetches and builds them. Who passes the program on must offer them. The SDK contains musl, Linux' headers (GPL-2.0 WITH Linux-syscall-note), compiler-rt and Binaryen\n\
                (Apache-2.0), and in its libc.a the objects fts (BSD: its header) and obstack (LGPL-2.1 or later: obstack; linked into programs that use obstack.h only), from\n\
                Debian 12's source packages rpm and libiberty, and sys/queue.h (BSD: its text) from libbsd. WasmLinux' own Rust code is MIT or Apache-2.0, as you like; its part of Linux is GPL-2.0, its part of musl MIT.\n";
    files::write(&to.join("README"), text)
}

/// Times, owners and order say nothing about who packed it when.
fn pack(task: &Task, place: &Path, name: &str, archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    tar.args(["--mode=u+rw,go+r-w,a+X", "--use-compress-program=xz --threads=2 -6", "--file"]).arg(archive);
    tar.arg("--directory").arg(place).arg(name);
    task.run(tar)
}

/// As somebody new to it would: unpack it in an empty directory, compile the example, run it.
/// Nothing of the checkout is known there.
fn attempt(build: &Build, task: &Task, archive: &Path, name: &str) -> Result<()> {
    let place = std::env::temp_dir().join(format!("wasmlinux-dist-{}", std::process::id()));
    files::remove(&place)?;
    files::folder(&place)?;
    let result = compare(build, task, archive, &place, name);
    files::remove(&place)?;
    result
}

fn compare(build: &Build, task: &Task, archive: &Path, place: &Path, name: &str) -> Result<()> {
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(place);
    task.run(unpack)?;
    let script = format!(
        "{name}/bin/wasmlinux-cc -O2 -Wall -Werror {name}/examples/hello.c -o hello && {name}/bin/wasmlinux run --add ./hello:/bin/hello hello reader && \
         {name}/bin/{}-gcc -E -dM -x c /dev/null > /dev/null && {name}/bin/wasmlinux-exec hello reader",
        sdk::TARGET
    );
    let ours = output(
        Command::new("sh").args(["-c", &script]).current_dir(place).env_clear().env("PATH", PATH).env("HOME", place),
    )?;
    let hello = build.project.root.join(sdk::FOLDER).join("examples/hello.c");
    let native = place.join("native");
    let mut gcc = Command::new("gcc");
    gcc.arg(hello).arg("-o").arg(&native);
    task.run(gcc)?;
    let expected = output(Command::new(native).arg("reader"))?.repeat(2);
    if ours != expected {
        bail!("the example printed {ours:?} where it prints {expected:?} natively");
    }
    Ok(())
}

/// Where clang, lld and Node.js are.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().context("cannot start a command")?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("what was packed does not work: it ended with {}: {out}{err}", output.status);
    }
    Ok(out.into_owned())
}
