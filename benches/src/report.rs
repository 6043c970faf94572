//! The table on the terminal and `target/figures.json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Result;

/// Figures in sections, in the order they were taken.
#[derive(Debug, Default)]
pub struct Report {
    sections: Map<String, Value>,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a section on the terminal.
    pub fn section(&mut self, name: &str, unit: &str) {
        println!("\n{name} ({unit})");
        println!(
            "{:<34} {:>12} {:>12} {:>8}",
            "", "precast", "wasmtime", "ratio"
        );
        self.sections
            .insert(name.to_owned(), Value::Object(Map::new()));
    }

    /// Records and prints one line; a contestant that did not take part is `None`.
    pub fn line(&mut self, section: &str, measure: &str, ours: f64, theirs: Option<f64>) {
        let ratio = theirs.map(|theirs| ours / theirs);
        println!(
            "{measure:<34} {:>12} {:>12} {:>8}",
            number(ours),
            optional(theirs),
            optional(ratio)
        );
        let entry = json!({ "precast": ours, "wasmtime": theirs, "ratio": ratio });
        if let Some(Value::Object(section)) = self.sections.get_mut(section) {
            section.insert(measure.to_owned(), entry);
        }
    }

    /// Writes everything as JSON: section, measure, `{precast, wasmtime, ratio}`.
    pub fn write(self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut text = serde_json::to_string_pretty(&Value::Object(self.sections))?;
        text.push('\n');
        std::fs::write(path, text)?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

/// Three figures that count, however large or small the number.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}
