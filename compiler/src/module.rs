//! The model of a validated module: what the rest of the compiler knows about it.
//!
//! [`ModuleInfo::read`] parses and validates a module completely, function bodies included
//! (in parallel, in the rayon pool it is called in), and then works out what no single section
//! tells: which tables can never change, which functions can be referred to, which constants
//! are known. Nothing is lowered before it has returned.

mod analysis;
mod const_expr;
mod facts;
pub(crate) mod features;
mod read;
mod types;

pub(crate) use const_expr::{ConstValue, Init};
pub(crate) use types::{Field, FuncType};

use crate::error::CompileError;
use crate::passes::BranchHints;
use cranelift_codegen::entity::{PrimaryMap, entity_impl};
use precast_abi::instance::GUARD_RESERVATION;
use std::collections::BTreeMap;
use std::ops::Range;
use wasmparser::{FunctionBody, RefType, ValType};

macro_rules! index {
    ($(#[$doc:meta] $name:ident $prefix:literal;)*) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(u32);
        entity_impl!($name, $prefix);
    )*};
}

index! {
    /// Index of a type.
    TypeIndex "type";
    /// Index of a function, imports first.
    FuncIndex "func";
    /// Index of a table, imports first.
    TableIndex "table";
    /// Index of a memory, imports first.
    MemoryIndex "memory";
    /// Index of a global, imports first.
    GlobalIndex "global";
    /// Index of a tag, imports first.
    TagIndex "tag";
    /// Index of an element segment.
    ElemIndex "elem";
    /// Index of a data segment.
    DataIndex "data";
}

/// A validated module and what is known about it. Borrows from the module's bytes.
pub(crate) struct ModuleInfo<'a> {
    /// Name of the module in its name section.
    pub(crate) name: Option<&'a str>,
    /// The type index space.
    pub(crate) types: PrimaryMap<TypeIndex, FuncType>,
    /// Imports in the module's order.
    pub(crate) imports: Vec<Import<'a>>,
    /// The function index space.
    pub(crate) functions: PrimaryMap<FuncIndex, Function<'a>>,
    /// The table index space.
    pub(crate) tables: PrimaryMap<TableIndex, Table<'a>>,
    /// The memory index space.
    pub(crate) memories: PrimaryMap<MemoryIndex, Memory>,
    /// The global index space.
    pub(crate) globals: PrimaryMap<GlobalIndex, Global<'a>>,
    /// The types of the tags: the tag index space.
    pub(crate) tags: PrimaryMap<TagIndex, TypeIndex>,
    /// Exports in the module's order.
    pub(crate) exports: Vec<Export<'a>>,
    /// The element segment index space.
    pub(crate) elements: PrimaryMap<ElemIndex, ElementSegment<'a>>,
    /// The data segment index space.
    pub(crate) data: PrimaryMap<DataIndex, DataSegment<'a>>,
    /// The start function.
    pub(crate) start: Option<FuncIndex>,
    /// Custom sections other than `name`, in the module's order.
    pub(crate) customs: Vec<CustomSection<'a>>,
    /// How many of each space are imported: they come first.
    pub(crate) imported: Imported,
    /// Arrays of code offsets for each immutable table and the types that a `call_indirect` on it
    /// names. Ordered. Namespace 2 of symbols is an index into this.
    pub(crate) code_tables: Vec<CodeTable>,
    /// Elements of immutable tables that are the only ones there of a type (canonical).
    pub(crate) sole_elements: BTreeMap<(TableIndex, TypeIndex), SoleElement>,
    /// Whether its code makes or looks at garbage-collected objects, or compares types that have
    /// supertypes.
    pub(crate) has_heap_def: bool,
    /// Whether it makes or looks at garbage-collected objects.
    pub(crate) makes_objects: bool,
}

/// The only element of a table that is a function of some type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoleElement {
    /// Where it stands.
    pub(crate) index: u64,
    /// A function that the module defines.
    pub(crate) function: FuncIndex,
}

/// How many imports there are of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Imported {
    pub(crate) functions: u32,
    pub(crate) tables: u32,
    pub(crate) memories: u32,
    pub(crate) globals: u32,
    pub(crate) tags: u32,
}

/// Something with an index in a space of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entity {
    Function(FuncIndex),
    Table(TableIndex),
    Memory(MemoryIndex),
    Global(GlobalIndex),
    Tag(TagIndex),
}

/// An import.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Import<'a> {
    pub(crate) module: &'a str,
    pub(crate) name: &'a str,
    pub(crate) entity: Entity,
}

/// An export.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Export<'a> {
    pub(crate) name: &'a str,
    pub(crate) entity: Entity,
}

/// A custom section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CustomSection<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// A function.
pub(crate) struct Function<'a> {
    /// Its type.
    pub(crate) ty: TypeIndex,
    /// Its body; `None` for imports.
    pub(crate) body: Option<FunctionBody<'a>>,
    /// Its name in the name section.
    pub(crate) name: Option<&'a str>,
    /// The name of its first export.
    pub(crate) export_name: Option<&'a str>,
    /// Whether an instance needs a `FuncRef` record of it: it is exported, or a reference to it
    /// can come into being at run time.
    pub(crate) needs_func_ref: bool,
    /// The functions of the module that it calls, one for each call whose target is known, in the
    /// order of its code.
    pub(crate) callees: Box<[FuncIndex]>,
    /// Whether it has a `try` of the first form of exceptions.
    pub(crate) has_legacy_try: bool,
    /// Which of its branches are likely.
    pub(crate) branch_hints: BranchHints,
}

impl Function<'_> {
    /// The bytes of the module that hold its body; empty for imports.
    pub(crate) fn body_range(&self) -> Range<u64> {
        self.body.as_ref().map_or(0..0, FunctionBody::range)
    }
}

/// A table.
pub(crate) struct Table<'a> {
    /// Type of its elements.
    pub(crate) elem: RefType,
    /// Whether its elements are `FuncRef` records, by value.
    pub(crate) holds_func_refs: bool,
    /// Least length in elements.
    pub(crate) min: u64,
    /// Greatest length in elements.
    pub(crate) max: Option<u64>,
    /// Whether indices are 64 bits wide.
    pub(crate) index64: bool,
    /// What its elements start as.
    pub(crate) init: Init<'a>,
    /// Whether it is imported.
    pub(crate) imported: bool,
    /// Whether it is exported.
    pub(crate) exported: bool,
    /// Whether the module contains a `table.grow` of it.
    pub(crate) grown: bool,
    /// Its contents, where no one can ever change them: element `i` of the whole table. Such a
    /// table exists only as [`ModuleInfo::code_tables`].
    pub(crate) immutable: Option<Vec<Option<FuncIndex>>>,
}

impl Table<'_> {
    /// Its length in elements, where that can never change.
    pub(crate) fn fixed_len(&self) -> Option<u64> {
        let own = !self.imported && !self.exported;
        (self.max == Some(self.min) || (own && !self.grown)).then_some(self.min)
    }

    /// Bytes of one element in a table that can change.
    pub(crate) fn element_size(&self) -> u32 {
        if self.holds_func_refs { 32 } else { 8 }
    }
}

/// A read-only array of code offsets: the contents of an immutable table as a `call_indirect`
/// sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CodeTable {
    /// The table.
    pub(crate) table: TableIndex,
    /// The type, canonical, of calls that have an array of their own: all other elements lead to
    /// traps. `None` for the array that calls of all other types share: it has the number of
    /// each element's type beside it.
    pub(crate) ty: Option<TypeIndex>,
}

impl CodeTable {
    /// What stands for a type in an array that is shared; 0 for what cannot be called.
    pub(crate) fn type_number(canonical: TypeIndex) -> u16 {
        canonical.as_u32() as u16 + 1
    }
}

/// Reservations are multiples of this: what every system can map,
const RESERVATION_UNIT: u64 = 64 << 10;
/// and no more than an address space has room for.
const MAX_RESERVATION: u64 = 1 << 46;

/// A page of a memory, and the most of them that a heap has: no address in it is near 2^32.
const PAGE: u64 = 64 << 10;
const MAX_HEAP_PAGES: u64 = (1 << 16) - 1;

/// A linear memory, or the heap.
pub(crate) struct Memory {
    /// Least length in pages.
    pub(crate) min: u64,
    /// Greatest length in pages.
    pub(crate) max: Option<u64>,
    /// Whether indices are 64 bits wide.
    pub(crate) index64: bool,
    /// Binary logarithm of the page size.
    pub(crate) page_size_log2: u32,
    /// Whether threads may share it.
    pub(crate) shared: bool,
    /// Whether it is imported.
    pub(crate) imported: bool,
    /// Whether it is exported.
    pub(crate) exported: bool,
    /// Whether the module contains a `memory.grow` of it.
    pub(crate) grown: bool,
    /// How accesses stay in bounds.
    pub(crate) bounds: Bounds,
    /// Whether it is the heap, which no operator names.
    pub(crate) is_heap: bool,
}

/// How accesses to a memory stay in bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// Bytes that no one can access follow it as far as any access can reach.
    GuardPages,
    /// Every access is compared with the length, which never exceeds `capacity` bytes unless that
    /// is 0.
    Checked { capacity: u64 },
}

impl Memory {
    /// Whether its definition lies elsewhere: the instance data have the address of it.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.imported || self.shared
    }

    /// Its length in bytes, where that can never change.
    pub(crate) fn fixed_bytes(&self) -> Option<u64> {
        // A shared one the host may grow, too.
        let own = !self.is_elsewhere() && !self.exported;
        if self.max != Some(self.min) && (!own || self.grown) {
            return None;
        }
        self.min_bytes()
    }

    /// Least length in bytes; `None` where that is 2^64 or more.
    pub(crate) fn min_bytes(&self) -> Option<u64> {
        self.min.checked_mul(1 << self.page_size_log2)
    }
}

/// A global.
pub(crate) struct Global<'a> {
    /// Type of its value.
    pub(crate) ty: ValType,
    /// Whether the module declares it mutable.
    pub(crate) mutable: bool,
    /// Whether it is exported.
    pub(crate) exported: bool,
    /// Whether a `global.set` of it exists in the module.
    pub(crate) written: bool,
    /// Its first value; `None` for imports.
    pub(crate) init: Option<Init<'a>>,
}

impl Global<'_> {
    /// Whether its value is the same from instantiation on: immutable in fact, whatever the
    /// module declares.
    pub(crate) fn is_constant(&self) -> bool {
        let foreign = self.init.is_none() || self.exported;
        !self.mutable || (!self.written && !foreign)
    }

    /// Its value, where that is known now and for ever.
    pub(crate) fn known_value(&self) -> Option<ConstValue> {
        match self.init {
            Some(Init::Value(value)) if self.is_constant() => Some(value),
            _ => None,
        }
    }
}

/// An element segment.
pub(crate) struct ElementSegment<'a> {
    /// Type of its elements.
    pub(crate) ty: RefType,
    /// Its elements.
    pub(crate) items: ElementItems<'a>,
    /// When they are copied.
    pub(crate) mode: ElementMode<'a>,
    /// Where it stands in the module, in bytes from the start.
    pub(crate) offset: u64,
    /// Whether a `table.init` names it.
    pub(crate) used: bool,
    /// Whether it has become part of an immutable table, so that nothing is left to do.
    pub(crate) folded: bool,
}

impl ElementSegment<'_> {
    /// Whether instances copy from it, at instantiation or later.
    pub(crate) fn needed_at_run_time(&self) -> bool {
        let active = matches!(self.mode, ElementMode::Active { .. });
        self.used || (active && !self.folded)
    }
}

/// The elements of a segment.
pub(crate) enum ElementItems<'a> {
    /// Functions, or null.
    Functions(Vec<Option<FuncIndex>>),
    /// Values that are known only at instantiation, some of them at least.
    Values(Vec<Init<'a>>),
}

impl ElementItems<'_> {
    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        let len = match self {
            ElementItems::Functions(items) => items.len(),
            ElementItems::Values(items) => items.len(),
        };
        len as u32
    }
}

/// When the elements of a segment are copied.
pub(crate) enum ElementMode<'a> {
    /// By `table.init`.
    Passive,
    /// Never: it declares which functions can be referred to.
    Declared,
    /// At instantiation.
    Active { table: TableIndex, offset: Init<'a> },
}

/// A data segment.
pub(crate) struct DataSegment<'a> {
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// When they are copied.
    pub(crate) mode: DataMode<'a>,
    /// Where it stands in the module, in bytes from the start.
    pub(crate) offset: u64,
    /// Whether a `memory.init` names it.
    pub(crate) used: bool,
    /// Whether it has become part of the initial image, so that nothing is left to do at
    /// instantiation.
    pub(crate) folded: bool,
}

impl DataSegment<'_> {
    /// Whether instances copy from it, at instantiation or later.
    pub(crate) fn needed_at_run_time(&self) -> bool {
        let active = matches!(self.mode, DataMode::Active { .. });
        self.used || (active && !self.folded)
    }
}

/// When the bytes of a segment are copied.
pub(crate) enum DataMode<'a> {
    /// By `memory.init`.
    Passive,
    /// At instantiation.
    Active {
        memory: MemoryIndex,
        offset: Init<'a>,
    },
}

impl<'a> ModuleInfo<'a> {
    /// The type of a function.
    pub(crate) fn func_type(&self, index: FuncIndex) -> &FuncType {
        &self.types[self.functions[index].ty]
    }

    /// The first type index that means the same type.
    pub(crate) fn canonical(&self, ty: TypeIndex) -> TypeIndex {
        self.types[ty].canonical
    }

    /// Adds the heap, if the module can make objects: the last memory, of no more than `bytes`.
    pub(crate) fn add_heap(&mut self, bytes: Option<u64>) {
        if !self.makes_objects {
            return;
        }
        let most = bytes.unwrap_or(u64::MAX) / PAGE;
        self.memories.push(Memory {
            min: 1,
            max: Some(most.clamp(1, MAX_HEAP_PAGES)),
            index64: false,
            page_size_log2: 16,
            shared: false,
            imported: false,
            exported: false,
            grown: true,
            bounds: Bounds::Checked { capacity: 0 },
            is_heap: true,
        });
    }

    /// Gives memory 0, where it is the module's own, no more than `bytes` of address space: accesses
    /// are checked where guard pages would need more.
    pub(crate) fn limit_memory(&mut self, bytes: u64) -> Result<(), CompileError> {
        let index = MemoryIndex::from_u32(0);
        let own = |memory: &&mut Memory| !memory.is_elsewhere() && !memory.is_heap;
        let Some(memory) = self.memories.get_mut(index).filter(own) else {
            return Ok(());
        };
        let capacity = bytes.max(1).checked_next_multiple_of(RESERVATION_UNIT);
        let enough = capacity.is_none_or(|capacity| capacity >= GUARD_RESERVATION);
        if memory.bounds == Bounds::GuardPages && enough {
            return Ok(());
        }
        let capacity = capacity.filter(|capacity| *capacity <= MAX_RESERVATION);
        let least = memory.min_bytes().unwrap_or(u64::MAX);
        let Some(capacity) = capacity.filter(|capacity| *capacity >= least) else {
            return Err(CompileError::Options {
                message: format!(
                    "a memory reservation of {bytes} bytes does not suit the module, whose memory has {least} bytes to begin with"
                ),
            });
        };
        memory.bounds = Bounds::Checked { capacity };
        Ok(())
    }

    /// Whether a function is imported.
    pub(crate) fn is_imported(&self, index: FuncIndex) -> bool {
        index.as_u32() < self.imported.functions
    }

    /// The types of the values that exceptions of a tag carry.
    pub(crate) fn tag_params(&self, tag: TagIndex) -> &[ValType] {
        &self.types[self.tags[tag]].params
    }

    /// Whether a tag is imported. Two of those may be the same.
    pub(crate) fn is_imported_tag(&self, tag: TagIndex) -> bool {
        tag.as_u32() < self.imported.tags
    }

    /// The index of the code table for `call_indirect` of `ty` on `table`, if the table is
    /// immutable: that of the type, or the one that is shared.
    pub(crate) fn code_table(&self, table: TableIndex, ty: TypeIndex) -> Option<u32> {
        let own = Some(self.canonical(ty));
        let find = |ty| self.code_tables.binary_search(&CodeTable { table, ty });
        Some(find(own).or_else(|_| find(None)).ok()? as u32)
    }

    /// The function of the module that element `index` of an immutable table is, if it is of type
    /// `ty`.
    pub(crate) fn known_element(
        &self,
        table: TableIndex,
        ty: TypeIndex,
        index: u64,
    ) -> Option<FuncIndex> {
        let elements = self.tables[table].immutable.as_ref()?;
        let function = (*elements.get(usize::try_from(index).ok()?)?)?;
        let same = self.canonical(self.functions[function].ty) == self.canonical(ty);
        (same && !self.is_imported(function)).then_some(function)
    }

    /// The only element of type `ty` of an immutable table.
    pub(crate) fn sole_element(&self, table: TableIndex, ty: TypeIndex) -> Option<SoleElement> {
        let key = (table, self.canonical(ty));
        self.sole_elements.get(&key).copied()
    }

    /// How many entries a code table has: one per element and one for every index past the end.
    pub(crate) fn code_table_entries(&self, table: &CodeTable) -> u32 {
        let contents = self.tables[table.table].immutable.as_ref();
        contents.map_or(0, Vec::len) as u32 + 1
    }

    /// How many data segments instances know of: all up to the last one that is needed.
    pub(crate) fn data_at_run_time(&self) -> usize {
        let needed = |segment: &DataSegment<'_>| segment.needed_at_run_time();
        let last = self.data.values().rposition(needed);
        last.map_or(0, |last| last + 1)
    }

    /// How many element segments instances know of: all up to the last one that is needed.
    pub(crate) fn elements_at_run_time(&self) -> usize {
        let needed = |segment: &ElementSegment<'_>| segment.needed_at_run_time();
        let last = self.elements.values().rposition(needed);
        last.map_or(0, |last| last + 1)
    }

    /// The name that a function has for its users: in the name section, or of its first export.
    pub(crate) fn function_name(&self, index: FuncIndex) -> Option<&'a str> {
        let function = &self.functions[index];
        function.name.or(function.export_name)
    }
}
