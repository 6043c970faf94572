//! The metadata section of an object: the model of the module, as the records of the ABI.

use crate::encode::{Encode, empty_header};
use crate::error::CompileError;
use crate::layout::Layout;
use crate::levels::Role;
use crate::link::Text;
use crate::module::{
    Bounds, CodeTable, DataMode, DataSegment, ElementItems, ElementMode, Entity, FuncIndex,
    ModuleInfo, TypeIndex,
};
use crate::options::{Collector, Options};
use crate::segments::Image;
use crate::strings::Strings;
use crate::stubs;
use crate::translate::Namespace;
use cranelift_codegen::entity::EntityRef;
use precast_abi::NONE;
use precast_abi::instance::{GUARD_RESERVATION, OFFSET_GUARD};
use precast_abi::object::*;
use precast_abi::trap::TrapCode;
use precast_abi::types::ValType;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What made an object.
const PRODUCER: &str = concat!("precast ", env!("CARGO_PKG_VERSION"));

/// A metadata section, complete but for the places of text and image.
pub(crate) struct Metadata {
    header: ObjectHeader,
    bytes: Vec<u8>,
    /// Distance from the first code table to each, and how many entries it has.
    code_tables: Vec<(u32, u32)>,
}

impl Metadata {
    /// Writes down where text and image have come to lie, for a section at `address`.
    pub(crate) fn place(&mut self, address: u64, text: Segment, image: Segment) {
        self.header.text = text;
        self.header.image = image;
        let mut header = Vec::with_capacity(size_of::<ObjectHeader>());
        self.header.encode(&mut header);
        self.bytes[..header.len()].copy_from_slice(&header);
        let distance = text.address.wrapping_sub(address) as u32;
        for entry in self.code_table_entries().collect::<Vec<_>>() {
            let place = entry.table.wrapping_sub(distance);
            let value = entry.target.wrapping_sub(place);
            let at = entry.field as usize;
            self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Writes down where the objects for further levels start: they follow this one, which is `size`
    /// bytes long, at multiples of `page`.
    pub(crate) fn place_levels(&mut self, size: u64, page: u64) {
        const OFFSET: usize = std::mem::offset_of!(LevelRecord, file_offset);
        const SIZE: usize = std::mem::offset_of!(LevelRecord, size);
        let Span { offset, len } = self.header.levels;
        let list = &mut self.bytes[offset as usize..];
        let records = list.chunks_exact_mut(size_of::<LevelRecord>());
        let mut end = size;
        for record in records.take(len as usize) {
            let start = end.next_multiple_of(page);
            record[OFFSET..][..8].copy_from_slice(&start.to_le_bytes());
            let mut size = [0; 8];
            size.copy_from_slice(&record[SIZE..][..8]);
            end = start + u64::from_le_bytes(size);
        }
    }

    /// The entries of the code tables. Only before [`Metadata::place`].
    pub(crate) fn code_table_entries(&self) -> impl Iterator<Item = CodeTableEntry> {
        let start = self.header.code_tables.offset;
        self.code_tables.iter().flat_map(move |&(table, entries)| {
            (0..entries).map(move |entry| {
                let field = start + table + 4 * entry;
                let bytes = &self.bytes[field as usize..][..4];
                CodeTableEntry {
                    field,
                    table: start + table,
                    target: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
                }
            })
        })
    }

    /// The whole section.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The string table: the end of the section.
    pub(crate) fn strings(&self) -> &[u8] {
        &self.bytes[self.header.strings.offset as usize..]
    }

    /// Size of the code tables in bytes.
    pub(crate) fn code_table_size(&self) -> u64 {
        u64::from(self.header.code_tables.len)
    }

    /// Metadata offset of the code tables.
    pub(crate) fn code_tables(&self) -> u32 {
        self.header.code_tables.offset
    }
}

/// An entry of a code table: four bytes that hold the distance from the start of the table to
/// a place in the text.
pub(crate) struct CodeTableEntry {
    /// Metadata offset of the entry.
    pub(crate) field: u32,
    /// Metadata offset of its table.
    pub(crate) table: u32,
    /// Text offset of the place.
    pub(crate) target: u32,
}

/// What the metadata tells about.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The module's bytes.
    pub(crate) wasm: &'a [u8],
    /// The module.
    pub(crate) module: &'a ModuleInfo<'a>,
    /// Layout of its instances.
    pub(crate) layout: &'a Layout,
    /// Its machine code.
    pub(crate) text: &'a Text,
    /// Initial contents of its memories.
    pub(crate) image: &'a Image,
    /// How it was compiled.
    pub(crate) options: &'a Options,
    /// What it has to do with others in its file.
    pub(crate) role: &'a Role,
}

/// Builds the metadata section. `strings` may hold strings already, and gets all the names.
pub(crate) fn build<'a>(
    source: &Source<'a>,
    strings: &mut Strings<'a>,
) -> Result<Metadata, CompileError> {
    let module = source.module;
    let mut names = Names::new(module, strings)?;
    let mut b = Builder {
        header: empty_header(),
        bytes: vec![0; size_of::<ObjectHeader>()],
    };
    b.encode_identity(source);
    if let Role::First(levels) = source.role {
        b.header.levels = b.records(levels)?;
    }
    b.encode_types(source)?;
    b.encode_functions(source, &mut names)?;
    b.encode_state(source)?;
    b.encode_segments(source)?;
    b.encode_traps(source.text)?;
    b.encode_exceptions(source)?;
    b.encode_sub_types(source.module)?;
    b.encode_stack_maps(source.text)?;
    b.header.code_tables = b.blob(&encode_code_tables(source)?, 4)?;
    let records: Vec<_> = code_table_records(module).collect();
    b.header.code_table_records = b.records(&records)?;
    b.encode_customs(module, &mut names)?;
    let entries = module.code_tables.iter();
    let entries = entries.map(|table| module.code_table_entries(table));
    let places = records.iter().map(|record| record.offset).zip(entries);
    b.finish(names, places.collect())
}

/// The names, before it is known where the string table will be.
struct Names<'s, 'a> {
    strings: &'s mut Strings<'a>,
    module_name: Span,
    producer: Span,
    imports: Vec<ImportRecord>,
    exports: Vec<ExportRecord>,
    functions: Vec<Span>,
    customs: Vec<CustomRecord>,
}

impl<'s, 'a> Names<'s, 'a> {
    fn new(module: &ModuleInfo<'a>, strings: &'s mut Strings<'a>) -> Result<Self, CompileError> {
        let mut imports = Vec::with_capacity(module.imports.len());
        for import in &module.imports {
            let (kind, index) = kind_and_index(import.entity);
            imports.push(ImportRecord {
                module: strings.intern(import.module)?,
                name: strings.intern(import.name)?,
                kind,
                index,
            });
        }
        let mut sorted: Vec<_> = module.exports.iter().collect();
        sorted.sort_by_key(|export| export.name);
        let mut exports = Vec::with_capacity(sorted.len());
        for export in sorted {
            let (kind, index) = kind_and_index(export.entity);
            exports.push(ExportRecord {
                name: strings.intern(export.name)?,
                kind,
                index,
            });
        }
        let mut functions = Vec::with_capacity(module.functions.len());
        for index in module.functions.keys() {
            functions.push(strings.intern(module.function_name(index).unwrap_or(""))?);
        }
        Ok(Names {
            module_name: strings.intern(module.name.unwrap_or(""))?,
            producer: strings.intern(PRODUCER)?,
            imports,
            exports,
            functions,
            customs: Vec::new(),
            strings,
        })
    }
}

fn kind_and_index(entity: Entity) -> (u32, u32) {
    match entity {
        Entity::Function(index) => (ExternKind::Function as u32, index.as_u32()),
        Entity::Table(index) => (ExternKind::Table as u32, index.as_u32()),
        Entity::Memory(index) => (ExternKind::Memory as u32, index.as_u32()),
        Entity::Global(index) => (ExternKind::Global as u32, index.as_u32()),
        Entity::Tag(index) => (ExternKind::Tag as u32, index.as_u32()),
    }
}

/// A section in the making: the header and what follows it so far.
struct Builder {
    header: ObjectHeader,
    bytes: Vec<u8>,
}

impl Builder {
    /// Makes room at a multiple of `align`, and says where.
    fn align(&mut self, align: usize) -> Result<u32, CompileError> {
        let start = self.bytes.len().next_multiple_of(align);
        self.bytes.resize(start, 0);
        section_offset(start)
    }

    /// Appends records.
    fn records<T: Encode>(&mut self, records: &[T]) -> Result<Span, CompileError> {
        let offset = self.align(8)?;
        for record in records {
            record.encode(&mut self.bytes);
        }
        let len = records.len() as u32;
        Ok(Span { offset, len })
    }

    /// Appends bytes.
    fn blob(&mut self, bytes: &[u8], align: usize) -> Result<Span, CompileError> {
        let offset = self.align(align)?;
        self.bytes.extend_from_slice(bytes);
        let len = u32::try_from(bytes.len()).map_err(|_| CompileError::TooLarge {
            what: "a segment exceeds 4 GiB".to_owned(),
        })?;
        Ok(Span { offset, len })
    }

    fn encode_identity(&mut self, source: &Source<'_>) {
        let header = &mut self.header;
        header.arch = source.options.target.arch() as u16;
        header.os = source.options.target.os() as u16;
        header.cpu_features = source.options.cpu.features();
        header.layout = source.layout.regions;
        header.init = source.text.offset(Namespace::Init, 0);
        // As in the note that ELF files have of it.
        let pads = source.options.target.arch() == Arch::Aarch64;
        let shares = matches!(source.role, Role::Further);
        header.flags = flag(source.options.fuel, ObjectHeader::FUEL)
            | flag(pads, ObjectHeader::LANDING_PADS)
            | flag(shares, ObjectHeader::SHARES_IMAGE)
            | flag(
                source.options.collector == Collector::Null,
                ObjectHeader::NEVER_COLLECTS,
            );
        header.heap = source.layout.heap;
        header.counters = source.layout.counters;
        header.counter_count = source.layout.counter_count;
        let imported = source.module.imported;
        header.imported_functions = imported.functions;
        header.imported_tables = imported.tables;
        header.imported_memories = imported.memories;
        header.imported_globals = imported.globals;
        header.imported_tags = imported.tags;
        header.source_hash = Sha256::digest(source.wasm).into();
        for code in TrapCode::ALL {
            let stub = source.text.offset(Namespace::TrapStub, code as u32);
            let more = (code as usize).wrapping_sub(header.trap_stubs.len());
            let (first, more) = (
                header.trap_stubs.get_mut(code as usize),
                header.more_trap_stubs.get_mut(more),
            );
            if let Some(place) = first.or(more) {
                *place = stub;
            }
        }
    }

    fn encode_types(&mut self, source: &Source<'_>) -> Result<(), CompileError> {
        let mut val_types: Vec<ValType> = Vec::new();
        let abi = |ty| source.module.abi_val_type(ty);
        let mut types = Vec::with_capacity(source.module.types.len());
        for ty in source.module.types.values() {
            let first = val_types.len() as u32;
            val_types.extend(ty.params.iter().copied().map(&abi));
            val_types.extend(ty.results.iter().copied().map(&abi));
            let stub = |namespace| source.text.offset(namespace, ty.canonical.as_u32());
            types.push(TypeRecord {
                first,
                params: ty.params.len() as u32,
                results: ty.results.len() as u32,
                enter_stub: stub(Namespace::EnterStub),
                host_stub: stub(Namespace::HostStub),
            });
        }
        self.header.types = self.records(&types)?;
        self.header.val_types = self.records(&val_types)?;
        Ok(())
    }

    fn encode_functions(
        &mut self,
        source: &Source<'_>,
        names: &mut Names<'_, '_>,
    ) -> Result<(), CompileError> {
        let maps = self.encode_address_maps(source)?;
        let layout = source.layout;
        let mut records = Vec::with_capacity(source.module.functions.len());
        for (index, function) in source.module.functions.iter() {
            let (text_offset, text_size, addr_map) = maps[index.index()];
            records.push(FunctionRecord {
                type_index: function.ty.as_u32(),
                text_offset,
                text_size,
                func_ref: layout.func_refs.get(index),
                import_slot: layout.import_slots.get(index),
                name: names.functions[index.index()],
                addr_map,
            });
        }
        // The names become offsets in the section when the place of the strings is known.
        self.header.functions = self.records(&records)?;
        let func_refs: Vec<u32> = (0..)
            .zip(&records)
            .filter(|(_, record)| record.func_ref != NONE)
            .map(|(index, _)| index)
            .collect();
        self.header.func_refs = self.records(&func_refs)?;
        Ok(())
    }

    /// Appends the address maps, and says of every function where its code and its map are.
    fn encode_address_maps(
        &mut self,
        source: &Source<'_>,
    ) -> Result<Vec<(u32, u32, Span)>, CompileError> {
        let mut places = vec![(NONE, 0, Span::default()); source.module.functions.len()];
        for piece in source.text.pieces() {
            if piece.name.namespace == Namespace::Function as u32 {
                let map = self.blob(&piece.code.address_map, 1)?;
                let size = piece.code.bytes.len() as u32;
                places[piece.name.index as usize] = (piece.offset, size, map);
            }
        }
        // Functions that were inlined wherever they are called have no code, between the others.
        let last = places.iter().rfind(|place| place.0 != NONE);
        let mut next = last.map_or(0, |(offset, size, _)| offset + size);
        let imported = source.module.imported.functions as usize;
        for place in places[imported..].iter_mut().rev() {
            match place.0 {
                NONE => place.0 = next,
                offset => next = offset,
            }
        }
        Ok(places)
    }

    /// Tables, memories and globals.
    fn encode_state(&mut self, source: &Source<'_>) -> Result<(), CompileError> {
        let (module, layout) = (source.module, source.layout);
        let tables: Vec<TableRecord> = module
            .tables
            .iter()
            .map(|(index, table)| TableRecord {
                min: table.min,
                max: table.max.unwrap_or(0),
                elem: module.abi_ref_type(table.elem),
                flags: flag(table.max.is_some(), TableRecord::HAS_MAX)
                    | flag(table.index64, TableRecord::INDEX64)
                    | flag(table.immutable.is_some(), TableRecord::IMMUTABLE),
                def: layout.tables.get(index),
                storage: layout.table_storage.get(index),
            })
            .collect();
        let memories: Vec<MemoryRecord> = module
            .memories
            .iter()
            .map(|(index, memory)| {
                let (reservation, guard, capacity) = match memory.bounds {
                    Bounds::GuardPages => (GUARD_RESERVATION, OFFSET_GUARD, 0),
                    Bounds::Checked { capacity } => (0, 0, capacity),
                };
                MemoryRecord {
                    min: memory.min,
                    max: memory.max.unwrap_or(0),
                    flags: flag(memory.max.is_some(), MemoryRecord::HAS_MAX)
                        | flag(memory.index64, MemoryRecord::INDEX64)
                        | flag(memory.shared, MemoryRecord::SHARED)
                        | flag(memory.is_heap, MemoryRecord::HEAP),
                    page_size_log2: memory.page_size_log2,
                    def: layout.memories.get(index),
                    reserved: 0,
                    reservation,
                    guard,
                    capacity,
                }
            })
            .collect();
        let globals: Vec<GlobalRecord> = module
            .globals
            .iter()
            .map(|(index, global)| GlobalRecord {
                ty: module.abi_val_type(global.ty),
                mutable: u32::from(global.mutable),
                cell: layout.globals.get(index),
            })
            .collect();
        self.header.tables = self.records(&tables)?;
        self.header.memories = self.records(&memories)?;
        self.header.globals = self.records(&globals)?;
        self.header.globals_image = self.blob(&layout.globals_image(module), 16)?;
        Ok(())
    }

    /// Segments that can still be read, and the initial image.
    fn encode_segments(&mut self, source: &Source<'_>) -> Result<(), CompileError> {
        let module = source.module;
        let known = module.elements_at_run_time();
        let mut elements = Vec::with_capacity(known);
        for (index, segment) in module.elements.iter().take(known) {
            let needed = match segment.mode {
                ElementMode::Passive => segment.used,
                ElementMode::Declared => false,
                ElementMode::Active { .. } => !segment.folded,
            };
            let functions = match &segment.items {
                ElementItems::Functions(items) if needed => {
                    let number = |item: &Option<FuncIndex>| item.map_or(NONE, |f| f.as_u32());
                    let items: Vec<u32> = items.iter().map(number).collect();
                    self.records(&items)?
                }
                _ => Span::default(),
            };
            let values = source.layout.element_values.get(index);
            let len = if needed { segment.items.len() } else { 0 };
            elements.push(ElementRecord {
                elem: source.module.abi_ref_type(segment.ty),
                functions,
                values,
                len,
            });
        }
        let known = module.data_at_run_time();
        let mut data = Vec::with_capacity(known);
        for segment in module.data.values().take(known) {
            let bytes = self.blob(readable_bytes(segment), 1)?;
            data.push(DataRecord { bytes });
        }
        self.header.elements = self.records(&elements)?;
        self.header.data = self.records(&data)?;
        self.header.image_runs = self.records(&source.image.runs)?;
        Ok(())
    }

    fn encode_traps(&mut self, text: &Text) -> Result<(), CompileError> {
        let (mut offsets, mut codes) = (Vec::new(), Vec::new());
        for piece in text.pieces() {
            for &(offset, code) in &piece.code.traps {
                offsets.push(piece.offset + offset);
                codes.push(code as u8);
            }
        }
        self.header.trap_offsets = self.records(&offsets)?;
        self.header.trap_codes = self.records(&codes)?;
        Ok(())
    }

    /// Tags, and where exceptions are caught.
    fn encode_exceptions(&mut self, source: &Source<'_>) -> Result<(), CompileError> {
        let tags = source.module.tags.values();
        let tags: Vec<_> = tags
            .map(|ty| TagRecord {
                type_index: ty.as_u32(),
            })
            .collect();
        let (mut sites, mut frames, mut handlers) = (Vec::new(), Vec::new(), Vec::new());
        for piece in source.text.pieces() {
            for site in &piece.code.exception_sites {
                sites.push(piece.offset + site.return_offset);
                frames.push(ExceptionFrame {
                    size: site.frame_size,
                    base: site.base,
                    first: handlers.len() as u32,
                    count: site.handlers.len() as u32,
                });
                let place = |handler: &ExceptionHandler| ExceptionHandler {
                    text_offset: piece.offset + handler.text_offset,
                    ..*handler
                };
                handlers.extend(site.handlers.iter().map(place));
            }
        }
        self.header.tags = self.records(&tags)?;
        self.header.exception_sites = self.records(&sites)?;
        self.header.exception_frames = self.records(&frames)?;
        self.header.exception_handlers = self.records(&handlers)?;
        Ok(())
    }

    /// What types are besides function types, if any is.
    fn encode_sub_types(&mut self, module: &ModuleInfo<'_>) -> Result<(), CompileError> {
        if !module.has_sub_types() {
            return Ok(());
        }
        let (mut types, mut fields) = (Vec::new(), Vec::new());
        for ty in module.types.values().map(|ty| &ty.sub) {
            types.push(SubTypeRecord {
                kind: ty.kind as u32,
                flags: flag(ty.is_final, SubTypeRecord::FINAL),
                supertype: ty.supertype.map_or(NONE, TypeIndex::as_u32),
                group: ty.group.as_u32(),
                first_field: fields.len() as u32,
                fields: ty.fields.len() as u32,
            });
            fields.extend(ty.fields.iter().map(|field| module.abi_field(field)));
        }
        self.header.sub_types = self.records(&types)?;
        self.header.fields = self.records(&fields)?;
        Ok(())
    }

    /// Where code holds references into the heap during calls. Equal maps are there once.
    fn encode_stack_maps(&mut self, text: &Text) -> Result<(), CompileError> {
        let mut known: HashMap<&[u32], u32> = HashMap::new();
        let (mut sites, mut maps, mut words) = (Vec::new(), Vec::new(), Vec::<u32>::new());
        for piece in text.pieces() {
            for map in &piece.code.stack_maps {
                sites.push(piece.offset + map.return_offset);
                let start = known.entry(&map.words).or_insert_with(|| {
                    let start = words.len() as u32;
                    words.extend_from_slice(&map.words);
                    start
                });
                maps.push(*start);
            }
        }
        self.header.stack_map_sites = self.records(&sites)?;
        self.header.stack_maps = self.records(&maps)?;
        self.header.stack_map_words = self.records(&words)?;
        Ok(())
    }

    fn encode_customs<'a>(
        &mut self,
        module: &ModuleInfo<'a>,
        names: &mut Names<'_, 'a>,
    ) -> Result<(), CompileError> {
        for custom in module.customs.iter().filter(|custom| is_kept(custom.name)) {
            let bytes = self.blob(custom.bytes, 1)?;
            let name = names.strings.intern(custom.name)?;
            names.customs.push(CustomRecord { name, bytes });
        }
        Ok(())
    }

    /// Appends the records that only consist of names, and last of all the names themselves.
    fn finish(
        mut self,
        mut names: Names<'_, '_>,
        code_tables: Vec<(u32, u32)>,
    ) -> Result<Metadata, CompileError> {
        let sizes = size_of_val(names.imports.as_slice())
            + size_of_val(names.exports.as_slice())
            + size_of_val(names.customs.as_slice());
        let end = self.align(8)? as usize + sizes;
        let strings = section_offset(end)?;
        let place = |span: &mut Span| span.offset += strings;
        for import in &mut names.imports {
            place(&mut import.module);
            place(&mut import.name);
        }
        names.exports.iter_mut().for_each(|e| place(&mut e.name));
        names.customs.iter_mut().for_each(|c| place(&mut c.name));
        place(&mut names.module_name);
        place(&mut names.producer);
        self.header.imports = self.records(&names.imports)?;
        self.header.exports = self.records(&names.exports)?;
        self.header.customs = self.records(&names.customs)?;
        self.header.module_name = names.module_name;
        self.header.producer = names.producer;
        self.place_function_names(strings);
        debug_assert_eq!(self.bytes.len(), strings as usize);
        self.header.strings = self.blob(names.strings.bytes(), 1)?;
        self.header.metadata_size = self.align(1)?;
        Ok(Metadata {
            header: self.header,
            bytes: self.bytes,
            code_tables,
        })
    }

    /// Adds the place of the strings to the names of the functions.
    fn place_function_names(&mut self, strings: u32) {
        let Span { offset, len } = self.header.functions;
        let record = size_of::<FunctionRecord>();
        let name = std::mem::offset_of!(FunctionRecord, name);
        for index in 0..len as usize {
            let at = offset as usize + index * record + name;
            if let Some(field) = self.bytes.get_mut(at..at + 4) {
                let old = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
                field.copy_from_slice(&(old + strings).to_le_bytes());
            }
        }
    }
}

fn section_offset(offset: usize) -> Result<u32, CompileError> {
    u32::try_from(offset).map_err(|_| CompileError::TooLarge {
        what: "the description of the module exceeds 4 GiB".to_owned(),
    })
}

fn flag(condition: bool, flag: u32) -> u32 {
    if condition { flag } else { 0 }
}

/// The bytes of a segment that someone can still ask for. One that is part of the image is as
/// good as dropped, and that is as good as empty.
fn readable_bytes<'a>(segment: &DataSegment<'a>) -> &'a [u8] {
    let needed = match segment.mode {
        DataMode::Passive => segment.used,
        DataMode::Active { .. } => !segment.folded,
    };
    if needed { segment.bytes } else { &[] }
}

/// Whether a custom section means something to someone who has no wasm file: all but debug
/// information and what linkers tell each other.
fn is_kept(name: &str) -> bool {
    let dropped = [
        ".debug_",
        "reloc.",
        "sourceMappingURL",
        "external_debug_info",
    ];
    name != "name" && name != "linking" && !dropped.iter().any(|start| name.starts_with(start))
}

/// Distances from the first code table to each.
pub(crate) fn code_table_places(module: &ModuleInfo<'_>) -> Vec<u32> {
    code_table_records(module)
        .map(|record| record.offset)
        .collect()
}

/// The code tables, one after the other.
fn code_table_records(module: &ModuleInfo<'_>) -> impl Iterator<Item = CodeTableRecord> {
    let mut end = 0;
    module.code_tables.iter().map(move |table| {
        let offset = end;
        let entries = u64::from(module.code_table_entries(table));
        // The analysis keeps all of them within some MiB.
        end += CodeTableRecord::size(entries, table.ty.is_none()) as u32;
        CodeTableRecord {
            table: table.table.as_u32(),
            type_index: table.ty.map_or(NONE, |ty| ty.as_u32()),
            offset,
        }
    })
}

/// The code tables, with text offsets as entries; the last one of each stands for every index
/// past the end. Behind those of a table that is shared, the numbers of their types.
fn encode_code_tables(source: &Source<'_>) -> Result<Vec<u8>, CompileError> {
    let mut out = Vec::new();
    for table in &source.module.code_tables {
        for symbol in stubs::table_symbols(source.module, table) {
            let offset = source.text.offset_of(&symbol);
            if offset == NONE {
                let message = format!("a code table refers to {symbol}, which was not made");
                return Err(CompileError::Internal { message });
            }
            offset.encode(&mut out);
        }
        if table.ty.is_none() {
            encode_type_numbers(source.module, table, &mut out);
        }
    }
    Ok(out)
}

fn encode_type_numbers(module: &ModuleInfo<'_>, table: &CodeTable, out: &mut Vec<u8>) {
    let contents = module.tables[table.table].immutable.as_deref();
    for element in contents.unwrap_or_default() {
        let ty = element.map(|function| module.canonical(module.functions[function].ty));
        ty.map_or(0, CodeTable::type_number).encode(out);
    }
    // The entry past the end, and up to a multiple of 4.
    0u16.encode(out);
    out.resize(out.len().next_multiple_of(4), 0);
}
