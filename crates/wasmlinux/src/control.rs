//! The control channel to the guest's `/init`: messages out, and one thread that takes what comes
//! back.
//!
//! ```text
//! Command::spawn ─► Control::request ─ CREATE ─► init
//! Process::wait ◄── Job ◄── receiver thread ◄── CREATED, STARTED, FAILED, EXITED
//! ```
//! When the machine goes off the channel ends, the thread with it, and every job is
//! [`Phase::Lost`].
use crate::{Errno, Error};
use std::collections::HashMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmlinux_boundary::{self as boundary, Message, MessageError, Received};
use wasmlinux_devices::{Panic, StreamReader, StreamWriter, Streams};

/// The longest message that init sends, in bytes: a failure with a path.
const FROM_INIT_MAX: u32 = 16 << 10;

/// A message's bytes.
pub(crate) fn encode(message: Message) -> Result<Vec<u8>, Error> {
    message.finish().map_err(|error| match error {
        MessageError::TooLong(size) => {
            Error::TooLarge { what: "a message", size, limit: boundary::PAYLOAD_MAX as usize }
        }
        MessageError::ZeroByte(text) => Error::ZeroByte(text),
        _ => Error::Protocol("a message that cannot be sent"),
    })
}

/// Why init could not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    /// STEP_*
    pub(crate) step: u32,
    /// With what, if that is said.
    pub(crate) text: Option<String>,
}

impl Failure {
    pub(crate) fn of(message: &Received) -> Failure {
        let word = |tag| message.words(tag).map_or(0, |[word]| word);
        let text = message.text(boundary::FIELD_TEXT).ok();
        Failure {
            errno: Errno(word(boundary::FIELD_ERRNO)),
            step: word(boundary::FIELD_STEP),
            text: text.map(|text| String::from_utf8_lossy(text).into_owned()),
        }
    }
}

/// Where a command or host task is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Init has not answered yet.
    Starting,
    /// It waits for its start.
    Created { pid: u32 },
    /// It runs.
    Running { pid: u32 },
    /// It could not be started.
    Failed(Failure),
    /// It has ended with this wait status. The kernel has killed so many processes meanwhile, as it
    /// was out of memory.
    Exited { pid: u32, status: u32, oom_kills: u32 },
    /// The machine went off before; `pid` is 0 if init had not told it yet.
    Lost { pid: u32 },
}

impl Phase {
    fn is_last(&self) -> bool {
        !matches!(self, Phase::Starting | Phase::Created { .. } | Phase::Running { .. })
    }

    /// Its process id; 0 if that has not been told.
    fn pid(&self) -> u32 {
        match *self {
            Phase::Created { pid } | Phase::Running { pid } | Phase::Exited { pid, .. } | Phase::Lost { pid } => pid,
            Phase::Starting | Phase::Failed(_) => 0,
        }
    }
}

/// One command or host task, as the control channel knows it.
pub(crate) struct Job {
    id: u32,
    phase: Mutex<Phase>,
    changed: Condvar,
    /// The stream of its terminal, which ends with it.
    terminal: Option<u32>,
}

impl Job {
    fn new(id: u32, terminal: Option<u32>) -> Arc<Job> {
        Arc::new(Job { id, phase: Mutex::new(Phase::Starting), changed: Condvar::new(), terminal })
    }

    /// A message about it.
    pub(crate) fn message(&self, kind: u32) -> Message {
        Message::new(kind, self.id)
    }

    pub(crate) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mut phase: Phase) {
        let mut now = self.lock();
        if let Phase::Exited { pid, .. } | Phase::Lost { pid } = &mut phase {
            *pid = now.pid();
        }
        *now = phase;
        drop(now);
        self.changed.notify_all();
    }

    pub(crate) fn phase(&self) -> Phase {
        self.lock().clone()
    }

    /// Waits for the end, not longer than until `deadline`.
    pub(crate) fn ended(&self, deadline: Option<Instant>) -> Phase {
        self.wait_until(deadline, Phase::is_last)
    }

    fn wait_until(&self, deadline: Option<Instant>, done: impl Fn(&Phase) -> bool) -> Phase {
        let mut phase = self.lock();
        while !done(&phase) {
            phase = match deadline.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(phase).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(rest) => self.changed.wait_timeout(phase, rest).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        phase.clone()
    }
}

struct Jobs {
    by_id: HashMap<u32, Arc<Job>>,
    next: u32,
    off: bool,
}

/// The host's end of the control channel.
pub(crate) struct Control {
    streams: Arc<Streams>,
    writer: Mutex<StreamWriter>,
    jobs: Mutex<Jobs>,
    /// "Running" when init is up; "Lost" when the machine is off.
    init: Arc<Job>,
}

impl Control {
    /// Opens the channel and starts the thread that receives.
    pub(crate) fn open(streams: &Arc<Streams>) -> Result<Arc<Control>, Error> {
        let (writer, reader) = streams.open(boundary::STREAM_CONTROL)?;
        let control = Arc::new(Control {
            streams: streams.clone(),
            writer: Mutex::new(writer),
            jobs: Mutex::new(Jobs { by_id: HashMap::new(), next: 1, off: false }),
            init: Job::new(0, None),
        });
        // Nobody has to wait for this: it lies in the stream until init comes.
        let mut hello = Message::new(boundary::HELLO, 0);
        hello.words(boundary::FIELD_VERSIONS, &[boundary::VERSION, boundary::VERSION_OLDEST]);
        control.send(hello)?;
        let receiver = control.clone();
        std::thread::Builder::new().name("wasmlinux-control".into()).stack_size(128 << 10).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| receiver.receive(reader))) {
                receiver.streams.fail(Panic::caught(&*panic));
            }
            receiver.end();
        })?;
        Ok(control)
    }

    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// Waits until init is up (then it is `Running`), the machine went off (`Lost`), or the time is
    /// over.
    pub(crate) fn ready(&self, limit: Duration) -> Phase {
        self.init.wait_until(Some(Instant::now() + limit), |phase| *phase != Phase::Starting)
    }

    /// Waits until the machine is off, not longer than `limit`.
    pub(crate) fn off(&self, limit: Duration) -> bool {
        matches!(self.init.ended(Instant::now().checked_add(limit)), Phase::Lost { .. })
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message; the machine may be off.
    pub(crate) fn send(&self, message: Message) -> Result<(), Error> {
        let bytes = encode(message)?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(&bytes).map_err(|_| Error::Off)
    }

    /// Sends the message that makes a command, host task or process for files, which `fill`
    /// completes, and waits for init's answer: its process id. The stream `terminal` is closed when
    /// it has ended.
    pub(crate) fn request(
        &self,
        kind: u32,
        terminal: Option<u32>,
        fill: impl FnOnce(&mut Message),
        failed: impl FnOnce(Failure) -> Error,
    ) -> Result<(Arc<Job>, u32), Error> {
        let job = {
            let mut jobs = self.jobs();
            if jobs.off {
                return Err(Error::Off);
            }
            let job = Job::new(jobs.next, terminal);
            // 0 is init's own; after four thousand million commands the numbers begin again.
            jobs.next = jobs.next.checked_add(1).unwrap_or(1);
            jobs.by_id.insert(job.id, job.clone());
            job
        };
        let mut message = job.message(kind);
        fill(&mut message);
        if let Err(error) = self.send(message) {
            self.jobs().by_id.remove(&job.id);
            return Err(error);
        }
        let pid = answer(&job, failed)?;
        Ok((job, pid))
    }

    /// Starts a command that was created.
    pub(crate) fn start(&self, job: &Job, failed: impl FnOnce(Failure) -> Error) -> Result<(), Error> {
        if matches!(job.phase(), Phase::Created { .. }) {
            self.send(job.message(boundary::START))?;
        }
        job.wait_until(None, |phase| !matches!(phase, Phase::Created { .. }));
        answer(job, failed).map(drop)
    }

    /// Waits until the guest has read what was sent. False if it has not though the machine has
    /// computed for so long since, or not computed at all in ten times that: it hangs.
    pub(crate) fn is_heard(&self, patience: Duration) -> bool {
        let (start, before) = (Instant::now(), self.streams.processor_time().unwrap_or_default());
        loop {
            let read = self.writer.try_lock().is_ok_and(|writer| writer.is_read());
            if read || !matches!(self.init.phase(), Phase::Running { .. }) {
                return true;
            }
            let computed = self.streams.processor_time().unwrap_or_default().saturating_sub(before);
            if computed >= patience || start.elapsed() >= 10 * patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The receiver thread.
    fn receive(&self, mut reader: StreamReader) {
        loop {
            match Received::read(&mut reader, FROM_INIT_MAX) {
                Ok(Some(message)) => self.take(&message),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "the control channel ended badly");
                    break;
                }
            }
        }
    }

    /// Nothing will be received any more: the machine is off, or as good as that.
    fn end(&self) {
        let mut jobs = self.jobs();
        jobs.off = true;
        let left = std::mem::take(&mut jobs.by_id);
        drop(jobs);
        for job in left.values() {
            job.set(Phase::Lost { pid: 0 });
        }
        self.init.set(Phase::Lost { pid: 0 });
    }

    fn take(&self, message: &Received) {
        let word = |tag| message.words(tag).map_or(0, |[word]| word);
        let phase = match message.kind {
            boundary::HELLO => return self.greet(message),
            boundary::CREATED => Phase::Created { pid: word(boundary::FIELD_PID) },
            boundary::STARTED => Phase::Running { pid: word(boundary::FIELD_PID) },
            boundary::FAILED if message.id == 0 => return self.init.set(Phase::Failed(Failure::of(message))),
            boundary::FAILED => Phase::Failed(Failure::of(message)),
            boundary::EXITED => Phase::Exited {
                pid: 0,
                status: word(boundary::FIELD_STATUS),
                oom_kills: word(boundary::FIELD_OOM_KILLS),
            },
            #[cfg(test)]
            tests::PANIC => panic!("provoked"),
            kind => return tracing::warn!(kind, "an unknown message from init"),
        };
        tracing::debug!(id = message.id, ?phase, "from init");
        let job = {
            let mut jobs = self.jobs();
            if phase.is_last() { jobs.by_id.remove(&message.id) } else { jobs.by_id.get(&message.id).cloned() }
        };
        match job {
            Some(job) => {
                // Its session has hung the terminal up: nothing more will be written.
                if let Some(terminal) = job.terminal.filter(|_| phase.is_last()) {
                    self.streams.guest_close(terminal);
                }
                job.set(phase);
            }
            None => tracing::warn!(id = message.id, "a message from init about nothing known"),
        }
    }

    /// Init is up. A version that is not ours is a failure of its.
    fn greet(&self, message: &Received) {
        let [newest, oldest] = message.words(boundary::FIELD_VERSIONS).unwrap_or_default();
        if newest >= boundary::VERSION_OLDEST && oldest <= boundary::VERSION {
            return self.init.set(Phase::Running { pid: 1 });
        }
        let text = Some(format!("{oldest} to {newest}"));
        self.init.set(Phase::Failed(Failure { errno: Errno::EPROTONOSUPPORT, step: boundary::STEP_VERSION, text }));
    }
}

/// Init's answer, when it has come.
fn answer(job: &Job, failed: impl FnOnce(Failure) -> Error) -> Result<u32, Error> {
    match job.wait_until(None, |phase| *phase != Phase::Starting) {
        Phase::Failed(failure) => Err(failed(failure)),
        Phase::Starting => Err(Error::Off),
        // It may be over by now. One that switched the machine off at once may even have run before
        // init could say so, and what it has written is still to be read.
        Phase::Created { pid } | Phase::Running { pid } | Phase::Exited { pid, .. } | Phase::Lost { pid } => Ok(pid),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
