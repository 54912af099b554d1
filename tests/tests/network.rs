//! The network: published ports, connections to the outside, and what is refused. The peers are
//! `programs/peer.c` in the guest, and sockets of this process.
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{self, Command};
use std::thread;
use std::time::Duration;
use wasmlinux::{Child, Machine, Protocol, Publish, Reach, Stdio};
use wasmlinux_tests::{Built, LIMIT, Scratch, Terminal, guest, wasmlinux, wasmlinux_with};

const PORT: u16 = 7;
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A port of this host that nobody uses now.
fn free_port(host: IpAddr) -> SocketAddr {
    let socket = TcpListener::bind((host, 0)).expect("a port");
    socket.local_addr().expect("its address")
}

/// A machine whose port [`PORT`] echoes; and the end of this test's process if it takes too long.
struct Echo {
    machine: Machine,
    _server: Child,
    at: SocketAddr,
}

impl Echo {
    fn boot(host: IpAddr) -> Echo {
        Echo::reaching(host, Reach { host: true, ..Reach::default() })
    }

    fn reaching(host: IpAddr, reach: Reach) -> Echo {
        thread::spawn(|| {
            thread::sleep(2 * LIMIT);
            eprintln!("hung");
            std::process::exit(1);
        });
        // Between the look and the boot somebody else may take a port.
        let (at, machine) = (0..20).find_map(|_| Echo::machine(host, reach)).expect("a machine");
        let mut server =
            machine.command("peer").args(["echo", &PORT.to_string()]).stdout(Stdio::piped()).spawn().expect("peer");
        let mut line = String::new();
        BufReader::new(server.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Echo { machine, _server: server, at }
    }

    /// None if a port is in use.
    fn machine(host: IpAddr, reach: Reach) -> Option<(SocketAddr, Machine)> {
        let at = free_port(host);
        let mut builder = Machine::builder().memory(512 << 20).reach(reach).add(Built::new("peer").guest, "/bin/peer");
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            builder = builder.publish(Publish { host: at, guest: PORT, protocol });
        }
        // A port that leads to nobody.
        let nobody = SocketAddr::new(host, at.port() ^ 1);
        builder = builder.publish(Publish { host: nobody, guest: PORT + 1, protocol: Protocol::Tcp });
        match builder.boot() {
            Ok(machine) => Some((at, machine)),
            Err(wasmlinux::Error::Network(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        stream
    }

    /// What the guest's peer prints.
    fn peer(&self, args: &[&str], input: Option<Vec<u8>>) -> Vec<u8> {
        let mut command = self.machine.command("peer");
        command.args(args).stdout(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("peer");
        let stdin = child.stdin.take();
        let writer = thread::spawn(move || {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                stdin.write_all(&input).expect("its input");
            }
        });
        let mut output = Vec::new();
        child.stdout.take().expect("stdout").read_to_end(&mut output).expect("its output");
        child.wait().expect("its end");
        writer.join().expect("the writer");
        output
    }

    fn peer_says(&self, args: &[&str]) -> String {
        String::from_utf8_lossy(&self.peer(args, None)).into_owned()
    }
}

/// Bytes without a pattern that a shift would hide.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(len);
    bytes
}

#[test]
fn published_ports() {
    let echo = Echo::boot(LOCAL);
    // Bytes there and back, with the end of one side only.
    let mut stream = echo.connect();
    stream.write_all(b"hello").expect("writing");
    let mut five = [0; 5];
    stream.read_exact(&mut five).expect("reading");
    assert_eq!(&five, b"hello");
    stream.write_all(b" and the rest").expect("writing");
    stream.shutdown(Shutdown::Write).expect("the end");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the rest");
    assert_eq!(rest, " and the rest");

    // Where nobody listens the connection is cut.
    let mut nobody = TcpStream::connect((LOCAL, echo.at.port() ^ 1)).expect("the gateway's side");
    nobody.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let result = nobody.read(&mut five);
    assert!(matches!(&result, Err(error) if error.kind() == ErrorKind::ConnectionReset), "{result:?}");

    // Datagrams, each to whom it belongs, of all sizes.
    let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind((LOCAL, 0)).expect("a socket")).collect();
    for (i, socket) in sockets.iter().enumerate() {
        socket.connect(echo.at).expect("a peer");
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        socket.send(&noise([1, 1472, 60000][i], i as u64)).expect("sending");
    }
    for (i, socket) in sockets.iter().enumerate() {
        let mut answer = vec![0; 65536];
        let len = socket.recv(&mut answer).expect("an answer");
        assert!(answer[..len] == noise([1, 1472, 60000][i], i as u64), "datagram {i}: {len} bytes");
    }
}

#[test]
fn much_data_and_a_slow_reader() {
    let echo = Echo::boot(LOCAL);
    let bytes = noise(64 << 20, 1);
    let mut stream = echo.connect();
    let mut writer = stream.try_clone().expect("a second end");
    let sent = bytes.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).expect("writing");
        writer.shutdown(Shutdown::Write).expect("the end");
    });
    // All buffers on the way fill up before anything is read.
    thread::sleep(Duration::from_millis(300));
    let mut back = Vec::with_capacity(bytes.len());
    stream.read_to_end(&mut back).expect("reading");
    writing.join().expect("the writer");
    assert!(back == bytes, "{} bytes of {}", back.len(), bytes.len());
}

#[test]
fn a_thousand_connections() {
    let echo = Echo::boot(LOCAL);
    let mut streams: Vec<_> = (0..1000).map(|_| echo.connect()).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&noise(100, i as u64)).expect("writing");
    }
    for (i, stream) in streams.iter_mut().enumerate() {
        let mut back = [0; 100];
        stream.read_exact(&mut back).expect("reading");
        assert_eq!(back[..], noise(100, i as u64), "connection {i}");
    }
}

#[test]
fn to_the_host() {
    let echo = Echo::boot(LOCAL);
    let server = TcpListener::bind((LOCAL, 0)).expect("a port");
    let port = server.local_addr().expect("its address").port().to_string();
    let bytes = noise(8 << 20, 2);

    // The guest ends its side first, and gets everything all the same.
    let sent = bytes.clone();
    let serving = thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("the guest");
        let mut end = [0];
        assert_eq!(stream.read(&mut end).expect("its end"), 0);
        stream.write_all(&sent).expect("writing");
        server
    });
    let got = echo.peer(&["get", "host.internal", &port], None);
    assert!(got == bytes, "{} bytes of {}", got.len(), bytes.len());
    let server = serving.join().expect("the server");

    // The other way, to a reader that takes its time.
    let serving = thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("the guest");
        thread::sleep(Duration::from_millis(300));
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("reading");
        all
    });
    let said = echo.peer(&["put", "10.0.2.2", &port], Some(bytes.clone()));
    assert_eq!(String::from_utf8_lossy(&said), "end: 0\n");
    assert!(serving.join().expect("the server") == bytes);

    // A datagram and its answer.
    let socket = UdpSocket::bind((LOCAL, 0)).expect("a socket");
    let udp_port = socket.local_addr().expect("its address").port().to_string();
    let answering = thread::spawn(move || {
        let mut data = [0; 100];
        let (len, from) = socket.recv_from(&mut data).expect("the guest");
        data[..len].make_ascii_uppercase();
        socket.send_to(&data[..len], from).expect("an answer");
    });
    assert_eq!(echo.peer_says(&["ask", "host.internal", &udp_port, "question"]), "QUESTION\n");
    answering.join().expect("the server");

    // Nobody listens there any more; and there are no other hosts on the wire.
    assert_eq!(echo.peer_says(&["get", "host.internal", &port]), "connect: Connection refused\n");
    assert_eq!(echo.peer_says(&["get", "10.0.2.2", &port]), "connect: Connection refused\n");
    let ping = echo.machine.command("ping").args(["-c", "2", "-i", "0.1", "10.0.2.2"]).stdout(Stdio::piped()).output();
    let ping = String::from_utf8_lossy(&ping.expect("ping").stdout).into_owned();
    assert!(ping.contains("2 packets received"), "{ping}");
}

/// An address of this host that is not loopback's, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// A server on this address that says "here" to all who come.
fn here(ip: IpAddr) -> SocketAddr {
    let server = TcpListener::bind((ip, 0)).expect("a port");
    let at = server.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in server.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"here"));
        }
    });
    at
}

#[test]
fn the_outside_only_unless_more_is_said() {
    let own = own_address();
    let servers: Vec<_> = [LOCAL].into_iter().chain(own).map(here).collect();
    let (loopback, own) = (servers[0].port().to_string(), servers.get(1));
    let refused = "connect: No route to host\n";
    // What may be reached, and whether the host, private and link-local addresses then are.
    let one = Reach::default();
    for reach in [
        one,
        Reach { host: true, ..one },
        Reach { private: true, ..one },
        Reach { host: true, private: true, ..one },
        Reach { host: true, private: true, link_local: true },
    ] {
        let echo = Echo::reaching(LOCAL, reach);
        let host = if reach.host { "here" } else { refused };
        assert_eq!(echo.peer_says(&["get", "10.0.2.2", &loopback]), host, "{reach:?}");
        let mapped = echo.peer_says(&["get", "::ffff:10.0.2.2", &loopback]);
        assert_eq!(mapped, host, "{reach:?}");
        if let Some(own) = own {
            assert_eq!(echo.peer_says(&["get", &own.ip().to_string(), &own.port().to_string()]), host, "{reach:?}");
        }
        for address in ["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1"] {
            let own = echo.peer_says(&["get", address, &loopback]);
            assert!(own.starts_with("connect: "), "{address} is the guest's own: {own}");
        }
        if !reach.link_local {
            for address in ["169.254.169.254", "::ffff:169.254.169.254", "100.100.100.200"] {
                assert_eq!(echo.peer_says(&["get", address, "80"]), refused, "{reach:?} {address}");
            }
            let six = echo.peer_says(&["get", "fd00:ec2::254", "80"]);
            assert_eq!(six, "connect: Permission denied\n", "{reach:?}");
        }
        if !reach.private {
            assert_eq!(echo.peer_says(&["get", "192.168.77.1", "80"]), refused, "{reach:?}");
        }
        // The name exists if the host is reached.
        let mut lookup = echo.machine.command("nslookup");
        let output = lookup.args(["host.docker.internal", "10.0.2.3"]).output().expect("nslookup");
        let name = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(name.contains("Address: 10.0.2.2\n"), reach.host, "{name}");
        // Ports that are published are, in any case.
        let mut stream = echo.connect();
        stream.write_all(b"five!").expect("writing");
        let mut five = [0; 5];
        stream.read_exact(&mut five).expect("reading");
    }
}

#[test]
fn consent_on_the_command_line() {
    let port = here(LOCAL).port();
    let get = |options: &[&str], host: &str| {
        let run = wasmlinux_with(["run"]).args(options);
        run.args(["--", "sh", "-c", &format!("nc {host} {port} </dev/null 2>/dev/null; echo $?")]).output().text()
    };
    assert_eq!(get(&[], "host.internal"), "1\n");
    assert_eq!(get(&[], "10.0.2.2"), "1\n");
    assert_eq!(get(&["--network", "user,host"], "host.internal"), "here0\n");
    assert_eq!(get(&["--network", "user,host"], "host.docker.internal"), "here0\n");
    let gateway = ["--add-host", "host.docker.internal:host-gateway"];
    assert_eq!(get(&gateway, "host.docker.internal"), "here0\n");
    assert_eq!(get(&gateway, "host.internal"), "here0\n");
    assert_eq!(get(&["--add-host=box=host-gateway"], "box"), "here0\n");
    // A name is no consent.
    assert_eq!(get(&["--add-host", "box:10.0.2.2"], "box"), "1\n");
    let output = wasmlinux_with(["run", "--add-host", "a:1.2.3.4", "--", "tail", "-n", "2", "/etc/hosts"]).output();
    output.expect("1.2.3.4\ta\n127.0.1.1\twasmlinux\n");
    let output = wasmlinux_with(["run", "--network", "none", "--add-host", "a:host-gateway", "true"]).output();
    output.expect_status(125);
    assert_eq!(output.errors(), "wasmlinux: host-gateway needs a network, and --network none gives none\n");
}

#[test]
fn version_six() {
    let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if TcpListener::bind((local, 0)).is_err() {
        eprintln!("skipped: this host has no IPv6");
        return;
    }
    let echo = Echo::boot(local);
    let mut stream = echo.connect();
    stream.write_all(b"six").expect("writing");
    stream.shutdown(Shutdown::Write).expect("the end");
    let mut back = String::new();
    stream.read_to_string(&mut back).expect("reading");
    assert_eq!(back, "six");

    let server = TcpListener::bind((local, 0)).expect("a port");
    let port = server.local_addr().expect("its address").port().to_string();
    let serving = thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("the guest");
        stream.write_all(b"from six").expect("writing");
    });
    assert_eq!(echo.peer_says(&["get", "fd00::2", &port]), "from six");
    serving.join().expect("the server");
}

#[test]
fn an_address_by_dhcp() {
    let script = r#"ip addr flush dev eth0 scope global
        printf '#!/bin/sh\necho $1 ip=$ip mask=$subnet router=$router dns=$dns mtu=$mtu\n' > /tmp/script
        chmod +x /tmp/script
        udhcpc -i eth0 -n -q -f -O mtu -s /tmp/script 2>/dev/null | grep bound"#;
    let output = guest(["sh", "-c", script]).output();
    let expected = "bound ip=10.0.2.15 mask=255.255.255.0 router=10.0.2.2 dns=10.0.2.3 mtu=65520\n";
    assert_eq!(output.text(), expected, "{}", output.errors());
}

#[test]
fn names() {
    let script = "hostname -f; nslookup host.internal | sed -n 's/^Address: //p' | sort; nslookup -type=a HOST.internal 10.0.2.3 | tail -n 2";
    let output = wasmlinux_with(["run", "--network", "user,host", "--", "sh", "-c", script]).output();
    output.expect("wasmlinux\n10.0.2.2\nfd00::2\nAddress: 10.0.2.2\n\n");
    // Another name; one that the user has given an address already; and one without a file of
    // names.
    wasmlinux_with(["run", "--hostname", "box", "--", "hostname", "-f"]).output().expect("box\n");
    let scratch = Scratch::new();
    let mut add = scratch.file("hosts", "127.0.0.1 localhost\n10.0.2.15\tbox.example box # mine\n").into_os_string();
    add.push(":/etc/hosts");
    let run = wasmlinux_with(["run", "--hostname", "box", "--add"]).arg(add);
    let output = run.args(["--", "sh", "-c", "hostname -f; wc -l < /etc/hosts"]).output();
    output.expect("box.example\n2\n");
}

#[test]
fn no_network() {
    let output = wasmlinux_with(["run", "--network", "none", "--", "ls", "/sys/class/net"]).output();
    output.expect_status(0);
    assert!(!output.text().contains("eth0") && output.text().contains("lo"), "{}", output.text());
}

#[test]
fn a_port_that_the_host_chooses() {
    let mut child = Command::new(wasmlinux());
    child.args(["run", "-p", "80", "-p", "127.0.0.1::81/udp", "-p", "0:82"]);
    child.args(["--", "sh", "-c", "echo here | nc -l -p 80"]).stdin(process::Stdio::null());
    let mut child = child.stderr(process::Stdio::piped()).spawn().expect("wasmlinux");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map(|line| line.expect("a line"));
    let mut port = |guest: &str| -> u16 {
        let line = lines.next().expect("a line");
        let (begin, port) = line.rsplit_once(':').expect("a port");
        assert_eq!(begin, format!("wasmlinux: {guest} -> 127.0.0.1"));
        port.parse().expect("a number")
    };
    let ports = [port("80/tcp"), port("81/udp"), port("82/tcp")];
    assert!(ports.iter().all(|port| *port != 0));
    // The guest's server may not be there yet: its kernel cuts what comes before.
    let text = (0..200).find_map(|_| {
        let mut text = String::new();
        let got = TcpStream::connect((LOCAL, ports[0])).and_then(|mut stream| stream.read_to_string(&mut text));
        thread::sleep(Duration::from_millis(50));
        got.is_ok_and(|got| got > 0).then_some(text)
    });
    assert_eq!(text.as_deref(), Some("here\n"));
    assert!(child.wait().expect("its status").success());
    assert_eq!(lines.next(), None);
}

#[test]
fn who_is_kept_from_something_hears_of_it() {
    let said = |options: &[&str], end: &str| {
        let script = format!("for i in 1 2; do nc -w 2 10.0.2.2 80; nc -w 2 192.168.7.7 80; done 2>/dev/null; {end}");
        let output = wasmlinux_with(["run"]).args(options).args(["--", "sh", "-c", &script]).output();
        output.errors()
    };
    let host = "wasmlinux: the guest was kept from 10.0.2.2: --network user,host would allow it\n";
    let private = "wasmlinux: the guest was kept from 192.168.7.7: --network user,private would allow it\n";
    assert_eq!(said(&[], "false"), format!("{host}{private}"));
    // What succeeds says nothing of its own; a person at a terminal sees it at the end.
    assert_eq!(said(&[], "true"), "");
    let script = "nc -w 2 10.0.2.2 80; true";
    let (status, shown) = Terminal::run(["sh", "-c", script]).end();
    assert!(status == 0 && shown.contains("would allow it\r\n"), "{status}: {shown}");
}

#[test]
fn bad_ports() {
    let taken = TcpListener::bind((LOCAL, 0)).expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let publish = |text: &str| wasmlinux_with(["run", "-p", text, "--", "true"]).output();

    let output = publish(&format!("{port}:80"));
    output.expect_status(125);
    assert_eq!(
        output.errors(),
        format!("wasmlinux: cannot listen on 127.0.0.1:{port}/tcp: the port is in use; publish another one\n")
    );
    for text in ["80:", "x:80", "1-3:1-2", "80:80/sctp", "300.0.0.1:80:80"] {
        let output = publish(text);
        output.expect_status(125);
        assert!(output.errors().contains("give [[HOSTIP:]HOSTPORT:]GUESTPORT"), "{text}: {}", output.errors());
        assert_eq!(output.errors().lines().count(), 1, "{}", output.errors());
    }
    let output = wasmlinux_with(["run", "--network", "none", "-p", "8080:80", "--", "true"]).output();
    output.expect_status(125);
    assert_eq!(output.errors(), "wasmlinux: -p needs a network, and --network none gives none\n");
}
