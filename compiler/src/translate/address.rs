//! # The address of a guest access
//!
//! **This is the only place that computes one. The safety of every sandbox rests on it.**
//!
//! ```text
//!  guard-page memory
//!  │◄──────── reservation: 4 GiB ────────►│◄── OFFSET_GUARD ──►│
//!  base                                   │   never accessible │
//!  base + zero_extend(index) + offset … + size   ≤  end of the guard
//!
//!  checked memory
//!  │◄──── len ────►│
//!  base                           index + offset + size ≤ len, or the address is near 0,
//!                                 where nothing is ever mapped
//! ```
//!
//! What must hold, and is tested below for every kind of memory at every edge:
//!
//! 1. The index is *zero*-extended. Instance data lies below the base; a sign extension would
//!    reach it.
//! 2. An access to a guard-page memory ends within reservation and guard, or is checked.
//! 3. The check of a checked memory cannot overflow, and binds the processor's speculation too.
//! 4. A refused access faults at an address below 4096, offset included.

use super::func::FuncTranslator;
use super::instance::Region;
use crate::module::{Bounds, Memory, MemoryIndex};
use crate::trap::{GUARD_PAGE_ACCESS, to_cranelift};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use precast_abi::instance::{MemoryDef, OFFSET_GUARD};
use precast_abi::trap::TrapCode;
use std::mem::offset_of;
use wasmparser::{MemArg, MemArgTarget};

/// Nothing is ever mapped below this address.
const NULL_PAGE: u64 = 4096;

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

/// How one access is kept in bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Not at all: guard pages are as far as it can reach.
    None,
    /// It is out of bounds whatever the index.
    Always,
    /// `index > len - reach`; the length is never less than `reach`.
    Limit { reach: u64 },
    /// `index + reach > len`; the sum cannot overflow.
    Sum { reach: u64 },
    /// The same, or the sum overflows.
    OverflowingSum { reach: u64 },
}

impl Check {
    fn new(memory: &Memory, offset: u64, size: u32) -> Check {
        let Some(reach) = offset.checked_add(u64::from(size)) else {
            return Check::Always;
        };
        if memory.bounds == Bounds::GuardPages && reach <= OFFSET_GUARD {
            return Check::None;
        }
        match memory.min_bytes() {
            Some(min) if reach <= min => Check::Limit { reach },
            _ if memory.index64 => Check::OverflowingSum { reach },
            _ => Check::Sum { reach },
        }
    }
}

impl FuncTranslator<'_> {
    /// The address of `size` bytes (1 to 128) at `index` and the constant offset of `memarg`.
    pub(super) fn emit_guest_address(
        &mut self,
        memarg: &MemArg,
        index: Value,
        size: u32,
    ) -> GuestAddress {
        // Validation refuses what operates on arrays.
        let (MemArgTarget::Memory(number) | MemArgTarget::Array(number)) = memarg.target;
        let memory_index = MemoryIndex::from_u32(number);
        let memory = &self.env.module.memories[memory_index];
        let check = Check::new(memory, memarg.offset, size);
        let index = self.emit_index(index);
        if check == Check::None {
            return GuestAddress {
                value: self.builder.ins().iadd(self.base, index),
                // At most OFFSET_GUARD.
                offset: memarg.offset as i32,
                flags: self.guest_flags(GUARD_PAGE_ACCESS),
            };
        }
        let null = self.builder.ins().iconst(types::I64, 0);
        let flags = self.guest_flags(to_cranelift(TrapCode::MemoryOutOfBounds));
        let Some(out_of_bounds) = self.emit_check(memory_index, check, index) else {
            return GuestAddress {
                value: null,
                offset: 0,
                flags,
            };
        };
        let base = self.emit_memory_base(memory_index);
        let mut address = self.builder.ins().iadd(base, index);
        let mut offset = memarg.offset;
        if offset + u64::from(size) > NULL_PAGE {
            address = self.builder.ins().iadd_imm_s(address, offset as i64);
            offset = 0;
        }
        let value = self
            .builder
            .ins()
            .select_spectre_guard(out_of_bounds, null, address);
        GuestAddress {
            value,
            offset: offset as i32,
            flags,
        }
    }

    /// Whether an access at `index` is out of bounds; `None` if it always is.
    fn emit_check(&mut self, memory: MemoryIndex, check: Check, index: Value) -> Option<Value> {
        Some(match check {
            Check::None | Check::Always => return None,
            Check::Limit { reach } => {
                let limit = match self.env.module.memories[memory].fixed_bytes() {
                    Some(len) => self.emit_i64(len - reach),
                    None => {
                        let len = self.emit_memory_len(memory);
                        let reach = self.emit_i64(reach);
                        self.builder.ins().isub(len, reach)
                    }
                };
                self.builder
                    .ins()
                    .icmp(IntCC::UnsignedGreaterThan, index, limit)
            }
            Check::Sum { reach } => {
                let len = self.emit_memory_len(memory);
                let reach = self.emit_i64(reach);
                let end = self.builder.ins().iadd(index, reach);
                self.builder
                    .ins()
                    .icmp(IntCC::UnsignedGreaterThan, end, len)
            }
            Check::OverflowingSum { reach } => {
                let len = self.emit_memory_len(memory);
                let reach = self.emit_i64(reach);
                let end = self.builder.ins().iadd(index, reach);
                let past = self
                    .builder
                    .ins()
                    .icmp(IntCC::UnsignedGreaterThan, end, len);
                let overflow = self.builder.ins().icmp(IntCC::UnsignedLessThan, end, index);
                self.builder.ins().bor(past, overflow)
            }
        })
    }

    /// An index or length of 32 or 64 bits as 64 bits, zero-extended.
    pub(super) fn emit_index(&mut self, index: Value) -> Value {
        if self.type_of(index) == types::I64 {
            index
        } else {
            self.builder.ins().uextend(types::I64, index)
        }
    }

    fn emit_i64(&mut self, value: u64) -> Value {
        self.builder.ins().iconst(types::I64, value as i64)
    }

    /// The address of byte 0 of a memory.
    fn emit_memory_base(&mut self, index: MemoryIndex) -> Value {
        let memory = &self.env.module.memories[index];
        if index.as_u32() == 0 && !memory.is_elsewhere() {
            return self.base;
        }
        let offset = self.env.layout.memories.offset(index);
        let (record, offset) = self.emit_record(offset, memory.is_elsewhere());
        let offset = offset + offset_of!(MemoryDef, base) as i32;
        self.emit_constant_load(types::I64, record, offset)
    }

    /// The current length of a memory in bytes.
    pub(super) fn emit_memory_len(&mut self, index: MemoryIndex) -> Value {
        let memory = &self.env.module.memories[index];
        if let Some(len) = memory.fixed_bytes() {
            return self.emit_i64(len);
        }
        let (record, offset, flags) = self.emit_memory_len_place(index);
        self.builder.ins().load(types::I64, flags, record, offset)
    }

    /// Where the length of a memory is kept.
    pub(super) fn emit_memory_len_place(
        &mut self,
        index: MemoryIndex,
    ) -> (Value, i32, MemFlagsData) {
        let elsewhere = self.env.module.memories[index].is_elsewhere();
        let offset = self.env.layout.memories.offset(index);
        let (record, offset) = self.emit_record(offset, elsewhere);
        let offset = offset + offset_of!(MemoryDef, len) as i32;
        (record, offset, self.instance_flags(Region::Definitions))
    }
}

#[cfg(test)]
mod tests;
