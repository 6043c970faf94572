//! The metadata of an object, read in place.
//!
//! A metadata section starts with an [`ObjectHeader`]. Everything in it refers to the rest by
//! [`Span`]s relative to the header. In an ELF file the program header of type [`PT_PRECAST`] gives
//! the section's place, in a Mach-O file the section [`MACHO_METADATA`] of the segment
//! [`MACHO_SEGMENT`]. All integers are little-endian.
//!
//! Every record is plain data with no padding and no invalid bit pattern, so that it may be
//! looked at before it is believed.

use crate::Version;
use crate::types::ValType;

/// The first bytes of a metadata section.
pub const MAGIC: [u8; 8] = *b"PRECAST\0";

/// Type of the ELF program header that spans the metadata section ("PC" in the range that the
/// ELF specification leaves to the operating system).
pub const PT_PRECAST: u32 = 0x6000_5043;

/// Name of the Mach-O segment that holds the metadata section.
pub const MACHO_SEGMENT: &str = "__PRECAST_DATA";

/// Name of the section in [`MACHO_SEGMENT`] that is the metadata section.
pub const MACHO_METADATA: &str = "__metadata";

/// Bytes of metadata: `offset` from the start of the header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Metadata offset of the first byte. Aligned as the records there are.
    pub offset: u32,
    /// How many records, or how many bytes where there are no records (strings, blobs).
    pub len: u32,
}

/// A part of the file that is mapped as one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Bytes from the start of the file; a multiple of the target's largest page size.
    pub file_offset: u64,
    /// Address relative to where the object is loaded, as in its program headers.
    pub address: u64,
    /// Size in bytes, the same in the file and in memory.
    pub size: u64,
}

/// Instruction set of an object.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86-64.
    X86_64 = 1,
    /// AArch64, little-endian.
    Aarch64 = 2,
    /// RISC-V, RV64GC.
    Riscv64 = 3,
}

/// Operating system of an object.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux.
    Linux = 1,
    /// macOS.
    Macos = 2,
}

/// The start of a metadata section.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ObjectHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// The ABI the object was made for.
    pub version: Version,
    /// Size of this header, a multiple of 8: greater than `size_of` in objects of a later minor version,
    /// smaller in those of an earlier one, but at least [`ObjectHeader::LEAST_SIZE`].
    pub header_size: u32,
    /// An [`Arch`].
    pub arch: u16,
    /// An [`Os`].
    pub os: u16,
    /// Size of the whole metadata section in bytes, header included.
    pub metadata_size: u32,
    /// What the CPU must have, see [`crate::cpu`].
    pub cpu_features: u64,
    /// Executable code.
    pub text: Segment,
    /// Initial contents of memories, see [`ImageRun`]. Size 0 where there are none.
    pub image: Segment,
    /// Layout of the instance data.
    pub layout: InstanceLayout,
    /// Text offset of `fn(base)` (C calling convention), which finishes instantiation: globals,
    /// tables and segments whose values are not known before, in the specification's order, then
    /// the start function. [`crate::NONE`] where there is nothing to do.
    pub init: u32,
    /// How many functions, tables, memories and globals are imported: the first of their spaces.
    pub imported_functions: u32,
    /// See `imported_functions`.
    pub imported_tables: u32,
    /// See `imported_functions`.
    pub imported_memories: u32,
    /// See `imported_functions`.
    pub imported_globals: u32,
    /// The [`TypeRecord`]s, in the module's order.
    pub types: Span,
    /// The [`ValType`]s that types refer to.
    pub val_types: Span,
    /// The [`FunctionRecord`]s: the function index space. Defined functions stand in the order of
    /// their text offsets too.
    pub functions: Span,
    /// Indices (`u32`, ascending) of the functions that have a [`FunctionRecord::func_ref`].
    pub func_refs: Span,
    /// The [`TableRecord`]s: the table index space.
    pub tables: Span,
    /// The [`MemoryRecord`]s: the memory index space.
    pub memories: Span,
    /// The [`GlobalRecord`]s: the global index space.
    pub globals: Span,
    /// The [`ImportRecord`]s, in the module's order.
    pub imports: Span,
    /// The [`ExportRecord`]s, ordered by name (as bytes), for binary search.
    pub exports: Span,
    /// The [`ElementRecord`]s: the element segment index space, up to the last one that anyone
    /// can read.
    pub elements: Span,
    /// The [`DataRecord`]s: the data segment index space, up to the last one that anyone can
    /// read.
    pub data: Span,
    /// The [`ImageRun`]s.
    pub image_runs: Span,
    /// Text offsets (`u32`, ascending) of the instructions that may trap by a signal, other than
    /// by an access to a guard-page memory. A fault anywhere else is not a trap.
    pub trap_offsets: Span,
    /// Their codes (`u8`), in the same order.
    pub trap_codes: Span,
    /// The [`CustomRecord`]s: the module's custom sections that were kept.
    pub customs: Span,
    /// Initial bytes of the region of globals, [`InstanceLayout::globals`].
    pub globals_image: Span,
    /// String and blob pool, in bytes. Spans of names point into the section as all others do.
    pub strings: Span,
    /// Name of the module (from its name section), UTF-8; may be empty.
    pub module_name: Span,
    /// What made the object, as `name version`, UTF-8.
    pub producer: Span,
    /// The read-only tables of code offsets, in bytes: immutable tables, see
    /// [`TableRecord::IMMUTABLE`].
    pub code_tables: Span,
    /// The [`CodeTableRecord`]s: what `code_tables` consists of, in its order.
    pub code_table_records: Span,
    /// SHA-256 of the module's bytes.
    pub source_hash: [u8; 32],
    /// Text offsets of the stubs that trap, indexed by trap code; [`crate::NONE`] where absent.
    pub trap_stubs: [u32; 16],
    /// A union of the constants below.
    pub flags: u32,
    /// Distance of the counters (`u64`) of an object that was compiled to make a profile, see
    /// [`crate::profile`]; of counter 0, the others follow.
    pub counters: u32,
    /// How many counters there are.
    pub counter_count: u32,
    /// The [`LevelRecord`]s: objects of the same module for better CPUs, in the same file. At most
    /// [`LevelRecord::MOST`].
    pub levels: Span,
    /// The [`TagRecord`]s: the tag index space.
    pub tags: Span,
    /// Text offsets (`u32`, ascending) of the return addresses of calls whose exceptions the
    /// calling function may catch.
    pub exception_sites: Span,
    /// The [`ExceptionFrame`]s of those calls, in the same order.
    pub exception_frames: Span,
    /// The [`ExceptionHandler`]s that they refer to.
    pub exception_handlers: Span,
    /// See `imported_functions`.
    pub imported_tags: u32,
    /// Distance of the [`crate::heap::HeapDef`] of an object whose code makes or looks at garbage-collected
    /// objects, or whose types have subtypes. 0 where there is none.
    pub heap: u32,
    /// The [`SubTypeRecord`]s: as many as there are types, or none, where every type is a final
    /// function type without a supertype in a recursive group of its own.
    pub sub_types: Span,
    /// The [`FieldRecord`]s that they refer to.
    pub fields: Span,
    /// Text offsets (`u32`, ascending) of the return addresses of calls during which the calling
    /// function holds references into the heap.
    pub stack_map_sites: Span,
    /// Index (`u32`) in `stack_map_words` of the stack map of each, in the same order.
    pub stack_maps: Span,
    /// The stack maps (`u32`): bytes from the stack pointer at the call up to the frame pointer, how
    /// many references there are, and for each how many bytes above that stack pointer the word
    /// lies that holds it.
    pub stack_map_words: Span,
    /// Text offsets of the stubs of the trap codes from 16 on; [`crate::NONE`] where absent.
    pub more_trap_stubs: [u32; 8],
}

impl ObjectHeader {
    /// The code counts what it executes, see [`crate::instance::InstanceHeader::fuel`].
    pub const FUEL: u32 = 1;
    /// In [`ObjectHeader::flags`]: indirect branches of other code into this, and of this code,
    /// arrive at landing pads (AArch64's `bti`).
    pub const LANDING_PADS: u32 = 2;
    /// The object stands behind another one, which has it among its `levels`, and the image of that
    /// one is its own, too.
    pub const SHARES_IMAGE: u32 = 4;
    /// There are no stack maps: objects in the heap must stay where they are while code of this
    /// object waits for a call, and so none is ever collected.
    pub const NEVER_COLLECTS: u32 = 8;

    /// Size of the header of the first version. Fields behind it that a shorter header lacks are zero,
    /// which means of each of them what it meant when it was not there.
    pub const LEAST_SIZE: usize = 400;
}

/// An object for better CPUs, behind the first object of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelRecord {
    /// What the CPU must have for it, as its own header says: all that the level before it needs,
    /// and more.
    pub cpu_features: u64,
    /// Where it starts: bytes from the start of the first object, a multiple of the target's largest
    /// page size.
    pub file_offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl LevelRecord {
    /// More levels than that have no object.
    pub const MOST: u32 = 15;
}

/// Layout of the instance data: distances below the instance base.
///
/// A region with distance `d` starts at `base - d`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceLayout {
    /// Bytes of instance data, header included: a multiple of 16. The guest stack starts below.
    pub size: u32,
    /// Region of the module's own globals. Ends below the header.
    pub globals: u32,
    /// Process-wide identities (`u32`) of the module's types, in their order.
    pub type_ids: u32,
    /// One byte per data segment: not zero once it is dropped.
    pub data_dropped: u32,
    /// One byte per element segment: not zero once it is dropped.
    pub elem_dropped: u32,
    /// Whatever code or runtime functions may change lies from here up to the base, the header
    /// included; what lies below stays as it is from instantiation on. A multiple of 16.
    pub mutable: u32,
}

/// A type of the module. For a struct or an array, see [`SubTypeRecord`], it has no parameters, results
/// and stubs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeRecord {
    /// Index of the first parameter in [`ObjectHeader::val_types`]; results follow parameters.
    pub first: u32,
    /// How many parameters.
    pub params: u32,
    /// How many results.
    pub results: u32,
    /// Text offset of `fn(context, code, values: *mut [u8; 16])`, C calling convention: calls
    /// `code` of this type with arguments from `values` and leaves the results there.
    /// [`crate::NONE`] where no function of this type can be called from outside.
    pub enter_stub: u32,
    /// Text offset of a function of this type whose hidden parameter is a
    /// [`crate::instance::HostFunc`], which it calls by `call_array`.
    pub host_stub: u32,
}

/// What a type of the module is besides a function type: its place in the hierarchy of types, and the
/// fields of structs and arrays.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubTypeRecord {
    /// A [`TypeKind`].
    pub kind: u32,
    /// A union of the constants below.
    pub flags: u32,
    /// Index of its supertype, which is smaller than its own; [`crate::NONE`] where it has none.
    pub supertype: u32,
    /// Index of the first type of its recursive group, whose types follow each other.
    pub group: u32,
    /// Index of its first field in [`ObjectHeader::fields`].
    pub first_field: u32,
    /// How many fields it has: 1 for an array, 0 for a function.
    pub fields: u32,
}

impl SubTypeRecord {
    /// It has no subtypes.
    pub const FINAL: u32 = 1;
}

/// What a type is a type of.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// Functions.
    Function = 1,
    /// Structs.
    Struct = 2,
    /// Arrays.
    Array = 3,
}

impl TypeKind {
    /// The kind with this number, if there is one.
    pub const fn from_u32(kind: u32) -> Option<TypeKind> {
        Some(match kind {
            1 => TypeKind::Function,
            2 => TypeKind::Struct,
            3 => TypeKind::Array,
            _ => return None,
        })
    }
}

/// A field of a struct, or the elements of an array.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRecord {
    /// Type of its value; `i32` for packed fields.
    pub ty: ValType,
    /// A union of the constants below.
    pub flags: u32,
}

impl FieldRecord {
    /// It may be set.
    pub const MUTABLE: u32 = 1;
    /// It is packed into 8 bits.
    pub const I8: u32 = 2;
    /// It is packed into 16 bits.
    pub const I16: u32 = 4;
}

/// A function of the module.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRecord {
    /// Index of its type.
    pub type_index: u32,
    /// Text offset of its entry point. [`crate::NONE`] for imports.
    pub text_offset: u32,
    /// Size of its code in bytes. 0 for a function that was inlined wherever it is called:
    /// `text_offset` is then that of the next function with code, or the end of the last one.
    pub text_size: u32,
    /// Distance of its [`crate::instance::FuncRef`]; [`crate::NONE`] where nothing refers to it.
    pub func_ref: u32,
    /// Distance of its [`crate::instance::ImportedFunc`]; [`crate::NONE`] for defined functions.
    pub import_slot: u32,
    /// Its name in the name section, or the name of its first export, or nothing. UTF-8.
    pub name: Span,
    /// Its part of the address map, see [`crate::addrmap`].
    pub addr_map: Span,
}

/// A table of the module.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRecord {
    /// Least length in elements.
    pub min: u64,
    /// Greatest length in elements, where [`TableRecord::HAS_MAX`].
    pub max: u64,
    /// Type of its elements.
    pub elem: ValType,
    /// A union of the constants below.
    pub flags: u32,
    /// Distance of its [`crate::instance::TableDef`], or of the address of it (8 bytes) for
    /// imports. [`crate::NONE`] for immutable tables.
    pub def: u32,
    /// Distance of room for the first `min` elements; [`crate::NONE`] where the loader finds room
    /// itself.
    pub storage: u32,
}

impl TableRecord {
    /// `max` counts.
    pub const HAS_MAX: u32 = 1;
    /// Indices are 64 bits wide.
    pub const INDEX64: u32 = 2;
    /// No one can change it: it lives in [`ObjectHeader::code_tables`] alone, and no instance has
    /// one of its own.
    pub const IMMUTABLE: u32 = 4;
}

/// An array of code offsets: an immutable table as indirect calls see it, of one type or of any.
///
/// It has a 32-bit entry for each element and one more for every index past the end: the distance
/// from the start of the array to the code to call, modulo 2³².
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTableRecord {
    /// Index of the table.
    pub table: u32,
    /// Index of the type that calls through it name: all other elements lead to traps.
    /// [`crate::NONE`] where calls of several types share the array: every function of the table
    /// has its entry, and the entries are followed by as many 16-bit numbers, 0 where the
    /// entry leads to a trap, else one more than the index of the function's type (the first
    /// of those that are equal).
    pub type_index: u32,
    /// Bytes from the start of [`ObjectHeader::code_tables`]. A multiple of 4.
    pub offset: u32,
}

impl CodeTableRecord {
    /// Bytes of an array of `entries`, with its type numbers if it is `shared`.
    pub const fn size(entries: u64, shared: bool) -> u64 {
        let numbers = if shared { entries * 2 } else { 0 };
        (entries * 4 + numbers).next_multiple_of(4)
    }
}

/// A linear memory of the module.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Least length in pages.
    pub min: u64,
    /// Greatest length in pages, where [`MemoryRecord::HAS_MAX`].
    pub max: u64,
    /// A union of the constants below.
    pub flags: u32,
    /// Binary logarithm of the page size: 16, or 0 for byte-sized pages.
    pub page_size_log2: u32,
    /// Distance of its [`crate::instance::MemoryDef`], or of the address of it (8 bytes) for
    /// imports and for shared memories.
    pub def: u32,
    /// Zero.
    pub reserved: u32,
    /// Bytes of address space that generated code counts on, from byte 0: nothing but this
    /// memory may be accessible there. 0 where every access is checked.
    pub reservation: u64,
    /// Bytes after `reservation` that must not be accessible.
    pub guard: u64,
    /// The most bytes that it may take, whatever its type says; 0 where nothing but the type and
    /// the loader limit it. Only a memory 0 of the module's own has it, and no `reservation`
    /// beside it.
    pub capacity: u64,
}

impl MemoryRecord {
    /// `max` counts.
    pub const HAS_MAX: u32 = 1;
    /// Addresses are 64 bits wide.
    pub const INDEX64: u32 = 2;
    /// Shared between threads. `max` counts too, and neither reservation nor capacity is there.
    pub const SHARED: u32 = 4;
    /// No memory of the module's: the heap for garbage-collected objects, see [`crate::heap`]. The
    /// last record, if it is there, whose index nothing else names.
    pub const HEAP: u32 = 8;
}

/// A global of the module.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalRecord {
    /// Type of its value.
    pub ty: ValType,
    /// Not zero where it may be set.
    pub mutable: u32,
    /// Distance of its value (8 bytes, 16 for `v128`), or of the address of it (8 bytes) for
    /// imports.
    pub cell: u32,
}

/// A tag of the module: the identity of a kind of exception.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// Index of its type, whose parameters are the values of an exception.
    pub type_index: u32,
}

/// A call whose exceptions the calling function may catch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExceptionFrame {
    /// Bytes from the stack pointer at the call up to the frame pointer. A handler runs with both.
    pub size: u32,
    /// Bytes from that stack pointer up to a word that holds the instance base.
    pub base: u32,
    /// Index of its first handler.
    pub first: u32,
    /// How many handlers it has: the first that fits is taken.
    pub count: u32,
}

/// Where an exception is caught.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExceptionHandler {
    /// What is caught: [`ExceptionHandler::tag`] and [`ExceptionHandler::wants_ref`].
    pub what: u32,
    /// Text offset of the code that goes on, in the function that the call is in. Its only
    /// parameter, in the register of integer results, is the address of an
    /// [`crate::instance::ExceptionRecord`].
    pub text_offset: u32,
}

impl ExceptionHandler {
    /// Beyond any index.
    const ANY: u32 = (u32::MAX >> 1) - 1;

    /// A handler of exceptions of the tag with this index, or of any, which may want a reference.
    pub const fn new(tag: Option<u32>, wants_ref: bool, text_offset: u32) -> ExceptionHandler {
        let tag = match tag {
            Some(tag) => tag,
            None => Self::ANY,
        };
        ExceptionHandler {
            what: tag << 1 | wants_ref as u32,
            text_offset,
        }
    }

    /// Index of the tag; `None` where every exception is caught.
    pub const fn tag(self) -> Option<u32> {
        match self.what >> 1 {
            Self::ANY => None,
            tag => Some(tag),
        }
    }

    /// Whether the code may keep a reference to the exception.
    pub const fn wants_ref(self) -> bool {
        self.what & 1 != 0
    }
}

/// What an import or export is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExternKind {
    /// A function.
    Function = 0,
    /// A table.
    Table = 1,
    /// A linear memory.
    Memory = 2,
    /// A global.
    Global = 3,
    /// A tag.
    Tag = 4,
}

impl ExternKind {
    /// The kind with this number, if there is one.
    pub const fn from_u32(kind: u32) -> Option<ExternKind> {
        Some(match kind {
            0 => ExternKind::Function,
            1 => ExternKind::Table,
            2 => ExternKind::Memory,
            3 => ExternKind::Global,
            4 => ExternKind::Tag,
            _ => return None,
        })
    }
}

/// An import of the module.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportRecord {
    /// Module name, UTF-8.
    pub module: Span,
    /// Name, UTF-8.
    pub name: Span,
    /// An [`ExternKind`].
    pub kind: u32,
    /// Index in the space of its kind; its record there tells its type.
    pub index: u32,
}

/// An export of the module.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportRecord {
    /// Name, UTF-8.
    pub name: Span,
    /// An [`ExternKind`].
    pub kind: u32,
    /// Index in the space of its kind.
    pub index: u32,
}

/// An element segment that the module can still read at run time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementRecord {
    /// Type of its elements.
    pub elem: ValType,
    /// Function indices (`u32`, [`crate::NONE`] for null), where `values` is [`crate::NONE`].
    pub functions: Span,
    /// Distance of `len` references of 8 bytes each, which `init` fills; [`crate::NONE`] where
    /// the elements are `functions`.
    pub values: u32,
    /// How many elements.
    pub len: u32,
}

/// A data segment that the module can still read at run time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRecord {
    /// Its bytes.
    pub bytes: Span,
}

/// Initial contents of a piece of a memory; all else is zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRun {
    /// Where it goes: bytes from the start of the memory, a multiple of the largest page size.
    pub memory_offset: u64,
    /// Where it is: bytes from the start of [`ObjectHeader::image`], a multiple of the same.
    pub image_offset: u64,
    /// Bytes: a multiple of 4096, but where the memory itself ends before.
    pub len: u64,
    /// Index of the memory.
    pub memory: u32,
    /// Zero.
    pub reserved: u32,
}

/// A custom section that was kept.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomRecord {
    /// Its name, UTF-8.
    pub name: Span,
    /// Its contents.
    pub bytes: Span,
}

const _: () = {
    assert!(size_of::<Span>() == 8);
    assert!(size_of::<Segment>() == 24);
    assert!(size_of::<InstanceLayout>() == 24);
    assert!(size_of::<LevelRecord>() == 24);
    assert!(size_of::<TypeRecord>() == 20);
    assert!(size_of::<FunctionRecord>() == 36);
    assert!(size_of::<TableRecord>() == 32);
    assert!(size_of::<CodeTableRecord>() == 12);
    assert!(size_of::<MemoryRecord>() == 56);
    assert!(size_of::<GlobalRecord>() == 12);
    assert!(size_of::<ImportRecord>() == 24);
    assert!(size_of::<ExportRecord>() == 16);
    assert!(size_of::<ElementRecord>() == 20);
    assert!(size_of::<DataRecord>() == 8);
    assert!(size_of::<ImageRun>() == 32);
    assert!(size_of::<CustomRecord>() == 16);
    assert!(core::mem::offset_of!(ObjectHeader, text) == 32);
    assert!(core::mem::offset_of!(ObjectHeader, layout) == 80);
    assert!(core::mem::offset_of!(ObjectHeader, types) == 124);
    assert!(size_of::<TagRecord>() == 4);
    assert!(size_of::<ExceptionFrame>() == 16);
    assert!(size_of::<ExceptionHandler>() == 8);
    assert!(core::mem::offset_of!(ObjectHeader, levels) == ObjectHeader::LEAST_SIZE);
    assert!(size_of::<SubTypeRecord>() == 24);
    assert!(size_of::<FieldRecord>() == 8);
    assert!(core::mem::offset_of!(ObjectHeader, sub_types) == 448);
    assert!(size_of::<ObjectHeader>() == 520);
};
