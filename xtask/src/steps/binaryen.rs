//! Binaryen as published on npm: a newer one than Debian's is needed for the exceptions that
//! engines take.

use super::{Build, Step};
use crate::support::cache::{Key, Workplace};
use crate::support::task::Task;
use crate::support::{digest, files};
use anyhow::{Context, Result};
use std::process::Command;

const PACKAGE: &str = "binaryen@132.0.0";
const ARCHIVE: &str = "binaryen-132.0.0.tgz";
/// What the npm registry says about it (there in base 64).
const SHA512: &str = "e14b20ef212fc0edc532ca373a8bfaaa438e1d2a1dd4812ff9ba0a921efb91396333e78d068baa0936ea5acc06cdb1bebc334efdbfefd82e207c48755a007d2e";

/// The step: a node with the unpacked package.
pub(super) fn fetch(build: &Build, task: &Task) -> Result<()> {
    let key = || Ok(Key::new(include_str!("binaryen.rs")));
    let node = build.store.node(task, key, |place: &Workplace| {
        task.status("fetches it from npm");
        let mut pack = Command::new("npm");
        pack.args(["pack", "--loglevel=error", PACKAGE]).current_dir(&place.work);
        task.run(pack)?;
        let archive = place.work.join(ARCHIVE);
        digest::expect_sha512(&archive, SHA512)?;
        files::folder(&place.out)?;
        let mut unpack = Command::new("tar");
        unpack.arg("-xf").arg(&archive).arg("-C").arg(&place.out).args(["--strip-components=1", "--no-same-owner"]);
        // The tools that a build uses; the package has the library and all other tools too.
        unpack.args(["package/package.json", "package/LICENSE"]).args(TOOLS.map(|tool| format!("package/bin/{tool}")));
        task.run(unpack).context("Binaryen's package is not as expected")
    })?;
    build.keep(Step::Binaryen, node);
    Ok(())
}

/// What is taken from the package's `bin`.
const TOOLS: [&str; 2] = ["wasm-opt", "package.json"];
