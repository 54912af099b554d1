//! Text that the guest has made, or that names something of its making, before a person reads it.
use std::any::Any;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};

/// The text as one line that a terminal shows and does not obey: whatever controls it (also C1, and
/// what turns the direction of writing) becomes `\n`, `\u{1b}` and so on.
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => line.push_str("\\t"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            c if is_control(c) => line.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => line.push(c),
        }
    }
    line
}

/// Writes what a terminal shows and does not obey: as [`printable`], but lines and tabs stay what
/// they are, and bytes that are no text become `\xff` and so on. What is written may come in pieces
/// of any length; the beginning of a character waits for its end.
pub struct Printable<W> {
    to: W,
    rest: Vec<u8>,
}

impl<W: Write> Printable<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Printable<W> {
        Printable { to, rest: Vec::new() }
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend(bytes);
        let now = self.rest.len() - unfinished(&self.rest);
        let text = lines(&self.rest[..now]);
        self.rest.drain(..now);
        self.to.write_all(text.as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// How many bytes at the end may mean something else when more come.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    let begins =
        |tail: &[u8]| std::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none());
    (1..=bytes.len().min(3)).find(|n| begins(&bytes[bytes.len() - n..])).unwrap_or(0)
}

fn lines(bytes: &[u8]) -> String {
    let mut lines = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for piece in chunk.valid().split_inclusive(['\n', '\t']) {
            let text = piece.strip_suffix("\r\n").or_else(|| piece.strip_suffix(['\n', '\t'])).unwrap_or(piece);
            let end = &piece[text.len()..];
            lines.push_str(&printable(text));
            lines.push_str(end);
        }
        for byte in chunk.invalid() {
            lines.push_str(&format!("\\x{byte:02x}"));
        }
    }
    lines
}

/// Unicode's categories Cc and, of Cf, what turns the direction.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A panic of the machine's own code, with its message: a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic(pub String);

impl Panic {
    /// From what `catch_unwind` has caught.
    pub fn caught(panic: &(dyn Any + Send)) -> Panic {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Panic(text.unwrap_or("a panic without a message").into())
    }
}

impl Display for Panic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a bug in the machine: {}", self.0)
    }
}

impl Error for Panic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        assert_eq!(printable("plain, größer"), "plain, größer");
        assert_eq!(
            printable("a\u{1b}]0;title\u{7}\r\n\u{9b}2J\u{202e}"),
            "a\\u{1b}]0;title\\u{7}\\r\\n\\u{9b}2J\\u{202e}"
        );
        assert_eq!(lines(b"one\n\ttwo\x1b[31m\r\nover\rthree"), "one\n\ttwo\\u{1b}[31m\r\nover\\rthree");
        assert_eq!(lines(b"\xff\x9b1m \xc3"), "\\xff\\x9b1m \\xc3");
    }

    #[test]
    fn pieces_are_as_good_as_the_whole() {
        let text = "größer €\u{10348} \x1b[2J\r\nnext\n".as_bytes();
        for length in 1..text.len() {
            let mut out = Printable::new(Vec::new());
            text.chunks(length).for_each(|piece| out.write_all(piece).unwrap());
            assert_eq!(String::from_utf8(out.to).unwrap(), "größer €\u{10348} \\u{1b}[2J\r\nnext\n");
        }
    }
}
