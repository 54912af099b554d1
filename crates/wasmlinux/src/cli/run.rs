//! `wasmlinux run`: a machine for one command.
use super::options::Run;
use super::{STATUS_ERROR, STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND, STATUS_PANIC, STATUS_REBOOT};
use super::{complain, pump, signals};
use std::ffi::OsString;
use std::io;
use wasmlinux::{Errno, Error, Machine, Outcome, SpawnStep, Stdio};

/// Kernel messages that are shown after a panic, in lines.
const LAST_WORDS: usize = 40;

/// The exit status.
pub(crate) fn run(options: &Run) -> u8 {
    let level = if options.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN };
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).without_time().with_target(false).init();
    let environment = match options.environment() {
        Ok(environment) => environment,
        Err(text) => {
            complain(&text);
            return STATUS_ERROR;
        }
    };
    let mut builder = Machine::builder().memory(options.memory).hostname(&options.hostname);
    for (host, guest) in &options.add {
        builder = builder.add(host, guest);
    }
    for arg in &options.kernel_arg {
        builder = builder.kernel_arg(arg);
    }
    if let Some(level) = options.kernel_log {
        builder = builder.kernel_log(level, io::stderr());
    }
    let machine = match builder.boot() {
        Ok(machine) => machine,
        Err(Error::Boot { outcome: Outcome::Panic, messages }) => return panicked(&messages),
        Err(error) => {
            complain(&error.to_string());
            return STATUS_ERROR;
        }
    };
    let status = command(options, &machine, environment).unwrap_or_else(|error| failed(&machine, &error));
    // What the machine still has to give back, the host takes faster when this process ends.
    std::mem::forget(machine);
    status
}

fn command(
    options: &Run,
    machine: &Machine,
    environment: Vec<(OsString, OsString)>,
) -> Result<u8, Error> {
    let (program, args) = match options.command.split_first() {
        Some((program, args)) => (program.clone(), args),
        None => ("sh".into(), [].as_slice()),
    };
    let mut child = machine
        .command(program)
        .args(args)
        .envs(environment)
        .current_dir(&options.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .power_off_at_end(true)
        .spawn()?;
    signals::forward(child.process())?;
    if let Some(stdin) = child.stdin.take() {
        pump::stdin(stdin)?;
    }
    let mut outputs = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        outputs.push(pump::output("stdout", stdout, &io::stdout())?);
    }
    if let Some(stderr) = child.stderr.take() {
        outputs.push(pump::output("stderr", stderr, &io::stderr())?);
    }
    let status = child.process().wait();
    // They end with the machine, and init switches that off after the command; what was written comes first.
    for output in outputs {
        let _ = output.join();
    }
    Ok(status?.shell_code())
}

/// The status of a command that did not start, or did not end by itself.
fn failed(machine: &Machine, error: &Error) -> u8 {
    match error {
        Error::Spawn { step: SpawnStep::Execute, errno, .. } => {
            match refusal(machine) {
                Some(reason) if *errno == Errno::ENOEXEC => complain(&format!("{error} ({reason})")),
                _ if *errno == Errno::ENOENT => complain(&format!("{error}; `wasmlinux run ls /bin` shows what there is, --add adds to it")),
                _ => complain(&error.to_string()),
            }
            if *errno == Errno::ENOENT { STATUS_NOT_FOUND } else { STATUS_NOT_EXECUTABLE }
        }
        Error::Off => match machine.wait() {
            Outcome::Off | Outcome::Halt => 0,
            Outcome::Reboot => STATUS_REBOOT,
            Outcome::Panic => panicked(&machine.kernel_messages()),
            Outcome::Unplugged => STATUS_ERROR,
            Outcome::Failed(why) => {
                complain(&format!("the machine failed: {}", why.replace('\n', " ")));
                STATUS_ERROR
            }
        },
        error => {
            complain(&error.to_string());
            STATUS_ERROR
        }
    }
}

/// Why the machine's loader refused a program: the newest of its messages.
fn refusal(machine: &Machine) -> Option<String> {
    let messages = machine.kernel_messages();
    let line = messages.lines().rev().find_map(|line| line.split_once("program refused: "));
    line.map(|(_, reason)| reason.to_owned())
}

fn panicked(messages: &str) -> u8 {
    complain("the kernel panicked; its last messages:");
    let lines: Vec<_> = messages.lines().collect();
    for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
        eprintln!("{line}");
    }
    STATUS_PANIC
}
