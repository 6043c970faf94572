//! How many instances there can be at a time under the kernel's default limits, and what each takes.
//!
//! Each contestant has a process of its own, so that what it used up is missed by nobody.

use std::process::Command;

use precast::pool::Density;
use serde_json::{Value, json};

use super::goals::Table;
use super::theirs::Settings;
use super::{ours, theirs};
use crate::{Result, guests};

/// More than anyone can have with guard pages.
const MOST_GUARDED: u32 = 40_000;
/// More would only use up memory.
const MOST_COMPACT: u32 = 300_000;
/// Memory that is left to the rest of the machine, in bytes.
const SPARE_MEMORY: u64 = 2 << 30;
/// Address space of a compact instance's memory, in bytes.
const RESERVATION: u64 = 16 << 20;

/// The argument with which the program measures one contestant and nothing else.
pub const CHILD: &str = "--live";

/// What a child found.
#[derive(Clone, Copy, Debug)]
struct Found {
    count: f64,
    bytes: f64,
}

/// With guard pages.
///
/// # Errors
///
/// If a contestant fails.
pub fn guarded(table: &mut Table) -> Result<()> {
    let mine = measure(table, "precast")?;
    let other = measure(table, "wasmtime")?;
    table.line("live_guard", mine.count, other.count);
    table.line("bytes_per_live", mine.bytes, other.bytes);
    Ok(())
}

/// With checks in the code, close to each other.
///
/// # Errors
///
/// If a contestant fails.
pub fn compact(table: &mut Table) -> Result<()> {
    let mine = measure(table, "precast-compact")?;
    let other = measure(table, "wasmtime-compact")?;
    table.line("live_compact", mine.count, other.count);
    table.line("bytes_per_live_compact", mine.bytes, other.bytes);
    Ok(())
}

/// Runs a child.
fn measure(table: &Table, who: &str) -> Result<Found> {
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, who])
        .output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{who}: {}: {error}", output.status).into());
    }
    let found: Value = serde_json::from_slice(&output.stdout)?;
    table.note(&format!(
        "{who}: {}",
        found["end"].as_str().unwrap_or_default()
    ));
    let number = |key: &str| {
        found[key]
            .as_f64()
            .ok_or("the child's answer is incomplete")
    };
    Ok(Found {
        count: number("count")?,
        bytes: number("bytes")?,
    })
}

/// The child: prints what it found as JSON.
///
/// # Errors
///
/// If not even one instance can be had.
pub fn child(who: &str) -> Result<()> {
    let wasm = guests::fresh(guests::FRESH_64K)?;
    let compact = Settings {
        reservation: RESERVATION,
        guard: 0,
        ..Settings::DEFAULT
    };
    let answer = match who {
        "precast" => {
            let (slots, builder) = ours::largest_pool(Density::Guarded, MOST_GUARDED)?;
            let before = resident()?;
            let rig = ours::Rig::<i64>::with(&wasm, builder)?;
            fill(slots, before, |x| rig.live(x))
        }
        "precast-compact" => {
            let density = Density::Compact {
                reservation: RESERVATION,
            };
            let (slots, builder) = ours::largest_pool(density, MOST_COMPACT)?;
            let before = resident()?;
            let rig = ours::Rig::<i64>::compact(&wasm, builder, RESERVATION)?;
            fill(slots, before, |x| rig.live(x))
        }
        "wasmtime" | "wasmtime-compact" => {
            let (settings, most) = match who {
                "wasmtime" => (Settings::DEFAULT, MOST_GUARDED),
                _ => (compact, MOST_COMPACT),
            };
            let (slots, engine) = theirs::largest_engine(&settings, most)?;
            let before = resident()?;
            let rig = theirs::Rig::with(engine, &wasm)?;
            fill(slots, before, |x| rig.live(x))
        }
        other => return Err(format!("there is no contestant {other}").into()),
    }?;
    println!("{answer}");
    // Giving back hundreds of thousands of them one by one takes long and tells nothing.
    std::process::exit(0)
}

/// Makes instances until no more can be had.
fn fill<I>(slots: u32, before: [u64; 2], live: impl Fn(i32) -> Result<(I, i64)>) -> Result<Value> {
    let mut instances = Vec::with_capacity(slots as usize);
    let end = loop {
        if instances.len() % 1024 == 0 && available()? < SPARE_MEMORY {
            break format!("the machine's memory ends ({slots} slots)");
        }
        match live(instances.len() as i32) {
            Ok((instance, guests::FRESH)) => instances.push(instance),
            Ok((_, found)) => return Err(format!("it answered {found}: it was not fresh").into()),
            Err(error) => break format!("{error} ({slots} slots)"),
        }
    };
    let count = instances.len().max(1) as u64;
    // The list of instances is the benchmark's own, but each contestant has one.
    let after = resident()?;
    let each = [0, 1].map(|i: usize| after[i].saturating_sub(before[i]) / count);
    let end = format!(
        "{end}; {} bytes each, and {} of page tables",
        each[0], each[1]
    );
    Ok(json!({ "count": instances.len(), "bytes": each[0] + each[1], "end": end }))
}

/// Bytes that the process has in memory, and what its page tables take.
fn resident() -> Result<[u64; 2]> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    Ok([kilobytes(&status, "VmRSS:")?, kilobytes(&status, "VmPTE:")?])
}

/// Bytes that the machine can still give.
fn available() -> Result<u64> {
    kilobytes(&std::fs::read_to_string("/proc/meminfo")?, "MemAvailable:")
}

fn kilobytes(text: &str, key: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("no {key}"))?.parse::<u64>()? << 10)
}
