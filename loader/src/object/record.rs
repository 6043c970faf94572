//! Reading the records of an object by value, from bytes of any alignment.

use precast_abi::Version;
use precast_abi::object::*;
use precast_abi::types::ValType;

/// Plain data that can be read from little-endian bytes.
pub(crate) trait Record: Sized {
    /// Bytes of one.
    const SIZE: usize;
    /// What offsets of an array of them are a multiple of.
    const ALIGN: usize;

    /// Takes one off the front of `bytes`; `None` where they are too few.
    fn take(bytes: &mut &[u8]) -> Option<Self>;

    /// Appends one, for tests that make objects by hand.
    #[cfg(test)]
    fn put(&self, out: &mut Vec<u8>);
}

/// The record at the start of `bytes`.
pub(crate) fn read<T: Record>(bytes: &[u8]) -> Option<T> {
    // Cutting to the known size first leaves one bounds check instead of one per field.
    T::take(&mut bytes.get(..T::SIZE)?)
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Record for $ty {
            const SIZE: usize = size_of::<$ty>();
            const ALIGN: usize = align_of::<$ty>();

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (first, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(<$ty>::from_le_bytes(*first))
            }

            #[cfg(test)]
            fn put(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
        }
    )*};
}

integers!(u8, u16, u32, u64);

impl<T: Record + Copy + Default, const N: usize> Record for [T; N] {
    const SIZE: usize = T::SIZE * N;
    const ALIGN: usize = T::ALIGN;

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut all = [T::default(); N];
        for one in &mut all {
            *one = T::take(bytes)?;
        }
        Some(all)
    }

    #[cfg(test)]
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|one| one.put(out));
    }
}

impl Record for ValType {
    const SIZE: usize = 4;
    const ALIGN: usize = 4;

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        u32::take(bytes).map(ValType)
    }

    #[cfg(test)]
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
}

/// Names every field of a `repr(C)` struct with its type, in order. A field that is added to the
/// struct, moved or resized does not compile until it is changed here too.
macro_rules! records {
    ($($name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        impl Record for $name {
            const SIZE: usize = size_of::<$name>();
            const ALIGN: usize = align_of::<$name>();

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some($name { $($field: <$ty>::take(bytes)?,)* })
            }

            #[cfg(test)]
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
        }

        const _: () = {
            let mut offset = 0;
            $(
                assert!(core::mem::offset_of!($name, $field) == offset);
                offset += <$ty as Record>::SIZE;
            )*
            assert!(size_of::<$name>() == offset);
        };
    )*};
}

records! {
    Version { major: u16, minor: u16, }
    Span { offset: u32, len: u32, }
    Segment { file_offset: u64, address: u64, size: u64, }
    InstanceLayout {
        size: u32, globals: u32, type_ids: u32, data_dropped: u32, elem_dropped: u32, mutable: u32,
    }
    ObjectHeader {
        magic: [u8; 8], version: Version, header_size: u32, arch: u16, os: u16, metadata_size: u32,
        cpu_features: u64, text: Segment, image: Segment, layout: InstanceLayout, init: u32,
        imported_functions: u32, imported_tables: u32, imported_memories: u32,
        imported_globals: u32, types: Span, val_types: Span, functions: Span, func_refs: Span, tables: Span,
        memories: Span, globals: Span, imports: Span, exports: Span, elements: Span, data: Span,
        image_runs: Span, trap_offsets: Span, trap_codes: Span, customs: Span,
        globals_image: Span, strings: Span, module_name: Span, producer: Span, code_tables: Span,
        code_table_records: Span,
        source_hash: [u8; 32], trap_stubs: [u32; 16], flags: u32, counters: u32,
        counter_count: u32, levels: Span, tags: Span, exception_sites: Span, exception_frames: Span,
        exception_handlers: Span, imported_tags: u32, heap: u32, sub_types: Span, fields: Span,
        stack_map_sites: Span, stack_maps: Span, stack_map_words: Span, more_trap_stubs: [u32; 8],
    }
    SubTypeRecord {
        kind: u32, flags: u32, supertype: u32, group: u32, first_field: u32, fields: u32,
    }
    FieldRecord { ty: ValType, flags: u32, }
    LevelRecord { cpu_features: u64, file_offset: u64, size: u64, }
    TypeRecord { first: u32, params: u32, results: u32, enter_stub: u32, host_stub: u32, }
    FunctionRecord {
        type_index: u32, text_offset: u32, text_size: u32, func_ref: u32, import_slot: u32,
        name: Span, addr_map: Span,
    }
    TableRecord { min: u64, max: u64, elem: ValType, flags: u32, def: u32, storage: u32, }
    CodeTableRecord { table: u32, type_index: u32, offset: u32, }
    MemoryRecord {
        min: u64, max: u64, flags: u32, page_size_log2: u32, def: u32, reserved: u32,
        reservation: u64, guard: u64, capacity: u64,
    }
    GlobalRecord { ty: ValType, mutable: u32, cell: u32, }
    ImportRecord { module: Span, name: Span, kind: u32, index: u32, }
    ExportRecord { name: Span, kind: u32, index: u32, }
    TagRecord { type_index: u32, }
    ExceptionFrame { size: u32, base: u32, first: u32, count: u32, }
    ExceptionHandler { what: u32, text_offset: u32, }
    ElementRecord { elem: ValType, functions: Span, values: u32, len: u32, }
    DataRecord { bytes: Span, }
    ImageRun { memory_offset: u64, image_offset: u64, len: u64, memory: u32, reserved: u32, }
    CustomRecord { name: Span, bytes: Span, }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_writing_at_odd_addresses() {
        let run = ImageRun {
            memory_offset: 1 << 40,
            image_offset: 4096,
            len: 7,
            memory: 3,
            reserved: 0,
        };
        let mut bytes = vec![0xaa];
        run.put(&mut bytes);
        assert_eq!(read::<ImageRun>(&bytes[1..]), Some(run));
        assert_eq!(read::<ImageRun>(&bytes[2..]), None);
    }
}
