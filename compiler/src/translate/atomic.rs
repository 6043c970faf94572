//! Atomic operators: on shared memories, and on those that are not.
//!
//! Cranelift's atomic instructions are sequentially consistent, and nothing that touches memory is
//! moved past one of them or left out for it. None of our own passes looks at them either: those
//! know plain loads and stores by their opcodes.

use super::address::GuestAddress;
use super::func::FuncTranslator;
use crate::module::MemoryIndex;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, Type, Value};
use precast_abi::runtime::RuntimeFn;
use precast_abi::trap::TrapCode;
use wasmparser::{MemArg, MemArgTarget, Operator};

/// The type of the operand and that of the bytes in memory.
type Widths = (Type, Type);

/// Translates an operator that is one of these.
#[rustfmt::skip]
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    match op {
        Operator::AtomicFence { .. } => { t.builder.ins().fence(); }
        Operator::MemoryAtomicNotify { memarg } => t.translate_atomic_notify(memarg),
        Operator::MemoryAtomicWait32 { memarg } => t.translate_atomic_wait(memarg, RuntimeFn::AtomicWait32),
        Operator::MemoryAtomicWait64 { memarg } => t.translate_atomic_wait(memarg, RuntimeFn::AtomicWait64),

        Operator::I32AtomicLoad { memarg } => t.translate_atomic_load(memarg, (I32, I32)),
        Operator::I32AtomicLoad8U { memarg } => t.translate_atomic_load(memarg, (I32, I8)),
        Operator::I32AtomicLoad16U { memarg } => t.translate_atomic_load(memarg, (I32, I16)),
        Operator::I64AtomicLoad { memarg } => t.translate_atomic_load(memarg, (I64, I64)),
        Operator::I64AtomicLoad8U { memarg } => t.translate_atomic_load(memarg, (I64, I8)),
        Operator::I64AtomicLoad16U { memarg } => t.translate_atomic_load(memarg, (I64, I16)),
        Operator::I64AtomicLoad32U { memarg } => t.translate_atomic_load(memarg, (I64, I32)),

        Operator::I32AtomicStore { memarg } => t.translate_atomic_store(memarg, (I32, I32)),
        Operator::I32AtomicStore8 { memarg } => t.translate_atomic_store(memarg, (I32, I8)),
        Operator::I32AtomicStore16 { memarg } => t.translate_atomic_store(memarg, (I32, I16)),
        Operator::I64AtomicStore { memarg } => t.translate_atomic_store(memarg, (I64, I64)),
        Operator::I64AtomicStore8 { memarg } => t.translate_atomic_store(memarg, (I64, I8)),
        Operator::I64AtomicStore16 { memarg } => t.translate_atomic_store(memarg, (I64, I16)),
        Operator::I64AtomicStore32 { memarg } => t.translate_atomic_store(memarg, (I64, I32)),

        _ => return translate_rmw(t, op),
    }
    true
}

/// Matches the seven widths of the operators that are named alike, and calls a method with them.
macro_rules! rmw {
    ($t:ident, $op:ident; $($o32:ident $o32_8:ident $o32_16:ident $o64:ident $o64_8:ident $o64_16:ident $o64_32:ident
       => $function:ident($($argument:expr)?);)*) => {
        match $op {
            $(Operator::$o32 { memarg } => $t.$function(memarg, (I32, I32) $(, $argument)?),
            Operator::$o32_8 { memarg } => $t.$function(memarg, (I32, I8) $(, $argument)?),
            Operator::$o32_16 { memarg } => $t.$function(memarg, (I32, I16) $(, $argument)?),
            Operator::$o64 { memarg } => $t.$function(memarg, (I64, I64) $(, $argument)?),
            Operator::$o64_8 { memarg } => $t.$function(memarg, (I64, I8) $(, $argument)?),
            Operator::$o64_16 { memarg } => $t.$function(memarg, (I64, I16) $(, $argument)?),
            Operator::$o64_32 { memarg } => $t.$function(memarg, (I64, I32) $(, $argument)?),)*
            _ => return false,
        }
    };
}

#[rustfmt::skip]
fn translate_rmw(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    rmw! { t, op;
        I32AtomicRmwAdd I32AtomicRmw8AddU I32AtomicRmw16AddU I64AtomicRmwAdd I64AtomicRmw8AddU I64AtomicRmw16AddU I64AtomicRmw32AddU
            => translate_atomic_rmw(AtomicRmwOp::Add);
        I32AtomicRmwSub I32AtomicRmw8SubU I32AtomicRmw16SubU I64AtomicRmwSub I64AtomicRmw8SubU I64AtomicRmw16SubU I64AtomicRmw32SubU
            => translate_atomic_rmw(AtomicRmwOp::Sub);
        I32AtomicRmwAnd I32AtomicRmw8AndU I32AtomicRmw16AndU I64AtomicRmwAnd I64AtomicRmw8AndU I64AtomicRmw16AndU I64AtomicRmw32AndU
            => translate_atomic_rmw(AtomicRmwOp::And);
        I32AtomicRmwOr I32AtomicRmw8OrU I32AtomicRmw16OrU I64AtomicRmwOr I64AtomicRmw8OrU I64AtomicRmw16OrU I64AtomicRmw32OrU
            => translate_atomic_rmw(AtomicRmwOp::Or);
        I32AtomicRmwXor I32AtomicRmw8XorU I32AtomicRmw16XorU I64AtomicRmwXor I64AtomicRmw8XorU I64AtomicRmw16XorU I64AtomicRmw32XorU
            => translate_atomic_rmw(AtomicRmwOp::Xor);
        I32AtomicRmwXchg I32AtomicRmw8XchgU I32AtomicRmw16XchgU I64AtomicRmwXchg I64AtomicRmw8XchgU I64AtomicRmw16XchgU I64AtomicRmw32XchgU
            => translate_atomic_rmw(AtomicRmwOp::Xchg);
        I32AtomicRmwCmpxchg I32AtomicRmw8CmpxchgU I32AtomicRmw16CmpxchgU I64AtomicRmwCmpxchg I64AtomicRmw8CmpxchgU I64AtomicRmw16CmpxchgU I64AtomicRmw32CmpxchgU
            => translate_atomic_cmpxchg();
    }
    true
}

impl FuncTranslator<'_> {
    fn translate_atomic_load(&mut self, memarg: &MemArg, (ty, access): Widths) {
        let index = self.pop1();
        let at = self.emit_atomic_address(memarg, index, access);
        let value = (self.builder.ins()).atomic_load(access, at.flags, at.value);
        self.push_widened(value, ty);
    }

    fn translate_atomic_store(&mut self, memarg: &MemArg, (_, access): Widths) {
        let (index, value) = self.pop2();
        let at = self.emit_atomic_address(memarg, index, access);
        let value = self.emit_narrowed(value, access);
        self.builder.ins().atomic_store(at.flags, value, at.value);
    }

    fn translate_atomic_rmw(&mut self, memarg: &MemArg, (ty, access): Widths, op: AtomicRmwOp) {
        let (index, operand) = self.pop2();
        let at = self.emit_atomic_address(memarg, index, access);
        let operand = self.emit_narrowed(operand, access);
        let old = (self.builder.ins()).atomic_rmw(access, at.flags, op, at.value, operand);
        self.push_widened(old, ty);
    }

    fn translate_atomic_cmpxchg(&mut self, memarg: &MemArg, (ty, access): Widths) {
        let (index, expected, replacement) = self.pop3();
        let at = self.emit_atomic_address(memarg, index, access);
        let expected = self.emit_narrowed(expected, access);
        let replacement = self.emit_narrowed(replacement, access);
        let old = (self.builder.ins()).atomic_cas(at.flags, at.value, expected, replacement);
        self.push_widened(old, ty);
    }

    fn translate_atomic_wait(&mut self, memarg: &MemArg, function: RuntimeFn) {
        let (index, expected, timeout) = self.pop3();
        let (memory, index, offset) = self.emit_atomic_operands(memarg, index);
        let expected = self.emit_index(expected);
        let arguments = [memory, index, offset, expected, timeout];
        let outcome = self.emit_runtime_call(function, &arguments);
        self.push_index(outcome, false);
    }

    fn translate_atomic_notify(&mut self, memarg: &MemArg) {
        let (index, count) = self.pop2();
        let (memory, index, offset) = self.emit_atomic_operands(memarg, index);
        let count = self.emit_index(count);
        let arguments = [memory, index, offset, count];
        let woken = self.emit_runtime_call(RuntimeFn::AtomicNotify, &arguments);
        self.push_index(woken, false);
    }

    /// What the loader needs to find, and check, an address.
    fn emit_atomic_operands(&mut self, memarg: &MemArg, index: Value) -> (Value, Value, Value) {
        let (MemArgTarget::Memory(memory) | MemArgTarget::Array(memory)) = memarg.target;
        let memory = self.emit_number(memory);
        let index = self.emit_index(index);
        let offset = self.builder.ins().iconst(I64, memarg.offset as i64);
        (memory, index, offset)
    }

    /// The address of an atomic access, with no offset left: one that is not aligned traps.
    fn emit_atomic_address(&mut self, memarg: &MemArg, index: Value, access: Type) -> GuestAddress {
        self.emit_alignment_check(memarg, index, access);
        let at = self.emit_guest_address(memarg, index, access.bytes());
        match at.offset {
            0 => at,
            offset => GuestAddress {
                value: self.builder.ins().iadd_imm_s(at.value, i64::from(offset)),
                offset: 0,
                ..at
            },
        }
    }

    /// The low bits of index and offset are those of the address: memories begin at whole pages.
    fn emit_alignment_check(&mut self, memarg: &MemArg, index: Value, access: Type) {
        let mask = i64::from(access.bytes()) - 1;
        if mask == 0 {
            return;
        }
        let low = memarg.offset as i64 & mask;
        let at = match low {
            0 => index,
            low => self.builder.ins().iadd_imm_s(index, low),
        };
        let misaligned = self.builder.ins().band_imm_s(at, mask);
        self.emit_trap_if(misaligned, TrapCode::UnalignedAtomic);
    }

    /// The low bits of a value.
    fn emit_narrowed(&mut self, value: Value, access: Type) -> Value {
        match self.type_of(value) == access {
            true => value,
            false => self.builder.ins().ireduce(access, value),
        }
    }

    fn push_widened(&mut self, value: Value, ty: Type) {
        let value = match self.type_of(value) == ty {
            true => value,
            false => self.builder.ins().uextend(ty, value),
        };
        self.push1(value);
    }

    /// The length in bytes of a memory that other threads may grow.
    pub(super) fn emit_shared_memory_len(&mut self, index: MemoryIndex) -> Value {
        let (record, offset, flags) = self.emit_memory_len_place(index);
        let address = self.builder.ins().iadd_imm_s(record, i64::from(offset));
        self.builder.ins().atomic_load(I64, flags, address)
    }
}

#[cfg(test)]
mod tests;
