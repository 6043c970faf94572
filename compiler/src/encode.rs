//! The ABI's records as bytes.

use precast_abi::object::*;
use precast_abi::types::ValType;
use precast_abi::{VERSION, Version};

/// A value with a fixed layout in an object.
pub(crate) trait Encode {
    /// Appends its bytes, little-endian.
    fn encode(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl Encode for $ty {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
integers!(u8 u16 u32 i32 u64);

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        for item in self {
            item.encode(out);
        }
    }
}

/// Encodes a record field by field. That the fields are all there and in their order is checked
/// when this is compiled.
macro_rules! records {
    ($($ty:ident { $($field:ident),* })*) => {$(
        impl Encode for $ty {
            fn encode(&self, out: &mut Vec<u8>) {
                let start = out.len();
                let $ty { $($field),* } = self;
                $(
                    debug_assert_eq!(out.len() - start, std::mem::offset_of!($ty, $field));
                    $field.encode(out);
                )*
                debug_assert_eq!(out.len() - start, size_of::<$ty>());
            }
        }
        const _: () = {
            let offsets = [$(std::mem::offset_of!($ty, $field)),*];
            let mut i = 1;
            while i < offsets.len() {
                assert!(offsets[i - 1] < offsets[i]);
                i += 1;
            }
        };
    )*};
}

records! {
    Version { major, minor }
    Span { offset, len }
    Segment { file_offset, address, size }
    InstanceLayout { size, globals, type_ids, data_dropped, elem_dropped, mutable }
    TypeRecord { first, params, results, enter_stub, host_stub }
    FunctionRecord {
        type_index, text_offset, text_size, func_ref, import_slot, name, addr_map
    }
    TableRecord { min, max, elem, flags, def, storage }
    CodeTableRecord { table, type_index, offset }
    MemoryRecord {
        min, max, flags, page_size_log2, def, reserved, reservation, guard, capacity
    }
    GlobalRecord { ty, mutable, cell }
    ImportRecord { module, name, kind, index }
    ExportRecord { name, kind, index }
    TagRecord { type_index }
    ExceptionFrame { size, base, first, count }
    ExceptionHandler { what, text_offset }
    ElementRecord { elem, functions, values, len }
    DataRecord { bytes }
    ImageRun { memory_offset, image_offset, len, memory, reserved }
    CustomRecord { name, bytes }
    ObjectHeader {
        magic, version, header_size, arch, os, metadata_size, cpu_features, text, image, layout,
        init, imported_functions, imported_tables, imported_memories, imported_globals, types,
        val_types, functions, func_refs, tables, memories, globals, imports, exports, elements, data,
        image_runs, trap_offsets, trap_codes, customs, globals_image, strings, module_name,
        producer, code_tables, code_table_records, source_hash, trap_stubs, flags, counters,
        counter_count, levels, tags, exception_sites, exception_frames, exception_handlers, imported_tags,
        heap, sub_types, fields, stack_map_sites, stack_maps, stack_map_words, more_trap_stubs
    }
    SubTypeRecord { kind, flags, supertype, group, first_field, fields }
    FieldRecord { ty, flags }
    LevelRecord { cpu_features, file_offset, size }
}

impl Encode for ValType {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// A header that says of everything that it is not there.
pub(crate) fn empty_header() -> ObjectHeader {
    let none = Span::default();
    ObjectHeader {
        magic: MAGIC,
        version: VERSION,
        header_size: size_of::<ObjectHeader>() as u32,
        arch: 0,
        os: 0,
        metadata_size: 0,
        cpu_features: 0,
        text: Segment::default(),
        image: Segment::default(),
        layout: InstanceLayout::default(),
        init: precast_abi::NONE,
        imported_functions: 0,
        imported_tables: 0,
        imported_memories: 0,
        imported_globals: 0,
        types: none,
        val_types: none,
        functions: none,
        func_refs: none,
        tables: none,
        memories: none,
        globals: none,
        imports: none,
        exports: none,
        elements: none,
        data: none,
        image_runs: none,
        trap_offsets: none,
        trap_codes: none,
        customs: none,
        globals_image: none,
        strings: none,
        module_name: none,
        producer: none,
        code_tables: none,
        code_table_records: none,
        source_hash: [0; 32],
        trap_stubs: [precast_abi::NONE; 16],
        flags: 0,
        counters: precast_abi::NONE,
        counter_count: 0,
        levels: none,
        tags: none,
        exception_sites: none,
        exception_frames: none,
        exception_handlers: none,
        imported_tags: 0,
        heap: 0,
        sub_types: none,
        fields: none,
        stack_map_sites: none,
        stack_maps: none,
        stack_map_words: none,
        more_trap_stubs: [precast_abi::NONE; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_size_that_the_abi_gives_them() {
        let mut out = Vec::new();
        empty_header().encode(&mut out);
        assert_eq!(out.len(), size_of::<ObjectHeader>());
        assert_eq!(&out[..8], b"PRECAST\0");
        assert_eq!(
            out[12..16],
            (size_of::<ObjectHeader>() as u32).to_le_bytes()
        );
    }
}
