//! `cargo xtask bench`.

use crate::build::{Consent, bring};
use crate::steps::Step;
use crate::support::task::exit_code;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    consent: Consent,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Further arguments of the benchmark program
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs the verb.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let build = bring(&arguments.consent, Step::Wasmlinux)?;
    let mut command = build.project.cargo();
    command.args(["run", "--quiet", "--release", "--manifest-path", "bench/Cargo.toml", "--"]);
    if arguments.json {
        command.arg("--json");
    }
    command.args(&arguments.rest);
    Ok(exit_code(command.status().context("cannot run cargo")?))
}
