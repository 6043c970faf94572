//! Fuzzes for as long as it is told: `make fuzz FUZZ=600`.
//!
//! `FUZZ_SECONDS` (60), `FUZZ_SEED` (the clock) and `FUZZ_JOBS` (the CPUs) come from the
//! environment. Seeds run
//! in child processes, so that a crash is a finding like any other. Each finding is printed with
//! its seed, and its module is left in `target/fuzz`. `fuzz SEED COUNT` runs these seeds and
//! nothing else.

use precast_tests::fuzz::{
    Failure, collecting, damaged, damaged_object, differential, relaxed, throwing,
};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seeds per child.
const BATCH: u64 = 200;

fn main() -> ExitCode {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    match args[..] {
        [seed, count] => run_seeds(seed, count),
        [seed] => run_seeds(seed, 1),
        _ => run_children(),
    }
}

/// Runs seeds here, each announced before it runs.
fn run_seeds(first: u64, count: u64) -> ExitCode {
    let mut found = false;
    for seed in first..first + count {
        let mut stdout = std::io::stdout();
        // Without a parent nobody wants to know any more.
        if writeln!(stdout, "seed {seed}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            return ExitCode::FAILURE;
        }
        let outcomes = [
            differential(seed).map(|_| ()),
            relaxed(seed),
            throwing(seed).map(drop),
            collecting(seed).map(drop),
            damaged(seed),
            damaged_object(seed),
        ];
        for failure in outcomes.into_iter().filter_map(Result::err) {
            found = true;
            report(&failure);
        }
    }
    if found {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn report(failure: &Failure) {
    println!("FOUND {failure}");
    for (number, wasm) in failure.modules.iter().enumerate() {
        let path = PathBuf::from(format!("target/fuzz/{}.{number}.wasm", failure.seed));
        let saved =
            std::fs::create_dir_all("target/fuzz").and_then(|()| std::fs::write(&path, wasm));
        if saved.is_ok() {
            println!("      module {number} is in {}", path.display());
        }
    }
}

fn run_children() -> ExitCode {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let next = AtomicU64::new(number("FUZZ_SEED").unwrap_or(clock << 20));
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    let jobs = number("FUZZ_JOBS").unwrap_or(cpus);
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(60));
    let (seeds, findings) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while Instant::now() < end {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    let (done, found) = run_child(first);
                    seeds.fetch_add(done, Ordering::Relaxed);
                    findings.fetch_add(found, Ordering::Relaxed);
                }
            });
        }
    });
    let (seeds, findings) = (seeds.into_inner(), findings.into_inner());
    println!("{seeds} seeds, {findings} findings");
    if findings == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs a batch in a child, and what is left of it in another one after a crash. Gives the
/// numbers of seeds and of findings.
fn run_child(first: u64) -> (u64, u64) {
    let (mut at, end, mut found) = (first, first + BATCH, 0);
    while at < end {
        let Ok((last, findings, crash)) = watch_child(at, end - at) else {
            println!("FOUND no way to start a child");
            return (at - first, found + 1);
        };
        found += findings;
        match crash {
            None => break,
            Some(crash) => {
                println!("FOUND seed {last}: {crash}");
                found += 1;
                at = last + 1;
            }
        }
    }
    (BATCH, found)
}

/// The last seed that a child announced, how much it found, and what it died of.
fn watch_child(first: u64, count: u64) -> std::io::Result<(u64, u64, Option<String>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([first.to_string(), count.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut last, mut found) = (first, 0);
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            match line.strip_prefix("seed ") {
                Some(seed) => last = seed.parse().unwrap_or(last),
                None => println!("{line}"),
            }
            found += u64::from(line.starts_with("FOUND"));
        }
    }
    let status = child.wait()?;
    let crash = !matches!(status.code(), Some(0 | 1));
    let crash = crash.then(|| status.to_string());
    Ok((last, found, crash))
}
