//! What the trap codes that Cranelift hands back mean.
//!
//! Explicit traps carry the code of the ABI as a code of Cranelift's user. Instructions that trap
//! by themselves (division, float to integer) carry codes that Cranelift reserves, and so do
//! accesses to guard-page memories.

use cranelift_codegen::ir;
use precast_abi::trap::TrapCode;

/// What an access to a guard-page memory carries. It needs no entry in an object's trap table:
/// a fault in the guards of the instance means nothing else.
pub(crate) const GUARD_PAGE_ACCESS: ir::TrapCode = ir::TrapCode::HEAP_OUT_OF_BOUNDS;

/// The code that explicit traps carry through Cranelift.
pub(crate) const fn to_cranelift(code: TrapCode) -> ir::TrapCode {
    ir::TrapCode::unwrap_user(code as u8)
}

/// What a code means that Cranelift carried; `None` for one that we never hand out.
pub(crate) fn from_cranelift(code: ir::TrapCode) -> Option<TrapCode> {
    Some(match code {
        ir::TrapCode::STACK_OVERFLOW => TrapCode::StackOverflow,
        ir::TrapCode::HEAP_OUT_OF_BOUNDS => TrapCode::MemoryOutOfBounds,
        ir::TrapCode::INTEGER_OVERFLOW => TrapCode::IntegerOverflow,
        ir::TrapCode::INTEGER_DIVISION_BY_ZERO => TrapCode::IntegerDivideByZero,
        ir::TrapCode::BAD_CONVERSION_TO_INTEGER => TrapCode::InvalidConversionToInteger,
        user => return TrapCode::from_u8(user.as_raw().get()),
    })
}

/// Whether this is [`GUARD_PAGE_ACCESS`].
pub(crate) fn is_guard_page_access(code: ir::TrapCode) -> bool {
    code == GUARD_PAGE_ACCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_cranelift() {
        for code in TrapCode::ALL {
            assert_eq!(from_cranelift(to_cranelift(code)), Some(code));
            assert!(!is_guard_page_access(to_cranelift(code)));
        }
    }

    #[test]
    fn every_code_of_cranelift_has_a_meaning() {
        for &code in ir::TrapCode::non_user_traps() {
            assert!(from_cranelift(code).is_some(), "{code}");
        }
        assert_eq!(from_cranelift(ir::TrapCode::unwrap_user(200)), None);
    }
}
