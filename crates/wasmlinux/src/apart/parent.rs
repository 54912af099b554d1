//! The process that started the machine's.
use super::*;
use crate::{Error, Outcome};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tracing::level_filters::LevelFilter;
use wasmlinux_boundary::{Message, Received};
use wasmlinux_devices::{Apart, Channel, Console, Panic, Prepared, Printable};
use wasmlinux_machine::{BrokerServer, Cause, Confine, Failure};
use wasmlinux_net::{Local, Ports, Protocol};

/// How long the machine's process may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the machine may take to go off when the plug is pulled, before its process is ended.
const GRACE: Duration = Duration::from_millis(1500);
/// How long it may take, after its end was told, until the network has delivered what it had: twice
/// what the network gives itself.
const DELIVERY: Duration = Duration::from_secs(10);
/// How long what the process has said last may take to be shown, once it is gone.
const LAST_WORDS: Duration = Duration::from_millis(500);

static OFFERED: AtomicBool = AtomicBool::new(false);

pub(super) fn offer() {
    OFFERED.store(true, Relaxed);
}

/// Whether this executable can be started as a machine.
pub(crate) fn has_been_offered() -> bool {
    OFFERED.load(Relaxed)
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    /// The network has delivered what the guest had sent, or will not.
    delivered: bool,
}

/// What the machine's process is reached by.
struct Shared {
    requests: Channel,
    events: Channel,
    pid: u32,
    /// The process itself, not another one that has its number later.
    process: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
}

/// The machine's process. Dropping it ends it.
pub(crate) struct Process {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

/// What the machine is to have, beside streams.
pub(crate) struct Given<'a> {
    pub(crate) memory: u64,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) confine: Confine,
    pub(crate) ports: &'a Ports,
    /// If it has a network: what makes its sockets, and whether it reaches this host.
    pub(crate) network: Option<(Local, bool)>,
    pub(crate) broker: Arc<BrokerServer>,
}

impl Process {
    /// Starts the process, which waits for what it is to be.
    pub(crate) fn spawn(console: Console) -> Result<Process, Error> {
        let (requests, theirs) = Channel::pair()?;
        let (events, their_events) = Channel::pair()?;
        requests.set_patience(PATIENCE)?;
        let (sender, receiver) = mpsc::channel();
        // The process ends with the thread that has started it, whatever happens to this process:
        // so that is one that lives as long as the machine.
        let keeper = thread::Builder::new().name("keeper".into()).stack_size(128 << 10).spawn(move || {
            let _ = match spawn(theirs.into()) {
                Ok((child, errors)) => keep(child, errors, &sender),
                Err(error) => sender.send(Err(error)).map_err(drop),
            };
        })?;
        let lost = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        let (pid, process, errors, of_keeper) = receiver.recv().map_err(lost).flatten().map_err(Error::Process)?;
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { requests, events, pid, process, state, changed });
        let (of_events, shown) = mpsc::channel::<()>();
        // The keeper waits for it.
        let _ = of_keeper.send(Ending { shared: shared.clone(), shown });
        let process = Process { shared: shared.clone(), keeper: Some(keeper) };
        let of_errors = of_events.clone();
        serve("errors", move || {
            show(errors);
            drop(of_errors);
        })?;
        serve("events", move || {
            shared.take_events(&console);
            // It has closed the socket, so it has ended or will: nobody hears it any more.
            shared.signal(Signal::Kill);
            drop(of_events);
        })?;
        process.give(EVENTS, their_events.as_fd(), |_| {})?;
        Ok(process)
    }

    pub(crate) fn streams(&self) -> Arc<dyn Apart> {
        self.shared.clone()
    }

    fn give(&self, kind: u32, file: BorrowedFd<'_>, fill: impl FnOnce(&mut Message)) -> Result<Received, Error> {
        let mut message = Message::new(kind, 0);
        fill(&mut message);
        self.shared.ask(message, Some(file))
    }

    /// Switches the machine on. Gives what the host did not let its process give up.
    pub(crate) fn start(&self, given: Given<'_>) -> Result<Option<String>, Error> {
        let (code, their_code) = Channel::pair()?;
        self.give(CODE, their_code.as_fd(), |_| {})?;
        serve("code", move || given.broker.serve(&code))?;
        let mut flags = 0;
        let mut set = |flag, on| flags |= if on { flag } else { 0 };
        set(FLAG_CONFINED, given.confine != Confine::Off);
        set(FLAG_STRICT, given.confine == Confine::Strict);
        if let Some((local, reaches_host)) = given.network {
            let (sockets, their_sockets) = Channel::pair()?;
            self.give(SOCKETS, their_sockets.as_fd(), |_| {})?;
            serve("sockets", move || wasmlinux_net::serve(&sockets, &local))?;
            set(FLAG_NETWORK, true);
            set(FLAG_HOST, reaches_host);
        }
        for (protocol, socket, guest) in given.ports.sockets() {
            let udp = protocol == Protocol::Udp;
            set(FLAG_DATAGRAMS, udp);
            self.give(PORT, socket, |message| {
                message.words(FIELD_CODE, &[udp.into()]).words(FIELD_NUMBER, &[guest.into()]);
            })?;
        }
        let mut message = Message::new(START, 0);
        message.words(FIELD_MEMORY, &words(given.memory)).words(FIELD_FLAGS, &[flags]);
        message.list(FIELD_ARGUMENTS, given.arguments.iter().map(|text| text.as_bytes()));
        let kept = text(&self.shared.ask(message, None)?);
        Ok((!kept.is_empty()).then_some(kept))
    }

    /// Waits until the machine is off, and the network has delivered what the guest had sent.
    pub(crate) fn wait(&self) -> Outcome {
        self.shared.wait_until(None, |state| state.outcome.is_some());
        if !self.shared.wait_until(Some(DELIVERY), |state| state.delivered) {
            self.shared.signal(Signal::Kill);
            self.shared.wait_until(None, |state| state.delivered);
        }
        self.shared.state().outcome.clone().unwrap_or(Outcome::Unplugged)
    }

    /// Waits until the machine is off, not longer than `limit`. Whether it is.
    pub(crate) fn wait_timeout(&self, limit: Duration) -> bool {
        self.shared.wait_until(Some(limit), |state| state.outcome.is_some())
    }

    pub(crate) fn try_wait(&self) -> Option<Outcome> {
        self.shared.state().outcome.clone()
    }

    /// Pulls the plug. A process that does not obey is ended.
    pub(crate) fn power_off(&self) {
        if self.shared.state().delivered {
            return;
        }
        let _ = self.shared.events.send(Message::new(POWER_OFF, 0), None);
        let shared = self.shared.clone();
        let end = move || {
            if !shared.wait_until(Some(GRACE), |state| state.delivered) {
                shared.state().outcome.get_or_insert(Outcome::Unplugged);
                shared.signal(Signal::Kill);
            }
        };
        if serve("unplug", end).is_err() {
            self.shared.signal(Signal::Kill);
        }
    }

    /// Oopses of the kernel; programs that were refused, and why the last one.
    pub(crate) fn status(&self) -> (u64, Option<String>) {
        let Ok(answer) = self.shared.ask(Message::new(STATUS, 0), None) else { return (0, None) };
        let [a, b, _, _] = answer.words(FIELD_COUNTS).unwrap_or_default();
        (number([a, b]), answer.field(FIELD_TEXT).map(|field| String::from_utf8_lossy(field.value).into_owned()))
    }

    /// What it could and could not do of what it must not, a line each.
    pub(crate) fn attempts(&self) -> Result<String, Error> {
        Ok(text(&self.shared.ask(Message::new(TRY, 0), None)?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.shared.pid
    }

    /// Stops the process with all that runs in the machine, or lets it go on.
    pub(crate) fn stop(&self, stopped: bool) {
        self.shared.signal(if stopped { Signal::Stop } else { Signal::Cont });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shared.signal(Signal::Kill);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn serve(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).stack_size(128 << 10).spawn(body).map(drop)
}

/// The process, and what it says.
fn spawn(requests: OwnedFd) -> io::Result<(Child, PipeReader)> {
    let (errors, says) = io::pipe()?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("wasmlinux")
        .arg(VERB)
        .arg(std::process::id().to_string())
        .arg(LevelFilter::current().to_string())
        // What is in the environment may be a secret.
        .env_clear()
        .current_dir("/")
        .stdin(requests)
        // There need not be a /dev/null.
        .stdout(says.try_clone()?)
        .stderr(says);
    if let Some(map) = std::env::var_os("WASMLINUX_PERF_MAP") {
        command.env("WASMLINUX_PERF_MAP", map);
    }
    command.spawn().map(|child| (child, errors)).map_err(|error| {
        let mut why = format!("it cannot be started from /proc/self/exe: {error}");
        if error.kind() == io::ErrorKind::NotFound {
            why.push_str("; /proc has to be mounted");
        }
        io::Error::new(error.kind(), why)
    })
}

/// The process, what it says, and where the keeper is told what to know at its end.
type Started = (u32, OwnedFd, PipeReader, mpsc::Sender<Ending>);

struct Ending {
    shared: Arc<Shared>,
    /// Ends when the threads that show what the process says have shown all.
    shown: mpsc::Receiver<()>,
}

/// The thread that has started the process: waits for its end. Others take its events and what it
/// says, so that nobody waits for long for a console or a terminal that takes no more.
fn keep(mut child: Child, errors: PipeReader, sender: &mpsc::Sender<io::Result<Started>>) -> Result<(), ()> {
    let number = Pid::from_child(&child);
    let (of_keeper, ending) = mpsc::channel();
    let started = pidfd_open(number, PidfdFlags::empty()).map(|process| (child.id(), process, errors, of_keeper));
    if started.is_err() {
        let _ = child.kill();
    }
    sender.send(started.map_err(io::Error::from)).map_err(drop)?;
    let ending: Result<Ending, _> = ending.recv();
    let status = child.wait();
    if let Ok(Ending { shared, shown }) = ending {
        let _ = shown.recv_timeout(LAST_WORDS);
        shared.end(status);
    }
    Ok(())
}

/// What the machine's process says on its standard error.
fn show(mut errors: PipeReader) {
    let mut bytes = vec![0; 4096];
    let mut shown = Printable::new(io::stderr());
    while let Ok(got @ 1..) = errors.read(&mut bytes) {
        let _ = shown.write_all(&bytes[..got]);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state is so, not longer than `limit`. Whether it is.
    fn wait_until(&self, limit: Option<Duration>, so: impl Fn(&State) -> bool) -> bool {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.state();
        while !so(&state) {
            let Some(deadline) = deadline else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn ask(&self, message: Message, file: Option<BorrowedFd<'_>>) -> Result<Received, Error> {
        if self.state().outcome.is_some() {
            // One whose machine is off has nothing else to do than to answer.
            self.requests.set_patience(GRACE).map_err(Error::Process)?;
        }
        let (answer, _) = self.requests.ask(message, file).map_err(Error::Process)?;
        if answer.kind == DONE { Ok(answer) } else { Err(Error::Apart(told::error(&answer))) }
    }

    fn signal(&self, signal: Signal) {
        // One that has ended needs none.
        let _ = pidfd_send_signal(&self.process, signal);
    }

    /// Until the process is gone.
    fn take_events(&self, console: &Console) {
        while let Ok(Some((event, _))) = self.events.receive() {
            match event.kind {
                CONSOLE => console.write(event.field(FIELD_TEXT).map_or(&[], |field| field.value)),
                ENDED => {
                    self.state().outcome.get_or_insert(told::outcome(&event));
                }
                DELIVERED => self.state().delivered = true,
                _ => {}
            }
            self.changed.notify_all();
        }
    }

    /// The process has ended.
    fn end(&self, status: io::Result<ExitStatus>) {
        let how = match status {
            Ok(status) => match status.signal() {
                Some(signal) => Failure::Killed(signal),
                None => Failure::Exited(status.code().unwrap_or_default()),
            },
            Err(error) => Failure::Lost(Cause::new(error)),
        };
        let mut state = self.state();
        state.outcome.get_or_insert(Outcome::Failed(how));
        state.delivered = true;
        drop(state);
        self.changed.notify_all();
    }
}

impl Apart for Shared {
    fn open(&self, id: u32, file: Prepared) -> io::Result<()> {
        let mut message = Message::new(OPEN, 0);
        message.words(FIELD_NUMBER, &[id]).words(FIELD_CODE, &[file.code()]);
        Ok(self.ask(message, Some(file.file.as_fd())).map(drop)?)
    }

    fn close(&self, id: u32) {
        let mut message = Message::new(CLOSE, 0);
        message.words(FIELD_NUMBER, &[id]);
        let _ = self.ask(message, None);
    }

    fn bytes_read(&self, id: u32) -> Option<u64> {
        let mut message = Message::new(BYTES_READ, 0);
        message.words(FIELD_NUMBER, &[id]);
        Some(number(self.ask(message, None).ok()?.words(FIELD_BYTES).ok()?))
    }

    fn processor_time(&self) -> Option<Duration> {
        super::child::time(&self.ask(Message::new(STATUS, 0), None).ok()?)
    }

    fn fail(&self, why: Panic) {
        let mut message = Message::new(FAIL, 0);
        message.bytes(FIELD_TEXT, cut(&why.0));
        let _ = self.events.send(message, None);
    }
}
