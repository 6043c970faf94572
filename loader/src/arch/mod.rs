//! What is different on each CPU: entering and leaving guest code, and what the signal handler
//! must know of a machine context.
//!
//! Each file offers the same names, with the same meaning:
//! `enter`, `enter_direct`, `resume`, `stack_pointer`, `cycles`, the addresses of the crossings
//! (`host_call_registers`, `host_call_array`, `trap_entry`, `runtime_table`, `is_crossing`),
//! `Context`, and where the registers of suspended guests are kept: `Saved` and `SignalFrame`.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;
#[cfg(target_arch = "x86_64")]
mod x86_64_context;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64_context::*;

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
