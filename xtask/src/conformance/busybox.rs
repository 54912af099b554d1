//! Busybox's own testsuite, in the machine and natively: the same root file system, the same
//! scripts, busybox of the same source by gcc.
//!
//! What may differ, and why, is in `tests/conformance/busybox.txt`.

use super::within;
use crate::steps::{Build, Step, jobs};
use crate::support::cache::{Key, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const NOTES: &str = "tests/conformance/busybox.txt";
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(1200);
/// Of what passes natively so much is to pass in the machine, in per cent.
const GOAL: f64 = 98.0;
/// Where the testsuite lies in both worlds: `runtest` looks for busybox and its configuration in
/// the directory above.
const PLACE: &str = "/busybox";
/// The environment of both. The tests that fetch pages from the Internet are off: their servers
/// have changed.
const ENVIRONMENT: [&str; 4] =
    ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "SHELL=/bin/sh", "SKIP_INTERNET_TESTS=1"];
const SCRIPT: &str = "cd /busybox/testsuite && exec ./runtest -v";
/// Makes a root of the directory in `$1`; the rest is the command.
const ENTER: &str =
    r#"root=$1; shift; mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && exec chroot "$root" "$@""#;

/// The part of the page about busybox, and whether it is worse than natively without a reason.
pub(super) fn run(build: &Build) -> Result<(String, bool)> {
    let root = &build.project.root;
    let notes = notes(&std::fs::read_to_string(root.join(NOTES)).context(NOTES)?)?;
    let place = root.join("target/conformance/busybox");
    let (native_log, guest_log) = (place.join("native.log"), place.join("guest.log"));
    build.extra("busybox-tests", |task| {
        files::remove(&place)?;
        let native = native_busybox(build, task)?;
        let busybox = build.done(Step::Busybox)?.out;
        suite(build, &busybox.join("busybox"), &busybox.join("busybox.config"), &place.join("guest"))?;
        suite(build, &native, &busybox.join("busybox.config"), &place.join("native").join(&PLACE[1..]))?;
        unpack(build, task, &native, &place.join("native"))?;
        task.status("runs busybox's testsuite natively");
        within(LIMIT, natively(task, &place.join("native"))?, &native_log)?;
        task.status("runs busybox's testsuite in the machine");
        within(LIMIT, in_machine(root, &place.join("guest")), &guest_log)?;
        Ok(())
    })?;
    let (native, guest) = (Results::read(&native_log)?, Results::read(&guest_log)?);
    report(&native, &guest, &notes)
}

/// The page's part.
fn report(native: &Results, guest: &Results, notes: &BTreeMap<String, String>) -> Result<(String, bool)> {
    let total: usize = native.passed.values().sum();
    if total == 0 {
        bail!("busybox's testsuite passed nothing natively: see target/conformance/busybox/native.log");
    }
    let both: usize = native.passed.iter().map(|(name, count)| *count.min(&guest.passed(name))).sum();
    let percent = 100.0 * both as f64 / total as f64;
    let mut names: BTreeSet<&str> = native.passed.keys().map(String::as_str).collect();
    names.extend(guest.passed.keys().map(String::as_str));
    let (mut table, mut unexplained) = (String::new(), Vec::new());
    for name in names {
        let (here, there) = (native.verdict(name), guest.verdict(name));
        if native.passed(name) == guest.passed(name) {
            continue;
        }
        let note = notes.get(name).map_or("", String::as_str);
        if native.passed(name) > guest.passed(name) && note.is_empty() {
            unexplained.push(name);
        }
        writeln!(table, "| `{}` | {here} | {there} | {note} |", name.replace('|', "\\|"))?;
    }
    let neither: Vec<String> = native
        .failed
        .iter()
        .filter(|name| native.passed(name) == 0 && guest.passed(name) == 0)
        .map(|name| format!("`{name}`"))
        .collect();
    let text = format!(
        "## Busybox's own testsuite\n\n\
         The testsuite in busybox's source, run by busybox's shell on the same root file system, natively (by gcc and glibc, in namespaces of\n\
         its own) and in the machine. **{both} of the {total} that pass natively pass in the machine ({percent:.1} %)**; {} pass in the machine in all.\n\
         What each printed is in `target/conformance/busybox/*.log`.\n\n\
         | differs | native | WasmLinux | why |\n| --- | --- | --- | --- |\n{table}\n\
         Fail in both: {}.\n",
        guest.passed.values().sum::<usize>(),
        if neither.is_empty() { "none".into() } else { neither.join(", ") }
    );
    println!("{both} of {total} of busybox's tests that pass natively pass in the machine ({percent:.1} %)");
    if !unexplained.is_empty() {
        println!("these pass natively only, and {NOTES} says not why: {}", unexplained.join(", "));
    }
    Ok((text, percent < GOAL || !unexplained.is_empty()))
}

/// What a run of the testsuite printed.
#[derive(Default)]
struct Results {
    /// How often a test of this name passed: some names are used more than once.
    passed: BTreeMap<String, usize>,
    failed: BTreeSet<String>,
}

impl Results {
    fn read(log: &Path) -> Result<Results> {
        let bytes = std::fs::read(log).with_context(|| log.display().to_string())?;
        Ok(Results::parse(&String::from_utf8_lossy(&bytes)))
    }

    fn parse(text: &str) -> Results {
        let mut results = Results::default();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("PASS: ") {
                *results.passed.entry(name.to_string()).or_default() += 1;
            } else if let Some(name) = line.strip_prefix("FAIL: ") {
                results.failed.insert(name.to_string());
            }
        }
        results
    }

    fn passed(&self, name: &str) -> usize {
        self.passed.get(name).copied().unwrap_or(0)
    }

    fn verdict(&self, name: &str) -> String {
        match (self.passed(name), self.failed.contains(name)) {
            (0, true) => "fail".into(),
            (0, false) => "not run".into(),
            (1, false) => "pass".into(),
            (count, _) => format!("{count} pass"),
        }
    }
}

/// The notes: `NAME => REASON` a line.
fn notes(text: &str) -> Result<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let (name, reason) = line.split_once(" => ").with_context(|| format!("{NOTES}: bad line: {line}"))?;
        Ok((name.to_string(), reason.to_string()))
    });
    pairs.collect()
}

/// Busybox of the same source and configuration by gcc, without shared libraries. Kept in the
/// cache.
pub(crate) fn native_busybox(build: &Build, task: &Task) -> Result<std::path::PathBuf> {
    let (source, ours) = (build.done(Step::BusyboxSource)?, build.done(Step::Busybox)?);
    let config = ours.out.join("busybox.config");
    let key = || Key::new(include_str!("busybox.rs")).node("source", &source).tree("config", &config);
    let node = build.store.node(task, key, |place: &Workplace| {
        let tree = place.work.join("busybox");
        files::copy_tree(&source.out, &tree)?;
        files::copy(&config, &tree.join(".config"))?;
        task.status("builds busybox by gcc");
        let mut make = Command::new("make");
        make.arg("-C").arg(&tree).args(["CC=gcc", "HOSTCC=gcc", "SKIP_STRIP=y", "LDFLAGS=-static", "KBUILD_VERBOSE=0"]);
        make.env_remove("MAKEFLAGS").env("LC_ALL", "C").env("KCONFIG_NOTIMESTAMP", "1").env("SOURCE_DATE_EPOCH", "0");
        make.arg(jobs()).arg("busybox");
        task.run(make)?;
        files::copy(&tree.join("busybox"), &place.out.join("busybox"))
    })?;
    Ok(node.out.join("busybox"))
}

/// A directory as `runtest` wants it.
fn suite(build: &Build, busybox: &Path, config: &Path, to: &Path) -> Result<()> {
    let source = build.done(Step::BusyboxSource)?.out;
    files::copy_tree(&source.join("testsuite"), &to.join("testsuite"))?;
    files::copy(config, &to.join(".config"))?;
    files::copy(busybox, &to.join("busybox"))
}

/// The machine's root file system, with another busybox in it.
fn unpack(build: &Build, task: &Task, busybox: &Path, to: &Path) -> Result<()> {
    let mut cpio = Command::new("sh");
    cpio.args(["-c", r#"cd "$2" && cpio --extract --make-directories --quiet --nonmatching 'dev/*' < "$1""#, "sh"]);
    cpio.arg(build.project.guest.join("base.cpio")).arg(to);
    task.run(cpio)?;
    files::copy(busybox, &to.join("bin/busybox"))
}

/// Runs the testsuite in that root, in namespaces of its own. An ordinary user becomes root in one
/// of users.
fn natively(task: &Task, root: &Path) -> Result<Command> {
    let namespaces = ["--user", "--map-root-user", "--mount", "--pid", "--fork"];
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self")?) == 0;
    let namespaces = &namespaces[if is_root { 2 } else { 0 }..];
    let mut probe = Command::new("unshare");
    task.run({
        probe.args(namespaces).args(["sh", "-c", ENTER, "sh"]).arg(root).arg("/bin/true");
        probe
    })?;
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c", ENTER, "sh"]).arg(root);
    command.args(["/usr/bin/env", "-i"]).args(ENVIRONMENT).args(["/bin/sh", "-c", SCRIPT]);
    Ok(command)
}

fn in_machine(root: &Path, folder: &Path) -> Command {
    let mut command = Command::new(root.join("target/release/wasmlinux"));
    let mut add = folder.as_os_str().to_owned();
    add.push(format!(":{PLACE}"));
    command.args(["run", "--add"]).arg(add).args(["--", "/usr/bin/env", "-i"]);
    command.args(ENVIRONMENT).args(["/bin/sh", "-c", SCRIPT]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_without_a_reason_fails() {
        let native = Results::parse("PASS: a b\nPASS: c\nPASS: c\nFAIL: d\nnoise\n");
        let guest = Results::parse("PASS: a b\nPASS: c\nFAIL: c\nFAIL: d\n");
        assert!(report(&native, &native, &BTreeMap::new()).is_ok_and(|(_, fails)| !fails));
        let (text, fails) = report(&native, &guest, &BTreeMap::new()).expect("a report");
        assert!(fails && text.contains("| `c` | 2 pass | 1 pass |") && text.contains("Fail in both: `d`"), "{text}");
        assert!(report(&Results::default(), &guest, &BTreeMap::new()).is_err());
    }

    #[test]
    fn every_note_has_a_reason() {
        assert!(notes("du-k-works").is_err());
        let notes = notes("# remark\n\nsed s/a => b/ x => why\n").expect("notes");
        assert_eq!(notes.get("sed s/a").map(String::as_str), Some("b/ x => why"));
    }
}
