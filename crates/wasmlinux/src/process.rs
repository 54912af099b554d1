//! Processes of the guest that were started from here.
use crate::control::{Control, Job, Phase};
use crate::{Error, StreamReader, StreamWriter};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmlinux_boundary as boundary;

/// How a process of the guest ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExitStatus(u32);

impl ExitStatus {
    /// From a status as wait4() gives it.
    pub(crate) fn from_raw(status: u32) -> ExitStatus {
        ExitStatus(status)
    }

    /// Whether it exited with status 0.
    pub fn success(self) -> bool {
        self.code() == Some(0)
    }

    /// Its exit status, 0 to 255; None if a signal ended it.
    pub fn code(self) -> Option<u8> {
        (self.0 & 0x7f == 0).then_some((self.0 >> 8) as u8)
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<u8> {
        let signal = (self.0 & 0x7f) as u8;
        (signal != 0 && signal != 0x7f).then_some(signal)
    }

    /// One number for both, as a shell has it: the exit status, or 128 and the signal's number.
    pub fn shell_code(self) -> u8 {
        self.code().unwrap_or_else(|| 128 + self.signal().unwrap_or(0))
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (_, Some(signal)) => write!(f, "signal {signal}"),
            _ => write!(f, "wait status {:#x}", self.0),
        }
    }
}

impl std::fmt::Debug for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExitStatus({self})")
    }
}

/// The size of a terminal, in characters; 0 if it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A handle on a process of the guest: cheap to clone, to be used from any thread.
#[derive(Clone)]
pub struct Process {
    control: Arc<Control>,
    job: Arc<Job>,
    pid: u32,
}

impl Process {
    pub(crate) fn new(control: Arc<Control>, job: Arc<Job>, pid: u32) -> Process {
        Process { control, job, pid }
    }

    /// Its process id in the guest. It is the leader of a session and of a process group of that
    /// number. 0 if the machine went off before it was told.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Sends a signal (Linux's number) to the process.
    ///
    /// # Errors
    /// [`Error::Off`]. A process that has ended is no error: it may end at any time.
    pub fn signal(&self, signal: u32) -> Result<(), Error> {
        self.send(signal, false)
    }

    /// Sends a signal to its process group, as a terminal does.
    ///
    /// # Errors
    /// [`Error::Off`]
    pub fn signal_group(&self, signal: u32) -> Result<(), Error> {
        self.send(signal, true)
    }

    /// Waits until the guest has taken what was asked of it until now, signals for instance. False
    /// if it has not though the machine has computed for `patience` since, or did not compute at
    /// all in ten times that: then its kernel hangs, and only
    /// [`Machine::power_off`](crate::Machine::power_off) ends it.
    pub fn is_heard(&self, patience: Duration) -> bool {
        self.control.is_heard(patience)
    }

    fn send(&self, signal: u32, group: bool) -> Result<(), Error> {
        match self.job.phase() {
            Phase::Lost { .. } => return Err(Error::Off),
            Phase::Exited { .. } => return Ok(()),
            _ => {}
        }
        let mut message = self.job.message(boundary::SIGNAL);
        message.words(boundary::FIELD_SIGNAL, &[signal]);
        if group {
            message.words(boundary::FIELD_WHOLE_GROUP, &[]);
        }
        self.control.send(message)
    }

    /// Tells its terminal another size: the foreground processes get SIGWINCH. Without a terminal
    /// it does nothing.
    ///
    /// # Errors
    /// [`Error::Off`]
    pub fn resize(&self, size: TerminalSize) -> Result<(), Error> {
        match self.job.phase() {
            Phase::Lost { .. } => Err(Error::Off),
            Phase::Exited { .. } => Ok(()),
            _ if !self.job.has_terminal() => Ok(()),
            _ => {
                let mut message = self.job.message(boundary::RESIZE);
                message.words(boundary::FIELD_SIZE, &[size.rows.into(), size.columns.into()]);
                self.control.send(message)
            }
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`Error::Off`] if the machine went off before.
    pub fn wait(&self) -> Result<ExitStatus, Error> {
        self.status(&self.job.ended(None)).and_then(|status| status.ok_or(Error::Off))
    }

    /// Waits until it has ended, not longer than `limit`; None if it still runs.
    ///
    /// # Errors
    /// [`Error::Off`] if the machine went off before.
    pub fn wait_timeout(&self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        self.status(&self.job.ended(Instant::now().checked_add(limit)))
    }

    /// How it ended; None if it still runs.
    ///
    /// # Errors
    /// [`Error::Off`] if the machine went off before.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, Error> {
        self.status(&self.job.phase())
    }

    /// How many processes the guest's kernel killed while this one ran, as the machine was out of
    /// memory: this one or others. 0 until it has ended.
    pub fn oom_kills(&self) -> u32 {
        match self.job.phase() {
            Phase::Exited { oom_kills, .. } => oom_kills,
            _ => 0,
        }
    }

    fn status(&self, phase: &Phase) -> Result<Option<ExitStatus>, Error> {
        match phase {
            Phase::Exited { status, .. } => Ok(Some(ExitStatus::from_raw(*status))),
            Phase::Starting | Phase::Created { .. } | Phase::Running { .. } => Ok(None),
            Phase::Failed(_) | Phase::Lost { .. } => Err(Error::Off),
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("pid", &self.pid).field("phase", &self.job.phase()).finish()
    }
}

/// A command that runs, with the host's ends of its piped streams.
///
/// Dropping it closes those ends and leaves the process alone.
#[derive(Debug)]
pub struct Child {
    /// Its standard input, if it is [`Stdio::piped`](crate::Stdio::piped). Dropping it is the end
    /// of file.
    pub stdin: Option<StreamWriter>,
    /// Its standard output, if it is piped. The process gets SIGPIPE for output after it is
    /// dropped.
    pub stdout: Option<StreamReader>,
    /// Its standard error, if it is piped.
    pub stderr: Option<StreamReader>,
    pub(crate) process: Process,
}

impl Child {
    /// Its process id in the guest.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A handle that other threads may have.
    pub fn process(&self) -> Process {
        self.process.clone()
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// [`Error::Off`]
    pub fn kill(&self) -> Result<(), Error> {
        const SIGKILL: u32 = 9;
        self.process.signal(SIGKILL)
    }

    /// Closes its standard input and waits until it has ended. Its output must be read meanwhile if
    /// there may be more than a stream buffers (256 KiB).
    ///
    /// # Errors
    /// [`Error::Off`] if the machine went off before.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.stdin = None;
        self.process.wait()
    }

    /// How it ended; None if it still runs.
    ///
    /// # Errors
    /// [`Error::Off`] if the machine went off before.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, Error> {
        self.process.try_wait()
    }
}
