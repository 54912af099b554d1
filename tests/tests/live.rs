//! A Linux to live in, from outside: telnet, servers and clients of busybox, bulk data, many
//! machines, floods.
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use wasmlinux::{Builder, Child, Machine, Protocol, Publish, Reach, Stdio};
use wasmlinux_tests::{Built, LIMIT, Telnet, Terminal};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The end of this test's process if it takes too long, for a machine that hangs cannot be waited
/// for.
fn watchdog() {
    thread::spawn(|| {
        thread::sleep(2 * LIMIT);
        eprintln!("hung");
        std::process::exit(1);
    });
}

/// A machine with one port of the guest published, and where it is.
fn published(guest: u16, builder: impl Fn() -> Builder) -> (Machine, SocketAddr) {
    watchdog();
    let boot = || {
        let host = TcpListener::bind((LOCAL, 0)).and_then(|socket| socket.local_addr()).expect("a port");
        match builder().publish(Publish { host, guest, protocol: Protocol::Tcp }).boot() {
            Ok(machine) => Some((machine, host)),
            // Between the look and the boot somebody else has taken it.
            Err(wasmlinux::Error::Network(_)) => None,
            Err(error) => panic!("{error}"),
        }
    };
    (0..20).find_map(|_| boot()).expect("a machine")
}

/// What a command of the guest prints.
#[track_caller]
fn says(machine: &Machine, script: &str) -> String {
    let output = machine.command("sh").args(["-c", script]).stdout(Stdio::piped()).output().expect("sh");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The guest listens on this port.
#[track_caller]
fn listens(machine: &Machine, port: u16) {
    let script = format!("until grep -q ':{port:04X} .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.02; done");
    assert_eq!(says(machine, &script), "");
}

fn telnetd() -> (Machine, Child, SocketAddr) {
    let (machine, at) = published(23, Machine::builder);
    let server = machine.command("telnetd").arg("-F").spawn().expect("telnetd");
    listens(&machine, 23);
    (machine, server, at)
}

#[test]
fn telnet_by_a_client_of_the_host() {
    let (machine, _server, at) = telnetd();
    let mut terminal = Terminal::of(["busybox", "telnet", "127.0.0.1", &at.port().to_string()]);
    terminal.expect("wasmlinux login: ");
    terminal.line("root");
    terminal.prompt();
    assert_eq!(terminal.command("tty; stty size; id -un"), "/dev/pts/0\n24 80\nroot\n");
    // Ctrl-C goes all the way.
    terminal.line("sleep 100");
    thread::sleep(Duration::from_millis(300));
    terminal.type_in("\x03");
    terminal.prompt();
    assert_eq!(terminal.command("echo $?"), "130\n");
    terminal.line("vi notes");
    terminal.expect("notes");
    for keys in ["ione\rtwo\x1b", ":wq\r"] {
        thread::sleep(Duration::from_millis(300));
        terminal.type_in(keys);
    }
    terminal.prompt();
    assert_eq!(terminal.command("cat notes"), "one\ntwo\n");
    terminal.line("exit");
    terminal.expect("Connection closed by foreign host");
    terminal.end();
    assert_eq!(says(&machine, "ls /dev/pts"), "ptmx\n", "the terminal is given back");
}

#[test]
fn ten_logins_at_once() {
    let (machine, _server, at) = telnetd();
    let mut logins: Vec<_> = (0..10).map(|n| Telnet::connect(at, 20 + n, 100 + n)).collect();
    for telnet in &mut logins {
        telnet.expect("login: ");
        telnet.type_in("root\r");
    }
    for telnet in &mut logins {
        telnet.expect("# ");
        telnet.type_in("echo $(tty) $(stty size)\r");
        telnet.expect("\r\n");
    }
    let said: Vec<_> = logins.iter_mut().map(|telnet| telnet.expect("\r\n")).collect();
    for (n, said) in said.iter().enumerate() {
        let size = format!(" {} {}", 20 + n, 100 + n);
        assert!(said.starts_with("/dev/pts/") && said.ends_with(&size), "{said:?}");
    }
    let terminals: BTreeSet<_> = said.iter().filter_map(|said| said.split(' ').next()).collect();
    assert_eq!(terminals.len(), 10, "{terminals:?}");
    // Each is told of a new size.
    for (n, telnet) in (0..).zip(&mut logins) {
        telnet.expect("# ");
        telnet.type_in("sh -c 'trap \"stty size; exit\" WINCH; echo rea\"\"dy; while :; do sleep 0.1; done'\r");
        telnet.expect("ready\r\n");
        telnet.resize(50 + n, 90);
        telnet.expect(&format!("{} 90\r\n", 50 + n));
    }
    for mut telnet in logins {
        telnet.expect("# ");
        telnet.type_in("exit\r");
        telnet.end();
    }
    assert_eq!(says(&machine, "ls /dev/pts"), "ptmx\n", "the terminals are given back");
}

/// A block of [`peer.c`'s bulk](../programs/peer.c), in bytes.
const BLOCK: usize = 65536;
const TOTAL: u64 = 1 << 30;

/// A hash that sees a change of any bit and of any order, at memory's speed: the peer of the guest
/// has the same.
fn hash(state: u64, block: &[u8]) -> u64 {
    block.as_chunks::<8>().0.iter().fold(state, |state, word| {
        (state ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

#[test]
fn a_gibibyte_each_way() {
    let (machine, at) = published(7, || Machine::builder().add(Built::new("peer").guest, "/bin/peer"));
    let mut peer = machine.command("peer").args(["bulk", "7"]).stdout(Stdio::piped()).spawn().expect("peer");
    let mut lines = BufReader::new(peer.stdout.take().expect("stdout")).lines();
    let mut line = || lines.next().expect("a line").expect("reading");
    assert_eq!(line(), "ready");
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream.write_all(&TOTAL.to_le_bytes()).expect("writing");
    let mut block = vec![0; BLOCK];
    let mut state = 0;
    for _ in 0..TOTAL / BLOCK as u64 {
        stream.read_exact(&mut block).expect("reading");
        state = hash(state, &block);
    }
    assert_eq!(stream.read(&mut block).expect("the end"), 0);
    assert_eq!(line(), format!("{state:016x}"));

    let mut stream = TcpStream::connect(at).expect("a connection");
    let mut state = 0;
    for n in 0..TOTAL / BLOCK as u64 {
        // Each block is another one.
        block.rotate_left(1);
        block[..8].copy_from_slice(&n.to_le_bytes());
        state = hash(state, &block);
        stream.write_all(&block).expect("writing");
    }
    stream.shutdown(Shutdown::Write).expect("the end");
    assert_eq!(line(), format!("{state:016x}"));
}

/// An HTTP server of the host for one request: what was asked for first.
fn serve_once(body: &'static str) -> (u16, thread::JoinHandle<String>) {
    let server = TcpListener::bind((LOCAL, 0)).expect("a port");
    let port = server.local_addr().expect("its address").port();
    let serving = thread::spawn(move || {
        let (stream, _) = server.accept().expect("the guest");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request");
        let mut header = String::new();
        while reader.read_line(&mut header).expect("a header") > 2 {
            header.clear();
        }
        let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        reader.get_mut().write_all(answer.as_bytes()).expect("an answer");
        line
    });
    (port, serving)
}

#[test]
fn servers_and_clients_of_busybox() {
    // A web server in the guest, whose files and programs the host gets.
    let reach = Reach { host: true, ..Reach::default() };
    let (machine, at) = published(80, || Machine::builder().reach(reach));
    says(&machine, "mkdir -p /www/cgi-bin; echo page > /www/index.html");
    says(
        &machine,
        "printf '#!/bin/sh\\necho; echo program $QUERY_STRING\\n' > /www/cgi-bin/p; chmod +x /www/cgi-bin/p",
    );
    let _httpd = machine.command("httpd").args(["-f", "-h", "/www"]).spawn().expect("httpd");
    listens(&machine, 80);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(at).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(get("/").starts_with("HTTP/1.1 200 OK\r\n") && get("/").ends_with("\r\npage\n"), "{}", get("/"));
    assert!(get("/cgi-bin/p?x").ends_with("program x\n"), "{}", get("/cgi-bin/p?x"));
    assert!(get("/missing").starts_with("HTTP/1.1 404 "), "{}", get("/missing"));

    // And the guest from the host, and from itself.
    let (port, serving) = serve_once("from the host\n");
    assert_eq!(says(&machine, &format!("wget -q -O - http://host.internal:{port}/a/file")), "from the host\n");
    assert_eq!(serving.join().expect("the server"), "GET /a/file HTTP/1.1\r\n");
    assert_eq!(says(&machine, "wget -q -O - http://localhost/"), "page\n");
    let (port, serving) = serve_once("by nc\n");
    let script = format!("printf 'GET /by-nc HTTP/1.0\\r\\n\\r\\n' | nc host.internal {port} | tail -n 1");
    assert_eq!(says(&machine, &script), "by nc\n");
    assert_eq!(serving.join().expect("the server"), "GET /by-nc HTTP/1.0\r\n");
    assert_eq!(says(&machine, "nc -l -p 99 -e tr a-z A-Z & sleep 0.3; echo text | nc localhost 99"), "TEXT\n");

    // Files by FTP, there and back.
    let script = "cd /tmp; mkdir ftp; (tcpsvd 127.0.0.1 21 ftpd -w -a root /tmp/ftp >/dev/null 2>&1 &) ; sleep 0.3
        seq 100000 > mine; ftpput localhost theirs mine; ftpget localhost again theirs
        cmp mine ftp/theirs && cmp mine again && echo same";
    assert_eq!(says(&machine, script), "same\n");
    assert!(says(&machine, "ping -c 1 host.internal").contains("1 packets received"));
    assert!(says(&machine, "ping6 -c 1 fd00::2").contains("1 packets received"));
    assert!(says(&machine, "arping -c 1 -w 5 10.0.2.2").contains("Received 1 response"));
}

#[test]
fn a_busy_processor_serves_the_network() {
    let (machine, at) = published(7, || Machine::builder().add(Built::new("peer").guest, "/bin/peer"));
    let mut server = machine.command("peer").args(["echo", "7"]).stdout(Stdio::piped()).spawn().expect("peer");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
    let mut computing = machine.command("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let started = Instant::now();
    for n in 0..50 {
        stream.write_all(&[n]).expect("writing");
        let mut back = [0];
        stream.read_exact(&mut back).expect("reading");
        assert_eq!(back, [n]);
        // The processor polls no more meanwhile.
        thread::sleep(Duration::from_millis(5));
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    computing.kill().expect("kill");
    computing.wait().expect("its end");
}

#[test]
fn ten_machines_at_once() {
    watchdog();
    let running: Vec<_> = (0..10)
        .map(|n: u32| {
            thread::spawn(move || {
                let machine =
                    Machine::builder().memory(128 << 20).hostname(format!("box{n}")).boot().expect("a machine");
                let script =
                    format!("hostname; i=0; while [ $i -lt 50 ]; do i=$(expr $i + 1); done; echo $((i * {n}))");
                let said = says(&machine, &script);
                (said, machine.shutdown().expect("its end"))
            })
        })
        .collect();
    for (n, running) in running.into_iter().enumerate() {
        let (said, outcome) = running.join().expect("a machine");
        assert_eq!(said, format!("box{n}\n{}\n", 50 * n));
        assert_eq!(outcome, wasmlinux::Outcome::Off);
    }
}

#[test]
fn floods_slow_only_themselves() {
    // The console, the kernel's log, the log's server, and a connection that nobody reads.
    let (machine, at) = published(7, Machine::builder);
    for flood in ["yes > /dev/console", "yes > /dev/kmsg", "yes | logger", "yes | nc -l -p 7"] {
        let _ = machine.command("sh").args(["-c", flood]).spawn().expect("sh");
    }
    listens(&machine, 7);
    let unread = TcpStream::connect(at).expect("a connection");
    thread::sleep(Duration::from_secs(1));
    let resident = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let before = resident();
    let started = Instant::now();
    for n in 0..20 {
        assert_eq!(says(&machine, &format!("echo {n}")), format!("{n}\n"));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    thread::sleep(Duration::from_secs(1));
    let grown = resident().saturating_sub(before);
    assert!(grown < 100_000, "{grown} kB more of the host's memory");
    drop(unread);
}
