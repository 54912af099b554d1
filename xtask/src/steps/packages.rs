//! Debian packages that the build needs: which are missing, the question whether to install them,
//! their installation.

use super::Build;
use crate::support::task::Task;
use crate::support::ui::Ui;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Packages, and what each is for.
const PACKAGES: &[(&str, &str)] = &[
    ("clang-19", "compiles kernel, C library and programs to WebAssembly"),
    ("lld-19", "links them"),
    ("llvm-19", "ar, nm, objcopy and strip for WebAssembly"),
    ("libclang-rt-19-dev-wasm32", "the compiler's run-time library for WebAssembly"),
    ("linux-source-6.12", "the kernel's source"),
    ("gcc", "compiles the kernel's build tools"),
    ("libc6-dev", "headers for the kernel's build tools"),
    ("libelf-dev", "headers for the kernel's build tools"),
    ("libssl-dev", "headers for the kernel's build tools"),
    ("make", "builds kernel, C library and busybox"),
    ("flex", "used by the kernel's configuration"),
    ("bison", "used by the kernel's configuration"),
    ("bc", "used by the kernel's build"),
    ("kmod", "used by the kernel's build"),
    ("cpio", "used by the kernel's build"),
    ("rsync", "installs the kernel's headers"),
    ("patch", "applies our patches"),
    ("xz-utils", "unpacks the kernel's source"),
    ("bzip2", "unpacks busybox's source"),
    ("dpkg-dev", "unpacks Debian's source packages"),
];

/// Packages that are needed only if no such command is there, from wherever.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("node", "nodejs", "runs Binaryen, which finishes programs"),
    ("npm", "npm", "fetches Binaryen"),
    ("busybox", "busybox-static", "the oracle of the tests of shell scripts"),
];

/// What is there and what is to be installed.
pub(crate) struct Plan {
    missing: Vec<&'static str>,
    versions: OnceLock<BTreeMap<String, String>>,
}

impl Plan {
    /// Compares the list with the machine; says what is missing and why; asks on a terminal unless
    /// `yes`.
    pub(super) fn make(yes: bool, ui: &Ui) -> Result<Plan> {
        let versions = installed()?;
        let mut missing: Vec<(&str, &str)> =
            PACKAGES.iter().copied().filter(|(name, _)| !versions.contains_key(*name)).collect();
        missing
            .extend(COMMANDS.iter().filter(|(command, ..)| !on_path(command)).map(|&(_, package, why)| (package, why)));
        let plan = Plan { missing: missing.iter().map(|(name, _)| *name).collect(), versions: OnceLock::new() };
        if missing.is_empty() {
            let _ = plan.versions.set(versions);
            return Ok(plan);
        }
        agree(yes, ui, &missing)?;
        Ok(plan)
    }

    /// The version of an installed package, for keys.
    pub(super) fn version(&self, package: &str) -> Result<&str> {
        let versions = self.versions.get().context("the packages have not been installed")?;
        versions.get(package).map(String::as_str).with_context(|| format!("the package {package} is not installed"))
    }

    /// The versions of the compiler and its companions, for keys.
    pub(super) fn compiler(&self) -> Result<String> {
        let tools = ["clang-19", "lld-19", "llvm-19", "libclang-rt-19-dev-wasm32"];
        Ok(tools.iter().map(|tool| self.version(tool)).collect::<Result<Vec<_>>>()?.join(" "))
    }
}

/// The step: installs what is missing.
pub(super) fn install(build: &Build, task: &Task) -> Result<()> {
    let missing = &build.packages.missing;
    if missing.is_empty() {
        return Ok(());
    }
    fetch(task, missing)?;
    let versions = installed()?;
    if let Some(package) = missing.iter().find(|package| !versions.contains_key(**package)) {
        bail!("the package {package} is still not there after its installation");
    }
    let _ = build.packages.versions.set(versions);
    Ok(())
}

/// Installs packages that one verb alone wants, if their commands are not there: command, package,
/// what for.
pub(crate) fn demand(ui: &Ui, task: &Task, yes: bool, wanted: &[(&str, &str, &str)]) -> Result<()> {
    let missing = wanted.iter().filter(|(command, ..)| !on_path(command)).map(|&(_, package, why)| (package, why));
    let missing: Vec<(&str, &str)> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    agree(yes, ui, &missing)?;
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    fetch(task, &names)
}

/// Says which packages are missing, and why; asks on a terminal unless `yes`.
fn agree(yes: bool, ui: &Ui, missing: &[(&str, &str)]) -> Result<()> {
    ui.line("These Debian packages are needed and will be installed:");
    for (name, why) in missing {
        ui.line(&format!("  {name:26} {why}"));
    }
    if !yes && env::var_os("CI").is_none() {
        confirm()?;
    }
    if !is_root() {
        authorise()?;
    }
    Ok(())
}

/// Installs packages.
fn fetch(task: &Task, names: &[&str]) -> Result<()> {
    task.status("reads Debian's lists of packages");
    task.run(apt(&["update"]))?;
    task.status("installs");
    let mut command = apt(&["install", "--yes", "--no-install-recommends"]);
    command.args(names);
    task.run(command)
}

/// An apt-get command as root that asks nothing, and waits for another that runs.
fn apt(arguments: &[&str]) -> Command {
    let mut command = match is_root() {
        true => Command::new("env"),
        false => {
            let mut sudo = Command::new("sudo");
            sudo.args(["--non-interactive", "env"]);
            sudo
        }
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--option", "DPkg::Lock::Timeout=600"]);
    command.args(arguments);
    command
}

/// Asks on the terminal; without one, says how to go on.
fn confirm() -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("packages are missing, and there is no terminal to ask on: give --yes to have them installed");
    }
    eprint!("Install them now? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "" | "y" | "yes" => Ok(()),
        _ => bail!("the packages were not installed; nothing was changed"),
    }
}

/// Lets sudo ask for a password before progress is shown.
fn authorise() -> Result<()> {
    let status = Command::new("sudo").arg("--validate").status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("sudo was refused: install the packages above as root, then try again"),
        Err(_) => bail!(
            "packages are installed by root, and there is no sudo here: install those above as root, then try again"
        ),
    }
}

/// All packages of our list that are installed, with their versions.
fn installed() -> Result<BTreeMap<String, String>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status} ${Version}\n"]);
    query.args(PACKAGES.iter().map(|(name, _)| name)).args(COMMANDS.iter().map(|(_, package, _)| package));
    // It complains about those that are missing, and lists the others.
    let output = query.stderr(Stdio::null()).output();
    let output =
        output.context("cannot run dpkg-query: the build of the guest takes its tools and sources from Debian 12")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let installed = fields.filter(|fields| fields.len() == 3 && fields[1] == "installed");
    Ok(installed.map(|fields| (fields[0].to_string(), fields[2].to_string())).collect())
}

fn on_path(command: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(command).is_file()))
}

fn is_root() -> bool {
    // The owner of our own entry in /proc is the effective user.
    fs::metadata(Path::new("/proc/self")).is_ok_and(|info| std::os::unix::fs::MetadataExt::uid(&info) == 0)
}
