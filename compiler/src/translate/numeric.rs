//! Constants, arithmetic and comparisons of `i32`, `i64`, `f32` and `f64`, and wide arithmetic.
//!
//! Division traps by itself: Cranelift's instructions raise [`IntegerDivideByZero`] and
//! [`IntegerOverflow`] where the specification asks for them. Shifts and rotations take their
//! amount modulo the width in CLIF as in wasm. `min`, `max` and the roundings of CLIF were made
//! for wasm and agree with it on NaN and on the sign of zero.
//!
//! [`IntegerDivideByZero`]: precast_abi::trap::TrapCode::IntegerDivideByZero
//! [`IntegerOverflow`]: precast_abi::trap::TrapCode::IntegerOverflow

use super::func::FuncTranslator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_frontend::FuncInstBuilder;
use wasmparser::Operator;

/// A CLIF instruction with one operand.
pub(super) type Unary = fn(FuncInstBuilder<'_, '_>, Value) -> Value;
/// A CLIF instruction with two operands.
pub(super) type Binary = fn(FuncInstBuilder<'_, '_>, Value, Value) -> Value;

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match *op {
        I32Const { value } => translate_i32_const(t, value),
        I64Const { value } => translate_i64_const(t, value),
        F32Const { value } => translate_f32_const(t, value.bits()),
        F64Const { value } => translate_f64_const(t, value.bits()),

        I32Eqz | I64Eqz => translate_eqz(t),
        I32Eq | I64Eq => icmp(t, IntCC::Equal),
        I32Ne | I64Ne => icmp(t, IntCC::NotEqual),
        I32LtS | I64LtS => icmp(t, IntCC::SignedLessThan),
        I32LtU | I64LtU => icmp(t, IntCC::UnsignedLessThan),
        I32GtS | I64GtS => icmp(t, IntCC::SignedGreaterThan),
        I32GtU | I64GtU => icmp(t, IntCC::UnsignedGreaterThan),
        I32LeS | I64LeS => icmp(t, IntCC::SignedLessThanOrEqual),
        I32LeU | I64LeU => icmp(t, IntCC::UnsignedLessThanOrEqual),
        I32GeS | I64GeS => icmp(t, IntCC::SignedGreaterThanOrEqual),
        I32GeU | I64GeU => icmp(t, IntCC::UnsignedGreaterThanOrEqual),
        F32Eq | F64Eq => fcmp(t, FloatCC::Equal),
        F32Ne | F64Ne => fcmp(t, FloatCC::NotEqual),
        F32Lt | F64Lt => fcmp(t, FloatCC::LessThan),
        F32Gt | F64Gt => fcmp(t, FloatCC::GreaterThan),
        F32Le | F64Le => fcmp(t, FloatCC::LessThanOrEqual),
        F32Ge | F64Ge => fcmp(t, FloatCC::GreaterThanOrEqual),

        I32Clz | I64Clz => unary(t, |ins, x| ins.clz(x)),
        I32Ctz | I64Ctz => unary(t, |ins, x| ins.ctz(x)),
        I32Popcnt | I64Popcnt => unary(t, |ins, x| ins.popcnt(x)),
        I32Add | I64Add => binary(t, |ins, x, y| ins.iadd(x, y)),
        I32Sub | I64Sub => binary(t, |ins, x, y| ins.isub(x, y)),
        I32Mul | I64Mul => binary(t, |ins, x, y| ins.imul(x, y)),
        I32DivS | I64DivS => binary(t, |ins, x, y| ins.sdiv(x, y)),
        I32DivU | I64DivU => binary(t, |ins, x, y| ins.udiv(x, y)),
        I32RemS | I64RemS => binary(t, |ins, x, y| ins.srem(x, y)),
        I32RemU | I64RemU => binary(t, |ins, x, y| ins.urem(x, y)),
        I32And | I64And => binary(t, |ins, x, y| ins.band(x, y)),
        I32Or | I64Or => binary(t, |ins, x, y| ins.bor(x, y)),
        I32Xor | I64Xor => binary(t, |ins, x, y| ins.bxor(x, y)),
        I32Shl | I64Shl => binary(t, |ins, x, y| ins.ishl(x, y)),
        I32ShrS | I64ShrS => binary(t, |ins, x, y| ins.sshr(x, y)),
        I32ShrU | I64ShrU => binary(t, |ins, x, y| ins.ushr(x, y)),
        I32Rotl | I64Rotl => binary(t, |ins, x, y| ins.rotl(x, y)),
        I32Rotr | I64Rotr => binary(t, |ins, x, y| ins.rotr(x, y)),

        F32Abs | F64Abs => unary(t, |ins, x| ins.fabs(x)),
        F32Neg | F64Neg => unary(t, |ins, x| ins.fneg(x)),
        F32Ceil | F64Ceil => unary(t, |ins, x| ins.ceil(x)),
        F32Floor | F64Floor => unary(t, |ins, x| ins.floor(x)),
        F32Trunc | F64Trunc => unary(t, |ins, x| ins.trunc(x)),
        F32Nearest | F64Nearest => unary(t, |ins, x| ins.nearest(x)),
        F32Sqrt | F64Sqrt => unary(t, |ins, x| ins.sqrt(x)),
        F32Add | F64Add => binary(t, |ins, x, y| ins.fadd(x, y)),
        F32Sub | F64Sub => binary(t, |ins, x, y| ins.fsub(x, y)),
        F32Mul | F64Mul => binary(t, |ins, x, y| ins.fmul(x, y)),
        F32Div | F64Div => binary(t, |ins, x, y| ins.fdiv(x, y)),
        F32Min | F64Min => binary(t, |ins, x, y| ins.fmin(x, y)),
        F32Max | F64Max => binary(t, |ins, x, y| ins.fmax(x, y)),
        F32Copysign | F64Copysign => binary(t, |ins, x, y| ins.fcopysign(x, y)),

        I64Add128 => wide(t, |ins, x, y| ins.iadd(x, y)),
        I64Sub128 => wide(t, |ins, x, y| ins.isub(x, y)),
        I64MulWideS => mul_wide(t, |ins, x| ins.sextend(types::I128, x)),
        I64MulWideU => mul_wide(t, |ins, x| ins.uextend(types::I128, x)),
        _ => return false,
    }
    true
}

fn translate_i32_const(t: &mut FuncTranslator<'_>, value: i32) {
    let value = t
        .builder
        .ins()
        .iconst(types::I32, i64::from(value.cast_unsigned()));
    t.push1(value);
}

fn translate_i64_const(t: &mut FuncTranslator<'_>, value: i64) {
    let value = t.builder.ins().iconst(types::I64, value);
    t.push1(value);
}

fn translate_f32_const(t: &mut FuncTranslator<'_>, bits: u32) {
    let value = t.builder.ins().f32const(Ieee32::with_bits(bits));
    t.push1(value);
}

fn translate_f64_const(t: &mut FuncTranslator<'_>, bits: u64) {
    let value = t.builder.ins().f64const(Ieee64::with_bits(bits));
    t.push1(value);
}

fn translate_eqz(t: &mut FuncTranslator<'_>) {
    let x = t.pop1();
    let is_zero = t.builder.ins().icmp_imm_u(IntCC::Equal, x, 0);
    push_bool(t, is_zero);
}

pub(super) fn unary(t: &mut FuncTranslator<'_>, instruction: Unary) {
    let x = t.pop1();
    let result = instruction(t.builder.ins(), x);
    t.push1(result);
}

fn binary(t: &mut FuncTranslator<'_>, instruction: Binary) {
    let (x, y) = t.pop2();
    let result = instruction(t.builder.ins(), x, y);
    t.push1(result);
}

fn icmp(t: &mut FuncTranslator<'_>, condition: IntCC) {
    let (x, y) = t.pop2();
    let holds = t.builder.ins().icmp(condition, x, y);
    push_bool(t, holds);
}

fn fcmp(t: &mut FuncTranslator<'_>, condition: FloatCC) {
    let (x, y) = t.pop2();
    let holds = t.builder.ins().fcmp(condition, x, y);
    push_bool(t, holds);
}

/// Pushes a CLIF truth value (`i8`, 0 or 1) as wasm's (`i32`, 0 or 1).
pub(super) fn push_bool(t: &mut FuncTranslator<'_>, holds: Value) {
    let result = t.builder.ins().uextend(types::I32, holds);
    t.push1(result);
}

/// Two 128-bit operands, each as its low half and then its high half.
fn wide(t: &mut FuncTranslator<'_>, instruction: Binary) {
    let (y_low, y_high) = t.pop2();
    let (x_low, x_high) = t.pop2();
    let x = t.builder.ins().iconcat(x_low, x_high);
    let y = t.builder.ins().iconcat(y_low, y_high);
    let result = instruction(t.builder.ins(), x, y);
    push_wide(t, result);
}

/// The whole product of two 64-bit operands.
fn mul_wide(t: &mut FuncTranslator<'_>, extend: Unary) {
    let (x, y) = t.pop2();
    let x = extend(t.builder.ins(), x);
    let y = extend(t.builder.ins(), y);
    let product = t.builder.ins().imul(x, y);
    push_wide(t, product);
}

fn push_wide(t: &mut FuncTranslator<'_>, value: Value) {
    let (low, high) = t.builder.ins().isplit(value);
    t.push1(low);
    t.push1(high);
}
