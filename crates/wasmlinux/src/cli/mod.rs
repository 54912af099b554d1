//! Reads the command line, dispatches, and turns every failure into one line and a status.
//!
//! `options` has the options (`network` those of the network), `refusals` docker's others, `run`
//! runs a command in a machine, `terminal` lends it this terminal, `pump` carries its output,
//! `escape` finds the keys that are meant for us, `signals` passes signals on.
mod escape;
mod network;
mod options;
mod pump;
mod refusals;
mod run;
mod signals;
mod terminal;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use options::{Options, Verb};
use signal_hook::consts::SIGTSTP;
use signal_hook::low_level;
use std::io::Write;
use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use wasmlinux::Machine;
use wasmlinux_devices::{Printable, printable};
use wasmlinux_machine::explained;

/// Our own failure, as docker has it.
pub(crate) const STATUS_ERROR: u8 = 125;
/// The command was found and could not be executed.
pub(crate) const STATUS_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub(crate) const STATUS_NOT_FOUND: u8 = 127;
/// The guest asked for a reboot.
pub(crate) const STATUS_REBOOT: u8 = 122;
/// The kernel panicked.
pub(crate) const STATUS_PANIC: u8 = 123;

/// Sets up what the command line and a machine's process tell on standard error.
pub(crate) fn prepare(level: LevelFilter) {
    tracing_subscriber::fmt().with_max_level(level).with_writer(escaped).without_time().with_target(false).init();
    say_bugs();
}

fn say_bugs() {
    std::panic::set_hook(Box::new(|info| {
        complain(&format!("a bug in wasmlinux: {}", info.to_string().replace('\n', " ")));
        // Whichever thread it was: nothing waits for what it did not do.
        exit(STATUS_ERROR);
    }));
}

/// The machine, once it is switched on.
static MACHINE: OnceLock<Machine> = OnceLock::new();

/// Stops this process, as SIGTSTP does, and the machine with it. Returns when it is continued.
pub(crate) fn suspend() {
    let stop = |stopped| MACHINE.get().into_iter().for_each(|machine| machine.stop(stopped));
    stop(true);
    let _ = low_level::emulate_default_handler(SIGTSTP);
    stop(false);
}

/// The exit status.
pub(crate) fn main() -> u8 {
    say_bugs();
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    match options.verb {
        Verb::Run(run) => run::run(&run),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Options::command(), "wasmlinux", &mut std::io::stdout());
            0
        }
    }
}

/// Ends this process at once, from any thread, with its terminal as it was.
pub(crate) fn exit(status: u8) -> ! {
    terminal::restore();
    std::process::exit(status.into())
}

/// Help and version are no errors; for the rest clap's first line says it all.
fn usage(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            STATUS_ERROR
        }
        _ => {
            if let Some(text) = refusal(error) {
                complain(&text);
                return STATUS_ERROR;
            }
            let text = error.to_string();
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let mut first = lines.next().unwrap_or("bad usage").trim_start_matches("error: ").to_owned();
            // A list of what is missing or possible stands on lines of its own.
            for line in lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")) {
                first.push_str(if line.starts_with("tip:") { "; " } else { " " });
                first.push_str(line);
            }
            complain(&format!("{first} (see `wasmlinux run --help`)"));
            STATUS_ERROR
        }
    }
}

/// What to say of an option that docker has.
fn refusal(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let option = argument.split('=').next().unwrap_or(argument);
    let instead = refusals::instead_of(option.trim_start_matches('-'))?;
    (error.kind() == ErrorKind::UnknownArgument).then(|| format!("no option {option}: {instead}"))
}

/// One line on standard error: an error and those of its causes that it does not name itself.
pub(crate) fn explain(error: &wasmlinux::Error) {
    let mut text = match error {
        // It says in other words what the host says.
        wasmlinux::Error::Network(error @ wasmlinux_net::Error::Listen { .. }) => error.to_string(),
        error => explained(error),
    };
    if let Some(advice) = advice(&text) {
        text = format!("{text}; {advice}");
    }
    complain(&text);
}

/// What to do where the host has refused something, by the number of its error.
fn advice(text: &str) -> Option<&'static str> {
    let advices = [
        (
            "(os error 11)",
            "this user has too many threads or signals: end some, or raise the limit (ulimit -u, ulimit -i)",
        ),
        ("(os error 12)", "this process may use too little memory: raise the limit (ulimit -v, ulimit -d)"),
        ("(os error 24)", "this process may open too few files: raise the limit (ulimit -n)"),
    ];
    advices.iter().find(|(error, _)| text.contains(error)).map(|(_, advice)| *advice)
}

/// One line on standard error.
pub(crate) fn complain(text: &str) {
    // A terminal in raw mode does not return the carriage.
    let end = if terminal::is_raw() { "\r\n" } else { "\n" };
    // A standard error that has gone, with its terminal perhaps, is no reason to fail.
    let _ = std::io::stderr().write_all(format!("wasmlinux: {}{end}", printable(text)).as_bytes());
}

/// Standard error for text that the guest may have written: kernel messages, names. Control
/// characters are escaped, so that a terminal shows them and obeys none.
pub(crate) fn escaped() -> Printable<std::io::Stderr> {
    Printable::new(std::io::stderr())
}
