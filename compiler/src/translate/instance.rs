//! Access to instance data: loads and stores that never fault, at fixed distances below the
//! instance base.
//!
//! Alias regions tell Cranelift which accesses cannot meet. The bytes that the guest's own loads
//! and stores reach are a region of their own: they never meet instance data, which is what makes
//! it sound to keep globals in registers across stores to memory. A call may change anything.

use super::func::FuncTranslator;
use crate::module::GlobalIndex;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, Endianness, InstBuilder, MemFlagsData, Type, Value, types,
};

/// What cannot alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// The bytes of linear memories. All of them: two imports may be the same memory.
    Memory,
    /// Elements of tables.
    Elements,
    /// Definitions of memories and tables: addresses and lengths.
    Definitions,
    /// A global that the module defines.
    Global(GlobalIndex),
    /// Globals that are imported: two of them may be the same.
    ImportedGlobals,
    /// The fuel that is left.
    Fuel,
    /// Counters of what is executed.
    Counters,
    /// Fields of objects, and elements of arrays.
    Fields,
    /// The first words of objects: types and lengths.
    ObjectWords,
    /// Where the next object is to be made.
    HeapHeader,
}

/// Globals from this one on share a region, so that the number of regions stays small.
const OWN_REGION_GLOBALS: usize = 256;

impl Region {
    /// A number that means the same region in every function of the module.
    fn id(self) -> u32 {
        match self {
            Region::Memory => 0,
            Region::Elements => 1,
            Region::Definitions => 2,
            Region::ImportedGlobals => 3,
            Region::Fuel => 5 + OWN_REGION_GLOBALS as u32,
            Region::Counters => 6 + OWN_REGION_GLOBALS as u32,
            Region::Fields => 7 + OWN_REGION_GLOBALS as u32,
            Region::ObjectWords => 8 + OWN_REGION_GLOBALS as u32,
            Region::HeapHeader => 9 + OWN_REGION_GLOBALS as u32,
            Region::Global(index) => 4 + index.index().min(OWN_REGION_GLOBALS) as u32,
        }
    }

    fn description(self) -> &'static str {
        match self {
            Region::Memory => "memory",
            Region::Elements => "table elements",
            Region::Definitions => "definitions",
            Region::ImportedGlobals => "imported globals",
            Region::Fuel => "fuel",
            Region::Counters => "counters",
            Region::Fields => "fields",
            Region::ObjectWords => "object words",
            Region::HeapHeader => "heap header",
            Region::Global(_) => "global",
        }
    }
}

/// Flags of a load of what never changes once the instance runs, at an address that is valid
/// wherever it is known.
pub(super) fn constant_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

impl FuncTranslator<'_> {
    /// The region, as this function knows it.
    pub(super) fn alias_region(&mut self, region: Region) -> AliasRegion {
        let id = region.id();
        let regions = &mut self.builder.func.dfg.alias_regions;
        *self.cache.regions.entry(id).or_insert_with(|| {
            regions.insert(AliasRegionData {
                user_id: id,
                description: region.description().into(),
            })
        })
    }

    /// Flags of an access to instance data that may change.
    pub(super) fn instance_flags(&mut self, region: Region) -> MemFlagsData {
        // Tables lie where the loader finds room, which need not suit vectors.
        let flags = match region {
            Region::Elements | Region::Fields => MemFlagsData::new().with_notrap(),
            _ => MemFlagsData::trusted(),
        };
        let region = self.alias_region(region);
        flags.with_alias_region(Some(region))
    }

    /// Flags of an access by the guest, which traps with `code`.
    pub(super) fn guest_flags(&mut self, code: cranelift_codegen::ir::TrapCode) -> MemFlagsData {
        let region = self.alias_region(Region::Memory);
        MemFlagsData::new()
            .with_endianness(Endianness::Little)
            .with_trap_code(Some(code))
            .with_alias_region(Some(region))
    }

    /// Loads instance data that never changes.
    pub(super) fn emit_constant_load(&mut self, ty: Type, address: Value, offset: i32) -> Value {
        let flags = constant_flags();
        self.builder.ins().load(ty, flags, address, offset)
    }

    /// The address of the record at `offset` from the base, or, if it is `imported`, of the one
    /// whose address lies there. Comes as an address and an offset.
    pub(super) fn emit_record(&mut self, offset: i32, imported: bool) -> (Value, i32) {
        if imported {
            let address = self.emit_constant_load(types::I64, self.base, offset);
            (address, 0)
        } else {
            (self.base, offset)
        }
    }
}
