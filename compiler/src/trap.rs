//! Trap codes on their way through Cranelift.
//!
//! Cranelift has codes of its own for the traps that its instructions raise by themselves
//! (division, float to integer), and room for codes of its user's. Every code of the ABI has
//! exactly one counterpart; nothing else may reach an object.

use cranelift_codegen::ir;
use precast_abi::trap::TrapCode;

/// The code that Cranelift carries for `code`.
pub(crate) const fn to_cranelift(code: TrapCode) -> ir::TrapCode {
    match code {
        TrapCode::StackOverflow => ir::TrapCode::STACK_OVERFLOW,
        TrapCode::MemoryOutOfBounds => ir::TrapCode::HEAP_OUT_OF_BOUNDS,
        TrapCode::IntegerOverflow => ir::TrapCode::INTEGER_OVERFLOW,
        TrapCode::IntegerDivideByZero => ir::TrapCode::INTEGER_DIVISION_BY_ZERO,
        TrapCode::InvalidConversionToInteger => ir::TrapCode::BAD_CONVERSION_TO_INTEGER,
        other => ir::TrapCode::unwrap_user(other as u8),
    }
}

/// The code of the ABI that Cranelift carried; `None` for one that we never hand out.
pub(crate) fn from_cranelift(code: ir::TrapCode) -> Option<TrapCode> {
    TrapCode::ALL
        .into_iter()
        .find(|&candidate| to_cranelift(candidate) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_cranelift() {
        for code in TrapCode::ALL {
            assert_eq!(from_cranelift(to_cranelift(code)), Some(code));
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
