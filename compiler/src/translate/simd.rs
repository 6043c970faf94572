//! `v128`: fixed-width SIMD and relaxed SIMD.
//!
//! On the operand stack a vector is always an `i8x16`. An operator takes its operands as the
//! lanes it works on ([`FuncTranslator::pop_vector`]) and gives its result back as bytes
//! ([`FuncTranslator::push_vector`]). The casts cost nothing in machine code; a cast that only
//! undoes another one is not made at all.

mod float;
mod int;
mod lanes;
mod memory;
mod relaxed;
mod widen;

use super::func::FuncTranslator;
use super::numeric::{Binary, Unary, push_bool};
use cranelift_codegen::ir::types::{I8X16, I32};
use cranelift_codegen::ir::{
    Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, ValueDef,
};
use wasmparser::Operator;

/// Translates `op` if it is a vector operator, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    translate_bitwise(t, op)
        || int::translate(t, op)
        || float::translate(t, op)
        || widen::translate(t, op)
        || lanes::translate(t, op)
        || memory::translate(t, op)
        || relaxed::translate(t, op)
}

/// Operators on vectors as 128 bits.
fn translate_bitwise(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        V128Const { value } => translate_const(t, value.bytes()),
        V128Not => unary(t, I8X16, |ins, x| ins.bnot(x)),
        V128And => binary(t, I8X16, |ins, x, y| ins.band(x, y)),
        V128AndNot => binary(t, I8X16, |ins, x, y| ins.band_not(x, y)),
        V128Or => binary(t, I8X16, |ins, x, y| ins.bor(x, y)),
        V128Xor => binary(t, I8X16, |ins, x, y| ins.bxor(x, y)),
        V128Bitselect => translate_bitselect(t),
        V128AnyTrue => test(t, I8X16, |ins, x| ins.vany_true(x)),
        _ => return false,
    }
    true
}

fn translate_const(t: &mut FuncTranslator<'_>, bytes: &[u8; 16]) {
    let value = t.emit_v128_const(bytes);
    t.push1(value);
}

/// `(x & mask) | (y & !mask)`; the mask comes last in wasm and first in CLIF.
fn translate_bitselect(t: &mut FuncTranslator<'_>) {
    let mask = t.pop_vector(I8X16);
    let (x, y) = t.pop_vectors(I8X16);
    let result = t.builder.ins().bitselect(mask, x, y);
    t.push_vector(result);
}

fn unary(t: &mut FuncTranslator<'_>, lanes: Type, instruction: Unary) {
    let x = t.pop_vector(lanes);
    let result = instruction(t.builder.ins(), x);
    t.push_vector(result);
}

fn binary(t: &mut FuncTranslator<'_>, lanes: Type, instruction: Binary) {
    let (x, y) = t.pop_vectors(lanes);
    let result = instruction(t.builder.ins(), x, y);
    t.push_vector(result);
}

/// A question about a vector, answered with a truth value.
fn test(t: &mut FuncTranslator<'_>, lanes: Type, instruction: Unary) {
    let x = t.pop_vector(lanes);
    let holds = instruction(t.builder.ins(), x);
    push_bool(t, holds);
}

/// One bit of each lane, as an `i32`.
fn bitmask(t: &mut FuncTranslator<'_>, lanes: Type) {
    let x = t.pop_vector(lanes);
    let bits = t.builder.ins().vhigh_bits(I32, x);
    t.push1(bits);
}

impl FuncTranslator<'_> {
    /// Pops a vector, as `lanes`.
    fn pop_vector(&mut self, lanes: Type) -> Value {
        let value = self.pop1();
        self.emit_lanes(value, lanes)
    }

    /// Pops two vectors, as `lanes`; the second one was on top.
    fn pop_vectors(&mut self, lanes: Type) -> (Value, Value) {
        let second = self.pop_vector(lanes);
        (self.pop_vector(lanes), second)
    }

    /// Pushes a vector of any lanes.
    fn push_vector(&mut self, value: Value) {
        let bytes = self.emit_lanes(value, I8X16);
        self.push1(bytes);
    }

    /// The 128 bits of `value`, seen as `lanes`. Lane 0 is in the lowest bytes, on every CPU.
    fn emit_lanes(&mut self, value: Value, lanes: Type) -> Value {
        let value = self.uncast(value);
        if self.type_of(value) == lanes {
            return value;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.builder.ins().bitcast(lanes, flags, value)
    }

    /// What `value` was cast from, if it is a cast between vectors; else `value`.
    fn uncast(&self, value: Value) -> Value {
        let dfg = &self.builder.func.dfg;
        let ValueDef::Result(inst, 0) = dfg.value_def(value) else {
            return value;
        };
        match dfg.insts[inst] {
            InstructionData::LoadNoOffset {
                opcode: Opcode::Bitcast,
                arg,
                ..
            } if dfg.value_type(arg).is_vector() && dfg.value_type(value).is_vector() => arg,
            _ => value,
        }
    }
}
