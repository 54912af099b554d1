//! The table of streams.
//!
//! ```text
//! Streams ── id → Stream ─┬─ to_guest: Pipe ◄── StreamWriter (host)
//!                         ├─ to_host:  Pipe ──► StreamReader (host)
//!                         └─ file: a file of the host in place of both
//! ```
//! A stream leaves the table when the guest closes it; the host's ends keep it alive until they are
//! dropped.
use crate::Interrupt;
use crate::file::{HostFile, Prepared, Waiter};
use crate::pipe::{CAPACITY, Moved, Pipe};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wasmlinux_boundary::{
    IRQ_STREAM, STREAM_AGAIN, STREAM_CLOSED, STREAM_FIRST, STREAM_NONE, STREAM_READ_END, STREAM_READABLE,
    STREAM_ROOM_SHIFT, STREAM_WRITABLE, STREAM_WRITE_END, TERMINAL_LINES, TERMINAL_STREAM,
};

/// Stream numbers are minor numbers of a Linux device: 20 bits. The last are the terminals'.
const STREAM_END: u32 = TERMINAL_STREAM;
const _: () =
    assert!(TERMINAL_STREAM + TERMINAL_LINES <= 1 << 20 && CAPACITY << STREAM_ROOM_SHIFT <= i32::MAX as usize);

#[derive(Default)]
struct Stream {
    to_guest: Pipe,
    to_host: Pipe,
    file: Option<Arc<HostFile>>,
}

impl Stream {
    /// The guest's end is closed.
    fn close_guest(&self) {
        self.to_guest.close_reader();
        self.to_host.close_writer();
    }
}

struct Table {
    streams: BTreeMap<u32, Arc<Stream>>,
    next: u32,
    irq: Option<Arc<dyn Interrupt>>,
    /// Waits for files of the host, if any stream is one that has to be waited for.
    waiter: Option<Arc<Waiter>>,
    off: bool,
}

/// A machine in a process of its own, which has the guest's ends of the streams.
pub trait Apart: Send + Sync {
    /// The stream of this number is this file from now on.
    ///
    /// # Errors
    /// The machine's process has failed or is gone.
    fn open(&self, id: u32, file: Prepared) -> io::Result<()>;
    /// [`Streams::guest_close`]
    fn close(&self, id: u32);
    /// [`Streams::bytes_read`]
    fn bytes_read(&self, id: u32) -> Option<u64>;
    /// [`Streams::processor_time`]
    fn processor_time(&self) -> Option<Duration>;
    /// [`Streams::fail`]
    fn fail(&self, why: String);
}

/// The byte pipes between host and guest, by number.
///
/// The host opens a stream and tells its number to the guest, which opens the device of that minor
/// number. Both directions are bounded: the host's ends block, the guest's functions answer
/// `STREAM_AGAIN` and the interrupt `IRQ_STREAM` tells when that has changed.
///
/// Those of a machine in a process of its own ([`Streams::apart`]) are sockets to that one.
pub struct Streams {
    table: Mutex<Table>,
    apart: Option<Arc<dyn Apart>>,
}

impl Streams {
    /// An empty table.
    pub fn new() -> Arc<Streams> {
        Streams::build(None)
    }

    /// Those of a machine in a process of its own.
    pub fn apart(machine: Arc<dyn Apart>) -> Arc<Streams> {
        Streams::build(Some(machine))
    }

    fn build(apart: Option<Arc<dyn Apart>>) -> Arc<Streams> {
        let table = Table { streams: BTreeMap::new(), next: STREAM_FIRST, irq: None, waiter: None, off: false };
        Arc::new(Streams { table: Mutex::new(table), apart })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: u32) -> Option<Arc<Stream>> {
        self.lock().streams.get(&id).cloned()
    }

    /// Connects the interrupt line; called by the machine when it is switched on.
    pub fn connect(&self, irq: Arc<dyn Interrupt>) {
        self.lock().irq = Some(irq);
        // What was written before now raised nothing.
        self.raise();
    }

    /// What serves a stream on the host's side has failed: the machine ends at once, and this is
    /// why.
    pub fn fail(&self, why: String) {
        if let Some(apart) = &self.apart {
            return apart.fail(why);
        }
        let irq = self.lock().irq.clone();
        if let Some(irq) = irq {
            irq.fail(why);
        }
    }

    /// How long the processor of the machine's guest has run; None while there is none.
    pub fn processor_time(&self) -> Option<Duration> {
        if let Some(apart) = &self.apart {
            return apart.processor_time();
        }
        let irq = self.lock().irq.clone();
        irq?.processor_time()
    }

    fn raise(&self) {
        // Not under the lock: raising may have to wait for the processor.
        let irq = self.lock().irq.clone();
        if let Some(irq) = irq {
            irq.raise(IRQ_STREAM);
        }
    }

    /// Makes a stream and gives the host's ends of it. One that had this number before is closed.
    ///
    /// # Errors
    /// If the host gives no socket to a machine apart.
    pub fn open(self: &Arc<Self>, id: u32) -> io::Result<(StreamWriter, StreamReader)> {
        if let Some(apart) = &self.apart {
            return open_apart(apart, id);
        }
        let stream = Arc::new(Stream::default());
        let mut table = self.lock();
        let before = table.streams.insert(id, stream.clone());
        let off = table.off;
        drop(table);
        if let Some(before) = before {
            before.close_guest();
        }
        Ok(self.ends(stream, off))
    }

    /// Makes the stream of a terminal line that is free: its number and the host's ends. None if
    /// all are in use.
    ///
    /// # Errors
    /// As [`Streams::open`].
    pub fn open_terminal(self: &Arc<Self>) -> io::Result<Option<(u32, StreamWriter, StreamReader)>> {
        let stream = Arc::new(Stream::default());
        let mut table = self.lock();
        let mut lines = TERMINAL_STREAM..TERMINAL_STREAM + TERMINAL_LINES;
        let Some(id) = lines.find(|id| !table.streams.contains_key(id)) else { return Ok(None) };
        table.streams.insert(id, stream.clone());
        let off = table.off;
        drop(table);
        let (writer, reader) = match &self.apart {
            Some(apart) => open_apart(apart, id).inspect_err(|_| drop(self.lock().streams.remove(&id)))?,
            None => self.ends(stream, off),
        };
        Ok(Some((id, writer, reader)))
    }

    /// Makes a stream of a file of this process: what the guest reads and writes is read and
    /// written there at once, with the result that it has here. It is closed when the guest closes
    /// the stream.
    ///
    /// # Errors
    /// If the host gives no thread to wait for it.
    pub fn open_file(self: &Arc<Self>, id: u32, file: OwnedFd) -> io::Result<()> {
        let prepared = Prepared::new(file)?;
        match &self.apart {
            Some(apart) => apart.open(id, prepared),
            None => self.open_prepared(id, prepared),
        }
    }

    /// [`Streams::open_file`] of a file that another process has prepared.
    ///
    /// # Errors
    /// As there.
    pub fn open_prepared(self: &Arc<Self>, id: u32, file: Prepared) -> io::Result<()> {
        let file = Arc::new(HostFile::new(file));
        let stream = Arc::new(Stream { file: Some(file.clone()), ..Stream::default() });
        let mut table = self.lock();
        if table.off {
            return Ok(());
        }
        if file.waits() {
            let waiter = match &table.waiter {
                Some(waiter) => waiter.clone(),
                None => {
                    // It ends with the machine, which may be dropped meanwhile.
                    let streams = Arc::downgrade(self);
                    let raise = move || streams.upgrade().into_iter().for_each(|streams| streams.raise());
                    table.waiter.insert(Waiter::start(raise)?).clone()
                }
            };
            waiter.add(&file)?;
        }
        table.streams.insert(id, stream);
        Ok(())
    }

    /// The guest waits for a file: so does the thread for that.
    fn wait_for(&self, file: &HostFile) {
        let waiter = self.lock().waiter.clone();
        if let Some(waiter) = waiter {
            waiter.wait_for(file);
        }
    }

    /// What a call on a file gave, as the guest has it: its errors are Linux's, the same on both
    /// sides.
    fn file_result(&self, file: &HostFile, result: rustix::io::Result<usize>) -> i32 {
        match result {
            Ok(n) => n as i32,
            Err(rustix::io::Errno::AGAIN) => {
                self.wait_for(file);
                STREAM_AGAIN
            }
            Err(errno) => -errno.raw_os_error(),
        }
    }

    fn ends(self: &Arc<Self>, stream: Arc<Stream>, off: bool) -> (StreamWriter, StreamReader) {
        if off {
            stream.close_guest();
        }
        let writer = StreamWriter(End::Here { stream: stream.clone(), streams: self.clone() });
        (writer, StreamReader(End::Here { stream, streams: self.clone() }))
    }

    /// A number that no stream has, from `STREAM_FIRST` on. It is not handed out again soon.
    pub fn allocate(&self) -> u32 {
        let mut table = self.lock();
        // There are a million numbers, each stream of a machine takes memory: one is free.
        loop {
            let id = table.next;
            table.next = if id + 1 < STREAM_END { id + 1 } else { STREAM_FIRST };
            if !table.streams.contains_key(&id) {
                return id;
            }
        }
    }

    /// The guest reads: bytes, 0 at the end, `STREAM_AGAIN`, `STREAM_NONE`, or a file's error.
    pub fn guest_read(&self, id: u32, buf: &mut [u8]) -> i32 {
        let Some(stream) = self.find(id) else {
            return STREAM_NONE;
        };
        if let Some(file) = &stream.file {
            return self.file_result(file, file.read(limit_mut(buf)));
        }
        match stream.to_guest.guest_read(limit_mut(buf)) {
            Moved::Bytes(n) => n as i32,
            Moved::Again => STREAM_AGAIN,
            Moved::Closed => 0,
        }
    }

    /// The guest writes: bytes taken (0 only of none), `STREAM_AGAIN`, `STREAM_CLOSED`,
    /// `STREAM_NONE`, or a file's error.
    pub fn guest_write(&self, id: u32, buf: &[u8]) -> i32 {
        let Some(stream) = self.find(id) else {
            return STREAM_NONE;
        };
        if buf.is_empty() {
            return 0;
        }
        let buf = &buf[..buf.len().min(i32::MAX as usize)];
        if let Some(file) = &stream.file {
            return self.file_result(file, file.write(buf));
        }
        match stream.to_host.guest_write(buf) {
            Moved::Bytes(n) => n as i32,
            Moved::Again => STREAM_AGAIN,
            Moved::Closed => STREAM_CLOSED,
        }
    }

    /// The guest asks what it could do: a set of `STREAM_READABLE` and so on, or `STREAM_NONE`.
    pub fn guest_poll(&self, id: u32) -> i32 {
        let Some(stream) = self.find(id) else {
            return STREAM_NONE;
        };
        if let Some(file) = &stream.file {
            let (set, wait) = file.poll();
            if wait {
                self.wait_for(file);
            }
            return set as i32;
        }
        let (readable, read_end) = stream.to_guest.guest_readable();
        let (room, write_end) = stream.to_host.guest_writable();
        let flag = |on, bit| if on { bit } else { 0 };
        let set = flag(readable, STREAM_READABLE)
            | flag(read_end, STREAM_READ_END)
            | flag(room > 0, STREAM_WRITABLE)
            | flag(write_end, STREAM_WRITE_END);
        // The room is at most CAPACITY.
        (set | (room as u32) << STREAM_ROOM_SHIFT) as i32
    }

    /// The guest will neither read nor write this stream any more: the host reads the rest and then
    /// the end, and cannot write.
    pub fn guest_close(&self, id: u32) {
        if let Some(apart) = &self.apart {
            self.lock().streams.remove(&id);
            return apart.close(id);
        }
        let mut table = self.lock();
        let stream = table.streams.remove(&id);
        let waiter = table.waiter.clone();
        drop(table);
        if let Some(stream) = stream {
            stream.close_guest();
            if let (Some(file), Some(waiter)) = (&stream.file, waiter) {
                waiter.remove(file);
            }
        }
    }

    /// How many bytes of a stream the guest has read; None if it will read none any more.
    pub fn bytes_read(&self, id: u32) -> Option<u64> {
        self.find(id)?.to_guest.bytes_read()
    }

    /// The machine is off: closes every stream on the guest's side, those opened later too.
    pub fn shut(&self) {
        let mut table = self.lock();
        table.off = true;
        let streams = std::mem::take(&mut table.streams);
        // The machine and its streams hold each other until here.
        table.irq = None;
        let waiter = table.waiter.take();
        drop(table);
        if let Some(waiter) = waiter {
            waiter.end();
        }
        for stream in streams.values() {
            stream.close_guest();
        }
    }
}

/// The result of one call is an i32.
fn limit_mut(buf: &mut [u8]) -> &mut [u8] {
    let len = buf.len().min(i32::MAX as usize);
    &mut buf[..len]
}

/// What the host's ends of a stream hold.
enum End {
    Here {
        stream: Arc<Stream>,
        streams: Arc<Streams>,
    },
    /// Both ends have the same socket.
    Apart {
        socket: Arc<UnixStream>,
        machine: Arc<dyn Apart>,
        id: u32,
        /// Bytes that were written by this end.
        sent: AtomicU64,
    },
}

fn open_apart(machine: &Arc<dyn Apart>, id: u32) -> io::Result<(StreamWriter, StreamReader)> {
    let (ours, theirs) = UnixStream::pair()?;
    machine.open(id, Prepared::pipe(theirs.into()))?;
    let socket = Arc::new(ours);
    let end = || End::Apart { socket: socket.clone(), machine: machine.clone(), id, sent: AtomicU64::new(0) };
    Ok((StreamWriter(end()), StreamReader(end())))
}

/// The host's writing end of a stream. Writing waits for space, and fails with
/// [`io::ErrorKind::BrokenPipe`] when the guest has closed the stream or the machine is off.
/// Dropping it is the end of file for the guest.
pub struct StreamWriter(End);

impl Write for &StreamWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            End::Here { stream, streams } => {
                let (written, wake) = stream.to_guest.host_write(buf);
                if wake {
                    streams.raise();
                }
                written.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
            }
            End::Apart { .. } if buf.is_empty() => Ok(0),
            End::Apart { socket, sent, .. } => match send(socket, buf, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::CONNRESET) => Err(io::ErrorKind::BrokenPipe.into()),
                result => {
                    let count = result?;
                    sent.fetch_add(count as u64, Relaxed);
                    Ok(count)
                }
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for StreamWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StreamWriter {
    /// Whether the guest has read all that was written, or never will.
    pub fn is_read(&self) -> bool {
        match &self.0 {
            End::Here { stream, .. } => stream.to_guest.is_read(),
            // What is on its way there is in no pipe yet.
            End::Apart { machine, id, sent, .. } => {
                machine.bytes_read(*id).is_none_or(|read| read >= sent.load(Relaxed))
            }
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        match &self.0 {
            End::Here { stream, streams } => {
                stream.to_guest.close_writer();
                streams.raise();
            }
            End::Apart { socket, .. } => drop(shutdown(socket, Shutdown::Write)),
        }
    }
}

/// The host's reading end of a stream. Reading waits for bytes; the end comes when the guest has
/// closed the stream or the machine is off, after what was buffered. When it is dropped, the
/// guest's writes fail.
pub struct StreamReader(End);

impl Read for &StreamReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            End::Here { stream, streams } => {
                let (n, wake) = stream.to_host.host_read(buf);
                if wake {
                    streams.raise();
                }
                Ok(n)
            }
            // The other end was closed with bytes in it that nobody has read.
            End::Apart { socket, .. } => match recv(socket, buf, RecvFlags::empty()) {
                Err(rustix::io::Errno::CONNRESET) => Ok(0),
                result => Ok(result?),
            },
        }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        match &self.0 {
            End::Here { stream, streams } => {
                stream.to_host.close_reader();
                streams.raise();
            }
            End::Apart { socket, .. } => drop(shutdown(socket, Shutdown::Read)),
        }
    }
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").finish_non_exhaustive()
    }
}
