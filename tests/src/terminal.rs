//! A person at a terminal: a program, mostly `wasmlinux`, behind a pseudoterminal, typed at and
//! looked at.
use crate::{LIMIT, wasmlinux};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// O_NOCTTY of Linux on every architecture but a few old ones: the terminal is not to become this
/// process's own.
const O_NOCTTY: i32 = 0o400;

/// A terminal with `wasmlinux run` or another program in it, as the leader of a session of its own.
/// What still runs when it is dropped is killed.
pub struct Terminal {
    master: File,
    slave: File,
    child: Child,
    pieces: Receiver<Vec<u8>>,
    /// What was shown and not yet expected.
    screen: Vec<u8>,
    stalled: Arc<AtomicBool>,
}

impl Terminal {
    /// Runs `wasmlinux run` with these arguments in a terminal of 24 lines and 80 columns.
    pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Terminal {
        let args = args.into_iter().map(|arg| arg.as_ref().to_os_string());
        Terminal::of([wasmlinux().into_os_string(), "run".into()].into_iter().chain(args))
    }

    /// Runs a command of the host in such a terminal.
    pub fn of<S: AsRef<OsStr>>(command_line: impl IntoIterator<Item = S>) -> Terminal {
        let master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudoterminal"));
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other side");
        let path = OsString::from_vec(ptsname(&master, Vec::new()).expect("its name").into_bytes());
        let slave =
            OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(path).expect("its other side");
        tcsetwinsize(&slave, window(24, 80)).expect("its size");
        let end = || slave.try_clone().expect("a copy of a descriptor");
        // Makes the terminal the session's own, which the standard library cannot.
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(command_line).env("TERM", "xterm");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid of util-linux");
        let (sender, pieces) = channel();
        let stalled = Arc::new(AtomicBool::new(false));
        let (mut from, stall) = (master.try_clone().expect("a copy of a descriptor"), stalled.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                while stall.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                match from.read(&mut buffer) {
                    Ok(n) if n > 0 && sender.send(buffer[..n].to_vec()).is_ok() => {}
                    _ => return,
                }
            }
        });
        Terminal { master, slave, child, pieces, screen: vec![], stalled }
    }

    /// Types this.
    #[track_caller]
    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("typing");
    }

    /// Types this and Enter.
    #[track_caller]
    pub fn line(&mut self, text: &str) {
        self.type_in(&format!("{text}\r"));
    }

    /// Waits until `text` is shown, and returns what was shown before it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut seen = 0;
        loop {
            if let Some(at) = find(&self.screen[seen..], text.as_bytes()).map(|at| seen + at) {
                let before = self.screen[..at].to_vec();
                self.screen.drain(..at + text.len());
                return String::from_utf8_lossy(&before).into_owned();
            }
            seen = self.screen.len().saturating_sub(text.len());
            assert!(self.more(deadline), "{text:?} is not shown; what is: {:?}", self.shown());
        }
    }

    /// Types a command line for the shell, and returns what it shows until its next prompt.
    #[track_caller]
    pub fn command(&mut self, text: &str) -> String {
        self.line(text);
        // The line is echoed first.
        self.expect("\r\n");
        let shown = self.expect(PROMPT).replace("\r\n", "\n");
        // What the prompt begins with is no output.
        shown[..shown.rfind('\n').map_or(0, |at| at + 1)].to_owned()
    }

    /// Waits for the shell's prompt.
    #[track_caller]
    pub fn prompt(&mut self) {
        self.expect(PROMPT);
    }

    /// Takes what is shown next; false at the end, or after the deadline.
    fn more(&mut self, deadline: Instant) -> bool {
        match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(piece) => {
                self.screen.extend(piece);
                true
            }
            Err(_) => false,
        }
    }

    /// The end of what was shown and not expected, for messages.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen[self.screen.len().saturating_sub(1500)..]).into_owned()
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.slave, window(rows, columns)).expect("a new size");
    }

    /// Shows nothing more, as a terminal whose window is held, until [`Terminal::go_on`].
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    /// Shows again.
    pub fn go_on(&self) {
        self.stalled.store(false, Ordering::Relaxed);
    }

    /// The terminal's modes, in a form to compare.
    pub fn modes(&self) -> String {
        let modes: Termios = tcgetattr(&self.slave).expect("the modes of a terminal");
        format!("{:?}", (modes.input_modes, modes.output_modes, modes.local_modes))
    }

    /// Sends `wasmlinux` a signal, by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot send SIG{name}");
    }

    /// Whether `wasmlinux` is stopped, as by SIGTSTP.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// Waits for the end: the exit status as a shell gives it, and what was shown last.
    #[track_caller]
    pub fn end(&mut self) -> (i32, String) {
        let deadline = Instant::now() + LIMIT;
        loop {
            // A terminal that nobody looks at stalls.
            while self.more(Instant::now() + Duration::from_millis(10)) {}
            if let Some(status) = self.child.try_wait().expect("the status of a child") {
                while self.more(Instant::now() + Duration::from_millis(100)) {}
                let status = status.code().or_else(|| status.signal().map(|s| 128 + s)).expect("an exit status");
                return (status, String::from_utf8_lossy(&std::mem::take(&mut self.screen)).into_owned());
            }
            assert!(Instant::now() < deadline, "it does not end; it shows {:?}", self.shown());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.go_on();
    }
}

/// The end of the shell's prompt.
const PROMPT: &str = "# ";

fn window(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
