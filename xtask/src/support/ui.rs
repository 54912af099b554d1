//! Progress: a moving line for each step on a terminal, plain lines with the time elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a step says in a plain log what it is at.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// Where progress is shown: standard error.
pub(crate) struct Ui {
    bars: Option<MultiProgress>,
}

impl Ui {
    /// Bars if standard error is a terminal and this is no continuous integration.
    pub(crate) fn new() -> Ui {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        Ui { bars: terminal.then(MultiProgress::new) }
    }

    /// Shows one line that stays.
    pub(crate) fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{text}")),
            None => eprintln!("[{}] {text}", time_of_day()),
        }
    }

    /// Shows that something has begun.
    pub(crate) fn begin(&self, name: &'static str, status: &str) -> Running<'_> {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{spinner} {prefix:15.bold} {elapsed:>4} {wide_msg:.dim}");
            let bar = bars.add(ProgressBar::new_spinner()).with_prefix(name);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let running = Running { ui: self, name, bar, started: Instant::now(), shown: Instant::now() };
        if running.bar.is_none() {
            self.line(&format!("{name}: {status}"));
        }
        if let Some(bar) = &running.bar {
            bar.set_message(status.to_string());
        }
        running
    }
}

/// A step under way.
pub(crate) struct Running<'a> {
    ui: &'a Ui,
    name: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    shown: Instant,
}

impl Running<'_> {
    /// Shows what is being done now; in a plain log only now and then.
    pub(crate) fn status(&mut self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_string());
        } else if self.shown.elapsed() > PLAIN_INTERVAL {
            self.shown = Instant::now();
            self.ui.line(&format!("{}: {} so far: {text}", self.name, duration(self.started.elapsed())));
        }
    }

    /// Shows that it has ended.
    pub(crate) fn end(self, done: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let word = if done { "done in" } else { "failed after" };
        self.ui.line(&format!("{}: {word} {}", self.name, duration(self.started.elapsed())));
    }
}

/// A span of time for people.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// The time of day in UTC.
fn time_of_day() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
