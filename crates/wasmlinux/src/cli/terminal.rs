//! Lends this process's terminal to a command of the guest, and gives it back in every way out.
//!
//! While it is lent it is in raw mode: every key goes to the guest, whose own terminal makes signals and lines of them.
use super::escape::{Escape, Order};
use super::signals::{kill_after, unless_ignored};
use super::{complain, pump};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};
use signal_hook::low_level;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wasmlinux::{Process, StreamWriter, TerminalSize};

/// How long the command may live on when its person has left.
const LEAVE_GRACE: Duration = Duration::from_secs(1);
/// Bytes of keys taken at once.
const KEYS: usize = 4096;

/// The terminal as it was, while it is lent. One for the whole process: that many standard inputs it has.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the command is to have a terminal.
///
/// # Errors
/// It was asked for and there is none: what to say.
pub(crate) fn wanted(asked: bool, interactive: bool) -> Result<bool, String> {
    let input = isatty(io::stdin());
    match (asked, input) {
        (true, false) => Err("the input device is not a TTY; leave out -t, or run it in a terminal".into()),
        (true, true) => Ok(true),
        // Not if any stream leads elsewhere, nor in the background, where the terminal is another's.
        (false, _) => {
            let all = input && isatty(io::stdout()) && isatty(io::stderr());
            Ok(all && !interactive && in_foreground())
        }
    }
}

/// Whether this process has its terminal's attention: its group is the terminal's foreground group.
fn in_foreground() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses: state, parent, group, session, terminal, foreground group (proc(5)).
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(2);
    let (group, foreground) = (fields.next(), fields.nth(2));
    group.is_some() && group == foreground
}

/// Whether a person at a terminal has this process as a job, or may have.
pub(crate) fn is_near() -> bool {
    isatty(io::stdin()) || isatty(io::stdout()) || isatty(io::stderr())
}

/// Whether it is lent now.
pub(crate) fn is_raw() -> bool {
    // Who holds the lock is about to change it.
    BEFORE.try_lock().is_ok_and(|before| before.is_some())
}

/// Puts the terminal back as it was, if it is lent.
pub(crate) fn restore() {
    if let Some(termios) = before().take() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &termios);
    }
}

/// The terminal is lent as long as this lives.
pub(crate) struct Raw(());

impl Raw {
    /// Lends it to a command. What was typed before is kept.
    pub(crate) fn enter(process: Process) -> io::Result<Raw> {
        follow(process)?;
        let termios = tcgetattr(io::stdin())?;
        let mut before = before();
        set_raw(&termios)?;
        *before = Some(termios);
        Ok(Raw(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn set_raw(termios: &Termios) -> io::Result<()> {
    let mut raw = termios.clone();
    raw.make_raw();
    Ok(tcsetattr(io::stdin(), OptionalActions::Now, &raw)?)
}

/// Its size; 0 where it does not know.
pub(crate) fn size() -> TerminalSize {
    let size = tcgetwinsize(io::stdin()).map(|size| (size.ws_row, size.ws_col));
    let (rows, columns) = size.unwrap_or_default();
    TerminalSize { rows, columns }
}

/// Starts the thread that tells the command's terminal each change of size, and suspends this process when it is asked to.
fn follow(process: Process) -> io::Result<()> {
    let mut signals = unless_ignored(vec![SIGWINCH, SIGTSTP, SIGCONT])?;
    pump::spawn("terminal", move || {
        // It may have changed since the command was given it.
        let _ = process.resize(size());
        for signal in signals.forever() {
            match signal {
                SIGTSTP => {
                    let lent = before().clone();
                    if let Some(termios) = &lent {
                        let _ = tcsetattr(io::stdin(), OptionalActions::Now, termios);
                    }
                    // Returns when the process is continued.
                    let _ = low_level::emulate_default_handler(SIGTSTP);
                }
                // The shell that continues us has set the terminal for itself.
                SIGCONT => {
                    if let Some(termios) = before().as_ref().filter(|_| in_foreground()) {
                        let _ = set_raw(termios);
                    }
                }
                _ => {}
            }
            // A machine that is off has no terminal to resize.
            let _ = process.resize(size());
        }
    })
    .map(drop)
}

/// Carries what is typed to the command. Nobody waits for this thread: it may sleep in a read for ever.
pub(crate) fn keys(mut to: StreamWriter, process: Process) -> io::Result<()> {
    pump::spawn("keys", move || {
        let Ok(mut from) = pump::raw(&io::stdin()) else { return };
        let (mut escape, mut piece, mut rest) = (Escape::default(), [0; KEYS], Vec::new());
        loop {
            let (mut quit, mut suspend) = (false, false);
            match from.read(&mut piece) {
                // The terminal has gone, and so does the command's: SIGHUP.
                Ok(0) => return,
                Ok(n) => escape.filter(&piece[..n], &mut rest, |order| match order {
                    Order::Quit => quit = true,
                    Order::Suspend => suspend = true,
                }),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            // The command may have ended. Its person has not left for that.
            if to.write_all(&rest).is_err() {
                return;
            }
            rest.clear();
            if quit {
                let _ = kill_after(process, LEAVE_GRACE);
                return;
            }
            if suspend && low_level::raise(SIGTSTP).is_err() {
                complain("cannot suspend this process");
            }
        }
    })
    .map(drop)
}
