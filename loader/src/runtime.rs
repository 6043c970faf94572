//! Functions that generated code calls, see [`precast_abi::runtime`].
//!
//! # Safety
//!
//! This file holds unsafe code. The crossings in [`crate::arch`] call these functions on the
//! host's stack, with the base of the instance that runs. Numbers of memories, tables and segments
//! come from the compiler; addresses, lengths and references from the guest: the former are
//! indices into lists that are checked as such, the latter are checked against bounds before use,
//! and references are of the right kind because the module was validated.
#![allow(
    unsafe_code,
    reason = "called by generated code, on its memory and tables"
)]

use std::ptr::NonNull;

use precast_abi::trap::TrapCode;

use crate::activation::Activation;
use crate::instantiate::InstanceData;
use crate::memory::Home;
use crate::racy;
use crate::slot;
use crate::store::StoreCore;
use crate::table::TableEntity;

/// What a runtime function answers where it cannot do what was asked.
const FAILED: u64 = u64::MAX;

/// Copies and fills run in pieces of this many bytes, so that a guest in one can be stopped. Whole
/// elements of tables.
const PIECE: usize = 16 << 20;
/// The same for references that are looked up one by one.
const PIECE_OF_ELEMENTS: u64 = 1 << 16;

/// The instance that runs, and its store.
pub(crate) struct Context<'a> {
    activation: &'a Activation,
    core: NonNull<StoreCore>,
    instance: usize,
    base: usize,
}

impl<'a> Context<'a> {
    /// # Safety
    ///
    /// `base` must be that of an instance that runs and has called out.
    pub(crate) unsafe fn new(base: usize) -> Context<'a> {
        // SAFETY: the caller's promise.
        let header = unsafe { slot::header(base) };
        // SAFETY: the activation lives as long as the store.
        let activation = unsafe {
            &*std::ptr::with_exposed_provenance::<Activation>(header.activation as usize)
        };
        Context {
            activation,
            core: activation.core(),
            instance: header.loader[0] as usize,
            base,
        }
    }

    pub(crate) fn core(&self) -> &StoreCore {
        // SAFETY: the store lives, and the guest that called does not run meanwhile.
        unsafe { self.core.as_ref() }
    }

    pub(crate) fn core_mut(&mut self) -> &mut StoreCore {
        // SAFETY: as above; the host that entered the guest does not use its borrow meanwhile.
        unsafe { self.core.as_mut() }
    }

    pub(crate) fn instance(&self) -> &InstanceData {
        &self.core().instances[self.instance]
    }

    /// The store's number of a memory of the instance.
    pub(crate) fn memory(&self, index: u64) -> u32 {
        self.instance().memories[index as usize]
    }

    /// The store's number of a table of the instance.
    fn table_index(&self, index: u64) -> u32 {
        self.instance().tables[index as usize]
    }

    fn table(&self, index: u64) -> &TableEntity {
        &self.core().tables[self.table_index(index) as usize]
    }

    /// Address of bytes `start..start + len` of a memory.
    pub(crate) fn bytes(&self, memory: u64, start: u64, len: u64) -> Option<*mut u8> {
        let def = self.core().memories[self.memory(memory) as usize].def();
        let inside = start.checked_add(len)? <= def.len;
        inside.then(|| std::ptr::with_exposed_provenance_mut((def.base + start) as usize))
    }

    /// As [`Context::bytes`], made writable where the slot is a pool's.
    fn bytes_mut(&self, memory: u64, start: u64, len: u64) -> Option<*mut u8> {
        let to = self.bytes(memory, start, len)?;
        let home = &self.core().memories[self.memory(memory) as usize].home;
        let window = match home {
            Home::Slot { instance, .. } => {
                self.core().instances[*instance as usize].window.as_deref()
            }
            Home::Own(_) | Home::Shared(_) => None,
        };
        window
            .is_none_or(|window| window.make_writable(to.addr(), len as usize))
            .then_some(to)
    }

    /// Whether a segment was dropped: the byte that says so.
    fn dropped(&self, region: u32, segment: u64) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.base - region as usize + segment as usize)
    }

    /// Runs the body of a runtime function that may trap.
    pub(crate) fn run(&self, body: impl FnOnce(&Self) -> Result<(), TrapCode>) {
        if let Err(code) = body(self) {
            self.activation.fail_with_trap(code);
        }
    }

    /// The same for one that answers something; 0 where it traps.
    pub(crate) fn answer(&self, body: impl FnOnce(&Self) -> Result<u64, TrapCode>) -> u64 {
        body(self).unwrap_or_else(|code| {
            self.activation.fail_with_trap(code);
            0
        })
    }

    /// Whether other threads may use the memory at the same time.
    fn is_shared(&self, memory: u64) -> bool {
        self.core().shared_memory(self.memory(memory)).is_some()
    }

    /// Calls `piece` with offset and length of each piece of `len` bytes, in rising order or, if
    /// they overlap the other way, in falling order; stops early where the guest is to be left.
    pub(crate) fn in_pieces(
        &self,
        len: usize,
        falling: Falling,
        mut piece: impl FnMut(usize, usize),
    ) {
        let mut done = 0;
        while done < len && !(done > 0 && self.activation.must_stop()) {
            let size = PIECE.min(len - done);
            piece(if falling.0 { len - done - size } else { done }, size);
            done += size;
        }
    }
}

/// Whether pieces are taken from the end.
pub(crate) struct Falling(pub(crate) bool);

/// The two indices in a pair.
pub(crate) fn unpair(pair: u64) -> (u64, u64) {
    (pair >> 32, pair & 0xffff_ffff)
}

pub(crate) unsafe extern "C" fn memory_grow(base: usize, memory: u64, delta: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let mut context = unsafe { Context::new(base) };
    let memory = context.memory(memory);
    context
        .core_mut()
        .grow_memory(memory, delta)
        .unwrap_or(FAILED)
}

pub(crate) unsafe extern "C" fn memory_copy(base: usize, pair: u64, dst: u64, src: u64, len: u64) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let (dst_memory, src_memory) = unpair(pair);
        let to = context
            .bytes_mut(dst_memory, dst, len)
            .ok_or(TrapCode::MemoryOutOfBounds)?;
        let from = context
            .bytes(src_memory, src, len)
            .ok_or(TrapCode::MemoryOutOfBounds)?;
        let racy = context.is_shared(dst_memory) || context.is_shared(src_memory);
        context.in_pieces(len as usize, Falling(to > from), |at, size| {
            // SAFETY: both ranges lie within their memories, which no other thread uses unless the
            // first is called; both copies mind overlap, and pieces are taken in the order that
            // overlap asks for.
            unsafe {
                match racy {
                    true => racy::copy(to.add(at), from.add(at), size),
                    false => to.add(at).copy_from(from.add(at), size),
                }
            }
        });
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn memory_fill(
    base: usize,
    memory: u64,
    dst: u64,
    byte: u64,
    len: u64,
) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let to = context
            .bytes_mut(memory, dst, len)
            .ok_or(TrapCode::MemoryOutOfBounds)?;
        let racy = context.is_shared(memory);
        context.in_pieces(len as usize, Falling(false), |at, size| {
            // SAFETY: the range lies within the memory, which no other thread uses unless the first
            // is called.
            unsafe {
                match racy {
                    true => racy::fill(to.add(at), byte as u8, size),
                    false => to.add(at).write_bytes(byte as u8, size),
                }
            }
        });
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn memory_init(base: usize, pair: u64, dst: u64, src: u64, len: u64) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let (memory, segment) = unpair(pair);
        let bytes = context.segment_bytes(segment);
        let end = src
            .checked_add(len)
            .filter(|&end| end <= bytes.len() as u64);
        let end = end.ok_or(TrapCode::MemoryOutOfBounds)?;
        let to = context
            .bytes_mut(memory, dst, len)
            .ok_or(TrapCode::MemoryOutOfBounds)?;
        let bytes = &bytes[src as usize..end as usize];
        let racy = context.is_shared(memory);
        context.in_pieces(bytes.len(), Falling(false), |at, size| {
            let from = bytes[at..at + size].as_ptr();
            // SAFETY: the range lies within the memory, which no other thread uses unless the first
            // is called; segments do not lie in memories.
            unsafe {
                match racy {
                    true => racy::copy(to.add(at), from, size),
                    false => to.add(at).copy_from_nonoverlapping(from, size),
                }
            }
        });
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn data_drop(base: usize, segment: u64) {
    // SAFETY: the crossing's promise.
    let context = unsafe { Context::new(base) };
    let region = context
        .instance()
        .module
        .metadata()
        .header()
        .layout
        .data_dropped;
    // SAFETY: the region has a byte for each segment.
    unsafe { context.dropped(region, segment).write(1) };
}

pub(crate) unsafe extern "C" fn table_grow(base: usize, table: u64, init: u64, delta: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let mut context = unsafe { Context::new(base) };
    let table = context.table_index(table);
    // SAFETY: the module was validated: the reference is of the table's kind.
    unsafe { context.core_mut().grow_table(table, delta, init) }.unwrap_or(FAILED)
}

pub(crate) unsafe extern "C" fn table_fill(
    base: usize,
    table: u64,
    dst: u64,
    value: u64,
    len: u64,
) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let table = context.table(table);
        table.elements(dst, len).ok_or(TrapCode::TableOutOfBounds)?;
        let width = table.element_size();
        context.in_pieces(len as usize * width, Falling(false), |at, size| {
            let (at, count) = (at / width, size / width);
            // SAFETY: the module was validated: the reference is of the table's kind.
            unsafe { table.fill(dst + at as u64, count as u64, value) };
        });
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn table_copy(base: usize, pair: u64, dst: u64, src: u64, len: u64) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let (dst_table, src_table) = unpair(pair);
        let (to, from) = (context.table(dst_table), context.table(src_table));
        let size = to.element_size();
        let to = to.elements(dst, len).ok_or(TrapCode::TableOutOfBounds)?;
        let from = from.elements(src, len).ok_or(TrapCode::TableOutOfBounds)?;
        context.in_pieces(len as usize * size, Falling(to > from), |at, size| {
            // SAFETY: both ranges lie within their tables, whose elements are of one kind; `copy`
            // minds overlap, and pieces are taken in the order that overlap asks for.
            unsafe { to.add(at).copy_from(from.add(at), size) };
        });
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn table_init(base: usize, pair: u64, dst: u64, src: u64, len: u64) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let (table, segment) = unpair(pair);
        let bad = TrapCode::TableOutOfBounds;
        src.checked_add(len)
            .filter(|&end| end <= context.available_elements(segment))
            .ok_or(bad)?;
        let table = context.table(table);
        table.elements(dst, len).ok_or(bad)?;
        for i in 0..len {
            if i % PIECE_OF_ELEMENTS == PIECE_OF_ELEMENTS - 1 && context.activation.must_stop() {
                break;
            }
            let reference = context.segment_reference(segment, src + i)?;
            // SAFETY: references of a segment are of its table's kind; bounds were checked.
            unsafe { table.fill(dst + i, 1, reference) };
        }
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn elem_drop(base: usize, segment: u64) {
    // SAFETY: the crossing's promise.
    let context = unsafe { Context::new(base) };
    let region = context
        .instance()
        .module
        .metadata()
        .header()
        .layout
        .elem_dropped;
    // SAFETY: the region has a byte for each segment.
    unsafe { context.dropped(region, segment).write(1) };
}

impl Context<'_> {
    /// Whether the guest is to be left.
    pub(crate) fn must_stop(&self) -> bool {
        self.activation.must_stop()
    }

    /// The bytes of a data segment: none where it was dropped.
    pub(crate) fn segment_bytes(&self, segment: u64) -> &[u8] {
        let metadata = self.instance().module.metadata();
        let flag = self.dropped(metadata.header().layout.data_dropped, segment);
        // SAFETY: the region has a byte for each segment.
        let dropped = unsafe { flag.read() } != 0;
        match dropped {
            true => &[],
            false => metadata.data(segment as u32).unwrap_or(&[]),
        }
    }

    /// How many elements a segment has: none where it was dropped.
    pub(crate) fn available_elements(&self, segment: u64) -> u64 {
        let metadata = self.instance().module.metadata();
        let flag = self.dropped(metadata.header().layout.elem_dropped, segment);
        // SAFETY: the region has a byte for each segment.
        let dropped = unsafe { flag.read() } != 0;
        let element = metadata.element(segment as u32);
        element.map_or(0, |element| if dropped { 0 } else { element.len.into() })
    }

    /// An element of a segment, as a reference.
    pub(crate) fn segment_reference(&self, segment: u64, item: u64) -> Result<u64, TrapCode> {
        let bad = TrapCode::TableOutOfBounds;
        let metadata = self.instance().module.metadata();
        let element = metadata.element(segment as u32).map_err(|_| bad)?;
        if element.values == precast_abi::NONE {
            let function = metadata.element_function(segment as u32, &element, item as u32);
            return match function.map_err(|_| bad)? {
                Some(function) => self.function_reference(function),
                None => Ok(0),
            };
        }
        let at = self.base - element.values as usize + item as usize * 8;
        // SAFETY: the metadata accessor has checked that the values are a region, and the caller that
        // the segment has so many.
        Ok(unsafe { std::ptr::with_exposed_provenance::<u64>(at).read() })
    }

    /// The `funcref` value of a function of the instance.
    fn function_reference(&self, function: u32) -> Result<u64, TrapCode> {
        let func = self.instance().func(self.core(), function);
        func.map(|func| func.bits())
            .map_err(|_| TrapCode::UndefinedElement)
    }
}
