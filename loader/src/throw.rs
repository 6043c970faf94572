//! Throwing: finding the handler of an exception, and leaving the frames below it.
//!
//! Handlers are found by walking over frame pointers, from the frame of the crossing by which the
//! guest has called us, and looking each return address up in the table of the object that it lies
//! in. The guest goes on as if the function that the handler's function has called returned, to
//! another place: a frame is put together below the handler's stack pointer, where only frames lie
//! that are given up, and the crossing returns through it.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads and writes guest stacks. It follows frames only within the
//! accessible stack of the slot that the first one lies in, upwards. What tables say is checked
//! against that stack and the object's text before it is used.
#![allow(
    unsafe_code,
    reason = "frames are read from the guest's stack, and one is written there"
)]

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use precast_abi::object::ExceptionHandler;
use precast_abi::trap::TrapCode;

use crate::activation::{Activation, Pending, Region};
use crate::error::Error;
use crate::exception::{Exception, TagId};
use crate::instantiate::InstanceData;
use crate::object::Metadata;
use crate::registry::{self, CodeRange};
use crate::slot;
use crate::store::StoreCore;
use crate::types::{FuncType, ValType};
use crate::value::Cell;

/// How a crossing goes on: both in registers.
#[repr(C)]
pub(crate) struct GoOn {
    /// What the handler gets: the address of a record.
    record: u64,
    /// The frame to return through.
    frame: usize,
}

/// A handler.
struct Found {
    /// Where to go on.
    pc: usize,
    /// With this frame pointer,
    fp: usize,
    /// and this stack pointer.
    sp: usize,
    wants_ref: bool,
}

/// Throws an exception of a tag of an instance that runs, with values on its stack.
///
/// # Safety
///
/// Called by a crossing, for guest code that gives its base, an index of a tag, and the address of
/// as many cells as the tag has values: see [`precast_abi::runtime::RuntimeFn::Throw`].
pub(crate) unsafe extern "C" fn throw(base: usize, tag: u64, values: *const Cell) -> GoOn {
    // SAFETY: the caller's promise.
    let thrower = unsafe { Thrower::of(base) };
    let crossing = thrower.crossing();
    // SAFETY: the store lives, and the guest that called does not run meanwhile.
    let core = unsafe { &mut *thrower.core.as_ptr() };
    let index = slot_index(base);
    let Some((tag, ty)) = core
        .instances
        .get(index)
        .and_then(|instance| tag_of(instance, index, tag as u32))
    else {
        // Only code that no compiler of ours has made asks for it.
        thrower.activation.fail_with_trap(TrapCode::Unreachable);
        return thrower.leave();
    };
    // SAFETY: the caller's promise; cells of numbers narrower than a cell are written in part, so
    // no more than that is read.
    let value = |(i, ty): (usize, &ValType)| unsafe { read_value(values.add(i), *ty) };
    let values = ty.params().iter().enumerate().map(value);
    let Some(found) = find(&thrower, core, tag, crossing) else {
        let values: Vec<Cell> = values.collect();
        let exception = Exception::from_cells(core, tag, ty, &values);
        let error = Error::Exception(exception);
        thrower.activation.fail(Pending::Error(error));
        return thrower.leave();
    };
    thrower.hand_over(core, &found, tag, ty, values)
}

/// Throws an exception again that was caught.
///
/// # Safety
///
/// As [`throw`], with an `exnref` of the store or 0.
pub(crate) unsafe extern "C" fn throw_ref(base: usize, bits: u64) -> GoOn {
    // SAFETY: the caller's promise.
    let thrower = unsafe { Thrower::of(base) };
    let crossing = thrower.crossing();
    // SAFETY: as in `throw`.
    let core = unsafe { &mut *thrower.core.as_ptr() };
    let kept = core
        .rare
        .as_ref()
        .and_then(|rare| rare.exceptions.get(bits));
    let Some(kept) = kept else {
        thrower.activation.fail_with_trap(TrapCode::NullReference);
        return thrower.leave();
    };
    match find(&thrower, core, kept.tag, crossing) {
        Some(found) => thrower.go_on(&found, kept.address()),
        None => {
            let exception = Exception::from_cells(core, kept.tag, kept.ty, kept.values());
            let error = Error::Exception(exception);
            thrower.activation.fail(Pending::Error(error));
            thrower.leave()
        }
    }
}

/// Throws what a function of the host has returned as its error, in the guest that has called it.
///
/// # Safety
///
/// Called by a crossing whose activation this is, after [`Activation::throw`].
pub(crate) unsafe extern "C" fn throw_from_host(activation: *const Activation) -> GoOn {
    // SAFETY: the activation lives as long as the store, whose guest waits.
    let activation = unsafe { &*activation };
    let thrower = Thrower {
        activation,
        core: activation.core(),
    };
    let crossing = thrower.crossing();
    // SAFETY: the store lives; the host function has returned, and its guest does not run.
    let core = unsafe { &mut *thrower.core.as_ptr() };
    let Some(exception) = activation.take_thrown() else {
        return thrower.leave();
    };
    let (tag, ty) = (exception.tag().id, exception.ty());
    let cells = match exception.to_cells(core) {
        Ok(cells) => cells,
        Err(error) => {
            activation.fail(Pending::Error(error));
            return thrower.leave();
        }
    };
    match find(&thrower, core, tag, crossing) {
        Some(found) => thrower.hand_over(core, &found, tag, ty, cells.into_iter()),
        None => {
            activation.fail(Pending::Error(Error::Exception(exception)));
            thrower.leave()
        }
    }
}

/// # Safety
///
/// `cell` must hold a value of type `ty`.
unsafe fn read_value(cell: *const Cell, ty: ValType) -> Cell {
    // SAFETY: the caller's promise.
    unsafe {
        match ty {
            ValType::I32 | ValType::F32 => Cell([cell.cast::<u32>().read().into(), 0]),
            ValType::V128 => cell.read(),
            _ => Cell([cell.cast::<u64>().read(), 0]),
        }
    }
}

/// The number of an instance that runs, by its base.
fn slot_index(base: usize) -> usize {
    // SAFETY: the base of an instance that runs, or one that was found among those of the store.
    unsafe { slot::header(base) }.loader[0] as usize
}

/// The identity and the type of a tag of an instance.
fn tag_of(instance: &InstanceData, number: usize, index: u32) -> Option<(TagId, FuncType)> {
    let ty = *instance.module.tag_types().ok()?.get(index as usize)?;
    Some((instance.tag_id(number as u32, index), ty))
}

/// Whoever throws: guest code, or a function of the host that it has called.
struct Thrower<'a> {
    activation: &'a Activation,
    core: NonNull<StoreCore>,
}

impl<'a> Thrower<'a> {
    /// # Safety
    ///
    /// `base` must be that of an instance that runs and has called out.
    unsafe fn of(base: usize) -> Thrower<'a> {
        // SAFETY: the caller's promise.
        let header = unsafe { slot::header(base) };
        // SAFETY: the activation lives as long as the store.
        let activation = unsafe {
            &*std::ptr::with_exposed_provenance::<Activation>(header.activation as usize)
        };
        Thrower {
            activation,
            core: activation.core(),
        }
    }

    /// The frame of the crossing by which the guest has called out.
    fn crossing(&self) -> usize {
        self.activation.guest_fp.load(Ordering::Relaxed)
    }

    /// The crossing leaves the guest: something was put into the activation that makes it.
    fn leave(&self) -> GoOn {
        GoOn {
            record: 0,
            frame: self.crossing(),
        }
    }

    /// The crossing goes on at a handler.
    fn go_on(&self, found: &Found, record: u64) -> GoOn {
        let frame = found.sp - 16;
        // SAFETY: `find` has checked that both words lie within the stack, below the handler's
        // stack pointer: no frame that stays is there.
        unsafe {
            std::ptr::with_exposed_provenance_mut::<[usize; 2]>(frame).write([found.fp, found.pc]);
        }
        GoOn { record, frame }
    }

    /// The same, with values where the handler finds them.
    fn hand_over(
        &self,
        core: &mut StoreCore,
        found: &Found,
        tag: TagId,
        ty: FuncType,
        values: impl ExactSizeIterator<Item = Cell>,
    ) -> GoOn {
        if !found.wants_ref {
            let record = core.rare_mut().exceptions.pass(values);
            return self.go_on(found, record);
        }
        let values: Vec<Cell> = values.collect();
        if !core.rare_mut().exceptions.has_room(values.len()) {
            // What is thrown may refer to others: it is looked at like the guest's own words.
            let more = values.iter().map(|cell| cell.0[0]);
            self.look(core, more);
        }
        let exceptions = &mut core.rare_mut().exceptions;
        match exceptions.keep(tag, ty, values.into_iter()) {
            Some(record) => self.go_on(found, record),
            None => {
                self.activation
                    .fail_with_trap(TrapCode::ExceptionsExhausted);
                self.leave()
            }
        }
    }

    /// Finds out which exceptions are still referred to.
    fn look(&self, core: &mut StoreCore, more: impl Iterator<Item = u64>) {
        let mut exceptions = std::mem::take(&mut core.rare_mut().exceptions);
        // SAFETY: no guest runs meanwhile.
        let words = unsafe { guest_words(core, self.activation, self.crossing()) };
        exceptions.look(more.chain(words));
        core.rare_mut().exceptions = exceptions;
    }
}

/// Every word in which guests of a store can hold a number of the loader's: the stack from the frame of a
/// crossing upwards, what may change of instance data, tables, objects, and the host's globals.
///
/// # Safety
///
/// No guest of the store may run while the iterator is used.
pub(crate) unsafe fn guest_words(
    core: &StoreCore,
    activation: &Activation,
    crossing: usize,
) -> impl Iterator<Item = u64> {
    let stack = match activation.region_of(crossing) {
        Some(region) => crossing..region.stack_top,
        None => 0..0,
    };
    // SAFETY: the stack of a slot is mapped up to its top, what may change of instance data up to the
    // base, and the heap as far as there are objects.
    let stack = unsafe { words(stack.start, stack.end) };
    let data = core.instances.iter().flat_map(|instance| {
        let size = instance.module.metadata().header().layout.mutable;
        let base = instance.slot.region.base;
        // SAFETY: as above.
        unsafe { words(base - size as usize, base) }
    });
    let tables = core.tables.iter();
    let tables = tables.filter(|table| !table.declared.element.is_func());
    let tables = tables.flat_map(|table| {
        let def = table.def();
        let start = def.elements as usize;
        // SAFETY: a table of references that are no functions has elements of 8 bytes.
        unsafe { words(start, start + def.len as usize * 8) }
    });
    let heap = core.heap_words();
    // SAFETY: as above.
    let heap = unsafe { words(heap.start, heap.end) };
    stack
        .chain(data)
        .chain(tables)
        .chain(heap)
        .chain(core.host_globals())
}

/// The words from `start` to `end`.
///
/// # Safety
///
/// They must be readable, and not change for as long as the iterator is used.
unsafe fn words(start: usize, end: usize) -> impl Iterator<Item = u64> {
    let addresses = (start..end.saturating_sub(7)).step_by(8);
    // SAFETY: the caller's promise.
    addresses.map(|at| unsafe { std::ptr::with_exposed_provenance::<u64>(at).read_unaligned() })
}

/// Looks for the handler of an exception, from the frame of a crossing upwards.
fn find(thrower: &Thrower<'_>, core: &StoreCore, tag: TagId, crossing: usize) -> Option<Found> {
    let region = thrower.activation.region_of(crossing)?;
    let frames = region.stack..region.stack_top.saturating_sub(15);
    let mut frame = crossing;
    let mut code: Option<(CodeRange, Metadata<'_>)> = None;
    while frames.contains(&frame) && frame.is_multiple_of(8) {
        // SAFETY: the stack of a slot is mapped from `stack` to `stack_top`, both words lie within
        // it, and no guest runs meanwhile.
        let [outer, pc] = unsafe { std::ptr::with_exposed_provenance::<[usize; 2]>(frame).read() };
        let (range, metadata) = match code {
            Some((range, metadata)) if range.start < pc && pc <= range.end => (range, metadata),
            // The way into the guest is no guest code: nobody has caught it.
            _ => {
                let range = registry::find(pc.wrapping_sub(1))?;
                // SAFETY: guest code of the object waits on this thread.
                (range, unsafe { range.object() }.metadata())
            }
        };
        code = Some((range, metadata));
        if outer <= frame {
            return None;
        }
        if let Some(site) = metadata.exception_site((pc - range.start) as u32)
            && let Some(found) = handler(thrower, core, &metadata, site, (region, outer), tag)
        {
            let pc = range.start + found.pc;
            return Some(Found { pc, ..found });
        }
        frame = outer;
    }
    None
}

/// The handler of a call in the function whose frame is `fp`; its place as a text offset.
fn handler(
    thrower: &Thrower<'_>,
    core: &StoreCore,
    metadata: &Metadata<'_>,
    site: u32,
    (region, fp): (Region, usize),
    tag: TagId,
) -> Option<Found> {
    let site = metadata.exception_frame(site).ok()?;
    let sp = fp.checked_sub(site.size as usize)?;
    let fits = sp.is_multiple_of(16) && sp >= region.stack + 16 && fp < region.stack_top;
    let base_at = sp + site.base as usize;
    if !fits || !base_at.is_multiple_of(8) || base_at >= fp {
        return None;
    }
    // SAFETY: the word lies within the function's frame, below `stack_top`.
    let base = unsafe { std::ptr::with_exposed_provenance::<usize>(base_at).read() };
    // Where there is no memory, nothing but the base lies at its address.
    let of_base = thrower.activation.region_of(base.wrapping_sub(1));
    of_base.filter(|region| region.base == base)?;
    let number = slot_index(base);
    let instance = core.instances.get(number)?;
    for index in site.first..site.first.checked_add(site.count)? {
        let handler: ExceptionHandler = metadata.exception_handler(index).ok()?;
        let fits = match handler.tag() {
            Some(index) => instance.tag_id(number as u32, index) == tag,
            None => true,
        };
        if fits {
            return Some(Found {
                pc: handler.text_offset as usize,
                fp,
                sp,
                wants_ref: handler.wants_ref(),
            });
        }
    }
    None
}
