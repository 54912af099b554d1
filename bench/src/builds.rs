//! Builds, which take minutes: only with `--full`.
use crate::measure::{seconds, workspace};
use crate::table::{Row, Target};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A file of ours in the kernel that much does not depend on.
const TOUCHED: &str = "guest/kernel/arch/wasm/kernel/process.c";

/// `cargo xtask VERB` without questions; its messages go to standard error.
fn xtask(verb: &str, more: &[(&str, PathBuf)]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["xtask", verb, "--yes"]).envs(more.iter().map(|(k, v)| (k, v))).current_dir(workspace());
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// Puts a file back as it was.
struct Restore(PathBuf, Vec<u8>);

impl Drop for Restore {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.0, &self.1) {
            eprintln!("cannot put {} back: {error}", self.0.display());
        }
    }
}

/// Building all after one file of the kernel has changed.
pub(crate) fn kernel_after_a_change() -> Row {
    let all = || -> Result<f64> {
        // Up to date first.
        xtask("build", &[])?;
        let path = workspace().join(TOUCHED);
        let before = std::fs::read(&path).with_context(|| format!("cannot read {TOUCHED}"))?;
        let restore = Restore(path.clone(), before.clone());
        // Another content each time: builds are cached by content.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        std::fs::write(
            &path,
            [before, format!("\nstatic const char __maybe_unused bench[] = \"{now}\";\n").into_bytes()].concat(),
        )?;
        let took = seconds(|| xtask("build", &[]))?;
        drop(restore);
        xtask("build", &[])?;
        Ok(took)
    };
    Row::new("kernel, one file of ours changed", "s", Some(Target::Most(30.0))).of(all())
}

/// `cargo xtask run` with nothing built or cached; what is downloaded stays where Cargo and apt
/// keep it.
pub(crate) fn from_nothing() -> Row {
    let all = || -> Result<f64> {
        let dir = workspace().join("target/bench/from-nothing");
        let _ = std::fs::remove_dir_all(&dir);
        let places = [("CARGO_TARGET_DIR", dir.join("target")), ("WASMLINUX_CACHE", dir.join("cache"))];
        let took = seconds(|| xtask("run", &places))?;
        std::fs::remove_dir_all(&dir)?;
        Ok(took)
    };
    Row::new("cargo xtask run, all in", "s", Some(Target::Most(900.0))).of(all())
}
