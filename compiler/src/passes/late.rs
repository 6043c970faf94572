//! The passes that run behind Cranelift's own optimiser.
//!
//! That one takes instructions without effects out of the code and puts them back where they are
//! used first, by rules that know nothing of the target: what an earlier pass had put in its place
//! would not stay there.

use super::{
    Pass, Passes, block_order, byte_swaps, immediates, invariants, lane_rotations, latches,
    wide_indices,
};
use crate::translate::Env;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::settings::Value;
use cranelift_codegen::{CodegenError, Context};

/// What a pass does to a function.
type Run = fn(&mut Function);

/// The passes, in their order.
const LATE: [(Pass, Run); 7] = [
    (Pass::Invariants, invariants::run),
    (Pass::ByteSwaps, byte_swaps::run),
    (Pass::LaneRotations, lane_rotations::run),
    (Pass::BlockOrder, block_order::run),
    (Pass::Latches, latches::run),
    (Pass::WideIndices, wide_indices::run),
    (Pass::Immediates, immediates::run),
];

/// Optimises a function, and says which code generator makes the rest of the way.
pub(crate) fn optimize<'a>(
    env: &Env<'a>,
    context: &mut Context,
) -> Result<&'a dyn TargetIsa, CodegenError> {
    let isa = env.isa_for(&context.func);
    let is_optimised = std::ptr::addr_eq(isa, env.isa);
    if !is_optimised || !LATE.iter().any(|(pass, _)| env.passes.has(*pass)) {
        return Ok(isa);
    }
    context.optimize(isa, &mut ControlPlane::default())?;
    run(fit_for(isa, env.passes), &mut context.func);
    // The order of blocks may be another one.
    context.cfg.clear();
    context.domtree.clear();
    context.loop_analysis.clear();
    Ok(env.lowering)
}

/// Those of `passes` that a CPU gains by.
fn fit_for(isa: &dyn TargetIsa, passes: Passes) -> Passes {
    let has_shuffle = |flag: &Value| flag.name == "has_ssse3" && flag.as_bool() == Some(true);
    match isa.isa_flags().iter().any(has_shuffle) {
        true => passes,
        false => passes.without(Pass::LaneRotations),
    }
}

/// Runs those of `passes` that are late.
pub(super) fn run(passes: Passes, func: &mut Function) {
    for (pass, run) in LATE {
        if passes.has(pass) {
            run(func);
        }
    }
}

/// Whether a pass is one of these.
#[cfg(test)]
pub(super) fn is_late(pass: Pass) -> bool {
    LATE.iter().any(|(late, _)| *late == pass)
}
