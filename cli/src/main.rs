//! `precast`: compile WebAssembly ahead of time, run it in a sandbox, look into objects.

mod args;
#[cfg(feature = "compile")]
mod cache;
#[cfg(feature = "compile")]
mod cached;
#[cfg(feature = "compile")]
mod compile;
mod failure;
mod input;
mod inspect;
mod invoke;
#[cfg(feature = "compile")]
mod output;
mod run;
mod units;
#[cfg(feature = "verify")]
mod verify;
#[cfg(not(feature = "verify"))]
#[path = "no_verify.rs"]
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        #[cfg(feature = "compile")]
        Command::Compile(args) => compile::compile(&args).map(|()| 0),
        Command::Run(args) => run::run(&args),
        Command::Inspect(args) => inspect::inspect(&args).map(|()| 0),
        Command::Completions { shell } => completions(shell).map(|()| 0),
    };
    match done {
        // The low byte is what a parent sees, whatever way a program ends.
        Ok(code) => ExitCode::from(code as u8),
        Err(failure) => failure.report(),
    }
}

/// Prints the completion script of a shell.
fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "precast", &mut script);
    failure::print(&script)
}
