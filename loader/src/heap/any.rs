//! Garbage-collected objects, as an embedder holds them.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads fields of objects of a store that is borrowed, at the places
//! that their types tell, and those are never beyond an object.
#![allow(unsafe_code, reason = "the heap is shared with generated code")]

use std::num::NonZeroU64;

use precast_abi::heap::{ARRAY_ELEMENTS, TypeRow};
use precast_abi::object::{FieldRecord, TypeKind};

use super::handles::Place;
use super::{Heap, object_size};
use crate::error::{Error, UseError};
use crate::interner;
use crate::store::{AsStore, AsStoreMut, StoreCore};
use crate::types::{Field, HeapType, RefType, TypeId};
use crate::value::{Cell, ExternRef, Val};

/// A struct, an array, a 31-bit integer, or something of the host's, as a guest refers to it by an
/// `anyref`.
///
/// One that a function of the host is given, or finds while it runs, is good until that function
/// returns to the guest; then it answers with an error. All others live as long as the store, and so does what they
/// refer to; [`AnyRef::keep`] makes such a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyRef {
    pub(crate) store: NonZeroU64,
    place: Handle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handle {
    /// Its bits.
    Integer(u32),
    Object(Place),
}

/// No place was used so often: see [`super::handles`].
const INTEGER: u32 = u32::MAX - 1;

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyKind {
    /// A 31-bit integer, as a signed one.
    I31(i32),
    /// A struct of this type.
    Struct(TypeId),
    /// An array of this type, with so many elements.
    Array(TypeId, u32),
    /// Something of the host's, converted by `any.convert_extern`.
    Extern(ExternRef),
}

impl AnyRef {
    /// A 31-bit integer: the lower bits of `value`.
    pub fn from_i31(store: impl AsStore, value: i32) -> AnyRef {
        AnyRef {
            store: store.as_store().into_core().id,
            place: Handle::Integer((value as u32) << 1 | 1),
        }
    }

    /// Something of the host's, as `any.convert_extern` makes it.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, or the store has no heap or no room there.
    pub fn from_extern(mut store: impl AsStoreMut, value: ExternRef) -> Result<AnyRef, Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        core.check(value.store)?;
        let bits = core
            .make_extern(value.bits())
            .ok_or(UseError::OutOfBounds)?;
        let reference = core.any_from_bits(bits);
        Ok(reference.ok_or(UseError::OutOfBounds)?)
    }

    /// What it refers to.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, or is good no more.
    pub fn kind(&self, store: impl AsStore) -> Result<AnyKind, Error> {
        let core = store.as_store().into_core();
        core.check(self.store)?;
        let bits = self.bits(core)?;
        if bits & 1 != 0 {
            return Ok(AnyKind::I31(bits as i32 >> 1));
        }
        let heap = Heap::of(core).ok_or(UseError::OutOfBounds)?;
        let word = heap.word(bits);
        if word.type_id == interner::EXTERN.0 {
            let value = core.extern_from_bits(heap.extern_bits(bits));
            return Ok(AnyKind::Extern(value.ok_or(UseError::OutOfBounds)?));
        }
        let id = TypeId(word.type_id);
        match interner::data(id).map(|data| data.kind) {
            Some(TypeKind::Struct) => Ok(AnyKind::Struct(id)),
            Some(TypeKind::Array) => Ok(AnyKind::Array(id, word.length)),
            _ => Err(UseError::OutOfBounds.into()),
        }
    }

    /// The value of field `index` of a struct, or of element `index` of an array. A packed one is an `i32`
    /// without a sign.
    ///
    /// # Errors
    ///
    /// If there is no such field or element, it belongs to another store, or is good no more.
    pub fn get(&self, mut store: impl AsStoreMut, index: u32) -> Result<Val, Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        let (field, address) = self.field(core, index)?;
        // SAFETY: `field` has found it in a living object.
        let cell = unsafe { read(address, &field) };
        Ok(Val::from_cell(cell, field.ty, core))
    }

    /// Sets a field of a struct, or an element of an array.
    ///
    /// # Errors
    ///
    /// If there is none, it may not be set, the value is of another type or of another store, or the object is
    /// or is good no more.
    pub fn set(&self, mut store: impl AsStoreMut, index: u32, value: Val) -> Result<(), Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        let (field, address) = self.field(core, index)?;
        if field.flags & FieldRecord::MUTABLE == 0 {
            return Err(UseError::Immutable.into());
        }
        let cell = value.to_cell(field.ty, core)?;
        let base = Heap::of(core).ok_or(UseError::OutOfBounds)?.base;
        core.make_heap_writable((address - base) as u64, u64::from(field.size))
            .ok_or(UseError::OutOfBounds)?;
        let bytes = cell.to_u128().to_le_bytes();
        let to = std::ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: `field` has found it in a living object; the value is of its type.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), field.size as usize) };
        Ok(())
    }

    /// The same reference, as one that lives as long as the store. What it refers to is never collected.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, is good no more, or there are more than 65,536 of these.
    pub fn keep(&self, mut store: impl AsStoreMut) -> Result<AnyRef, Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        core.check(self.store)?;
        let bits = self.bits(core)?;
        if bits & 1 != 0 {
            return Ok(*self);
        }
        let place = core.handles().keep(bits);
        Ok(AnyRef {
            store: self.store,
            place: Handle::Object(place.ok_or(UseError::OutOfBounds)?),
        })
    }

    /// The handle as numbers that [`AnyRef::from_raw`] takes. Neither is 0.
    pub fn to_raw(self) -> [u64; 2] {
        let (index, uses) = match self.place {
            Handle::Integer(bits) => (bits, INTEGER),
            Handle::Object(Place { index, uses }) => (index, uses),
        };
        // A place that was never used before is told from null.
        [
            self.store.get(),
            (u64::from(uses) << 32 | u64::from(index)) + 1,
        ]
    }

    /// The handle whose numbers these are; `None` where they can be of none.
    ///
    /// # Safety
    ///
    /// They must come from [`AnyRef::to_raw`], in this process.
    pub unsafe fn from_raw([store, place]: [u64; 2]) -> Option<AnyRef> {
        let store = NonZeroU64::new(store)?;
        let place = place.checked_sub(1)?;
        let (index, uses) = (place as u32, (place >> 32) as u32);
        let place = match uses {
            INTEGER => Handle::Integer(index | 1),
            _ => Handle::Object(Place { index, uses }),
        };
        Some(AnyRef { store, place })
    }

    /// A field or element, and its address.
    fn field(&self, core: &StoreCore, index: u32) -> Result<(Field, usize), Error> {
        core.check(self.store)?;
        let bits = self.bits(core)?;
        let none = UseError::OutOfBounds;
        let heap = Heap::of(core).filter(|_| bits & 1 == 0).ok_or(none)?;
        let word = heap.word(bits);
        let data = interner::data(TypeId(word.type_id)).ok_or(UseError::OutOfBounds)?;
        let (field, offset) = match (data.kind, &*data.fields) {
            (TypeKind::Array, [field]) if index < word.length => {
                let offset = u64::from(ARRAY_ELEMENTS) + u64::from(index) * u64::from(field.size);
                (*field, offset)
            }
            (TypeKind::Struct, fields) => {
                let field = fields.get(index as usize).ok_or(UseError::OutOfBounds)?;
                (*field, u64::from(field.offset))
            }
            _ => return Err(UseError::OutOfBounds.into()),
        };
        debug_assert!(offset + u64::from(field.size) <= object_size(data, word));
        Ok((field, heap.base + (bits + offset) as usize))
    }

    /// The reference, as guests have it.
    pub(crate) fn bits(&self, core: &StoreCore) -> Result<u64, UseError> {
        match self.place {
            Handle::Integer(bits) => Ok(u64::from(bits)),
            Handle::Object(place) => core.handles().get(place).ok_or(UseError::OutOfBounds),
        }
    }
}

/// # Safety
///
/// The address must be that of a field in the heap.
unsafe fn read(address: usize, field: &Field) -> Cell {
    let mut bytes = [0; 16];
    let from = std::ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: the caller's promise; no field is larger.
    unsafe {
        bytes
            .as_mut_ptr()
            .copy_from_nonoverlapping(from, field.size as usize)
    };
    Cell::from_u128(u128::from_le_bytes(bytes))
}

impl Heap {
    /// The `externref` in what the host gave as an `anyref`.
    pub(super) fn extern_bits(self, reference: u64) -> u64 {
        let address = self.base + reference as usize + 8;
        // SAFETY: such an object has two words.
        unsafe { std::ptr::with_exposed_provenance::<u64>(address).read() }
    }
}

impl StoreCore {
    /// An object that stands for an `externref`.
    pub(super) fn make_extern(&mut self, bits: u64) -> Option<u64> {
        let reference = self.make_object(interner::EXTERN, super::EXTERN_SIZE, 0)?;
        let at = Heap::of(self)?.base + reference as usize + 8;
        // SAFETY: the second word of the object that was just made.
        unsafe { std::ptr::with_exposed_provenance_mut::<u64>(at).write(bits) };
        Some(reference)
    }

    /// The object whose reference this is, for the host.
    pub(crate) fn any_from_bits(&self, bits: u64) -> Option<AnyRef> {
        if bits == 0 {
            return None;
        }
        let place = match bits & 1 {
            1 => Handle::Integer(bits as u32),
            _ => Handle::Object(self.handles().push(bits)),
        };
        Some(AnyRef {
            store: self.id,
            place,
        })
    }

    /// The most exact type of a reference that is not null.
    pub(crate) fn ref_type(&self, bits: u64) -> RefType {
        let id = Heap::of(self).map_or(0, |heap| match bits & 1 {
            1 => 0,
            _ => heap.word(bits).type_id,
        });
        let heap = match id {
            _ if bits & 1 != 0 => HeapType::I31,
            id if id == interner::EXTERN.0 || id == 0 => HeapType::Any,
            id => HeapType::Object(TypeId(id)),
        };
        RefType {
            nullable: false,
            heap,
        }
    }
}

const _: () = assert!(TypeRow::EXTERN == 4);
