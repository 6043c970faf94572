//! Relaxed SIMD: where the specification leaves a choice, the one that is fastest on the CPU
//! that the object is for. It depends on the object's target and CPU features only, so the same
//! object gives the same results on every machine that it runs on.
//!
//! - Multiply-add is fused where the CPU can, and rounds twice where it cannot.
//! - On x86-64 the other operators are the CPU's own instructions where it has them; lanes
//!   outside the range that the specification fixes differ from the strict operators there.
//! - Everywhere else they are the strict operators.

use super::float::{pseudo_max, pseudo_min, truncate_unsigned_zero};
use super::widen::{emit_dot, emit_dot4, emit_pair_sums};
use super::{FuncTranslator, binary, unary};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use target_lexicon::Architecture;
use wasmparser::Operator;

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        F32x4RelaxedMadd => multiply_add(t, F32X4),
        F64x2RelaxedMadd => multiply_add(t, F64X2),
        F32x4RelaxedNmadd => negated_multiply_add(t, F32X4),
        F64x2RelaxedNmadd => negated_multiply_add(t, F64X2),
        F32x4RelaxedMin => min(t, F32X4),
        F64x2RelaxedMin => min(t, F64X2),
        F32x4RelaxedMax => max(t, F32X4),
        F64x2RelaxedMax => max(t, F64X2),
        I8x16RelaxedLaneselect => select_lanes(t, I8X16),
        I16x8RelaxedLaneselect => select_lanes(t, I16X8),
        I32x4RelaxedLaneselect => select_lanes(t, I32X4),
        I64x2RelaxedLaneselect => select_lanes(t, I64X2),
        I32x4RelaxedTruncF32x4S => truncate_signed(t),
        I32x4RelaxedTruncF32x4U => unary(t, F32X4, |ins, x| ins.fcvt_to_uint_sat(I32X4, x)),
        I32x4RelaxedTruncF64x2SZero => truncate_signed_zero(t),
        I32x4RelaxedTruncF64x2UZero => truncate_unsigned_zero(t),
        I8x16RelaxedSwizzle => swizzle(t),
        I16x8RelaxedQ15mulrS => multiply_q15(t),
        I16x8RelaxedDotI8x16I7x16S => dot(t),
        I32x4RelaxedDotI8x16I7x16AddS => dot_add(t),
        _ => return false,
    }
    true
}

fn is_x86_64(t: &FuncTranslator<'_>) -> bool {
    t.env.isa.triple().architecture == Architecture::X86_64
}

fn multiply_add(t: &mut FuncTranslator<'_>, lanes: Type) {
    let z = t.pop_vector(lanes);
    let (x, y) = t.pop_vectors(lanes);
    emit_multiply_add(t, x, y, z);
}

fn negated_multiply_add(t: &mut FuncTranslator<'_>, lanes: Type) {
    let z = t.pop_vector(lanes);
    let (x, y) = t.pop_vectors(lanes);
    let x = t.builder.ins().fneg(x);
    emit_multiply_add(t, x, y, z);
}

/// Pushes `x * y + z`.
fn emit_multiply_add(t: &mut FuncTranslator<'_>, x: Value, y: Value, z: Value) {
    let result = if t.env.isa.has_native_fma() {
        t.builder.ins().fma(x, y, z)
    } else {
        let product = t.builder.ins().fmul(x, y);
        t.builder.ins().fadd(product, z)
    };
    t.push_vector(result);
}

fn min(t: &mut FuncTranslator<'_>, lanes: Type) {
    if is_x86_64(t) {
        pseudo_min(t, lanes);
    } else {
        binary(t, lanes, |ins, x, y| ins.fmin(x, y));
    }
}

fn max(t: &mut FuncTranslator<'_>, lanes: Type) {
    if is_x86_64(t) {
        pseudo_max(t, lanes);
    } else {
        binary(t, lanes, |ins, x, y| ins.fmax(x, y));
    }
}

/// Lanes of the first operand where the mask's are all ones, of the second where all zeros.
fn select_lanes(t: &mut FuncTranslator<'_>, lanes: Type) {
    let mask = t.pop_vector(lanes);
    let (x, y) = t.pop_vectors(lanes);
    let result = if t.env.isa.has_blendv_lowering(lanes) {
        t.builder.ins().blendv(mask, x, y)
    } else {
        t.builder.ins().bitselect(mask, x, y)
    };
    t.push_vector(result);
}

fn truncate_signed(t: &mut FuncTranslator<'_>) {
    let x = t.pop_vector(F32X4);
    let result = if is_x86_64(t) {
        t.builder.ins().x86_cvtt2dq(I32X4, x)
    } else {
        t.builder.ins().fcvt_to_sint_sat(I32X4, x)
    };
    t.push_vector(result);
}

fn truncate_signed_zero(t: &mut FuncTranslator<'_>) {
    let x = t.pop_vector(F64X2);
    let wide = if is_x86_64(t) {
        t.builder.ins().x86_cvtt2dq(I64X2, x)
    } else {
        t.builder.ins().fcvt_to_sint_sat(I64X2, x)
    };
    let zero = t.emit_zero_vector(I64X2);
    let result = t.builder.ins().snarrow(wide, zero);
    t.push_vector(result);
}

fn swizzle(t: &mut FuncTranslator<'_>) {
    let (x, indices) = t.pop_vectors(I8X16);
    let result = if t.env.isa.has_x86_pshufb_lowering() {
        t.builder.ins().x86_pshufb(x, indices)
    } else {
        t.builder.ins().swizzle(x, indices)
    };
    t.push_vector(result);
}

fn multiply_q15(t: &mut FuncTranslator<'_>) {
    let (x, y) = t.pop_vectors(I16X8);
    let result = if t.env.isa.has_x86_pmulhrsw_lowering() {
        t.builder.ins().x86_pmulhrsw(x, y)
    } else {
        t.builder.ins().sqmul_round_sat(x, y)
    };
    t.push_vector(result);
}

/// Sums of two products of an `i8` and an `i7` each, in `i16` lanes.
fn dot(t: &mut FuncTranslator<'_>) {
    let (x, y) = t.pop_vectors(I8X16);
    let result = if t.env.isa.has_x86_pmaddubsw_lowering() {
        t.builder.ins().x86_pmaddubsw(x, y)
    } else {
        emit_dot(t, x, y)
    };
    t.push_vector(result);
}

/// Sums of four such products, in `i32` lanes, added to a third operand.
fn dot_add(t: &mut FuncTranslator<'_>) {
    let z = t.pop_vector(I32X4);
    let (x, y) = t.pop_vectors(I8X16);
    let sums = if t.env.isa.has_x86_pmaddubsw_lowering() {
        let pairs = t.builder.ins().x86_pmaddubsw(x, y);
        emit_pair_sums(t, pairs)
    } else {
        emit_dot4(t, x, y)
    };
    let result = t.builder.ins().iadd(sums, z);
    t.push_vector(result);
}
