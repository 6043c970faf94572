//! In the place of [WASI](../world.rs) in builds without it: a guest gets nothing but calls.

use precast::{Error, Linker};

use crate::args::RunArgs;
use crate::failure::Failure;

/// What the host keeps for a guest.
pub(crate) type World = ();

/// What `precast run` provides, for messages.
pub(crate) const PROVIDED: &str = "this build of precast provides nothing, not even WASI";

/// Refuses what a guest can be given by WASI only.
pub(crate) fn new(args: &RunArgs) -> Result<World, Failure> {
    let given = [
        ("--dir", !args.dir.is_empty()),
        ("--env", !args.env.is_empty()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Failure::new(name, "this build of precast has no WASI")),
        None => Ok(()),
    }
}

/// What the guest may import: nothing.
pub(crate) fn linker() -> Linker<World> {
    Linker::new()
}

/// A guest cannot end by giving an exit code.
pub(crate) fn exit_code(_: &Error) -> Option<i32> {
    None
}
