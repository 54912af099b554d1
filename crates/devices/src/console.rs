//! The console: what the kernel, and whoever writes to `/dev/console`, says.
//!
//! It keeps the last messages, for the report of a machine that failed, and copies them to a writer
//! as they come if there is one. Which messages come at all is the kernel's choice (`loglevel=`).
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct State {
    ring: VecDeque<u8>,
    limit: usize,
}

type Live = Option<Box<dyn Write + Send>>;

/// The last kernel messages; clones share them.
#[derive(Clone)]
pub struct Console {
    state: Arc<Mutex<State>>,
    /// Under a lock of its own: it may block, and what is kept can be read meanwhile.
    live: Arc<Mutex<Live>>,
}

impl Console {
    /// Keeps the last `limit` bytes.
    pub fn new(limit: usize) -> Console {
        Console::build(limit, None)
    }

    /// Keeps the last `limit` bytes and copies everything to `live` as it comes. The machine waits
    /// for that writer; when it fails, it is written to no more.
    pub fn with_live(limit: usize, live: Box<dyn Write + Send>) -> Console {
        Console::build(limit, Some(live))
    }

    fn build(limit: usize, live: Live) -> Console {
        let state = Arc::new(Mutex::new(State { ring: VecDeque::new(), limit }));
        Console { state, live: Arc::new(Mutex::new(live)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece of text, not necessarily a line.
    pub fn write(&self, text: &[u8]) {
        let mut live = self.live();
        if let Some(writer) = &mut *live
            && writer.write_all(text).and_then(|()| writer.flush()).is_err()
        {
            *live = None;
        }
        drop(live);
        let mut state = self.state();
        let keep = &text[text.len().saturating_sub(state.limit)..];
        let over = (state.ring.len() + keep.len()).saturating_sub(state.limit);
        state.ring.drain(..over);
        state.ring.extend(keep);
    }

    /// What the machine calls with the console's output.
    pub fn sink(&self) -> impl FnMut(&[u8]) + Send + 'static {
        let console = self.clone();
        move |text| console.write(text)
    }

    /// Whether messages are copied to a writer as they come.
    pub fn is_live(&self) -> bool {
        self.live().is_some()
    }

    /// The messages that are kept, in whole lines.
    pub fn tail(&self) -> String {
        let state = self.state();
        let (front, back) = state.ring.as_slices();
        let full = state.ring.len() >= state.limit;
        let bytes = [front, back].concat();
        let text = String::from_utf8_lossy(&bytes);
        match text.split_once('\n') {
            // The oldest line has probably lost its beginning.
            Some((_, rest)) if full => rest.to_owned(),
            _ => text.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_whole_lines_of_the_tail() {
        let console = Console::new(16);
        let mut sink = console.sink();
        sink(b"first\n");
        assert_eq!(console.tail(), "first\n");
        sink(b"second\nthird\n");
        assert_eq!(console.tail(), "second\nthird\n");
        sink(b"a line that is longer than the ring\nx\n");
        assert_eq!(console.tail(), "x\n");
    }
}
