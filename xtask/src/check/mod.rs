//! `cargo xtask check`: what needs no built guest, but for the kernel's source.

mod checkpatch;
mod licences;
mod links;
mod width;

use crate::support::project::Project;
use anyhow::{Result, bail};
use std::process::{Command, ExitCode};

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Make only these checks
    #[arg(value_enum)]
    only: Vec<Check>,
}

/// One check.
#[derive(Clone, Copy, PartialEq, Debug, clap::ValueEnum)]
enum Check {
    /// Formatting of the Rust sources
    Fmt,
    /// Clippy without a warning
    Clippy,
    /// rustdoc without a warning
    Rustdoc,
    /// Licences of our files and of the crates that we use
    Licences,
    /// Relative links in Markdown files
    Links,
    /// Columns of comments and prose
    Width,
    /// The kernel's style, by its own checkpatch.pl; needs the kernel's source of a build
    Checkpatch,
}

const ALL: [Check; 7] =
    [Check::Fmt, Check::Licences, Check::Links, Check::Width, Check::Checkpatch, Check::Clippy, Check::Rustdoc];

/// Runs the verb: makes all checks, also after one has failed.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let project = Project::find()?;
    let mut failed = 0;
    for check in ALL.into_iter().filter(|check| arguments.only.is_empty() || arguments.only.contains(check)) {
        eprintln!("check: {check:?}");
        if let Err(error) = make(check, &project) {
            eprintln!("{error:#}");
            failed += 1;
        }
    }
    match failed {
        0 => eprintln!("check: all is well"),
        _ => eprintln!("check: {failed} failed"),
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn make(check: Check, project: &Project) -> Result<()> {
    match check {
        Check::Fmt => run(project.cargo(), &["fmt", "--all", "--check"]),
        Check::Clippy => run(project.cargo(), &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        Check::Rustdoc => {
            let mut cargo = project.cargo();
            cargo.env("RUSTDOCFLAGS", "-D warnings");
            run(cargo, &["doc", "--workspace", "--no-deps", "--document-private-items"])
        }
        Check::Licences => licences::check(project),
        Check::Links => links::check(project),
        Check::Width => width::check(project),
        Check::Checkpatch => checkpatch::check(project),
    }
}

fn run(mut command: Command, arguments: &[&str]) -> Result<()> {
    let status = command.args(arguments).status()?;
    if !status.success() {
        bail!("`cargo {}` found something", arguments.join(" "));
    }
    Ok(())
}

/// All files of the project, whether Git knows them yet or not, relative to the checkout.
fn project_files(project: &Project) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&project.root);
    let output = git.output()?;
    if !output.status.success() {
        bail!("git cannot list the files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.split('\0').filter(|name| !name.is_empty() && project.root.join(name).is_file());
    Ok(names.map(str::to_string).collect())
}
