//! Other systems that people use for the same purpose, running the native programs.
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// A system to compare with.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum System {
    /// User-mode Linux: Debian's package user-mode-linux
    Uml,
    /// gVisor, with its ptrace platform: Debian's package runsc
    Gvisor,
}

/// The longest that one program may take, in seconds.
const LIMIT: &str = "300";

impl System {
    /// What the table calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Uml => "uml",
            System::Gvisor => "gvisor",
        }
    }

    /// Runs a program in it: the figures with these names that it prints.
    pub(crate) fn figures(self, program: &Path, dir: &Path, known: &[String]) -> Result<BTreeMap<String, f64>> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT]);
        match self {
            System::Uml => {
                // Process 1 on the host's files; what it needs of its own is put over them.
                let init = dir.join("uml-init");
                let script = format!(
                    "#!/bin/sh\nmount -t proc proc /proc\nmount -t tmpfs tmpfs /tmp\nmount -t tmpfs tmpfs /dev/shm\n{}\nhalt -f -f || poweroff -f\n",
                    program.display()
                );
                std::fs::write(&init, script).context("cannot write uml-init")?;
                crate::measure::make_executable(&init)?;
                command.args(["linux.uml", "mem=1G", "quiet", "rootfstype=hostfs", "rootflags=/", "rw"]);
                command.args(["con0=null,fd:1", "con=null"]).arg(format!("init={}", init.display()));
            }
            System::Gvisor => {
                command.args(["runsc", "--platform=ptrace", "--network=none", "--ignore-cgroups", "do"]).arg(program);
            }
        }
        let output = command.stdin(Stdio::null()).output().context("cannot run timeout")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut figures = BTreeMap::new();
        for line in text.lines() {
            let Some((name, value)) = line.trim().split_once(' ') else { continue };
            if let Ok(value) = value.trim().parse()
                && known.iter().any(|known| known == name)
            {
                figures.insert(name.into(), value);
            }
        }
        if figures.is_empty() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{}, no figures: {}", output.status, errors.lines().last().unwrap_or(""));
        }
        Ok(figures)
    }
}
