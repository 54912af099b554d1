//! Compiling the programs of `programs/`, once for each content.
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Run, wasmlinux_cc, workspace};

/// The flags of both compilers.
const FLAGS: [&str; 4] = ["-O2", "-std=gnu11", "-Wall", "-Wno-unused-result"];

/// A program's executables.
pub struct Built {
    /// For this machine.
    pub native: PathBuf,
    /// For WasmLinux.
    pub guest: PathBuf,
}

impl Built {
    /// Builds `programs/NAME.c` for both.
    pub fn new(name: &str) -> Self {
        Self { native: native(name), guest: guest(name) }
    }
}

/// The directory of the sources.
pub fn sources() -> PathBuf {
    workspace().join("tests/programs")
}

/// `programs/NAME.c`, for this machine.
pub(crate) fn native(name: &str) -> PathBuf {
    // gcc rather than the guest's clang: the oracle shares as little with the product as it can.
    build(Path::new("gcc"), name, "native", &["-pthread"])
}

/// `programs/NAME.c`, for WasmLinux.
pub(crate) fn guest(name: &str) -> PathBuf {
    build(&wasmlinux_cc(), name, "guest", &[])
}

/// The executable that `cc` makes of a source: found under the hash of all it is made from, or
/// compiled now.
fn build(cc: &Path, name: &str, kind: &str, more: &[&str]) -> PathBuf {
    let source = sources().join(name).with_extension("c");
    let mut hash = DefaultHasher::new();
    (cc, kind, more, FLAGS).hash(&mut hash);
    for file in
        [source.clone()].into_iter().chain(["common.h", "process.h", "access_order.h"].map(|h| sources().join(h)))
    {
        std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).hash(&mut hash);
    }
    if kind == "guest" {
        // The compiler and the libc that it links are the product under test: what they build
        // changes with them.
        for file in [cc, &workspace().join("target/guest/sysroot/lib/libc.a")] {
            if let Ok(meta) = std::fs::metadata(file) {
                (meta.len(), meta.modified().ok()).hash(&mut hash);
            }
        }
    }
    let dir = workspace().join("target/tests");
    std::fs::create_dir_all(&dir).expect("the folder target/tests");
    let path = dir.join(format!("{name}-{kind}-{:016x}", hash.finish()));
    if path.exists() {
        return path;
    }
    // Tests run at the same time: each compiles under a name of its own, and the last rename wins.
    let new = path.with_extension(std::process::id().to_string());
    let run = Run::new(cc).args(FLAGS).args(more).arg(&source).arg("-o").arg(&new).arg("-lm");
    let output = run.limit(Duration::from_secs(240)).output();
    assert!(output.status == 0, "{} of {name}.c: {}", cc.display(), output.errors());
    std::fs::rename(&new, &path).expect("keeping what was compiled");
    path
}
