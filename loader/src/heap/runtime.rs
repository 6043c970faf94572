//! Functions that generated code calls to make objects, and to copy much at once.
//!
//! # Safety
//!
//! This file holds unsafe code, called as that of [`crate::runtime`] is. References come from code of a
//! module that was validated: they are of the kind that the function is for. Indices and lengths are
//! the guest's, and are checked.
#![allow(unsafe_code, reason = "called by generated code, on its objects")]

use std::sync::atomic::Ordering;

use precast_abi::heap::ARRAY_ELEMENTS;
use precast_abi::trap::TrapCode;

use super::{Heap, array_size};
use crate::interner;
use crate::runtime::{Context, Falling, unpair};
use crate::throw;
use crate::types::{Field, TypeId};

pub(crate) unsafe extern "C" fn heap_alloc(base: usize, size: u64, id: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let mut context = unsafe { Context::new(base) };
    let made = context.core_mut().make_object(TypeId(id as u32), size, 0);
    context.answer(|_| made.ok_or(TrapCode::HeapExhausted))
}

pub(crate) unsafe extern "C" fn array_new(base: usize, ty: u64, len: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let mut context = unsafe { Context::new(base) };
    let id = context.type_id(ty);
    let made = id.and_then(|id| {
        context
            .core_mut()
            .make_array(id, len)
            .ok_or(TrapCode::HeapExhausted)
    });
    context.answer(|_| made)
}

pub(crate) unsafe extern "C" fn array_copy(
    base: usize,
    ty: u64,
    pair: u64,
    dst: u64,
    src: u64,
    len: u64,
) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let field = context.elements(ty)?;
        let (to, from) = unpair(pair);
        let to = context.array_bytes(&field, to, dst, len)?;
        let from = context.array_bytes(&field, from, src, len)?;
        let bytes = len as usize * field.size as usize;
        context.in_pieces(bytes, Falling(to > from), |at, size| {
            // SAFETY: both ranges lie within their arrays; `copy` minds overlap, and pieces are taken in
            // the order that overlap asks for.
            unsafe { to.add(at).copy_from(from.add(at), size) };
        });
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn array_init_data(
    base: usize,
    pair: u64,
    reference: u64,
    dst: u64,
    src: u64,
    len: u64,
) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let (ty, segment) = unpair(pair);
        let field = context.elements(ty)?;
        let to = context.array_bytes(&field, reference, dst, len)?;
        let bytes = context.data_bytes(&field, segment, src, len)?;
        context.in_pieces(bytes.len(), Falling(false), |at, size| {
            let from = bytes[at..at + size].as_ptr();
            // SAFETY: the range lies within the array, and segments do not lie in the heap.
            unsafe { to.add(at).copy_from_nonoverlapping(from, size) };
        });
        Ok(())
    });
}

pub(crate) unsafe extern "C" fn array_new_data(base: usize, pair: u64, src: u64, len: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let mut context = unsafe { Context::new(base) };
    let (ty, segment) = unpair(pair);
    let checked = context.elements(ty).and_then(|field| {
        context.data_bytes(&field, segment, src, len)?;
        context.type_id(ty)
    });
    let made = checked.and_then(|id| {
        let made = context.core_mut().make_array(id, len);
        made.ok_or(TrapCode::HeapExhausted)
    });
    let reference = context.answer(|_| made);
    if reference != 0 {
        // SAFETY: the crossing's promise.
        unsafe { array_init_data(base, pair, reference, 0, src, len) };
    }
    reference
}

pub(crate) unsafe extern "C" fn array_init_elem(
    base: usize,
    pair: u64,
    reference: u64,
    dst: u64,
    src: u64,
    len: u64,
) {
    // SAFETY: the crossing's promise.
    unsafe { Context::new(base) }.run(|context| {
        let (ty, segment) = unpair(pair);
        let field = context.elements(ty)?;
        let to = context.array_bytes(&field, reference, dst, len)?;
        context.check_elements(segment, src, len)?;
        for i in 0..len {
            if i % PIECE_OF_ELEMENTS == PIECE_OF_ELEMENTS - 1 && context.must_stop() {
                break;
            }
            let value = context.segment_reference(segment, src + i)?;
            let bytes = value.to_le_bytes();
            // SAFETY: the element lies within the array, whose elements are references of this kind:
            // of 4 or of 8 bytes.
            unsafe {
                to.add(i as usize * field.size as usize)
                    .copy_from_nonoverlapping(bytes.as_ptr(), field.size.min(8) as usize);
            }
        }
        Ok(())
    });
}

/// References that are looked up one by one before it is looked whether the guest is to stop.
const PIECE_OF_ELEMENTS: u64 = 1 << 16;

pub(crate) unsafe extern "C" fn array_new_elem(base: usize, pair: u64, src: u64, len: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let mut context = unsafe { Context::new(base) };
    let (ty, segment) = unpair(pair);
    let checked = context.check_elements(segment, src, len);
    let made = checked.and_then(|()| context.type_id(ty)).and_then(|id| {
        let made = context.core_mut().make_array(id, len);
        made.ok_or(TrapCode::HeapExhausted)
    });
    let reference = context.answer(|_| made);
    if reference != 0 {
        // SAFETY: the crossing's promise.
        unsafe { array_init_elem(base, pair, reference, 0, src, len) };
    }
    reference
}

pub(crate) unsafe extern "C" fn any_from_extern(base: usize, bits: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let mut context = unsafe { Context::new(base) };
    if bits == 0 {
        return 0;
    }
    if let Some(reference) = context.core().handles().find_extern(bits) {
        return reference;
    }
    let made = context.core_mut().make_extern(bits);
    context.answer(|_| made.ok_or(TrapCode::HeapExhausted))
}

pub(crate) unsafe extern "C" fn extern_from_any(base: usize, reference: u64) -> u64 {
    // SAFETY: the crossing's promise.
    let context = unsafe { Context::new(base) };
    context.answer(|context| {
        if reference == 0 {
            return Ok(0);
        }
        let core = context.core();
        if let Some(heap) = Heap::of(core)
            && reference & 1 == 0
            && heap.word(reference).type_id == interner::EXTERN.0
        {
            return Ok(heap.extern_bits(reference));
        }
        let mut handles = core.handles();
        if handles.is_full() {
            let crossing = core.activation.guest_fp.load(Ordering::Relaxed);
            // SAFETY: the guest that has called out waits.
            let words = unsafe { throw::guest_words(core, &core.activation, crossing) };
            let exceptions = core.rare.iter().flat_map(|rare| rare.exceptions.words());
            handles.look(words.chain(exceptions));
        }
        let bits = handles.put_extern(reference);
        bits.ok_or(TrapCode::HeapExhausted)
    })
}

pub(crate) unsafe extern "C" fn is_subtype(_base: usize, id: u64, of: u64) -> u64 {
    interner::is_subtype(TypeId(id as u32), TypeId(of as u32)).into()
}

impl Context<'_> {
    /// The identity of a type of the module.
    fn type_id(&self, index: u64) -> Result<TypeId, TrapCode> {
        let ids = self.instance().module.type_ids();
        let id = ids.ok().and_then(|ids| ids.get(index as usize)).copied();
        id.ok_or(TrapCode::CastFailure)
    }

    /// The elements of an array type of the module.
    fn elements(&self, index: u64) -> Result<Field, TrapCode> {
        let data = interner::data(self.type_id(index)?);
        let field = data.and_then(|data| data.fields.first()).copied();
        field.ok_or(TrapCode::CastFailure)
    }

    /// Address of elements `start..start + len` of an array, made writable.
    fn array_bytes(
        &self,
        field: &Field,
        reference: u64,
        start: u64,
        len: u64,
    ) -> Result<*mut u8, TrapCode> {
        let bad = TrapCode::ArrayOutOfBounds;
        let heap = Heap::of(self.core()).ok_or(bad)?;
        let length = u64::from(heap.word(reference).length);
        let end = start.checked_add(len).filter(|&end| end <= length);
        end.ok_or(bad)?;
        let size = u64::from(field.size);
        let offset = reference + u64::from(ARRAY_ELEMENTS) + start * size;
        let writable = self.core().make_heap_writable(offset, len * size);
        writable.ok_or(TrapCode::HeapExhausted)?;
        let address = heap.base + offset as usize;
        Ok(std::ptr::with_exposed_provenance_mut(address))
    }

    /// The bytes of a data segment for `len` elements, from byte `start` on.
    fn data_bytes(
        &self,
        field: &Field,
        segment: u64,
        start: u64,
        len: u64,
    ) -> Result<&[u8], TrapCode> {
        let bad = TrapCode::MemoryOutOfBounds;
        let bytes = self.segment_bytes(segment);
        let len = len.checked_mul(u64::from(field.size)).ok_or(bad)?;
        let end = start.checked_add(len).ok_or(bad)?;
        if end > bytes.len() as u64 || array_size(len, 1).is_none() {
            return Err(bad);
        }
        Ok(&bytes[start as usize..end as usize])
    }

    /// Whether an element segment has elements `start..start + len`.
    fn check_elements(&self, segment: u64, start: u64, len: u64) -> Result<(), TrapCode> {
        let end = start.checked_add(len);
        let inside = end.is_some_and(|end| end <= self.available_elements(segment));
        inside.then_some(()).ok_or(TrapCode::TableOutOfBounds)
    }
}
