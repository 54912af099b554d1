//! Streams as the two sides see them.
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use wasmlinux_boundary::*;
use wasmlinux_devices::{Apart, Interrupt, Prepared, Streams};

/// What a poll says of the room in a stream that nothing was written to, or that takes no more: 256
/// KiB.
const ROOM: i32 = (256 << 10) << STREAM_ROOM_SHIFT;

/// A processor that can halt until an interrupt comes.
#[derive(Default)]
struct Cpu {
    pending: Mutex<bool>,
    changed: Condvar,
    raised: AtomicU32,
}

impl Interrupt for Cpu {
    fn raise(&self, line: u32) {
        assert_eq!(line, IRQ_STREAM);
        self.raised.fetch_add(1, Ordering::Relaxed);
        *self.pending.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl Cpu {
    /// Halts; an interrupt that does not come in time is one that was lost.
    fn halt(&self) {
        let pending = self.pending.lock().unwrap();
        let (mut pending, timeout) =
            self.changed.wait_timeout_while(pending, Duration::from_secs(20), |pending| !*pending).unwrap();
        assert!(!timeout.timed_out(), "the interrupt was lost");
        *pending = false;
    }
}

fn machine() -> (Arc<Streams>, Arc<Cpu>) {
    let (streams, cpu) = (Streams::new(), Arc::new(Cpu::default()));
    streams.connect(cpu.clone());
    cpu.halt();
    cpu.raised.store(0, Ordering::Relaxed);
    (streams, cpu)
}

/// Bytes with a period that no buffer size has.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ (i / 65_536) as u8).collect()
}

#[test]
fn numbers_and_absent_streams() {
    let (streams, _) = machine();
    assert_eq!(streams.allocate(), STREAM_FIRST);
    assert_eq!(streams.allocate(), STREAM_FIRST + 1);
    assert_eq!(streams.guest_read(7, &mut [0]), STREAM_NONE);
    assert_eq!(streams.guest_write(7, &[0]), STREAM_NONE);
    assert_eq!(streams.guest_poll(7), STREAM_NONE);
    streams.guest_close(7);
}

#[test]
fn small_messages_and_the_end() {
    let (streams, cpu) = machine();
    let (mut writer, mut reader) = streams.open(5).unwrap();
    let mut buf = [0; 8];
    assert_eq!(streams.guest_read(5, &mut buf), STREAM_AGAIN);
    assert_eq!(streams.guest_poll(5), STREAM_WRITABLE as i32 | ROOM);
    writer.write_all(b"abc").unwrap();
    assert_eq!(cpu.raised.load(Ordering::Relaxed), 1);
    writer.write_all(b"de").unwrap();
    assert_eq!(cpu.raised.load(Ordering::Relaxed), 1, "nobody waits for more");
    assert_eq!(streams.guest_read(5, &mut buf[..4]), 4);
    drop(writer);
    let all = STREAM_READABLE | STREAM_READ_END | STREAM_WRITABLE;
    assert_eq!(streams.guest_poll(5), all as i32 | ROOM);
    assert_eq!(streams.guest_read(5, &mut buf), 1);
    assert_eq!(streams.guest_read(5, &mut buf), 0);
    assert_eq!(streams.guest_write(5, b"answer"), 6);
    assert_eq!(streams.guest_write(5, b""), 0);
    streams.guest_close(5);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer");
    assert_eq!(streams.guest_poll(5), STREAM_NONE);
}

#[test]
fn closed_by_the_host_and_by_the_guest() {
    let (streams, cpu) = machine();
    let (mut writer, reader) = streams.open(5).unwrap();
    while streams.guest_write(5, &[0; 1000]) != STREAM_AGAIN {}
    assert_eq!(streams.guest_poll(5), 0);
    let before = cpu.raised.load(Ordering::Relaxed);
    drop(reader);
    assert_eq!(cpu.raised.load(Ordering::Relaxed), before + 1);
    assert_eq!(streams.guest_write(5, b"x"), STREAM_CLOSED);
    assert_eq!(streams.guest_poll(5), (STREAM_WRITABLE | STREAM_WRITE_END) as i32 | ROOM);
    streams.guest_close(5);
    assert_eq!(writer.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn shut_wakes_everybody() {
    let (streams, _) = machine();
    let (mut writer, _keep) = streams.open(1).unwrap();
    let (_keep2, mut reader) = streams.open(2).unwrap();
    streams.guest_write(2, b"tail");
    let write = thread::spawn(move || writer.write_all(&vec![0; 1 << 20]));
    let read = thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    });
    thread::sleep(Duration::from_millis(20));
    streams.shut();
    assert!(write.join().unwrap().is_err());
    assert_eq!(read.join().unwrap(), b"tail");
    let (mut writer, mut reader) = streams.open(3).unwrap();
    assert!(writer.write(b"x").is_err());
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

/// A guest that echoes, halting when it has nothing to do, as the kernel does.
fn echo(streams: &Streams, cpu: &Cpu, id: u32, buf: &mut [u8]) {
    loop {
        match streams.guest_read(id, buf) {
            0 => break,
            STREAM_AGAIN => cpu.halt(),
            n => {
                let mut rest = &buf[..usize::try_from(n).unwrap()];
                while !rest.is_empty() {
                    match streams.guest_write(id, rest) {
                        STREAM_AGAIN => cpu.halt(),
                        n => rest = &rest[usize::try_from(n).unwrap()..],
                    }
                }
            }
        }
    }
    streams.guest_close(id);
}

fn round(total: usize, host: usize, guest: usize) -> Duration {
    let (streams, cpu) = machine();
    let (mut writer, mut reader) = streams.open(9).unwrap();
    let data = pattern(total);
    let sent = data.clone();
    let start = Instant::now();
    let guest = thread::spawn(move || echo(&streams, &cpu, 9, &mut vec![0; guest]));
    let write = thread::spawn(move || {
        for piece in sent.chunks(host) {
            writer.write_all(piece).unwrap();
        }
    });
    let mut seen = 0;
    let mut buf = vec![0; host];
    loop {
        let n = reader.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        assert!(buf[..n] == data[seen..seen + n], "wrong bytes behind {seen}");
        seen += n;
    }
    assert_eq!(seen, total);
    write.join().unwrap();
    guest.join().unwrap();
    start.elapsed()
}

#[test]
fn every_byte_arrives_in_order() {
    for (host, guest) in [(1, 1), (1, 4096), (4096, 1), (7, 65_536), (65_536, 13)] {
        round(200_000, host, guest);
    }
    for (host, guest) in [(65_536, 65_536), (1 << 20, 1 << 20), (300_000, 4096)] {
        round(20_000_000, host, guest);
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture"]
fn speed() {
    let size = 1 << 30;
    let seconds = round(size, 65_536, 65_536).as_secs_f64();
    println!("{:.0} MB/s, echoed", size as f64 / seconds / 1e6);
}

#[test]
fn scarce_room_is_told_when_it_grows() {
    let (streams, cpu) = machine();
    let (_writer, mut reader) = streams.open(5).unwrap();
    assert_eq!(streams.guest_write(5, &vec![0; (256 << 10) - 1]), (256 << 10) - 1);
    assert_eq!(streams.guest_poll(5) >> STREAM_ROOM_SHIFT, 1);
    let before = cpu.raised.load(Ordering::Relaxed);
    assert_eq!(reader.read(&mut [0; 100]).unwrap(), 100);
    assert_eq!(cpu.raised.load(Ordering::Relaxed), before + 1, "a guest that needs room for two waits");
    assert_eq!(streams.guest_poll(5) >> STREAM_ROOM_SHIFT, 101);
}

#[test]
fn terminal_lines_are_streams_of_their_own() {
    let (streams, _) = machine();
    let mut open: Vec<_> = (0..TERMINAL_LINES).map(|_| streams.open_terminal().unwrap().unwrap()).collect();
    assert!(streams.open_terminal().unwrap().is_none());
    let (number, ..) = open.remove(3);
    assert_eq!(number, TERMINAL_STREAM + 3);
    streams.guest_close(number);
    assert_eq!(streams.open_terminal().unwrap().unwrap().0, number);
}

#[test]
fn a_file_is_read_when_the_guest_reads() {
    let (streams, cpu) = machine();
    let (mut kept, mut to) = std::io::pipe().unwrap();
    streams.open_file(5, kept.try_clone().unwrap().into()).unwrap();
    let mut buf = [0; 4];
    assert_eq!(streams.guest_read(5, &mut buf), STREAM_AGAIN);
    assert_eq!(streams.guest_poll(5) as u32 & STREAM_READABLE, 0);
    to.write_all(b"abcdefgh").unwrap();
    cpu.halt();
    assert_eq!(streams.guest_poll(5) as u32 & STREAM_READABLE, STREAM_READABLE);
    assert_eq!((streams.guest_read(5, &mut buf), &buf), (4, b"abcd"));
    // Looking takes nothing, and the rest is whoever's.
    kept.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"efgh");
    assert_eq!(streams.guest_read(5, &mut buf), STREAM_AGAIN);
    drop(to);
    cpu.halt();
    assert_eq!(streams.guest_read(5, &mut buf), 0);
    streams.guest_close(5);
    assert_eq!(streams.guest_read(5, &mut buf), STREAM_NONE);
}

#[test]
fn a_file_takes_what_the_guest_writes_or_says_why_not() {
    let (streams, cpu) = machine();
    let (mut from, to) = std::io::pipe().unwrap();
    streams.open_file(5, to.into()).unwrap();
    let block = pattern(1 << 20);
    let taken = streams.guest_write(5, &block);
    assert!(taken >= 4096, "{taken}");
    assert_eq!(streams.guest_write(5, &block), STREAM_AGAIN);
    let mut read = vec![0; taken as usize];
    from.read_exact(&mut read).unwrap();
    assert_eq!(read, block[..taken as usize]);
    cpu.halt();
    assert!(streams.guest_write(5, &block) > 0);
    drop(from);
    assert_eq!(streams.guest_write(5, b"x"), STREAM_CLOSED);
    const ENOSPC: i32 = 28;
    const EISDIR: i32 = 21;
    streams.open_file(6, File::options().write(true).open("/dev/full").unwrap().into()).unwrap();
    assert_eq!(streams.guest_write(6, b"x"), -ENOSPC);
    streams.open_file(7, File::open("/").unwrap().into()).unwrap();
    assert_eq!(streams.guest_read(7, &mut [0]), -EISDIR);
    streams.shut();
}

/// A machine in a process of its own, which has read so many bytes of each stream.
#[derive(Default)]
struct Elsewhere {
    files: Mutex<Vec<Prepared>>,
    read: Mutex<Option<u64>>,
}

impl Apart for Elsewhere {
    fn open(&self, _id: u32, file: Prepared) -> io::Result<()> {
        self.files.lock().unwrap().push(file);
        Ok(())
    }

    fn close(&self, _id: u32) {}

    fn bytes_read(&self, _id: u32) -> Option<u64> {
        *self.read.lock().unwrap()
    }

    fn processor_time(&self) -> Option<Duration> {
        None
    }

    fn fail(&self, _why: String) {}
}

#[test]
fn what_is_on_its_way_to_a_machine_apart_is_not_read() {
    let machine = Arc::new(Elsewhere::default());
    let streams = Streams::apart(machine.clone());
    let (mut writer, _reader) = streams.open(5).unwrap();
    *machine.read.lock().unwrap() = Some(0);
    assert!(writer.is_read());
    writer.write_all(b"four").unwrap();
    assert!(!writer.is_read());
    *machine.read.lock().unwrap() = Some(3);
    assert!(!writer.is_read());
    *machine.read.lock().unwrap() = Some(4);
    assert!(writer.is_read());
    writer.write_all(b"more").unwrap();
    *machine.read.lock().unwrap() = None;
    assert!(writer.is_read(), "nobody will read it");
}
