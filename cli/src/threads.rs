//! Guests that may start threads.

use std::time::Instant;

use precast::{Error, Limits, Module};
use precast_wasi::Program;

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::world;

/// Whether the guest may start threads, or shares its memory with some.
pub(crate) fn suits(module: &Module) -> bool {
    // What is damaged, instantiating it says.
    Program::suits(module).unwrap_or(false)
}

/// Runs a guest that may start threads, from `_start` on.
pub(crate) fn run(
    args: &RunArgs,
    module: &Module,
    limits: Limits,
    deadline: Option<Instant>,
) -> Result<Result<(), Error>, Failure> {
    if args.profile.is_some() {
        let problem = "what a program with threads counts cannot be collected";
        return Err(Failure::new("--profile", problem));
    }
    let mut program = Program::new(module, world::new(args)?);
    program.limits(limits).deadline(deadline);
    if let Some(count) = args.max_threads {
        program.max_threads(count);
    }
    Ok(program.run().0)
}
