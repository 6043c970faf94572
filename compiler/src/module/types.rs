//! The types of a module, and how the ABI writes them down.

use super::{ModuleInfo, TypeIndex};
use precast_abi::heap;
use precast_abi::object::{FieldRecord, TypeKind};
use precast_abi::types as abi;
use wasmparser::{AbstractHeapType, HeapType, RefType, StorageType, UnpackedIndex, ValType};

/// A type of the module. Structs and arrays have no parameters and results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FuncType {
    /// Types of the parameters.
    pub(crate) params: Box<[ValType]>,
    /// Types of the results.
    pub(crate) results: Box<[ValType]>,
    /// The first type index that means the same type.
    pub(crate) canonical: TypeIndex,
    /// What it is besides.
    pub(crate) sub: SubType,
}

/// The place of a type in the hierarchy of types, and the fields of structs and arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubType {
    pub(crate) kind: TypeKind,
    /// Whether it has no subtypes.
    pub(crate) is_final: bool,
    pub(crate) supertype: Option<TypeIndex>,
    /// How many supertypes it has, all in all.
    pub(crate) depth: u32,
    /// The first type of its recursive group.
    pub(crate) group: TypeIndex,
    /// The fields of a struct, or the one of an array.
    pub(crate) fields: Box<[Field]>,
}

/// A field of a struct, or the elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) ty: StorageType,
    pub(crate) mutable: bool,
}

impl Field {
    /// The type of its value outside of the object.
    pub(crate) fn value_type(&self) -> ValType {
        self.ty.unpack()
    }
}

impl FuncType {
    /// A function type that is final, and in a group of its own.
    pub(crate) fn plain(
        params: Box<[ValType]>,
        results: Box<[ValType]>,
        index: TypeIndex,
    ) -> FuncType {
        FuncType {
            params,
            results,
            canonical: index,
            sub: SubType {
                kind: TypeKind::Function,
                is_final: true,
                supertype: None,
                depth: 0,
                group: index,
                fields: Box::default(),
            },
        }
    }

    /// Whether it travels in registers only, see [`abi::fits_registers`].
    pub(crate) fn fits_registers(&self) -> bool {
        // What a reference refers to does not matter.
        let encode = |types: &[ValType]| {
            let types = types.iter().map(|ty| match ty {
                ValType::Ref(_) => abi::ValType::FUNCREF,
                number => number_type(*number),
            });
            types.collect::<Vec<_>>()
        };
        abi::fits_registers(&encode(&self.params), &encode(&self.results))
    }
}

/// A number type in the ABI's encoding.
fn number_type(ty: ValType) -> abi::ValType {
    match ty {
        ValType::I64 => abi::ValType::I64,
        ValType::F32 => abi::ValType::F32,
        ValType::F64 => abi::ValType::F64,
        ValType::V128 => abi::ValType::V128,
        ValType::I32 | ValType::Ref(_) => abi::ValType::I32,
    }
}

impl ModuleInfo<'_> {
    /// A value type in the ABI's encoding. Types that the compiler refuses do not get here.
    pub(crate) fn abi_val_type(&self, ty: ValType) -> abi::ValType {
        match ty {
            ValType::Ref(ty) => self.abi_ref_type(ty),
            number => number_type(number),
        }
    }

    /// A reference type in the ABI's encoding.
    pub(crate) fn abi_ref_type(&self, ty: RefType) -> abi::ValType {
        abi::ValType::reference(ty.is_nullable(), self.abi_heap_type(ty.heap_type()))
    }

    /// What a reference refers to, in the ABI's encoding.
    pub(crate) fn abi_heap_type(&self, ty: HeapType) -> abi::HeapType {
        match ty {
            HeapType::Concrete(UnpackedIndex::Module(index)) => {
                match self.types.get(TypeIndex::from_u32(index)) {
                    Some(ty) if ty.sub.kind != TypeKind::Function => abi::HeapType::Object(index),
                    _ => abi::HeapType::Concrete(index),
                }
            }
            HeapType::Abstract { ty, .. } => match ty {
                AbstractHeapType::Func => abi::HeapType::Func,
                AbstractHeapType::NoFunc => abi::HeapType::NoFunc,
                AbstractHeapType::NoExtern => abi::HeapType::NoExtern,
                AbstractHeapType::Exn => abi::HeapType::Exn,
                AbstractHeapType::NoExn => abi::HeapType::NoExn,
                AbstractHeapType::Any => abi::HeapType::Any,
                AbstractHeapType::Eq => abi::HeapType::Eq,
                AbstractHeapType::I31 => abi::HeapType::I31,
                AbstractHeapType::Struct => abi::HeapType::Struct,
                AbstractHeapType::Array => abi::HeapType::Array,
                AbstractHeapType::None => abi::HeapType::None,
                _ => abi::HeapType::Extern,
            },
            // Only a validator makes these, and only of types that were refused before.
            HeapType::Concrete(_) | HeapType::Exact(_) => abi::HeapType::Func,
        }
    }

    /// Whether values of this type are references into the heap.
    pub(crate) fn is_heap_ref(&self, ty: ValType) -> bool {
        self.abi_val_type(ty).is_heap_ref()
    }

    /// A field in the ABI's encoding.
    pub(crate) fn abi_field(&self, field: &Field) -> FieldRecord {
        let packed = match field.ty {
            StorageType::I8 => FieldRecord::I8,
            StorageType::I16 => FieldRecord::I16,
            StorageType::Val(_) => 0,
        };
        let mutable = match field.mutable {
            true => FieldRecord::MUTABLE,
            false => 0,
        };
        FieldRecord {
            ty: self.abi_val_type(field.value_type()),
            flags: packed | mutable,
        }
    }

    /// Where the fields of a struct lie, and its size.
    pub(crate) fn struct_layout(&self, ty: TypeIndex) -> (Vec<u32>, u32) {
        let fields = self.types[ty].sub.fields.iter();
        let mut offsets = Vec::with_capacity(fields.len());
        let records = fields.map(|field| self.abi_field(field));
        let size = heap::struct_layout(records, |offset| offsets.push(offset));
        (offsets, size)
    }

    /// Whether objects must tell of types more than parameters and results.
    pub(crate) fn has_sub_types(&self) -> bool {
        let is_plain = |(index, ty): (TypeIndex, &FuncType)| {
            let sub = &ty.sub;
            let alone = sub.group == index
                && self
                    .types
                    .get(TypeIndex::from_u32(index.as_u32() + 1))
                    .is_none_or(|next| next.sub.group != index);
            sub.kind == TypeKind::Function && sub.is_final && sub.supertype.is_none() && alone
        };
        !self.types.iter().all(is_plain)
    }
}
