//! The table of operators that are not computation on numbers: one line per operator.
//!
//! The tables of those that are stand at the top of their files: `numeric`, `convert` and `simd`.
//! What no table knows is refused by name.

use super::func::FuncTranslator;
use super::{convert, numeric, simd};
use crate::error::CompileError;
use wasmparser::Operator;

/// Translates one operator that can be reached.
pub(super) fn translate_operator(
    t: &mut FuncTranslator<'_>,
    op: &Operator<'_>,
) -> Result<(), CompileError> {
    match op {
        // Control.
        Operator::Unreachable => t.translate_unreachable(),
        Operator::Nop => {}
        Operator::Block { blockty } => t.translate_block(*blockty),
        Operator::Loop { blockty } => t.translate_loop(*blockty),
        Operator::If { blockty } => t.translate_if(*blockty),
        Operator::Else => t.translate_else(),
        Operator::End => t.translate_end(),
        Operator::Br { relative_depth } => t.translate_br(*relative_depth),
        Operator::BrIf { relative_depth } => t.translate_br_if(*relative_depth),
        Operator::BrTable { targets } => t.translate_br_table(targets)?,
        Operator::BrOnNull { relative_depth } => t.translate_br_on_null(*relative_depth),
        Operator::BrOnNonNull { relative_depth } => t.translate_br_on_non_null(*relative_depth),
        Operator::Return => t.translate_return(),
        Operator::Drop => t.pop_n(1),
        Operator::Select | Operator::TypedSelect { .. } => t.translate_select(),

        _ => return translate_computation(t, op),
    }
    Ok(())
}

/// Translates one operator that only computes.
fn translate_computation(
    t: &mut FuncTranslator<'_>,
    op: &Operator<'_>,
) -> Result<(), CompileError> {
    let done = numeric::translate(t, op) || convert::translate(t, op) || simd::translate(t, op);
    if done { Ok(()) } else { Err(t.refuse(op)) }
}

/// Follows one operator that cannot be reached: only the nesting of blocks matters.
pub(super) fn skip_operator(t: &mut FuncTranslator<'_>, op: &Operator<'_>) {
    match op {
        Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => t.skipped += 1,
        Operator::End if t.skipped > 0 => t.skipped -= 1,
        Operator::End => t.translate_end(),
        Operator::Else if t.skipped == 0 => t.translate_else(),
        _ => {}
    }
}
