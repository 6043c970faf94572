//! Fuzzing, as a library: everything follows from a seed.
//!
//! - [`differential`]: a generated module is compiled by us and interpreted by `wasmi`; every
//!   result, trap, host call, global, table length and memory must be the same.
//! - [`damaged`]: a module with flipped, cut or repeated bytes is compiled; any answer but a
//!   panic will do.

mod damage;
mod detour;
mod generate;
mod plan;
mod reference;
mod rng;
mod subject;
mod trace;

pub use plan::Plan;
pub use rng::Rng;
pub use subject::Variant;
pub use trace::{Event, Trace};

use std::fmt;

/// What became of one seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Calls of exports that returned.
    pub returned: usize,
    /// Calls of exports that trapped.
    pub trapped: usize,
    /// Calls of the host.
    pub host_calls: usize,
    /// Instantiations that trapped.
    pub not_instantiated: usize,
}

/// A seed that shows a fault.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// How the module was compiled.
    pub variant: Option<Variant>,
    /// What differs.
    pub message: String,
    /// The module.
    pub wasm: Vec<u8>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}", self.seed)?;
        if let Some(variant) = self.variant {
            write!(f, " ({variant})")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Compiles and runs the module of `seed`, and compares it with the reference interpreter.
/// `Ok(None)` where the seed makes no module that both can run.
pub fn differential(seed: u64) -> Result<Option<Coverage>, Box<Failure>> {
    let mut rng = Rng::new(seed);
    let Some(wasm) = generate::module(&mut rng) else {
        return Ok(None);
    };
    let variant = Variant::choose(&mut rng);
    compare(&wasm, variant, rng).map_err(|message| {
        Box::new(Failure {
            seed,
            variant: Some(variant),
            message,
            wasm,
        })
    })
}

/// Runs `wasm` by both, with arguments from `rng`.
pub fn compare(wasm: &[u8], variant: Variant, mut rng: Rng) -> Result<Option<Coverage>, String> {
    let Some(plan) = Plan::new(wasm, &mut rng) else {
        return Ok(None);
    };
    let Some(expected) = reference::run(wasm, &plan)? else {
        return Ok(None);
    };
    let actual = subject::run(wasm, &plan, variant)?;
    trace::compare(&expected, &actual)?;
    Ok(Some(expected.coverage()))
}

/// Compiles a damaged module. A panic of the compiler is the only failure.
pub fn damaged(seed: u64) -> Result<(), Box<Failure>> {
    let mut rng = Rng::new(seed);
    let Some(mut wasm) = generate::module(&mut rng) else {
        return Ok(());
    };
    damage::damage(&mut wasm, &mut rng);
    let variant = Variant::choose(&mut rng);
    subject::compile_whatever_it_is(&wasm, variant).map_err(|message| {
        Box::new(Failure {
            seed,
            variant: Some(variant),
            message,
            wasm,
        })
    })
}
