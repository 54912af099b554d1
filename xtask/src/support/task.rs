//! A step at work: its commands, whose output goes to a log, and what it shows.

use super::files;
use super::project::Project;
use super::ui::{Running, Ui};
use anyhow::{Context, Result, anyhow, bail};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines of a failed step's log that an error repeats.
const TAIL_LINES: usize = 25;

/// What apt, npm and cargo say when there is no network.
const NETWORK_TROUBLE: [&str; 10] = [
    "Temporary failure resolving",
    "Could not resolve",
    "Could not connect",
    "Unable to connect",
    "Network is unreachable",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "failed to download",
];

/// The commands that run for all steps, so that one failure can stop the others.
#[derive(Default)]
pub(crate) struct Crew {
    stopped: AtomicBool,
    children: Mutex<BTreeSet<u32>>,
}

impl Crew {
    /// Ends all running commands and lets none begin.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for child in self.lock().iter() {
            let _ = Command::new("kill").arg(child.to_string()).stderr(Stdio::null()).status();
        }
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.children.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A step at work.
pub(crate) struct Task<'a> {
    name: &'static str,
    project: &'a Project,
    ui: &'a Ui,
    crew: &'a Crew,
    running: RefCell<Option<Running<'a>>>,
    log: RefCell<Option<File>>,
}

impl<'a> Task<'a> {
    /// A task that has not begun anything yet, and shows nothing.
    pub(crate) fn new(name: &'static str, project: &'a Project, ui: &'a Ui, crew: &'a Crew) -> Task<'a> {
        Task { name, project, ui, crew, running: RefCell::new(None), log: RefCell::new(None) }
    }

    /// The step's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Shows what the task does from now on.
    pub(crate) fn status(&self, text: &str) {
        let mut running = self.running.borrow_mut();
        match running.as_mut() {
            Some(running) => running.status(text),
            None => *running = Some(self.ui.begin(self.name, text)),
        }
    }

    /// Shows a line that stays.
    pub(crate) fn note(&self, text: &str) {
        self.ui.line(&format!("{}: {text}", self.name));
    }

    /// Ends the task; says whether it had anything to do.
    pub(crate) fn end(self, done: bool) -> bool {
        let running = self.running.into_inner();
        let worked = running.is_some();
        if let Some(running) = running {
            running.end(done);
        }
        worked
    }

    /// Runs a command to its end; what it prints goes to the log.
    ///
    /// Cargo commands show progress only if they have something to build.
    pub(crate) fn run(&self, mut command: Command) -> Result<()> {
        if self.crew.stopped() {
            bail!("stopped");
        }
        let line = command_line(&command);
        self.log(format!("$ {line}\n").as_bytes())?;
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
        // The command holds the writing end too: the reader would never see its end.
        drop(command);
        self.crew.lock().insert(child.id());
        let followed = self.follow(BufReader::new(reader));
        let status = child.wait();
        self.crew.lock().remove(&child.id());
        followed?;
        let status = status?;
        if self.crew.stopped() {
            bail!("stopped");
        }
        if status.success() { Ok(()) } else { Err(self.failure(&command_name(&line), status)) }
    }

    /// Copies what a command prints to the log, and shows its last line.
    fn follow(&self, mut output: impl BufRead) -> Result<()> {
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? != 0 {
            self.log(&line)?;
            let text = String::from_utf8_lossy(&line);
            let text = text.rsplit('\r').map(str::trim).find(|part| !part.is_empty()).map(short);
            let working = self.running.borrow().is_some();
            if let Some(text) = text.filter(|text| working || text.starts_with("Compiling ")) {
                self.status(text);
            }
            line.clear();
        }
        Ok(())
    }

    fn log(&self, bytes: &[u8]) -> Result<()> {
        let mut log = self.log.borrow_mut();
        if log.is_none() {
            files::folder(&self.project.guest.join("logs"))?;
            *log = Some(File::create(self.log_path()).with_context(|| self.log_path().display().to_string())?);
        }
        if let Some(file) = log.as_mut() {
            file.write_all(bytes).context("cannot write to the log")?;
        }
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.project.guest.join("logs").join(format!("{}.log", self.name))
    }

    /// The error for a failed command: names the log, repeats its end, and adds a hint where the
    /// cause is a common one.
    fn failure(&self, command: &str, status: ExitStatus) -> anyhow::Error {
        let path = self.log_path();
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n    ");
        let hint = hint(&tail, &self.project.cache);
        anyhow!(
            "`{command}` ended with {status}; the log is {}, which ends:\n    {tail}{hint}",
            self.project.short(&path)
        )
    }
}

/// What to do about a failure that has nothing to do with the project.
fn hint(tail: &str, cache: &Path) -> String {
    let has = |words: &[&str]| words.iter().any(|word| tail.contains(word));
    if has(&["No space left on device", "os error 28", "ENOSPC"]) {
        return format!(
            "\nThe disk is full. A build needs about 8 GB, in the checkout and in {}; `cargo xtask clean --cache` empties both.",
            cache.display()
        );
    }
    if has(&NETWORK_TROUBLE) {
        return "\nThe network could not be reached: a first build fetches from Debian's archive, crates.io and the npm registry.".to_string();
    }
    String::new()
}

/// A command as one would type it, for the log.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_=./:,+@%".contains(c));
        if plain { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a line of output says in short: of a compiler's command line, the file.
fn short(line: &str) -> &str {
    match line.rsplit(' ').next() {
        Some(file) if line.len() > 120 && !file.is_empty() => file,
        _ => line,
    }
}

/// The beginning of a command line, for messages.
fn command_name(line: &str) -> String {
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_string(),
    }
}

/// How we end when a command that we ran for the user has ended so.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
