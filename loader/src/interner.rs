//! The process-wide registry of function types.
//!
//! Generated code compares function types of different modules by a 32-bit number. Equal types
//! must have equal numbers and different types different ones, so the registry compares whole
//! structures, and numbers are never given out twice.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use precast_abi::types::{HeapType as AbiHeap, Kind, ValType as AbiValType};

use crate::types::{FuncType, FuncTypeData, HeapType, RefType, TypeId, ValType};

/// The structure of a type with references to itself made recognisable.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    params: Box<[KeyType]>,
    results: Box<[KeyType]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum KeyType {
    Known(ValType),
    /// A reference to the type that is being described.
    Own {
        nullable: bool,
    },
}

#[derive(Default)]
struct Interner {
    ids: HashMap<Key, TypeId>,
    types: Vec<FuncType>,
}

static INTERNER: Mutex<Option<Interner>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Interner>> {
    // Every change is complete before anything can panic.
    INTERNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The type with these parameters and results.
pub(crate) fn intern(params: Box<[ValType]>, results: Box<[ValType]>) -> FuncType {
    let known = |types: &[ValType]| types.iter().map(|&ty| KeyType::Known(ty)).collect();
    lock().get_or_insert_default().intern(Key {
        params: known(&params),
        results: known(&results),
    })
}

/// The type with this identity.
pub(crate) fn lookup(id: TypeId) -> FuncType {
    // Identities start at 1 and are given out by `intern` alone, so the index is in bounds.
    lock().get_or_insert_default().types[id.0 as usize - 1]
}

/// Interns the types of a module in their order. Each has its parameters and results as the
/// object writes them; concrete references are to types before, or to the type itself.
///
/// `None` where the object's types are damaged.
pub(crate) fn intern_module<'a>(
    types: impl Iterator<Item = Option<(&'a [AbiValType], &'a [AbiValType])>>,
) -> Option<Box<[TypeId]>> {
    let mut guard = lock();
    let interner = guard.get_or_insert_default();
    let mut ids = Vec::new();
    for ty in types {
        let (params, results) = ty?;
        let key = Key {
            params: key_types(params, &ids)?,
            results: key_types(results, &ids)?,
        };
        ids.push(interner.intern(key).id());
    }
    Some(ids.into())
}

fn key_types(types: &[AbiValType], ids: &[TypeId]) -> Option<Box<[KeyType]>> {
    types
        .iter()
        .map(|&ty| match ty.heap_type() {
            Some(AbiHeap::Concrete(index)) if index as usize == ids.len() => Some(KeyType::Own {
                nullable: ty.is_nullable(),
            }),
            _ => val_type(ty, ids).map(KeyType::Known),
        })
        .collect()
}

/// A type as an object writes it, whose concrete types are `ids`. `None` where it is damaged.
pub(crate) fn val_type(ty: AbiValType, ids: &[TypeId]) -> Option<ValType> {
    Some(match ty.kind()? {
        Kind::I32 => ValType::I32,
        Kind::I64 => ValType::I64,
        Kind::F32 => ValType::F32,
        Kind::F64 => ValType::F64,
        Kind::V128 => ValType::V128,
        Kind::Ref => {
            let heap = match ty.heap_type()? {
                AbiHeap::Func => HeapType::Func,
                AbiHeap::Extern => HeapType::Extern,
                AbiHeap::NoFunc => HeapType::NoFunc,
                AbiHeap::NoExtern => HeapType::NoExtern,
                AbiHeap::Exn => HeapType::Exn,
                AbiHeap::NoExn => HeapType::NoExn,
                AbiHeap::Concrete(index) => HeapType::Concrete(*ids.get(index as usize)?),
            };
            ValType::Ref(RefType {
                nullable: ty.is_nullable(),
                heap,
            })
        }
    })
}

impl Interner {
    fn intern(&mut self, key: Key) -> FuncType {
        if let Some(id) = self.ids.get(&key) {
            return self.types[id.0 as usize - 1];
        }
        let id = TypeId(u32::try_from(self.types.len() + 1).expect("fewer than 2^32 types"));
        let resolve = |types: &[KeyType]| -> Box<[ValType]> {
            types.iter().map(|&ty| resolve(ty, id)).collect()
        };
        let (params, results) = (resolve(&key.params), resolve(&key.results));
        let abi = |types: &[ValType]| types.iter().map(|ty| ty.to_abi()).collect::<Vec<_>>();
        let fits_registers = precast_abi::types::fits_registers(&abi(&params), &abi(&results));
        let data = Box::leak(Box::new(FuncTypeData {
            id,
            params,
            results,
            fits_registers,
        }));
        self.types.push(FuncType(data));
        self.ids.insert(key, id);
        FuncType(data)
    }
}

fn resolve(ty: KeyType, own: TypeId) -> ValType {
    match ty {
        KeyType::Known(ty) => ty,
        KeyType::Own { nullable } => ValType::Ref(RefType {
            nullable,
            heap: HeapType::Concrete(own),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(types: &[(&[AbiValType], &[AbiValType])]) -> Option<Box<[TypeId]>> {
        intern_module(types.iter().map(|&ty| Some(ty)))
    }

    #[test]
    fn equal_structures_have_one_identity() {
        let a = module(&[(&[AbiValType::I32], &[]), (&[], &[AbiValType::I32])]).unwrap();
        let b = module(&[(&[], &[AbiValType::I32]), (&[AbiValType::I32], &[])]).unwrap();
        assert_eq!((a[0], a[1]), (b[1], b[0]));
        assert_ne!(a[0], a[1]);
        assert_eq!(FuncType::new([ValType::I32], []).id(), a[0]);
        assert_eq!(a[0].func_type(), FuncType::new([ValType::I32], []));
    }

    #[test]
    fn references_compare_by_what_they_refer_to() {
        let reference = |index| AbiValType::reference(true, AbiHeap::Concrete(index));
        let a = module(&[(&[AbiValType::I64], &[]), (&[reference(0)], &[])]).unwrap();
        let b = module(&[
            (&[], &[]),
            (&[AbiValType::I64], &[]),
            (&[reference(1)], &[]),
            (&[reference(0)], &[]),
        ])
        .unwrap();
        assert_eq!(a[1], b[2]);
        assert_ne!(a[1], b[3]);
    }

    #[test]
    fn a_type_may_refer_to_itself_but_not_ahead() {
        let reference = |index| AbiValType::reference(false, AbiHeap::Concrete(index));
        let a = module(&[(&[reference(0)], &[])]).unwrap();
        let b = module(&[(&[], &[]), (&[reference(1)], &[])]).unwrap();
        assert_eq!(a[0], b[1]);
        let own = RefType {
            nullable: false,
            heap: HeapType::Concrete(a[0]),
        };
        assert_eq!(a[0].func_type().params(), [ValType::Ref(own)]);
        assert_eq!(module(&[(&[reference(1)], &[])]), None);
    }
}
