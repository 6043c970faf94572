//! Where everything of an instance lies: distances below the instance base.
//!
//! ```text
//!  low                                                                            high
//!  … guest stack | FuncRefs | type ids | import slots |
//!                  counters | table storage | element values | dropped flags |
//!                  memory and table definitions | globals | InstanceHeader | memory 0 ──►
//!                                                                          ▲
//!                                                                    instance base
//! ```
//!
//! The first line stays as it is once an instance is made; all that may change lies together next
//! to the base, so that one copy of those bytes brings an instance back to its start. Every
//! distance is a multiple of the alignment of what lies there, as the base is aligned to a page.

use crate::error::CompileError;
use crate::module::{
    ElemIndex, ElementItems, FuncIndex, GlobalIndex, Init, MemoryIndex, ModuleInfo, TableIndex,
    TypeIndex,
};
use cranelift_codegen::entity::{EntityRef, SecondaryMap};
use precast_abi::NONE;
use precast_abi::heap::HeapDef;
use precast_abi::instance::{FuncRef, ImportedFunc, InstanceHeader, MemoryDef, TableDef};
use precast_abi::object::InstanceLayout;

/// Greatest size of instance data in bytes.
const MAX_SIZE: u32 = 1 << 30;

/// Tables whose first elements need no more bytes than this live in the instance data,
const MAX_TABLE_STORAGE: u64 = 64 << 10;
/// as long as that is no larger than this.
const MAX_TABLES_STORAGE: u32 = 1 << 20;

/// Distances below the instance base; [`NONE`] where a thing does not exist.
pub(crate) struct Layout {
    /// The regions, as the object's header has them.
    pub(crate) regions: InstanceLayout,
    /// Cell of each global's value, or of the address of the cell for imports.
    pub(crate) globals: Distances<GlobalIndex>,
    /// `ImportedFunc` of each imported function.
    pub(crate) import_slots: Distances<FuncIndex>,
    /// `FuncRef` of each function that can be referred to.
    pub(crate) func_refs: Distances<FuncIndex>,
    /// `MemoryDef` of each memory, or the address of it for imports.
    pub(crate) memories: Distances<MemoryIndex>,
    /// `TableDef` of each table, or the address of it for imports.
    pub(crate) tables: Distances<TableIndex>,
    /// First elements of each table that lives in the instance data.
    pub(crate) table_storage: Distances<TableIndex>,
    /// References of each element segment that is not a list of functions.
    pub(crate) element_values: Distances<ElemIndex>,
    /// Bytes of the region of globals.
    pub(crate) globals_size: u32,
    /// The counters of what is executed; [`NONE`] where there are none.
    pub(crate) counters: u32,
    /// How many counters there are.
    pub(crate) counter_count: u32,
    /// The `HeapDef`; 0 where there is none.
    pub(crate) heap: u32,
}

/// A distance for each index of a space.
pub(crate) struct Distances<I: EntityRef>(SecondaryMap<I, u32>);

impl<I: EntityRef> Distances<I> {
    fn new() -> Self {
        Distances(SecondaryMap::with_default(NONE))
    }

    fn set(&mut self, index: I, distance: u32) {
        self.0[index] = distance;
    }

    /// The distance as the ABI writes it: [`NONE`] where there is none.
    pub(crate) fn get(&self, index: I) -> u32 {
        self.0[index]
    }

    /// The distance as an offset from the base that a load or store takes.
    ///
    /// Asking for what the layout lacks is a bug of the compiler; the offset is then one that
    /// no instance data reaches.
    pub(crate) fn offset(&self, index: I) -> i32 {
        debug_assert_ne!(self.0[index], NONE);
        (self.0[index] as i32).wrapping_neg()
    }
}

/// Hands out room downwards from the base.
struct Cursor {
    distance: u32,
}

impl Cursor {
    /// Room for `size` bytes at a distance that is a multiple of `align`, a power of two.
    fn take(&mut self, size: u64, align: u32) -> Result<u32, CompileError> {
        let end = u64::from(self.distance) + size;
        let end = end.next_multiple_of(u64::from(align));
        if end > u64::from(MAX_SIZE) {
            let what = format!("instance data exceeds {} MiB", MAX_SIZE >> 20);
            return Err(CompileError::TooLarge { what });
        }
        self.distance = end as u32;
        Ok(self.distance)
    }

    fn take_record<T>(&mut self) -> Result<u32, CompileError> {
        self.take(size_of::<T>() as u64, align_of::<T>() as u32)
    }
}

impl Layout {
    /// Lays out the instance data of a module, with room for so many counters.
    pub(crate) fn new(module: &ModuleInfo<'_>, counters: u32) -> Result<Layout, CompileError> {
        let mut cursor = Cursor {
            distance: InstanceHeader::SIZE,
        };
        let mut layout = Layout {
            regions: InstanceLayout::default(),
            globals: Distances::new(),
            import_slots: Distances::new(),
            func_refs: Distances::new(),
            memories: Distances::new(),
            tables: Distances::new(),
            table_storage: Distances::new(),
            element_values: Distances::new(),
            globals_size: 0,
            counters: NONE,
            counter_count: counters,
            heap: 0,
        };
        layout.place_globals(module, &mut cursor)?;
        layout.place_definitions(module, &mut cursor)?;
        layout.place_flags(module, &mut cursor)?;
        layout.place_elements(module, &mut cursor)?;
        if counters > 0 {
            layout.counters = cursor.take(u64::from(counters) * 8, 8)?;
        }
        layout.regions.mutable = cursor.take(0, 16)?;
        layout.place_imports(module, &mut cursor)?;
        if module.has_heap_def {
            layout.heap = cursor.take_record::<HeapDef>()?;
        }
        layout.regions.type_ids = cursor.take(module.types.len() as u64 * 4, 8)?;
        layout.place_func_refs(module, &mut cursor)?;
        layout.regions.size = cursor.take(0, 16)?;
        Ok(layout)
    }

    /// The region of the module's own globals; vectors next to the header, so that no padding
    /// is needed between cells of 16 and of 8 bytes.
    fn place_globals(
        &mut self,
        module: &ModuleInfo<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), CompileError> {
        let own = || {
            module
                .globals
                .iter()
                .filter(|(_, global)| global.init.is_some())
        };
        let is_vector = |ty| ty == wasmparser::ValType::V128;
        for (index, _) in own().filter(|(_, global)| is_vector(global.ty)) {
            self.globals.set(index, cursor.take(16, 16)?);
        }
        for (index, _) in own().filter(|(_, global)| !is_vector(global.ty)) {
            self.globals.set(index, cursor.take(8, 8)?);
        }
        self.regions.globals = cursor.take(0, 16)?;
        self.globals_size = self.regions.globals - InstanceHeader::SIZE;
        Ok(())
    }

    fn place_imports(
        &mut self,
        module: &ModuleInfo<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), CompileError> {
        for index in (0..module.imported.functions).map(FuncIndex::from_u32) {
            self.import_slots
                .set(index, cursor.take_record::<ImportedFunc>()?);
        }
        for index in (0..module.imported.globals).map(GlobalIndex::from_u32) {
            self.globals.set(index, cursor.take(8, 8)?);
        }
        let elsewhere = module.memories.iter().filter(|(_, m)| m.is_elsewhere());
        for (index, _) in elsewhere {
            self.memories.set(index, cursor.take(8, 8)?);
        }
        for index in (0..module.imported.tables).map(TableIndex::from_u32) {
            self.tables.set(index, cursor.take(8, 8)?);
        }
        Ok(())
    }

    fn place_definitions(
        &mut self,
        module: &ModuleInfo<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), CompileError> {
        let own = module.memories.iter().filter(|(_, m)| !m.is_elsewhere());
        for (index, _) in own {
            let distance = match index.as_u32() {
                0 => InstanceHeader::MEMORY0,
                _ => cursor.take_record::<MemoryDef>()?,
            };
            self.memories.set(index, distance);
        }
        for (index, table) in module.tables.iter() {
            if !table.imported && table.immutable.is_none() {
                self.tables.set(index, cursor.take_record::<TableDef>()?);
            }
        }
        Ok(())
    }

    fn place_flags(
        &mut self,
        module: &ModuleInfo<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), CompileError> {
        self.regions.data_dropped = cursor.take(module.data_at_run_time() as u64, 8)?;
        self.regions.elem_dropped = cursor.take(module.elements_at_run_time() as u64, 8)?;
        Ok(())
    }

    fn place_func_refs(
        &mut self,
        module: &ModuleInfo<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), CompileError> {
        for (index, function) in module.functions.iter() {
            if function.needs_func_ref {
                self.func_refs.set(index, cursor.take_record::<FuncRef>()?);
            }
        }
        Ok(())
    }

    /// Values of element segments, and elements of tables.
    fn place_elements(
        &mut self,
        module: &ModuleInfo<'_>,
        cursor: &mut Cursor,
    ) -> Result<(), CompileError> {
        for (index, segment) in module.elements.iter() {
            if let ElementItems::Values(values) = &segment.items {
                let size = values.len() as u64 * 8;
                self.element_values.set(index, cursor.take(size, 8)?);
            }
        }
        let limit = cursor.distance.saturating_add(MAX_TABLES_STORAGE);
        for (index, table) in module.tables.iter() {
            if table.imported || table.immutable.is_some() || cursor.distance > limit {
                continue;
            }
            let size = table.min.saturating_mul(u64::from(table.element_size()));
            if size <= MAX_TABLE_STORAGE {
                self.table_storage.set(index, cursor.take(size, 16)?);
            }
        }
        Ok(())
    }

    /// Offset from the base of a counter.
    pub(crate) fn counter_offset(&self, counter: u32) -> i32 {
        debug_assert!(counter < self.counter_count);
        (counter * 8) as i32 - self.counters as i32
    }

    /// Offset from the base of the process-wide identity of a type.
    pub(crate) fn type_id_offset(&self, ty: TypeIndex) -> i32 {
        ty.as_u32() as i32 * 4 - self.regions.type_ids as i32
    }

    /// The region of globals as it is before anything runs: known values, and zeros.
    pub(crate) fn globals_image(&self, module: &ModuleInfo<'_>) -> Vec<u8> {
        let mut image = vec![0; self.globals_size as usize];
        for (index, global) in module.globals.iter() {
            let Some(Init::Value(value)) = global.init else {
                continue;
            };
            let Some(bytes) = value.bytes() else { continue };
            let size = if global.ty == wasmparser::ValType::V128 {
                16
            } else {
                8
            };
            let start = (self.regions.globals - self.globals.get(index)) as usize;
            image[start..start + size].copy_from_slice(&bytes[..size]);
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A piece of instance data: what it is, distance, size, alignment.
    type Piece = (String, u32, u64, u32);

    fn pieces(module: &ModuleInfo<'_>, layout: &Layout) -> Vec<Piece> {
        let header = InstanceHeader::SIZE;
        let mut pieces = vec![("header".into(), header, u64::from(header), 16)];
        let mut add = |what: String, distance: u32, size: u64, align: u32| {
            if distance != NONE {
                pieces.push((what, distance, size, align));
            }
        };
        for (index, global) in module.globals.iter() {
            let is_vector = global.ty == wasmparser::ValType::V128 && global.init.is_some();
            let size = if is_vector { 16 } else { 8 };
            add(
                format!("{index:?}"),
                layout.globals.get(index),
                size,
                size as u32,
            );
        }
        for index in module.functions.keys() {
            add(
                format!("slot of {index:?}"),
                layout.import_slots.get(index),
                16,
                8,
            );
            add(
                format!("record of {index:?}"),
                layout.func_refs.get(index),
                32,
                16,
            );
        }
        for (index, memory) in module.memories.iter() {
            let in_header = index.as_u32() == 0 && !memory.is_elsewhere();
            if in_header {
                assert_eq!(layout.memories.get(index), InstanceHeader::MEMORY0);
                continue;
            }
            let size = if memory.is_elsewhere() { 8 } else { 16 };
            add(format!("{index:?}"), layout.memories.get(index), size, 8);
        }
        for (index, table) in module.tables.iter() {
            let size = if table.imported { 8 } else { 16 };
            add(format!("{index:?}"), layout.tables.get(index), size, 8);
            let size = table.min.wrapping_mul(u64::from(table.element_size()));
            add(
                format!("elements of {index:?}"),
                layout.table_storage.get(index),
                size,
                16,
            );
        }
        for (index, segment) in module.elements.iter() {
            let size = u64::from(segment.items.len()) * 8;
            add(
                format!("{index:?}"),
                layout.element_values.get(index),
                size,
                8,
            );
        }
        let regions = &layout.regions;
        add("counters".into(), layout.counters, 3 * 8, 8);
        add(
            "types".into(),
            regions.type_ids,
            module.types.len() as u64 * 4,
            4,
        );
        add(
            "data flags".into(),
            regions.data_dropped,
            module.data.len() as u64,
            1,
        );
        add(
            "element flags".into(),
            regions.elem_dropped,
            module.elements.len() as u64,
            1,
        );
        pieces
    }

    /// Distances of what stays as it is once an instance is made.
    fn constants(module: &ModuleInfo<'_>, layout: &Layout) -> BTreeSet<u32> {
        let functions = module.functions.keys();
        let imported = &module.imported;
        let elsewhere = module.memories.iter().filter(|(_, m)| m.is_elsewhere());
        functions
            .flat_map(|index| [layout.import_slots.get(index), layout.func_refs.get(index)])
            .chain((0..imported.globals).map(|n| layout.globals.get(GlobalIndex::from_u32(n))))
            .chain(elsewhere.map(|(index, _)| layout.memories.get(index)))
            .chain((0..imported.tables).map(|n| layout.tables.get(TableIndex::from_u32(n))))
            .chain((!module.types.is_empty()).then_some(layout.regions.type_ids))
            .collect()
    }

    #[track_caller]
    fn check(wat: &str) -> Layout {
        let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
        let module = ModuleInfo::read(&wasm).unwrap_or_else(|error| panic!("{error}"));
        let layout = Layout::new(&module, 3).unwrap_or_else(|error| panic!("{error}"));
        let mut pieces = pieces(&module, &layout);
        pieces.sort_by_key(|piece| piece.1);
        let constants = constants(&module, &layout);
        let mutable = u64::from(layout.regions.mutable);
        let mut end = 0;
        for (what, distance, size, align) in pieces {
            assert_eq!(distance % align, 0, "{what} is not aligned");
            assert!(u64::from(distance) >= end + size, "{what} overlaps");
            end = u64::from(distance);
            if size > 0 && constants.contains(&distance) {
                assert!(end - size >= mutable, "{what} never changes");
            } else {
                assert!(end <= mutable, "{what} may change");
            }
        }
        assert_eq!(mutable % 16, 0);
        assert!(end <= u64::from(layout.regions.size));
        assert_eq!(layout.regions.size % 16, 0);
        layout
    }

    #[test]
    fn nothing_overlaps() {
        check("(module)");
        check("(module (memory 1) (global i32 (i32.const 1)))");
        check(
            r#"(module
                (import "" "f" (func (param i32)))
                (import "" "g" (global i64))
                (import "" "v" (global v128))
                (import "" "m" (memory 1))
                (import "" "t" (table 1 funcref))
                (memory 1) (memory 2)
                (global $i i32 (i32.const 1))
                (global (mut v128) (v128.const i64x2 1 2))
                (global (mut f32) (f32.const 1))
                (table (export "own") 7 funcref)
                (table i64 3 externref)
                (elem funcref (item (ref.func 0)) (item (ref.null func)))
                (elem (i32.const 0) 1)
                (data "x") (data (i32.const 0) "y") (data (i32.const 1) "z")
                (func (export "e")) (func))"#,
        );
    }

    #[test]
    fn large_tables_live_elsewhere() {
        let layout = check("(module (table (export \"t\") 100000 funcref))");
        assert_eq!(layout.table_storage.get(TableIndex::from_u32(0)), NONE);
        let layout = check("(module (table (export \"t\") 100 funcref))");
        assert_ne!(layout.table_storage.get(TableIndex::from_u32(0)), NONE);
        let many = "(table 2000 externref)".repeat(1000);
        let layout = check(&format!("(module {many})"));
        assert!(layout.regions.size < 2 << 20);
    }

    #[test]
    fn globals_start_with_their_values() {
        let wasm = wat::parse_str(
            "(module (global i32 (i32.const -2)) (global v128 (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16))
                     (global (mut f64) (f64.const 1)) (func $f) (global funcref (ref.func $f)))",
        )
        .expect("the test's own module");
        let module = ModuleInfo::read(&wasm).expect("valid");
        let layout = Layout::new(&module, 3).expect("small");
        let image = layout.globals_image(&module);
        assert_eq!(
            image.len() as u32,
            layout.regions.globals - InstanceHeader::SIZE
        );
        let cell = |index: u32| {
            let distance = layout.globals.get(GlobalIndex::from_u32(index));
            &image[(layout.regions.globals - distance) as usize..]
        };
        assert_eq!(cell(0)[..8], (-2i32 as u32 as u64).to_le_bytes());
        assert_eq!(
            cell(1)[..16],
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
        );
        assert_eq!(cell(2)[..8], 1f64.to_le_bytes());
        assert_eq!(
            cell(3)[..8],
            [0; 8],
            "the address is known at instantiation"
        );
    }
}
