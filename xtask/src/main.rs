//! Everything a developer does here: `cargo xtask VERB`, one module a verb.
//!
//! `steps` has what is built, one module a part of the system, and the graph of them; `support` has what all steps use: the cache of results,
//! commands with logs, progress.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod check;
mod clean;
mod run;
mod steps;
mod support;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs, tests and measures WasmLinux")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the guest (kernel, C library, programs, root file system) and the engine
    Build(build::Arguments),
    /// Build, then run a command in the machine; without one, a demonstration
    Run(run::Arguments),
    /// Build, then run all tests
    Test(test::Arguments),
    /// Build, then measure beside native Linux
    Bench(bench::Arguments),
    /// Check formatting, lints, documentation and licences
    Check(check::Arguments),
    /// Remove what was built
    Clean(clean::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Build(arguments) => build::verb(&arguments),
        Verb::Run(arguments) => run::verb(&arguments),
        Verb::Test(arguments) => test::verb(&arguments),
        Verb::Bench(arguments) => bench::verb(&arguments),
        Verb::Check(arguments) => check::verb(&arguments),
        Verb::Clean(arguments) => clean::verb(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
