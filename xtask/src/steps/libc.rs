//! The sysroot: musl with our architecture, and the kernel's headers. `guest/libc/README.md`
//! explains the recipe.

use super::{Build, Step, extras, jobs};
use crate::support::cache::{Key, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

const OVERLAY: &str = "guest/libc/musl";
const PATCHES: &str = "guest/libc/patches";
const FLAGS: &str = "-O2 -matomics -mbulk-memory -mmutable-globals -msign-ext -mnontrapping-fptoint -mexception-handling \
    -mllvm -wasm-enable-sjlj -fno-math-errno -fno-strict-aliasing -fms-volatile -D__linux__ -D__unix__ -w -Werror=incompatible-function-pointer-types";
/// Objects that programs are linked with.
const OBJECTS: [&str; 4] = ["crt1.o", "end.o", "edata.o", "etext.o"];
/// Libraries that builds ask for by name, and that are in libc.a.
const EMPTY: [&str; 8] = ["m", "rt", "pthread", "crypt", "util", "xnet", "resolv", "dl"];

/// The step: a node with `include` and `lib`.
pub(super) fn sysroot(build: &Build, task: &Task) -> Result<()> {
    let (source, headers) = (build.done(Step::LibcSource)?, build.done(Step::KernelHeaders)?);
    let key = || {
        let key =
            extras::key(Key::new(include_str!("libc.rs"))).node("source", &source).node("kernel headers", &headers);
        key.text("compiler", &build.packages.compiler()?)
            .tree("overlay", &build.source(OVERLAY))?
            .tree("patches", &build.source(PATCHES))
    };
    let node = build.store.node(task, key, |place: &Workplace| {
        task.status("lays our files over musl");
        let tree = place.work.join("musl");
        files::copy_tree(&source.out, &tree)?;
        files::copy_tree(&build.source(OVERLAY), &tree)?;
        for patch in files::sorted(&build.source(PATCHES))? {
            let mut command = Command::new("patch");
            command.args(["--strip=1", "--fuzz=0", "--directory"]).arg(&tree).arg("--input").arg(patch);
            task.run(command)?;
        }
        let config = format!(
            "ARCH = wasm32\nprefix = {}\nCC = clang-19 --target=wasm32-unknown-unknown\nAR = llvm-ar-19\nRANLIB = llvm-ranlib-19\nCFLAGS_AUTO = {FLAGS}\n",
            place.out.display()
        );
        files::write(&tree.join("config.mak"), config)?;
        task.status("compiles");
        let mut make = Command::new("make");
        make.arg("-C").arg(&tree).arg(jobs()).args(["lib/libc.a", "install-headers"]);
        make.args(OBJECTS.map(|object| format!("lib/{object}"))).env_remove("MAKEFLAGS").env("LC_ALL", "C");
        task.run(make)?;
        install(&tree, &headers.out, &place.out)?;
        extras::add(build, task, place, FLAGS)
    })?;
    build.keep(Step::Libc, node);
    Ok(())
}

/// What `install-headers` leaves out.
fn install(tree: &Path, headers: &Path, out: &Path) -> Result<()> {
    let lib = out.join("lib");
    for file in OBJECTS.into_iter().chain(["libc.a"]) {
        files::copy(&tree.join("lib").join(file), &lib.join(file))?;
    }
    for name in EMPTY {
        files::write(&lib.join(format!("lib{name}.a")), "!<arch>\n")?;
    }
    files::copy_tree(&headers.join("include"), &out.join("include"))
}
