//! `cargo xtask build`.

use crate::steps::{Build, Step};
use crate::support::ui::duration;
use anyhow::Result;
use std::process::ExitCode;
use std::time::Instant;

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    consent: Consent,
    /// Build this step and what it needs, not all
    #[arg(long, value_name = "STEP")]
    only: Option<Step>,
}

/// The option of all verbs that build.
#[derive(clap::Args)]
pub(crate) struct Consent {
    /// Install missing packages without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Runs the verb.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    bring(&arguments.consent, arguments.only.unwrap_or(Step::Wasmlinux))?;
    Ok(ExitCode::SUCCESS)
}

/// Brings a step up to date, and says so.
pub(crate) fn bring(consent: &Consent, goal: Step) -> Result<Build> {
    let started = Instant::now();
    let build = Build::new(consent.yes)?;
    let worked = build.bring(goal)?;
    let what = if worked == 0 { "up to date" } else { "built" };
    build.ui.line(&format!("{what} in {}", duration(started.elapsed())));
    Ok(build)
}
