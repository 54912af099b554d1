//! The machine's process.
use super::*;
use crate::guest::guest;
use crate::machine::cmdline;
use crate::{Error, Outcome};
use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use wasmlinux_boundary::{Message, Received};
use wasmlinux_devices::virtio::Mmio;
use wasmlinux_devices::{Bus, Channel, Panic, Prepared, Streams};
use wasmlinux_machine as computer;
use wasmlinux_net::{Network, Ports, Protocol, Remote, Share};

/// To be called at the beginning of `main`, before any thread is started or descriptor opened. If
/// this process was started to be a machine ([`Builder::boot_apart`](crate::Builder::boot_apart)),
/// it calls `prepare`, which may set up a log of this level on standard error, is that machine, and
/// does not return. Else it returns at once, and this executable can be a machine.
pub fn machine_if_asked(prepare: impl FnOnce(LevelFilter)) {
    let arguments: Vec<_> = std::env::args().skip(1).take(4).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [VERB, parent, level] => {
            let Ok(parent) = parent.parse() else { return };
            computer::settle(parent);
            prepare(level.parse().unwrap_or(LevelFilter::OFF));
            let Ok(requests) = std::io::stdin().as_fd().try_clone_to_owned() else { std::process::exit(125) };
            Child::new(requests.into()).serve();
            std::process::exit(0)
        }
        _ => super::parent::offer(),
    }
}

struct Child {
    requests: Channel,
    streams: Arc<Streams>,
    ports: Ports,
    /// Held to the end: who started this process ends it when they close, and is to hear first why.
    events: Option<Arc<Channel>>,
    sockets: Option<Channel>,
    code: Option<Channel>,
    machine: Option<Arc<computer::Machine>>,
}

impl Child {
    fn new(requests: Channel) -> Child {
        let streams = Streams::new();
        let (events, sockets, code, machine) = (None, None, None, None);
        Child { requests, streams, ports: Ports::default(), events, sockets, code, machine }
    }

    /// Until the process that started this one is gone, or wants no more.
    fn serve(mut self) {
        while let Ok(Some((asked, file))) = self.requests.receive() {
            let answer = self.answer(&asked, file).unwrap_or_else(|why| {
                let mut refused = Message::new(REFUSED, 0);
                told::put_error(&mut refused, &*why);
                refused
            });
            if self.requests.send(answer, None).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, asked: &Received, file: Option<OwnedFd>) -> Result<Message, Box<dyn std::error::Error>> {
        let word = |tag| asked.words(tag).map_or(0, |[word]| word);
        let (number, code) = (word(FIELD_NUMBER), word(FIELD_CODE));
        let mut done = Message::new(DONE, 0);
        match (asked.kind, file) {
            (PORT, Some(socket)) => {
                let protocol = if code == 0 { Protocol::Tcp } else { Protocol::Udp };
                self.ports.add(protocol, socket, number as u16);
            }
            (EVENTS, Some(socket)) => self.events = Some(Arc::new(socket.into())),
            (SOCKETS, Some(socket)) => self.sockets = Some(socket.into()),
            (CODE, Some(socket)) => self.code = Some(socket.into()),
            (OPEN, Some(file)) => {
                let file = Prepared::from_code(file, code);
                match file.is_pipe() {
                    true => carry(&self.streams, number, file.file)?,
                    false => self.streams.open_prepared(number, file)?,
                }
            }
            (START, _) => {
                let kept = self.start(asked)?;
                done.bytes(FIELD_TEXT, cut(&kept.join("; ")));
            }
            (CLOSE, _) => self.streams.guest_close(number),
            (BYTES_READ, _) => {
                if let Some(read) = self.streams.bytes_read(number) {
                    done.words(FIELD_BYTES, &words(read));
                }
            }
            (STATUS, _) => self.status(&mut done),
            (TRY, _) => {
                let lines: String = computer::attempts()
                    .into_iter()
                    .map(|(what, result)| match result {
                        Ok(()) => format!("{what}: it could\n"),
                        Err(error) => format!("{what}: {error}\n"),
                    })
                    .collect();
                done.bytes(FIELD_TEXT, cut(&lines));
            }
            // It came without its descriptor, for which this process has no room.
            (PORT..=OPEN, None) => return Err(std::io::Error::from(rustix::io::Errno::MFILE).into()),
            _ => return Err("an unknown request".into()),
        }
        Ok(done)
    }

    fn status(&self, answer: &mut Message) {
        let Some(machine) = &self.machine else { return };
        let ((refused, why), oopses) = (machine.refusals(), machine.oopses());
        let ([a, b], [c, d]) = (words(oopses), words(refused));
        answer.words(FIELD_COUNTS, &[a, b, c, d]);
        if let Some(why) = why {
            answer.bytes(FIELD_TEXT, cut(&why));
        }
        if let Some(time) = self.streams.processor_time() {
            answer.words(FIELD_TIME, &words(time.as_nanos() as u64));
        }
    }

    /// Switches the machine on. Gives what the host did not let this process give up.
    fn start(&mut self, asked: &Received) -> Result<Vec<String>, Error> {
        const LOST: Error = Error::Protocol("a machine's process without what it needs");
        let memory = number(asked.words(FIELD_MEMORY).map_err(|_| LOST)?);
        let [flags] = asked.words(FIELD_FLAGS).map_err(|_| LOST)?;
        let arguments = asked.field(FIELD_ARGUMENTS).and_then(|field| field.list()).ok_or(LOST)?;
        let arguments: Vec<_> = arguments.into_iter().map(String::from_utf8_lossy).collect();
        let (first, arguments) = arguments.split_first().ok_or(LOST)?;
        let (events, code) = (self.events.clone().ok_or(LOST)?, self.code.take().ok_or(LOST)?);
        let has = |flag| flags & flag != 0;
        let bundle = guest()?;
        let base = bundle.initramfs();
        // Looks at files of the host that tell its limits: for the last time.
        let limits = computer::Limits::of(memory);
        let confinement =
            Arc::new(Confinement { on: has(FLAG_CONFINED), strict: has(FLAG_STRICT), kept: Mutex::default() });
        confinement.take(computer::give_up_names).map_err(computer::Error::Confine)?;
        let mut bus = Bus::default();
        let mut network = None;
        if has(FLAG_NETWORK) {
            let share = Share { sockets: limits.sockets, buffers: limits.buffers };
            let dialer = Box::new(Remote(self.sockets.take().ok_or(LOST)?));
            let made = Network::new(std::mem::take(&mut self.ports), dialer, has(FLAG_HOST), share);
            bus.plug(Mmio::new(made.device()))?;
            network = Some(made);
        }
        let cmdline = cmdline(first, &bus, arguments.iter().map(Cow::as_ref))?;
        let network = network.map(Network::start).transpose()?;
        let of_console = events.clone();
        let (datagrams, last) = (has(FLAG_DATAGRAMS), confinement.clone());
        let machine = computer::Machine::power_on(computer::Config {
            cmdline,
            initramfs: vec![Cow::Borrowed(base)],
            broker: Some(code.into()),
            before_start: Some(Box::new(move || last.take(|| computer::give_up_calls(datagrams)))),
            streams: self.streams.clone(),
            bus: Arc::new(bus),
            console: Box::new(move |text: &[u8]| {
                for piece in text.chunks(TEXT_MAX) {
                    let mut message = Message::new(CONSOLE, 0);
                    message.bytes(FIELD_TEXT, piece);
                    // Whoever does not listen any more ends this process.
                    let _ = of_console.send(message, None);
                }
            }),
            ..computer::Config::new(memory, bundle.clone())
        })?;
        let machine = Arc::new(machine);
        self.machine = Some(machine.clone());
        thread("end", {
            let (machine, events) = (machine.clone(), events.clone());
            move || tell_end(&machine, &events, network)
        })?;
        let streams = self.streams.clone();
        thread("orders", move || obey(&machine, &streams, &events))?;
        Ok(std::mem::take(&mut *confinement.kept.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Makes a stream of pipes, so that the guest is told exactly how much room there is, and carries
/// bytes between it and a socket.
fn carry(streams: &Arc<Streams>, number: u32, socket: OwnedFd) -> std::io::Result<()> {
    let (mut writer, mut reader) = streams.open(number)?;
    let mut to = UnixStream::from(socket);
    let mut from = to.try_clone()?;
    thread("to guest", move || drop(std::io::copy(&mut from, &mut writer)))?;
    thread("from guest", move || {
        let _ = std::io::copy(&mut reader, &mut to);
        // What was sent can still be read. The other thread ends.
        let _ = to.shutdown(std::net::Shutdown::Both);
    })
}

/// Gives up what was asked for, and keeps what the host does not let it.
struct Confinement {
    on: bool,
    strict: bool,
    /// Why something was not given up.
    kept: Mutex<Vec<String>>,
}

impl Confinement {
    fn take(&self, step: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        if !self.on {
            return Ok(());
        }
        match step() {
            Err(why) if !self.strict => {
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                Ok(())
            }
            result => result,
        }
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.into()).stack_size(256 << 10).spawn(body).map(drop)
}

/// Tells how the machine ended, and when the network has delivered what it had.
fn tell_end(machine: &computer::Machine, events: &Channel, network: Option<wasmlinux_net::Running>) {
    let outcome = machine.wait();
    let mut ended = Message::new(ENDED, 0);
    told::put_outcome(&mut ended, &outcome);
    let _ = events.send(ended, None);
    match network {
        Some(network) if outcome == Outcome::Unplugged => network.cut(),
        network => drop(network),
    }
    let _ = events.send(Message::new(DELIVERED, 0), None);
}

/// Takes orders. Without anybody who gives some, the process ends.
fn obey(machine: &computer::Machine, streams: &Streams, events: &Channel) {
    while let Ok(Some((order, _))) = events.receive() {
        match order.kind {
            POWER_OFF => machine.power_off(),
            FAIL => streams.fail(Panic(text(&order))),
            _ => {}
        }
    }
    std::process::exit(0)
}

/// What another process may have of the processor's time, for [`STATUS`].
pub(super) fn time(answer: &Received) -> Option<Duration> {
    answer.words(FIELD_TIME).ok().map(|time| Duration::from_nanos(number(time)))
}
