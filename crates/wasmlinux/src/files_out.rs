//! Files that come out of the guest. What a guest says of them is hostile: here it is only told on,
//! and nothing is made of it.
use crate::control::{Control, Failure};
use crate::{Errno, Error, StreamReader};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wasmlinux_boundary::{self as boundary, Field, Message, Received};

/// What a file of the guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A file with content, which [`Files`] reads.
    Regular,
    /// A directory; what is in it follows.
    Directory,
    /// A symbolic link, and where it leads.
    Symlink(OsString),
    /// A device or pipe, which the type bits of [`GuestFile::mode`] tell, with its major and minor
    /// number.
    Node(u32, u32),
}

/// A file, directory or link of the guest, as the guest tells it: a path may be anything, `..` too.
/// Whoever makes files of the host by it has to see to that.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestFile {
    /// Its path, which begins with the one that was asked for.
    pub path: OsString,
    /// What it is.
    pub kind: FileKind,
    /// Permissions, with the type's bits.
    pub mode: u32,
    /// Number of the user to whom it belongs.
    pub user: u32,
    /// Number of its group.
    pub group: u32,
    /// When it was changed; the beginning of 1970 if this host cannot say it.
    pub modified: SystemTime,
}

/// Files of the guest that are read one after the other: [`Files::next_file`] goes on to the next
/// one, reading gives its content. Two names of one file are two files; sockets are left out.
/// Dropping it ends the reading.
#[derive(Debug)]
pub struct Files {
    reader: StreamReader,
    path: String,
    /// Bytes of a piece, and how many have been read.
    piece: Vec<u8>,
    at: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next message is about another file.
    Between,
    /// It is a piece of this one.
    Inside,
    /// There is none.
    Over,
}

impl Files {
    pub(crate) fn open(control: &Arc<Control>, path: &OsStr, follow: bool) -> Result<Files, Error> {
        let streams = control.streams();
        let stream = streams.allocate();
        let (_, reader) = streams.open(stream)?;
        let name = path.to_string_lossy().into_owned();
        let fill = |message: &mut Message| {
            message.words(boundary::FIELD_CHANNEL, &[stream]).text(boundary::FIELD_PATH, path.as_bytes());
            if follow {
                message.words(boundary::FIELD_FOLLOW, &[]);
            }
        };
        let failed = |failure: Failure| Error::Read { path: name.clone(), errno: failure.errno };
        control.request(boundary::FILES_OUT, None, fill, failed).inspect_err(|_| streams.guest_close(stream))?;
        Ok(Files { reader, path: name, piece: Vec::new(), at: 0, state: State::Between })
    }

    /// The next file; None after the last. What has not been read of the one before is passed over.
    ///
    /// # Errors
    /// [`Error::Read`] if the guest could not read one: it is the last then. [`Error::Off`],
    /// [`Error::Protocol`].
    pub fn next_file(&mut self) -> Result<Option<GuestFile>, Error> {
        while self.state == State::Inside {
            self.next_piece()?;
        }
        if self.state == State::Over {
            return Ok(None);
        }
        let message = self.message()?;
        if message.kind == boundary::FILES_END {
            self.state = State::Over;
            return Ok(None);
        }
        let file = file(&message).ok_or(Error::Protocol("a file that is none"));
        self.state = match &file {
            Ok(file) if file.kind == FileKind::Regular => State::Inside,
            Ok(_) => State::Between,
            Err(_) => State::Over,
        };
        file.map(Some)
    }

    fn message(&mut self) -> Result<Received, Error> {
        let over = |this: &mut Files, error| {
            this.state = State::Over;
            Err(error)
        };
        match Received::read(&mut self.reader, boundary::FILES_PAYLOAD) {
            Ok(Some(message)) if message.kind == boundary::FAILED => {
                let Failure { errno, text, .. } = Failure::of(&message);
                let path = text.unwrap_or_else(|| self.path.clone());
                over(self, Error::Read { path, errno })
            }
            Ok(Some(message)) => Ok(message),
            // The process that sends them has been ended, or the machine.
            Ok(None) => over(self, Error::Read { path: self.path.clone(), errno: Errno::EIO }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                over(self, Error::Protocol("files that are none"))
            }
            Err(error) => over(self, Error::Io(error)),
        }
    }

    fn next_piece(&mut self) -> Result<(), Error> {
        let message = self.message()?;
        if message.kind != boundary::FILE_CONTENT {
            self.state = State::Over;
            return Err(Error::Protocol("a file without an end"));
        }
        self.piece = message.field(boundary::FIELD_DATA).map_or(vec![], |field| field.value.to_vec());
        self.at = 0;
        if self.piece.is_empty() {
            self.state = State::Between;
        }
        Ok(())
    }
}

impl Read for Files {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if self.state != State::Inside {
                return Ok(0);
            }
            self.next_piece()?;
        }
        let n = buf.len().min(self.piece.len() - self.at);
        buf[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn file(message: &Received) -> Option<GuestFile> {
    let text = |tag| message.text(tag).ok().map(|text| OsString::from_vec(text.to_vec()));
    let kind = match message.kind {
        boundary::FILE_REGULAR => FileKind::Regular,
        boundary::FILE_DIRECTORY => FileKind::Directory,
        boundary::FILE_SYMLINK => FileKind::Symlink(text(boundary::FIELD_TARGET)?),
        boundary::FILE_NODE => {
            let [major, minor] = message.words(boundary::FIELD_DEVICE).ok()?;
            FileKind::Node(major, minor)
        }
        _ => return None,
    };
    let [mode] = message.words(boundary::FIELD_MODE).ok()?;
    let [user, group] = message.words(boundary::FIELD_OWNER).ok()?;
    let modified = message.field(boundary::FIELD_TIME).and_then(Field::words).and_then(time);
    let path = text(boundary::FIELD_NAME)?;
    Some(GuestFile { path, kind, mode, user, group, modified: modified.unwrap_or(SystemTime::UNIX_EPOCH) })
}

fn time([low, high, nanoseconds]: [u32; 3]) -> Option<SystemTime> {
    let seconds = (u64::from(high) << 32 | u64::from(low)) as i64;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = match seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    second?.checked_add(Duration::from_nanos(nanoseconds.into()))
}
