//! What is different on each CPU: entering and leaving guest code, and what the signal handler
//! must know of a machine context.
//!
//! Each file offers the same names, with the same meaning:
//! `enter`, `enter_direct`, `resume`, `stack_pointer`, `cycles`, the addresses of the crossings
//! (`host_call_registers`, `host_call_array`, `trap_entry`, `runtime_table`, `is_crossing`: the same
//! in all assembly, so `crossings.rs` has them), `Context`, where the registers of suspended guests
//! are kept: `Saved` and `SignalFrame`, and what backtraces must know of frames: `OUTERMOST_FRAME`
//! and `frameless_return`.

#[cfg(all(target_vendor = "apple", not(target_arch = "x86_64")))]
#[macro_use]
mod names_macho;
#[cfg(not(any(target_vendor = "apple", target_arch = "x86_64")))]
#[macro_use]
mod names_elf;

#[macro_use]
mod operands;
mod crossings;
pub(crate) use crossings::*;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;
#[cfg(target_arch = "x86_64")]
mod x86_64_context;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64_context::*;

#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
mod by_call;
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
pub(crate) use by_call::*;

#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "riscv64")]
pub(crate) use riscv64::*;
#[cfg(target_arch = "riscv64")]
mod riscv64_context;
#[cfg(target_arch = "riscv64")]
pub(crate) use riscv64_context::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod aarch64_context;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
pub(crate) use aarch64_context::*;
#[cfg(all(target_arch = "aarch64", target_os = "macos"))]
mod aarch64_macos_context;
#[cfg(all(target_arch = "aarch64", target_os = "macos"))]
pub(crate) use aarch64_macos_context::*;

/// Status of `enter`: the guest function returned.
pub(crate) const RETURNED: u64 = 0;
/// Status of `enter`: a trap, described by the activation's landing.
pub(crate) const TRAPPED: u64 = 1;
/// Status of `enter`: a host function failed, or the guest was killed.
pub(crate) const LEFT: u64 = 2;
/// Status of `enter` and `resume`: the guest did not even go on, as it was to be left.
pub(crate) const BARRED: u64 = 4;
/// Status of `enter` and `resume`: the guest was stopped at some instruction, and can go on.
pub(crate) const PREEMPTED: u64 = 3;

/// How the thread is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WayOut {
    /// The guest is given up.
    Trap,
    /// It is to go on later.
    Preempt,
}

/// What a function that was entered directly left in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    /// As of `enter`.
    pub(crate) status: u64,
    /// Its result, if that is an integer or a reference.
    pub(crate) int: u64,
    /// Its result, if that is a float: an `f32` in the lower half.
    pub(crate) float: f64,
}

/// Most parameters that `enter_direct` can pass.
pub(crate) const DIRECT_PARAMS: usize = precast_abi::types::INT_REGISTERS;

/// Where a function's return address is before its frame is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "a CPU has one or the other")]
pub(crate) enum ReturnAddress {
    /// On the stack.
    At(usize),
    /// In a register, whose value this is.
    Is(usize),
}
