//! `cargo xtask test --conformance`: the kernel's own selftests, built for both worlds, run in
//! both, in a table; then busybox's.
//!
//! What is run, and for each exclusion why, is in `tests/conformance/selftests.txt`; the table is
//! `docs/conformance.md`.

pub(crate) mod busybox;

use crate::steps::Build;
use crate::support::files;
use crate::support::task::Task;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Where Debian's package puts the kernel's source.
const ARCHIVE: &str = "/usr/src/linux-source-6.12.tar.xz";
const LIST: &str = "tests/conformance/selftests.txt";
const INCLUDE: &str = "tests/conformance/include";
const TABLE: &str = "docs/conformance.md";
/// How long one program may run: kselftest's own limit is 45 s.
const LIMIT: Duration = Duration::from_secs(120);
const FLAGS: [&str; 6] = ["-O2", "-w", "-D_GNU_SOURCE", "-I.", "-Ifutex/include", "-Ifutex/functional"];

/// A line of the list.
enum Line {
    Run { program: String, arguments: Vec<String> },
    Skip { program: String, reason: String },
}

/// The list, and the notes on what may differ.
fn list(text: &str) -> Result<(Vec<Line>, BTreeMap<String, String>)> {
    let (mut lines, mut notes) = (Vec::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let (Some(verb), Some(program)) = (words.next(), words.next()) else { bail!("{LIST}: bad line: {line}") };
        let (program, rest) = (program.to_string(), words.next().unwrap_or_default().to_string());
        match verb {
            "run" => lines.push(Line::Run { program, arguments: rest.split_whitespace().map(Into::into).collect() }),
            "skip" if !rest.is_empty() => lines.push(Line::Skip { program, reason: rest }),
            "note" if !rest.is_empty() => drop(notes.insert(program, rest)),
            _ => bail!("{LIST}: bad line: {line}"),
        }
    }
    Ok((lines, notes))
}

/// What became of a program.
#[derive(Clone, PartialEq, Eq)]
struct Outcome {
    /// `pass`, `skip`, `fail` or `hung`, or why there is no program.
    verdict: &'static str,
    passed: usize,
    failed: usize,
}

impl Outcome {
    const NOT_BUILT: Outcome = Outcome { verdict: "not built", passed: 0, failed: 0 };

    /// By kselftest's exit statuses and the lines of its protocol (TAP).
    fn new(status: Option<ExitStatus>, output: &str) -> Outcome {
        let count = |start: &str| output.lines().filter(|line| line.trim_start().starts_with(start)).count();
        let verdict = match status.map(|status| status.code().unwrap_or(128 + status.signal().unwrap_or(0))) {
            None => "hung",
            Some(0) => "pass",
            Some(4) => "skip",
            Some(_) => "fail",
        };
        Outcome { verdict, passed: count("ok "), failed: count("not ok ") }
    }

    fn text(&self) -> String {
        let all = self.passed + self.failed;
        if all > 1 { format!("{} ({} of {all})", self.verdict, self.passed) } else { self.verdict.into() }
    }
}

/// Where the page's second part begins.
const SECOND: &str = "## Busybox's own testsuite";

/// Runs everything, or only the part `selftests` or `busybox`, and writes the tables. Fails if
/// something passes natively only and no note says why.
pub(crate) fn run(build: &Build, parts: &[String]) -> Result<ExitCode> {
    if let Some(part) = parts.iter().find(|part| !["selftests", "busybox"].contains(&part.as_str())) {
        bail!("no part {part} of the conformance tests: there are selftests and busybox");
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let page = build.project.root.join(TABLE);
    let old = std::fs::read_to_string(&page).unwrap_or_default();
    let (mut first, mut second) = old.split_at(old.find(SECOND).unwrap_or(old.len()));
    let (text, mut fails);
    (text, fails) = if wanted("selftests") { selftests(build)? } else { (first.trim_end().to_string() + "\n", false) };
    first = &text;
    let applets;
    if wanted("busybox") {
        let (text, worse) = busybox::run(build)?;
        (applets, fails) = (text, fails || worse);
        second = &applets;
    }
    files::write(&page, wrapped(&format!("{first}\n{second}")))?;
    println!("see {TABLE}");
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The page with its paragraphs in lines of 100 columns, as `cargo xtask check` has it; a name
/// between backticks is not broken.
fn wrapped(page: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in page.lines() {
        if line.is_empty() || line.starts_with(['|', '#', '-', '`']) && !goes_on {
            lines.push(line.to_string());
            goes_on = false;
            continue;
        }
        if !goes_on {
            lines.push(String::new());
        }
        goes_on = true;
        let mut code = false;
        let words = line.split(|c: char| {
            code ^= c == '`';
            c == ' ' && !code
        });
        for word in words {
            match lines.last_mut() {
                Some(last) if last.is_empty() => last.push_str(word),
                Some(last) if last.chars().count() + 1 + word.chars().count() <= 100 => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.to_string()),
            }
        }
    }
    lines.join("\n") + "\n"
}

/// The part of the page about the kernel's selftests, and whether something passes natively only.
fn selftests(build: &Build) -> Result<(String, bool)> {
    let root = build.project.root.clone();
    let (lines, notes) = list(&std::fs::read_to_string(root.join(LIST)).context(LIST)?)?;
    let place = root.join("target/conformance");
    let sources = place.join("linux/tools/testing/selftests");
    build.extra("selftests", |task| {
        if sources.join("kselftest.h").exists() {
            return Ok(());
        }
        task.status("unpacks the kernel's selftests");
        files::folder(&place.join("linux"))?;
        let mut unpack = Command::new("tar");
        unpack.args(["--extract", "--xz", "--file", ARCHIVE, "--strip-components=1", "--no-same-owner", "--directory"]);
        unpack.arg(place.join("linux")).args(["--wildcards", "*/tools/testing/selftests/*.[ch]"]);
        task.run(unpack)
    })?;
    files::folder(&place.join("bin"))?;
    // What programs leave behind stays there.
    let work = place.join("work");
    files::remove(&work)?;
    files::folder(&work)?;
    // The host's headers may be older than the tests; what does not depend on the processor comes
    // from the kernel.
    for part in ["linux", "asm-generic"] {
        files::point(&place.join("include").join(part), &build.project.guest.join("sysroot/include").join(part))?;
    }
    let (mut table, mut worse) = (String::new(), Vec::new());
    let (mut same, mut total) = (0, 0);
    for line in &lines {
        let Line::Run { program, arguments } = line else { continue };
        let (mut native, mut guest) = (Outcome::NOT_BUILT, Outcome::NOT_BUILT);
        let name = program.replace('/', "_");
        let bin = |kind: &str| place.join("bin").join(format!("{name}.{kind}"));
        build.extra("conformance", |task| {
            task.status(program);
            if compile(task, &root, &sources, program, Path::new("gcc"), &bin("native")) {
                let mut command = Command::new(bin("native"));
                command.args(arguments).current_dir(&work);
                native = execute(command, &bin("native.log"))?;
            }
            if compile(task, &root, &sources, program, &build.project.guest.join("bin/wasmlinux-cc"), &bin("guest")) {
                let mut command = Command::new(root.join("target/release/wasmlinux"));
                let mut add = bin("guest").into_os_string();
                add.push(format!(":/tmp/{name}"));
                command
                    .args(["run", "-w", "/tmp", "--add"])
                    .arg(add)
                    .arg("--")
                    .arg(format!("/tmp/{name}"))
                    .args(arguments);
                guest = execute(command, &bin("guest.log"))?;
            }
            Ok(())
        })?;
        total += 1;
        same += usize::from(native.verdict == guest.verdict);
        let note = notes.get(program).map_or("", String::as_str);
        if native.verdict == "pass" && guest.verdict != "pass" && note.is_empty() {
            worse.push(program.as_str());
        }
        writeln!(table, "| {program} | {} | {} | {note} |", native.text(), guest.text())?;
    }
    let mut skipped = String::new();
    for line in &lines {
        if let Line::Skip { program, reason } = line {
            writeln!(skipped, "| {program} | {reason} |")?;
        }
    }
    let release = Command::new("uname").arg("-r").output().context("cannot run uname")?;
    let text = format!(
        "# Conformance\n\n## The kernel's own selftests\n\n\
         Written by `cargo xtask test --conformance`: programs of `tools/testing/selftests` of the kernel that we run, built by gcc and by\n\
         `wasmlinux-cc` from the same source, run natively (kernel {}) and in a machine. In brackets the single checks that passed, where a program\n\
         counts them. {same} of {total} programs end alike. What each printed is in `target/conformance/bin/*.log`.\n\n\
         | program | native | WasmLinux | why they differ |\n| --- | --- | --- | --- |\n{table}\n\
         ### Not run\n\n| program | why |\n| --- | --- |\n{skipped}",
        String::from_utf8_lossy(&release.stdout).trim(),
    );
    println!("{same} of {total} of the kernel's selftests end as natively");
    if !worse.is_empty() {
        println!("these pass natively only: {}", worse.join(", "));
    }
    Ok((text, !worse.is_empty()))
}

/// Whether there is a program now.
fn compile(task: &Task, root: &Path, sources: &Path, program: &str, cc: &Path, to: &PathBuf) -> bool {
    let mut command = Command::new(cc);
    command.current_dir(sources).args(FLAGS).arg(format!("{program}.c"));
    if program.starts_with("mm/") {
        command.args(["mm/vm_util.c", "mm/thp_settings.c"]);
    }
    if cc.ends_with("wasmlinux-cc") {
        command.arg("-I").arg(root.join(INCLUDE)).args(["-include", "compat.h"]);
    } else {
        command.arg("-pthread").arg("-isystem").arg(root.join("target/conformance/include"));
    }
    let source = sources.join(format!("{program}.c"));
    let made_of = [cc, &root.join("target/guest/sysroot/lib/libc.a"), &root.join(INCLUDE).join("compat.h"), &source];
    if changed(to).is_some_and(|time| made_of.iter().all(|file| changed(file).is_none_or(|other| other < time))) {
        return true;
    }
    // A program that does not compile is a line of the table.
    let _ = std::fs::remove_file(to);
    command.arg("-o").arg(to).arg("-lrt");
    task.run(command).is_ok() && to.exists()
}

/// When a file was written last; nothing for one that is not there, or is found in PATH.
fn changed(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// Runs a command for no longer than the limit, with its output in a file.
fn execute(command: Command, log: &Path) -> Result<Outcome> {
    let status = within(LIMIT, command, log)?;
    Ok(Outcome::new(status, &String::from_utf8_lossy(&std::fs::read(log)?)))
}

/// The exit status of a command whose output goes to a file; none if it took longer than the limit.
pub(crate) fn within(limit: Duration, mut command: Command, log: &Path) -> Result<Option<ExitStatus>> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    let mut child = command.spawn().context("cannot start a program")?;
    let start = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if start.elapsed() > limit => {
                let group = format!("-{}", child.id());
                Command::new("kill").args(["-KILL", "--", &group]).status().context("cannot run kill")?;
                child.wait()?;
                return Ok(None);
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exclusion_has_a_reason() {
        assert!(list("skip mm/cow").is_err());
        assert!(list("walk mm/cow").is_err());
        let (lines, notes) = list("# remark\n\nrun a/b -x 1\nskip c/d no such device\nnote a/b why\n").expect("a list");
        assert_eq!(lines.len(), 2);
        assert_eq!(notes.get("a/b").map(String::as_str), Some("why"));
    }
}
