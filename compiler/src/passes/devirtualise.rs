//! Indirect calls of which the callee is known: of a constant element of a table that no one can
//! change, or of the only element there of its type.

use crate::module::{FuncIndex, ModuleInfo, TableIndex, TypeIndex};

/// What is known of the callee of an indirect call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is this function.
    Function(FuncIndex),
    /// It is this function if the index is this one, and else the call traps.
    AtIndex(FuncIndex, u64),
}

/// What is known of the callee of a call of type `ty` through a table, whose index may be a
/// constant.
pub(crate) fn known_callee(
    module: &ModuleInfo<'_>,
    table: TableIndex,
    ty: TypeIndex,
    index: Option<u64>,
) -> Option<Known> {
    match index {
        Some(index) => module.known_element(table, ty, index).map(Known::Function),
        None => module
            .sole_element(table, ty)
            .map(|sole| Known::AtIndex(sole.function, sole.index)),
    }
}
