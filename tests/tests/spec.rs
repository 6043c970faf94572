//! Runs the specification suite: `cargo test --test spec -- [FILTER] [--cpu CPU] [--opt LEVEL]
//! [--memory-reservation BYTES] [--fuel] [--target TARGET]`.
//!
//! The target may be another system's: the objects are run here all the same.
//! Scripts run in parallel. The last line is `N passed, N failed, N skipped`, in assertions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use precast_compiler::{Cpu, OptLevel, Options, Target};
use precast_tests::spec::runner::{Failure, Outcome, run_file};
use precast_tests::spec::skip::SkipList;
use precast_tests::spec::suite::{self, Script};

/// Deeply nested scripts are parsed recursively.
const STACK_SIZE: usize = 64 << 20;
/// How many failures of a script are shown.
const SHOWN: usize = 10;

struct Arguments {
    filter: Option<String>,
    options: Options,
    verbose: bool,
    threads: usize,
}

fn main() -> ExitCode {
    match parse_arguments().and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("spec: {message}");
            ExitCode::from(2)
        }
    }
}

fn parse_arguments() -> Result<Arguments, String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    // Scripts are compiled next to each other, each on its own thread.
    let options = Options {
        jobs: 1,
        ..Options::default()
    };
    let mut parsed = Arguments {
        filter: None,
        options,
        verbose: false,
        threads,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--cpu" => {
                parsed.options.cpu = Cpu::parse(&value()?).map_err(|error| error.to_string())?;
            }
            "--memory-reservation" => {
                let bytes = value()?.parse();
                parsed.options.memory_reservation =
                    Some(bytes.map_err(|_| "--memory-reservation needs a number of bytes")?);
            }
            "--fuel" => parsed.options.fuel = true,
            "--target" => {
                let target = Target::parse(&value()?).map_err(|error| error.to_string())?;
                parsed.options.target = target;
            }
            "--opt" => parsed.options.opt = opt_level(&value()?)?,
            "--threads" => {
                parsed.threads = value()?.parse().map_err(|_| "--threads needs a number")?;
            }
            "--verbose" => parsed.verbose = true,
            // What `cargo test` and its users pass to every test binary.
            _ if word.starts_with("--") => {}
            _ => parsed.filter = Some(word),
        }
    }
    Ok(parsed)
}

fn opt_level(word: &str) -> Result<OptLevel, String> {
    match word {
        "none" => Ok(OptLevel::None),
        "speed" => Ok(OptLevel::Speed),
        "size" => Ok(OptLevel::Size),
        _ => Err(format!("no such level: {word}")),
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let skips = SkipList::parse(include_str!("spec/skip.txt"))?;
    let all = suite::files();
    if let Some(unknown) = skips
        .scripts()
        .find(|name| all.iter().all(|file| file.name != *name))
    {
        return Err(format!("the skip list names {unknown}, which is no script"));
    }
    let mut scripts: Vec<&Script> = all
        .iter()
        .filter(|script| {
            arguments
                .filter
                .as_ref()
                .is_none_or(|f| script.name.contains(f))
        })
        .collect();
    // The largest first, so that none is left over at the end.
    scripts.sort_by_key(|script| std::cmp::Reverse(script.text.len()));
    let outcomes = run_all(&scripts, arguments, &skips);
    Ok(report(&scripts, &outcomes))
}

fn run_all(scripts: &[&Script], arguments: &Arguments, skips: &SkipList) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Outcome>> = scripts.iter().map(|_| Mutex::default()).collect();
    let work = || {
        while let Some(index) =
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < scripts.len())
        {
            if arguments.verbose {
                eprintln!("{}", scripts[index].name);
            }
            let outcome = run_one(scripts[index], &arguments.options, skips);
            *outcomes[index]
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()) = outcome;
        }
    };
    thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            let worker = thread::Builder::new().stack_size(STACK_SIZE);
            worker
                .spawn_scoped(scope, work)
                .expect("a thread for the suite");
        }
    });
    outcomes
        .into_iter()
        .map(|o| o.into_inner().unwrap_or_default())
        .collect()
}

fn run_one(script: &Script, options: &Options, skips: &SkipList) -> Outcome {
    let may_lack = skips.proposals(&script.name);
    let run = AssertUnwindSafe(|| run_file(script, options, may_lack));
    let mut outcome = catch_unwind(run).unwrap_or_else(|_| Outcome {
        failures: vec![Failure {
            line: 0,
            message: "panicked".to_owned(),
        }],
        ..Outcome::default()
    });
    if !may_lack.is_empty() && outcome.lacking == 0 {
        let message =
            "it needs nothing of what is missing any more: take it off the skip list".to_owned();
        outcome.failures.push(Failure { line: 0, message });
    }
    outcome
}

/// Prints what went wrong and the sums; true where nothing failed.
fn report(scripts: &[&Script], outcomes: &[Outcome]) -> bool {
    let mut lines: Vec<(&str, &Outcome)> = scripts
        .iter()
        .map(|script| script.name.as_str())
        .zip(outcomes)
        .collect();
    lines.sort_by_key(|(name, _)| *name);
    for (name, outcome) in &lines {
        for failure in outcome.failures.iter().take(SHOWN) {
            println!("{name}:{}: {}", failure.line, failure.message);
        }
        if outcome.failures.len() > SHOWN {
            println!("{name}: … and {} more", outcome.failures.len() - SHOWN);
        }
    }
    let sum = |count: fn(&Outcome) -> usize| outcomes.iter().map(count).sum::<usize>();
    let failed = sum(|outcome| outcome.failures.len());
    println!(
        "{} passed, {failed} failed, {} skipped",
        sum(|outcome| outcome.passed),
        sum(|outcome| outcome.skipped)
    );
    failed == 0
}
