//! Integer lanes: arithmetic, shifts, comparisons, tests.

use super::{FuncTranslator, binary, bitmask, test, unary};
use crate::translate::numeric::Binary;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type};
use wasmparser::Operator;

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    translate_arithmetic(t, op) || translate_shift(t, op) || translate_compare(t, op)
}

fn translate_arithmetic(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        I8x16Add => binary(t, I8X16, |ins, x, y| ins.iadd(x, y)),
        I16x8Add => binary(t, I16X8, |ins, x, y| ins.iadd(x, y)),
        I32x4Add => binary(t, I32X4, |ins, x, y| ins.iadd(x, y)),
        I64x2Add => binary(t, I64X2, |ins, x, y| ins.iadd(x, y)),
        I8x16Sub => binary(t, I8X16, |ins, x, y| ins.isub(x, y)),
        I16x8Sub => binary(t, I16X8, |ins, x, y| ins.isub(x, y)),
        I32x4Sub => binary(t, I32X4, |ins, x, y| ins.isub(x, y)),
        I64x2Sub => binary(t, I64X2, |ins, x, y| ins.isub(x, y)),
        I16x8Mul => binary(t, I16X8, |ins, x, y| ins.imul(x, y)),
        I32x4Mul => binary(t, I32X4, |ins, x, y| ins.imul(x, y)),
        I64x2Mul => binary(t, I64X2, |ins, x, y| ins.imul(x, y)),
        I8x16AddSatS => binary(t, I8X16, |ins, x, y| ins.sadd_sat(x, y)),
        I16x8AddSatS => binary(t, I16X8, |ins, x, y| ins.sadd_sat(x, y)),
        I8x16AddSatU => binary(t, I8X16, |ins, x, y| ins.uadd_sat(x, y)),
        I16x8AddSatU => binary(t, I16X8, |ins, x, y| ins.uadd_sat(x, y)),
        I8x16SubSatS => binary(t, I8X16, |ins, x, y| ins.ssub_sat(x, y)),
        I16x8SubSatS => binary(t, I16X8, |ins, x, y| ins.ssub_sat(x, y)),
        I8x16SubSatU => binary(t, I8X16, |ins, x, y| ins.usub_sat(x, y)),
        I16x8SubSatU => binary(t, I16X8, |ins, x, y| ins.usub_sat(x, y)),
        I8x16MinS => binary(t, I8X16, |ins, x, y| ins.smin(x, y)),
        I16x8MinS => binary(t, I16X8, |ins, x, y| ins.smin(x, y)),
        I32x4MinS => binary(t, I32X4, |ins, x, y| ins.smin(x, y)),
        I8x16MinU => binary(t, I8X16, |ins, x, y| ins.umin(x, y)),
        I16x8MinU => binary(t, I16X8, |ins, x, y| ins.umin(x, y)),
        I32x4MinU => binary(t, I32X4, |ins, x, y| ins.umin(x, y)),
        I8x16MaxS => binary(t, I8X16, |ins, x, y| ins.smax(x, y)),
        I16x8MaxS => binary(t, I16X8, |ins, x, y| ins.smax(x, y)),
        I32x4MaxS => binary(t, I32X4, |ins, x, y| ins.smax(x, y)),
        I8x16MaxU => binary(t, I8X16, |ins, x, y| ins.umax(x, y)),
        I16x8MaxU => binary(t, I16X8, |ins, x, y| ins.umax(x, y)),
        I32x4MaxU => binary(t, I32X4, |ins, x, y| ins.umax(x, y)),
        I8x16AvgrU => binary(t, I8X16, |ins, x, y| ins.avg_round(x, y)),
        I16x8AvgrU => binary(t, I16X8, |ins, x, y| ins.avg_round(x, y)),
        I16x8Q15MulrSatS => binary(t, I16X8, |ins, x, y| ins.sqmul_round_sat(x, y)),
        I8x16Abs => unary(t, I8X16, |ins, x| ins.iabs(x)),
        I16x8Abs => unary(t, I16X8, |ins, x| ins.iabs(x)),
        I32x4Abs => unary(t, I32X4, |ins, x| ins.iabs(x)),
        I64x2Abs => unary(t, I64X2, |ins, x| ins.iabs(x)),
        I8x16Neg => unary(t, I8X16, |ins, x| ins.ineg(x)),
        I16x8Neg => unary(t, I16X8, |ins, x| ins.ineg(x)),
        I32x4Neg => unary(t, I32X4, |ins, x| ins.ineg(x)),
        I64x2Neg => unary(t, I64X2, |ins, x| ins.ineg(x)),
        I8x16Popcnt => unary(t, I8X16, |ins, x| ins.popcnt(x)),
        I8x16AllTrue => test(t, I8X16, |ins, x| ins.vall_true(x)),
        I16x8AllTrue => test(t, I16X8, |ins, x| ins.vall_true(x)),
        I32x4AllTrue => test(t, I32X4, |ins, x| ins.vall_true(x)),
        I64x2AllTrue => test(t, I64X2, |ins, x| ins.vall_true(x)),
        I8x16Bitmask => bitmask(t, I8X16),
        I16x8Bitmask => bitmask(t, I16X8),
        I32x4Bitmask => bitmask(t, I32X4),
        I64x2Bitmask => bitmask(t, I64X2),
        _ => return false,
    }
    true
}

fn translate_shift(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        I8x16Shl => shift(t, I8X16, |ins, x, n| ins.ishl(x, n)),
        I16x8Shl => shift(t, I16X8, |ins, x, n| ins.ishl(x, n)),
        I32x4Shl => shift(t, I32X4, |ins, x, n| ins.ishl(x, n)),
        I64x2Shl => shift(t, I64X2, |ins, x, n| ins.ishl(x, n)),
        I8x16ShrS => shift(t, I8X16, |ins, x, n| ins.sshr(x, n)),
        I16x8ShrS => shift(t, I16X8, |ins, x, n| ins.sshr(x, n)),
        I32x4ShrS => shift(t, I32X4, |ins, x, n| ins.sshr(x, n)),
        I64x2ShrS => shift(t, I64X2, |ins, x, n| ins.sshr(x, n)),
        I8x16ShrU => shift(t, I8X16, |ins, x, n| ins.ushr(x, n)),
        I16x8ShrU => shift(t, I16X8, |ins, x, n| ins.ushr(x, n)),
        I32x4ShrU => shift(t, I32X4, |ins, x, n| ins.ushr(x, n)),
        I64x2ShrU => shift(t, I64X2, |ins, x, n| ins.ushr(x, n)),
        _ => return false,
    }
    true
}

/// Shifts every lane by an `i32` modulo the lane's width, in CLIF as in wasm.
fn shift(t: &mut FuncTranslator<'_>, lanes: Type, instruction: Binary) {
    let amount = t.pop1();
    let x = t.pop_vector(lanes);
    let result = instruction(t.builder.ins(), x, amount);
    t.push_vector(result);
}

fn translate_compare(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use IntCC::*;
    use Operator::*;
    match op {
        I8x16Eq => icmp(t, I8X16, Equal),
        I16x8Eq => icmp(t, I16X8, Equal),
        I32x4Eq => icmp(t, I32X4, Equal),
        I64x2Eq => icmp(t, I64X2, Equal),
        I8x16Ne => icmp(t, I8X16, NotEqual),
        I16x8Ne => icmp(t, I16X8, NotEqual),
        I32x4Ne => icmp(t, I32X4, NotEqual),
        I64x2Ne => icmp(t, I64X2, NotEqual),
        I8x16LtS => icmp(t, I8X16, SignedLessThan),
        I16x8LtS => icmp(t, I16X8, SignedLessThan),
        I32x4LtS => icmp(t, I32X4, SignedLessThan),
        I64x2LtS => icmp(t, I64X2, SignedLessThan),
        I8x16LtU => icmp(t, I8X16, UnsignedLessThan),
        I16x8LtU => icmp(t, I16X8, UnsignedLessThan),
        I32x4LtU => icmp(t, I32X4, UnsignedLessThan),
        I8x16GtS => icmp(t, I8X16, SignedGreaterThan),
        I16x8GtS => icmp(t, I16X8, SignedGreaterThan),
        I32x4GtS => icmp(t, I32X4, SignedGreaterThan),
        I64x2GtS => icmp(t, I64X2, SignedGreaterThan),
        I8x16GtU => icmp(t, I8X16, UnsignedGreaterThan),
        I16x8GtU => icmp(t, I16X8, UnsignedGreaterThan),
        I32x4GtU => icmp(t, I32X4, UnsignedGreaterThan),
        I8x16LeS => icmp(t, I8X16, SignedLessThanOrEqual),
        I16x8LeS => icmp(t, I16X8, SignedLessThanOrEqual),
        I32x4LeS => icmp(t, I32X4, SignedLessThanOrEqual),
        I64x2LeS => icmp(t, I64X2, SignedLessThanOrEqual),
        I8x16LeU => icmp(t, I8X16, UnsignedLessThanOrEqual),
        I16x8LeU => icmp(t, I16X8, UnsignedLessThanOrEqual),
        I32x4LeU => icmp(t, I32X4, UnsignedLessThanOrEqual),
        I8x16GeS => icmp(t, I8X16, SignedGreaterThanOrEqual),
        I16x8GeS => icmp(t, I16X8, SignedGreaterThanOrEqual),
        I32x4GeS => icmp(t, I32X4, SignedGreaterThanOrEqual),
        I64x2GeS => icmp(t, I64X2, SignedGreaterThanOrEqual),
        I8x16GeU => icmp(t, I8X16, UnsignedGreaterThanOrEqual),
        I16x8GeU => icmp(t, I16X8, UnsignedGreaterThanOrEqual),
        I32x4GeU => icmp(t, I32X4, UnsignedGreaterThanOrEqual),
        _ => return false,
    }
    true
}

/// All ones in the lanes where the condition holds, all zeros in the others.
fn icmp(t: &mut FuncTranslator<'_>, lanes: Type, condition: IntCC) {
    let (x, y) = t.pop_vectors(lanes);
    let result = t.builder.ins().icmp(condition, x, y);
    t.push_vector(result);
}
