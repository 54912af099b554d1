//! Passes signals that end this process on to the command, as `docker run --sig-proxy` does.
use super::{complain, exit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::thread;
use std::time::Duration;
use wasmlinux::Process;

/// How long a command that has been asked to end may take, as docker has it.
const GRACE: Duration = Duration::from_secs(10);
/// How long the machine may compute before it takes a signal.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the machine may take for a command that is killed.
const KILL_GRACE: Duration = Duration::from_secs(3);

/// Starts the thread that waits for the signals. From the keyboard they go to the command's process group, as a terminal
/// sends them: the command may live on, a second one kills it, a third ends this process. SIGTERM and SIGHUP give
/// it [`GRACE`] to end.
pub(crate) fn forward(process: Process) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP])?;
    spawn(move || {
        let mut interrupts = 0;
        for signal in signals.forever() {
            let keyboard = matches!(signal, SIGINT | SIGQUIT);
            interrupts += u32::from(keyboard);
            // Linux's numbers are the same on both sides. A machine that is off needs no signal.
            let _ = match (keyboard, interrupts) {
                (true, 1) => process.signal_group(signal as u32),
                (true, 2) => kill_after(process.clone(), Duration::ZERO),
                (true, _) => exit((128 + signal) as u8),
                (false, _) => process.signal(signal as u32).and_then(|()| kill_after(process.clone(), GRACE)),
            };
            end_if_it_hangs(&process, signal);
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

/// Kills the command's process group if it has not ended by then; if even that does nothing, ends this process.
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
