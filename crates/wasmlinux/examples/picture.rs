//! A person at a terminal, by the library: boots a machine, types a session, and draws what the
//! terminal shows as an SVG.
//!
//! ```text
//! cargo xtask picture
//! cargo run --release --example picture -- docs/session.svg
//! ```
use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
use wasmlinux::{Machine, TerminalSize};

const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 88 };
/// What is typed, line by line, each once the shell has its prompt.
const SESSION: [&str; 7] = [
    "uname -srm; tty; stty size",
    "ps -o pid,ppid,tty,comm | head -n 6",
    "ls --color=always /",
    "seq 3 | while read n; do echo \"line $n of $((n * n))\"; done | tac",
    "sleep 100 & jobs; kill %1; wait %1; echo \"status $?\"",
    "printf 'Gr\u{fc}\u{df}e, \\033[1;32mgr\u{fc}n\\033[0m\\n'",
    "free -m | head -n 2",
];
const PROMPT: &str = "# ";
/// How long the guest may say nothing before the session counts as failed.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("name the file: picture FILE.svg")?;
    let machine = Machine::builder().init("/sbin/init").boot()?;
    let mut shell = machine.command("sh").arg("-l").current_dir("/root").env("TERM", "xterm").terminal(SIZE).spawn()?;
    let (mut keys, mut shown) = (shell.stdin.take().ok_or("no keys")?, shell.stdout.take().ok_or("no screen")?);
    let (sender, pieces) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 4096];
        while let Ok(n) = shown.read(&mut buffer) {
            if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut screen = Screen::new();
    screen.wait_for_prompt(&pieces)?;
    for line in SESSION {
        keys.write_all(line.as_bytes())?;
        keys.write_all(b"\r")?;
        screen.wait_for_prompt(&pieces)?;
    }
    std::fs::write(&path, screen.svg()?)?;
    machine.shutdown()?;
    Ok(())
}

/// One character as it is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell {
    text: char,
    color: usize,
    bold: bool,
}

/// The part of a terminal that the session needs: lines, colours, and the ends of lines erased.
struct Screen {
    lines: Vec<Vec<Cell>>,
    column: usize,
    pen: Cell,
    /// Bytes that are no whole character or sequence yet.
    rest: Vec<u8>,
}

/// Colours 0 to 7 and the text's own.
const COLORS: [&str; 9] =
    ["#3b4252", "#bf616a", "#a3be8c", "#ebcb8b", "#81a1c1", "#b48ead", "#88c0d0", "#e5e9f0", "#d8dee9"];
const BACKGROUND: &str = "#2e3440";
const PLAIN: usize = 8;
/// Of a character, in pixels.
const WIDTH: usize = 9;
const HEIGHT: usize = 19;
const MARGIN: usize = 12;

impl Screen {
    fn new() -> Screen {
        let pen = Cell { text: ' ', color: PLAIN, bold: false };
        Screen { lines: vec![vec![]], column: 0, pen, rest: vec![] }
    }

    fn wait_for_prompt(&mut self, pieces: &Receiver<Vec<u8>>) -> Result<(), Box<dyn Error>> {
        // The prompt is the last that is shown, and a program may stop for a moment behind
        // something like it.
        let quiet = Duration::from_millis(300);
        loop {
            let at_prompt = self.text().ends_with(PROMPT);
            match pieces.recv_timeout(if at_prompt { quiet } else { LIMIT }) {
                Ok(piece) => self.show(&piece),
                Err(RecvTimeoutError::Timeout) if at_prompt => return Ok(()),
                Err(error) => return Err(format!("no prompt ({error}) after: {}", self.text()).into()),
            }
        }
    }

    /// The line that is written to.
    fn text(&self) -> String {
        self.lines.last().map(|line| line.iter().map(|cell| cell.text).collect()).unwrap_or_default()
    }

    fn show(&mut self, piece: &[u8]) {
        self.rest.extend(piece);
        let bytes = std::mem::take(&mut self.rest);
        let whole = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                self.rest = bytes[error.valid_up_to()..].to_vec();
                std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
            }
        };
        let mut characters = whole.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => self.column = 0,
                '\n' => self.lines.push(vec![]),
                '\u{8}' => self.column = self.column.saturating_sub(1),
                '\u{1b}' => {
                    let sequence: String = characters.by_ref().take_while_inclusive(|c| !c.is_ascii_alphabetic());
                    self.sequence(&sequence);
                }
                text if !text.is_control() => self.put(Cell { text, ..self.pen }),
                _ => {}
            }
        }
    }

    fn put(&mut self, cell: Cell) {
        let blank = Cell { text: ' ', color: PLAIN, bold: false };
        if let Some(line) = self.lines.last_mut() {
            while line.len() <= self.column {
                line.push(blank);
            }
            line[self.column] = cell;
            self.column += 1;
        }
    }

    /// What follows ESC.
    fn sequence(&mut self, sequence: &str) {
        let Some(end) = sequence.chars().last() else { return };
        let numbers = sequence.trim_start_matches('[').trim_end_matches(end);
        match end {
            'm' => {
                for number in numbers.split(';').map(|number| number.parse().unwrap_or(0)) {
                    match number {
                        0 => self.pen = Cell { color: PLAIN, bold: false, ..self.pen },
                        1 => self.pen.bold = true,
                        30..=37 => self.pen.color = number - 30,
                        90..=97 => self.pen.color = number - 90,
                        39 => self.pen.color = PLAIN,
                        _ => {}
                    }
                }
            }
            'J' | 'K' => {
                let column = self.column;
                if let Some(line) = self.lines.last_mut() {
                    line.truncate(column);
                }
            }
            _ => {}
        }
    }

    fn svg(&self) -> Result<String, std::fmt::Error> {
        let (columns, rows) = (usize::from(SIZE.columns), self.lines.len());
        let (width, height) = (columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN);
        let mut svg = String::new();
        writeln!(svg, r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">"#)?;
        writeln!(svg, r#"<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>"#)?;
        writeln!(svg, r#"<g font-family="monospace" font-size="15" xml:space="preserve">"#)?;
        for (row, line) in self.lines.iter().enumerate() {
            let y = MARGIN + row * HEIGHT + 14;
            let mut column = 0;
            for run in line.chunk_by(|a, b| (a.color, a.bold) == (b.color, b.bold)) {
                let text: String = run.iter().map(|cell| cell.text).collect();
                let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let (x, length) = (MARGIN + column * WIDTH, run.len() * WIDTH);
                let (fill, weight) = (COLORS[run[0].color], if run[0].bold { "bold" } else { "normal" });
                writeln!(
                    svg,
                    r#"<text x="{x}" y="{y}" fill="{fill}" font-weight="{weight}" textLength="{length}">{text}</text>"#
                )?;
                column += run.len();
            }
        }
        writeln!(svg, "</g>\n</svg>")?;
        Ok(svg)
    }
}

/// What [`Iterator::take_while`] leaves out: the element that ended it.
trait TakeWhileInclusive: Iterator<Item = char> {
    fn take_while_inclusive(&mut self, go_on: impl Fn(&char) -> bool) -> String {
        let mut taken = String::new();
        for character in self {
            taken.push(character);
            if !go_on(&character) {
                break;
            }
        }
        taken
    }
}

impl<I: Iterator<Item = char>> TakeWhileInclusive for I {}
