//! Commands: what to run in the guest, and with what.
use crate::control::{Control, Failure, Job, Phase};
use crate::limit::Resource;
use crate::process::{Child, ExitStatus, Process, TerminalSize};
use crate::task::{Fd, HostTask};
use crate::{Errno, Error, SpawnStep, StreamReader, StreamWriter};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use wasmlinux_boundary::{self as boundary, Message};

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

    /// To an open file of this process. What the guest reads and writes is read and written there
    /// at that moment, with the result that it has here: nothing is read ahead, an error is the
    /// guest's, and two streams that lead to one file keep their order. A pipe or terminal is
    /// opened a second time, so that the file that is given blocks or not as before.
    pub fn file(file: impl Into<OwnedFd>) -> Stdio {
        Stdio(Kind::File(Arc::new(file.into())))
    }

    /// To the guest's `/dev/null`. What a stream is if nothing else is said.
    pub fn null() -> Stdio {
        Stdio::path("/dev/null")
    }

    /// To a file, device or named pipe of the guest: opened for reading as standard input, else for
    /// writing. A file is made if it is absent, and not truncated.
    pub fn path(path: impl Into<OsString>) -> Stdio {
        Stdio(Kind::Path(path.into()))
    }

    /// To what a host task has open as `fd`, for example the end of a pipe. It is opened anew: the
    /// host task keeps its own descriptor, and has to close it for a reader to see the end.
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
/// It becomes the leader of a session of its own. Unless more is said its environment holds PATH,
/// HOME and TERM (defaults of the guest), its directory is `/`, its streams lead to `/dev/null`.
#[derive(Clone)]
pub struct Command {
    control: Arc<Control>,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: OsString,
    user: Option<OsString>,
    groups: Vec<OsString>,
    limits: BTreeMap<Resource, (u64, u64)>,
    power_off: bool,
    streams: [Stdio; 3],
    terminal: Option<TerminalSize>,
}

/// Where the descriptors of a command lead, as numbers of streams; None for a path.
enum Streams {
    Three([Option<u32>; 3]),
    Terminal(u32, TerminalSize),
}

impl Command {
    pub(crate) fn new(control: Arc<Control>, program: OsString) -> Command {
        Command {
            control,
            args: vec![program],
            env: BTreeMap::new(),
            dir: "/".into(),
            user: None,
            groups: Vec::new(),
            limits: BTreeMap::new(),
            power_off: false,
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
        self.power_off = power_off;
        self
    }

    /// Whom it runs as: a name or number, or both user and group with a colon between, as docker
    /// takes it (`nobody`, `1000:100`). Names are looked up in the guest's `/etc/passwd` and
    /// `/etc/group`; without a group it has the user's groups. HOME is the user's. The default is
    /// root.
    pub fn user(&mut self, user: impl AsRef<OsStr>) -> &mut Command {
        self.user = Some(user.as_ref().into());
        self
    }

    /// Adds a group, by name or number, to those that it has.
    pub fn group(&mut self, group: impl AsRef<OsStr>) -> &mut Command {
        self.groups.push(group.as_ref().into());
        self
    }

    /// Sets the soft and the hard limit of a resource; `u64::MAX` is none.
    pub fn limit(&mut self, resource: Resource, soft: u64, hard: u64) -> &mut Command {
        self.limits.insert(resource, (soft, hard));
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

    /// Gives it a controlling terminal of this size, with line discipline and job control, in place
    /// of its three standard streams. What the person types goes to [`Child::stdin`], what is shown
    /// comes from [`Child::stdout`]. Dropping the first hangs the terminal up: SIGHUP for its
    /// session. [`Process::resize`] changes the size. The terminal ends with the command.
    pub fn terminal(&mut self, size: TerminalSize) -> &mut Command {
        self.terminal = Some(size);
        self
    }

    /// Starts it; returns when its program has been executed, or could not be, or the machine has
    /// gone off meanwhile. Other commands are served meanwhile, also if the program has to be
    /// compiled first.
    ///
    /// # Errors
    /// [`Error::Spawn`] with the guest's reason, [`Error::ZeroByte`], [`Error::TooLarge`],
    /// [`Error::Terminals`], [`Error::Off`]; [`Error::Io`] if the host has no descriptor more for a
    /// [`Stdio::file`].
    pub fn spawn(&mut self) -> Result<Child, Error> {
        self.begin(true).map(|(child, _)| child)
    }

    /// Makes its process, with everything that it was given, and leaves only the program to be
    /// executed: by [`Created::start`]. So what must be known or done before it runs (its process
    /// id, a file) can be.
    ///
    /// # Errors
    /// As [`Command::spawn`]; whether the program can be executed shows when it is started.
    pub fn create(&mut self) -> Result<Created, Error> {
        let (child, job) = self.begin(false)?;
        Ok(Created { command: self.clone(), job, child: Some(child) })
    }

    fn begin(&self, start: bool) -> Result<(Child, Arc<Job>), Error> {
        let streams = self.control.streams();
        if let Some(size) = self.terminal {
            let (number, writer, reader) = streams.open_terminal()?.ok_or(Error::Terminals)?;
            let made = self.make(&Streams::Terminal(number, size), start);
            let (process, job) = made.inspect_err(|_| streams.guest_close(number))?;
            return Ok((Child { stdin: Some(writer), stdout: Some(reader), stderr: None, process }, job));
        }
        let mut numbers = [None; 3];
        let mut ends: [Option<(StreamWriter, StreamReader)>; 3] = [None, None, None];
        for (at, stdio) in self.streams.iter().enumerate() {
            match &stdio.0 {
                Kind::Piped => {
                    let number = streams.allocate();
                    numbers[at] = Some(number);
                    ends[at] = Some(streams.open(number)?);
                }
                Kind::File(file) => {
                    let number = streams.allocate();
                    numbers[at] = Some(number);
                    streams.open_file(number, file.try_clone()?)?;
                }
                Kind::Path(_) => {}
            }
        }
        let made = self.make(&Streams::Three(numbers), start).inspect_err(|_| {
            // Init has closed what it had opened, but perhaps not got so far.
            for number in numbers.into_iter().flatten() {
                streams.guest_close(number);
            }
        });
        let (process, job) = made?;
        let [stdin, stdout, stderr] = ends;
        let child = Child {
            stdin: stdin.map(|(writer, _)| writer),
            stdout: stdout.map(|(_, reader)| reader),
            stderr: stderr.map(|(_, reader)| reader),
            process,
        };
        Ok((child, job))
    }

    /// Bytes of all arguments and variables, with their ends.
    fn arguments(&self) -> usize {
        let variables = self.env.iter().map(|(name, value)| name.len() + value.len() + 2);
        self.args.iter().map(|arg| arg.len() + 1).chain(variables).sum()
    }

    /// Has init make it.
    fn make(&self, streams: &Streams, start: bool) -> Result<(Process, Arc<Job>), Error> {
        if self.arguments() > ARGUMENTS_MAX {
            // It would be told so after they were sent, if the guest had memory for them.
            return Err(self.failed(Failure { errno: Errno::E2BIG, step: boundary::STEP_EXECUTE, text: None }));
        }
        let terminal = match streams {
            Streams::Terminal(number, _) => Some(*number),
            Streams::Three(_) => None,
        };
        let fill = |message: &mut Message| self.describe(message, streams, start);
        let request = self.control.request(boundary::CREATE, terminal, fill, |failure| self.failed(failure));
        let (job, pid) = request?;
        Ok((Process::new(self.control.clone(), job.clone(), pid), job))
    }

    /// Says in a message what it is.
    fn describe(&self, message: &mut Message, streams: &Streams, start: bool) {
        // First, so that init knows it even if something else is not as it should be.
        if self.power_off {
            message.words(boundary::FIELD_POWEROFF, &[]);
        }
        if start {
            message.words(boundary::FIELD_START, &[]);
        }
        message.text(boundary::FIELD_DIRECTORY, self.dir.as_bytes());
        message.list(boundary::FIELD_ARGUMENTS, self.args.iter().map(|arg| arg.as_bytes()));
        let variables: Vec<_> =
            self.env.iter().map(|(name, value)| [name.as_bytes(), value.as_bytes()].join(&b'=')).collect();
        message.list(boundary::FIELD_ENVIRONMENT, variables.iter().map(Vec::as_slice));
        match streams {
            Streams::Terminal(number, size) => {
                message.words(boundary::FIELD_TERMINAL, &[*number, size.rows.into(), size.columns.into()]);
            }
            Streams::Three(numbers) => {
                for ((descriptor, number), stdio) in (0..).zip(numbers).zip(&self.streams) {
                    match (number, &stdio.0) {
                        (Some(number), _) => message.words(boundary::FIELD_STREAM, &[descriptor, *number]),
                        (None, Kind::Path(path)) => {
                            message.words_and_list(boundary::FIELD_OPEN, &[descriptor], [path.as_bytes()])
                        }
                        (None, _) => message,
                    };
                }
            }
        }
        if let Some(user) = &self.user {
            message.text(boundary::FIELD_USER, user.as_bytes());
        }
        if !self.groups.is_empty() {
            message.list(boundary::FIELD_GROUPS, self.groups.iter().map(|group| group.as_bytes()));
        }
        for (resource, (soft, hard)) in &self.limits {
            let halves = [soft, hard].map(|limit| [*limit as u32, (*limit >> 32) as u32]);
            let [[soft_low, soft_high], [hard_low, hard_high]] = halves;
            let words = [*resource as u32, soft_low, soft_high, hard_low, hard_high];
            message.words(boundary::FIELD_LIMIT, &words);
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        let step = SpawnStep::of(failure.step);
        let subject = failure.text.unwrap_or_else(|| self.args[0].to_string_lossy().into_owned());
        Error::Spawn { step, subject, errno: failure.errno }
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

/// A command whose process is there, and waits to become the program: see [`Command::create`].
///
/// Dropping it kills the process.
pub struct Created {
    command: Command,
    job: Arc<Job>,
    /// Until it is started.
    child: Option<Child>,
}

impl Created {
    /// Its process id in the guest, which it keeps. 0 if the machine went off before it was told.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Executes the program; returns as [`Command::spawn`].
    ///
    /// # Errors
    /// As [`Command::spawn`]. One that was killed meanwhile counts as started, and has ended.
    pub fn start(mut self) -> Result<Child, Error> {
        self.command.control.start(&self.job, |failure| self.command.failed(failure))?;
        match self.child.take() {
            Some(child) => Ok(child),
            None => Err(Error::Off),
        }
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if let Some(child) = self.child.take().filter(|_| matches!(self.job.phase(), Phase::Created { .. })) {
            // If the machine is off, it is gone as well.
            let _ = child.kill();
        }
    }
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created").field("command", &self.command).field("pid", &self.id()).finish()
    }
}
