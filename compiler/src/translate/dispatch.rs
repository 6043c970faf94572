//! The table of operators that are not computation on numbers: one line per operator.
//!
//! The tables of those that are stand at the top of their files: `numeric`, `convert` and `simd`.
//! What no table knows is refused by name.

use super::call::CallKind::{Normal, Tail};
use super::func::FuncTranslator;
use super::memory::Narrow::{S8, S16, S32, U8, U16, U32};
use super::{atomic, convert, numeric, simd};
use crate::error::CompileError;
use cranelift_codegen::ir::types::{F32, F64, I32, I64};
use precast_abi::runtime::RuntimeFn;
use wasmparser::Operator;

/// Translates one operator that can be reached.
#[rustfmt::skip]
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
        Operator::Select => t.translate_select(None),
        Operator::TypedSelect { ty } => t.translate_select(Some(*ty)),

        // Calls.
        Operator::Call { function_index } => t.translate_call(*function_index, Normal)?,
        Operator::CallIndirect { type_index, table_index } => t.translate_call_indirect(*type_index, *table_index, Normal)?,
        Operator::CallRef { type_index } => t.translate_call_ref(*type_index, Normal)?,
        Operator::ReturnCall { function_index } => t.translate_call(*function_index, Tail)?,
        Operator::ReturnCallIndirect { type_index, table_index } => t.translate_call_indirect(*type_index, *table_index, Tail)?,
        Operator::ReturnCallRef { type_index } => t.translate_call_ref(*type_index, Tail)?,

        // Exceptions.
        Operator::TryTable { try_table } => t.translate_try_table(try_table),
        Operator::Throw { tag_index } => t.translate_throw(*tag_index)?,
        Operator::ThrowRef => t.translate_throw_ref()?,
        Operator::Try { blockty } => t.translate_try(*blockty),
        Operator::Catch { .. } | Operator::CatchAll => t.translate_catch(),
        Operator::Delegate { .. } => t.translate_delegate(),
        Operator::Rethrow { relative_depth } => t.translate_rethrow(*relative_depth)?,

        // Variables.
        Operator::LocalGet { local_index } => t.translate_local_get(*local_index),
        Operator::LocalSet { local_index } => t.translate_local_set(*local_index),
        Operator::LocalTee { local_index } => t.translate_local_tee(*local_index),
        Operator::GlobalGet { global_index } => t.translate_global_get(*global_index),
        Operator::GlobalSet { global_index } => t.translate_global_set(*global_index),

        // References.
        Operator::RefNull { .. } => t.translate_ref_null(),
        Operator::RefIsNull => t.translate_ref_is_null(),
        Operator::RefFunc { function_index } => t.translate_ref_func(*function_index),
        Operator::RefAsNonNull => t.translate_ref_as_non_null(),

        Operator::RefEq => t.translate_ref_eq(),
        Operator::RefI31 => t.translate_ref_i31(),
        Operator::I31GetS => t.translate_i31_get(true),
        Operator::I31GetU => t.translate_i31_get(false),
        Operator::RefTestNonNull { hty } => t.translate_ref_test(false, *hty)?,
        Operator::RefTestNullable { hty } => t.translate_ref_test(true, *hty)?,
        Operator::RefCastNonNull { hty } => t.translate_ref_cast(false, *hty)?,
        Operator::RefCastNullable { hty } => t.translate_ref_cast(true, *hty)?,
        Operator::BrOnCast { relative_depth, from_ref_type, to_ref_type } => t.translate_br_on_cast(*relative_depth, *from_ref_type, *to_ref_type, true)?,
        Operator::BrOnCastFail { relative_depth, from_ref_type, to_ref_type } => t.translate_br_on_cast(*relative_depth, *from_ref_type, *to_ref_type, false)?,
        Operator::AnyConvertExtern => t.translate_any_convert_extern(),
        Operator::ExternConvertAny => t.translate_extern_convert_any(),

        // Objects.
        Operator::StructNew { struct_type_index } => t.translate_struct_new(*struct_type_index),
        Operator::StructNewDefault { struct_type_index } => t.translate_struct_new_default(*struct_type_index),
        Operator::StructGet { struct_type_index, field_index }
        | Operator::StructGetU { struct_type_index, field_index } => t.translate_struct_get(*struct_type_index, *field_index, false),
        Operator::StructGetS { struct_type_index, field_index } => t.translate_struct_get(*struct_type_index, *field_index, true),
        Operator::StructSet { struct_type_index, field_index } => t.translate_struct_set(*struct_type_index, *field_index),
        Operator::ArrayNew { array_type_index } => t.translate_array_new(*array_type_index, true),
        Operator::ArrayNewDefault { array_type_index } => t.translate_array_new(*array_type_index, false),
        Operator::ArrayNewFixed { array_type_index, array_size } => t.translate_array_new_fixed(*array_type_index, *array_size),
        Operator::ArrayNewData { array_type_index, array_data_index } => t.translate_array_new_segment(RuntimeFn::ArrayNewData, *array_type_index, *array_data_index),
        Operator::ArrayNewElem { array_type_index, array_elem_index } => t.translate_array_new_segment(RuntimeFn::ArrayNewElem, *array_type_index, *array_elem_index),
        Operator::ArrayGet { array_type_index }
        | Operator::ArrayGetU { array_type_index } => t.translate_array_get(*array_type_index, false),
        Operator::ArrayGetS { array_type_index } => t.translate_array_get(*array_type_index, true),
        Operator::ArraySet { array_type_index } => t.translate_array_set(*array_type_index),
        Operator::ArrayLen => t.translate_array_len(),
        Operator::ArrayFill { array_type_index } => t.translate_array_fill(*array_type_index),
        Operator::ArrayCopy { array_type_index_dst, .. } => t.translate_array_copy(*array_type_index_dst),
        Operator::ArrayInitData { array_type_index, array_data_index } => t.translate_array_init(RuntimeFn::ArrayInitData, *array_type_index, *array_data_index),
        Operator::ArrayInitElem { array_type_index, array_elem_index } => t.translate_array_init(RuntimeFn::ArrayInitElem, *array_type_index, *array_elem_index),

        // Memory.
        Operator::I32Load { memarg } => t.translate_load(memarg, I32),
        Operator::I64Load { memarg } => t.translate_load(memarg, I64),
        Operator::F32Load { memarg } => t.translate_load(memarg, F32),
        Operator::F64Load { memarg } => t.translate_load(memarg, F64),
        Operator::I32Load8S { memarg } => t.translate_load_narrow(memarg, I32, S8),
        Operator::I32Load8U { memarg } => t.translate_load_narrow(memarg, I32, U8),
        Operator::I32Load16S { memarg } => t.translate_load_narrow(memarg, I32, S16),
        Operator::I32Load16U { memarg } => t.translate_load_narrow(memarg, I32, U16),
        Operator::I64Load8S { memarg } => t.translate_load_narrow(memarg, I64, S8),
        Operator::I64Load8U { memarg } => t.translate_load_narrow(memarg, I64, U8),
        Operator::I64Load16S { memarg } => t.translate_load_narrow(memarg, I64, S16),
        Operator::I64Load16U { memarg } => t.translate_load_narrow(memarg, I64, U16),
        Operator::I64Load32S { memarg } => t.translate_load_narrow(memarg, I64, S32),
        Operator::I64Load32U { memarg } => t.translate_load_narrow(memarg, I64, U32),
        Operator::I32Store { memarg } => t.translate_store(memarg),
        Operator::I64Store { memarg } => t.translate_store(memarg),
        Operator::F32Store { memarg } => t.translate_store(memarg),
        Operator::F64Store { memarg } => t.translate_store(memarg),
        Operator::I32Store8 { memarg } => t.translate_store_narrow(memarg, 1),
        Operator::I32Store16 { memarg } => t.translate_store_narrow(memarg, 2),
        Operator::I64Store8 { memarg } => t.translate_store_narrow(memarg, 1),
        Operator::I64Store16 { memarg } => t.translate_store_narrow(memarg, 2),
        Operator::I64Store32 { memarg } => t.translate_store_narrow(memarg, 4),
        Operator::MemorySize { mem } => t.translate_memory_size(*mem),
        Operator::MemoryGrow { mem } => t.translate_memory_grow(*mem),
        Operator::MemoryCopy { dst_mem, src_mem } => t.translate_memory_copy(*dst_mem, *src_mem),
        Operator::MemoryFill { mem } => t.translate_memory_fill(*mem),
        Operator::MemoryInit { data_index, mem } => t.translate_memory_init(*mem, *data_index),
        Operator::DataDrop { data_index } => t.translate_data_drop(*data_index),

        // Tables.
        Operator::TableGet { table } => t.translate_table_get(*table),
        Operator::TableSet { table } => t.translate_table_set(*table),
        Operator::TableSize { table } => t.translate_table_size(*table),
        Operator::TableGrow { table } => t.translate_table_grow(*table),
        Operator::TableFill { table } => t.translate_table_fill(*table),
        Operator::TableCopy { dst_table, src_table } => t.translate_table_copy(*dst_table, *src_table),
        Operator::TableInit { elem_index, table } => t.translate_table_init(*table, *elem_index),
        Operator::ElemDrop { elem_index } => t.translate_elem_drop(*elem_index),

        _ => return translate_computation(t, op),
    }
    Ok(())
}

/// Translates one operator that only computes.
fn translate_computation(
    t: &mut FuncTranslator<'_>,
    op: &Operator<'_>,
) -> Result<(), CompileError> {
    let done = numeric::translate(t, op)
        || convert::translate(t, op)
        || simd::translate(t, op)
        || atomic::translate(t, op);
    if done { Ok(()) } else { Err(t.refuse(op)) }
}

/// Follows one operator that cannot be reached: only the nesting of blocks matters.
pub(super) fn skip_operator(t: &mut FuncTranslator<'_>, op: &Operator<'_>) {
    match op {
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::TryTable { .. } => t.skipped += 1,
        Operator::Try { .. } => {
            t.skip_try();
            t.skipped += 1;
        }
        Operator::End | Operator::Delegate { .. } if t.skipped > 0 => t.skipped -= 1,
        Operator::Delegate { .. } => t.translate_delegate(),
        Operator::Catch { .. } | Operator::CatchAll if t.skipped == 0 => t.translate_catch(),
        Operator::End => t.translate_end(),
        Operator::Else if t.skipped == 0 => t.translate_else(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    /// The tables, as text.
    const TABLES: [&str; 11] = [
        include_str!("dispatch.rs"),
        include_str!("atomic.rs"),
        include_str!("numeric.rs"),
        include_str!("convert.rs"),
        include_str!("simd.rs"),
        include_str!("simd/float.rs"),
        include_str!("simd/int.rs"),
        include_str!("simd/lanes.rs"),
        include_str!("simd/memory.rs"),
        include_str!("simd/relaxed.rs"),
        include_str!("simd/widen.rs"),
    ];

    /// Proposals that are supported whole.
    const SUPPORTED: [&str; 14] = [
        "gc",
        "mvp",
        "sign_extension",
        "saturating_float_to_int",
        "bulk_memory",
        "reference_types",
        "tail_call",
        "simd",
        "relaxed_simd",
        "function_references",
        "wide_arithmetic",
        "threads",
        "exceptions",
        "legacy_exceptions",
    ];

    macro_rules! names {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
            [$((stringify!($proposal), stringify!($op))),*]
        };
    }

    #[test]
    fn no_operator_of_a_supported_proposal_is_forgotten() {
        let is_word = |c: char| c.is_ascii_alphanumeric();
        let words: std::collections::HashSet<&str> = TABLES
            .into_iter()
            .flat_map(|table| table.split(|c| !is_word(c)))
            .collect();
        let missing: Vec<&str> = wasmparser::for_each_operator!(names)
            .into_iter()
            .filter(|(proposal, _)| SUPPORTED.contains(proposal))
            .map(|(_, op)| op)
            // Parsed, but never valid.
            .filter(|op| *op != "TypedSelectMulti" && !words.contains(op))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
