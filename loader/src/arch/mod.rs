//! What is different on each CPU: entering and leaving guest code, and what the signal handler
//! must know of a machine context.
//!
//! Each file offers the same names, with the same meaning:
//! `enter`, `stack_pointer`, the addresses of the crossings (`host_call_registers`,
//! `host_call_array`, `trap_entry`, `runtime_table`, `is_crossing`), and `Context`.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

/// Status of `enter`: the guest function returned.
pub(crate) const RETURNED: u64 = 0;
/// Status of `enter`: a trap, described by the activation's landing.
pub(crate) const TRAPPED: u64 = 1;
/// Status of `enter`: a host function failed, or the guest was killed.
pub(crate) const LEFT: u64 = 2;
