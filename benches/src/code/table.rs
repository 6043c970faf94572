//! Lines on the terminal, and `target/code.json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::contestant::key;
use super::run::Row;
use crate::Result;
use crate::kernels::Kernel;
use crate::measure::geometric_mean;

/// The columns: a heading, and whom we are compared with.
const COLUMNS: &[(&str, &str)] = &[
    ("profile", key::PROFILE),
    ("without", key::WITHOUT),
    ("wasmtime", key::WASMTIME),
    ("inlining", key::INLINING),
    ("epochs", key::EPOCHS),
    ("native", key::NATIVE),
    ("cc -O3", "native_cc_o3"),
    ("cc -O2", "native_cc_o2"),
    ("zig -O3", "native_zig_o3"),
    ("zig novec", "native_zig_unvectorised"),
    ("wasm2c", key::WASM2C),
];

/// Those columns that anybody could fill.
pub struct Table {
    columns: Vec<(&'static str, &'static str)>,
}

impl Table {
    /// Prints the head. `is_there` tells whether a key takes part.
    pub fn start(is_there: impl Fn(&str) -> bool) -> Self {
        let columns: Vec<_> = COLUMNS
            .iter()
            .filter(|(_, key)| is_there(key))
            .copied()
            .collect();
        println!(
            "precast: milliseconds a run; then its time, code bytes and compile time over theirs\n"
        );
        print!("{:<14} {:>8}", "", "precast");
        for (heading, _) in &columns {
            print!(" {heading:>9}");
        }
        println!(" {:>8} {:>8}", "code", "compile");
        Self { columns }
    }

    /// Prints one kernel.
    pub fn line(&self, kernel: &Kernel, row: &Row) {
        let lanes = if kernel.is_simd { "*" } else { "" };
        let name = format!("{}{lanes}", kernel.name);
        print!("{name:<14} {:>8.2}", row.times[key::PRECAST]);
        for (_, key) in &self.columns {
            print!(" {:>9}", ratio(time_ratio(row, key)));
        }
        println!(
            " {:>8} {:>8}",
            ratio(code_ratio(row)),
            ratio(compile_ratio(row))
        );
        for (key, why) in &row.absent {
            println!("    {key}: {}", why.trim().replace('\n', "\n    "));
        }
    }

    /// Prints the geometric means.
    pub fn finish(&self, rows: &[(&Kernel, Row)]) {
        print!("{:<14} {:>8}", "geometric mean", "");
        let mean = |ratio_of: &dyn Fn(&Row) -> Option<f64>| {
            let all: Vec<f64> = rows.iter().filter_map(|(_, row)| ratio_of(row)).collect();
            (!all.is_empty()).then(|| geometric_mean(all.into_iter()))
        };
        for (_, key) in &self.columns {
            print!(" {:>9}", ratio(mean(&|row| time_ratio(row, key))));
        }
        println!(
            " {:>8} {:>8}",
            ratio(mean(&code_ratio)),
            ratio(mean(&compile_ratio))
        );
        let grown = mean(&|row| Some(row.code.get(key::PRECAST)? / row.code.get(key::WITHOUT)?));
        if let Some(grown) = grown {
            println!("code bytes with these passes over without: {grown:.3}");
        }
        if rows.iter().any(|(kernel, _)| kernel.is_simd) {
            println!("* with 128-bit vectors in the source; native has SSE4.1 for it");
        }
    }
}

fn time_ratio(row: &Row, key: &str) -> Option<f64> {
    // What is in Rust stands in the columns of C: no kernel has both.
    let in_rust = || row.times.get(&key.replace("native_cc", "native_rustc"));
    Some(row.times.get(key::PRECAST)? / row.times.get(key).or_else(in_rust)?)
}

fn code_ratio(row: &Row) -> Option<f64> {
    Some(row.code.get(key::PRECAST)? / row.code.get(key::WASMTIME)?)
}

fn compile_ratio(row: &Row) -> Option<f64> {
    Some(row.compile.get(key::PRECAST)? / row.compile.get(key::WASMTIME)?)
}

fn ratio(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2}"))
}

/// Writes `{kernel: {key: milliseconds, …}}` with `code_bytes_…`, `compile_ms_…` and `simd` beside.
/// Where only some kernels ran, the others stay as they are.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write(path: &Path, rows: &[(&Kernel, Row)], is_partial: bool) -> Result<()> {
    let mut all = match std::fs::read(path) {
        Ok(text) if is_partial => serde_json::from_slice(&text)?,
        _ => Map::new(),
    };
    for (kernel, row) in rows {
        let mut entry: Map<String, Value> = row
            .times
            .iter()
            .map(|(key, time)| (key.clone(), json!(time)))
            .collect();
        for (prefix, figures) in [("code_bytes", &row.code), ("compile_ms", &row.compile)] {
            for (key, figure) in figures {
                entry.insert(format!("{prefix}_{key}"), json!(figure));
            }
        }
        entry.insert("simd".to_owned(), json!(kernel.is_simd));
        all.insert(kernel.name.to_owned(), Value::Object(entry));
    }
    let mut text = serde_json::to_string_pretty(&Value::Object(all))?;
    text.push('\n');
    std::fs::write(path, text)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
