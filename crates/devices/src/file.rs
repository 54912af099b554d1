//! A file of the host as a stream: what the guest reads and writes is read and written there at
//! once, and its result is the guest's. Nothing is read that the guest did not ask for, nothing is
//! kept back, and what two streams write to one file stands in the order in which it was written.
//!
//! The guest's processor must not sleep in a file. Regular files and most devices do not let it;
//! pipes and terminals are opened a second time, as an open file of our own that does not block
//! (the one that was given is shared with others); sockets are told at each call. While the guest
//! waits, the thread of a [`Waiter`] does.
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use wasmlinux_boundary::{STREAM_READ_END, STREAM_READABLE, STREAM_ROOM_SHIFT, STREAM_WRITABLE, STREAM_WRITE_END};

/// What a pipe that polls as writable takes without waiting, in bytes: POSIX's PIPE_BUF on Linux.
const PIPE_BUF: usize = 4096;
/// The room that a file which can be written to is said to have, in bytes.
const ROOM: u32 = 64 << 10;

/// Says in the waiter's events that it is to end.
const END: u64 = 1;

/// Bits of [`HostFile::wanted`].
const READ: u8 = 1;
const WRITE: u8 = 2;

/// How a file is kept from blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It never waits for anybody.
    Immediate,
    /// It is an open file of our own that does not block.
    NonBlocking,
    /// It is a socket, told at each call.
    Socket,
    /// It could not be opened again. Asked before each call: only one who takes the bytes away in
    /// between lets us wait.
    Asked,
}

pub(crate) struct HostFile {
    file: OwnedFd,
    way: Way,
    /// What the guest was told to wait for.
    wanted: AtomicU8,
}

/// A file that can be a stream, in this process or in a machine's own, which can open nothing.
#[derive(Debug)]
pub struct Prepared {
    /// The file.
    pub file: OwnedFd,
    way: Way,
    /// It is the other end of a stream's socket: what a pipe is in one process.
    is_pipe: bool,
}

/// In a code: [`Prepared::is_pipe`].
const PIPE: u32 = 1 << 3;

impl Prepared {
    /// A file of this process.
    ///
    /// # Errors
    /// The host's.
    pub fn new(file: OwnedFd) -> io::Result<Prepared> {
        let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
        let again = match kind {
            FileType::Fifo => true,
            FileType::CharacterDevice => rustix::termios::isatty(&file),
            _ => false,
        };
        let (file, way) = match kind {
            FileType::Socket => (file, Way::Socket),
            _ if again => match reopen(&file) {
                Ok(own) => (own, Way::NonBlocking),
                Err(_) => (file, Way::Asked),
            },
            FileType::RegularFile | FileType::Directory | FileType::CharacterDevice | FileType::BlockDevice => {
                (file, Way::Immediate)
            }
            _ => (file, Way::Asked),
        };
        Ok(Prepared { file, way, is_pipe: false })
    }

    /// The other process's end of a socket whose end here is a stream's.
    pub(crate) fn pipe(socket: OwnedFd) -> Prepared {
        Prepared { file: socket, way: Way::Socket, is_pipe: true }
    }

    /// Whether it is such an end, to be carried into a pipe and out of it: only a pipe knows what
    /// room it has.
    pub fn is_pipe(&self) -> bool {
        self.is_pipe
    }

    /// A number for [`Prepared::from_code`].
    pub fn code(&self) -> u32 {
        self.way as u32 | if self.is_pipe { PIPE } else { 0 }
    }

    /// A file that another process has prepared.
    pub fn from_code(file: OwnedFd, code: u32) -> Prepared {
        let ways = [Way::Immediate, Way::NonBlocking, Way::Socket];
        let way = ways.into_iter().find(|way| *way as u32 == code & !PIPE).unwrap_or(Way::Asked);
        Prepared { file, way, is_pipe: code & PIPE != 0 }
    }
}

impl HostFile {
    pub(crate) fn new(Prepared { file, way, .. }: Prepared) -> HostFile {
        HostFile { file, way, wanted: AtomicU8::new(0) }
    }

    /// Whether the guest may have to wait for it.
    pub(crate) fn waits(&self) -> bool {
        self.way != Way::Immediate
    }

    fn ready(&self, flags: PollFlags) -> PollFlags {
        if self.way == Way::Immediate {
            return flags;
        }
        let mut files = [PollFd::new(&self.file, flags)];
        match retry_on_intr(|| poll(&mut files, 0)) {
            Ok(_) => files[0].revents(),
            // Whoever reads or writes it then hears why.
            Err(_) => flags,
        }
    }

    /// Bytes; 0 at the end. [`Errno::AGAIN`] if there are none now: the waiter is to be woken.
    pub(crate) fn read(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        if self.way == Way::Asked && self.ready(PollFlags::IN).is_empty() {
            return self.again(READ);
        }
        let read = retry_on_intr(|| match self.way {
            Way::Socket => rustix::net::recv(&self.file, &mut *buf, RecvFlags::DONTWAIT),
            _ => rustix::io::read(&self.file, &mut *buf),
        });
        if read == Err(Errno::AGAIN) { self.again(READ) } else { read }
    }

    /// Bytes taken. [`Errno::AGAIN`] if it takes none now: the waiter is to be woken.
    pub(crate) fn write(&self, buf: &[u8]) -> Result<usize, Errno> {
        let mut most = buf.len();
        if self.way == Way::Asked {
            if self.ready(PollFlags::OUT).is_empty() {
                return self.again(WRITE);
            }
            most = most.min(PIPE_BUF);
        }
        let written = retry_on_intr(|| match self.way {
            Way::Socket => rustix::net::send(&self.file, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            _ => rustix::io::write(&self.file, &buf[..most]),
        });
        if written == Err(Errno::AGAIN) { self.again(WRITE) } else { written }
    }

    fn again(&self, what: u8) -> Result<usize, Errno> {
        self.wanted.fetch_or(what, Ordering::SeqCst);
        Err(Errno::AGAIN)
    }

    /// What the guest could do, as `stream_poll` has it; and whether it may have to be told when
    /// there is more.
    pub(crate) fn poll(&self) -> (u32, bool) {
        let events = self.ready(PollFlags::IN | PollFlags::OUT);
        let failed = events.intersects(PollFlags::ERR | PollFlags::NVAL);
        let ended = events.intersects(PollFlags::HUP);
        let readable = events.intersects(PollFlags::IN) || failed || ended;
        let writable = events.intersects(PollFlags::OUT) || failed || ended;
        let flag = |on, bit| if on { bit } else { 0 };
        let set = flag(readable, STREAM_READABLE)
            | flag(ended, STREAM_READ_END)
            | flag(writable, STREAM_WRITABLE | ROOM << STREAM_ROOM_SHIFT)
            | flag(failed, STREAM_WRITE_END);
        let wanted = flag(!readable, u32::from(READ)) | flag(!writable, u32::from(WRITE));
        self.wanted.fetch_or(wanted as u8, Ordering::SeqCst);
        (set, wanted != 0)
    }
}

/// The same pipe or terminal as an open file of our own, which does not block.
fn reopen(file: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let access = rustix::fs::fcntl_getfl(file)? & OFlags::RWMODE;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(path, access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

/// Waits for the files of a machine's streams, on a thread of its own, and calls `raise` when one
/// that the guest waits for is ready.
pub(crate) struct Waiter {
    /// Holds the files, each asked for once at a time.
    epoll: OwnedFd,
    /// Ends the thread.
    end: OwnedFd,
}

impl Waiter {
    /// Starts the thread.
    pub(crate) fn start(raise: impl Fn() + Send + 'static) -> io::Result<Arc<Waiter>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let end = eventfd(0, EventfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &end, epoll::EventData::new_u64(END), epoll::EventFlags::IN)?;
        let waiter = Arc::new(Waiter { epoll, end });
        let thread = waiter.clone();
        std::thread::Builder::new().name("streams".into()).stack_size(128 << 10).spawn(move || thread.run(raise))?;
        Ok(waiter)
    }

    pub(crate) fn add(&self, file: &HostFile) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, &file.file, epoll::EventData::new_u64(0), epoll::EventFlags::ONESHOT)?)
    }

    /// To be called before the file is closed, as others may have the same open file.
    pub(crate) fn remove(&self, file: &HostFile) {
        let _ = epoll::delete(&self.epoll, &file.file);
    }

    /// The guest waits for a file: `raise` is called when it is ready, or at once.
    pub(crate) fn wait_for(&self, file: &HostFile) {
        let wanted = file.wanted.swap(0, Ordering::SeqCst);
        let flag = |bit, flags| if wanted & bit != 0 { flags } else { epoll::EventFlags::empty() };
        let events = flag(READ, epoll::EventFlags::IN) | flag(WRITE, epoll::EventFlags::OUT);
        let data = epoll::EventData::new_u64(0);
        // It was added, and is not removed while a stream has it.
        let _ = epoll::modify(&self.epoll, &file.file, data, events | epoll::EventFlags::ONESHOT);
    }

    pub(crate) fn end(&self) {
        let _ = rustix::io::write(&self.end, &1u64.to_ne_bytes());
    }

    fn run(&self, raise: impl Fn()) {
        let mut events = epoll::EventVec::with_capacity(8);
        while retry_on_intr(|| epoll::wait(&self.epoll, &mut events, -1)).is_ok() {
            if events.iter().any(|event| event.data.u64() == END) {
                return;
            }
            raise();
        }
    }
}
