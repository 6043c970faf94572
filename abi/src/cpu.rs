//! CPU features that an object may require, as bits of
//! [`crate::object::ObjectHeader::cpu_features`]. Bits belong to an architecture.

use crate::object::Arch;

/// A type of features: their bit numbers, and the names that compilers and `--cpu +name` use.
macro_rules! features {
    ($(#[$doc:meta])* $kind:ident, $count:literal: $($feature:ident = $bit:literal $name:literal,)*) => {
        $(#[$doc])*
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are the CPU manual's")]
        pub enum $kind {
            $($feature = $bit,)*
        }

        impl $kind {
            /// Every feature with the name that compilers and `--cpu +name` use.
            pub const ALL: [($kind, &'static str); $count] = [$(($kind::$feature, $name),)*];

            /// The same, as bits.
            pub const BITS: [(u64, &'static str); $count] = [$(($kind::$feature.bit(), $name),)*];

            /// The feature's bit.
            pub const fn bit(self) -> u64 {
                1 << self as u8
            }
        }
    };
}

features! {
    /// x86-64 features beyond the base architecture (which has SSE2): bit numbers.
    X86, 17:
    Sse3 = 0 "sse3",
    Ssse3 = 1 "ssse3",
    Sse41 = 2 "sse4.1",
    Sse42 = 3 "sse4.2",
    Popcnt = 4 "popcnt",
    Cmpxchg16b = 5 "cmpxchg16b",
    Avx = 6 "avx",
    Avx2 = 7 "avx2",
    Fma = 8 "fma",
    Bmi1 = 9 "bmi1",
    Bmi2 = 10 "bmi2",
    Lzcnt = 11 "lzcnt",
    Avx512f = 12 "avx512f",
    Avx512dq = 13 "avx512dq",
    Avx512vl = 14 "avx512vl",
    Avx512vbmi = 15 "avx512vbmi",
    Avx512bitalg = 16 "avx512bitalg",
}

features! {
    /// AArch64 features beyond Armv8-A with its vectors: bit numbers.
    Arm, 4:
    Lse = 0 "lse",
    Fp16 = 1 "fp16",
    Dotprod = 2 "dotprod",
    I8mm = 3 "i8mm",
}

features! {
    /// RISC-V features beyond RV64GC: bit numbers.
    Riscv, 12:
    V = 0 "v",
    Zba = 1 "zba",
    Zbb = 2 "zbb",
    Zbc = 3 "zbc",
    Zbs = 4 "zbs",
    Zbkb = 5 "zbkb",
    Zicond = 6 "zicond",
    Zfa = 7 "zfa",
    Zfhmin = 8 "zfhmin",
    Zfh = 9 "zfh",
    Zcb = 10 "zcb",
    Zvbb = 11 "zvbb",
}

/// The features of an architecture: bits and names.
pub const fn features(arch: Arch) -> &'static [(u64, &'static str)] {
    match arch {
        Arch::X86_64 => &X86::BITS,
        Arch::Aarch64 => &Arm::BITS,
        Arch::Riscv64 => &Riscv::BITS,
    }
}
