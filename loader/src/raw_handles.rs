//! Handles as plain numbers, for languages that keep them in records of their own.
//!
//! # Safety
//!
//! This file holds unsafe code: numbers are made into handles again, and the addresses in them are
//! followed later. Who hands them in promises that they came out of here.
#![allow(unsafe_code, reason = "handles hold addresses")]

use std::num::NonZeroU64;
use std::ptr::NonNull;

use crate::exception::{ExnRef, Tag, TagId};
use crate::func::Func;
use crate::global::Global;
use crate::instance::Instance;
use crate::memory::Memory;
use crate::table::Table;
use crate::types::{GlobalType, HeapType, RefType, TypeId, ValType};
use crate::value::ExternRef;

/// The handles that are a store's number and an index in one of its lists.
macro_rules! indices {
    ($($handle:ident),*) => {$(
        impl $handle {
            /// The handle as numbers that [`Self::from_raw`] takes. The first is never 0.
            pub fn to_raw(self) -> [u64; 2] {
                [self.store.get(), self.index.into()]
            }

            /// The handle whose numbers these are; `None` where they can be of none.
            ///
            /// # Safety
            ///
            /// They must come from [`Self::to_raw`] of the same type, in this process.
            pub unsafe fn from_raw([store, index]: [u64; 2]) -> Option<$handle> {
                Some($handle {
                    store: NonZeroU64::new(store)?,
                    index: u32::try_from(index).ok()?,
                })
            }
        }
    )*};
}

indices!(Instance, Memory, Table);

impl ExternRef {
    /// The handle as numbers that [`ExternRef::from_raw`] takes. Neither is 0.
    pub fn to_raw(self) -> [u64; 2] {
        [self.store.get(), self.bits.get()]
    }

    /// The handle whose numbers these are; `None` where they can be of none.
    ///
    /// # Safety
    ///
    /// They must come from [`ExternRef::to_raw`], in this process.
    pub unsafe fn from_raw([store, bits]: [u64; 2]) -> Option<ExternRef> {
        Some(ExternRef {
            store: NonZeroU64::new(store)?,
            bits: NonZeroU64::new(bits)?,
        })
    }
}

impl Tag {
    /// The handle as numbers that [`Tag::from_raw`] takes. The first is never 0.
    pub fn to_raw(self) -> [u64; 2] {
        let TagId { instance, index } = self.id;
        [
            self.store.get(),
            u64::from(instance) << 32 | u64::from(index),
        ]
    }

    /// The handle whose numbers these are; `None` where they can be of none.
    ///
    /// # Safety
    ///
    /// They must come from [`Tag::to_raw`], in this process.
    pub unsafe fn from_raw([store, id]: [u64; 2]) -> Option<Tag> {
        Some(Tag {
            store: NonZeroU64::new(store)?,
            id: TagId {
                instance: (id >> 32) as u32,
                index: id as u32,
            },
        })
    }
}

impl ExnRef {
    /// The handle as numbers that [`ExnRef::from_raw`] takes. Neither is 0.
    pub fn to_raw(self) -> [u64; 2] {
        [self.store.get(), self.bits]
    }

    /// The handle whose numbers these are; `None` where they can be of none.
    ///
    /// # Safety
    ///
    /// They must come from [`ExnRef::to_raw`], in this process.
    pub unsafe fn from_raw([store, bits]: [u64; 2]) -> Option<ExnRef> {
        let store = NonZeroU64::new(store)?;
        Some(ExnRef { store, bits })
    }
}

impl Func {
    /// The handle as numbers that [`Func::from_raw`] takes. Neither is 0.
    pub fn to_raw(self) -> [u64; 2] {
        [self.store.get(), self.bits()]
    }

    /// The handle whose numbers these are; `None` where they can be of none.
    ///
    /// # Safety
    ///
    /// They must come from [`Func::to_raw`], in this process.
    pub unsafe fn from_raw([store, bits]: [u64; 2]) -> Option<Func> {
        Func::from_bits(NonZeroU64::new(store)?, bits)
    }
}

impl Global {
    /// The handle as numbers that [`Global::from_raw`] takes. The first two are never 0.
    pub fn to_raw(self) -> [u64; 3] {
        let cell = self.cell.as_ptr().expose_provenance() as u64;
        [self.store.get(), cell, type_to_raw(self.ty)]
    }

    /// The handle whose numbers these are; `None` where they can be of none.
    ///
    /// # Safety
    ///
    /// They must come from [`Global::to_raw`], in this process.
    pub unsafe fn from_raw([store, cell, ty]: [u64; 3]) -> Option<Global> {
        Some(Global {
            store: NonZeroU64::new(store)?,
            cell: NonNull::new(std::ptr::with_exposed_provenance_mut(cell as usize))?,
            ty: type_from_raw(ty)?,
        })
    }
}

/// Kind in bits 0 to 7, mutability in bit 8, nullability in bit 9, heap type in bits 16 to 23,
/// number of a concrete type in bits 32 to 63.
fn type_to_raw(ty: GlobalType) -> u64 {
    let content = match ty.content {
        ValType::I32 => 0,
        ValType::I64 => 1,
        ValType::F32 => 2,
        ValType::F64 => 3,
        ValType::V128 => 4,
        ValType::Ref(r) => {
            let heap = match r.heap {
                HeapType::Func => 0,
                HeapType::Extern => 1,
                HeapType::NoFunc => 2,
                HeapType::NoExtern => 3,
                HeapType::Concrete(id) => 4 | u64::from(id.0) << 16,
                HeapType::Object(id) => 7 | u64::from(id.0) << 16,
                HeapType::Any => 8,
                HeapType::Eq => 9,
                HeapType::I31 => 10,
                HeapType::Struct => 11,
                HeapType::Array => 12,
                HeapType::None => 13,
                HeapType::Exn => 5,
                HeapType::NoExn => 6,
            };
            5 | u64::from(r.nullable) << 9 | heap << 16
        }
    };
    content | u64::from(ty.mutable) << 8
}

fn type_from_raw(bits: u64) -> Option<GlobalType> {
    let content = match bits & 0xff {
        0 => ValType::I32,
        1 => ValType::I64,
        2 => ValType::F32,
        3 => ValType::F64,
        4 => ValType::V128,
        5 => ValType::Ref(RefType {
            nullable: bits >> 9 & 1 != 0,
            heap: match bits >> 16 & 0xff {
                0 => HeapType::Func,
                1 => HeapType::Extern,
                2 => HeapType::NoFunc,
                3 => HeapType::NoExtern,
                4 => HeapType::Concrete(TypeId((bits >> 32) as u32)),
                5 => HeapType::Exn,
                6 => HeapType::NoExn,
                7 => HeapType::Object(TypeId((bits >> 32) as u32)),
                8 => HeapType::Any,
                9 => HeapType::Eq,
                10 => HeapType::I31,
                11 => HeapType::Struct,
                12 => HeapType::Array,
                13 => HeapType::None,
                _ => return None,
            },
        }),
        _ => return None,
    };
    Some(GlobalType::new(content, bits >> 8 & 1 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::types::{FuncType, MemoryType, TableType};
    use crate::value::Val;

    #[test]
    fn handles_come_back_as_they_were() {
        let mut store = Store::new(());
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).expect("a memory");
        let ty = TableType::new(RefType::FUNCREF, 3, None);
        let table = Table::new(&mut store, ty, Val::FuncRef(None)).expect("a table");
        let func = Func::wrap(&mut store, |_: crate::Caller<'_, ()>, a: i32| a + 1);
        let ty = GlobalType::new(ValType::F64, true);
        let global = Global::new(&mut store, ty, Val::F64(7)).expect("a global");
        let object = ExternRef::new(&mut store, 7u8);
        // SAFETY: the numbers come from handles.
        unsafe {
            assert_eq!(Memory::from_raw(memory.to_raw()), Some(memory));
            assert_eq!(Table::from_raw(table.to_raw()), Some(table));
            assert_eq!(Func::from_raw(func.to_raw()), Some(func));
            assert_eq!(Global::from_raw(global.to_raw()), Some(global));
            assert_eq!(ExternRef::from_raw(object.to_raw()), Some(object));
            assert_eq!(Memory::from_raw([0, 0]), None);
            assert_eq!(Func::from_raw([1, 0]), None);
            assert_eq!(Global::from_raw([1, 0, 0]), None);
        }
    }

    #[test]
    fn types_of_globals_come_back_as_they_were() {
        let id = FuncType::new([ValType::I64], []).id();
        let heaps = [
            HeapType::Func,
            HeapType::Extern,
            HeapType::NoFunc,
            HeapType::NoExtern,
            HeapType::Exn,
            HeapType::NoExn,
            HeapType::Concrete(id),
            HeapType::Object(id),
            HeapType::Any,
            HeapType::Eq,
            HeapType::I31,
            HeapType::Struct,
            HeapType::Array,
            HeapType::None,
        ];
        let refs = heaps.into_iter().flat_map(|heap| {
            [false, true].map(|nullable| ValType::Ref(RefType { nullable, heap }))
        });
        let numbers = [
            ValType::I32,
            ValType::I64,
            ValType::F32,
            ValType::F64,
            ValType::V128,
        ];
        for content in numbers.into_iter().chain(refs) {
            for mutable in [false, true] {
                let ty = GlobalType::new(content, mutable);
                assert_eq!(type_from_raw(type_to_raw(ty)), Some(ty));
            }
        }
    }
}
