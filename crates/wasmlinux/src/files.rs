//! Files that are put into the guest, at boot or later: what they cost, and how they get there.
//!
//! They are sent to `/init`, or to a process that it starts, over a stream of their own, and what
//! cannot be made is told, with the reason: no file is lost in silence, and none has to be in
//! memory twice.
use crate::Error;
use crate::control::{Control, Failure, encode};
use crate::machine::MEMORY_MIN;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use wasmlinux_boundary::{self as boundary, Message, Received};
use wasmlinux_devices::{StreamReader, StreamWriter, Streams};
use wasmlinux_image::tree::{self, Content, Entry, Tree, mode};

/// Bytes sent at once.
const PIECE: usize = boundary::FILES_PIECE as usize;
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
    /// Files, directories and links.
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
        let (writer, reader) = streams.open(boundary::STREAM_FILES)?;
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

/// Puts files into a guest that is up, by a process of their own there.
pub(crate) fn put(control: &Arc<Control>, tree: &Tree) -> Result<(), Error> {
    let streams = control.streams();
    let stream = streams.allocate();
    let (writer, reader) = streams.open(stream)?;
    let fill = |message: &mut Message| {
        message.words(boundary::FIELD_CHANNEL, &[stream]);
    };
    let started = control.request(boundary::FILES_IN, None, fill, not_made);
    started.inspect_err(|_| streams.guest_close(stream))?;
    send(tree, writer, reader)
}

fn not_made(failure: Failure) -> Error {
    match failure.text {
        Some(path) => Error::NotMade { path, errno: failure.errno },
        None => Error::Protocol("files that the guest does not understand"),
    }
}

/// Sends the tree and waits for the answer.
fn send(tree: &Tree, writer: impl Write, mut reader: StreamReader) -> Result<(), Error> {
    let mut writer = BufWriter::with_capacity(PIECE, writer);
    let sent = tree.entries().iter().try_for_each(|entry| send_entry(&mut writer, entry));
    let sent = sent.and_then(|()| send_message(&mut writer, Message::new(boundary::FILES_END, 0)));
    match sent.and_then(|()| Ok(writer.flush()?)) {
        // The guest hangs up when it cannot go on, and tells why.
        Ok(()) | Err(Error::Io(_)) => {}
        Err(error) => return Err(error),
    }
    match Received::read(&mut reader, boundary::FILES_PAYLOAD) {
        Ok(Some(answer)) if answer.kind == boundary::FILES_MADE => Ok(()),
        Ok(Some(answer)) if answer.kind == boundary::FAILED => Err(not_made(Failure::of(&answer))),
        Ok(Some(_)) => Err(Error::Protocol("an unexpected answer to files")),
        Ok(None) | Err(_) => Err(Error::Off),
    }
}

fn send_message(to: &mut impl Write, message: Message) -> Result<(), Error> {
    Ok(to.write_all(&encode(message)?)?)
}

fn send_entry(to: &mut impl Write, entry: &Entry) -> Result<(), Error> {
    let kind = match &entry.content {
        Content::Nothing if entry.mode & mode::TYPE == mode::DIR => boundary::FILE_DIRECTORY,
        Content::Nothing | Content::Device(..) => boundary::FILE_NODE,
        Content::Bytes(_) | Content::Host(..) => boundary::FILE_REGULAR,
        Content::Target(_) => boundary::FILE_SYMLINK,
        Content::Same(_) => boundary::FILE_LINK,
        Content::Filled => boundary::FILE_FILLED,
    };
    let absolute = |path: &[u8]| [b"/", path].concat();
    let mut message = Message::new(kind, 0);
    message.text(boundary::FIELD_NAME, &absolute(&entry.path)).words(boundary::FIELD_MODE, &[entry.mode]);
    if let Some(time) = entry.time {
        let words = [time.seconds as u32, (time.seconds >> 32) as u32, time.nanoseconds];
        message.words(boundary::FIELD_TIME, &words);
    }
    match &entry.content {
        Content::Target(target) => message.text(boundary::FIELD_TARGET, target),
        Content::Same(first) => message.text(boundary::FIELD_TARGET, &absolute(first)),
        Content::Device(major, minor) => message.words(boundary::FIELD_DEVICE, &[*major, *minor]),
        Content::Nothing if kind == boundary::FILE_NODE => message.words(boundary::FIELD_DEVICE, &[0, 0]),
        _ => &mut message,
    };
    send_message(to, message)?;
    match &entry.content {
        Content::Bytes(bytes) => {
            bytes.chunks(PIECE).try_for_each(|piece| send_piece(to, piece))?;
            send_piece(to, &[])?;
        }
        Content::Host(path, _) => send_host(to, path)?,
        _ => {}
    }
    Ok(())
}

/// A piece of a file; one without bytes is the end.
fn send_piece(to: &mut impl Write, piece: &[u8]) -> Result<(), Error> {
    let mut message = Message::new(boundary::FILE_CONTENT, 0);
    message.bytes(boundary::FIELD_DATA, piece);
    send_message(to, message)
}

/// A file of the host, as long as it is now.
fn send_host(to: &mut impl Write, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Add(tree::Error::Host { path: path.to_owned(), source });
    let mut file = File::open(path).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            // The piece without bytes is the end.
            Ok(0) => return send_piece(to, &[]),
            Ok(n) => send_piece(to, &piece[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        }
    }
}
