//! `precast`: compile WebAssembly ahead of time, run it in a sandbox, look into objects.

mod args;
#[cfg(feature = "compile")]
mod bundle;
mod bundled;
#[cfg(feature = "compile")]
mod cache;
#[cfg(feature = "compile")]
mod cached;
#[cfg(feature = "compile")]
mod compile;
mod failure;
#[cfg(feature = "compile")]
mod functions;
mod input;
#[cfg(feature = "inspect")]
mod inspect;
mod invoke;
mod output;
#[cfg(feature = "compile")]
mod report;
mod run;
#[cfg(feature = "compile")]
mod sign;
#[cfg(feature = "compile")]
mod targets;
#[cfg(feature = "threads")]
mod threads;
#[cfg(not(feature = "threads"))]
#[path = "no_threads.rs"]
mod threads;
#[cfg(feature = "signatures")]
mod trust;
mod units;
#[cfg(feature = "verify")]
mod verify;
#[cfg(all(feature = "inspect", not(feature = "verify")))]
#[path = "no_verify.rs"]
mod verify;
#[cfg(not(feature = "compile"))]
mod words;
#[cfg(feature = "wasi")]
mod world;
#[cfg(not(feature = "wasi"))]
#[path = "no_world.rs"]
mod world;

use std::process::ExitCode;

#[cfg(feature = "compile")]
use clap::{CommandFactory, error::ErrorKind};

#[cfg(feature = "compile")]
use args::Args;
use args::Command;
use failure::Failure;

#[cfg(feature = "compile")]
fn main() -> ExitCode {
    if let Some(code) = bundled::run() {
        return code;
    }
    match Args::read() {
        Ok(args) => execute(args.command),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
            _ => Failure::Usage(in_one_line(&error.to_string())).report(),
        },
    }
}

#[cfg(not(feature = "compile"))]
fn main() -> ExitCode {
    if let Some(code) = bundled::run() {
        return code;
    }
    match words::read(std::env::args_os().skip(1)) {
        Ok(command) => execute(command),
        Err(words::Ended::Usage(problem)) => Failure::Usage(problem).report(),
        Err(words::Ended::Told(text)) => match failure::print(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
    }
}

/// What is wrong with the command line. The parser draws it in paragraphs: first the problem, then
/// perhaps a tip, and how the command is used.
#[cfg(feature = "compile")]
fn in_one_line(drawn: &str) -> String {
    let mut paragraphs = drawn.split("\n\n");
    let problem = paragraphs.next().unwrap_or_default();
    let problem = problem.strip_prefix("error: ").unwrap_or(problem);
    let tip = paragraphs.find(|paragraph| paragraph.trim_start().starts_with("tip: "));
    let words = [problem, tip.unwrap_or_default()]
        .into_iter()
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>();
    format!("{} (--help tells more)", words.join(" "))
}

/// Does what the user asks for.
fn execute(command: Command) -> ExitCode {
    let done = match command {
        #[cfg(feature = "compile")]
        Command::Compile(args) => compile::compile(&args),
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "compile")]
        Command::Bundle(args) => bundle::bundle(&args).map(|()| 0),
        #[cfg(feature = "compile")]
        Command::Keygen(args) => sign::keygen(&args).map(|()| 0),
        #[cfg(feature = "compile")]
        Command::Sign(args) => sign::sign(&args).map(|()| 0),
        #[cfg(feature = "signatures")]
        Command::Verify(args) => trust::verify(&args).map(|()| 0),
        #[cfg(feature = "inspect")]
        Command::Inspect(args) => inspect::inspect(&args).map(|()| 0),
        #[cfg(feature = "compile")]
        Command::Targets => targets::targets().map(|()| 0),
        #[cfg(feature = "compile")]
        Command::Completions { shell } => completions(shell).map(|()| 0),
    };
    match done {
        // The low byte is what a parent sees, whatever way a program ends.
        Ok(code) => ExitCode::from(code as u8),
        Err(failure) => failure.report(),
    }
}

#[cfg(feature = "compile")]
/// Prints the completion script of a shell.
fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "precast", &mut script);
    failure::print(&script)
}
