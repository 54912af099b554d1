//! Running a command with its three streams captured, and never for longer than a limit.
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long anything may run before it counts as hung. Nothing here needs a tenth of it.
pub const LIMIT: Duration = Duration::from_secs(180);

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status as a shell gives it: 128 + N after signal N.
    pub status: i32,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Panics unless the exit status is `status`.
    #[track_caller]
    pub fn expect_status(&self, status: i32) -> &Self {
        assert!(
            self.status == status,
            "exit status {}, not {status}; stdout: {:?}; stderr: {:?}",
            self.status,
            head(&self.text()),
            head(&self.errors())
        );
        self
    }

    /// Panics unless it succeeded with this output and nothing on standard error.
    #[track_caller]
    pub fn expect(&self, stdout: &str) -> &Self {
        self.expect_status(0);
        let right = Self { status: 0, stdout: stdout.into(), stderr: vec![] };
        self.expect_same(&right, "the command");
        self
    }

    /// Panics unless all three are those of `native`; says where they part.
    #[track_caller]
    pub fn expect_same(&self, native: &Self, what: &str) {
        if self == native {
            return;
        }
        let mut report = format!("{what}: exit status {}, natively {}\n", self.status, native.status);
        difference(&mut report, "stdout", &self.stdout, &native.stdout);
        difference(&mut report, "stderr", &self.stderr, &native.stderr);
        panic!("{report}");
    }
}

/// The beginning of a text, for messages.
fn head(text: &str) -> String {
    text.chars().take(600).collect()
}

/// Appends the first lines in which two outputs differ.
fn difference(report: &mut String, stream: &str, ours: &[u8], native: &[u8]) {
    if ours == native {
        return;
    }
    report.push_str(&format!("{stream}: {} bytes, natively {}\n", ours.len(), native.len()));
    let (ours, native) = (String::from_utf8_lossy(ours), String::from_utf8_lossy(native));
    let (mut a, mut b) = (ours.lines(), native.lines());
    let mut shown = 0;
    for number in 1.. {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() || shown == 20 {
            break;
        }
        if x != y {
            let show = |line: Option<&str>| line.map_or("nothing".into(), |l| format!("{:?}", head(l)));
            report.push_str(&format!("  line {number}: {}\n    natively {}\n", show(x), show(y)));
            shown += 1;
        }
    }
}

/// A command about to run.
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
    limit: Duration,
}

impl Run {
    /// This executable, without arguments or input.
    pub fn new(program: &Path) -> Self {
        Self { command: Command::new(program), stdin: vec![], limit: LIMIT }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Starts from an empty environment.
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// The directory to run in.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What it can read on its standard input, then the end.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may run.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn output(self) -> Output {
        self.reading(usize::MAX, Duration::ZERO)
    }

    /// Runs it to its end, but begins to read its output only after `wait`, and closes it after
    /// `most` bytes.
    #[track_caller]
    pub fn reading(mut self, most: usize, wait: Duration) -> Output {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.name()));
        let group = child.id();
        let (mut input, mut output, mut errors) = streams(&mut child);
        let stdin = std::mem::take(&mut self.stdin);
        // A command that does not read all of its input is no error.
        std::thread::spawn(move || input.write_all(&stdin));
        let stderr = std::thread::spawn(move || collect(&mut errors, usize::MAX));
        let stdout = std::thread::spawn(move || {
            std::thread::sleep(wait);
            collect(&mut output, most)
        });
        let (done, ended) = channel();
        std::thread::spawn(move || done.send(child.wait()));
        match ended.recv_timeout(self.limit) {
            Ok(status) => {
                let status = status.expect("the status of a child");
                let status = status.code().or_else(|| status.signal().map(|s| 128 + s)).expect("an exit status");
                let stdout = stdout.join().expect("the reader of stdout");
                Output { status, stdout, stderr: stderr.join().expect("the reader of stderr") }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                kill_group(group);
                let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
                let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
                let (name, limit) = (self.name(), self.limit);
                panic!("{name}: hung for {limit:?}; stdout: {:?}; stderr: {:?}", head(&stdout), head(&stderr));
            }
        }
    }

    /// The command line, for messages.
    fn name(&self) -> String {
        let words: Vec<OsString> = std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(OsStr::to_os_string)
            .collect();
        head(&words.join(OsStr::new(" ")).to_string_lossy())
    }
}

/// The parent's ends of a child's pipes.
fn streams(child: &mut Child) -> (impl Write + Send + use<>, impl Read + Send + use<>, impl Read + Send + use<>) {
    let missing = "the streams are pipes";
    (child.stdin.take().expect(missing), child.stdout.take().expect(missing), child.stderr.take().expect(missing))
}

/// Kills a process group. By the shell, which every system has: a crate for it would give the
/// engine's own dependencies other features than the product has, and so have the engine compiled a
/// second time.
fn kill_group(group: u32) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -KILL -{group}")).status();
    assert!(status.is_ok_and(|s| s.success()), "cannot kill process group {group}");
}

/// Reads to the end, or `most` bytes.
fn collect(from: &mut impl Read, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.take(most as u64).read_to_end(&mut bytes).expect("reading a child's output");
    bytes
}
