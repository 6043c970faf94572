//! Value and function types, and how the ABI writes them down.

use super::TypeIndex;
use precast_abi::types as abi;
use wasmparser::{AbstractHeapType, HeapType, RefType, UnpackedIndex, ValType};

/// A function type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FuncType {
    /// Types of the parameters.
    pub(crate) params: Box<[ValType]>,
    /// Types of the results.
    pub(crate) results: Box<[ValType]>,
    /// The first type index that means the same type.
    pub(crate) canonical: TypeIndex,
}

impl FuncType {
    /// Whether it travels in registers only, see [`abi::fits_registers`].
    pub(crate) fn fits_registers(&self) -> bool {
        let encode =
            |types: &[ValType]| types.iter().copied().map(abi_val_type).collect::<Vec<_>>();
        abi::fits_registers(&encode(&self.params), &encode(&self.results))
    }
}

/// A value type in the ABI's encoding. Types that the compiler refuses do not get here.
pub(crate) fn abi_val_type(ty: ValType) -> abi::ValType {
    match ty {
        ValType::I32 => abi::ValType::I32,
        ValType::I64 => abi::ValType::I64,
        ValType::F32 => abi::ValType::F32,
        ValType::F64 => abi::ValType::F64,
        ValType::V128 => abi::ValType::V128,
        ValType::Ref(ty) => abi_ref_type(ty),
    }
}

/// A reference type in the ABI's encoding.
pub(crate) fn abi_ref_type(ty: RefType) -> abi::ValType {
    let heap = match ty.heap_type() {
        HeapType::Concrete(UnpackedIndex::Module(index)) => abi::HeapType::Concrete(index),
        HeapType::Abstract { ty, .. } => match ty {
            AbstractHeapType::Func => abi::HeapType::Func,
            AbstractHeapType::NoFunc => abi::HeapType::NoFunc,
            AbstractHeapType::NoExtern => abi::HeapType::NoExtern,
            AbstractHeapType::Exn => abi::HeapType::Exn,
            AbstractHeapType::NoExn => abi::HeapType::NoExn,
            _ => abi::HeapType::Extern,
        },
        // Only a validator makes these, and only of types that were refused before.
        HeapType::Concrete(_) | HeapType::Exact(_) => abi::HeapType::Func,
    };
    abi::ValType::reference(ty.is_nullable(), heap)
}
