//! Messages between two processes of ours, with descriptors: a packet each on a socket pair.
//!
//! What comes from a machine's process is hostile: it is checked as any message is, and a receiver
//! takes as many descriptors as it asked for at most.
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use wasmlinux_boundary::{Message, Received};

/// Bytes of a message, at most: what a socket's buffer takes for certain.
const MESSAGE_MAX: usize = 32 << 10;

/// One end of a socket pair. Dropping it is the end for the other one.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// One question at a time.
    asking: Mutex<()>,
}

impl From<OwnedFd> for Channel {
    /// The end that another process was given.
    fn from(socket: OwnedFd) -> Channel {
        Channel { socket, asking: Mutex::new(()) }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.socket
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Channel {
    /// Both ends.
    ///
    /// # Errors
    /// If the host gives no socket.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((one.into(), other.into()))
    }

    /// How long [`Channel::ask`] waits until the question is sent, and then for an answer.
    ///
    /// # Errors
    /// The host's.
    pub fn set_patience(&self, limit: Duration) -> io::Result<()> {
        set_socket_timeout(&self.socket, Timeout::Send, Some(limit))?;
        Ok(set_socket_timeout(&self.socket, Timeout::Recv, Some(limit))?)
    }

    /// Sends a message. Waits while the other end has too many.
    ///
    /// # Errors
    /// The other end is gone, or the message is longer than 32 KiB.
    pub fn send(&self, message: Message, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = message.finish().map_err(|_| io::ErrorKind::InvalidInput)?;
        if bytes.len() > MESSAGE_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SendFlags::NOSIGNAL;
        loop {
            let sent = match file {
                // A machine's process may not use `sendmsg`, which can name another receiver.
                None => send(&self.socket, &bytes, flags),
                Some(file) => {
                    let mut space = [0; rustix::cmsg_space!(ScmRights(1))];
                    let mut control = SendAncillaryBuffer::new(&mut space);
                    let files = [file];
                    control.push(SendAncillaryMessage::ScmRights(&files));
                    sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, flags)
                }
            };
            match sent {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result.map(drop)?),
            }
        }
    }

    /// The next message and the descriptor that came with it; None when the other end is gone.
    ///
    /// # Errors
    /// What came is no message, or did not come in time.
    pub fn receive(&self) -> io::Result<Option<(Received, Option<OwnedFd>)>> {
        let mut bytes = vec![0; MESSAGE_MAX];
        let mut space = [0; rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = loop {
            match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                result => break result?.bytes,
            }
        };
        let mut file = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                file = files.last();
            }
        }
        if got == 0 {
            return Ok(None);
        }
        Ok(Received::read(&mut &bytes[..got], MESSAGE_MAX as u32)?.map(|message| (message, file)))
    }

    /// Sends a message and waits for the answer to it.
    ///
    /// # Errors
    /// The other end is gone or does not answer. After that no question is answered any more.
    pub fn ask(&self, message: Message, file: Option<BorrowedFd<'_>>) -> io::Result<(Received, Option<OwnedFd>)> {
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self
            .send(message, file)
            .and_then(|()| self.receive())
            .and_then(|answer| answer.ok_or_else(|| io::ErrorKind::BrokenPipe.into()));
        if answer.is_err() {
            // An answer that comes late would be taken for another's.
            self.shut();
        }
        answer
    }

    /// Nothing is sent or received any more; who waits at the other end learns it.
    pub fn shut(&self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::ReadWrite);
    }

    /// Waits until the other end is gone. Nothing must be expected from it.
    pub fn wait_for_end(&self) {
        while matches!(recv(&self.socket, &mut [0; 16], RecvFlags::empty()), Err(rustix::io::Errno::INTR)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn messages_and_descriptors_arrive() {
        let (one, other) = Channel::pair().unwrap();
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut message = Message::new(7, 1);
        message.words(1, &[5]);
        one.send(message, Some(writer.as_fd())).unwrap();
        drop(writer);
        let (message, file) = other.receive().unwrap().unwrap();
        assert_eq!((message.kind, message.words(1)), (7, Ok([5])));
        std::fs::File::from(file.unwrap()).write_all(b"x").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        one.send(Message::new(8, 0), None).unwrap();
        assert!(other.receive().unwrap().unwrap().1.is_none());
        drop(one);
        assert!(other.receive().unwrap().is_none());
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let (one, other) = Channel::pair().unwrap();
        one.set_patience(Duration::from_millis(10)).unwrap();
        assert!(one.ask(Message::new(1, 0), None).is_err());
        assert!(other.receive().unwrap().is_some());
        assert!(other.receive().unwrap().is_none());
    }

    #[test]
    fn who_answers_but_does_not_listen_is_not_waited_for() {
        let (one, other) = Channel::pair().unwrap();
        one.set_patience(Duration::from_millis(10)).unwrap();
        // Answers to questions that it never takes, until no more of these can be sent.
        let asked = (0..100_000).take_while(|_| {
            other.send(Message::new(1, 0), None).unwrap();
            one.ask(Message::new(1, 0), None).is_ok()
        });
        assert!(asked.count() < 100_000);
        assert!(one.ask(Message::new(1, 0), None).is_err());
    }
}
