//! A Linux to live in: the prompt, an idle shell, the network, scripts.
use crate::measure::{Bench, median, output, seconds};
use crate::processes::{processor_time, resident};
use crate::table::{Row, Target};
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The end of the shell's prompt.
const PROMPT: &str = "# ";
/// What goes through a connection, in bytes.
const THROUGH: usize = 256 << 20;
/// Bytes there and back, one by one.
const ROUND_TRIPS: usize = 3000;
/// Requests to a web server, by so many clients at a time, of a file of so many bytes.
const REQUESTS: usize = 2000;
const CLIENTS: usize = 4;
const FILE: usize = 1000;
/// How long an idle shell is watched.
const IDLE: Duration = Duration::from_secs(5);
/// Processes that the script starts.
const FORKS: &str = "i=0; while [ $i -lt 1000 ]; do $1; i=$((i + 1)); done";
/// Processes that sleep, and a script that starts them and waits for the end of its input.
const SLEEPING: u32 = 1000;
const SLEEPERS: &str = "i=0; while [ $i -lt $1 ]; do sleep 1000 & i=$((i + 1)); done; echo ready; read end";
/// How long a peer may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A row with medians of what was measured by turns, in the guest and natively.
fn compared(
    row: Row,
    rounds: u32,
    mut guest: impl FnMut() -> Result<f64>,
    mut native: impl FnMut() -> Result<f64>,
) -> Row {
    let mut figures = (Vec::new(), Vec::new());
    let mut why = None;
    for _ in 0..rounds {
        match guest() {
            Ok(figure) => figures.0.push(figure),
            Err(error) => return row.failed(format!("{error:#}")),
        }
        match native() {
            Ok(figure) => figures.1.push(figure),
            Err(error) => why = Some(error),
        }
    }
    if let Some(error) = why {
        eprintln!("natively: {error:#}");
    }
    let native = (!figures.1.is_empty()).then(|| median(figures.1));
    row.guest(median(figures.0)).native(native)
}

/// The rows of an interactive session.
pub(crate) fn session(bench: &Bench) -> Vec<Row> {
    let rounds = bench.rounds.max(3) * 2;
    let most = |value| Some(Target::Most(value));
    let prompt = |what, args: &'static [&'static str]| {
        let once = || prompt_after(&bench.wasmlinux(args));
        let native = || prompt_after(&bench.native_busybox(&["sh"])?);
        compared(Row::new(what, "ms", most(60.0)), rounds, once, native)
    };
    let mut rows =
        vec![prompt("run -it sh, start to prompt", &["run", "-it", "sh"]), prompt("run, start to prompt", &["run"])];
    let sleeper = Row::new("each of 1,000 idle processes", "MB", most(0.8));
    rows.push(match idle_process(bench) {
        Ok(megabytes) => sleeper.guest(megabytes),
        Err(error) => sleeper.failed(format!("{error:#}")),
    });
    let (memory, work) =
        (Row::new("an idle shell's memory", "MB", most(50.0)), Row::new("an idle shell's work", "%", most(0.05)));
    let key = Row::new("keystroke to echo", "ms", most(1.0));
    match watched(&bench.wasmlinux(&["run"])) {
        Ok((megabytes, percent, echo)) => {
            let native = bench.native_busybox(&["sh"]).and_then(|command| watched(&command)).ok();
            rows.push(memory.guest(megabytes).native(native.map(|all| all.0)));
            rows.push(work.guest(percent));
            rows.push(key.guest(echo).native(native.map(|all| all.2)));
        }
        Err(error) => {
            let why = format!("{error:#}");
            rows.extend([memory, work, key].map(|row| row.failed(why.clone())));
        }
    }
    rows
}

fn prompt_after(command: &Command) -> Result<f64> {
    let mut terminal = None;
    let took = seconds(|| terminal.insert(Terminal::run(command)?).expect(PROMPT))?;
    Ok(1e3 * took)
}

/// Of a shell at its prompt: megabytes resident, how much of a processor it uses in percent, and
/// milliseconds from a key to its echo.
fn watched(command: &Command) -> Result<(f64, f64, f64)> {
    let mut terminal = Terminal::run(command)?;
    terminal.expect(PROMPT)?;
    std::thread::sleep(Duration::from_secs(1));
    let id = terminal.id();
    let before = processor_time(id)?;
    std::thread::sleep(IDLE);
    let percent = (processor_time(id)? - before) / IDLE.as_secs_f64() * 100.0;
    let resident = resident(id)?;
    let mut keys = Vec::new();
    // A comment, line by line.
    for _ in 0..10 {
        terminal.type_in("#")?;
        terminal.expect("#")?;
        for key in 'a'..='z' {
            std::thread::sleep(Duration::from_millis(3));
            keys.push(
                1e3 * seconds(|| {
                    terminal.type_in(&key.to_string())?;
                    terminal.expect(&key.to_string())
                })?,
            );
        }
        terminal.type_in("\r")?;
        terminal.expect(PROMPT)?;
    }
    Ok((resident, percent, median(keys)))
}

/// Megabytes that each of many sleeping processes adds.
fn idle_process(bench: &Bench) -> Result<f64> {
    let with = |processes: u32| {
        let mut command = bench.wasmlinux(&["run", "sh", "-c", SLEEPERS, "sh"]);
        let mut child = command.arg(processes.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
        // The last of them begin.
        std::thread::sleep(Duration::from_secs(1));
        let megabytes = resident(child.id());
        drop(child.stdin.take());
        child.wait()?;
        ensure!(line == "ready\n", "it says {line:?}");
        megabytes
    };
    Ok((with(SLEEPING)? - with(0)?) / f64::from(SLEEPING))
}

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    at: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody uses now.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The option that publishes a port.
fn publish(at: SocketAddr) -> String {
    format!("{}:{}", at.port(), at.port())
}

impl Server {
    /// `network serve` of the bench's programs, when it is ready.
    fn network(bench: &Bench, guest: bool) -> Result<Server> {
        let at = free_port()?;
        let port = at.port().to_string();
        let mut command = if guest {
            let mut command = bench.wasmlinux(&["run", "-p"]);
            command.arg(publish(at)).args(bench.add("network")).arg("bench-network");
            command
        } else {
            Command::new(bench.native("network"))
        };
        command.args(["serve", &port]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let stdout = child.stdout.take().context("a pipe")?;
        let server = Server { child, at };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "{command:?} says {line:?}");
        Ok(server)
    }

    /// busybox' web server, with one file.
    fn web(bench: &Bench, guest: bool, folder: &Path) -> Result<Server> {
        let at = free_port()?;
        let port = at.port().to_string();
        let mut command = if guest {
            let mut add = folder.as_os_str().to_owned();
            add.push(":/www");
            let mut command = bench.wasmlinux(&["run", "-p"]);
            command.arg(publish(at)).arg("--add").arg(add).args(["httpd", "-f", "-h", "/www", "-p", &port]);
            command
        } else {
            let mut command = bench.native_busybox(&["httpd", "-f", "-p"])?;
            command.arg(format!("127.0.0.1:{port}")).arg("-h").arg(folder);
            command
        };
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot run {command:?}"))?;
        let server = Server { child, at };
        let deadline = Instant::now() + LIMIT;
        while request(at).is_err() {
            ensure!(Instant::now() < deadline, "{command:?} does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    fn connect(&self, what: &[u8]) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.at)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(what)?;
        Ok(stream)
    }

    /// Megabytes a second to the server.
    fn upload(&self) -> Result<f64> {
        let block = vec![0x5a; 1 << 20];
        let mut stream = self.connect(b"S")?;
        let took = seconds(|| {
            (0..THROUGH / block.len()).try_for_each(|_| stream.write_all(&block))?;
            stream.shutdown(Shutdown::Write)?;
            Ok(stream.read_exact(&mut [0])?)
        })?;
        Ok(THROUGH as f64 / 1e6 / took)
    }

    /// Megabytes a second from the server.
    fn download(&self) -> Result<f64> {
        let mut block = vec![0; 1 << 20];
        let mut stream = self.connect(&[b"G", &(THROUGH as u64).to_le_bytes()[..]].concat())?;
        let took = seconds(|| {
            let mut left = THROUGH;
            while left > 0 {
                match stream.read(&mut block)? {
                    0 => bail!("{left} bytes are missing"),
                    n => left -= n,
                }
            }
            Ok(())
        })?;
        Ok(THROUGH as f64 / 1e6 / took)
    }

    /// Microseconds for a byte there and back; the median.
    fn round_trip(&self) -> Result<f64> {
        let mut stream = self.connect(b"E")?;
        let mut once = || {
            seconds(|| {
                stream.write_all(b"x")?;
                Ok(stream.read_exact(&mut [0])?)
            })
        };
        let all: Result<Vec<_>> = (0..ROUND_TRIPS).map(|_| once()).collect();
        Ok(1e6 * median(all?))
    }

    /// Requests a second, none of which may fail.
    fn requests(&self) -> Result<f64> {
        let at = self.at;
        let took = seconds(|| {
            let client = move || (0..REQUESTS / CLIENTS).try_for_each(|_| request(at));
            let clients: Vec<_> = (0..CLIENTS).map(|_| std::thread::spawn(client)).collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
        })?;
        Ok(REQUESTS as f64 / took)
    }
}

/// One request, whose answer must be the whole file.
fn request(at: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /file HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let body = answer.windows(4).position(|part| part == b"\r\n\r\n").map(|at| &answer[at + 4..]);
    ensure!(answer.starts_with(b"HTTP/1.0 200 ") || answer.starts_with(b"HTTP/1.1 200 "), "a request failed");
    ensure!(
        body.is_some_and(|body| body.len() == FILE && body.iter().all(|byte| *byte == b'w')),
        "a file came damaged"
    );
    Ok(())
}

/// The rows of published ports.
pub(crate) fn network(bench: &Bench) -> Vec<Row> {
    let rows = [
        Row::new("TCP to a published port", "MB/s", Some(Target::Least(400.0))).more(),
        Row::new("TCP from a published port", "MB/s", Some(Target::Least(400.0))).more(),
        Row::new("TCP there and back", "µs", Some(Target::Most(60.0))),
    ];
    let servers = Server::network(bench, true).and_then(|guest| Ok((guest, Server::network(bench, false)?)));
    let mut rows: Vec<Row> = match servers {
        Ok((guest, native)) => {
            let kinds = [Server::upload, Server::download, Server::round_trip];
            let rounds = bench.rounds.min(3);
            rows.into_iter()
                .zip(kinds)
                .map(|(row, kind)| compared(row, rounds, || kind(&guest), || kind(&native)))
                .collect()
        }
        Err(error) => rows.into_iter().map(|row| row.failed(format!("{error:#}"))).collect(),
    };
    let web = Row::new("httpd, a file of 1,000 bytes", "1/s", Some(Target::Least(3000.0))).more();
    rows.push(match servers_of_web(bench) {
        Ok((guest, native)) => {
            let natively = || native.as_ref().map_err(|why| anyhow::anyhow!("{why:#}"))?.requests();
            compared(web, bench.rounds.min(3), || guest.requests(), natively)
        }
        Err(error) => web.failed(format!("{error:#}")),
    });
    rows
}

fn servers_of_web(bench: &Bench) -> Result<(Server, Result<Server>)> {
    let folder: PathBuf = bench.dir.join("www");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("file"), [b'w'; FILE])?;
    Ok((Server::web(bench, true, &folder)?, Server::web(bench, false, &folder)))
}

/// The rows of shell scripts.
pub(crate) fn scripts(bench: &Bench) -> Vec<Row> {
    let script = |what, command: &'static str| {
        let guest = || {
            let mut run = bench.run("stopwatch");
            elapsed(run.args(["sh", "-c", FORKS, "sh", command]))
        };
        let native = || {
            let shell = bench.native_busybox(&["sh", "-c", FORKS, "sh"])?;
            let name = command.trim_start_matches('/');
            let command = if name == command { command.into() } else { bench.applet("true")?.display().to_string() };
            let mut run = Command::new(bench.native("stopwatch"));
            elapsed(run.arg(shell.get_program()).args(shell.get_args()).arg(command))
        };
        compared(Row::new(what, "ms", Some(Target::Ratio(1.0))), bench.rounds, guest, native)
    };
    vec![script("sh: 1,000 times /bin/true", "/bin/true"), script("sh: 1,000 times (true)", "eval (true)")]
}

/// What `stopwatch` prints.
fn elapsed(command: &mut Command) -> Result<f64> {
    let text = String::from_utf8_lossy(&output(command)?).into_owned();
    text.strip_prefix("elapsed ")
        .and_then(|figure| figure.trim().parse().ok())
        .with_context(|| format!("it printed {text:?}"))
}
