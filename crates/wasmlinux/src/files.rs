//! Files that are put into the guest at boot: what they cost, and how they get there.
//!
//! They are sent to `/init` over a stream of their own while the machine boots, and what it cannot
//! make it tells, with the reason: no file is lost in silence, and none has to be in memory twice.
use crate::machine::MEMORY_MIN;
use crate::{Errno, Error};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use wasmlinux_boundary as boundary;
use wasmlinux_devices::{StreamReader, StreamWriter, Streams};
use wasmlinux_image::tree::{self, Content, Entry, Tree, mode};

/// Bytes sent at once.
const PIECE: usize = 64 << 10;
/// A page of the guest, which is the least that a file with content takes.
const PAGE: u64 = boundary::WASM_PAGE as u64;
/// What a short target of a link takes is counted with its inode.
const SHORT_TARGET: usize = 128;

/// Files that take no more fit into any machine, in bytes.
const SMALL: u64 = 4 << 20;
/// What programs need beside what they use, as they need it in one piece, in bytes.
const FRAGMENTS: u64 = 8 << 20;

/// What a tree takes of the guest's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Files, folders and links.
    pub(crate) count: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

impl Cost {
    pub(crate) fn of(tree: &Tree) -> Cost {
        let mut cost = Cost::default();
        for entry in tree.entries() {
            let pages = match &entry.content {
                Content::Bytes(bytes) => (bytes.len() as u64).div_ceil(PAGE),
                Content::Host(_, length) => length.div_ceil(PAGE),
                Content::Target(target) => u64::from(target.len() >= SHORT_TARGET),
                Content::Filled => continue,
                Content::Nothing | Content::Same(_) | Content::Device(..) => 0,
            };
            cost.count += 1;
            cost.memory += pages * PAGE + u64::from(boundary::FILES_INODE_COST);
        }
        cost
    }

    /// Memory of a machine in which these files leave enough for programs, in bytes.
    pub(crate) fn needs(self) -> u64 {
        if self.memory <= SMALL {
            return MEMORY_MIN;
        }
        let beside = u64::from(boundary::FILES_KERNEL + boundary::FILES_RESERVE);
        let all = self.memory + beside + FRAGMENTS;
        // The kernel describes each page of memory.
        (all + all / u64::from(boundary::FILES_PAGE_SHARE)).next_multiple_of(1 << 20)
    }
}

/// The files are on their way.
pub(crate) struct Sending {
    thread: JoinHandle<Result<(), Error>>,
    sent: Arc<AtomicU64>,
}

impl Sending {
    /// Opens the stream, which the guest looks for at once, and begins to send.
    pub(crate) fn start(streams: &Arc<Streams>, tree: Tree) -> io::Result<Sending> {
        let (writer, reader) = streams.open(boundary::STREAM_FILES);
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let thread = std::thread::Builder::new()
            .name("files".into())
            .stack_size(256 << 10)
            .spawn(move || send(&tree, Counted { writer, counter }, reader))?;
        Ok(Sending { thread, sent })
    }

    /// Bytes that the guest has been sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How it ended. To be called when the guest is up, or off.
    pub(crate) fn end(self) -> Result<(), Error> {
        self.thread.join().unwrap_or(Err(Error::Off))
    }
}

struct Counted {
    writer: StreamWriter,
    counter: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.writer.write(buf)?;
        self.counter.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Sends the tree and waits for the answer.
fn send(tree: &Tree, writer: Counted, mut reader: StreamReader) -> Result<(), Error> {
    let mut writer = BufWriter::with_capacity(PIECE, writer);
    let sent = tree.entries().iter().try_for_each(|entry| send_entry(&mut writer, entry));
    let sent = sent.and_then(|()| Ok(header(&mut writer, boundary::FILES_END, 0, None, [0; 3])?));
    match sent.and_then(|()| Ok(writer.flush()?)) {
        // The guest hangs up when it cannot go on, and tells why.
        Ok(()) | Err(Error::Io(_)) => {}
        Err(error) => return Err(error),
    }
    let mut head = [0; 8];
    reader.read_exact(&mut head).map_err(|_| Error::Off)?;
    let [errno, length] = [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    if errno == 0 {
        return Ok(());
    }
    let mut path = Vec::new();
    reader.take(length.into()).read_to_end(&mut path).map_err(|_| Error::Off)?;
    Err(Error::NotMade { path: String::from_utf8_lossy(&path).into_owned(), errno: Errno(errno) })
}

fn header(to: &mut impl Write, kind: u32, mode: u32, time: Option<tree::Time>, sizes: [u32; 3]) -> io::Result<()> {
    let (seconds, nanoseconds) = time.map_or((0, boundary::FILES_NO_TIME), |time| (time.seconds, time.nanoseconds));
    let words = [kind, mode, seconds as u32, (seconds >> 32) as u32, nanoseconds, sizes[0], sizes[1], sizes[2]];
    words.iter().try_for_each(|word| to.write_all(&word.to_le_bytes()))
}

fn send_entry(to: &mut impl Write, entry: &Entry) -> Result<(), Error> {
    let (kind, first, second) = match &entry.content {
        Content::Nothing if entry.mode & mode::TYPE == mode::DIR => (boundary::FILES_FOLDER, 0, 0),
        Content::Nothing => (boundary::FILES_NODE, 0, 0),
        Content::Device(major, minor) => (boundary::FILES_NODE, *major, *minor),
        Content::Bytes(_) | Content::Host(..) => (boundary::FILES_FILE, 0, 0),
        // Paths are bounded when a tree is collected.
        Content::Target(target) => (boundary::FILES_SYMLINK, target.len() as u32, 0),
        Content::Same(first) => (boundary::FILES_LINK, first.len() as u32 + 1, 0),
        Content::Filled => (boundary::FILES_TIME, 0, 0),
    };
    header(to, kind, entry.mode, entry.time, [entry.path.len() as u32, first, second])?;
    to.write_all(&entry.path)?;
    match &entry.content {
        Content::Target(target) => to.write_all(target)?,
        Content::Same(first) => {
            to.write_all(b"/")?;
            to.write_all(first)?;
        }
        Content::Bytes(bytes) => {
            bytes.chunks(PIECE).try_for_each(|piece| send_piece(to, piece))?;
            send_piece(to, &[])?;
        }
        Content::Host(path, _) => send_host(to, path)?,
        Content::Nothing | Content::Device(..) | Content::Filled => {}
    }
    Ok(())
}

/// A length, and so many bytes; none at the end.
fn send_piece(to: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    to.write_all(&(piece.len() as u32).to_le_bytes())?;
    to.write_all(piece)
}

/// A file of the host, as long as it is now.
fn send_host(to: &mut impl Write, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Add(tree::Error::Host { path: path.to_owned(), source });
    let mut file = File::open(path).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            // The piece without bytes is the end.
            Ok(0) => return Ok(send_piece(to, &[])?),
            Ok(n) => send_piece(to, &piece[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        }
    }
}
