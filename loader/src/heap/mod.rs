//! The heap of garbage-collected objects, see [`precast_abi::heap`].
//!
//! ```text
//!  |header| objects ──► next   limit |                               |   copying: two halves, of which
//!  0      32                     len/2                             len   one holds objects
//! ```
//!
//! Generated code makes objects by itself as long as there is room; then it asks [`StoreCore::make_object`].
//! That makes room: by a collection, which copies what is still referred to into the other half, by
//! growing the memory that the heap is, or by both. Where a module of the store was compiled for no
//! collection, the heap just grows.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads and writes the header of the heap and the first word of new
//! objects, within the memory's length. No guest runs meanwhile.
#![allow(unsafe_code, reason = "the heap is shared with generated code")]

mod any;
mod collect;
mod handles;
pub(crate) mod runtime;

pub use any::{AnyKind, AnyRef};
pub(crate) use handles::Handles;

use std::sync::atomic::Ordering;

use precast_abi::heap::{HeapHeader, ObjectWord};
use precast_abi::object::{ObjectHeader, TypeKind};

use crate::activation::SUSPENDED;
use crate::interner;
use crate::store::StoreCore;
use crate::types::{FuncTypeData, TypeId};

/// A page of a memory.
const PAGE: u64 = 64 << 10;
/// Bytes of the header: where the first object is.
const FIRST: u64 = size_of::<HeapHeader>() as u64;

/// The heap of a store, while no guest runs.
#[derive(Clone, Copy)]
struct Heap {
    /// The store's number of the memory.
    memory: u32,
    base: usize,
    len: u64,
}

impl Heap {
    fn of(core: &StoreCore) -> Option<Heap> {
        let memory = core.heap?;
        let def = core.memories[memory as usize].def();
        let base = def.base as usize;
        (def.len >= PAGE).then_some(Heap {
            memory,
            base,
            len: def.len,
        })
    }

    fn header(self) -> HeapHeader {
        // SAFETY: the memory is longer than the header.
        unsafe { std::ptr::with_exposed_provenance::<HeapHeader>(self.base).read() }
    }

    fn set_header(self, header: HeapHeader) {
        // SAFETY: as above; pages of a pool's slot were made writable by who calls.
        unsafe { std::ptr::with_exposed_provenance_mut::<HeapHeader>(self.base).write(header) };
    }

    /// The first word of an object.
    fn word(self, reference: u64) -> ObjectWord {
        let address = self.base + reference as usize;
        // SAFETY: references of a store are those of objects, which are longer than that, or null,
        // whose bytes are those of the header.
        unsafe { std::ptr::with_exposed_provenance::<ObjectWord>(address).read() }
    }

    /// The objects that there are: from where to where.
    fn used(self) -> std::ops::Range<u64> {
        let header = self.header();
        match header.limit {
            0 => FIRST..FIRST,
            _ => header.loader..header.next,
        }
    }
}

/// Bytes of an array of so many elements of a size; `None` where no heap is so large.
fn array_size(len: u64, element: u32) -> Option<u64> {
    let size = len.checked_mul(u64::from(element))?.checked_add(15)? & !7;
    (size < 1 << 32).then_some(size)
}

/// Bytes of an object of a type, whose first word is given.
fn object_size(data: &FuncTypeData, word: ObjectWord) -> u64 {
    match (data.kind, &*data.fields) {
        (TypeKind::Array, [field]) => (u64::from(word.length) * u64::from(field.size) + 15) & !7,
        _ => u64::from(data.size),
    }
}

/// Bytes of what the host has given as an `anyref`: the first word, and the `externref`.
const EXTERN_SIZE: u64 = 16;

impl StoreCore {
    /// Room for an object of `size` bytes, a multiple of 8, whose first word is written. Others may
    /// move. `None` where there is none.
    pub(crate) fn make_object(&mut self, id: TypeId, size: u64, length: u32) -> Option<u64> {
        let reference = self.find_room(size)?;
        let heap = Heap::of(self)?;
        self.make_heap_writable(reference, size)?;
        let address = heap.base + reference as usize;
        let word = ObjectWord {
            type_id: id.0,
            length,
        };
        // SAFETY: the room lies within the memory.
        unsafe { std::ptr::with_exposed_provenance_mut::<ObjectWord>(address).write(word) };
        Some(reference)
    }

    /// The same for an array, whose elements are zero.
    pub(crate) fn make_array(&mut self, id: TypeId, len: u64) -> Option<u64> {
        let [field] = &*interner::data(id)?.fields else {
            return None;
        };
        let size = array_size(len, field.size)?;
        let reference = self.make_object(id, size, u32::try_from(len).ok()?)?;
        let elements = Heap::of(self)?.base + reference as usize + size_of::<ObjectWord>();
        let bytes = size as usize - size_of::<ObjectWord>();
        // SAFETY: the rest of the object, whose room was just made.
        unsafe {
            std::ptr::with_exposed_provenance_mut::<u8>(elements).write_bytes(0, bytes);
        }
        Some(reference)
    }

    /// Takes `size` bytes of the heap.
    fn find_room(&mut self, size: u64) -> Option<u64> {
        if size >= 1 << 32 {
            return None;
        }
        // The stack of one that is suspended anywhere tells nothing of what it refers to.
        if self.activation.guest_fp.load(Ordering::Relaxed) == SUSPENDED {
            return None;
        }
        let heap = Heap::of(self)?;
        self.make_heap_writable(0, FIRST)?;
        let header = heap.header();
        let fits = header.limit > 0 && header.next.checked_add(size)? <= header.limit;
        if !fits || self.options.collect_always {
            self.make_heap_room(heap, size)?;
        }
        let heap = Heap::of(self)?;
        let header = heap.header();
        let next = header.next.checked_add(size)?;
        if next > header.limit {
            return None;
        }
        // Code asks for each object, where garbage is to be collected each time.
        let limit = match self.options.collect_always {
            true => next,
            false => header.limit,
        };
        heap.set_header(HeapHeader {
            next,
            limit,
            ..header
        });
        Some(header.next)
    }

    /// Makes room for `size` bytes, if it can.
    fn make_heap_room(&mut self, heap: Heap, size: u64) -> Option<()> {
        let header = heap.header();
        if header.limit == 0 {
            heap.set_header(HeapHeader {
                null: 0,
                next: FIRST,
                limit: FIRST,
                loader: FIRST,
            });
        }
        if !self.may_collect() {
            return self.extend_heap(heap, size);
        }
        let is_new = header.limit == 0;
        let mut used = 0;
        if !is_new {
            used = self.collect(heap)?;
        }
        // Half of the half is to be free, so that the next collection is not soon.
        let wanted = 2 * (FIRST + used * 2 + size);
        if wanted > heap.len {
            let wanted = wanted.next_multiple_of(PAGE).max(heap.len * 2);
            if self.grow_heap(heap, wanted) || self.grow_heap(heap, heap.len + PAGE) {
                let grown = Heap::of(self)?;
                if !is_new {
                    // What there is lies in the lower half now, wherever it begins.
                    self.collect(grown)?;
                }
                self.set_half(grown);
                return Some(());
            }
        }
        self.set_half(heap);
        Some(())
    }

    /// Says where objects must end, that lie in one half of the heap.
    fn set_half(&self, heap: Heap) {
        let header = heap.header();
        let half = heap.len / 2;
        // Both halves have room for the same.
        let limit = match header.loader < half {
            true => half,
            false => heap.len - FIRST,
        };
        heap.set_header(HeapHeader { limit, ..header });
    }

    /// Grows a heap that is never collected, so that there are `size` bytes more.
    fn extend_heap(&mut self, heap: Heap, size: u64) -> Option<()> {
        let header = heap.header();
        let needed = header.next + size;
        if needed > heap.len {
            let needed = needed.next_multiple_of(PAGE);
            let ok = self.grow_heap(heap, needed.max(heap.len * 2)) || self.grow_heap(heap, needed);
            ok.then_some(())?;
        }
        let limit = Heap::of(self)?.len;
        heap.set_header(HeapHeader { limit, ..header });
        Some(())
    }

    /// Grows the memory to `len` bytes, or as far as it can be; whether it has grown.
    fn grow_heap(&mut self, heap: Heap, len: u64) -> bool {
        let most = self.memories[heap.memory as usize].declared.max;
        let most = most.unwrap_or(0).saturating_mul(PAGE);
        let delta = len.min(most).saturating_sub(heap.len) / PAGE;
        delta > 0 && self.grow_memory(heap.memory, delta).is_some()
    }

    /// Makes pages of the heap writable, where it lies in the slot of a pool.
    fn make_heap_writable(&self, start: u64, len: u64) -> Option<()> {
        let heap = Heap::of(self)?;
        let window = self.window_of(&self.memories[heap.memory as usize]);
        // SAFETY: the window of a slot lives as long as its instance.
        let window = unsafe { window.as_ref() };
        let writable = window
            .is_none_or(|window| window.make_writable(heap.base + start as usize, len as usize));
        writable.then_some(())
    }

    /// Addresses of the objects that there are: from where to where.
    pub(crate) fn heap_words(&self) -> std::ops::Range<usize> {
        Heap::of(self).map_or(0..0, |heap| {
            let used = heap.used();
            heap.base + used.start as usize..heap.base + used.end as usize
        })
    }

    /// Whether the stacks tell where objects are referred to.
    fn may_collect(&self) -> bool {
        let mut headers = self.instances.iter();
        !headers.any(|instance| {
            let header = instance.module.metadata().header();
            header.flags & ObjectHeader::NEVER_COLLECTS != 0
        })
    }
}
