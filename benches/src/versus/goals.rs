//! The measures, what is to be reached, and the table.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Result;

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At most so much of the other's.
    Ratio(f64),
    /// Our own figure is at least this.
    AtLeast(f64),
    /// Our own figure is at most this.
    AtMost(f64),
}

impl Goal {
    fn is_met(self, ours: f64, ratio: f64) -> bool {
        match self {
            Self::Ratio(goal) => ratio <= goal,
            Self::AtLeast(goal) => ours >= goal,
            Self::AtMost(goal) => ours <= goal,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ratio(goal) => write!(f, "ratio <= {goal:.2}"),
            Self::AtLeast(goal) => write!(f, "ours >= {}", number(*goal)),
            Self::AtMost(goal) => write!(f, "ours <= {}", number(*goal)),
        }
    }
}

/// Every measure: its key, its goal, what is measured.
pub const MEASURES: &[(&str, Goal, &str)] = &[
    (
        "inst_trivial",
        Goal::Ratio(0.10),
        "ns: instantiate, call, drop; no memory",
    ),
    (
        "inst_64k",
        Goal::Ratio(0.12),
        "ns: 64 KiB of memory, 4 KiB of data, table of 100",
    ),
    (
        "inst_16m",
        Goal::Ratio(0.30),
        "ns: 16 MiB of memory, 1 MiB of data",
    ),
    (
        "scaling_2threads",
        Goal::AtLeast(1.9),
        "the 64k case: two threads' throughput over one's",
    ),
    (
        "inst_wasi",
        Goal::Ratio(0.20),
        "ns: WASI hello, arguments, environment, captured output",
    ),
    (
        "live_guard",
        Goal::AtLeast(28_000.0),
        "live instances with guard pages",
    ),
    (
        "live_compact",
        Goal::AtLeast(250_000.0),
        "live instances, compact",
    ),
    (
        "bytes_per_live",
        Goal::AtMost(17.0 * 1024.0),
        "bytes resident for each, page tables included",
    ),
    (
        "bytes_per_live_compact",
        Goal::AtMost(14.0 * 1024.0),
        "the same, compact",
    ),
    ("call_in", Goal::Ratio(0.25), "ns: host to guest"),
    ("call_out", Goal::Ratio(0.40), "ns: guest to host"),
    (
        "trap",
        Goal::Ratio(0.10),
        "ns: `unreachable`, with its backtrace",
    ),
    (
        "trap_oob",
        Goal::Ratio(0.50),
        "ns: out of bounds, with its backtrace",
    ),
    (
        "trap_stack",
        Goal::Ratio(0.20),
        "ns: stack overflow, with its backtrace",
    ),
    (
        "throw_1",
        Goal::Ratio(0.30),
        "ns: an exception, caught one frame up",
    ),
    (
        "throw_10",
        Goal::Ratio(0.30),
        "ns: an exception, caught ten frames up",
    ),
    (
        "alloc_null",
        Goal::Ratio(0.50),
        "ns: a struct of two fields, no collector",
    ),
    (
        "alloc_copying",
        Goal::Ratio(0.50),
        "ns: the same, a collector that copies",
    ),
    (
        "inst_gc",
        Goal::AtMost(100.0),
        "ns: what an object adds to instantiate, call, drop",
    ),
    (
        "interruptible",
        Goal::AtMost(1.005),
        "kernels: time when they can be stopped over time when not",
    ),
    (
        "deadline",
        Goal::AtMost(200.0),
        "us: how late a guest is stopped, beyond a thread's wake-up; median",
    ),
    (
        "deadline_p99",
        Goal::AtMost(200.0),
        "us: the same, 99 of 100",
    ),
];

/// The table, printed as it grows, and the file.
#[derive(Debug, Default)]
pub struct Table {
    values: Map<String, Value>,
}

impl Table {
    /// An empty table; prints its head.
    pub fn new() -> Self {
        println!(
            "{:<24} {:>12} {:>12} {:>8}  {:<16}",
            "", "precast", "wasmtime", "ratio", "goal"
        );
        Self::default()
    }

    /// Records and prints one line.
    pub fn line(&mut self, key: &str, ours: f64, theirs: f64) {
        let ratio = ours / theirs;
        let (_, goal, what) = MEASURES
            .iter()
            .find(|(known, ..)| *known == key)
            .expect("a measure of the table");
        let verdict = if goal.is_met(ours, ratio) {
            "met"
        } else {
            "MISSED"
        };
        println!(
            "{key:<24} {:>12} {:>12} {ratio:>8.3}  {:<16} {verdict:<7} {what}",
            number(ours),
            number(theirs),
            goal.to_string(),
        );
        let value = json!({ "precast": ours, "wasmtime": theirs, "ratio": ratio });
        self.values.insert(key.to_owned(), value);
    }

    /// Prints something that belongs to a line.
    pub fn note(&self, text: &str) {
        println!("    {text}");
    }

    /// Writes `{measure: {precast, wasmtime, ratio}}`. With `keeps_others` the file keeps what it
    /// has of measures that were not taken now.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(mut self, path: &Path, keeps_others: bool) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let known = std::fs::read(path).ok().filter(|_| keeps_others);
        let known = known.and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok());
        for (key, value) in known.into_iter().flatten() {
            self.values.entry(key).or_insert(value);
        }
        let mut text = serde_json::to_string_pretty(&Value::Object(self.values))?;
        text.push('\n');
        std::fs::write(path, text)?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

/// Three figures that count, and whole numbers as they are.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
