//! How value types are written down in objects, and which signatures travel in registers.

/// A value type in 32 bits: kind in bits 0–7, nullability in bit 8, heap type in bits 9–31.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValType(pub u32);

/// What a value is made of.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 32-bit integer.
    I32 = 0,
    /// 64-bit integer.
    I64 = 1,
    /// 32-bit float.
    F32 = 2,
    /// 64-bit float.
    F64 = 3,
    /// 128-bit vector.
    V128 = 4,
    /// A reference, 64 bits wide; null is 0.
    Ref = 5,
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// Anything of the host's.
    Extern,
    /// No function: only null.
    NoFunc,
    /// Nothing of the host's: only null.
    NoExtern,
    /// An exception.
    Exn,
    /// No exception: only null.
    NoExn,
    /// Anything that is no function, exception or thing of the host's, and of the host's what was
    /// converted.
    Any,
    /// What can be compared: a struct, an array, or a 31-bit integer.
    Eq,
    /// A 31-bit integer.
    I31,
    /// Any struct.
    Struct,
    /// Any array.
    Array,
    /// None of those: only null.
    None,
    /// A function of the module's type with this index.
    Concrete(u32),
    /// A struct or an array of the module's type with this index.
    Object(u32),
}

const NULLABLE: u32 = 1 << 8;
const HEAP_SHIFT: u32 = 9;
const FIRST_CONCRETE: u32 = 32;
const FIRST_OBJECT: u32 = 1 << 22;

impl ValType {
    /// `i32`.
    pub const I32: ValType = ValType(Kind::I32 as u32);
    /// `i64`.
    pub const I64: ValType = ValType(Kind::I64 as u32);
    /// `f32`.
    pub const F32: ValType = ValType(Kind::F32 as u32);
    /// `f64`.
    pub const F64: ValType = ValType(Kind::F64 as u32);
    /// `v128`.
    pub const V128: ValType = ValType(Kind::V128 as u32);
    /// `funcref`.
    pub const FUNCREF: ValType = ValType::reference(true, HeapType::Func);
    /// `externref`.
    pub const EXTERNREF: ValType = ValType::reference(true, HeapType::Extern);

    /// A reference type. A type index must be below 2²² − 32 (the module's limit on types, one
    /// million, is far below).
    pub const fn reference(nullable: bool, heap: HeapType) -> ValType {
        let heap = match heap {
            HeapType::Func => 0,
            HeapType::Extern => 1,
            HeapType::NoFunc => 2,
            HeapType::NoExtern => 3,
            HeapType::Exn => 4,
            HeapType::NoExn => 5,
            HeapType::Any => 6,
            HeapType::Eq => 7,
            HeapType::I31 => 8,
            HeapType::Struct => 9,
            HeapType::Array => 10,
            HeapType::None => 11,
            HeapType::Concrete(index) => FIRST_CONCRETE + index,
            HeapType::Object(index) => FIRST_OBJECT + index,
        };
        let null = if nullable { NULLABLE } else { 0 };
        ValType(Kind::Ref as u32 | null | heap << HEAP_SHIFT)
    }

    /// What it is made of; `None` where the encoding is damaged.
    pub const fn kind(self) -> Option<Kind> {
        Some(match self.0 & 0xff {
            0 => Kind::I32,
            1 => Kind::I64,
            2 => Kind::F32,
            3 => Kind::F64,
            4 => Kind::V128,
            5 => Kind::Ref,
            _ => return None,
        })
    }

    /// Whether a reference of this type may be null. False for numbers.
    pub const fn is_nullable(self) -> bool {
        self.0 & NULLABLE != 0
    }

    /// What a reference of this type refers to; `None` for numbers and damaged encodings.
    pub const fn heap_type(self) -> Option<HeapType> {
        if self.0 & 0xff != Kind::Ref as u32 {
            return None;
        }
        Some(match self.0 >> HEAP_SHIFT {
            0 => HeapType::Func,
            1 => HeapType::Extern,
            2 => HeapType::NoFunc,
            3 => HeapType::NoExtern,
            4 => HeapType::Exn,
            5 => HeapType::NoExn,
            6 => HeapType::Any,
            7 => HeapType::Eq,
            8 => HeapType::I31,
            9 => HeapType::Struct,
            10 => HeapType::Array,
            11 => HeapType::None,
            n if n >= FIRST_OBJECT => HeapType::Object(n - FIRST_OBJECT),
            n if n >= FIRST_CONCRETE => HeapType::Concrete(n - FIRST_CONCRETE),
            _ => return None,
        })
    }

    /// Whether values of this type are function references: tables of them hold
    /// [`crate::instance::FuncRef`]s by value.
    pub const fn is_func_ref(self) -> bool {
        matches!(
            self.heap_type(),
            Some(HeapType::Func | HeapType::NoFunc | HeapType::Concrete(_))
        )
    }

    /// Whether values of this type are references into the heap, see [`crate::heap`].
    pub const fn is_heap_ref(self) -> bool {
        matches!(
            self.heap_type(),
            Some(
                HeapType::Any
                    | HeapType::Eq
                    | HeapType::I31
                    | HeapType::Struct
                    | HeapType::Array
                    | HeapType::None
                    | HeapType::Object(_)
            )
        )
    }
}

/// Integer or reference parameters, beside the hidden one, that travel in registers.
pub const INT_REGISTERS: usize = 5;
/// Float parameters that travel in registers.
pub const FLOAT_REGISTERS: usize = 8;

/// Whether a function of this type takes its parameters and gives its result in registers only,
/// as the C calling convention of the target would. The host's functions of such types are
/// called directly; all others through an array of values (`host_stub`).
pub fn fits_registers(params: &[ValType], results: &[ValType]) -> bool {
    let (mut ints, mut floats) = (0, 0);
    for param in params {
        match param.kind() {
            Some(Kind::I32 | Kind::I64 | Kind::Ref) => ints += 1,
            Some(Kind::F32 | Kind::F64) => floats += 1,
            Some(Kind::V128) | None => return false,
        }
    }
    let result_fits = match results {
        [] => true,
        [one] => !matches!(one.kind(), Some(Kind::V128) | None),
        _ => false,
    };
    ints <= INT_REGISTERS && floats <= FLOAT_REGISTERS && result_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_types_survive_encoding() {
        for nullable in [true, false] {
            for heap in [
                HeapType::Func,
                HeapType::Extern,
                HeapType::NoFunc,
                HeapType::NoExtern,
                HeapType::Exn,
                HeapType::NoExn,
                HeapType::Any,
                HeapType::Eq,
                HeapType::I31,
                HeapType::Struct,
                HeapType::Array,
                HeapType::None,
                HeapType::Concrete(0),
                HeapType::Concrete(999_999),
                HeapType::Object(0),
                HeapType::Object(999_999),
            ] {
                let ty = ValType::reference(nullable, heap);
                assert_eq!(ty.kind(), Some(Kind::Ref));
                assert_eq!(ty.is_nullable(), nullable);
                assert_eq!(ty.heap_type(), Some(heap));
            }
        }
        assert_eq!(ValType::I64.heap_type(), None);
        assert_eq!(ValType(77).kind(), None);
    }

    #[test]
    fn sixth_integer_goes_to_memory() {
        assert!(fits_registers(&[ValType::I32; 5], &[ValType::I64]));
        assert!(!fits_registers(&[ValType::I32; 6], &[]));
        assert!(fits_registers(&[ValType::F64; 8], &[]));
        assert!(!fits_registers(&[ValType::F64; 9], &[]));
        assert!(!fits_registers(&[], &[ValType::I32; 2]));
        assert!(!fits_registers(&[ValType::V128], &[]));
    }
}
