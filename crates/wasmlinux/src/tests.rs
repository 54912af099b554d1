//! The library against a guest that is a thread here, and speaks init's and a host task's side of
//! the protocol.
use super::*;
use crate::command::{Command, Stdio};
use crate::task::{Arg, HostTask};
use crate::{SpawnStep, flags, nr};
use std::io::{self, Read};
use wasmlinux_devices::{Interrupt, Panic};

/// The guest's processor: halts until an interrupt.
#[derive(Default)]
struct Cpu {
    pending: Mutex<bool>,
    changed: Condvar,
    failed: Mutex<Option<Panic>>,
}

/// A message that the receiver panics at.
pub(super) const PANIC: u32 = u32::MAX;

impl Interrupt for Cpu {
    fn raise(&self, _line: u32) {
        *self.pending.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn fail(&self, why: Panic) {
        *self.failed.lock().unwrap() = Some(why);
    }
}

/// The guest's end of a stream.
struct End<'a> {
    streams: &'a Streams,
    cpu: &'a Cpu,
    id: u32,
}

impl End<'_> {
    fn retry(&self, mut step: impl FnMut() -> i32) -> io::Result<usize> {
        loop {
            match step() {
                boundary::STREAM_AGAIN => {
                    let pending = self.cpu.pending.lock().unwrap();
                    *self.cpu.changed.wait_while(pending, |pending| !*pending).unwrap() = false;
                }
                result => return usize::try_from(result).map_err(|_| io::ErrorKind::BrokenPipe.into()),
            }
        }
    }
}

impl Read for End<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.retry(|| self.streams.guest_read(self.id, buf))
    }
}

impl Write for End<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.retry(|| self.streams.guest_write(self.id, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn message(kind: u32, id: u32, fields: &[(u32, &[u32])]) -> Vec<u8> {
    let mut message = Message::new(kind, id);
    for (tag, words) in fields {
        message.words(*tag, words);
    }
    message.finish().unwrap()
}

fn next(stream: &mut End<'_>) -> io::Result<Option<Received>> {
    Received::read(stream, boundary::PAYLOAD_MAX)
}

fn hello(newest: u32, oldest: u32) -> Vec<u8> {
    message(boundary::HELLO, 0, &[(boundary::FIELD_VERSIONS, &[newest, oldest])])
}

/// A guest whose commands write what they were given to standard output, then what they read, and
/// exit with the number of arguments.
fn init(streams: &Streams, cpu: &Cpu) -> io::Result<()> {
    let end = |id| End { streams, cpu, id };
    let mut control = end(boundary::STREAM_CONTROL);
    control.write_all(&hello(boundary::VERSION, boundary::VERSION_OLDEST))?;
    let greeting = next(&mut control)?.unwrap();
    assert_eq!((greeting.kind, greeting.id), (boundary::HELLO, 0));
    assert_eq!(greeting.words(boundary::FIELD_VERSIONS), Ok([boundary::VERSION, boundary::VERSION_OLDEST]));
    let mut created = None;
    while let Some(received) = next(&mut control)? {
        let id = received.id;
        let pid: &[u32] = &[100 + id];
        match received.kind {
            boundary::CREATE if received.field(boundary::FIELD_START).is_none() => {
                control.write_all(&message(boundary::CREATED, id, &[(boundary::FIELD_PID, pid)]))?;
                created = Some(received);
            }
            boundary::CREATE | boundary::START => {
                let asked = if received.kind == boundary::START { created.take().unwrap() } else { received };
                if !run(&end, &mut control, &asked)? {
                    break;
                }
            }
            boundary::TASK => {
                let [stream] = received.words(boundary::FIELD_CHANNEL).unwrap();
                control.write_all(&message(boundary::STARTED, id, &[(boundary::FIELD_PID, &[7])]))?;
                task(end(stream), id)?;
            }
            other => panic!("{other:?}"),
        }
    }
    streams.shut();
    Ok(())
}

/// Whether the machine stays on.
fn run<'a>(end: &impl Fn(u32) -> End<'a>, control: &mut End<'a>, asked: &Received) -> io::Result<bool> {
    let values = asked.fields().filter(|field| field.tag != boundary::FIELD_START);
    let text = values.map(|field| String::from_utf8_lossy(field.value).into_owned()).collect::<Vec<_>>().join("|");
    let arguments = asked.field(boundary::FIELD_ARGUMENTS).and_then(boundary::Field::list).unwrap();
    if text.contains("missing") {
        let mut failed = Message::new(boundary::FAILED, asked.id);
        failed.words(boundary::FIELD_ERRNO, &[Errno::ENOENT.0]);
        failed.words(boundary::FIELD_STEP, &[boundary::STEP_DIRECTORY]).text(boundary::FIELD_TEXT, b"/missing");
        control.write_all(&failed.finish().unwrap())?;
        return Ok(true);
    }
    let streams = asked.fields().filter(|field| field.tag == boundary::FIELD_STREAM).filter_map(boundary::Field::words);
    let streams: HashMap<u32, u32> = streams.map(|[descriptor, stream]| (descriptor, stream)).collect();
    if arguments[0] == b"sudden" {
        end(streams[&1]).write_all(text.as_bytes())?;
        return Ok(false);
    }
    control.write_all(&message(boundary::STARTED, asked.id, &[(boundary::FIELD_PID, &[100 + asked.id])]))?;
    if let (Some(stdin), Some(stdout)) = (streams.get(&0), streams.get(&1)) {
        let (mut stdin, mut stdout) = (end(*stdin), end(*stdout));
        stdout.write_all(text.as_bytes())?;
        io::copy(&mut stdin, &mut stdout)?;
        stdout.streams.guest_close(stdout.id);
        stdin.streams.guest_close(stdin.id);
    }
    if arguments[0] == b"reboot" {
        return Ok(false);
    }
    let status = [(arguments.len() as u32) << 8];
    let mut fields: Vec<(u32, &[u32])> = vec![(boundary::FIELD_STATUS, &status)];
    if arguments[0] == b"hungry" {
        fields.push((boundary::FIELD_OOM_KILLS, &[2]));
    }
    control.write_all(&message(boundary::EXITED, asked.id, &fields))?;
    Ok(asked.field(boundary::FIELD_POWEROFF).is_none())
}

const BUFFER: u32 = 0x10_0000;

/// A host task whose every call adds one to the bytes of its buffer, and gives the sum of its
/// words. Calls of number 0 fail.
fn task(mut stream: End<'_>, id: u32) -> io::Result<()> {
    stream.write_all(&message(boundary::TASK_HELLO, id, &[(boundary::FIELD_BUFFER, &[BUFFER, 4096])]))?;
    let mut buffer = vec![0_u8; 4096];
    while let Some(call) = next(&mut stream)? {
        assert_eq!(call.kind, boundary::TASK_CALL);
        let words: [u32; 7] = call.words(boundary::FIELD_CALL).unwrap();
        let [offset, length] = call.words(boundary::FIELD_BACK).unwrap().map(|word| word as usize);
        let sent = call.field(boundary::FIELD_DATA).unwrap().value;
        buffer[..sent.len()].copy_from_slice(sent);
        buffer.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        let result = if words[0] == 0 { -9_i32 as u32 } else { words[1..].iter().sum() };
        let mut answer = Message::new(boundary::TASK_RESULT, id);
        answer.words(boundary::FIELD_RESULT, &[result]);
        answer.bytes(boundary::FIELD_DATA, &buffer[offset..offset + length]);
        stream.write_all(&answer.finish().unwrap())?;
    }
    stream.streams.guest_close(stream.id);
    Ok(())
}

fn guest() -> Arc<Control> {
    let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
    streams.connect(cpu.clone());
    let control = Control::open(&streams).unwrap();
    std::thread::spawn(move || init(&streams, &cpu).unwrap());
    assert_eq!(control.ready(Duration::from_secs(20)), Phase::Running { pid: 1 });
    control
}

#[test]
fn a_command_gets_what_it_was_given() {
    let control = guest();
    let mut command = Command::new(control.clone(), "prog".into());
    command.args(["a", "b c"]).env("N", "v").current_dir("/tmp").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(child.id(), 101);
    child.stdin.take().unwrap().write_all(b"input").unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.starts_with("/tmp\0|prog\0a\0b c\0|N=v\0|"), "{text:?}");
    assert!(text.ends_with("|\u{2}\0\0\0/dev/null\0input"), "{text:?}");
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal(), status.success()), (Some(3), None, false));
    assert_eq!(child.process().try_wait().unwrap(), Some(status));
}

#[test]
fn failures_are_typed() {
    let control = guest();
    match Command::new(control.clone(), "prog".into()).current_dir("/missing").spawn() {
        Err(Error::Spawn { step: SpawnStep::ChangeDirectory, subject, errno: Errno::ENOENT }) => {
            assert_eq!(subject, "/missing");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(Command::new(control.clone(), "a\0b".into()).spawn(), Err(Error::ZeroByte(_))));
    let long = "x".repeat(boundary::PAYLOAD_MAX as usize);
    let in_long = |command: &mut Command| command.current_dir(&long).spawn().map(drop);
    assert!(matches!(in_long(&mut Command::new(control.clone(), "prog".into())), Err(Error::TooLarge { .. })));
    // More than Linux takes of arguments.
    let many = Command::new(control.clone(), "prog".into()).args([&long]).spawn();
    assert!(matches!(many, Err(Error::Spawn { errno: Errno::E2BIG, .. })));
}

#[test]
fn another_version_is_an_error() {
    for (newest, oldest) in [(boundary::VERSION + 5, boundary::VERSION + 1), (0, 0)] {
        let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
        streams.connect(cpu.clone());
        let control = Control::open(&streams).unwrap();
        let mut end = End { streams: &streams, cpu: &cpu, id: boundary::STREAM_CONTROL };
        end.write_all(&hello(newest, oldest)).unwrap();
        let phase = control.ready(Duration::from_secs(20));
        let Phase::Failed(failure) = phase else { panic!("{phase:?}") };
        assert_eq!((failure.step, failure.errno), (boundary::STEP_VERSION, Errno::EPROTONOSUPPORT));
    }
    // One that is newer, and speaks ours too.
    let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
    streams.connect(cpu.clone());
    let control = Control::open(&streams).unwrap();
    let mut end = End { streams: &streams, cpu: &cpu, id: boundary::STREAM_CONTROL };
    end.write_all(&hello(boundary::VERSION + 1, boundary::VERSION)).unwrap();
    assert_eq!(control.ready(Duration::from_secs(20)), Phase::Running { pid: 1 });
}

#[test]
fn what_init_must_not_send_ends_the_channel() {
    let endless = [u32::MAX.to_le_bytes(), [0; 4], [0; 4]].concat();
    let halves = [8_u32.to_le_bytes(), [19, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [200, 0, 0, 0]].concat();
    for bytes in [endless, halves] {
        let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
        streams.connect(cpu.clone());
        let control = Control::open(&streams).unwrap();
        let mut end = End { streams: &streams, cpu: &cpu, id: boundary::STREAM_CONTROL };
        end.write_all(&bytes).unwrap();
        assert!(control.off(Duration::from_secs(20)));
    }
}

#[test]
fn a_command_is_created_and_then_started() {
    let control = guest();
    let mut command = Command::new(control.clone(), "prog".into());
    let created = command.stdin(Stdio::piped()).stdout(Stdio::piped()).create().unwrap();
    assert_eq!(created.id(), 101);
    let mut child = created.start().unwrap();
    assert_eq!(child.id(), 101);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    // Another one may have been killed, or the machine may have gone off, before.
    let created = command.create().unwrap();
    control.send(Message::new(boundary::START, 2)).unwrap();
    drop(created);
}

#[test]
fn an_end_says_what_was_killed_meanwhile() {
    let control = guest();
    for (name, kills) in [("hungry", 2), ("prog", 0)] {
        let mut child = Command::new(control.clone(), name.into()).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(child.process().oom_kills(), kills, "{name}");
    }
}

#[test]
fn the_machine_goes_off() {
    let control = guest();
    assert!(!control.off(Duration::from_millis(1)));
    let mut child = Command::new(control.clone(), "last".into()).power_off_at_end(true).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(control.off(Duration::from_secs(20)));
    assert!(matches!(Command::new(control, "more".into()).spawn(), Err(Error::Off)));
}

#[test]
fn a_panic_of_the_receiver_ends_the_machine_and_its_jobs() {
    let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
    streams.connect(cpu.clone());
    let control = Control::open(&streams).unwrap();
    let mut end = End { streams: &streams, cpu: &cpu, id: boundary::STREAM_CONTROL };
    end.write_all(&message(PANIC, 0, &[])).unwrap();
    assert!(control.off(Duration::from_secs(20)));
    assert_eq!(*cpu.failed.lock().unwrap(), Some(Panic("provoked".into())));
    assert!(matches!(Command::new(control, "more".into()).spawn(), Err(Error::Off)));
}

#[test]
fn a_guest_that_does_not_listen_is_noticed() {
    let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
    streams.connect(cpu.clone());
    let control = Control::open(&streams).unwrap();
    let mut end = End { streams: &streams, cpu: &cpu, id: boundary::STREAM_CONTROL };
    end.write_all(&hello(boundary::VERSION, boundary::VERSION_OLDEST)).unwrap();
    assert_eq!(control.ready(Duration::from_secs(20)), Phase::Running { pid: 1 });
    assert!(next(&mut end).unwrap().is_some(), "a greeting");
    assert!(control.is_heard(Duration::from_millis(1)), "nothing else was said");
    control.send(Message::new(boundary::SIGNAL, 1)).unwrap();
    assert!(!control.is_heard(Duration::from_millis(20)));
    assert!(next(&mut end).unwrap().is_some());
    assert!(control.is_heard(Duration::from_millis(20)));
}

#[test]
fn what_was_written_before_the_end_is_kept() {
    for name in ["reboot", "sudden"].repeat(50) {
        let mut command = Command::new(guest(), name.into());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin = None;
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("/\0|{name}\0|")), "{text:?}");
        assert!(matches!(child.wait(), Err(Error::Off)));
    }
}

#[test]
fn a_host_tasks_arguments_lie_in_its_buffer() {
    let control = guest();
    let task = HostTask::start(&control).unwrap();
    assert_eq!((task.id(), task.buffer_size()), (7, 4096));
    let (mut out, mut both) = ([0; 3], *b"AB");
    let mut args = [Arg::Out(&mut out), Arg::In(b"in"), Arg::InOut(&mut both), Arg::Str("s"), Arg::Word(5)];
    let sum = task.syscall(1, &mut args).unwrap();
    // In: 0, Str: 16, InOut: 32, Out: 48.
    assert_eq!(sum, BUFFER * 4 + 16 + 32 + 48 + 5);
    assert_eq!(&both, b"BC");
    assert_eq!(out, [1; 3]);
    assert!(matches!(task.syscall(0, &mut []), Err(Error::System { errno: Errno::EBADF, .. })));
    assert!(matches!(task.syscall(1, &mut [Arg::In(&[0; 4097])]), Err(Error::TooLarge { .. })));
    assert!(matches!(task.mkdir("a\0b", 0), Err(Error::ZeroByte(_))));
    assert_eq!((flags::O_RDWR, nr::PIPE2), (2, 59));
}
