//! The heap of garbage-collected objects.
//!
//! A store has one heap, whichever of its instances makes objects: that of the first of them. It is a
//! memory that no module can name, see [`crate::object::MemoryRecord::HEAP`]. A reference into it is 64
//! bits wide where it is a parameter, local, global, table element or word of the stack, and 32 bits
//! wide in the fields of objects:
//!
//! - 0 is null;
//! - an odd number below 2³² is a 31-bit integer, in bits 1 to 31;
//! - a multiple of 8 below 2³² is an object: how many bytes from the start of the heap it lies.
//!
//! An object starts with its [`ObjectWord`]; see [`struct_layout`] and [`ARRAY_ELEMENTS`] for what
//! follows. What a heap has besides objects is its [`HeapHeader`], so that the bytes a null reference
//! refers to are zero: those of an object of no type.

use crate::object::FieldRecord;
use crate::types::{Kind, ValType};

/// What generated code must know of the heap: constants of an instance.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapDef {
    /// Address of the store's heap: of its [`HeapHeader`].
    pub base: u64,
    /// Address of the process's [`TypeRow`]s, indexed by identities of types.
    pub types: u64,
}

impl HeapDef {
    /// Offset of [`HeapDef::base`].
    pub const BASE: i32 = 0;
    /// Offset of [`HeapDef::types`].
    pub const TYPES: i32 = 8;
}

/// The first bytes of a heap. All zero in a new one: the first object is made by the loader.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapHeader {
    /// Always zero: what a null reference refers to.
    pub null: u64,
    /// Where the next object is to be made: a multiple of 8. Code that finds room raises it.
    pub next: u64,
    /// Where it must end: no more than 2³² − 65,536.
    pub limit: u64,
    /// The loader's own.
    pub loader: u64,
}

impl HeapHeader {
    /// Offset of [`HeapHeader::next`].
    pub const NEXT: i32 = 8;
    /// Offset of [`HeapHeader::limit`].
    pub const LIMIT: i32 = 16;
}

/// The first word of an object.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectWord {
    /// Process-wide identity of its type.
    pub type_id: u32,
    /// Of an array, how many elements it has. The first fields of a struct, where they fit.
    pub length: u32,
}

impl ObjectWord {
    /// Offset of [`ObjectWord::length`].
    pub const LENGTH: i32 = 4;
}

/// Offset of the first element of an array. Its size is rounded up to a multiple of 8 bytes.
pub const ARRAY_ELEMENTS: u32 = 8;

/// What is known of a type of the process.
///
/// A type has a depth: 0 where it has no supertype, else one more than that of its supertype. Its
/// ancestors are itself, its supertype, and so on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeRow {
    /// A [`crate::object::TypeKind`]; 0 for no type; [`TypeRow::EXTERN`].
    pub kind: u32,
    /// Its depth.
    pub depth: u32,
    /// Identity of the ancestor at each depth, 0 where there is none.
    pub ancestors: [u32; TypeRow::DEPTHS],
}

impl TypeRow {
    /// How many ancestors there is room for. Whether there is one of a greater depth must be asked:
    /// [`crate::runtime::RuntimeFn::IsSubtype`].
    pub const DEPTHS: usize = 14;
    /// Binary logarithm of the size of a row.
    pub const SIZE_LOG2: u32 = 6;
    /// [`TypeRow::kind`] of what the host has given to the guest as an `anyref`.
    pub const EXTERN: u32 = 4;

    /// Offset of the ancestor at a depth below [`TypeRow::DEPTHS`].
    pub const fn ancestor(depth: u32) -> i32 {
        8 + depth as i32 * 4
    }
}

impl FieldRecord {
    /// Its size in bytes, and of an element of an array.
    pub const fn size(self) -> u32 {
        if self.flags & FieldRecord::I8 != 0 {
            return 1;
        }
        if self.flags & FieldRecord::I16 != 0 {
            return 2;
        }
        size_of_value(self.ty)
    }
}

/// Bytes that a value takes in an object.
const fn size_of_value(ty: ValType) -> u32 {
    match ty.kind() {
        Some(Kind::I32 | Kind::F32) => 4,
        Some(Kind::V128) => 16,
        Some(Kind::Ref) if ty.is_heap_ref() => 4,
        _ => 8,
    }
}

/// Where the fields of a struct lie, in their order: each at the next multiple of its size, and at most
/// of 8, after the identity of the type. Ends with the size of the struct, a multiple of 8.
pub fn struct_layout(
    fields: impl IntoIterator<Item = FieldRecord>,
    mut place: impl FnMut(u32),
) -> u32 {
    let mut end = 4u32;
    for field in fields {
        let size = field.size();
        let offset = end.next_multiple_of(if size < 8 { size } else { 8 });
        place(offset);
        end = offset + size;
    }
    end.next_multiple_of(8)
}

const _: () = {
    assert!(size_of::<HeapDef>() == 16);
    assert!(size_of::<HeapHeader>() == 32);
    assert!(size_of::<ObjectWord>() == 8);
    assert!(size_of::<TypeRow>() == 1 << TypeRow::SIZE_LOG2);
    assert!(core::mem::offset_of!(HeapHeader, next) == HeapHeader::NEXT as usize);
    assert!(core::mem::offset_of!(HeapHeader, limit) == HeapHeader::LIMIT as usize);
    assert!(core::mem::offset_of!(TypeRow, ancestors) == TypeRow::ancestor(0) as usize);
};

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::*;
    use crate::types::HeapType;
    use alloc::vec;
    use alloc::vec::Vec;

    fn layout(fields: &[FieldRecord]) -> (Vec<u32>, u32) {
        let mut offsets = Vec::new();
        let size = struct_layout(fields.iter().copied(), |offset| offsets.push(offset));
        (offsets, size)
    }

    fn field(ty: ValType, flags: u32) -> FieldRecord {
        FieldRecord { ty, flags }
    }

    #[test]
    fn fields_follow_the_identity_at_multiples_of_their_size() {
        let any = ValType::reference(true, HeapType::Any);
        assert_eq!(layout(&[]), (vec![], 8));
        assert_eq!(layout(&[field(ValType::I32, 0)]), (vec![4], 8));
        assert_eq!(layout(&[field(any, 0), field(any, 1)]), (vec![4, 8], 16));
        assert_eq!(layout(&[field(ValType::FUNCREF, 0)]), (vec![8], 16));
        let packed = [
            field(ValType::I32, FieldRecord::I8),
            field(ValType::I32, FieldRecord::I16),
            field(ValType::V128, 0),
            field(ValType::I32, FieldRecord::I8),
        ];
        assert_eq!(layout(&packed), (vec![4, 6, 8, 24], 32));
    }
}
