//! The table of vector operators: one line per operator.

use super::func::FuncTranslator;
use crate::error::CompileError;
use wasmparser::Operator;

/// Translates one operator that can be reached.
pub(super) fn translate_operator(
    t: &mut FuncTranslator<'_>,
    op: &Operator<'_>,
) -> Result<(), CompileError> {
    match op {
        // Branch `numeric`: SIMD and relaxed SIMD operators. `simd.rs` (and `simd/*.rs`) hold
        // `impl FuncTranslator<'_> { pub(super) fn … }`; loads and stores use
        // `emit_guest_load`, `emit_guest_store` of `memory.rs`.
        _ => Err(t.refuse(op)),
    }
}
