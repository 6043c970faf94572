//! In the place of [threads](../threads.rs) in builds without them: a guest that wants some finds an
//! import that nobody provides.

use std::time::Instant;

use precast::{Error, Limits, Module};

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::world;

/// No guest is given threads.
pub(crate) fn suits(_: &Module) -> bool {
    false
}

/// Never called: see [`suits`].
pub(crate) fn run(
    _: &RunArgs,
    _: &Module,
    _: Limits,
    _: Option<Instant>,
) -> Result<Result<(), Error>, Failure> {
    Err(Failure::new("threads", world::PROVIDED))
}
