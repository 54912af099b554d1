//! Commands: what to run in the guest, and with what.
use crate::control::{Control, Message};
use crate::process::{Child, ExitStatus, Process, TerminalSize};
use crate::task::{Fd, HostTask};
use crate::{Errno, Error, SpawnStep, StreamReader, StreamWriter};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use wasmlinux_boundary as boundary;

/// Bytes of arguments and variables that Linux never takes more of: three quarters of `_STK_LIM`
/// (fs/exec.c, bprm_stack_limits()).
const ARGUMENTS_MAX: usize = 6 << 20;

/// Where a standard stream of a command leads.
#[derive(Debug, Clone)]
pub struct Stdio(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Piped,
    File(Arc<OwnedFd>),
    Path(OsString),
}

impl Stdio {
    /// To the host: see the fields of [`Child`].
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }

    /// To an open file of this process. What the guest reads and writes is read and written there at that moment, with the
    /// result that it has here: nothing is read ahead, an error is the guest's, and two streams that lead to one file keep
    /// their order. A pipe or terminal is opened a second time, so that the file that is given blocks or not as before.
    pub fn file(file: impl Into<OwnedFd>) -> Stdio {
        Stdio(Kind::File(Arc::new(file.into())))
    }

    /// To the guest's `/dev/null`. What a stream is if nothing else is said.
    pub fn null() -> Stdio {
        Stdio::path("/dev/null")
    }

    /// To a file, device or named pipe of the guest: opened for reading as standard input, else for writing. A file is made if
    /// it is absent, and not truncated.
    pub fn path(path: impl Into<OsString>) -> Stdio {
        Stdio(Kind::Path(path.into()))
    }

    /// To what a host task has open as `fd`, for example the end of a pipe. It is opened anew: the host
    /// task keeps its own descriptor, and has to close it for a reader to see the end.
    pub fn descriptor(task: &HostTask, fd: Fd) -> Stdio {
        Stdio::path(format!("/proc/{}/fd/{fd}", task.id()))
    }
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

/// A command that can be run in the guest, after the model of [`std::process::Command`].
///
/// It becomes the leader of a session of its own. Unless more is said its environment holds PATH, HOME and TERM
/// (defaults of the guest), its directory is `/`, its streams lead to `/dev/null`.
#[derive(Clone)]
pub struct Command {
    control: Arc<Control>,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: OsString,
    flags: u32,
    streams: [Stdio; 3],
    terminal: Option<TerminalSize>,
}

impl Command {
    pub(crate) fn new(control: Arc<Control>, program: OsString) -> Command {
        Command {
            control,
            args: vec![program],
            env: BTreeMap::new(),
            dir: "/".into(),
            flags: 0,
            streams: [Stdio::null(), Stdio::null(), Stdio::null()],
            terminal: None,
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Command {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.env.insert(name.as_ref().into(), value.as_ref().into());
        self
    }

    /// Sets variables of the environment.
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, env: impl IntoIterator<Item = (N, V)>) -> &mut Command {
        self.env.extend(env.into_iter().map(|(name, value)| (name.as_ref().into(), value.as_ref().into())));
        self
    }

    /// The directory that it begins in; it is made if it is absent. A relative one starts at `/`.
    pub fn current_dir(&mut self, dir: impl AsRef<OsStr>) -> &mut Command {
        self.dir = dir.as_ref().into();
        self
    }

    /// Switches the machine off, in order, when this command has ended.
    pub fn power_off_at_end(&mut self, power_off: bool) -> &mut Command {
        self.flags = if power_off { boundary::RUN_POWEROFF } else { 0 };
        self
    }

    /// Where its standard input comes from.
    pub fn stdin(&mut self, stdin: Stdio) -> &mut Command {
        self.streams[0] = stdin;
        self
    }

    /// Where its standard output goes.
    pub fn stdout(&mut self, stdout: Stdio) -> &mut Command {
        self.streams[1] = stdout;
        self
    }

    /// Where its standard error goes.
    pub fn stderr(&mut self, stderr: Stdio) -> &mut Command {
        self.streams[2] = stderr;
        self
    }

    /// Gives it a controlling terminal of this size, with line discipline and job control, in place of its three standard streams.
    /// What the person types goes to [`Child::stdin`], what is shown comes from [`Child::stdout`]. Dropping the first hangs the terminal up:
    /// SIGHUP for its session. [`Process::resize`] changes the size. The terminal ends with the command.
    pub fn terminal(&mut self, size: TerminalSize) -> &mut Command {
        self.terminal = Some(size);
        self
    }

    /// Starts it; returns when its program has been executed, or could not be, or the machine has gone off meanwhile.
    ///
    /// # Errors
    /// [`Error::Spawn`] with the guest's reason, [`Error::ZeroByte`], [`Error::TooLarge`], [`Error::Terminals`], [`Error::Off`];
    /// [`Error::Io`] if the host has no descriptor more for a [`Stdio::file`].
    pub fn spawn(&mut self) -> Result<Child, Error> {
        let streams = self.control.streams();
        if let Some(size) = self.terminal {
            let (number, writer, reader) = streams.open_terminal().ok_or(Error::Terminals)?;
            let words = [number, size.rows.into(), size.columns.into()];
            let process = self.start(words, Some(number)).inspect_err(|_| streams.guest_close(number))?;
            return Ok(Child { stdin: Some(writer), stdout: Some(reader), stderr: None, process });
        }
        let mut words = [boundary::RUN_PATH; 3];
        let mut ends: [Option<(StreamWriter, StreamReader)>; 3] = [None, None, None];
        for (at, stdio) in self.streams.iter().enumerate() {
            match &stdio.0 {
                Kind::Piped => {
                    words[at] = streams.allocate();
                    ends[at] = Some(streams.open(words[at]));
                }
                Kind::File(file) => {
                    words[at] = streams.allocate();
                    streams.open_file(words[at], file.try_clone()?)?;
                }
                Kind::Path(_) => {}
            }
        }
        let result = self.start(words, None);
        if result.is_err() {
            // Init has closed what it had opened, but perhaps not got so far.
            for word in words.into_iter().filter(|&word| word != boundary::RUN_PATH) {
                streams.guest_close(word);
            }
        }
        let process = result?;
        let [stdin, stdout, stderr] = ends;
        Ok(Child {
            stdin: stdin.map(|(writer, _)| writer),
            stdout: stdout.map(|(_, reader)| reader),
            stderr: stderr.map(|(_, reader)| reader),
            process,
        })
    }

    /// Bytes of all arguments and variables, with their ends.
    fn arguments(&self) -> usize {
        let variables = self.env.iter().map(|(name, value)| name.len() + value.len() + 2);
        self.args.iter().map(|arg| arg.len() + 1).chain(variables).sum()
    }

    fn start(&self, words: [u32; 3], terminal: Option<u32>) -> Result<Process, Error> {
        let make = |id| {
            let mut message = Message::new(boundary::RUN, id);
            message.word(self.flags | if terminal.is_some() { boundary::RUN_TERMINAL } else { 0 });
            for word in words {
                message.word(word);
            }
            message.word(self.args.len() as u32).word(self.env.len() as u32);
            message.string(self.dir.as_bytes())?;
            for arg in &self.args {
                message.string(arg.as_bytes())?;
            }
            for (name, value) in &self.env {
                message.string(&[name.as_bytes(), value.as_bytes()].join(&b'='))?;
            }
            for stdio in self.streams.iter().filter(|_| terminal.is_none()) {
                if let Kind::Path(path) = &stdio.0 {
                    message.string(path.as_bytes())?;
                }
            }
            Ok(message)
        };
        let failed = |errno, step| {
            let (step, subject) = match step {
                boundary::FAILED_DIR => (SpawnStep::ChangeDirectory, &self.dir),
                boundary::FAILED_STREAM => (SpawnStep::OpenStream, &self.args[0]),
                _ => (SpawnStep::Execute, &self.args[0]),
            };
            Error::Spawn { step, subject: subject.to_string_lossy().into_owned(), errno }
        };
        if self.arguments() > ARGUMENTS_MAX {
            // It would be told so after they were sent, if the guest had memory for them.
            return Err(failed(Errno::E2BIG, boundary::FAILED_EXEC));
        }
        let (job, pid) = self.control.start(terminal, make, failed)?;
        Ok(Process::new(self.control.clone(), job, pid))
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`Command::spawn`] and [`Child::wait`].
    pub fn status(&mut self) -> Result<ExitStatus, Error> {
        self.spawn()?.wait()
    }

    /// Runs it to its end and collects what it writes. Its standard input is empty if it is piped.
    ///
    /// # Errors
    /// As [`Command::spawn`] and [`Child::wait`].
    pub fn output(&mut self) -> Result<Output, Error> {
        let mut child = self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin = None;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let collect = |reader: Option<StreamReader>| {
            let mut bytes = Vec::new();
            reader.map_or(Ok(0), |mut reader| reader.read_to_end(&mut bytes)).map(|_| bytes)
        };
        let thread = std::thread::Builder::new().spawn(move || collect(stderr))?;
        let stdout = collect(stdout)?;
        // The thread only reads: it cannot panic.
        let stderr = thread.join().unwrap_or_else(|_| Ok(Vec::new()))?;
        Ok(Output { status: child.wait()?, stdout, stderr })
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("args", &self.args).field("env", &self.env).field("dir", &self.dir).finish()
    }
}
