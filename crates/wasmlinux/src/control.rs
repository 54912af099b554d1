//! The control channel to the guest's `/init`: messages out, and one thread that takes what comes back.
//!
//! ```text
//! Command::spawn ─► Control::start ─ RUN ─► init
//! Process::wait ◄── Job ◄── receiver thread ◄── STARTED, FAILED, EXITED
//! ```
//! When the machine goes off the channel ends, the thread with it, and every job is [`Phase::Lost`].
use crate::{Errno, Error};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmlinux_boundary as boundary;
use wasmlinux_devices::{StreamReader, StreamWriter, Streams, panic_text};

/// A message of the control channel or of a host task, ready to be sent.
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub(crate) fn new(kind: u32, id: u32) -> Message {
        let mut message = Message { bytes: Vec::with_capacity(256) };
        for word in [0, kind, id] {
            message.word(word);
        }
        message
    }

    pub(crate) fn word(&mut self, word: u32) -> &mut Message {
        self.bytes.extend(word.to_le_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Message {
        self.bytes.extend(bytes);
        self
    }

    /// Adds a string and the zero that ends it.
    pub(crate) fn string(&mut self, bytes: &[u8]) -> Result<&mut Message, Error> {
        if bytes.contains(&0) {
            return Err(Error::ZeroByte(String::from_utf8_lossy(bytes).into_owned()));
        }
        self.bytes.extend(bytes);
        self.bytes.push(0);
        Ok(self)
    }

    /// The message with its length filled in.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, Error> {
        let size = self.bytes.len() - boundary::HEADER_SIZE as usize;
        let limit = boundary::PAYLOAD_MAX as usize;
        if size > limit {
            return Err(Error::TooLarge { what: "a message", size, limit });
        }
        self.bytes[..4].copy_from_slice(&(size as u32).to_le_bytes());
        Ok(self.bytes)
    }
}

/// A received message.
pub(crate) struct Received {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) payload: Vec<u8>,
}

impl Received {
    /// The next message; None at the end of the stream.
    pub(crate) fn read(reader: &mut impl Read) -> io::Result<Option<Received>> {
        let mut header = [0; boundary::HEADER_SIZE as usize];
        match reader.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [length, kind, id] = [0, 4, 8].map(|at| le32(&header, at).unwrap_or(0));
        if length > boundary::PAYLOAD_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
        }
        let mut payload = vec![0; length as usize];
        reader.read_exact(&mut payload)?;
        Ok(Some(Received { kind, id, payload }))
    }

    /// The word at this place of the payload.
    pub(crate) fn word(&self, index: usize) -> Option<u32> {
        le32(&self.payload, index * 4)
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Where a command or host task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Init has not answered yet.
    Starting,
    /// It runs.
    Running { pid: u32 },
    /// It could not be started; `step` is FAILED_*.
    Failed { errno: Errno, step: u32 },
    /// It has ended with this wait status.
    Exited { pid: u32, status: u32 },
    /// The machine went off before; `pid` is 0 if init had not told it yet.
    Lost { pid: u32 },
}

impl Phase {
    fn is_last(self) -> bool {
        !matches!(self, Phase::Starting | Phase::Running { .. })
    }
}

/// One command or host task, as the control channel knows it.
pub(crate) struct Job {
    phase: Mutex<Phase>,
    changed: Condvar,
    /// The stream of its terminal, which ends with it.
    terminal: Option<u32>,
}

impl Job {
    fn new(phase: Phase, terminal: Option<u32>) -> Arc<Job> {
        Arc::new(Job { phase: Mutex::new(phase), changed: Condvar::new(), terminal })
    }

    pub(crate) fn terminal(&self) -> Option<u32> {
        self.terminal
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mut phase: Phase) {
        let mut now = self.lock();
        if let (Phase::Exited { pid, .. } | Phase::Lost { pid }, Phase::Running { pid: known }) = (&mut phase, *now) {
            *pid = known;
        }
        *now = phase;
        drop(now);
        self.changed.notify_all();
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.lock()
    }

    /// Waits for the end, not longer than until `deadline`.
    pub(crate) fn ended(&self, deadline: Option<Instant>) -> Phase {
        self.wait_until(deadline, Phase::is_last)
    }

    fn wait_until(&self, deadline: Option<Instant>, done: impl Fn(Phase) -> bool) -> Phase {
        let mut phase = self.lock();
        while !done(*phase) {
            phase = match deadline.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(phase).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(rest) => self.changed.wait_timeout(phase, rest).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        *phase
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
        let (writer, reader) = streams.open(boundary::STREAM_CONTROL);
        let control = Arc::new(Control {
            streams: streams.clone(),
            writer: Mutex::new(writer),
            jobs: Mutex::new(Jobs { by_id: HashMap::new(), next: 1, off: false }),
            init: Job::new(Phase::Starting, None),
        });
        let receiver = control.clone();
        std::thread::Builder::new().name("wasmlinux-control".into()).stack_size(128 << 10).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| receiver.receive(reader))) {
                receiver.streams.fail(panic_text(&*panic));
            }
            receiver.end();
        })?;
        Ok(control)
    }

    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// Waits until init is up (then it is `Running`), the machine went off (`Lost`), or the time is over.
    pub(crate) fn ready(&self, limit: Duration) -> Phase {
        self.init.wait_until(Some(Instant::now() + limit), |phase| phase != Phase::Starting)
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
        let bytes = message.finish()?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(&bytes).map_err(|_| Error::Off)
    }

    /// Sends the message that starts a command or host task, which `make` writes for a new id, and waits for init's answer: the process id.
    /// The stream `terminal` is closed when it has ended.
    pub(crate) fn start(
        &self,
        terminal: Option<u32>,
        make: impl FnOnce(u32) -> Result<Message, Error>,
        failed: impl FnOnce(Errno, u32) -> Error,
    ) -> Result<(Arc<Job>, u32), Error> {
        let job = Job::new(Phase::Starting, terminal);
        let id = {
            let mut jobs = self.jobs();
            if jobs.off {
                return Err(Error::Off);
            }
            let id = jobs.next;
            // 0 is init's own; after four thousand million commands the numbers begin again.
            jobs.next = jobs.next.checked_add(1).unwrap_or(1);
            jobs.by_id.insert(id, job.clone());
            id
        };
        if let Err(error) = make(id).and_then(|message| self.send(message)) {
            self.jobs().by_id.remove(&id);
            return Err(error);
        }
        match job.wait_until(None, |phase| phase != Phase::Starting) {
            Phase::Failed { errno, step } => Err(failed(errno, step)),
            Phase::Starting => Err(Error::Off),
            // It may be over by now. One that switched the machine off at once may even have run before init could
            // say so, and what it has written is still to be read.
            Phase::Running { pid } | Phase::Exited { pid, .. } | Phase::Lost { pid } => Ok((job, pid)),
        }
    }

    /// Waits until the guest has read what was sent. False if it has not though the machine has computed for so long since, or not
    /// computed at all in ten times that: it hangs.
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
            match Received::read(&mut reader) {
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
        let first = message.word(0).unwrap_or(0);
        let phase = match message.kind {
            boundary::READY => return self.init.set(Phase::Running { pid: 1 }),
            boundary::STARTED => Phase::Running { pid: first },
            boundary::FAILED => {
                Phase::Failed { errno: Errno(first), step: message.word(1).unwrap_or(boundary::FAILED_EXEC) }
            }
            boundary::EXITED => Phase::Exited { pid: 0, status: first },
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
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
