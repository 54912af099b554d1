//! `cargo xtask clean`.

use crate::support::files;
use crate::support::project::Project;
use anyhow::Result;
use std::process::ExitCode;

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Empty the cache too, which all checkouts share
    #[arg(long)]
    cache: bool,
}

/// Runs the verb: removes target/guest, and what Cargo built.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let project = Project::find()?;
    files::remove(&project.guest)?;
    files::remove(&project.target.join("release"))?;
    if arguments.cache {
        files::remove(&project.cache)?;
    }
    Ok(ExitCode::SUCCESS)
}
