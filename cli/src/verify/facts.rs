//! What the metadata says about instance data, functions and code tables, in a form that is
//! quick to ask. All of it has passed [`ObjectView::verify`].

use super::value::Thing;
use precast::object::{Damage, Metadata, ObjectView};
use precast_abi::NONE;
use precast_abi::instance::InstanceHeader;
use precast_abi::object::{FunctionRecord, MemoryRecord, ObjectHeader};
use precast_abi::types::{Kind, ValType};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// What eight bytes of instance data hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// The address of a thing.
    Address(Thing),
    /// The address of this instance's own memory 0.
    OwnBase,
    /// Code of the import whose slot this is.
    ImportCode,
    /// Context of the import whose slot starts eight bytes below.
    ImportContext,
    /// The loader's trap entry.
    TrapEntry,
    /// The activation record, which is none of the code's business.
    Activation,
}

/// A function as calls see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    /// Bytes of parameters on the stack, which the function takes off.
    pub(super) stack_bytes: i64,
    /// Whether its first parameter says where to put results, and how many bytes there are.
    pub(super) return_area: Option<i64>,
}

/// An array of code offsets.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeTable {
    /// How many there are.
    pub(super) entries: i64,
    /// Whether the entries are followed by 16-bit numbers of their types.
    pub(super) shared: bool,
}

pub(super) struct Facts<'a> {
    pub(super) metadata: Metadata<'a>,
    pub(super) header: &'a ObjectHeader,
    pub(super) text: &'a [u8],
    /// By distance.
    cells: HashMap<u32, Cell>,
    /// Distances that may be written, as ranges: the low end of a region has the greatest.
    writable: Vec<Range<i64>>,
    /// Starts of functions, and other places that may be called with the base: stubs of traps.
    entries: HashMap<u32, Option<u32>>,
    trap_stubs: HashSet<u32>,
    /// The code tables by where each starts, counted from the start of the text.
    code_tables: BTreeMap<i64, CodeTable>,
    /// Bytes from the base that memory 0 and its guard cover; the least length of the memory where
    /// accesses are compared.
    pub(super) memory0: i64,
    /// Whether there is any function reference.
    pub(super) has_references: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn new(view: &'a ObjectView<'a>) -> Result<Facts<'a>, Damage> {
        let metadata = view.metadata();
        let header = metadata.header();
        let mut facts = Facts {
            metadata,
            header,
            text: view.text(),
            cells: HashMap::new(),
            writable: Vec::new(),
            entries: HashMap::new(),
            trap_stubs: header
                .trap_stubs
                .iter()
                .copied()
                .filter(|stub| *stub != NONE)
                .collect(),
            code_tables: BTreeMap::new(),
            memory0: 0,
            has_references: false,
        };
        facts.header_cells();
        facts.functions()?;
        facts.memories()?;
        facts.tables()?;
        facts.globals()?;
        facts.elements()?;
        facts.read_code_tables(view.metadata_address())?;
        Ok(facts)
    }

    /// What the eight bytes at this distance hold, if anything is said of them.
    pub(super) fn cell(&self, distance: u32) -> Option<Cell> {
        self.cells.get(&distance).copied()
    }

    /// Whether code may write these bytes, counted from the base.
    pub(super) fn is_writable(&self, bytes: Range<i64>) -> bool {
        self.writable
            .iter()
            .any(|region| region.start <= bytes.start && bytes.end <= region.end)
    }

    /// The function that starts at this text offset.
    pub(super) fn function_at(&self, text_offset: u32) -> Option<Option<u32>> {
        self.entries.get(&text_offset).copied()
    }

    pub(super) fn is_trap_stub(&self, text_offset: u32) -> bool {
        self.trap_stubs.contains(&text_offset)
    }

    /// The code table at this address.
    pub(super) fn code_table(&self, address: i64) -> Option<CodeTable> {
        self.code_tables.get(&address).copied()
    }

    /// An address that counts from the start of the text, if it is in the text.
    pub(super) fn text_offset(&self, address: i64) -> Option<u32> {
        u32::try_from(address)
            .ok()
            .filter(|offset| (*offset as usize) < self.text.len())
    }

    pub(super) fn signature(&self, type_index: u32) -> Result<Signature, Damage> {
        let ty = self.metadata.ty(type_index)?;
        let results = self.metadata.results(&ty).collect::<Result<Vec<_>, _>>()?;
        let params = self.metadata.params(&ty).collect::<Result<Vec<_>, _>>()?;
        let result_bytes = bytes_on_stack(&results, 0, 8);
        let hidden = if result_bytes > 0 { 2 } else { 1 };
        let stack_bytes = bytes_on_stack(&params, hidden, 6);
        Ok(Signature {
            stack_bytes: (stack_bytes + 15) / 16 * 16,
            return_area: (result_bytes > 0).then_some(result_bytes),
        })
    }

    /// Bytes of the values of an exception of a tag; 0 for any.
    pub(super) fn tag_values(&self, tag: Option<u32>) -> Result<i64, Damage> {
        let Some(tag) = tag else { return Ok(0) };
        let ty = self.metadata.ty(self.metadata.tag(tag)?.type_index)?;
        Ok(i64::from(ty.params) * precast_abi::VALUE_SIZE as i64)
    }

    fn header_cells(&mut self) {
        self.cells.extend([
            (InstanceHeader::RUNTIME, Cell::Address(Thing::Runtime)),
            (InstanceHeader::TRAP, Cell::TrapEntry),
            (InstanceHeader::ACTIVATION, Cell::Activation),
        ]);
        let heap = self.header.heap;
        if heap != 0 {
            self.has_references = true;
            self.cells.insert(heap, Cell::Address(Thing::Heap));
            self.cells.insert(heap - 8, Cell::Address(Thing::TypeRows));
        }
        if self.header.flags & ObjectHeader::FUEL != 0 {
            self.allow_writes(InstanceHeader::FUEL, 8);
        }
        if self.header.counter_count > 0 {
            let size = i64::from(self.header.counter_count) * 8;
            self.allow_writes(self.header.counters, size);
        }
    }

    fn functions(&mut self) -> Result<(), Damage> {
        for index in 0..self.header.functions.len {
            let function: FunctionRecord = self.metadata.function(index)?;
            self.has_references |= function.func_ref != NONE;
            if index < self.header.imported_functions {
                self.cells.insert(function.import_slot, Cell::ImportCode);
                self.cells
                    .insert(function.import_slot - 8, Cell::ImportContext);
            } else if function.text_size > 0 {
                self.entries.insert(function.text_offset, Some(index));
            }
        }
        Ok(())
    }

    fn memories(&mut self) -> Result<(), Damage> {
        for index in 0..self.header.memories.len {
            let memory = self.metadata.memory(index)?;
            let shared = memory.flags & MemoryRecord::SHARED != 0;
            let imported = index < self.header.imported_memories || shared;
            let cell = match (imported, index) {
                (true, _) => Cell::Address(Thing::MemoryDef),
                (false, 0) => Cell::OwnBase,
                (false, _) => Cell::Address(Thing::Memory),
            };
            self.cells.insert(memory.def, cell);
            let heap = memory.flags & MemoryRecord::HEAP != 0;
            if index == 0 && !imported && !heap {
                // What it has to begin with is never taken away, and needs no check. All of these
                // are below 2^46.
                let least = memory.min.checked_mul(1 << memory.page_size_log2);
                self.memory0 = match memory.reservation {
                    0 => least.unwrap_or(0).min(1 << 46) as i64,
                    reservation => (reservation + memory.guard) as i64,
                };
            }
        }
        Ok(())
    }

    fn tables(&mut self) -> Result<(), Damage> {
        for index in 0..self.header.tables.len {
            let table = self.metadata.table(index)?;
            if table.def == NONE {
                continue;
            }
            self.has_references = true;
            let imported = index < self.header.imported_tables;
            let thing = if imported {
                Thing::TableDef
            } else {
                Thing::Elements
            };
            self.cells.insert(table.def, Cell::Address(thing));
        }
        Ok(())
    }

    fn globals(&mut self) -> Result<(), Damage> {
        for index in 0..self.header.globals.len {
            let global = self.metadata.global(index)?;
            self.has_references |= global.ty.is_func_ref();
            if index < self.header.imported_globals {
                self.cells.insert(global.cell, Cell::Address(Thing::Global));
            } else {
                let size = if global.ty.kind() == Some(Kind::V128) {
                    16
                } else {
                    8
                };
                self.allow_writes(global.cell, size);
            }
        }
        Ok(())
    }

    fn elements(&mut self) -> Result<(), Damage> {
        for index in 0..self.header.elements.len {
            let element = self.metadata.element(index)?;
            if element.values != NONE {
                self.allow_writes(element.values, i64::from(element.len) * 8);
            }
        }
        Ok(())
    }

    fn allow_writes(&mut self, distance: u32, len: i64) {
        let start = -i64::from(distance);
        self.writable.push(start..start + len);
    }

    fn read_code_tables(&mut self, metadata_address: u64) -> Result<(), Damage> {
        let text = self.header.text.address as i64;
        let first = metadata_address as i64 - text + i64::from(self.header.code_tables.offset);
        for index in 0..self.header.code_table_records.len {
            let (array, entries) = self.metadata.code_table(index)?;
            let table = CodeTable {
                entries: entries.into(),
                shared: array.type_index == NONE,
            };
            self.code_tables
                .insert(first + i64::from(array.offset), table);
        }
        Ok(())
    }
}

/// Bytes of values that no register is left for: after so many integers, of which `hidden` are
/// taken already, and eight floats.
fn bytes_on_stack(types: &[ValType], hidden: usize, max_integers: usize) -> i64 {
    let (mut integers, mut floats, mut bytes) = (hidden, 0, 0);
    for ty in types {
        let (count, limit, size) = match ty.kind() {
            Some(Kind::V128) => (&mut floats, 8, 16),
            Some(Kind::F32 | Kind::F64) => (&mut floats, 8, 8),
            _ => (&mut integers, max_integers, 8),
        };
        *count += 1;
        if *count > limit {
            bytes = (bytes + size - 1) / size * size + size;
        }
    }
    bytes
}
