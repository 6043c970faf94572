//! CPU features that an object may require, as bits of
//! [`crate::object::ObjectHeader::cpu_features`]. Bits belong to an architecture.

/// x86-64 features beyond the base architecture (which has SSE2): bit numbers.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the CPU manual's")]
pub enum X86 {
    Sse3 = 0,
    Ssse3 = 1,
    Sse41 = 2,
    Sse42 = 3,
    Popcnt = 4,
    Cmpxchg16b = 5,
    Avx = 6,
    Avx2 = 7,
    Fma = 8,
    Bmi1 = 9,
    Bmi2 = 10,
    Lzcnt = 11,
    Avx512f = 12,
    Avx512dq = 13,
    Avx512vl = 14,
    Avx512vbmi = 15,
    Avx512bitalg = 16,
}

impl X86 {
    /// Every feature with the name that compilers and `--cpu +name` use.
    pub const ALL: [(X86, &'static str); 17] = [
        (X86::Sse3, "sse3"),
        (X86::Ssse3, "ssse3"),
        (X86::Sse41, "sse4.1"),
        (X86::Sse42, "sse4.2"),
        (X86::Popcnt, "popcnt"),
        (X86::Cmpxchg16b, "cmpxchg16b"),
        (X86::Avx, "avx"),
        (X86::Avx2, "avx2"),
        (X86::Fma, "fma"),
        (X86::Bmi1, "bmi1"),
        (X86::Bmi2, "bmi2"),
        (X86::Lzcnt, "lzcnt"),
        (X86::Avx512f, "avx512f"),
        (X86::Avx512dq, "avx512dq"),
        (X86::Avx512vl, "avx512vl"),
        (X86::Avx512vbmi, "avx512vbmi"),
        (X86::Avx512bitalg, "avx512bitalg"),
    ];

    /// The feature's bit.
    pub const fn bit(self) -> u64 {
        1 << self as u8
    }
}
