//! `cargo xtask bench`.

use crate::build::{Consent, bring};
use crate::conformance::busybox::native_busybox;
use crate::steps::Step;
use crate::steps::packages::demand;
use crate::support::task::exit_code;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of the verb.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    consent: Consent,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Measure these beside it; their Debian packages are installed if need be
    #[arg(long, value_delimiter = ',', value_name = "SYSTEM")]
    against: Vec<Other>,
    /// Measure this other build of `wasmlinux` too, by turns
    #[arg(long, value_name = "EXECUTABLE", conflicts_with = "against")]
    before: Option<PathBuf>,
    /// Further arguments of the benchmark program
    #[arg(last = true)]
    rest: Vec<String>,
}

/// What people use for the same purpose.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Other {
    /// User-mode Linux
    Uml,
    /// gVisor's runsc, with its ptrace platform
    Gvisor,
}

impl Other {
    fn name(self) -> &'static str {
        match self {
            Other::Uml => "uml",
            Other::Gvisor => "gvisor",
        }
    }

    /// Command, package, what for.
    fn package(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Other::Uml => ("linux.uml", "user-mode-linux", "to be compared with"),
            Other::Gvisor => ("runsc", "runsc", "to be compared with"),
        }
    }
}

/// Runs the verb.
pub(crate) fn verb(arguments: &Arguments) -> Result<ExitCode> {
    let build = bring(&arguments.consent, Step::Wasmlinux)?;
    let packages: Vec<_> = arguments.against.iter().map(|other| other.package()).collect();
    build.extra("packages to compare", |task| demand(&build.ui, task, arguments.consent.yes, &packages))?;
    let mut busybox = None;
    build.extra("busybox-native", |task| {
        busybox = Some(native_busybox(&build, task)?);
        Ok(())
    })?;
    let mut command = build.project.cargo();
    command.envs(busybox.map(|path| ("WASMLINUX_BUSYBOX", path)));
    command.args(["run", "--quiet", "--release", "--manifest-path", "bench/Cargo.toml", "--"]);
    if arguments.json {
        command.arg("--json");
    }
    for other in &arguments.against {
        command.args(["--against", other.name()]);
    }
    if let Some(before) = &arguments.before {
        let before = before.canonicalize().with_context(|| before.display().to_string())?;
        command.arg("--before").arg(before);
    }
    command.args(&arguments.rest);
    Ok(exit_code(command.status().context("cannot run cargo")?))
}
