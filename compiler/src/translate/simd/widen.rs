//! Lanes to twice or half their width: extensions, narrowings, extended products and sums.

use super::{FuncTranslator, binary, unary};
use crate::translate::numeric::Unary;
use cranelift_codegen::ir::types::{I8X16, I16X8, I32X4};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator;

const SIGNED_LOW: Unary = |ins, x| ins.swiden_low(x);
const SIGNED_HIGH: Unary = |ins, x| ins.swiden_high(x);
const UNSIGNED_LOW: Unary = |ins, x| ins.uwiden_low(x);
const UNSIGNED_HIGH: Unary = |ins, x| ins.uwiden_high(x);

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        I16x8ExtendLowI8x16S => unary(t, I8X16, SIGNED_LOW),
        I16x8ExtendHighI8x16S => unary(t, I8X16, SIGNED_HIGH),
        I16x8ExtendLowI8x16U => unary(t, I8X16, UNSIGNED_LOW),
        I16x8ExtendHighI8x16U => unary(t, I8X16, UNSIGNED_HIGH),
        I32x4ExtendLowI16x8S => unary(t, I16X8, SIGNED_LOW),
        I32x4ExtendHighI16x8S => unary(t, I16X8, SIGNED_HIGH),
        I32x4ExtendLowI16x8U => unary(t, I16X8, UNSIGNED_LOW),
        I32x4ExtendHighI16x8U => unary(t, I16X8, UNSIGNED_HIGH),
        I64x2ExtendLowI32x4S => unary(t, I32X4, SIGNED_LOW),
        I64x2ExtendHighI32x4S => unary(t, I32X4, SIGNED_HIGH),
        I64x2ExtendLowI32x4U => unary(t, I32X4, UNSIGNED_LOW),
        I64x2ExtendHighI32x4U => unary(t, I32X4, UNSIGNED_HIGH),

        I8x16NarrowI16x8S => binary(t, I16X8, |ins, x, y| ins.snarrow(x, y)),
        I8x16NarrowI16x8U => binary(t, I16X8, |ins, x, y| ins.unarrow(x, y)),
        I16x8NarrowI32x4S => binary(t, I32X4, |ins, x, y| ins.snarrow(x, y)),
        I16x8NarrowI32x4U => binary(t, I32X4, |ins, x, y| ins.unarrow(x, y)),

        I16x8ExtMulLowI8x16S => multiply(t, I8X16, SIGNED_LOW),
        I16x8ExtMulHighI8x16S => multiply(t, I8X16, SIGNED_HIGH),
        I16x8ExtMulLowI8x16U => multiply(t, I8X16, UNSIGNED_LOW),
        I16x8ExtMulHighI8x16U => multiply(t, I8X16, UNSIGNED_HIGH),
        I32x4ExtMulLowI16x8S => multiply(t, I16X8, SIGNED_LOW),
        I32x4ExtMulHighI16x8S => multiply(t, I16X8, SIGNED_HIGH),
        I32x4ExtMulLowI16x8U => multiply(t, I16X8, UNSIGNED_LOW),
        I32x4ExtMulHighI16x8U => multiply(t, I16X8, UNSIGNED_HIGH),
        I64x2ExtMulLowI32x4S => multiply(t, I32X4, SIGNED_LOW),
        I64x2ExtMulHighI32x4S => multiply(t, I32X4, SIGNED_HIGH),
        I64x2ExtMulLowI32x4U => multiply(t, I32X4, UNSIGNED_LOW),
        I64x2ExtMulHighI32x4U => multiply(t, I32X4, UNSIGNED_HIGH),

        I16x8ExtAddPairwiseI8x16S => add_pairs(t, I8X16, SIGNED_LOW, SIGNED_HIGH),
        I16x8ExtAddPairwiseI8x16U => add_pairs(t, I8X16, UNSIGNED_LOW, UNSIGNED_HIGH),
        I32x4ExtAddPairwiseI16x8S => add_pairs(t, I16X8, SIGNED_LOW, SIGNED_HIGH),
        I32x4ExtAddPairwiseI16x8U => add_pairs(t, I16X8, UNSIGNED_LOW, UNSIGNED_HIGH),
        I32x4DotI16x8S => translate_dot(t),
        _ => return false,
    }
    true
}

/// The products of the halves that `widen` takes of both operands.
fn multiply(t: &mut FuncTranslator<'_>, lanes: Type, widen: Unary) {
    let (x, y) = t.pop_vectors(lanes);
    let product = emit_product(t, x, y, widen);
    t.push_vector(product);
}

fn emit_product(t: &mut FuncTranslator<'_>, x: Value, y: Value, widen: Unary) -> Value {
    let x = widen(t.builder.ins(), x);
    let y = widen(t.builder.ins(), y);
    t.builder.ins().imul(x, y)
}

/// The sums of neighbouring lanes at twice the width.
fn add_pairs(t: &mut FuncTranslator<'_>, lanes: Type, low: Unary, high: Unary) {
    let x = t.pop_vector(lanes);
    let low = low(t.builder.ins(), x);
    let high = high(t.builder.ins(), x);
    let result = t.builder.ins().iadd_pairwise(low, high);
    t.push_vector(result);
}

fn translate_dot(t: &mut FuncTranslator<'_>) {
    let (x, y) = t.pop_vectors(I16X8);
    let result = emit_dot(t, x, y);
    t.push_vector(result);
}

/// The sums of neighbouring signed products, in lanes of twice the width.
pub(super) fn emit_dot(t: &mut FuncTranslator<'_>, x: Value, y: Value) -> Value {
    let low = emit_product(t, x, y, SIGNED_LOW);
    let high = emit_product(t, x, y, SIGNED_HIGH);
    t.builder.ins().iadd_pairwise(low, high)
}

/// The exact sums of four neighbouring signed products of bytes, in lanes of four times the width.
pub(super) fn emit_dot4(t: &mut FuncTranslator<'_>, x: Value, y: Value) -> Value {
    let low = emit_product(t, x, y, SIGNED_LOW);
    let high = emit_product(t, x, y, SIGNED_HIGH);
    let low = emit_pair_sums(t, low);
    let high = emit_pair_sums(t, high);
    t.builder.ins().iadd_pairwise(low, high)
}

/// The sums of neighbouring signed lanes, in lanes of twice the width.
pub(super) fn emit_pair_sums(t: &mut FuncTranslator<'_>, x: Value) -> Value {
    let low = t.builder.ins().swiden_low(x);
    let high = t.builder.ins().swiden_high(x);
    t.builder.ins().iadd_pairwise(low, high)
}
