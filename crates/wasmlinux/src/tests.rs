//! The library against a guest that is a thread here, and speaks init's and a host task's side of the protocol.
use super::*;
use crate::command::{Command, Stdio};
use crate::task::{Arg, HostTask};
use crate::{SpawnStep, flags, nr};
use wasmlinux_devices::Interrupt;

/// The guest's processor: halts until an interrupt.
#[derive(Default)]
struct Cpu {
    pending: Mutex<bool>,
    changed: Condvar,
    failed: Mutex<Option<String>>,
}

/// A message that the receiver panics at.
pub(super) const PANIC: u32 = u32::MAX;

impl Interrupt for Cpu {
    fn raise(&self, _line: u32) {
        *self.pending.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn fail(&self, why: String) {
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

fn message(kind: u32, id: u32, words: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut message = Message::new(kind, id);
    for word in words {
        message.word(*word);
    }
    message.bytes(bytes);
    message.finish().unwrap()
}

/// A guest whose commands write their strings to standard output, then what they read, and exit with the number of arguments.
fn init(streams: &Streams, cpu: &Cpu) -> io::Result<()> {
    let end = |id| End { streams, cpu, id };
    let mut control = end(boundary::STREAM_CONTROL);
    control.write_all(&message(boundary::READY, 0, &[], &[]))?;
    while let Some(received) = Received::read(&mut control)? {
        let words: Vec<u32> = (0..6).map_while(|index| received.word(index)).collect();
        match (received.kind, words.as_slice()) {
            (boundary::RUN, &[flags, stdin, stdout, _, argc, _]) => {
                let strings = &received.payload[24..];
                if strings.windows(7).any(|window| window == b"missing") {
                    let failed = [Errno::ENOENT.0, boundary::FAILED_DIR];
                    control.write_all(&message(boundary::FAILED, received.id, &failed, &[]))?;
                    continue;
                }
                if strings.windows(6).any(|window| window == b"sudden") {
                    end(stdout).write_all(strings)?;
                    break;
                }
                control.write_all(&message(boundary::STARTED, received.id, &[100 + received.id], &[]))?;
                if stdout != boundary::RUN_PATH {
                    end(stdout).write_all(strings)?;
                    io::copy(&mut end(stdin), &mut end(stdout))?;
                    streams.guest_close(stdout);
                    streams.guest_close(stdin);
                }
                if strings.windows(6).any(|window| window == b"reboot") {
                    break;
                }
                control.write_all(&message(boundary::EXITED, received.id, &[argc << 8], &[]))?;
                if flags & boundary::RUN_POWEROFF != 0 {
                    break;
                }
            }
            (boundary::TASK, &[stream]) => {
                control.write_all(&message(boundary::STARTED, received.id, &[7], &[]))?;
                task(end(stream), received.id)?;
            }
            other => panic!("{other:?}"),
        }
    }
    streams.shut();
    Ok(())
}

const BUFFER: u32 = 0x10_0000;

/// A host task whose every call adds one to the bytes of its buffer, and gives the sum of its words. Calls of number 0 fail.
fn task(mut stream: End<'_>, id: u32) -> io::Result<()> {
    stream.write_all(&message(boundary::TASK_HELLO, id, &[7, BUFFER, 4096], &[]))?;
    let mut buffer = vec![0_u8; 4096];
    while let Some(call) = Received::read(&mut stream)? {
        assert_eq!(call.kind, boundary::TASK_CALL);
        let word = |index| call.word(index).unwrap();
        let sent = &call.payload[36..];
        buffer[..sent.len()].copy_from_slice(sent);
        buffer.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        let result = if word(0) == 0 { -9_i32 as u32 } else { (1..7).map(word).sum() };
        let (offset, length) = (word(7) as usize, word(8) as usize);
        stream.write_all(&message(boundary::TASK_RESULT, id, &[result], &buffer[offset..offset + length]))?;
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
    assert_eq!(text, "/tmp\0prog\0a\0b c\0N=v\0/dev/null\0input");
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
    end.write_all(&message(PANIC, 0, &[], &[])).unwrap();
    assert!(control.off(Duration::from_secs(20)));
    assert!(cpu.failed.lock().unwrap().as_ref().is_some_and(|why| why.contains("provoked")));
    assert!(matches!(Command::new(control, "more".into()).spawn(), Err(Error::Off)));
}

#[test]
fn a_guest_that_does_not_listen_is_noticed() {
    let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
    streams.connect(cpu.clone());
    let control = Control::open(&streams).unwrap();
    let mut end = End { streams: &streams, cpu: &cpu, id: boundary::STREAM_CONTROL };
    end.write_all(&message(boundary::READY, 0, &[], &[])).unwrap();
    assert_eq!(control.ready(Duration::from_secs(20)), Phase::Running { pid: 1 });
    assert!(control.is_heard(Duration::from_millis(1)), "nothing was said");
    control.send(Message::new(boundary::KILL, 0)).unwrap();
    assert!(!control.is_heard(Duration::from_millis(20)));
    assert!(Received::read(&mut end).unwrap().is_some());
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
        assert_eq!(text, format!("/\0{name}\0/dev/null\0"));
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
