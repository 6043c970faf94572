//! Single lanes and their order: splat, extract, replace, shuffle, swizzle.

use super::{FuncTranslator, binary};
use crate::translate::numeric::Unary;
use cranelift_codegen::ir::types::{F32X4, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type};
use wasmparser::Operator;

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match *op {
        I8x16Splat => splat_low(t, I8X16),
        I16x8Splat => splat_low(t, I16X8),
        I32x4Splat => splat(t, I32X4),
        I64x2Splat => splat(t, I64X2),
        F32x4Splat => splat(t, F32X4),
        F64x2Splat => splat(t, F64X2),

        I8x16ExtractLaneS { lane } => extract_as(t, I8X16, lane, |ins, x| ins.sextend(I32, x)),
        I8x16ExtractLaneU { lane } => extract_as(t, I8X16, lane, |ins, x| ins.uextend(I32, x)),
        I16x8ExtractLaneS { lane } => extract_as(t, I16X8, lane, |ins, x| ins.sextend(I32, x)),
        I16x8ExtractLaneU { lane } => extract_as(t, I16X8, lane, |ins, x| ins.uextend(I32, x)),
        I32x4ExtractLane { lane } => extract(t, I32X4, lane),
        I64x2ExtractLane { lane } => extract(t, I64X2, lane),
        F32x4ExtractLane { lane } => extract(t, F32X4, lane),
        F64x2ExtractLane { lane } => extract(t, F64X2, lane),

        I8x16ReplaceLane { lane } => replace_low(t, I8X16, lane, |ins, x| ins.ireduce(I8, x)),
        I16x8ReplaceLane { lane } => replace_low(t, I16X8, lane, |ins, x| ins.ireduce(I16, x)),
        I32x4ReplaceLane { lane } => replace(t, I32X4, lane),
        I64x2ReplaceLane { lane } => replace(t, I64X2, lane),
        F32x4ReplaceLane { lane } => replace(t, F32X4, lane),
        F64x2ReplaceLane { lane } => replace(t, F64X2, lane),

        I8x16Swizzle => binary(t, I8X16, |ins, x, indices| ins.swizzle(x, indices)),
        I8x16Shuffle { ref lanes } => translate_shuffle(t, lanes),
        _ => return false,
    }
    true
}

fn splat(t: &mut FuncTranslator<'_>, lanes: Type) {
    let x = t.pop1();
    let result = t.builder.ins().splat(lanes, x);
    t.push_vector(result);
}

/// Splats the low bits of an `i32` that fill a lane.
fn splat_low(t: &mut FuncTranslator<'_>, lanes: Type) {
    let x = t.pop1();
    let low = t.builder.ins().ireduce(lanes.lane_type(), x);
    let result = t.builder.ins().splat(lanes, low);
    t.push_vector(result);
}

fn extract(t: &mut FuncTranslator<'_>, lanes: Type, lane: u8) {
    let x = t.pop_vector(lanes);
    let result = t.builder.ins().extractlane(x, lane);
    t.push1(result);
}

fn extract_as(t: &mut FuncTranslator<'_>, lanes: Type, lane: u8, extend: Unary) {
    let x = t.pop_vector(lanes);
    let value = t.builder.ins().extractlane(x, lane);
    let result = extend(t.builder.ins(), value);
    t.push1(result);
}

fn replace(t: &mut FuncTranslator<'_>, lanes: Type, lane: u8) {
    replace_low(t, lanes, lane, |_, x| x);
}

/// Replaces a lane by the part of the operand that `reduce` takes.
fn replace_low(t: &mut FuncTranslator<'_>, lanes: Type, lane: u8, reduce: Unary) {
    let value = t.pop1();
    let x = t.pop_vector(lanes);
    let value = reduce(t.builder.ins(), value);
    let result = t.builder.ins().insertlane(x, value, lane);
    t.push_vector(result);
}

fn translate_shuffle(t: &mut FuncTranslator<'_>, lanes: &[u8; 16]) {
    let (x, y) = t.pop_vectors(I8X16);
    let lanes = t.builder.func.dfg.immediates.push(lanes[..].into());
    let result = t.builder.ins().shuffle(x, y, lanes);
    t.push_vector(result);
}
