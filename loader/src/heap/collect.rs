//! Collecting garbage: what is referred to is copied into the other half of the heap.
//!
//! Cheney's way: objects that the roots refer to are copied, then what those refer to, from the first
//! copy to the last. The roots are where generated code says that it holds references on the stack
//! (its stack maps), globals, tables, element segments, exceptions and handles.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads and writes guest stacks, instance data, tables and the heap of a
//! store none of whose guests runs. What a stack map says is checked against the stack that its frame
//! is in; what is copied, against the bounds of both halves.
#![allow(unsafe_code, reason = "references are found wherever guests keep them")]

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use precast_abi::NONE;
use precast_abi::heap::{HeapHeader, ObjectWord};
use precast_abi::object::TypeKind;

use super::{EXTERN_SIZE, FIRST, Heap, object_size};
use crate::activation::Region;
use crate::instantiate::InstanceData;
use crate::interner;
use crate::registry;
use crate::store::StoreCore;
use crate::types::{FuncTypeData, TypeId};

/// The first word of an object that was copied: its identity is this, and its length where to.
const MOVED: u32 = u32::MAX;

/// A collection.
struct Collection {
    heap: Heap,
    /// Where objects are that are to be copied,
    from: std::ops::Range<u64>,
    /// where the next copy goes,
    next: u64,
    /// and where copies must end.
    end: u64,
    /// The type that was met last.
    last: Option<&'static FuncTypeData>,
}

impl StoreCore {
    /// Copies what is referred to into the half of the heap where objects are not: how many bytes those
    /// are. `None` where that cannot be.
    pub(super) fn collect(&mut self, heap: Heap) -> Option<u64> {
        let from = heap.used();
        let half = heap.len / 2;
        let start = if from.start < half { half } else { FIRST };
        let end = if from.start < half { heap.len } else { half };
        // The other half has room for all that there is: see `set_half`.
        let most = from.end - from.start;
        if start + most > end {
            return None;
        }
        self.make_heap_writable(0, FIRST)?;
        self.make_heap_writable(start, most)?;
        self.make_heap_writable(from.start, most)?;
        let mut collection = Collection {
            heap,
            from,
            next: start,
            end,
            last: None,
        };
        self.forward_roots(&mut collection);
        let next = collection.finish(start);
        heap.set_header(HeapHeader {
            next,
            loader: start,
            ..heap.header()
        });
        Some(next - start)
    }

    fn forward_roots(&mut self, collection: &mut Collection) {
        let frame = self.activation.guest_fp.load(Ordering::Relaxed);
        if frame & 1 == 0 {
            self.forward_frames(frame, collection);
        }
        for frame in self.activation.outer_frames() {
            self.forward_frames(frame, collection);
        }
        for instance in &self.instances {
            forward_instance(instance, collection);
        }
        for table in &self.tables {
            if table.declared.element.is_any() {
                let def = table.def();
                let words = 0..def.len as usize;
                for word in words {
                    // SAFETY: a table of references that are no functions has elements of 8 bytes.
                    unsafe { collection.forward_at(def.elements as usize + word * 8) };
                }
            }
        }
        if let Some(handles) = self.handles.get_mut() {
            let handles = handles.get_mut().unwrap_or_else(PoisonError::into_inner);
            handles.for_each(|reference| *reference = collection.forward(*reference));
        }
        let Some(rare) = &mut self.rare else { return };
        for &global in &rare.heap_globals {
            if let Some(cell) = rare.globals.get_mut(global) {
                let word = &mut cell.get_mut().0[0];
                *word = collection.forward(*word);
            }
        }
        rare.exceptions
            .for_each_heap_ref(|reference| *reference = collection.forward(*reference));
    }

    /// References in the frames from the one of a crossing upwards.
    fn forward_frames(&self, crossing: usize, collection: &mut Collection) {
        let Some(region) = self.activation.region_of(crossing) else {
            return;
        };
        let frames = region.stack..region.stack_top.saturating_sub(15);
        let mut frame = crossing;
        while frames.contains(&frame) && frame.is_multiple_of(8) {
            // SAFETY: the stack of a slot is mapped from `stack` to `stack_top`, both words lie within
            // it, and no guest runs meanwhile.
            let [outer, pc] =
                unsafe { std::ptr::with_exposed_provenance::<[usize; 2]>(frame).read() };
            // The way into the guest is no guest code.
            let Some(range) = registry::find(pc.wrapping_sub(1)) else {
                return;
            };
            if outer <= frame {
                return;
            }
            // SAFETY: guest code of the object waits on this thread.
            let metadata = unsafe { range.object() }.metadata();
            if let Some((size, words)) = metadata.stack_map((pc - range.start) as u32) {
                for word in words {
                    forward_slot(region, (outer, size), word, collection);
                }
            }
            frame = outer;
        }
    }
}

/// The reference in a word of the frame with this frame pointer and size.
fn forward_slot(region: Region, (fp, size): (usize, u32), word: u32, collection: &mut Collection) {
    let at = fp
        .checked_sub(size as usize)
        .map(|sp| sp + word as usize)
        .filter(|at| at.is_multiple_of(8) && *at >= region.stack);
    if let Some(at) = at
        && word < size
        && fp < region.stack_top
    {
        // SAFETY: the word lies within the frame, in the stack of the slot.
        unsafe { collection.forward_at(at) };
    }
}

/// References in globals and element segments of an instance.
fn forward_instance(instance: &InstanceData, collection: &mut Collection) {
    let metadata = instance.module.metadata();
    let header = metadata.header();
    let base = instance.slot.base();
    for index in header.imported_globals..header.globals.len {
        let Ok(global) = metadata.global(index) else {
            continue;
        };
        if global.ty.is_heap_ref() {
            // SAFETY: the accessor has checked that the cell is a region of the instance data.
            unsafe { collection.forward_at(base - global.cell as usize) };
        }
    }
    for index in 0..header.elements.len {
        let Ok(element) = metadata.element(index) else {
            continue;
        };
        if element.values != NONE && element.elem.is_heap_ref() {
            for item in 0..element.len as usize {
                let at = base - element.values as usize + item * 8;
                // SAFETY: as above.
                unsafe { collection.forward_at(at) };
            }
        }
    }
}

impl Collection {
    /// Where the object is that a reference refers to, which is copied if it was not.
    fn forward(&mut self, reference: u64) -> u64 {
        // Null, integers, references to exceptions, and what is in the new half already.
        if !reference.is_multiple_of(8) || !self.from.contains(&reference) {
            return reference;
        }
        let word = self.heap.word(reference);
        if word.type_id == MOVED {
            return u64::from(word.length);
        }
        let Some(size) = self.size(word) else {
            return reference;
        };
        let to = self.next;
        if to + size > self.end || reference + size > self.from.end {
            return reference;
        }
        let base = self.heap.base;
        // SAFETY: both lie within the heap, in different halves, which no one uses meanwhile.
        unsafe {
            let old = std::ptr::with_exposed_provenance_mut::<u8>(base + reference as usize);
            let new = std::ptr::with_exposed_provenance_mut::<u8>(base + to as usize);
            new.copy_from_nonoverlapping(old, size as usize);
            old.cast::<ObjectWord>().write(ObjectWord {
                type_id: MOVED,
                length: to as u32,
            });
        }
        self.next = to + size;
        to
    }

    /// The reference in a word.
    ///
    /// # Safety
    ///
    /// The word must be one of 8 bytes that may be read and written.
    unsafe fn forward_at(&mut self, at: usize) {
        let word = std::ptr::with_exposed_provenance_mut::<u64>(at);
        // SAFETY: the caller's promise.
        unsafe {
            let reference = word.read_unaligned();
            let moved = self.forward(reference);
            if moved != reference {
                word.write_unaligned(moved);
            }
        }
    }

    /// The type of an object; `None` for what the host gave.
    fn data(&mut self, word: ObjectWord) -> Option<&'static FuncTypeData> {
        match self.last {
            Some(last) if last.id.0 == word.type_id => Some(last),
            _ => {
                self.last = interner::data(TypeId(word.type_id));
                self.last
            }
        }
    }

    fn size(&mut self, word: ObjectWord) -> Option<u64> {
        if word.type_id == interner::EXTERN.0 {
            return Some(EXTERN_SIZE);
        }
        self.data(word).map(|data| object_size(data, word))
    }

    /// Copies what the copies from `start` on refer to: where they end.
    fn finish(mut self, start: u64) -> u64 {
        let mut at = start;
        while at < self.next {
            let word = self.heap.word(at);
            let Some(size) = self.size(word) else { break };
            if let Some(data) = self.data(word) {
                self.forward_fields(at, word, data);
            }
            at += size;
        }
        self.next
    }

    /// The references in a copy.
    fn forward_fields(&mut self, at: u64, word: ObjectWord, data: &FuncTypeData) {
        let object = self.heap.base + at as usize;
        match (data.kind, &*data.fields) {
            (TypeKind::Array, [field]) if field.is_heap_ref() => {
                let elements = object + size_of::<ObjectWord>();
                for index in 0..word.length as usize {
                    // SAFETY: an element of an array in the heap.
                    unsafe { self.forward_field(elements + index * 4) };
                }
            }
            (TypeKind::Struct, fields) => {
                for field in fields.iter().filter(|field| field.is_heap_ref()) {
                    // SAFETY: a field of a struct in the heap.
                    unsafe { self.forward_field(object + field.offset as usize) };
                }
            }
            _ => {}
        }
    }

    /// The reference in a field.
    ///
    /// # Safety
    ///
    /// The field must be one of 4 bytes in the heap.
    unsafe fn forward_field(&mut self, at: usize) {
        let field = std::ptr::with_exposed_provenance_mut::<u32>(at);
        // SAFETY: the caller's promise.
        unsafe {
            let moved = self.forward(u64::from(field.read()));
            field.write(moved as u32);
        }
    }
}
