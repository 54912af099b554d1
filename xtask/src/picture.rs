//! `cargo xtask picture`.

use crate::build::{Consent, bring};
use crate::steps::Step;
use crate::support::task::exit_code;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Where the picture in README.md lies.
const PICTURE: &str = "docs/session.svg";

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    consent: Consent,
}

/// Runs the verb.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let build = bring(&arguments.consent, Step::Wasmlinux)?;
    let mut command = build.project.cargo();
    command.args(["run", "--quiet", "--release", "--package", "wasmlinux", "--example", "picture", "--", PICTURE]);
    Ok(exit_code(command.status().context("cannot run cargo")?))
}
