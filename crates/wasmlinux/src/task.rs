//! Host tasks: processes of the guest whose system calls are made from the host.
//!
//! The guest's side is a program that reads a call from its stream, makes it and sends the result
//! back. It has a buffer for what calls read and write; [`Arg`] says which bytes lie in it during a
//! call.
use crate::control::{Control, encode};
use crate::process::{ExitStatus, Process};
use crate::{Errno, Error, StreamReader, StreamWriter};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use wasmlinux_boundary::{self as boundary, Message, Received};

/// System call numbers (those of `asm-generic/unistd.h`, 32 bit) for [`HostTask::syscall`].
#[allow(missing_docs, reason = "Linux's names and numbers")]
pub mod nr {
    pub const MKDIRAT: u32 = 34;
    pub const UMOUNT2: u32 = 39;
    pub const MOUNT: u32 = 40;
    pub const OPENAT: u32 = 56;
    pub const CLOSE: u32 = 57;
    pub const PIPE2: u32 = 59;
    pub const READ: u32 = 63;
    pub const WRITE: u32 = 64;
    pub const WAITID: u32 = 95;
    pub const KILL: u32 = 129;
    pub const UNAME: u32 = 160;
    pub const GETPID: u32 = 172;
}

/// Flags of open and pipe2, from `asm-generic/fcntl.h`.
#[allow(missing_docs, reason = "Linux's names and numbers")]
pub mod flags {
    pub const O_RDONLY: u32 = 0;
    pub const O_WRONLY: u32 = 1;
    pub const O_RDWR: u32 = 2;
    pub const O_CREAT: u32 = 0o100;
    pub const O_EXCL: u32 = 0o200;
    pub const O_TRUNC: u32 = 0o1000;
    pub const O_APPEND: u32 = 0o2000;
    pub const O_NONBLOCK: u32 = 0o4000;
    pub const O_DIRECTORY: u32 = 0o200000;
    pub const O_CLOEXEC: u32 = 0o2000000;
    pub const WNOHANG: u32 = 1;
    pub const WUNTRACED: u32 = 2;
    pub const WEXITED: u32 = 4;
    pub const WCONTINUED: u32 = 8;
}

const O_LARGEFILE: u32 = 0o100000;
/// "Relative to the working directory", for the calls that take a directory.
const AT_FDCWD: u32 = -100_i32 as u32;
/// The longest message of a host task, in bytes: its whole buffer, and what is said beside.
const ANSWER_MAX: u32 = boundary::TASK_BUFFER + 256;
/// In the buffer every argument begins at a multiple of this, for the kernel's widest type.
const ALIGN: usize = 16;

/// An argument of a system call.
#[derive(Debug)]
#[non_exhaustive]
pub enum Arg<'a> {
    /// A number. One of 64 bits is two arguments, the low word first.
    Word(u32),
    /// The address of bytes that the call reads.
    In(&'a [u8]),
    /// The address of bytes that the call writes; zero before.
    Out(&'a mut [u8]),
    /// The address of bytes that the call reads and writes.
    InOut(&'a mut [u8]),
    /// The address of a string, to which the final zero is added.
    Str(&'a str),
}

/// A file descriptor of a host task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fd(pub u32);

impl std::fmt::Display for Fd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom [`HostTask::waitid`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitTarget {
    /// Any child.
    Any,
    /// The child with this process id.
    Pid(u32),
    /// Any child of this process group.
    Group(u32),
}

/// What [`HostTask::waitid`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waited {
    /// The child has ended.
    Ended {
        /// Its process id.
        pid: u32,
        /// How.
        status: ExitStatus,
    },
    /// The child was stopped or traced by a signal, or was continued.
    Changed {
        /// Its process id.
        pid: u32,
        /// CLD_TRAPPED, CLD_STOPPED or CLD_CONTINUED.
        code: u32,
        /// The signal.
        signal: u32,
    },
}

/// A process of the guest that makes the system calls it is asked for.
///
/// It makes one call at a time: a second thread waits while a call blocks. Dropping it ends the
/// process, which closes its descriptors.
pub struct HostTask {
    process: Process,
    /// Address and size of the buffer in the guest.
    address: u32,
    size: usize,
    channel: Mutex<Channel>,
}

struct Channel {
    writer: StreamWriter,
    reader: StreamReader,
}

/// Where the arguments of a call lie in the buffer.
struct Layout {
    words: [u32; 6],
    /// What is sent: the arguments that the call reads.
    send: Vec<u8>,
    /// What comes back begins here, and its length.
    back: (usize, usize),
    /// For each argument that comes back: its index, and where in what comes back.
    places: Vec<(usize, usize)>,
}

impl HostTask {
    pub(crate) fn start(control: &Arc<Control>) -> Result<HostTask, Error> {
        let stream = control.streams().allocate();
        let (writer, mut reader) = control.streams().open(stream)?;
        let fill = |message: &mut Message| {
            message.words(boundary::FIELD_CHANNEL, &[stream]);
        };
        let started = control.request(boundary::TASK, None, fill, |failure| Error::Task(failure.errno));
        let (job, pid) = started.inspect_err(|_| control.streams().guest_close(stream))?;
        let hello = Received::read(&mut reader, ANSWER_MAX)?.ok_or(Error::TaskEnded)?;
        if hello.kind != boundary::TASK_HELLO {
            return Err(Error::Protocol("no greeting from a host task"));
        }
        let place = hello.words(boundary::FIELD_BUFFER);
        let [address, size] = place.map_err(|_| Error::Protocol("a short greeting from a host task"))?;
        let process = Process::new(control.clone(), job, pid);
        Ok(HostTask {
            process,
            address,
            size: size.min(boundary::TASK_BUFFER) as usize,
            channel: Mutex::new(Channel { writer, reader }),
        })
    }

    /// Its process id in the guest.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The most bytes that the arguments of one call may take together; [`HostTask::read`] and
    /// [`HostTask::write`] move at most so many.
    pub fn buffer_size(&self) -> usize {
        self.size
    }

    /// Makes a system call, with up to six arguments, and gives its result. A pointer inside an
    /// argument's bytes is the guest's matter: the kernel answers EFAULT to a wild one.
    ///
    /// # Errors
    /// [`Error::System`] with the guest's reason; [`Error::TooLarge`], [`Error::ZeroByte`],
    /// [`Error::TaskEnded`].
    pub fn syscall(&self, nr: u32, args: &mut [Arg<'_>]) -> Result<u32, Error> {
        self.named("system call", nr, args)
    }

    fn named(&self, call: &'static str, nr: u32, args: &mut [Arg<'_>]) -> Result<u32, Error> {
        if args.len() > 6 {
            return Err(Error::TooLarge { what: "a system call's arguments", size: args.len(), limit: 6 });
        }
        let layout = self.layout(args)?;
        let [a, b, c, d, e, f] = layout.words;
        let mut message = Message::new(boundary::TASK_CALL, 0);
        message
            .words(boundary::FIELD_CALL, &[nr, a, b, c, d, e, f])
            .words(boundary::FIELD_BACK, &[layout.back.0 as u32, layout.back.1 as u32])
            .bytes(boundary::FIELD_DATA, &layout.send);
        let answer = self.exchange(message)?;
        let data = answer.field(boundary::FIELD_DATA).map(|field| field.value);
        let (result, bytes) = match (answer.words(boundary::FIELD_RESULT), data) {
            (Ok([result]), Some(bytes)) if bytes.len() == layout.back.1 => (result as i32, bytes),
            _ => return Err(Error::Protocol("a result of the wrong length from a host task")),
        };
        for (index, start) in layout.places {
            if let Arg::Out(target) | Arg::InOut(target) = &mut args[index] {
                target.copy_from_slice(&bytes[start..start + target.len()]);
            }
        }
        match result {
            -4095..=-1 => Err(Error::System { call, errno: Errno(result.unsigned_abs()) }),
            result => Ok(result as u32),
        }
    }

    /// Sends a call and waits for its result.
    fn exchange(&self, message: Message) -> Result<Received, Error> {
        let bytes = encode(message)?;
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel.writer.write_all(&bytes).map_err(|_| Error::TaskEnded)?;
        match Received::read(&mut channel.reader, ANSWER_MAX) {
            Ok(Some(answer)) if answer.kind == boundary::TASK_RESULT => Ok(answer),
            Ok(Some(_)) => Err(Error::Protocol("an unexpected message from a host task")),
            Ok(None) | Err(_) => Err(Error::TaskEnded),
        }
    }

    /// Places the arguments: first what only goes in, then what goes in and comes back, then what
    /// only comes back, so that both transfers are one piece.
    fn layout(&self, args: &[Arg<'_>]) -> Result<Layout, Error> {
        let mut layout = Layout { words: [0; 6], send: Vec::new(), back: (0, 0), places: Vec::new() };
        let mut end = 0_usize;
        for (index, arg) in args.iter().enumerate() {
            let (bytes, zero): (&[u8], usize) = match arg {
                Arg::Word(word) => {
                    layout.words[index] = *word;
                    continue;
                }
                Arg::In(bytes) => (bytes, 0),
                Arg::Str(text) if text.contains('\0') => return Err(Error::ZeroByte((*text).into())),
                Arg::Str(text) => (text.as_bytes(), 1),
                Arg::Out(_) | Arg::InOut(_) => continue,
            };
            layout.words[index] = self.address.wrapping_add(end as u32);
            layout.send.resize(end, 0);
            layout.send.extend(bytes);
            end = (end + bytes.len() + zero).next_multiple_of(ALIGN);
            layout.send.resize(end, 0);
        }
        layout.back.0 = end;
        for wanted_in in [true, false] {
            for (index, arg) in args.iter().enumerate() {
                let bytes: &[u8] = match arg {
                    Arg::InOut(bytes) if wanted_in => bytes,
                    Arg::Out(bytes) if !wanted_in => bytes,
                    _ => continue,
                };
                layout.words[index] = self.address.wrapping_add(end as u32);
                layout.places.push((index, end - layout.back.0));
                if wanted_in {
                    layout.send.resize(end, 0);
                    layout.send.extend(bytes);
                }
                end += bytes.len();
                layout.back.1 = end - layout.back.0;
                end = end.next_multiple_of(ALIGN);
            }
        }
        if end > self.size {
            return Err(Error::TooLarge { what: "a system call's buffers", size: end, limit: self.size });
        }
        Ok(layout)
    }

    /// pipe2(2): the reading end and the writing end.
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn pipe2(&self, flags: u32) -> Result<(Fd, Fd), Error> {
        let mut ends = [0; 8];
        self.named("pipe2", nr::PIPE2, &mut [Arg::Out(&mut ends), Arg::Word(flags)])?;
        let [r0, r1, r2, r3, w0, w1, w2, w3] = ends;
        Ok((Fd(u32::from_le_bytes([r0, r1, r2, r3])), Fd(u32::from_le_bytes([w0, w1, w2, w3]))))
    }

    /// open(2); see [`flags`] and give permissions (0o644) for a new file.
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn open(&self, path: &str, flags: u32, permissions: u32) -> Result<Fd, Error> {
        let flags = Arg::Word(flags | O_LARGEFILE);
        let mut args = [Arg::Word(AT_FDCWD), Arg::Str(path), flags, Arg::Word(permissions)];
        self.named("open", nr::OPENAT, &mut args).map(Fd)
    }

    /// read(2): bytes read, 0 at the end of the file.
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn read(&self, fd: Fd, buf: &mut [u8]) -> Result<usize, Error> {
        let len = buf.len().min(self.size);
        let mut args = [Arg::Word(fd.0), Arg::Out(&mut buf[..len]), Arg::Word(len as u32)];
        let n = self.named("read", nr::READ, &mut args)? as usize;
        // A number from the guest, and callers will index with it.
        if n <= len { Ok(n) } else { Err(Error::Protocol("more bytes read than asked for")) }
    }

    /// write(2): bytes written, perhaps not all.
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn write(&self, fd: Fd, buf: &[u8]) -> Result<usize, Error> {
        let len = buf.len().min(self.size);
        let mut args = [Arg::Word(fd.0), Arg::In(&buf[..len]), Arg::Word(len as u32)];
        let n = self.named("write", nr::WRITE, &mut args)? as usize;
        if n <= len { Ok(n) } else { Err(Error::Protocol("more bytes written than given")) }
    }

    /// A reader of a descriptor, which stays open.
    pub fn reader(&self, fd: Fd) -> FdReader<'_> {
        FdReader { task: self, fd }
    }

    /// A writer to a descriptor, which stays open.
    pub fn writer(&self, fd: Fd) -> FdWriter<'_> {
        FdWriter { task: self, fd }
    }

    /// close(2)
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn close(&self, fd: Fd) -> Result<(), Error> {
        self.named("close", nr::CLOSE, &mut [Arg::Word(fd.0)]).map(drop)
    }

    /// mkdir(2)
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn mkdir(&self, path: &str, permissions: u32) -> Result<(), Error> {
        let mut args = [Arg::Word(AT_FDCWD), Arg::Str(path), Arg::Word(permissions)];
        self.named("mkdir", nr::MKDIRAT, &mut args).map(drop)
    }

    /// mount(2): what (for example "none"), where, the file system's type, MS_* flags, options
    /// ("size=1m" or "").
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn mount(&self, source: &str, target: &str, kind: &str, flags: u32, options: &str) -> Result<(), Error> {
        let mut args = [Arg::Str(source), Arg::Str(target), Arg::Str(kind), Arg::Word(flags), Arg::Str(options)];
        self.named("mount", nr::MOUNT, &mut args).map(drop)
    }

    /// kill(2): a negative number is a process group.
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn kill(&self, pid: i32, signal: u32) -> Result<(), Error> {
        self.named("kill", nr::KILL, &mut [Arg::Word(pid as u32), Arg::Word(signal)]).map(drop)
    }

    /// waitid(2), for children of this host task; None if WNOHANG is among the [`flags`] and
    /// nothing has happened.
    ///
    /// # Errors
    /// As [`HostTask::syscall`].
    pub fn waitid(&self, target: WaitTarget, flags: u32) -> Result<Option<Waited>, Error> {
        const SIGINFO_SIZE: usize = 128;
        const CLD_EXITED: u32 = 1;
        const CLD_KILLED: u32 = 2;
        const CLD_DUMPED: u32 = 3;
        let (kind, id) = match target {
            WaitTarget::Any => (0, 0),
            WaitTarget::Pid(pid) => (1, pid),
            WaitTarget::Group(group) => (2, group),
        };
        let mut info = [0; SIGINFO_SIZE];
        let mut args = [Arg::Word(kind), Arg::Word(id), Arg::Out(&mut info), Arg::Word(flags), Arg::Word(0)];
        self.named("waitid", nr::WAITID, &mut args)?;
        // siginfo_t: si_signo, si_errno, si_code, then si_pid, si_uid, si_status.
        let word = |at: usize| u32::from_le_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        let (code, pid, status) = (word(8), word(12), word(20));
        Ok(match code {
            _ if pid == 0 => None,
            CLD_EXITED => Some(Waited::Ended { pid, status: ExitStatus::from_raw((status & 0xff) << 8) }),
            CLD_KILLED | CLD_DUMPED => Some(Waited::Ended { pid, status: ExitStatus::from_raw(status & 0x7f) }),
            code => Some(Waited::Changed { pid, code, signal: status }),
        })
    }
}

impl std::fmt::Debug for HostTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostTask").field("process", &self.process).finish_non_exhaustive()
    }
}

/// Reads from a descriptor of a [`HostTask`].
#[derive(Debug)]
pub struct FdReader<'a> {
    task: &'a HostTask,
    fd: Fd,
}

impl Read for FdReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.task.read(self.fd, buf)?)
    }
}

/// Writes to a descriptor of a [`HostTask`].
#[derive(Debug)]
pub struct FdWriter<'a> {
    task: &'a HostTask,
    fd: Fd,
}

impl Write for FdWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.task.write(self.fd, buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
