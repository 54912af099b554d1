//! `cargo xtask run`.

use crate::build::{Consent, bring};
use crate::steps::Step;
use crate::support::task::exit_code;
use anyhow::{Context, Result};
use std::io::IsTerminal;
use std::process::{Command, ExitCode};

/// What runs if nothing is named and there is no terminal for a shell: a program of ours that shows
/// its arguments, its environment and the kernel that it runs on.
const DEMONSTRATION: [&str; 6] = ["-e", "GREETING=hello from outside", "--", "demo", "one", "two words"];

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    consent: Consent,
    /// What follows `wasmlinux run`: options, a command, its arguments; without any, a shell in
    /// this terminal, or a demonstration where there is none
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[cfg(test)]
impl Arguments {
    /// Whether the command line said just this.
    pub(crate) fn is_plain(&self, yes: bool, rest: &[&str]) -> bool {
        self.consent.yes == yes && self.command == rest
    }
}

/// Runs the verb.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let build = bring(&arguments.consent, Step::Wasmlinux)?;
    let program = build.project.release("wasmlinux");
    let mut command = Command::new(&program);
    command.arg("run");
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if arguments.command.is_empty() && !terminal {
        command.args(DEMONSTRATION);
    } else {
        command.args(&arguments.command);
    }
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    Ok(exit_code(status))
}
