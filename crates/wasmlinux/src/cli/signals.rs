//! Passes signals that end this process on to the command, as `docker run --sig-proxy` does.
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::thread;
use wasmlinux::Process;

/// Starts the thread that waits for the signals. From the keyboard they go to the command's process group, as a terminal
/// sends them. A second one of those kills the command, a third ends this process.
pub(crate) fn forward(process: Process) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP])?;
    let body = move || {
        let mut interrupts = 0;
        for signal in signals.forever() {
            let keyboard = matches!(signal, SIGINT | SIGQUIT);
            interrupts += u32::from(keyboard);
            // Linux's numbers are the same on both sides. A machine that is off needs no signal.
            let _ = match (keyboard, interrupts) {
                (true, 1) => process.signal_group(signal as u32),
                (true, 2) => process.signal_group(SIGKILL as u32),
                (true, _) => std::process::exit(128 + signal),
                (false, _) => process.signal(signal as u32),
            };
        }
    };
    thread::Builder::new().name("signals".into()).stack_size(128 << 10).spawn(body).map(drop)
}
