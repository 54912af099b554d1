//! Lends this process's terminal to a command of the guest, and gives it back in every way out.
//!
//! While it is lent it is in raw mode: every key goes to the guest, whose line discipline makes
//! signals and lines of them. A lock on the terminal lets one machine have it at a time: a second
//! one would restore raw mode in the end. In the background it is neither read nor set, as it is
//! another job's then.
use super::escape::{Escape, Order};
use super::signals::{kill_after, unless_ignored};
use super::{complain, pump, suspend};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};
use signal_hook::low_level;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use wasmlinux::{Process, StreamWriter, TerminalSize};

/// How long the command may live on when its person has left.
const LEAVE_GRACE: Duration = Duration::from_secs(1);
/// Bytes of keys taken at once.
const KEYS: usize = 4096;
/// How often a process in the background looks whether it is in the foreground again.
const LOOK: Duration = Duration::from_millis(200);
/// Major numbers of pseudoterminals (Linux's Documentation/admin-guide/devices.txt).
const PSEUDOTERMINALS: Range<u64> = 136..144;
/// The device of /dev/tty, which is the controlling terminal whatever that is.
const DEV_TTY: u64 = 5 << 8;

/// The terminal's settings from before it was lent; None while it is not. One for the process, as
/// it has one standard input.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
/// The terminal, opened once more, with the lock on it.
static LOCK: Mutex<Option<OwnedFd>> = Mutex::new(None);

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
        (true, true) => {
            // Stops a job in the background as long as it is there.
            let _ = tcgetattr(io::stdin()).and_then(|same| tcsetattr(io::stdin(), OptionalActions::Now, &same));
            if reserve() {
                Ok(true)
            } else {
                Err("another machine has this terminal: end or suspend that one, or give this one no terminal (-i)"
                    .into())
            }
        }
        // Not if any stream leads elsewhere, nor in the background, where the terminal is
        // another's.
        (false, _) => {
            let all = input && isatty(io::stdout()) && isatty(io::stderr());
            Ok(all && !interactive && in_foreground() && reserve())
        }
    }
}

/// A path to open standard input's terminal by; None if none is known.
fn path() -> Option<String> {
    if fstat(io::stdin()).ok()?.st_rdev != DEV_TTY {
        return Some("/proc/self/fd/0".into());
    }
    // A lock on /dev/tty would not be one on the terminal's own file.
    let (_, terminal, _) = job()?;
    let (major, minor) = (terminal >> 8 & 0xfff, terminal & 0xff | terminal >> 12 & 0xfff00);
    let first = PSEUDOTERMINALS.contains(&major).then(|| (major - PSEUDOTERMINALS.start) << 8)?;
    Some(format!("/dev/pts/{}", first + minor))
}

/// Takes the lock; false if another machine has it. A terminal that may not be opened is not
/// locked.
fn reserve() -> bool {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Some(path) = path() else { return true };
    let Ok(terminal) = open(path, flags, Mode::empty()) else { return true };
    if flock(&terminal, FlockOperation::NonBlockingLockExclusive) == Err(Errno::AGAIN) {
        return false;
    }
    *LOCK.lock().unwrap_or_else(PoisonError::into_inner) = Some(terminal);
    true
}

/// Gives the lock away, or tries to have it again.
fn lock(operation: FlockOperation) {
    if let Some(terminal) = &*LOCK.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = flock(terminal, operation);
    }
}

/// This process's group, its controlling terminal (0 if it has none), and the terminal's foreground
/// group.
fn job() -> Option<(i64, u64, i64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // proc(5): after the name in parentheses come state, parent, group, session, terminal, and the
    // terminal's foreground group.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(2);
    let group = fields.next()?.parse().ok()?;
    let terminal: i32 = fields.nth(1)?.parse().ok()?;
    Some((group, (terminal as u32).into(), fields.next()?.parse().ok()?))
}

/// Whether this process's group is the foreground group of its terminal.
fn in_foreground() -> bool {
    job().is_some_and(|(group, _, foreground)| group == foreground)
}

/// Whether another job has the terminal: to read or set it would stop this process.
fn in_background() -> bool {
    let Ok(stat) = fstat(io::stdin()) else { return false };
    job().is_some_and(|(group, terminal, foreground)| {
        group != foreground && (stat.st_rdev == DEV_TTY || stat.st_rdev == terminal)
    })
}

/// Whether this process may be a job of a shell at a terminal.
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
    if let Some(termios) = before().take()
        && !in_background()
    {
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

/// The terminal is this process's again, if it was lent.
fn lend_again() {
    if let Some(termios) = before().as_ref() {
        lock(FlockOperation::NonBlockingLockExclusive);
        let _ = set_raw(termios);
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

/// Starts the thread that passes each change of size on to the command's terminal, and suspends
/// this process on SIGTSTP.
fn follow(process: Process) -> io::Result<()> {
    let mut signals = unless_ignored(vec![SIGWINCH, SIGTSTP, SIGCONT])?;
    pump::spawn("terminal", move || {
        // It may have changed since the command was given it.
        let _ = process.resize(size());
        for signal in signals.forever() {
            match signal {
                SIGTSTP => {
                    let lent = before().clone();
                    if let Some(termios) = lent.filter(|_| !in_background()) {
                        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &termios);
                    }
                    // Whoever comes to the foreground meanwhile may have it.
                    lock(FlockOperation::Unlock);
                    // Returns when the process is continued.
                    suspend();
                }
                // The shell that continues us has set the terminal for itself.
                SIGCONT => {
                    if in_background() {
                        // A shell says nothing to a job that runs when it comes to the foreground.
                        let _ = pump::spawn("foreground", || {
                            while in_background() {
                                thread::sleep(LOOK);
                            }
                            lend_again();
                        });
                    } else {
                        lend_again();
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

/// Carries what is typed to the command. Nobody joins this thread: it may sleep in a read for ever.
pub(crate) fn keys(mut to: StreamWriter, process: Process) -> io::Result<()> {
    pump::spawn("keys", move || {
        let Ok(mut from) = pump::raw(&io::stdin()) else { return };
        let (mut escape, mut piece, mut rest) = (Escape::default(), [0; KEYS], Vec::new());
        loop {
            let (mut quit, mut suspend) = (false, false);
            wait_for_keys();
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

/// Returns when something has been typed to this process, not to the shell that it is a job of.
fn wait_for_keys() {
    loop {
        let stdin = io::stdin();
        let result = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], -1);
        if result != Err(Errno::INTR) && !in_background() {
            return;
        }
        thread::sleep(LOOK);
    }
}
