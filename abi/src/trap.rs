//! Why a guest was stopped.

/// Trap codes, as they stand in objects and as generated code passes them.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TrapCode {
    /// The guest stack is used up.
    StackOverflow = 1,
    /// A memory access, or a bulk memory operation, out of bounds.
    MemoryOutOfBounds = 2,
    /// A table access, or a bulk table operation, out of bounds.
    TableOutOfBounds = 3,
    /// `call_indirect` with an index past the end of the table.
    UndefinedElement = 4,
    /// `call_indirect` of a null element.
    UninitializedElement = 5,
    /// `call_indirect` of a function of another type.
    IndirectCallTypeMismatch = 6,
    /// Signed division overflow.
    IntegerOverflow = 7,
    /// Division or remainder by zero.
    IntegerDivideByZero = 8,
    /// A float that no integer of the type can hold, or a NaN.
    InvalidConversionToInteger = 9,
    /// `unreachable` was executed.
    Unreachable = 10,
    /// A null reference where one to something was needed.
    NullReference = 11,
    /// An atomic access that is not aligned.
    UnalignedAtomic = 12,
    /// Stopped from outside: a deadline passed, or the instance was killed.
    Interrupted = 13,
    /// The fuel that the guest was given is used up.
    OutOfFuel = 14,
    /// `memory.atomic.wait` on a memory that is not shared.
    ExpectedSharedMemory = 15,
    /// More exceptions can be referred to than there may be.
    ExceptionsExhausted = 16,
    /// A reference to something of another type than a cast asks for.
    CastFailure = 17,
    /// An array access, or a bulk array operation, out of bounds.
    ArrayOutOfBounds = 18,
    /// There is no more room for objects: what can be reached fills the heap.
    HeapExhausted = 19,
}

impl TrapCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [TrapCode; 19] = [
        TrapCode::StackOverflow,
        TrapCode::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds,
        TrapCode::UndefinedElement,
        TrapCode::UninitializedElement,
        TrapCode::IndirectCallTypeMismatch,
        TrapCode::IntegerOverflow,
        TrapCode::IntegerDivideByZero,
        TrapCode::InvalidConversionToInteger,
        TrapCode::Unreachable,
        TrapCode::NullReference,
        TrapCode::UnalignedAtomic,
        TrapCode::Interrupted,
        TrapCode::OutOfFuel,
        TrapCode::ExpectedSharedMemory,
        TrapCode::ExceptionsExhausted,
        TrapCode::CastFailure,
        TrapCode::ArrayOutOfBounds,
        TrapCode::HeapExhausted,
    ];

    /// The code with this number, if there is one.
    pub const fn from_u8(code: u8) -> Option<TrapCode> {
        if code == 0 || code as usize > Self::ALL.len() {
            return None;
        }
        Some(Self::ALL[code as usize - 1])
    }

    /// The code in words, as the WebAssembly test suite words them.
    pub const fn message(self) -> &'static str {
        match self {
            TrapCode::StackOverflow => "call stack exhausted",
            TrapCode::MemoryOutOfBounds => "out of bounds memory access",
            TrapCode::TableOutOfBounds => "out of bounds table access",
            TrapCode::UndefinedElement => "undefined element",
            TrapCode::UninitializedElement => "uninitialized element",
            TrapCode::IndirectCallTypeMismatch => "indirect call type mismatch",
            TrapCode::IntegerOverflow => "integer overflow",
            TrapCode::IntegerDivideByZero => "integer divide by zero",
            TrapCode::InvalidConversionToInteger => "invalid conversion to integer",
            TrapCode::Unreachable => "unreachable",
            TrapCode::NullReference => "null reference",
            TrapCode::UnalignedAtomic => "unaligned atomic",
            TrapCode::Interrupted => "interrupted",
            TrapCode::OutOfFuel => "out of fuel",
            TrapCode::ExpectedSharedMemory => "expected shared memory",
            TrapCode::ExceptionsExhausted => "exceptions exhausted",
            TrapCode::CastFailure => "cast failure",
            TrapCode::ArrayOutOfBounds => "out of bounds array access",
            TrapCode::HeapExhausted => "heap exhausted",
        }
    }
}

impl core::fmt::Display for TrapCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

const _: () = {
    let mut i = 0;
    while i < TrapCode::ALL.len() {
        assert!(TrapCode::ALL[i] as usize == i + 1);
        i += 1;
    }
};
