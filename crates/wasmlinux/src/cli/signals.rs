//! Passes signals on to the command, as `docker run --sig-proxy` does.
//!
//! One that was ignored when this process was started stays so (nohup, jobs that a script runs in
//! the background), as it would for a program that knows nothing of signals.
use super::{complain, exit, suspend, terminal};
use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use wasmlinux::Process;

/// Passed on to the command itself.
const TO_PROCESS: [i32; 5] = [SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM];
/// Passed on to its process group, as a terminal and a shell send them.
const TO_GROUP: [i32; 2] = [SIGINT, SIGQUIT];
/// The same; but a command with a terminal of its own is sent these by that: `terminal` tells it.
const TO_GROUP_WITHOUT_TERMINAL: [i32; 3] = [SIGTSTP, SIGCONT, SIGWINCH];

/// How long a command that has been asked to end by SIGTERM may take, as docker has it.
const GRACE: Duration = Duration::from_secs(10);
/// How long the machine may compute before it takes a signal.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the machine may take for a command that is killed.
const KILL_GRACE: Duration = Duration::from_secs(3);
/// So many SIGINT within so much time kill the command.
const IMPATIENT: (usize, Duration) = (3, Duration::from_secs(2));
/// How long the command has to take SIGTSTP before the machine is stopped with this process.
const STOPPING: Duration = Duration::from_millis(100);

/// Starts the thread that waits for the signals. Without `proxy` it only gives the terminal back
/// before one ends this process.
pub(crate) fn forward(process: Process, proxy: bool, has_terminal: bool) -> io::Result<()> {
    let mut wanted = TO_GROUP.to_vec();
    wanted.extend(TO_PROCESS);
    if !has_terminal {
        wanted.extend(TO_GROUP_WITHOUT_TERMINAL);
    }
    if !proxy {
        // With this process the machine's stops, whoever that is told to.
        let with_terminal = [SIGHUP, SIGTERM, SIGINT, SIGQUIT];
        wanted.retain(|signal| if has_terminal { with_terminal.contains(signal) } else { *signal == SIGTSTP });
    }
    let mut signals = unless_ignored(wanted)?;
    spawn(move || {
        let mut interrupts = Vec::new();
        for signal in signals.forever() {
            if !proxy && signal == SIGTSTP {
                suspend();
                continue;
            }
            if !proxy {
                exit((128 + signal) as u8);
            }
            pass(&process, signal);
            match signal {
                SIGTERM => {
                    let _ = kill_after(process.clone(), GRACE);
                }
                SIGINT => {
                    interrupts.retain(|at: &Instant| at.elapsed() < IMPATIENT.1);
                    interrupts.push(Instant::now());
                    if interrupts.len() >= IMPATIENT.0 {
                        let _ = kill_after(process.clone(), Duration::ZERO);
                    }
                }
                // The job of a person at a terminal is stopped as a whole; SIGCONT comes here when
                // it goes on.
                SIGTSTP if terminal::is_near() => {
                    thread::sleep(STOPPING);
                    suspend();
                }
                _ => {}
            }
            if [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&signal) {
                end_if_it_hangs(&process, signal);
            }
        }
    })
}

/// Ends this process if the guest does not take what it was asked for: its kernel hangs.
fn end_if_it_hangs(process: &Process, signal: i32) {
    if !process.is_heard(PATIENCE) {
        complain("the machine does not answer: unplugged");
        exit((128 + signal) as u8);
    }
}

/// Of the signals that were passed on, a bit for each number.
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Ends this process by the signal that ended the command, if it was meant for both: a shell ends
/// an interrupted loop only if it sees that. Returns if it was not.
pub(crate) fn end_by(status: u8, has_terminal: bool) {
    let Some(signal) = status.checked_sub(128).map(i32::from) else { return };
    let was_passed = PASSED.load(Relaxed) & 1 << (signal & 63) != 0;
    // At a terminal Ctrl-C is a key that goes to the command.
    if [SIGHUP, SIGINT, SIGTERM].contains(&signal) && (was_passed || has_terminal && signal == SIGINT) {
        terminal::restore();
        let _ = low_level::emulate_default_handler(signal);
    }
}

/// Linux's numbers are the same on both sides. A machine that is off needs no signal.
fn pass(process: &Process, signal: i32) {
    PASSED.fetch_or(1 << (signal & 63), Relaxed);
    let _ =
        if TO_PROCESS.contains(&signal) { process.signal(signal as u32) } else { process.signal_group(signal as u32) };
}

/// Takes these signals from now on, but for those that were ignored.
pub(crate) fn unless_ignored(mut wanted: Vec<i32>) -> io::Result<Signals> {
    let ignored = ignored();
    wanted.retain(|signal| ignored & 1 << (signal - 1) == 0);
    Signals::new(wanted)
}

/// The signals that are ignored, the lowest bit for number 1. None where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Kills the command's process group if it has not ended by then; if even that does nothing, ends
/// this process.
pub(crate) fn kill_after(process: Process, limit: Duration) -> Result<(), wasmlinux::Error> {
    let body = move || {
        if let Ok(None) = process.wait_timeout(limit) {
            let _ = process.signal_group(SIGKILL as u32);
            if let Ok(None) = process.wait_timeout(KILL_GRACE) {
                complain("the machine does not answer: unplugged");
                exit((128 + SIGKILL) as u8);
            }
        }
    };
    Ok(spawn(body)?)
}

fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("signals".into()).stack_size(128 << 10).spawn(body).map(drop)
}
