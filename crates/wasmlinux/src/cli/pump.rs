//! Carries the standard streams of this process to and from the command's.
use super::complain;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};
use wasmlinux::{StreamReader, StreamWriter};

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

/// Carries our standard input to the command. Nobody waits for this thread: it may sleep in a read for ever.
pub(crate) fn stdin(mut to: StreamWriter) -> io::Result<()> {
    let mut from = raw(&io::stdin())?;
    spawn("stdin", move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                // The command has closed its end, or ended.
                Ok(n) if to.write_all(&buffer[..n]).is_err() => return,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return complain(&format!("cannot read standard input: {e}")),
            }
        }
    })
    .map(drop)
}

/// Carries a stream of the command to ours. The thread ends when that stream does, or ours takes no more: then the command's
/// is closed, so that it gets SIGPIPE as it would here.
pub(crate) fn output(name: &'static str, mut from: StreamReader, to: &impl AsFd) -> io::Result<JoinHandle<()>> {
    let mut to = raw(to)?;
    spawn(name, move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => match to.write_all(&buffer[..n]) {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::BrokenPipe => return,
                    Err(e) => {
                        return complain(&format!("cannot write standard {}: {e}", name.trim_start_matches("std")));
                    }
                },
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })
}
