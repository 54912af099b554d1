//! `cargo xtask test`.

use crate::build::{Consent, bring};
use crate::conformance;
use crate::ports;
use crate::steps::{Build, Step};
use crate::support::task::exit_code;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode, Stdio};

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    consent: Consent,
    /// Run the kernel's own selftests and busybox's instead (or only `selftests` or `busybox`),
    /// natively and in the machine, and write docs/conformance.md
    #[arg(long, conflicts_with = "stress")]
    conformance: bool,
    /// Build programs of others instead (Lua, cJSON, PCRE2), and run their tests natively and in
    /// the machine
    #[arg(long, conflicts_with_all = ["stress", "conformance"])]
    ports: bool,
    /// Run the stress instead, for so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300")]
    stress: Option<u64>,
    /// What stress and random hostile programs do is chosen by this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run hostile programs instead, fixed ones and random ones, for about so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300",
        conflicts_with_all = ["stress", "conformance", "ports"])]
    hostile: Option<u64>,
    /// Parts of the names of tests, and options of cargo nextest; without any, all tests run
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filters: Vec<String>,
}

#[cfg(test)]
impl Arguments {
    /// Whether the command line said just this.
    pub(crate) fn is_plain(&self, yes: bool, rest: &[&str]) -> bool {
        self.consent.yes == yes && self.filters == rest
    }
}

/// Runs the verb.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let build = bring(&arguments.consent, Step::Wasmlinux)?;
    if arguments.conformance {
        return conformance::run(&build, &arguments.filters);
    }
    if arguments.ports {
        return ports::run(&build);
    }
    nextest(&build)?;
    let mut command = build.project.cargo();
    command.args(["nextest", "run", "--release"]);
    let seed = arguments.seed.to_string();
    match (arguments.stress, arguments.hostile) {
        (Some(seconds), _) => {
            command.args(["--package", "wasmlinux-tests", "--test", "stress", "--no-capture", "at_random"]);
            command.env("WASMLINUX_STRESS_SECONDS", seconds.to_string()).env("WASMLINUX_STRESS_SEED", seed);
        }
        (None, Some(seconds)) => {
            command.args(["--package", "wasmlinux-tests", "--test", "hostile", "--success-output", "final"]);
            command.env("WASMLINUX_HOSTILE_SECONDS", seconds.to_string()).env("WASMLINUX_HOSTILE_SEED", seed);
        }
        (None, None) => {
            command.arg("--workspace");
        }
    }
    command.args(&arguments.filters);
    let status = command.status().context("cannot run cargo nextest")?;
    let all = arguments.stress.is_none() && arguments.hostile.is_none() && arguments.filters.is_empty();
    if !status.success() || !all {
        return Ok(exit_code(status));
    }
    // The examples of the documentation, which nextest does not run.
    let mut examples = build.project.cargo();
    examples.args(["test", "--release", "--workspace", "--doc", "--quiet"]);
    Ok(exit_code(examples.status().context("cannot run cargo test")?))
}

/// Installs the test runner if it is not there.
fn nextest(build: &Build) -> Result<()> {
    let there = Command::new("cargo-nextest")
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    build.extra("cargo-nextest", |task| {
        task.status("installs the test runner with cargo");
        let mut install = build.project.cargo();
        install.args(["install", "--locked", "--color=never", "cargo-nextest"]);
        task.run(install)
    })
}
