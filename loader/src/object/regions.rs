//! Where things lie in the instance data, as ranges counted from its low end.

use super::metadata::Metadata;
use precast_abi::NONE;
use precast_abi::instance::InstanceHeader;
use precast_abi::object::{MemoryRecord, ObjectHeader};
use precast_abi::types::{Kind, ValType};
use std::ops::Range;

/// The range of `len` bytes at a distance that has been checked.
pub(super) fn range(header: &ObjectHeader, distance: u32, len: u64) -> Range<u64> {
    let start = u64::from(header.layout.size.saturating_sub(distance));
    start..start + len
}

/// Bytes of a global of the module's own.
pub(super) fn cell_size(ty: ValType) -> u64 {
    if ty.kind() == Some(Kind::V128) { 16 } else { 8 }
}

/// Every region that something claims for itself, in ascending order. Damaged records are left
/// out: they are reported where they are looked at.
pub(super) fn all(metadata: Metadata<'_>) -> Vec<Range<u64>> {
    let header = metadata.header();
    let layout = &header.layout;
    let mut claims = vec![
        (InstanceHeader::SIZE, u64::from(InstanceHeader::SIZE)),
        (layout.globals, u64::from(header.globals_image.len)),
        (layout.type_ids, u64::from(header.types.len) * 4),
        (layout.data_dropped, u64::from(header.data.len)),
        (layout.elem_dropped, u64::from(header.elements.len)),
        (header.heap, if header.heap == 0 { 0 } else { 16 }),
    ];
    functions(metadata, &mut claims);
    tables_and_memories(metadata, &mut claims);
    for index in 0..header.imported_globals {
        claims.extend(metadata.global(index).map(|global| (global.cell, 8)));
    }
    for index in 0..header.elements.len {
        let element = metadata.element(index);
        claims.extend(element.map(|element| (element.values, u64::from(element.len) * 8)));
    }
    let mut regions: Vec<Range<u64>> = claims
        .into_iter()
        .filter(|(distance, len)| *distance != NONE && *len > 0)
        .map(|(distance, len)| range(header, distance, len))
        .collect();
    regions.sort_unstable_by_key(|region| (region.start, region.end));
    regions
}

fn functions(metadata: Metadata<'_>, claims: &mut Vec<(u32, u64)>) {
    for index in 0..metadata.header().functions.len {
        let Ok(function) = metadata.function(index) else {
            continue;
        };
        claims.push((function.func_ref, 32));
        claims.push((function.import_slot, 16));
    }
}

fn tables_and_memories(metadata: Metadata<'_>, claims: &mut Vec<(u32, u64)>) {
    let header = metadata.header();
    for index in 0..header.tables.len {
        let Ok(table) = metadata.table(index) else {
            continue;
        };
        let imported = index < header.imported_tables;
        claims.push((table.def, if imported { 8 } else { 16 }));
        let size = if table.elem.is_func_ref() { 32 } else { 8 };
        claims.push((table.storage, table.min.saturating_mul(size)));
    }
    for index in 0..header.memories.len {
        let Ok(memory) = metadata.memory(index) else {
            continue;
        };
        let shared = memory.flags & MemoryRecord::SHARED != 0;
        let imported = index < header.imported_memories || shared;
        // Memory 0 of the module's own lies in the header.
        if imported || memory.def != InstanceHeader::MEMORY0 {
            claims.push((memory.def, if imported { 8 } else { 16 }));
        }
    }
}
