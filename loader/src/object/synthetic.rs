//! An object put together by hand, for tests: small, whole, and with one of everything.

use super::record::Record;
use precast_abi::cpu::X86;
use precast_abi::object::*;
use precast_abi::types::{HeapType, ValType};
use precast_abi::{NONE, VERSION, addrmap};

/// Where the metadata starts in the file.
pub(crate) const METADATA: usize = 512;
const PAGE: usize = 4096;

/// `lea eax, [rsi + 1]; ret`, padded, twice; then `ud2`.
const TEXT: &[u8] = &[
    0x8d, 0x46, 0x01, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0x8d, 0x46, 0x01, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc,
    0x0f, 0x0b,
];

/// Collects lists behind a header.
struct Section {
    bytes: Vec<u8>,
}

impl Section {
    fn list<T: Record>(&mut self, records: &[T]) -> Span {
        while !self.bytes.len().is_multiple_of(T::ALIGN) {
            self.bytes.push(0);
        }
        let offset = self.bytes.len() as u32;
        records
            .iter()
            .for_each(|record| record.put(&mut self.bytes));
        Span {
            offset,
            len: records.len() as u32,
        }
    }

    fn text(&mut self, text: &str) -> Span {
        self.list(text.as_bytes())
    }
}

/// An object: a module that imports a function, defines two, and has a memory with an image, a
/// table, a global, segments and a custom section.
pub(crate) fn object() -> Vec<u8> {
    let (header, mut section) = metadata();
    let mut bytes = Vec::new();
    header.put(&mut bytes);
    section.bytes[..bytes.len()].copy_from_slice(&bytes);
    file(&header, &section.bytes)
}

fn metadata() -> (ObjectHeader, Section) {
    let mut section = Section {
        bytes: vec![0; ObjectHeader::SIZE],
    };
    let mut map = Vec::new();
    let chain = addrmap::Chain::default();
    addrmap::Encoder::default().entry(0, 40, &chain, |byte| map.push(byte));
    let addr_map = section.list(&map);
    let name = section.text("plus");
    let function = |text_offset, func_ref, name| FunctionRecord {
        type_index: 0,
        text_offset,
        text_size: 4,
        func_ref,
        import_slot: NONE,
        name,
        addr_map,
    };
    let imported = FunctionRecord {
        text_offset: NONE,
        text_size: 0,
        import_slot: 224,
        addr_map: Span::default(),
        ..function(0, 256, Span::default())
    };
    let types = [TypeRecord {
        first: 0,
        params: 1,
        results: 1,
        enter_stub: 16,
        host_stub: NONE,
    }];
    let memory = MemoryRecord {
        min: 1,
        max: 2,
        flags: MemoryRecord::HAS_MAX,
        page_size_log2: 16,
        def: 40,
        reserved: 0,
        reservation: 1 << 32,
        guard: 1 << 31,
        capacity: 0,
    };
    let table = TableRecord {
        min: 1,
        max: 0,
        elem: ValType::FUNCREF,
        flags: 0,
        def: 160,
        storage: 192,
    };
    let concrete = ValType::reference(true, HeapType::Concrete(0));
    let indices = section.list(&[1u32, NONE]);
    let element = ElementRecord {
        elem: concrete,
        functions: indices,
        values: NONE,
        len: 2,
    };
    let run = ImageRun {
        memory_offset: 0,
        image_offset: 0,
        len: PAGE as u64,
        memory: 0,
        reserved: 0,
    };
    let import = ImportRecord {
        module: section.text("env"),
        name: section.text("log"),
        kind: ExternKind::Function as u32,
        index: 0,
    };
    let export = |name, kind: ExternKind, index| ExportRecord {
        name,
        kind: kind as u32,
        index,
    };
    let exports = [
        export(section.text("add"), ExternKind::Function, 1),
        export(section.text("memory"), ExternKind::Memory, 0),
        export(section.text("übung"), ExternKind::Function, 2),
    ];
    let custom = CustomRecord {
        name: section.text("note"),
        bytes: section.text("kept"),
    };
    let data = DataRecord {
        bytes: section.text("passive"),
    };
    let at = |page: usize, size: usize| Segment {
        file_offset: (page * PAGE) as u64,
        address: (page * PAGE) as u64,
        size: size as u64,
    };
    let header = ObjectHeader {
        magic: MAGIC,
        version: VERSION,
        header_size: ObjectHeader::SIZE as u32,
        arch: crate::sys::host().arch as u16,
        os: crate::sys::host().os as u16,
        metadata_size: 0,
        cpu_features: X86::Sse3.bit() & crate::sys::host().cpu_features,
        text: at(1, TEXT.len()),
        image: at(2, PAGE),
        layout: InstanceLayout {
            size: 320,
            globals: 144,
            type_ids: 264,
            data_dropped: 200,
            elem_dropped: 201,
            mutable: 208,
        },
        init: NONE,
        imported_functions: 1,
        imported_tables: 0,
        imported_memories: 0,
        imported_globals: 0,
        types: section.list(&types),
        val_types: section.list(&[ValType::I32, ValType::I32]),
        functions: section.list(&[imported, function(0, NONE, name), function(8, NONE, name)]),
        func_refs: section.list(&[0u32]),
        tables: section.list(&[table]),
        memories: section.list(&[memory]),
        globals: section.list(&[GlobalRecord {
            ty: ValType::I64,
            mutable: 1,
            cell: 144,
        }]),
        imports: section.list(&[import]),
        exports: section.list(&exports),
        elements: section.list(&[element]),
        data: section.list(&[data]),
        image_runs: section.list(&[run]),
        trap_offsets: section.list(&[0u32, 8]),
        trap_codes: section.list(&[7u8, 8]),
        customs: section.list(&[custom]),
        globals_image: section.list(&[7u8; 16]),
        strings: Span::default(),
        module_name: section.text("sample"),
        producer: section.text("by hand"),
        code_tables: Span::default(),
        code_table_records: Span::default(),
        source_hash: [1; 32],
        trap_stubs: [16; 16],
        flags: 0,
        counters: NONE,
        counter_count: 0,
        levels: Span::default(),
        tags: Span::default(),
        exception_sites: Span::default(),
        exception_frames: Span::default(),
        exception_handlers: Span::default(),
        imported_tags: 0,
        heap: 0,
        sub_types: Span::default(),
        fields: Span::default(),
        stack_map_sites: Span::default(),
        stack_maps: Span::default(),
        stack_map_words: Span::default(),
        more_trap_stubs: [NONE; 8],
    };
    let size = section.bytes.len() as u32;
    (
        ObjectHeader {
            metadata_size: size,
            ..header
        },
        section,
    )
}

fn file(header: &ObjectHeader, metadata: &[u8]) -> Vec<u8> {
    let meta_end = (METADATA + metadata.len()) as u64;
    let load = |flags, segment: Segment| (1, flags, segment);
    let whole = |size| Segment {
        file_offset: 0,
        address: 0,
        size,
    };
    let section = METADATA as u64;
    let program_headers = [
        load(4, whole(meta_end)),
        load(5, header.text),
        load(4, header.image),
        (
            PT_PRECAST,
            4,
            Segment {
                file_offset: section,
                address: section,
                size: metadata.len() as u64,
            },
        ),
    ];
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    3u16.put(&mut bytes);
    62u16.put(&mut bytes);
    1u32.put(&mut bytes);
    [0u64, 64, 0].put(&mut bytes);
    0u32.put(&mut bytes);
    [64u16, 56, program_headers.len() as u16, 64, 0, 0].put(&mut bytes);
    for (kind, flags, segment) in program_headers {
        [kind, flags].put(&mut bytes);
        [segment.file_offset, segment.address, segment.address].put(&mut bytes);
        [segment.size, segment.size, PAGE as u64].put(&mut bytes);
    }
    bytes.resize(METADATA, 0);
    bytes.extend(metadata);
    bytes.resize(PAGE, 0);
    bytes.extend(TEXT);
    bytes.resize(2 * PAGE, 0);
    bytes.extend(vec![0x55; PAGE]);
    bytes
}

/// The same object with its header changed.
pub(crate) fn with_header(change: impl FnOnce(&mut ObjectHeader)) -> Vec<u8> {
    let mut bytes = object();
    let mut header = super::record::read(&bytes[METADATA..]).expect("the header is whole");
    change(&mut header);
    let mut changed = Vec::new();
    header.put(&mut changed);
    bytes[METADATA..METADATA + changed.len()].copy_from_slice(&changed);
    bytes
}
