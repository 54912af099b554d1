//! Carries the output of a command with a terminal to our terminal. Without one, the command's
//! streams are our own.
use super::complain;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};
use wasmlinux::StreamReader;

/// Bytes carried at once.
const CHUNK: usize = 64 << 10;

/// A standard stream of ours, without the buffers of the standard library.
pub(crate) fn raw(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// A thread that carries bytes.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).stack_size(128 << 10).spawn(body)
}

/// Carries the output of the command's terminal to `to`. The thread ends when that output ends, or
/// `to` takes no more.
pub(crate) fn output(mut from: StreamReader, to: &impl AsFd) -> io::Result<JoinHandle<()>> {
    let to = raw(to);
    spawn("screen", move || {
        let Ok(mut to) = to else { return };
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => match to.write_all(&buffer[..n]) {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::BrokenPipe => return,
                    Err(e) => return complain(&format!("cannot write standard output: {e}")),
                },
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })
}
