//! Everything a developer does here: `cargo xtask VERB`, one module a verb.
//!
//! `steps` has what is built, one module a part of the system, and the graph of them; `support` has
//! what all steps use: the cache of results, commands with logs, progress.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod check;
mod clean;
mod conformance;
mod dist;
mod picture;
mod ports;
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
    /// Build, then pack the program and the SDK into an archive, and try that
    Dist(dist::Arguments),
    /// Check formatting, lints, documentation and licences
    Check(check::Arguments),
    /// Draw the picture of a session that README.md shows
    Picture(picture::Arguments),
    /// Remove what was built
    Clean(clean::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Build(arguments) => build::verb(&arguments),
        Verb::Run(arguments) => run::verb(&arguments),
        Verb::Test(arguments) => test::verb(&arguments),
        Verb::Bench(arguments) => bench::verb(&arguments),
        Verb::Dist(arguments) => dist::verb(&arguments),
        Verb::Check(arguments) => check::verb(&arguments),
        Verb::Picture(arguments) => picture::verb(&arguments),
        Verb::Clean(arguments) => clean::verb(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ours_come_before_the_rest() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.verb);
        assert!(matches!(parse("x test --yes").expect("parses"), Verb::Test(rest) if rest.is_plain(true, &[])));
        assert!(
            matches!(parse("x test --yes boot -j 1").expect("parses"), Verb::Test(rest) if rest.is_plain(true, &["boot", "-j", "1"]))
        );
        assert!(
            matches!(parse("x run -- -e A=1 sh").expect("parses"), Verb::Run(rest) if rest.is_plain(false, &["-e", "A=1", "sh"]))
        );
        assert!(
            matches!(parse("x run hello --yes").expect("parses"), Verb::Run(rest) if rest.is_plain(false, &["hello", "--yes"]))
        );
    }
}
