//! Making instances.
//!
//! # Safety
//!
//! This file holds unsafe code: it fills in instance data, by distances that metadata accessors
//! have checked to be regions of it, before any guest code can run in the instance.
#![allow(unsafe_code, reason = "instance data is laid out by the compiler")]

use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

use precast_abi::heap::HeapDef;
use precast_abi::instance::{
    FuncRef, GUARD_RESERVATION, GUARD_TAIL, ImportedFunc, InstanceHeader, MemoryDef, TableDef,
};
use precast_abi::object::{ImageRun, MemoryRecord, ObjectHeader, TableRecord};
use precast_abi::{NONE, object::ExternKind};

use crate::activation::Region;
use crate::arch;
use crate::entry::{Entry, invoke};
use crate::error::{Error, LimitError, SystemError};
use crate::exception::TagId;
use crate::func::Func;
use crate::global::Global;
use crate::host::record::{HostBox, HostDef};
use crate::interner;
use crate::memory::{Home, MemoryEntity, shift, slot_capacity};
use crate::module::{FuncRefSite, Module, memory_type, table_type};
use crate::object::{Damage, Fault, Metadata, Part};
use crate::shared::SharedMemory;
use crate::slot::{Place, Slot, SlotPlan};
use crate::store::{Fixed, StoreCore, StoreMut};
use crate::stubs::host_stub;
use crate::sys::{self, Access};
use crate::table::{Storage, TableEntity, element_size};
use crate::types::TypeId;
use crate::window::Window;

/// Records of functions, by their numbers.
type Extra = Mutex<HashMap<u32, Box<FuncRef>>>;

/// What the store keeps of an instance.
#[derive(Debug)]
pub(crate) struct InstanceData {
    pub(crate) module: Module,
    pub(crate) slot: Slot,
    pub(crate) stack_top: usize,
    /// Which pages of the slot may be written, where it is a pool's.
    pub(crate) window: Option<Box<Window>>,
    /// The store's numbers of the instance's memories.
    pub(crate) memories: Box<[u32]>,
    /// The store's numbers of its tables; [`NONE`] for those that no one can change.
    pub(crate) tables: Box<[u32]>,
    /// Imported functions.
    pub(crate) functions: Box<[Func]>,
    /// Imported tags.
    tags: Box<[TagId]>,
    /// Host functions made for its imports.
    _hosts: Fixed<HostBox>,
    /// Records of functions that generated code has no record for, made when the host asks. Boxed:
    /// most instances have none, and there may be very many instances.
    extra: OnceLock<Box<Extra>>,
}

impl std::fmt::Debug for HostBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostBox")
            .field("type", &self.record.ty)
            .finish_non_exhaustive()
    }
}

/// What an import was resolved to. Its type has been checked.
pub(crate) enum Resolved {
    Func(Func),
    Host(HostDef),
    Table(u32),
    Memory(u32),
    Shared(SharedMemory),
    Global(Global),
    Tag(TagId),
}

/// Imports by kind, each in the order of its index space.
#[derive(Default)]
struct Imports {
    functions: Vec<Func>,
    tables: Vec<u32>,
    memories: Vec<u32>,
    globals: Vec<Global>,
    tags: Vec<TagId>,
    hosts: Fixed<HostBox>,
}

/// Runs of the image up to this many bytes are copied: mapping them costs more.
const COPY_UP_TO: u64 = 32 << 10;

/// Makes an instance and runs its start function. `imports` are what the module asks for, in its
/// order, of the right types and of this store.
pub(crate) fn in_store<T: 'static>(
    store: &mut StoreMut<'_, T>,
    module: &Module,
    imports: Vec<Resolved>,
) -> Result<u32, Error> {
    let (index, entry) = build(store.core_mut(), module, imports, None)?;
    if let Some(entry) = entry {
        // SAFETY: the store is ours, and no reference into it is held; `init` takes the instance
        // base alone.
        unsafe { invoke(store.core_ptr(), &entry, std::ptr::null_mut())? };
    }
    Ok(index)
}

/// Everything up to running guest code: the number of the instance, and what is to be called to
/// complete it. The slot is made in `place`, or has address space of its own.
pub(crate) fn build(
    core: &mut StoreCore,
    module: &Module,
    imports: Vec<Resolved>,
    place: Option<Place>,
) -> Result<(u32, Option<Entry>), Error> {
    let limit = core.options.limits.instances;
    if core.instances.len() >= limit {
        return Err(LimitError::Instances { limit }.into());
    }
    let metadata = module.metadata();
    let func_refs = module.func_refs()?;
    core.adopt_stubs(module)?;
    let mut plan = plan(core, metadata)?;
    let is_open = place.as_ref().is_some_and(|place| place.is_open);
    let is_pooled = place.is_some();
    let mut slot = match place {
        None => Slot::new(&mut plan)?,
        Some(place) => {
            if let Some(refusal) = place.refuses(&plan) {
                return Err(refusal.into());
            }
            plan.memory_capacity = plan.memory_capacity.min(place.capacity);
            Slot::in_place(place, &plan)?
        }
    };
    let committed = if is_open { plan.memory_capacity } else { 0 };
    let window = is_pooled.then(|| {
        let Region {
            stack,
            stack_top,
            base,
            ..
        } = slot.region;
        let len = plan.memory_len as usize;
        Box::new(Window::new(stack, stack_top, base, committed as usize, len))
    });
    slot.region.window = window
        .as_deref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    let index = u32::try_from(core.instances.len()).unwrap_or(NONE - 1);
    let rollback = Rollback::of(core);
    let room = Room {
        capacity: growth_limit(&plan),
        committed,
    };
    let made = fill(core, module, &slot, index, imports, room);
    let (imports, memories, tables) = match made {
        Ok(made) => made,
        Err(error) => {
            rollback.undo(core);
            return Err(error);
        }
    };
    write_func_refs(&slot, module, func_refs, &imports.functions);
    let header = metadata.header();
    let region = slot.region;
    let entry = (header.init != NONE).then(|| Entry {
        stub: module.code(header.init),
        context: region.base,
        code: 0,
        stack_top: region.stack_top,
    });
    core.activation.add_region(region);
    reserve_first(&mut core.instances, 1);
    core.instances.push(InstanceData {
        module: module.clone(),
        slot,
        stack_top: region.stack_top,
        window,
        memories: memories.into(),
        tables: tables.into(),
        functions: imports.functions.into(),
        tags: imports.tags.into(),
        _hosts: imports.hosts,
        extra: OnceLock::new(),
    });
    Ok((index, entry))
}

/// Room for memory 0 in a slot.
#[derive(Clone, Copy)]
struct Room {
    /// Bytes that it may become.
    capacity: u64,
    /// Bytes that are accessible whatever its length.
    committed: u64,
}

/// Room for just the first elements: most stores never have more.
pub(crate) fn reserve_first<V>(list: &mut Vec<V>, count: usize) {
    if list.is_empty() {
        list.reserve_exact(count);
    }
}

/// What to go back to when an instance cannot be completed.
struct Rollback {
    memories: usize,
    tables: usize,
    memory_bytes: u64,
    table_elements: u64,
    heap: Option<u32>,
}

impl Rollback {
    fn of(core: &StoreCore) -> Rollback {
        Rollback {
            memories: core.memories.len(),
            tables: core.tables.len(),
            memory_bytes: core.memory_bytes,
            table_elements: core.table_elements,
            heap: core.heap,
        }
    }

    fn undo(self, core: &mut StoreCore) {
        core.memories.truncate(self.memories);
        core.tables.truncate(self.tables);
        core.memory_bytes = self.memory_bytes;
        core.table_elements = self.table_elements;
        core.heap = self.heap;
    }
}

/// How large a slot the module needs.
fn plan(core: &StoreCore, metadata: Metadata<'_>) -> Result<SlotPlan, Error> {
    let header = metadata.header();
    let mut plan = SlotPlan {
        stack_size: sys::round_up_to_page(core.options.stack_size).unwrap_or(1 << 20),
        data_size: header.layout.size as usize,
        memory_len: 0,
        memory_capacity: 0,
        guard: 0,
        guarded: false,
    };
    if header.imported_memories > 0 || header.memories.len == 0 {
        return Ok(plan);
    }
    let memory = metadata.memory(0)?;
    let ty = memory_type(&memory);
    if ty.shared {
        return Ok(plan);
    }
    let limit = core.options.limits.memory_bytes;
    let len = shift(ty.min, ty.page_size_log2).unwrap_or(u64::MAX);
    if len > limit {
        return Err(LimitError::MemoryBytes {
            requested: len,
            limit,
        }
        .into());
    }
    let round = |bytes: u64| bytes.checked_next_multiple_of(sys::page_size() as u64);
    let too_large = || SystemError {
        what: "reserve",
        bytes: len,
        source: None,
    };
    plan.memory_len = round(len)
        .filter(|&len| len < 1 << 47)
        .ok_or_else(too_large)?;
    plan.guarded = memory.reservation > 0;
    plan.memory_capacity = if plan.guarded {
        memory.reservation
    } else {
        round(slot_capacity(&memory, &ty, limit)).ok_or_else(too_large)?
    };
    plan.guard = memory.guard;
    Ok(plan)
}

/// How many bytes memory 0 may grow to: with guard pages, it stays out of the tail of its 4 GiB.
fn growth_limit(plan: &SlotPlan) -> u64 {
    if plan.guarded {
        let tail = (GUARD_RESERVATION - GUARD_TAIL).max(plan.memory_len);
        plan.memory_capacity.min(tail)
    } else {
        plan.memory_capacity
    }
}

/// Fills in the instance data of a new slot, but for function records.
fn fill(
    core: &mut StoreCore,
    module: &Module,
    slot: &Slot,
    index: u32,
    resolved: Vec<Resolved>,
    room: Room,
) -> Result<(Imports, Vec<u32>, Vec<u32>), Error> {
    let metadata = module.metadata();
    let header = metadata.header();
    slot.write_header(InstanceHeader {
        loader: [index.into(), 0, 0, 0, 0, 0, 0, 0, 0, 0],
        fuel: core.options.fuel,
        memory0: MemoryDef {
            base: slot.base() as u64,
            len: 0,
        },
        runtime: arch::runtime_table() as u64,
        trap: arch::trap_entry() as u64,
        activation: std::sync::Arc::as_ptr(&core.activation).expose_provenance() as u64,
    });
    write_type_ids(slot, header.layout.type_ids, module.type_ids()?);
    // SAFETY: the region of globals is as long as its image (checked when the object is opened).
    unsafe { slot.write_bytes(header.layout.globals, metadata.globals_image()?) };
    let mut imports = Imports::default();
    sort_imports(core, module, resolved, &mut imports)?;
    let memories = make_memories(core, module, slot, index, &imports, room)?;
    let heap = metadata.heap_memory()?;
    write_heap_def(
        core,
        header,
        slot,
        heap.map(|index| memories[index as usize]),
    )?;
    let memory0 = memories
        .first()
        // Host functions get no reference to bytes that other threads may write, and none to objects.
        .filter(|&&memory| core.shared_memory(memory).is_none() && heap != Some(0))
        .map(|&memory| core.memories[memory as usize].def);
    let window = match memories.first() {
        Some(&memory) if header.imported_memories > 0 => {
            core.window_of(&core.memories[memory as usize])
        }
        _ => slot.region.window,
    };
    place_hosts(index, memory0, window, &mut imports);
    write_imports(core, metadata, slot, &imports)?;
    let tables = make_tables(core, module, slot, &imports)?;
    for run in 0..header.image_runs.len {
        place_image(core, module, &metadata.image_run(run)?, slot, &memories)?;
    }
    Ok((imports, memories, tables))
}

/// Tells generated code of the store's heap, which is `own` where no instance has had one before.
fn write_heap_def(
    core: &mut StoreCore,
    header: &ObjectHeader,
    slot: &Slot,
    own: Option<u32>,
) -> Result<(), Error> {
    if header.heap == 0 {
        return Ok(());
    }
    if core.heap.is_none() {
        core.heap = own;
    }
    let base = core
        .heap
        .map_or(0, |heap| core.memories[heap as usize].def().base);
    let types = interner::rows().ok_or(SystemError {
        what: "reserve",
        bytes: 64 << 20,
        source: None,
    })?;
    // SAFETY: the place is a region of this size (checked when the object is opened).
    unsafe { slot.write(header.heap, HeapDef { base, types }) };
    Ok(())
}

fn write_type_ids(slot: &Slot, distance: u32, ids: &[TypeId]) {
    for (i, id) in ids.iter().enumerate() {
        // SAFETY: the region has a number for each type (checked when the object is opened).
        unsafe { slot.write(distance - 4 * i as u32, id.0) };
    }
}

/// Sorts imports into their index spaces.
fn sort_imports(
    core: &mut StoreCore,
    module: &Module,
    resolved: Vec<Resolved>,
    imports: &mut Imports,
) -> Result<(), Error> {
    let metadata = module.metadata();
    for (index, import) in resolved.into_iter().enumerate() {
        match import {
            Resolved::Func(func) => imports.functions.push(func),
            Resolved::Host(def) => {
                let host = new_host(core, module, &def)?;
                imports
                    .functions
                    .push(Func::from_record(core.id, host.identity()));
                imports.hosts.push(host);
            }
            Resolved::Table(table) => imports.tables.push(table),
            Resolved::Memory(memory) => imports.memories.push(memory),
            Resolved::Shared(memory) => imports.memories.push(core.adopt_memory(memory)),
            Resolved::Global(global) => imports.globals.push(global),
            Resolved::Tag(tag) => imports.tags.push(tag),
        }
        // Spaces are in the order of imports: anything else is damage.
        let record = metadata.import(index as u32)?;
        let count = match ExternKind::from_u32(record.kind) {
            Some(ExternKind::Function) => imports.functions.len(),
            Some(ExternKind::Table) => imports.tables.len(),
            Some(ExternKind::Memory) => imports.memories.len(),
            Some(ExternKind::Global) => imports.globals.len(),
            Some(ExternKind::Tag) => imports.tags.len(),
            None => 0,
        };
        if count != record.index as usize + 1 {
            return Err(damage(Part::Import, index as u32));
        }
    }
    let header = metadata.header();
    let complete = imports.functions.len() == header.imported_functions as usize
        && imports.tables.len() == header.imported_tables as usize
        && imports.memories.len() == header.imported_memories as usize
        && imports.globals.len() == header.imported_globals as usize
        && imports.tags.len() == header.imported_tags as usize;
    if complete {
        Ok(())
    } else {
        Err(damage(Part::Imports, 0))
    }
}

fn damage(part: Part, index: u32) -> Error {
    Error::Object(Damage::at(part, index, Fault::Contradiction).into())
}

/// A host function for an import of the module.
fn new_host(core: &StoreCore, module: &Module, def: &HostDef) -> Result<Box<HostBox>, Error> {
    let stub = match def.ty.fits_registers() {
        true => 0,
        false => host_stub(module, def.ty.id())?.ok_or_else(|| damage(Part::Types, 0))?,
    };
    Ok(HostBox::new(
        def,
        &core.activation,
        stub,
        std::ptr::null(),
        NONE,
    ))
}

/// Tells host functions which instance imports them.
fn place_hosts(
    index: u32,
    memory0: Option<NonNull<MemoryDef>>,
    window: *const Window,
    imports: &mut Imports,
) {
    for host in &mut imports.hosts {
        host.record.window = window;
        host.record.instance = index;
        host.record.memory = memory0.map_or(std::ptr::null(), |def| def.as_ptr().cast_const());
    }
}

fn write_imports(
    core: &StoreCore,
    metadata: Metadata<'_>,
    slot: &Slot,
    imports: &Imports,
) -> Result<(), Error> {
    for (index, func) in (0..).zip(&imports.functions) {
        let FuncRef { code, context, .. } = func.record();
        let distance = metadata.function(index)?.import_slot;
        // SAFETY: the accessor has checked that the slot is a region of this size.
        unsafe { slot.write(distance, ImportedFunc { code, context }) };
    }
    // SAFETY, of the three below: accessors have checked that each is a region for an address.
    for (index, &table) in (0..).zip(&imports.tables) {
        let def = core.tables[table as usize].def.as_ptr().expose_provenance();
        // SAFETY: see above.
        unsafe { slot.write(metadata.table(index)?.def, def as u64) };
    }
    for (index, &memory) in (0..).zip(&imports.memories) {
        let def = core.memories[memory as usize]
            .def
            .as_ptr()
            .expose_provenance();
        // SAFETY: see above.
        unsafe { slot.write(metadata.memory(index)?.def, def as u64) };
    }
    for (index, global) in (0..).zip(&imports.globals) {
        let cell = global.cell.as_ptr().expose_provenance();
        // SAFETY: see above.
        unsafe { slot.write(metadata.global(index)?.cell, cell as u64) };
    }
    Ok(())
}

fn make_memories(
    core: &mut StoreCore,
    module: &Module,
    slot: &Slot,
    instance: u32,
    imports: &Imports,
    room: Room,
) -> Result<Vec<u32>, Error> {
    let metadata = module.metadata();
    let header = metadata.header();
    let mut memories = imports.memories.clone();
    let own = header.memories.len - header.imported_memories;
    reserve_first(&mut core.memories, own as usize);
    for index in header.imported_memories..header.memories.len {
        let record = metadata.memory(index)?;
        let ty = memory_type(&record);
        if ty.shared {
            let memory = core.define_shared(ty)?;
            let def = memory.def().as_ptr().expose_provenance();
            // SAFETY: the accessor has checked that there is room for an address.
            unsafe { slot.write(record.def, def as u64) };
            memories.push(core.adopt_memory(memory));
            continue;
        }
        if record.flags & MemoryRecord::HEAP != 0
            && index > 0
            && let Some(heap) = core.heap
        {
            // The store has one, which serves all of its instances.
            memories.push(heap);
            continue;
        }
        let bytes = shift(ty.min, ty.page_size_log2).unwrap_or(u64::MAX);
        core.take_memory(bytes)?;
        let (home, room, base) = if index == 0 {
            let home = Home::Slot {
                instance,
                offset: slot.base_offset,
            };
            (home, room, slot.base())
        } else {
            let limit = core.options.limits.memory_bytes;
            let (reservation, capacity) = MemoryEntity::reserve(ty, limit)?;
            let base = reservation.base().as_ptr().expose_provenance();
            let room = Room {
                capacity,
                committed: 0,
            };
            (Home::Own(reservation), room, base)
        };
        // SAFETY: the accessor has checked that the definition is a region of this size.
        unsafe {
            slot.write(
                record.def,
                MemoryDef {
                    base: base as u64,
                    len: bytes,
                },
            )
        };
        let def = std::ptr::with_exposed_provenance_mut(slot.address(record.def));
        memories.push(core.memories.len() as u32);
        core.memories.push(MemoryEntity {
            def: NonNull::new(def).expect("instance data is not at 0"),
            declared: ty,
            home,
            capacity: room.capacity,
            committed: room.committed,
            _own_def: None,
        });
    }
    Ok(memories)
}

fn make_tables(
    core: &mut StoreCore,
    module: &Module,
    slot: &Slot,
    imports: &Imports,
) -> Result<Vec<u32>, Error> {
    let metadata = module.metadata();
    let header = metadata.header();
    let ids = module.type_ids()?;
    let mut tables = imports.tables.clone();
    for index in header.imported_tables..header.tables.len {
        let record = metadata.table(index)?;
        if record.flags & TableRecord::IMMUTABLE != 0 {
            tables.push(NONE);
            continue;
        }
        let ty = table_type(&record, ids)?;
        core.take_elements(ty.min)?;
        let storage = match record.storage {
            NONE => Some(Storage::new(ty.min, element_size(&ty)).ok_or(SystemError {
                what: "allocate",
                bytes: ty.min.saturating_mul(element_size(&ty) as u64),
                source: None,
            })?),
            _ => None,
        };
        let elements = match &storage {
            Some(storage) => storage.address(),
            None => slot.address(record.storage) as u64,
        };
        // SAFETY: the accessor has checked that the definition is a region of this size.
        unsafe {
            slot.write(
                record.def,
                TableDef {
                    elements,
                    len: ty.min,
                },
            )
        };
        let def = std::ptr::with_exposed_provenance_mut(slot.address(record.def));
        tables.push(core.tables.len() as u32);
        core.tables.push(TableEntity {
            def: NonNull::new(def).expect("instance data is not at 0"),
            declared: ty,
            capacity: ty.min,
            in_data: storage.is_none(),
            storage,
            _own_def: None,
        });
    }
    Ok(tables)
}

/// Whether a run of the image is mapped in a memory, not copied.
pub(crate) fn is_mapped(module: &Module, run: &ImageRun, memory: &MemoryEntity) -> bool {
    let page = sys::page_size() as u64;
    let whole_pages = [run.memory_offset, run.image_offset, run.len]
        .iter()
        .all(|n| n.is_multiple_of(page));
    run.len > COPY_UP_TO
        && whole_pages
        && memory.committed == 0
        && module.object().image_file().is_some()
}

/// Puts a run of the image where it belongs.
fn place_image(
    core: &StoreCore,
    module: &Module,
    run: &ImageRun,
    slot: &Slot,
    memories: &[u32],
) -> Result<(), Error> {
    let memory = &core.memories[memories[run.memory as usize] as usize];
    let fail = |source| SystemError {
        what: "map",
        bytes: run.len,
        source: Some(source),
    };
    if let Some((file, image)) = module.object().image_file()
        && is_mapped(module, run, memory)
    {
        let (reservation, offset) = match &memory.home {
            Home::Own(reservation) => (reservation, 0),
            Home::Shared(memory) => (memory.reservation(), 0),
            Home::Slot { offset, .. } => (&slot.reservation, *offset),
        };
        let start = offset + run.memory_offset as usize;
        // SAFETY: the run lies within the memory (`Metadata::image_run`), which is new.
        let mapped = unsafe {
            reservation.map_file(
                start..start + run.len as usize,
                file,
                image + run.image_offset,
                Access::ReadWrite,
            )
        };
        return mapped.map_err(|error| fail(error).into());
    }
    let image = module
        .image()
        .ok_or_else(|| fail(std::io::ErrorKind::OutOfMemory.into()))?;
    let bytes = &image[run.image_offset as usize..][..run.len as usize];
    let (start, len) = memory.raw();
    let offset = run.memory_offset as usize;
    if offset.checked_add(bytes.len()).is_none_or(|end| end > len) {
        return Err(damage(Part::ImageRun, 0));
    }
    // SAFETY: the range lies within the memory, as was just checked, and no one uses it.
    unsafe {
        start
            .add(offset)
            .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
    };
    Ok(())
}

/// Fills in the records of functions that can be referred to.
fn write_func_refs(slot: &Slot, module: &Module, sites: &[FuncRefSite], imported: &[Func]) {
    for site in sites {
        let record = match imported.get(site.function as usize) {
            // A copy: the record of the function itself stays its identity.
            Some(func) => func.record(),
            None => guest_record(
                slot.base(),
                module,
                site,
                slot.address(site.distance) as u64,
            ),
        };
        // SAFETY: the metadata accessor has checked that each record is a region of this size.
        unsafe { slot.write(site.distance, record) };
    }
}

fn guest_record(base: usize, module: &Module, site: &FuncRefSite, identity: u64) -> FuncRef {
    FuncRef {
        code: module.code(site.text_offset) as u64,
        context: base as u64,
        type_id: site.type_id.0,
        reserved: 0,
        identity,
    }
}

impl InstanceData {
    /// Address of an imported global's value.
    pub(crate) fn imported_global(&self, cell: u32) -> usize {
        // SAFETY: the metadata accessor has checked that there is room for an address.
        unsafe { self.slot.read::<u64>(cell) as usize }
    }

    /// Its number in the store.
    pub(crate) fn number(&self) -> u32 {
        // SAFETY: the header is part of the slot, and was written when the instance was made.
        unsafe { crate::slot::header(self.slot.region.base) }.loader[0] as u32
    }

    /// The identity of tag `index` of the instance, whose number is `number`.
    #[inline]
    pub(crate) fn tag_id(&self, number: u32, index: u32) -> TagId {
        let imported = self.tags.get(index as usize);
        imported.copied().unwrap_or(TagId {
            instance: number,
            index,
        })
    }

    /// Function `index` of the instance.
    pub(crate) fn func(&self, core: &StoreCore, index: u32) -> Result<Func, Error> {
        if let Some(func) = self.functions.get(index as usize) {
            return Ok(*func);
        }
        let function = self.module.metadata().function(index)?;
        let is_imported = index < self.module.metadata().header().imported_functions;
        if function.text_size == 0 && !is_imported {
            return Err(damage(Part::Function, index));
        }
        let address = if function.func_ref == NONE {
            self.extra_record(index, function.text_offset, function.type_index)?
        } else {
            self.slot.address(function.func_ref)
        };
        Func::from_bits(core.id, address as u64).ok_or_else(|| damage(Part::Function, index))
    }

    /// Address of the record of a function that generated code never refers to.
    fn extra_record(&self, index: u32, text_offset: u32, type_index: u32) -> Result<usize, Error> {
        let type_id = self.module.type_ids()?[type_index as usize];
        let extra = self.extra.get_or_init(Box::default);
        let mut extra = extra.lock().unwrap_or_else(PoisonError::into_inner);
        let record = extra.entry(index).or_insert_with(|| {
            let site = FuncRefSite {
                function: index,
                distance: NONE,
                text_offset,
                type_id,
            };
            let record = guest_record(self.slot.base(), &self.module, &site, 0);
            let mut record = Box::new(record);
            record.identity = (&raw mut *record).expose_provenance() as u64;
            record
        });
        Ok(record.identity as usize)
    }
}
