//! The table of scalar computation: one line per operator.

use super::dispatch_simd;
use super::func::FuncTranslator;
use crate::error::CompileError;
use wasmparser::Operator;

/// Translates one operator that can be reached.
pub(super) fn translate_operator(
    t: &mut FuncTranslator<'_>,
    op: &Operator<'_>,
) -> Result<(), CompileError> {
    match op {
        // Branch `numeric`: I32Const…, numeric, comparison and conversion operators.
        // `numeric.rs` and `convert.rs` hold `impl FuncTranslator<'_> { pub(super) fn … }`.
        _ => return dispatch_simd::translate_operator(t, op),
    }
}
