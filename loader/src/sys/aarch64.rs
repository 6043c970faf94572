//! AArch64: which features this CPU has.

use super::FrameRule;
use precast_abi::cpu::Arm;
use precast_abi::object::Arch;

pub(super) const ARCH: Arch = Arch::Aarch64;

/// `stp x29, x30, [sp, #-16]!; mov x29, sp` (DWARF for the Arm 64-bit Architecture, section 4.1).
pub(crate) const FRAME_RULE: FrameRule = FrameRule {
    frame_pointer: 29,
    return_address: 30,
    frame_size: 16,
    return_address_at: 1,
    frame_pointer_at: 2,
};

/// The [`Arm`] features of this CPU. The standard library keeps what it has found.
pub(super) fn features() -> u64 {
    use std::arch::is_aarch64_feature_detected as has;
    let found = [
        (Arm::Lse, has!("lse")),
        (Arm::Fp16, has!("fp16")),
        (Arm::Dotprod, has!("dotprod")),
        (Arm::I8mm, has!("i8mm")),
    ];
    let found = found.into_iter().filter(|(_, has)| *has);
    found.fold(0, |bits, (feature, _)| bits | feature.bit())
}

/// Whether the CPU and the system check that indirect branches arrive at landing pads.
pub(super) fn has_landing_pads() -> bool {
    std::arch::is_aarch64_feature_detected!("bti")
}
