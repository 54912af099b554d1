//! Messages of the control protocol on the wire: written by [`Message`], read by [`Received`]. What
//! comes in is hostile: every byte of it is checked, and memory is taken for what has come, not for
//! what was announced.
use crate::control::{FIELD_HEADER, FIELD_REQUIRED, HEADER_SIZE, PAYLOAD_MAX};
use std::io::{self, Read};

/// A message that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
    /// The first text that had a zero in it.
    bad: Option<String>,
}

/// Why a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// A text has a zero byte in it.
    ZeroByte(String),
    /// The payload has so many bytes, more than [`PAYLOAD_MAX`].
    TooLong(usize),
}

impl Message {
    /// A message without fields.
    pub fn new(kind: u32, id: u32) -> Message {
        let mut bytes = Vec::with_capacity(256);
        for word in [0, kind, id] {
            bytes.extend(word.to_le_bytes());
        }
        Message { bytes, bad: None }
    }

    /// Adds a field of bytes.
    pub fn bytes(&mut self, tag: u32, value: &[u8]) -> &mut Message {
        let at = self.begin(tag);
        self.bytes.extend(value);
        self.end(at)
    }

    /// Adds a field of words; none for a field that says all by being there.
    pub fn words(&mut self, tag: u32, words: &[u32]) -> &mut Message {
        let at = self.begin(tag);
        self.put_words(words);
        self.end(at)
    }

    /// Adds a field that is a text.
    pub fn text(&mut self, tag: u32, text: &[u8]) -> &mut Message {
        self.words_and_list(tag, &[], [text])
    }

    /// Adds a field that is a list of texts.
    pub fn list<'a>(&mut self, tag: u32, texts: impl IntoIterator<Item = &'a [u8]>) -> &mut Message {
        self.words_and_list(tag, &[], texts)
    }

    /// Adds a field of words and then texts.
    pub fn words_and_list<'a>(
        &mut self,
        tag: u32,
        words: &[u32],
        texts: impl IntoIterator<Item = &'a [u8]>,
    ) -> &mut Message {
        let at = self.begin(tag);
        self.put_words(words);
        for text in texts {
            if text.contains(&0) {
                self.bad.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
            }
            self.bytes.extend(text);
            self.bytes.push(0);
        }
        self.end(at)
    }

    fn put_words(&mut self, words: &[u32]) {
        self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn begin(&mut self, tag: u32) -> usize {
        self.put_words(&[tag, 0]);
        self.bytes.len()
    }

    fn end(&mut self, at: usize) -> &mut Message {
        // A message that is too long for its words is not sent.
        let length = (self.bytes.len() - at) as u32;
        self.bytes[at - 4..at].copy_from_slice(&length.to_le_bytes());
        self
    }

    /// The bytes to be sent.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn finish(mut self) -> Result<Vec<u8>, MessageError> {
        if let Some(text) = self.bad {
            return Err(MessageError::ZeroByte(text));
        }
        let size = self.bytes.len() - HEADER_SIZE as usize;
        if size > PAYLOAD_MAX as usize {
            return Err(MessageError::TooLong(size));
        }
        self.bytes[..4].copy_from_slice(&(size as u32).to_le_bytes());
        Ok(self.bytes)
    }
}

/// A message that came in, of which every field has been found to lie inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its type.
    pub kind: u32,
    /// Whose it is.
    pub id: u32,
    payload: Vec<u8>,
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// What it says.
    pub tag: u32,
    /// Its value.
    pub value: &'a [u8],
}

/// What came in is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// It is longer than this receiver takes, in bytes.
    Length(u32),
    /// A field goes beyond the message's end, or there are less bytes than a field has.
    Field,
    /// A field that must be there is not, or has not its form.
    Missing(u32),
    /// A field that this receiver does not know, and must not skip.
    Unknown(u32),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Malformed::Length(length) => write!(f, "a message of {length} bytes"),
            Malformed::Field => f.write_str("a message whose fields do not fit into it"),
            Malformed::Missing(tag) => write!(f, "a message without a usable field {tag:#x}"),
            Malformed::Unknown(tag) => write!(f, "a message with the unknown field {tag:#x}"),
        }
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for io::Error {
    fn from(error: Malformed) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl Received {
    /// The next message, with a payload of `limit` bytes at most; None at the end of the stream.
    ///
    /// # Errors
    /// The reader's, and [`Malformed`] as one of kind [`io::ErrorKind::InvalidData`].
    pub fn read(reader: &mut impl Read, limit: u32) -> io::Result<Option<Received>> {
        let mut header = [0; HEADER_SIZE as usize];
        match reader.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [length, kind, id] = [0, 4, 8].map(|at| word_at(&header, at).unwrap_or(0));
        if length > limit {
            return Err(Malformed::Length(length).into());
        }
        let mut payload = Vec::with_capacity(length.min(64 << 10) as usize);
        reader.take(length.into()).read_to_end(&mut payload)?;
        if payload.len() < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Received::new(kind, id, payload)?))
    }

    /// A message of this payload.
    ///
    /// # Errors
    /// [`Malformed::Field`]
    pub fn new(kind: u32, id: u32, payload: Vec<u8>) -> Result<Received, Malformed> {
        let mut at = 0;
        while at < payload.len() {
            let length = word_at(&payload, at + 4).ok_or(Malformed::Field)? as usize;
            at = (at + FIELD_HEADER as usize).checked_add(length).ok_or(Malformed::Field)?;
        }
        if at == payload.len() { Ok(Received { kind, id, payload }) } else { Err(Malformed::Field) }
    }

    /// Its fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let mut rest = self.payload.as_slice();
        std::iter::from_fn(move || {
            let (tag, length) = (word_at(rest, 0)?, word_at(rest, 4)? as usize);
            let (value, after) = rest.get(FIELD_HEADER as usize..)?.split_at_checked(length)?;
            rest = after;
            Some(Field { tag, value })
        })
    }

    /// The first field with this tag.
    pub fn field(&self, tag: u32) -> Option<Field<'_>> {
        self.fields().find(|field| field.tag == tag)
    }

    /// The words of a field that must be there with just so many.
    ///
    /// # Errors
    /// [`Malformed::Missing`]
    pub fn words<const N: usize>(&self, tag: u32) -> Result<[u32; N], Malformed> {
        self.field(tag).and_then(Field::words).ok_or(Malformed::Missing(tag))
    }

    /// The text of a field that must be there.
    ///
    /// # Errors
    /// [`Malformed::Missing`]
    pub fn text(&self, tag: u32) -> Result<&[u8], Malformed> {
        self.field(tag).and_then(Field::text).ok_or(Malformed::Missing(tag))
    }

    /// Refuses a message with a field that says it must be known, and is not among these.
    ///
    /// # Errors
    /// [`Malformed::Unknown`]
    pub fn knows(&self, tags: &[u32]) -> Result<(), Malformed> {
        let unknown = |tag: &u32| tag & FIELD_REQUIRED != 0 && !tags.contains(tag);
        self.fields().map(|field| field.tag).find(unknown).map_or(Ok(()), |tag| Err(Malformed::Unknown(tag)))
    }
}

impl<'a> Field<'a> {
    /// Its words, if it has just so many.
    pub fn words<const N: usize>(self) -> Option<[u32; N]> {
        let words = self.value.chunks_exact(4).map(|word| word_at(word, 0).unwrap_or(0));
        (self.value.len() == N * 4).then(|| words.collect::<Vec<_>>()).and_then(|words| words.try_into().ok())
    }

    /// Its text, without the zero.
    pub fn text(self) -> Option<&'a [u8]> {
        self.value.split_last().filter(|(last, text)| **last == 0 && !text.contains(&0)).map(|(_, text)| text)
    }

    /// Its texts, each without its zero; None if the last one does not end.
    pub fn list(self) -> Option<Vec<&'a [u8]>> {
        match self.value.split_last() {
            None => Some(Vec::new()),
            Some((0, texts)) => Some(texts.split(|byte| *byte == 0).collect()),
            Some(_) => None,
        }
    }
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 1 << 16;

    fn sample() -> Message {
        let mut message = Message::new(2, 7);
        message.words(1, &[3, u32::MAX]).text(0x8009, b"/tmp").list(0x8007, [&b"a"[..], b"", b"c d"]);
        message.words(0x8011, &[]).words_and_list(0x800b, &[1], [&b"/dev/null"[..]]).bytes(0x8017, &[0, 1, 2]);
        message
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample().finish().unwrap();
        let twice = [bytes.clone(), bytes].concat();
        let mut reader = twice.as_slice();
        for _ in 0..2 {
            let message = Received::read(&mut reader, LIMIT).unwrap().unwrap();
            assert_eq!((message.kind, message.id, message.fields().count()), (2, 7, 6));
            assert_eq!(message.words(1), Ok([3, u32::MAX]));
            assert_eq!(message.words::<1>(1), Err(Malformed::Missing(1)));
            assert_eq!(message.text(0x8009), Ok(&b"/tmp"[..]));
            assert_eq!(message.text(0x8007), Err(Malformed::Missing(0x8007)), "a list is no text");
            let list = message.field(0x8007).and_then(Field::list);
            assert_eq!(list, Some(vec![&b"a"[..], b"", b"c d"]));
            assert_eq!(message.field(0x8011).and_then(Field::list), Some(vec![]));
            assert_eq!(message.field(5), None);
        }
        assert!(Received::read(&mut reader, LIMIT).unwrap().is_none());
    }

    #[test]
    fn unknown_fields_are_skipped_or_refused() {
        let message = Received::read(&mut sample().finish().unwrap().as_slice(), LIMIT).unwrap().unwrap();
        assert_eq!(message.knows(&[0x8009, 0x8007, 0x8011, 0x800b, 0x8017]), Ok(()));
        assert_eq!(message.knows(&[0x8009, 0x8007, 0x8011, 0x8017]), Err(Malformed::Unknown(0x800b)));
    }

    #[test]
    fn what_cannot_be_sent_is_an_error() {
        let mut message = Message::new(1, 0);
        message.text(4, b"a\0b").list(7, [&b"c\0"[..]]);
        assert_eq!(message.finish(), Err(MessageError::ZeroByte("a\0b".into())));
        let mut message = Message::new(1, 0);
        message.bytes(4, &vec![0; PAYLOAD_MAX as usize]);
        assert_eq!(message.finish(), Err(MessageError::TooLong(PAYLOAD_MAX as usize + 8)));
    }

    /// Everything that can be asked of what came in.
    fn read_all(mut bytes: &[u8]) {
        for _ in 0..bytes.len() {
            let Ok(Some(message)) = Received::read(&mut bytes, LIMIT) else { return };
            let mut size = 0;
            for field in message.fields() {
                size += 8 + field.value.len();
                let _ = (field.text(), field.list(), field.words::<2>(), message.words::<1>(field.tag));
            }
            assert_eq!(size, message.payload.len());
            let _ = message.knows(&[]);
        }
    }

    #[test]
    fn hostile_bytes_are_errors() {
        // xorshift
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let good = sample().finish().unwrap();
        for length in 0..good.len() {
            read_all(&good[..length]);
        }
        for _ in 0..50_000 {
            let mut bytes = if random(4) == 0 { vec![0; random(80)] } else { [good.clone(), good.clone()].concat() };
            let all = bytes.is_empty() || bytes.iter().all(|byte| *byte == 0);
            for _ in 0..if all { bytes.len() } else { 1 + random(4) } {
                let at = random(bytes.len().max(1));
                let odd = [0, 1, 4, 8, 0x7f, 0x80, 0xff, random(256) as u8];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = odd[random(odd.len())];
                }
            }
            bytes.truncate(random(bytes.len() + 1).max(bytes.len() / 2));
            read_all(&bytes);
        }
    }

    #[test]
    fn what_is_announced_takes_no_memory() {
        let header = [u32::MAX.to_le_bytes(), 1_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat();
        let error = Received::read(&mut header.as_slice(), PAYLOAD_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let header = [PAYLOAD_MAX.to_le_bytes(), 1_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat();
        let error = Received::read(&mut header.as_slice(), PAYLOAD_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
