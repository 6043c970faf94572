//! x86-64: which features this CPU has.

use super::FrameRule;
use precast_abi::cpu::X86;
use precast_abi::object::Arch;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(super) const ARCH: Arch = Arch::X86_64;

/// `push rbp; mov rbp, rsp` (System V ABI, figure 3.3; DWARF numbers in figure 3.36).
pub(crate) const FRAME_RULE: FrameRule = FrameRule {
    frame_pointer: 6,
    return_address: 16,
    frame_size: 16,
    return_address_at: 1,
    frame_pointer_at: 2,
};

/// No feature has this bit; it says that the others have been looked up.
const KNOWN: u64 = 1 << 63;

/// The [`X86`] features of this CPU that the operating system supports too.
pub(super) fn features() -> u64 {
    static FEATURES: AtomicU64 = AtomicU64::new(0);
    let found = FEATURES.load(Relaxed);
    if found != 0 {
        return found & !KNOWN;
    }
    // Every thread that comes here finds the same.
    let found = detect();
    FEATURES.store(found | KNOWN, Relaxed);
    found
}

fn detect() -> u64 {
    use std::arch::is_x86_feature_detected as has;
    let found = [
        (X86::Sse3, has!("sse3")),
        (X86::Ssse3, has!("ssse3")),
        (X86::Sse41, has!("sse4.1")),
        (X86::Sse42, has!("sse4.2")),
        (X86::Popcnt, has!("popcnt")),
        (X86::Cmpxchg16b, has!("cmpxchg16b")),
        (X86::Avx, has!("avx")),
        (X86::Avx2, has!("avx2")),
        (X86::Fma, has!("fma")),
        (X86::Bmi1, has!("bmi1")),
        (X86::Bmi2, has!("bmi2")),
        (X86::Lzcnt, has!("lzcnt")),
        (X86::Avx512f, has!("avx512f")),
        (X86::Avx512dq, has!("avx512dq")),
        (X86::Avx512vl, has!("avx512vl")),
        (X86::Avx512vbmi, has!("avx512vbmi")),
        (X86::Avx512bitalg, has!("avx512bitalg")),
    ];
    found
        .into_iter()
        .filter(|(_, has)| *has)
        .fold(0, |bits, (feature, _)| bits | feature.bit())
}

/// What x86-64 has of the kind is the whole process's affair.
pub(super) fn has_landing_pads() -> bool {
    false
}
