//! RISC-V: which features this CPU has.
//!
//! # Safety
//!
//! One system call that writes to a record of this file's.
#![allow(
    unsafe_code,
    reason = "asking for features is a system call of its own"
)]

use super::FrameRule;
use precast_abi::cpu::Riscv;
use precast_abi::object::Arch;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(super) const ARCH: Arch = Arch::Riscv64;

/// The frame pointer points to its caller's and the return address, as that of other CPUs does:
/// where C compilers for RISC-V have it point above them.
pub(crate) const FRAME_RULE: FrameRule = FrameRule {
    frame_pointer: 8,
    return_address: 1,
    frame_size: 16,
    return_address_at: 1,
    frame_pointer_at: 2,
};

/// No feature has this bit; it says that the others have been looked up.
const KNOWN: u64 = 1 << 63;

/// The kernel's numbers of features: bits of `RISCV_HWPROBE_KEY_IMA_EXT_0`.
const BITS: [(Riscv, u32); Riscv::ALL.len()] = [
    (Riscv::V, 2),
    (Riscv::Zba, 3),
    (Riscv::Zbb, 4),
    (Riscv::Zbs, 5),
    (Riscv::Zbc, 7),
    (Riscv::Zbkb, 8),
    (Riscv::Zvbb, 17),
    (Riscv::Zfh, 27),
    (Riscv::Zfhmin, 28),
    (Riscv::Zfa, 32),
    (Riscv::Zicond, 35),
    (Riscv::Zcb, 44),
];

/// The [`Riscv`] features that all CPUs of this machine have.
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
    const RISCV_HWPROBE: libc::c_long = 258;
    const IMA_EXT_0: i64 = 4;
    /// The kernel's `struct riscv_hwprobe`.
    #[repr(C)]
    struct Pair {
        key: i64,
        value: u64,
    }
    let mut pair = Pair {
        key: IMA_EXT_0,
        value: 0,
    };
    // SAFETY: the kernel writes to one record, ours.
    let result = unsafe { libc::syscall(RISCV_HWPROBE, &raw mut pair, 1, 0, 0, 0) };
    // A key that the kernel does not know becomes -1; one before Linux 6.4 knows no such call.
    if result != 0 || pair.key != IMA_EXT_0 {
        return 0;
    }
    let had = BITS.iter().filter(|(_, bit)| pair.value >> bit & 1 == 1);
    had.fold(0, |bits, (feature, _)| bits | feature.bit())
}

/// There are none so far.
pub(super) fn has_landing_pads() -> bool {
    false
}
