//! Fuzzing, as a library: everything follows from a seed.
//!
//! - [`differential`]: a generated module, or two that are linked, are compiled by us and
//!   interpreted by `wasmi`; every result, trap, host call, global, table and memory must be the
//!   same.
//! - [`relaxed`]: a module with relaxed SIMD, where the interpreter may rightly differ, is compiled
//!   with and without optimisation.
//! - [`damaged`]: a module with flipped, cut or repeated bytes is compiled; any answer on one line
//!   will do.

mod damage;
mod detour;
mod generate;
mod link;
mod object;
mod plan;
mod reference;
mod rewrite;
mod rng;
mod subject;
mod trace;

pub use plan::Plan;
pub use rng::Rng;
pub use subject::Variant;
pub use trace::{Event, Trace};

use precast_compiler::OptLevel;
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
    /// The modules.
    pub modules: Vec<Vec<u8>>,
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

/// A module and what is done with it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The module.
    pub wasm: Vec<u8>,
    /// What is done with it.
    pub plan: Plan,
}

/// Compiles and runs the modules of `seed`, and compares with the reference interpreter.
/// `Ok(None)` where the seed makes no module that both can run.
pub fn differential(seed: u64) -> Result<Option<Coverage>, Box<Failure>> {
    let mut rng = Rng::new(seed);
    let Some(scenes) = scenes(&mut rng) else {
        return Ok(None);
    };
    let variant = Variant::choose(&mut rng);
    compare(&scenes, variant).map_err(|message| {
        Box::new(Failure {
            seed,
            variant: Some(variant),
            message,
            modules: scenes.into_iter().map(|scene| scene.wasm).collect(),
        })
    })
}

/// Compiles the relaxed SIMD of `seed` without and with optimisation for the same CPU, which must
/// not change what it does.
pub fn relaxed(seed: u64) -> Result<(), Box<Failure>> {
    optimised(seed, generate::relaxed).map(drop)
}

/// The same for modules with exceptions: how many events there were.
pub fn throwing(seed: u64) -> Result<usize, Box<Failure>> {
    optimised(seed, generate::throwing)
}

/// The same for modules with garbage-collected objects, which are collected whenever one is made in
/// the one run, and where there is no room in the other.
pub fn collecting(seed: u64) -> Result<usize, Box<Failure>> {
    optimised(seed, generate::collecting)
}

fn optimised(seed: u64, generate: fn(&mut Rng) -> Option<Vec<u8>>) -> Result<usize, Box<Failure>> {
    let mut rng = Rng::new(seed);
    let scene = generate(&mut rng).and_then(|wasm| Scene::new(wasm, &mut rng));
    let Some(scene) = scene else {
        return Ok(0);
    };
    let (variant, scenes) = (Variant::choose(&mut rng), [scene]);
    let plain = Variant {
        opt: OptLevel::None,
        collect_always: !variant.collect_always,
        ..variant
    };
    let difference = subject::run(&scenes, plain).and_then(|expected| {
        trace::compare(&expected, &subject::run(&scenes, variant)?)?;
        Ok(expected.events.len())
    });
    let [scene] = scenes;
    difference.map_err(|message| {
        Box::new(Failure {
            seed,
            variant: Some(variant),
            message,
            modules: vec![scene.wasm],
        })
    })
}

/// One module, or two of which the second imports from the first.
fn scenes(rng: &mut Rng) -> Option<Vec<Scene>> {
    let mut scenes = vec![Scene::new(generate::module(rng, None)?, rng)?];
    if rng.below(3) == 0 {
        let imports = link::imports_from(&scenes[0].plan);
        let second = generate::module(rng, Some(imports)).and_then(|wasm| Scene::new(wasm, rng));
        scenes.extend(second);
    }
    Some(scenes)
}

impl Scene {
    /// `None` where the module needs what one engine lacks.
    pub fn new(wasm: Vec<u8>, rng: &mut Rng) -> Option<Scene> {
        let plan = Plan::new(&wasm, rng)?;
        Some(Scene { wasm, plan })
    }
}

/// Runs the scenes by both.
pub fn compare(scenes: &[Scene], variant: Variant) -> Result<Option<Coverage>, String> {
    let Some(expected) = reference::run(scenes)? else {
        return Ok(None);
    };
    let actual = subject::run(scenes, variant)?;
    trace::compare(&expected, &actual)?;
    Ok(Some(expected.coverage()))
}

/// Damages an object and looks at all of it, without executing anything. A panic and an answer of
/// more than one line are failures.
pub fn damaged_object(seed: u64) -> Result<(), Box<Failure>> {
    let mut rng = Rng::new(seed);
    let Some(wasm) = generate::module(&mut rng, None) else {
        return Ok(());
    };
    let variant = Variant::choose(&mut rng);
    object::look_at_damaged(&wasm, variant, &mut rng).map_err(|message| {
        Box::new(Failure {
            seed,
            variant: Some(variant),
            message,
            modules: vec![wasm],
        })
    })
}

/// Compiles a damaged module. A panic of the compiler, an answer of more than one line and an
/// object that the loader refuses are failures.
pub fn damaged(seed: u64) -> Result<(), Box<Failure>> {
    let mut rng = Rng::new(seed);
    let Some(mut wasm) = generate::module(&mut rng, None) else {
        return Ok(());
    };
    damage::damage(&mut wasm, &mut rng);
    let variant = Variant::choose(&mut rng);
    subject::compile_whatever_it_is(&wasm, variant).map_err(|message| {
        Box::new(Failure {
            seed,
            variant: Some(variant),
            message,
            modules: vec![wasm],
        })
    })
}
