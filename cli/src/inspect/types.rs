//! Types as the text format writes them, more or less.

use precast::object::{Damage, Metadata};
use precast_abi::object::{GlobalRecord, MemoryRecord, TableRecord};
use precast_abi::types::{HeapType, Kind, ValType};

/// `(i32, i64) -> (f32)`.
pub(super) fn function(data: &Metadata<'_>, type_index: u32) -> Result<String, Damage> {
    let ty = data.ty(type_index)?;
    let params = list(data.params(&ty))?;
    let results = list(data.results(&ty))?;
    Ok(format!("({params}) -> ({results})"))
}

fn list(types: impl Iterator<Item = Result<ValType, Damage>>) -> Result<String, Damage> {
    let words: Vec<String> = types.map(|ty| ty.map(value)).collect::<Result<_, _>>()?;
    Ok(words.join(", "))
}

/// A value type.
fn value(ty: ValType) -> String {
    match ty.kind() {
        Some(Kind::I32) => "i32".to_owned(),
        Some(Kind::I64) => "i64".to_owned(),
        Some(Kind::F32) => "f32".to_owned(),
        Some(Kind::F64) => "f64".to_owned(),
        Some(Kind::V128) => "v128".to_owned(),
        Some(Kind::Ref) => reference(ty),
        None => format!("unknown type {:#x}", ty.0),
    }
}

fn reference(ty: ValType) -> String {
    let heap = match ty.heap_type() {
        Some(HeapType::Func) => "func".to_owned(),
        Some(HeapType::Extern) => "extern".to_owned(),
        Some(HeapType::NoFunc) => "nofunc".to_owned(),
        Some(HeapType::NoExtern) => "noextern".to_owned(),
        Some(HeapType::Exn) => "exn".to_owned(),
        Some(HeapType::NoExn) => "noexn".to_owned(),
        Some(HeapType::Any) => "any".to_owned(),
        Some(HeapType::Eq) => "eq".to_owned(),
        Some(HeapType::I31) => "i31".to_owned(),
        Some(HeapType::Struct) => "struct".to_owned(),
        Some(HeapType::Array) => "array".to_owned(),
        Some(HeapType::None) => "none".to_owned(),
        Some(HeapType::Concrete(index) | HeapType::Object(index)) => index.to_string(),
        None => "unknown".to_owned(),
    };
    match (ty.is_nullable(), ty.heap_type()) {
        (true, Some(HeapType::Func | HeapType::Extern | HeapType::Exn)) => format!("{heap}ref"),
        (true, _) => format!("(ref null {heap})"),
        (false, _) => format!("(ref {heap})"),
    }
}

fn limits(min: u64, max: Option<u64>) -> String {
    match max {
        Some(max) => format!("{min} {max}"),
        None => min.to_string(),
    }
}

/// `i64 1 2 shared (pagesize 1)`.
pub(super) fn memory(memory: &MemoryRecord) -> String {
    let has = |flag| memory.flags & flag != 0;
    let mut words = limits(memory.min, has(MemoryRecord::HAS_MAX).then_some(memory.max));
    if has(MemoryRecord::INDEX64) {
        words.insert_str(0, "i64 ");
    }
    if has(MemoryRecord::SHARED) {
        words += " shared";
    }
    if memory.page_size_log2 != 16 {
        words += &format!(" (pagesize {})", 1u64.wrapping_shl(memory.page_size_log2));
    }
    words
}

/// `10 20 funcref`.
pub(super) fn table(table: &TableRecord) -> String {
    let has = |flag| table.flags & flag != 0;
    let limits = limits(table.min, has(TableRecord::HAS_MAX).then_some(table.max));
    let width = if has(TableRecord::INDEX64) {
        "i64 "
    } else {
        ""
    };
    format!("{width}{limits} {}", value(table.elem))
}

/// `(mut i32)`.
pub(super) fn global(global: &GlobalRecord) -> String {
    match global.mutable {
        0 => value(global.ty),
        _ => format!("(mut {})", value(global.ty)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_written_short_where_they_can_be() {
        assert_eq!(value(ValType::FUNCREF), "funcref");
        assert_eq!(
            value(ValType::reference(false, HeapType::Extern)),
            "(ref extern)"
        );
        assert_eq!(
            value(ValType::reference(true, HeapType::Concrete(3))),
            "(ref null 3)"
        );
    }
}
