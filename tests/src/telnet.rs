//! A telnet client (RFC 854), with a window size (RFC 1073).
use crate::LIMIT;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const NAWS: u8 = 31;

/// A connection to a telnet server.
pub struct Telnet {
    stream: TcpStream,
    size: (u16, u16),
    /// Commands that are not complete yet.
    pending: Vec<u8>,
    screen: Vec<u8>,
}

impl Telnet {
    /// Connects, with a window of so many rows and columns.
    #[track_caller]
    pub fn connect(at: SocketAddr, rows: u16, columns: u16) -> Telnet {
        let stream = TcpStream::connect(at).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        Telnet { stream, size: (rows, columns), pending: vec![], screen: vec![] }
    }

    /// Types this.
    #[track_caller]
    pub fn type_in(&mut self, keys: &str) {
        // As the network virtual terminal has it, Return is followed by a zero.
        self.stream.write_all(keys.replace('\r', "\r\0").as_bytes()).expect("typing");
    }

    /// Waits until `text` is shown, and returns what was shown before it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.screen.windows(text.len()).position(|part| part == text.as_bytes()) {
                let before = String::from_utf8_lossy(&self.screen[..at]).into_owned();
                self.screen.drain(..at + text.len());
                return before;
            }
            assert!(self.more(), "{text:?} is not shown, but {:?}", String::from_utf8_lossy(&self.screen));
        }
    }

    /// Waits for the end of the connection.
    #[track_caller]
    pub fn end(mut self) {
        while self.more() {}
    }

    /// Gives the window another size.
    #[track_caller]
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.size = (rows, columns);
        self.tell_size();
    }

    fn tell_size(&mut self) {
        let ((rows, columns), mut message) = (self.size, vec![IAC, SB, NAWS]);
        for byte in [columns.to_be_bytes(), rows.to_be_bytes()].concat() {
            message.push(byte);
            if byte == IAC {
                message.push(byte);
            }
        }
        message.extend([IAC, SE]);
        self.stream.write_all(&message).expect("telling the size");
    }

    /// Reads something; false at the end.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let len = self.stream.read(&mut piece).expect("reading");
        let mut bytes = std::mem::take(&mut self.pending);
        bytes.extend(&piece[..len]);
        let mut rest = bytes.as_slice();
        loop {
            rest = match rest {
                [IAC, IAC, rest @ ..] => {
                    self.screen.push(IAC);
                    rest
                }
                [IAC, what @ (DO | DONT | WILL | WONT), option, rest @ ..] => {
                    self.negotiate(*what, *option);
                    rest
                }
                [IAC] | [IAC, _] => break,
                [IAC, _, rest @ ..] => rest,
                // A carriage return alone is followed by a zero.
                [0, rest @ ..] => rest,
                [byte, rest @ ..] => {
                    self.screen.push(*byte);
                    rest
                }
                [] => break,
            };
        }
        self.pending = rest.to_vec();
        len > 0
    }

    fn negotiate(&mut self, what: u8, option: u8) {
        let answer = match (what, option) {
            (DO, NAWS) => WILL,
            (DO, _) => WONT,
            (WILL, ECHO | SUPPRESS_GO_AHEAD) => DO,
            (WILL, _) => DONT,
            _ => return,
        };
        self.stream.write_all(&[IAC, answer, option]).expect("negotiating");
        if answer == WILL {
            self.tell_size();
        }
    }
}
