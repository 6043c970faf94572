//! The table of operators that are not computation on numbers: one line per operator.
//!
//! `dispatch_numeric` continues it with numbers and conversions, `dispatch_simd` with vectors.
//! What no table knows is refused there by name.

use super::dispatch_numeric;
use super::func::FuncTranslator;
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

        _ => return dispatch_numeric::translate_operator(t, op),
    }
    Ok(())
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
