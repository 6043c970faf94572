//! The metadata of an object, read in place: each record is checked where it is used.

use super::error::{Damage, Fault, Part};
use super::header::{is_constant, is_entry, is_mutable, require};
use super::record::{Record, read};
use precast_abi::NONE;
use precast_abi::instance::{GUARD_RESERVATION, InstanceHeader, OFFSET_GUARD};
use precast_abi::object::*;
use precast_abi::types::{HeapType, Kind, ValType};

/// The metadata of an object whose header has been checked.
///
/// Every accessor checks the record that it returns: indices are in their spaces, distances are
/// regions of the instance data, text offsets lie in the text, spans of lists in the section.
/// Only names and blobs are checked apart, by [`Metadata::name`] and [`Metadata::bytes`].
/// An index past the end is answered as damage, too: indices come from the object itself.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    bytes: &'a [u8],
    header: &'a ObjectHeader,
}

impl<'a> Metadata<'a> {
    /// `header` is what [`super::header::check`] made of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], header: &'a ObjectHeader) -> Metadata<'a> {
        Metadata { bytes, header }
    }

    /// The header: identity, counts, layout. Every span in it is in bounds.
    pub fn header(&self) -> &'a ObjectHeader {
        self.header
    }

    /// Record `index` of a list of the header, unchecked in itself.
    pub(super) fn record<T: Record>(
        &self,
        list: Span,
        index: u32,
        part: Part,
    ) -> Result<T, Damage> {
        self.field::<T, T>(list, index, 0, part)
    }

    /// The field that starts `offset` bytes into record `index` of a list of `R`.
    pub(super) fn field<R: Record, T: Record>(
        &self,
        list: Span,
        index: u32,
        offset: usize,
        part: Part,
    ) -> Result<T, Damage> {
        let missing = Damage::at(part, index, Fault::BadIndex);
        require(index < list.len, missing)?;
        let at = list.offset as usize + index as usize * R::SIZE + offset;
        self.bytes.get(at..).and_then(read).ok_or(missing)
    }

    /// The bytes of `span`, which belongs to record `index` of `part`.
    fn span(&self, span: Span, part: Part, index: Option<u32>) -> Result<&'a [u8], Damage> {
        if span.len == 0 {
            return Ok(&[]);
        }
        let end = span.offset as usize + span.len as usize;
        self.bytes.get(span.offset as usize..end).ok_or(Damage {
            part,
            index,
            fault: Fault::OutOfBounds,
        })
    }

    /// A name that a record of kind `part` with this index holds.
    pub fn name(&self, span: Span, part: Part, index: u32) -> Result<&'a str, Damage> {
        let bytes = self.span(span, part, Some(index))?;
        str::from_utf8(bytes).map_err(|_| Damage::at(part, index, Fault::NotUtf8))
    }

    /// A blob that a record of kind `part` with this index holds.
    pub fn bytes(&self, span: Span, part: Part, index: u32) -> Result<&'a [u8], Damage> {
        self.span(span, part, Some(index))
    }

    /// Name of the module; may be empty.
    pub fn module_name(&self) -> Result<&'a str, Damage> {
        let bytes = self.span(self.header.module_name, Part::ModuleName, None)?;
        str::from_utf8(bytes).map_err(|_| Damage::of(Part::ModuleName, Fault::NotUtf8))
    }

    /// What made the object.
    pub fn producer(&self) -> Result<&'a str, Damage> {
        let bytes = self.span(self.header.producer, Part::Producer, None)?;
        str::from_utf8(bytes).map_err(|_| Damage::of(Part::Producer, Fault::NotUtf8))
    }

    /// Initial bytes of the region of globals.
    pub fn globals_image(&self) -> Result<&'a [u8], Damage> {
        self.span(self.header.globals_image, Part::GlobalsImage, None)
    }

    /// The code tables, in bytes.
    pub fn code_tables(&self) -> Result<&'a [u8], Damage> {
        self.span(self.header.code_tables, Part::CodeTables, None)
    }

    /// Level `index`: an object for better CPUs than those before it.
    pub fn level(&self, index: u32) -> Result<LevelRecord, Damage> {
        let list = self.header.levels;
        let level: LevelRecord = self.record(list, index, Part::Level)?;
        let before = match index {
            0 => self.header.cpu_features,
            _ => {
                let before: LevelRecord = self.record(list, index - 1, Part::Level)?;
                before.cpu_features
            }
        };
        let damage = |fault| Damage::at(Part::Level, index, fault);
        let better = before & !level.cpu_features == 0 && before != level.cpu_features;
        require(better, damage(Fault::Unordered))?;
        let page = crate::sys::SMALLEST_PAGE as u64;
        let aligned = level.file_offset.is_multiple_of(page) && level.file_offset > 0;
        require(aligned, damage(Fault::Misaligned))?;
        let end = level.file_offset.checked_add(level.size);
        require(end.is_some(), damage(Fault::OutOfBounds))?;
        Ok(level)
    }

    /// Code table `index`, and how many entries it has: one more than its table has elements.
    pub fn code_table(&self, index: u32) -> Result<(CodeTableRecord, u32), Damage> {
        let list = self.header.code_table_records;
        let array: CodeTableRecord = self.record(list, index, Part::CodeTable)?;
        let damage = |fault| Damage::at(Part::CodeTable, index, fault);
        let table = self.table(array.table)?;
        let immutable = table.flags & TableRecord::IMMUTABLE != 0;
        require(immutable, damage(Fault::Contradiction))?;
        let known = array.type_index == NONE || array.type_index < self.header.types.len;
        require(known, damage(Fault::BadIndex))?;
        let entries = table.min.saturating_add(1);
        let shared = array.type_index == NONE;
        // Beyond 32 bits it does not fit anyway.
        let size = CodeTableRecord::size(entries.min(1 << 33), shared);
        let inside = u64::from(array.offset) + size <= u64::from(self.header.code_tables.len);
        require(inside, damage(Fault::OutOfBounds))?;
        require(array.offset.is_multiple_of(4), damage(Fault::Misaligned))?;
        Ok((array, entries as u32))
    }

    /// Value type `index` of the pool that types refer to.
    pub fn val_type(&self, index: u32) -> Result<ValType, Damage> {
        let ty = self.record(self.header.val_types, index, Part::ValType)?;
        require(
            self.is_val_type(ty),
            Damage::at(Part::ValType, index, Fault::BadValue),
        )?;
        Ok(ty)
    }

    /// Whether `ty` is well-formed in this module.
    pub(super) fn is_val_type(&self, ty: ValType) -> bool {
        match (ty.kind(), ty.heap_type()) {
            (Some(Kind::Ref), Some(HeapType::Concrete(index) | HeapType::Object(index))) => {
                index < self.header.types.len
            }
            (Some(Kind::Ref), heap) => heap.is_some(),
            (kind, _) => kind.is_some() && ty.0 <= 0xff,
        }
    }

    /// Type `index`; its value types are in the pool.
    pub fn ty(&self, index: u32) -> Result<TypeRecord, Damage> {
        let ty: TypeRecord = self.record(self.header.types, index, Part::Type)?;
        let end = u64::from(ty.first) + u64::from(ty.params) + u64::from(ty.results);
        let in_pool =
            end <= u64::from(self.header.val_types.len) || ty.params == 0 && ty.results == 0;
        require(in_pool, Damage::at(Part::Type, index, Fault::OutOfBounds))?;
        let stubs = is_entry(self.header, ty.enter_stub) && is_entry(self.header, ty.host_stub);
        require(stubs, Damage::at(Part::Type, index, Fault::OutsideText))?;
        Ok(ty)
    }

    /// What type `index` is besides; its kind. Its fields are in their list.
    pub fn sub_type(&self, index: u32) -> Result<(SubTypeRecord, TypeKind), Damage> {
        let sub: SubTypeRecord = self.record(self.header.sub_types, index, Part::SubType)?;
        let damage = |fault| Damage::at(Part::SubType, index, fault);
        let kind = TypeKind::from_u32(sub.kind).ok_or(damage(Fault::BadValue))?;
        let flags = sub.flags & !SubTypeRecord::FINAL == 0;
        require(flags, damage(Fault::BadValue))?;
        let before = sub.supertype == NONE || sub.supertype < index;
        require(before && sub.group <= index, damage(Fault::BadIndex))?;
        let end = u64::from(sub.first_field) + u64::from(sub.fields);
        let inside = end <= u64::from(self.header.fields.len);
        require(inside, damage(Fault::OutOfBounds))?;
        let counted = match kind {
            TypeKind::Function => sub.fields == 0,
            TypeKind::Struct => true,
            TypeKind::Array => sub.fields == 1,
        };
        require(counted, damage(Fault::BadCount))?;
        Ok((sub, kind))
    }

    /// The fields of a type that [`Metadata::sub_type`] returned, each checked.
    pub fn fields(
        &self,
        sub: &SubTypeRecord,
    ) -> impl Iterator<Item = Result<FieldRecord, Damage>> + use<'a> {
        let this = *self;
        (sub.first_field..sub.first_field.saturating_add(sub.fields)).map(move |index| {
            let field: FieldRecord = this.record(this.header.fields, index, Part::Field)?;
            let damage = Damage::at(Part::Field, index, Fault::BadValue);
            require(this.is_val_type(field.ty), damage)?;
            let packed = field.flags & !FieldRecord::MUTABLE;
            let sound = packed == 0
                || field.ty == ValType::I32 && matches!(packed, FieldRecord::I8 | FieldRecord::I16);
            require(sound, damage)?;
            Ok(field)
        })
    }

    /// The heap of the module's own, if it has one: its index among the memories.
    pub fn heap_memory(&self) -> Result<Option<u32>, Damage> {
        let Some(last) = self.header.memories.len.checked_sub(1) else {
            return Ok(None);
        };
        let is_heap = self.memory(last)?.flags & MemoryRecord::HEAP != 0;
        Ok(is_heap.then_some(last))
    }

    /// The stack map of the call that returns to a text offset, if it has one: the frame's size, and
    /// where in it the references lie.
    pub fn stack_map(&self, offset: u32) -> Option<(u32, impl Iterator<Item = u32> + use<'a>)> {
        let this = *self;
        let (sites, part) = (self.header.stack_map_sites, Part::StackMaps);
        let (mut low, mut high) = (0, sites.len);
        while low < high {
            let middle = low + (high - low) / 2;
            match this.record::<u32>(sites, middle, part).ok()?.cmp(&offset) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let first = this
                        .record::<u32>(this.header.stack_maps, middle, part)
                        .ok()?;
                    let word = move |index: u32| {
                        let words = this.header.stack_map_words;
                        this.record::<u32>(words, index, part).ok()
                    };
                    let (size, count) = (word(first)?, word(first.checked_add(1)?)?);
                    let start = first + 2;
                    return Some((size, (start..start.saturating_add(count)).map_while(word)));
                }
            }
        }
        None
    }

    /// The parameters of a type that [`Metadata::ty`] returned, each checked.
    pub fn params(
        &self,
        ty: &TypeRecord,
    ) -> impl Iterator<Item = Result<ValType, Damage>> + use<'a> {
        self.val_type_range(ty.first, ty.params)
    }

    /// The results of a type that [`Metadata::ty`] returned, each checked.
    pub fn results(
        &self,
        ty: &TypeRecord,
    ) -> impl Iterator<Item = Result<ValType, Damage>> + use<'a> {
        self.val_type_range(ty.first.saturating_add(ty.params), ty.results)
    }

    fn val_type_range(
        &self,
        first: u32,
        len: u32,
    ) -> impl Iterator<Item = Result<ValType, Damage>> + use<'a> {
        let this = *self;
        (first..first.saturating_add(len)).map(move |index| this.val_type(index))
    }

    /// Function `index`, imported or defined.
    pub fn function(&self, index: u32) -> Result<FunctionRecord, Damage> {
        let function: FunctionRecord = self.record(self.header.functions, index, Part::Function)?;
        let damage = |fault| Damage::at(Part::Function, index, fault);
        require(
            function.type_index < self.header.types.len,
            damage(Fault::BadIndex),
        )?;
        if index < self.header.imported_functions {
            require(
                self.is_constant(function.import_slot, 16, 8),
                damage(Fault::OutOfBounds),
            )?;
            require(function.text_offset == NONE, damage(Fault::Contradiction))?;
        } else {
            let end = u64::from(function.text_offset) + u64::from(function.text_size);
            require(end <= self.header.text.size, damage(Fault::OutsideText))?;
            // One without code can only be reached where it was inlined.
            let has_code = function.text_size > 0 || function.func_ref == NONE;
            require(has_code, damage(Fault::BadSize))?;
            require(function.import_slot == NONE, damage(Fault::Contradiction))?;
        }
        let func_ref = function.func_ref == NONE || self.is_constant(function.func_ref, 32, 16);
        require(func_ref, damage(Fault::OutOfBounds))?;
        Ok(function)
    }

    /// Entry `entry` of the list of functions that can be referred to: index and record. The
    /// record has a `func_ref`.
    pub fn func_ref(&self, entry: u32) -> Result<(u32, FunctionRecord), Damage> {
        let index = self.record(self.header.func_refs, entry, Part::FuncRef)?;
        let damage = |fault| Damage::at(Part::FuncRef, entry, fault);
        require(index < self.header.functions.len, damage(Fault::BadIndex))?;
        let function = self.function(index)?;
        require(function.func_ref != NONE, damage(Fault::Contradiction))?;
        Ok((index, function))
    }

    /// Name of function `index`; may be empty.
    pub fn function_name(&self, index: u32) -> Result<&'a str, Damage> {
        self.name(self.function(index)?.name, Part::Name, index)
    }

    /// Table `index`, imported or defined.
    pub fn table(&self, index: u32) -> Result<TableRecord, Damage> {
        let table: TableRecord = self.record(self.header.tables, index, Part::Table)?;
        let damage = |fault| Damage::at(Part::Table, index, fault);
        let is_ref = table.elem.kind() == Some(Kind::Ref) && self.is_val_type(table.elem);
        require(is_ref, damage(Fault::BadType))?;
        let known = TableRecord::HAS_MAX | TableRecord::INDEX64 | TableRecord::IMMUTABLE;
        require(table.flags & !known == 0, damage(Fault::BadValue))?;
        let ordered = table.flags & TableRecord::HAS_MAX == 0 || table.min <= table.max;
        require(ordered, damage(Fault::Unordered))?;
        let imported = index < self.header.imported_tables;
        let immutable = table.flags & TableRecord::IMMUTABLE != 0;
        let placed = match (imported, immutable) {
            (true, true) => false,
            (true, false) => self.is_constant(table.def, 8, 8),
            (false, true) => table.def == NONE,
            (false, false) => self.is_mutable(table.def, 16, 8),
        };
        require(placed, damage(Fault::OutOfBounds))?;
        let room = table.storage == NONE || !imported && !immutable && self.has_room(&table);
        require(room, damage(Fault::OutOfBounds))?;
        Ok(table)
    }

    fn has_room(&self, table: &TableRecord) -> bool {
        let size = if table.elem.is_func_ref() { 32 } else { 8 };
        let bytes = table.min.checked_mul(size);
        bytes.is_some_and(|bytes| self.is_mutable(table.storage, bytes, size.min(16) as u32))
    }

    /// Memory `index`, imported or defined.
    pub fn memory(&self, index: u32) -> Result<MemoryRecord, Damage> {
        let memory: MemoryRecord = self.record(self.header.memories, index, Part::Memory)?;
        let damage = |fault| Damage::at(Part::Memory, index, fault);
        let known = MemoryRecord::HAS_MAX
            | MemoryRecord::INDEX64
            | MemoryRecord::SHARED
            | MemoryRecord::HEAP;
        let sound = memory.flags & !known == 0 && matches!(memory.page_size_log2, 0 | 16);
        require(sound && memory.reserved == 0, damage(Fault::BadValue))?;
        let ordered = memory.flags & MemoryRecord::HAS_MAX == 0 || memory.min <= memory.max;
        require(ordered, damage(Fault::Unordered))?;
        let shared = memory.flags & MemoryRecord::SHARED != 0;
        let bounded = !shared || memory.flags & MemoryRecord::HAS_MAX != 0;
        require(bounded, damage(Fault::BadValue))?;
        // No address in a heap is near 2^32, and nothing comes behind it.
        let heap = memory.flags & MemoryRecord::HEAP == 0
            || memory.flags == MemoryRecord::HEAP | MemoryRecord::HAS_MAX
                && memory.page_size_log2 == 16
                && (1..1 << 16).contains(&memory.min)
                && memory.max < 1 << 16
                && memory.reservation == 0
                && index >= self.header.imported_memories
                && index == self.header.memories.len - 1
                && self.header.heap != 0;
        require(heap, damage(Fault::BadValue))?;
        // A shared one lies elsewhere, as an imported one does.
        let imported = index < self.header.imported_memories || shared;
        let placed = match (imported, index) {
            (true, _) => self.is_constant(memory.def, 8, 8),
            (false, 0) => memory.def == InstanceHeader::MEMORY0,
            (false, _) => self.is_mutable(memory.def, 16, 8),
        };
        require(placed, damage(Fault::OutOfBounds))?;
        require(
            has_sound_reservation(&memory, imported, index),
            damage(Fault::BadSize),
        )?;
        Ok(memory)
    }

    /// Global `index`, imported or defined.
    pub fn global(&self, index: u32) -> Result<GlobalRecord, Damage> {
        let global: GlobalRecord = self.record(self.header.globals, index, Part::Global)?;
        let damage = |fault| Damage::at(Part::Global, index, fault);
        require(self.is_val_type(global.ty), damage(Fault::BadType))?;
        let placed = match global.ty.kind() {
            _ if index < self.header.imported_globals => self.is_constant(global.cell, 8, 8),
            Some(Kind::V128) => self.is_mutable(global.cell, 16, 16),
            _ => self.is_mutable(global.cell, 8, 8),
        };
        require(placed, damage(Fault::OutOfBounds))?;
        Ok(global)
    }

    /// Tag `index`, imported or defined. Its type has no results.
    pub fn tag(&self, index: u32) -> Result<TagRecord, Damage> {
        let tag: TagRecord = self.record(self.header.tags, index, Part::Tag)?;
        let ty = self.ty(tag.type_index)?;
        let damage = Damage::at(Part::Tag, index, Fault::BadType);
        require(ty.results == 0, damage)?;
        Ok(tag)
    }

    /// The frame of exception site `index`, whose handlers are in their list.
    pub fn exception_frame(&self, index: u32) -> Result<ExceptionFrame, Damage> {
        let list = self.header.exception_frames;
        let frame: ExceptionFrame = self.record(list, index, Part::ExceptionSite)?;
        let damage = |fault| Damage::at(Part::ExceptionSite, index, fault);
        let end = u64::from(frame.first) + u64::from(frame.count);
        let inside = end <= u64::from(self.header.exception_handlers.len);
        require(inside, damage(Fault::OutOfBounds))?;
        let sound = frame.base < frame.size && frame.base.is_multiple_of(8);
        require(sound, damage(Fault::BadValue))?;
        Ok(frame)
    }

    /// Exception handler `index`: its code lies in the text, its tag exists.
    pub fn exception_handler(&self, index: u32) -> Result<ExceptionHandler, Damage> {
        let list = self.header.exception_handlers;
        let handler: ExceptionHandler = self.record(list, index, Part::ExceptionHandler)?;
        let damage = |fault| Damage::at(Part::ExceptionHandler, index, fault);
        let inside = u64::from(handler.text_offset) < self.header.text.size;
        require(inside, damage(Fault::OutsideText))?;
        let known = handler.tag().is_none_or(|tag| tag < self.header.tags.len);
        require(known, damage(Fault::BadIndex))?;
        Ok(handler)
    }

    /// Import `index`.
    pub fn import(&self, index: u32) -> Result<ImportRecord, Damage> {
        let import: ImportRecord = self.record(self.header.imports, index, Part::Import)?;
        let header = self.header;
        let imported = match ExternKind::from_u32(import.kind) {
            Some(ExternKind::Function) => header.imported_functions,
            Some(ExternKind::Table) => header.imported_tables,
            Some(ExternKind::Memory) => header.imported_memories,
            Some(ExternKind::Global) => header.imported_globals,
            Some(ExternKind::Tag) => header.imported_tags,
            None => return Err(Damage::at(Part::Import, index, Fault::BadValue)),
        };
        require(
            import.index < imported,
            Damage::at(Part::Import, index, Fault::BadIndex),
        )?;
        Ok(import)
    }

    /// Export `index`, in the order of names.
    pub fn export(&self, index: u32) -> Result<ExportRecord, Damage> {
        let export: ExportRecord = self.record(self.header.exports, index, Part::Export)?;
        let header = self.header;
        let space = match ExternKind::from_u32(export.kind) {
            Some(ExternKind::Function) => header.functions,
            Some(ExternKind::Table) => header.tables,
            Some(ExternKind::Memory) => header.memories,
            Some(ExternKind::Global) => header.globals,
            Some(ExternKind::Tag) => header.tags,
            None => return Err(Damage::at(Part::Export, index, Fault::BadValue)),
        };
        require(
            export.index < space.len,
            Damage::at(Part::Export, index, Fault::BadIndex),
        )?;
        Ok(export)
    }

    /// Element segment `index`.
    pub fn element(&self, index: u32) -> Result<ElementRecord, Damage> {
        let element: ElementRecord = self.record(self.header.elements, index, Part::Element)?;
        let damage = |fault| Damage::at(Part::Element, index, fault);
        let is_ref = element.elem.kind() == Some(Kind::Ref) && self.is_val_type(element.elem);
        require(is_ref, damage(Fault::BadType))?;
        if element.values == NONE {
            require(
                element.functions.len == element.len,
                damage(Fault::BadCount),
            )?;
            let end = u64::from(element.functions.offset) + u64::from(element.len) * 4;
            let inside = element.len == 0 || end <= self.bytes.len() as u64;
            require(inside, damage(Fault::OutOfBounds))?;
        } else {
            let placed =
                element.len == 0 || self.is_mutable(element.values, u64::from(element.len) * 8, 8);
            require(placed, damage(Fault::OutOfBounds))?;
        }
        Ok(element)
    }

    /// Function `item` of element segment `index`, which [`Metadata::element`] returned as
    /// `element` and whose `values` is `NONE`. `None` for null.
    pub fn element_function(
        &self,
        index: u32,
        element: &ElementRecord,
        item: u32,
    ) -> Result<Option<u32>, Damage> {
        let function: u32 = self.record(element.functions, item, Part::Element)?;
        if function == NONE {
            return Ok(None);
        }
        let known = function < self.header.functions.len;
        require(known, Damage::at(Part::Element, index, Fault::BadIndex))?;
        Ok(Some(function))
    }

    /// The bytes of data segment `index`.
    pub fn data(&self, index: u32) -> Result<&'a [u8], Damage> {
        let data: DataRecord = self.record(self.header.data, index, Part::Data)?;
        self.bytes(data.bytes, Part::Data, index)
    }

    /// Image run `index`: its bytes lie in the image, and within the memory's initial length.
    pub fn image_run(&self, index: u32) -> Result<ImageRun, Damage> {
        let run: ImageRun = self.record(self.header.image_runs, index, Part::ImageRun)?;
        let damage = |fault| Damage::at(Part::ImageRun, index, fault);
        let own =
            run.memory >= self.header.imported_memories && run.memory < self.header.memories.len;
        require(own, damage(Fault::BadIndex))?;
        let memory = self.memory(run.memory)?;
        let len = initial_bytes(&memory).ok_or(damage(Fault::OutOfBounds))?;
        let fits = |start: u64, len: u64| start.checked_add(run.len).is_some_and(|end| end <= len);
        require(fits(run.memory_offset, len), damage(Fault::OutOfBounds))?;
        require(
            fits(run.image_offset, self.header.image.size),
            damage(Fault::OutOfBounds),
        )?;
        let page = crate::sys::SMALLEST_PAGE as u64;
        let aligned = run.memory_offset.is_multiple_of(page)
            && run.image_offset.is_multiple_of(page)
            && (run.len.is_multiple_of(page) || run.memory_offset + run.len == len);
        require(aligned, damage(Fault::Misaligned))?;
        require(run.reserved == 0, damage(Fault::NotZero))?;
        Ok(run)
    }

    /// Name and contents of custom section `index`.
    pub fn custom(&self, index: u32) -> Result<(&'a str, &'a [u8]), Damage> {
        let custom: CustomRecord = self.record(self.header.customs, index, Part::Custom)?;
        let name = self.name(custom.name, Part::Custom, index)?;
        Ok((name, self.bytes(custom.bytes, Part::Custom, index)?))
    }

    fn is_mutable(&self, distance: u32, len: u64, align: u32) -> bool {
        is_mutable(&self.header.layout, distance, len, align)
    }

    fn is_constant(&self, distance: u32, len: u64, align: u32) -> bool {
        is_constant(&self.header.layout, distance, len, align)
    }
}

/// Initial length of a memory in bytes.
pub(crate) fn initial_bytes(memory: &MemoryRecord) -> Option<u64> {
    memory
        .min
        .checked_shl(memory.page_size_log2)
        .filter(|bytes| bytes >> memory.page_size_log2 == memory.min)
}

/// A reservation holds every index of 32 bits, and the guard every constant offset: where code
/// does not check, nothing else may be in its reach. Both are made of pages, and leave room in the
/// address space. Only memory 0 can have them: only its base is known to generated code.
///
/// So is a capacity, of a memory whose every access is checked.
fn has_sound_reservation(memory: &MemoryRecord, imported: bool, index: u32) -> bool {
    let page = crate::sys::SMALLEST_PAGE as u64;
    let first = index == 0 && !imported;
    let least = initial_bytes(memory);
    let sound_capacity = memory.capacity == 0
        || first
            && memory.reservation == 0
            && memory.capacity <= 1 << 46
            && memory.capacity.is_multiple_of(page)
            && least.is_some_and(|bytes| bytes <= memory.capacity);
    if memory.reservation == 0 {
        return memory.guard == 0 && sound_capacity;
    }
    first
        && sound_capacity
        && memory.flags & MemoryRecord::INDEX64 == 0
        && (GUARD_RESERVATION..=1 << 46).contains(&memory.reservation)
        && (OFFSET_GUARD..=1 << 46).contains(&memory.guard)
        && memory.reservation.is_multiple_of(page)
        && memory.guard.is_multiple_of(page)
        && least.is_some_and(|bytes| bytes <= memory.reservation)
}
