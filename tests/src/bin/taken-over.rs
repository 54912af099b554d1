//! A machine in a process of its own that somebody has taken over: beside the machine runs a thread
//! that does to the process which started it what the argument says. `tests/taken_over.rs` runs it.
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::exit;
use std::time::Duration;
use wasmlinux::{Confine, Machine, Publish, Reach};
use wasmlinux_boundary::Message;
use wasmlinux_tests::LIMIT;

/// Numbers of the messages between the two processes (`crates/wasmlinux/src/apart/mod.rs`).
const CONSOLE: u32 = 64;
const ENDED: u32 = 65;
const FIELD_CODE: u32 = 2;
const FIELD_TEXT: u32 = 3;
/// Of the dialer (`crates/net/src/dial.rs`) and the broker (`compiler/broker.rs`).
const TCP: u32 = 0;
const COMPILE: u32 = 2;
const FIELD_ADDRESS: u32 = 1;
const FIELD_PORT: u32 = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|verb| verb == "be-a-machine") {
        let parent = &arguments[2];
        let line = std::fs::read_to_string(format!("/proc/{parent}/cmdline")).unwrap();
        let words: Vec<String> = line.split('\0').map(String::from).collect();
        std::thread::spawn(move || {
            let scratch = &words[2];
            while !exists(&format!("{scratch}/go")) {
                std::thread::sleep(Duration::from_millis(10));
            }
            taken_over(&words[1], scratch);
        });
    }
    wasmlinux::machine_if_asked(|_| {});
    std::thread::spawn(|| {
        std::thread::sleep(LIMIT);
        println!("hung");
        exit(1);
    });
    starter(&arguments[1], Path::new(&arguments[2]));
}

/// Whether a file exists: what even a confined process may ask.
fn exists(path: &str) -> bool {
    let path = std::ffi::CString::new(path).unwrap();
    // SAFETY: zeros are a valid structure; the path ends with a zero.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path.as_ptr(), &raw mut stat, libc::AT_EMPTY_PATH) == 0
    }
}

/// The process's sockets for messages, in the order in which it was given them: requests, events,
/// code, sockets.
fn channels() -> Vec<i32> {
    let kind = |fd| {
        let (mut kind, mut length) = (0_i32, 4_u32);
        // SAFETY: a word of ours and its length.
        let result =
            unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &raw mut length) };
        (result == 0).then_some(kind)
    };
    // 0 is the first again.
    (1..64).filter(|fd| kind(*fd) == Some(libc::SOCK_SEQPACKET)).collect()
}

fn send(fd: i32, message: Message) -> bool {
    let bytes = message.finish().unwrap();
    // SAFETY: bytes of ours and their length.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) >= 0 }
}

/// An answer, and the descriptor that came with it.
fn receive(fd: i32) -> Option<i32> {
    let (mut bytes, mut control) = ([0_u8; 4096], [0_u64; 8]);
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: structures of ours that outlive the call; a header that came is in them.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = (&raw mut vector, 1);
        (header.msg_control, header.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
        if libc::recvmsg(fd, &raw mut header, 0) <= 0 {
            exit(0);
        }
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (!first.is_null()).then(|| libc::CMSG_DATA(first).cast::<i32>().read_unaligned())
    }
}

fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn ended(events: i32) {
    let mut message = Message::new(ENDED, 0);
    message.words(FIELD_CODE, &[0]);
    send(events, message);
}

fn taken_over(what: &str, scratch: &str) {
    let channels = channels();
    let &[_, events, code, ref sockets @ ..] = channels.as_slice() else { panic!("{channels:?}") };
    match what {
        "ends and delivers nothing" | "ends and delivers nothing, unasked" => ended(events),
        "floods the console" => {
            let mut message = Message::new(CONSOLE, 0);
            message.bytes(FIELD_TEXT, &[b'x'; 16 << 10]);
            while send(events, message.clone()) {}
        }
        "floods standard error" => loop {
            say("x\u{1b}[31m\n");
        },
        "compiles without number" => {
            let mut given = 0;
            for _ in 0..1000 {
                send(code, Message::new(COMPILE, 0));
                given += i32::from(receive(code).is_some());
            }
            say(&format!("{given} compilers\n"));
        }
        "connects by data" => {
            let port = port(scratch);
            let socket = dial(sockets[0], 1).expect("a socket");
            std::thread::sleep(Duration::from_millis(300));
            // SAFETY: zeros are a valid address; structures and bytes of ours with their lengths.
            unsafe {
                let mut to: libc::sockaddr_in = std::mem::zeroed();
                (to.sin_family, to.sin_port) = (libc::AF_INET as u16, port.to_be());
                to.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
                for _ in 0..3 {
                    let sent = libc::sendto(
                        socket,
                        b"x".as_ptr().cast(),
                        1,
                        libc::MSG_FASTOPEN,
                        (&raw const to).cast(),
                        size_of_val(&to) as u32,
                    );
                    let why = io::Error::last_os_error();
                    say(&format!("{sent} {why}\n"));
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
        "calls" => calls(),
        "nothing" | "has a console that is stuck" => {}
        _ => panic!("{what}"),
    }
}

/// The port of the starter's listener, which has a file of that name.
fn port(scratch: &str) -> u16 {
    (1024..=u16::MAX).find(|port| exists(&format!("{scratch}/{port}"))).expect("a port")
}

fn dial(sockets: i32, port: u32) -> Option<i32> {
    let mut message = Message::new(TCP, 0);
    message.words(FIELD_ADDRESS, &[0x0a00_0202]).words(FIELD_PORT, &[port]);
    send(sockets, message);
    receive(sockets)
}

/// Says which system calls of the ABI with 32-bit pointers are not refused.
fn calls() {
    let mut passed = Vec::new();
    for number in 0x4000_0000_i64..0x4000_0258 {
        // SAFETY: pointers are not mapped, and descriptors are none.
        let result = unsafe { libc::syscall(number, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64) };
        let error = io::Error::last_os_error().raw_os_error();
        if result != -1 || ![Some(libc::EPERM), Some(libc::ENOSYS)].contains(&error) {
            passed.push(number);
        }
    }
    say(&format!("passed: {passed:x?}\n"));
}

/// A console's writer that does not return.
struct Stuck;

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a machine, has it taken over, and ends it.
fn starter(what: &str, scratch: &Path) {
    let builder = Machine::builder().network(true).reach(Reach { host: true, ..Reach::default() });
    let builder = match what {
        "connects by data" => builder.publish(Publish::parse("127.0.0.1:0:9/udp").unwrap()[0]),
        "has a console that is stuck" => builder.kernel_log(7, Stuck),
        _ => builder,
    };
    // The thread that has asked for a machine need not live as long.
    let machine = std::thread::spawn(|| builder.boot_apart(Confine::On)).join().unwrap().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(scratch.join(listener.local_addr().unwrap().port().to_string()), "").unwrap();
    std::fs::write(scratch.join("go"), "").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    if what == "ends and delivers nothing, unasked" {
        println!("{:?}", machine.wait());
    }
    if what == "connects by data" {
        listener.set_nonblocking(true).unwrap();
        println!("connected: {}", listener.accept().is_ok());
    }
    machine.power_off();
    println!("{:?}", machine.wait());
    drop(machine);
}
