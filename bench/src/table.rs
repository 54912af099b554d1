//! The table that is printed: a row for each figure.
use serde_json::{Value, json};

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
    /// At most so many times native Linux's, or at least, if more is better.
    Ratio(f64),
}

/// A figure.
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    target: Option<Target>,
    guest: Option<f64>,
    native: Option<f64>,
    /// What the systems that are compared need, in the table's order.
    others: Vec<Option<f64>>,
    /// Whether more is better, as of a throughput.
    more: bool,
    failure: Option<String>,
}

impl Row {
    /// A figure in this unit.
    pub(crate) fn new(what: &str, unit: &'static str, target: Option<Target>) -> Self {
        Self {
            what: what.into(),
            unit,
            target,
            guest: None,
            native: None,
            others: Vec::new(),
            more: false,
            failure: None,
        }
    }

    /// More is better.
    pub(crate) fn more(mut self) -> Self {
        self.more = true;
        self
    }

    /// What WasmLinux needs.
    pub(crate) fn guest(mut self, value: f64) -> Self {
        self.guest = Some(value);
        self
    }

    /// What native Linux needs.
    pub(crate) fn native(mut self, value: Option<f64>) -> Self {
        self.native = value;
        self
    }

    /// What the other systems need.
    pub(crate) fn others(mut self, values: Vec<Option<f64>>) -> Self {
        self.others = values;
        self
    }

    /// The mean of two measurements.
    pub(crate) fn mean(mut self, other: &Row) -> Self {
        let mean = |one: Option<f64>, two: Option<f64>| Some((one? + two?) / 2.0);
        self.guest = mean(self.guest, other.guest);
        self.native = mean(self.native, other.native);
        self.failure = self.failure.or_else(|| other.failure.clone());
        self
    }

    /// What the build before needs, and how many times that this one does.
    pub(crate) fn beside(mut self, before: &Row) -> Self {
        let times = self.guest.zip(before.guest).map(|(new, before)| new / before);
        self.others = vec![before.guest, times];
        self
    }

    /// It could not be measured.
    pub(crate) fn failed(mut self, why: String) -> Self {
        self.failure = Some(why);
        self
    }

    /// A row from what may have failed.
    pub(crate) fn of(self, value: anyhow::Result<f64>) -> Self {
        match value {
            Ok(value) => self.guest(value),
            Err(error) => self.failed(format!("{error:#}")),
        }
    }

    fn good(&self) -> bool {
        let reached = match self.target {
            None => true,
            Some(Target::Most(most)) => self.guest.is_some_and(|value| value <= most),
            Some(Target::Least(least)) => self.guest.is_some_and(|value| value >= least),
            Some(Target::Ratio(least)) if self.more => self.ratio().is_some_and(|ratio| ratio >= least),
            Some(Target::Ratio(most)) => self.ratio().is_some_and(|ratio| ratio <= most),
        };
        reached && self.failure.is_none()
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.guest? / self.native?)
    }

    fn most(&self) -> Option<f64> {
        if let Some(Target::Most(most)) = self.target { Some(most) } else { None }
    }

    fn least(&self) -> Option<f64> {
        if let Some(Target::Least(least)) = self.target { Some(least) } else { None }
    }

    fn ratio_target(&self) -> Option<f64> {
        if let Some(Target::Ratio(ratio)) = self.target { Some(ratio) } else { None }
    }

    fn verdict(&self) -> String {
        match (&self.failure, self.target) {
            (Some(why), _) => format!("failed: {why}"),
            (None, Some(_)) if self.good() => "reached".into(),
            (None, Some(_)) => "missed".into(),
            (None, None) => match self.ratio() {
                Some(ratio) if (ratio < 1.0) != self.more => "faster than native".into(),
                _ => String::new(),
            },
        }
    }

    fn print(&self, others: &[String]) {
        let number = |value: Option<f64>| value.map_or("–".into(), digits);
        let sign = if self.more { '≥' } else { '≤' };
        let target = match self.target {
            None => "–".into(),
            Some(Target::Most(most)) => format!("≤ {}", digits(most)),
            Some(Target::Least(least)) => format!("≥ {}", digits(least)),
            Some(Target::Ratio(ratio)) => format!("{sign} {ratio:.2}×"),
        };
        let unit = self.unit;
        let ratio = self.ratio().map_or("–".into(), |r| format!("{r:.2}"));
        let (guest, native) = (number(self.guest), number(self.native));
        let others: String =
            (0..others.len()).map(|i| format!(" {:>9} |", number(self.others.get(i).copied().flatten()))).collect();
        println!(
            "| {:<32} | {unit:<4} | {target:>7} | {guest:>9} | {native:>9} | {ratio:>6} |{others} {} |",
            self.what,
            self.verdict()
        );
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// The rows so far; printed as they come, if they are.
pub(crate) struct Table {
    rows: Vec<Row>,
    prints: bool,
    others: Vec<String>,
}

impl Table {
    /// An empty table, whose rows are printed as they come if `prints` is set, with columns for
    /// these other systems.
    pub(crate) fn new(prints: bool, others: Vec<String>) -> Self {
        if prints {
            let heads: String = others.iter().map(|name| format!(" {name:>9} |")).collect();
            println!(
                "| {:<32} | unit | {:>7} | {:>9} | {:>9} | {:>6} |{heads} |",
                "what", "target", "WasmLinux", "native", "ratio"
            );
            println!("| --- | --- | ---: | ---: | ---: | ---: |{} --- |", " ---: |".repeat(others.len()));
        }
        Self { rows: Vec::new(), prints, others }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: Row) {
        if self.prints {
            row.print(&self.others);
        }
        self.rows.push(row);
    }

    /// Whether everything was measured and reached.
    pub(crate) fn good(&self) -> bool {
        self.rows.iter().all(Row::good)
    }

    /// The rows for other programs.
    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            let others: serde_json::Map<_, _> =
                self.others.iter().cloned().zip(row.others.iter().map(|value| json!(value))).collect();
            json!({
                "others": others, "what": row.what, "unit": row.unit, "at_most": row.most(), "at_least": row.least(), "ratio_target": row.ratio_target(), "wasmlinux": row.guest, "native": row.native,
                "ratio": row.ratio(), "verdict": row.verdict(), "good": row.good(),
            })
        };
        self.rows.iter().map(row).collect()
    }
}
