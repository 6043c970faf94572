//! Float lanes: arithmetic, comparisons, conversions.

use super::{FuncTranslator, binary, unary};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32X4, F64X2, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator;

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    translate_arithmetic(t, op) || translate_compare(t, op) || translate_convert(t, op)
}

fn translate_arithmetic(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        F32x4Ceil => unary(t, F32X4, |ins, x| ins.ceil(x)),
        F64x2Ceil => unary(t, F64X2, |ins, x| ins.ceil(x)),
        F32x4Floor => unary(t, F32X4, |ins, x| ins.floor(x)),
        F64x2Floor => unary(t, F64X2, |ins, x| ins.floor(x)),
        F32x4Trunc => unary(t, F32X4, |ins, x| ins.trunc(x)),
        F64x2Trunc => unary(t, F64X2, |ins, x| ins.trunc(x)),
        F32x4Nearest => unary(t, F32X4, |ins, x| ins.nearest(x)),
        F64x2Nearest => unary(t, F64X2, |ins, x| ins.nearest(x)),
        F32x4Abs => unary(t, F32X4, |ins, x| ins.fabs(x)),
        F64x2Abs => unary(t, F64X2, |ins, x| ins.fabs(x)),
        F32x4Neg => unary(t, F32X4, |ins, x| ins.fneg(x)),
        F64x2Neg => unary(t, F64X2, |ins, x| ins.fneg(x)),
        F32x4Sqrt => unary(t, F32X4, |ins, x| ins.sqrt(x)),
        F64x2Sqrt => unary(t, F64X2, |ins, x| ins.sqrt(x)),
        F32x4Add => binary(t, F32X4, |ins, x, y| ins.fadd(x, y)),
        F64x2Add => binary(t, F64X2, |ins, x, y| ins.fadd(x, y)),
        F32x4Sub => binary(t, F32X4, |ins, x, y| ins.fsub(x, y)),
        F64x2Sub => binary(t, F64X2, |ins, x, y| ins.fsub(x, y)),
        F32x4Mul => binary(t, F32X4, |ins, x, y| ins.fmul(x, y)),
        F64x2Mul => binary(t, F64X2, |ins, x, y| ins.fmul(x, y)),
        F32x4Div => binary(t, F32X4, |ins, x, y| ins.fdiv(x, y)),
        F64x2Div => binary(t, F64X2, |ins, x, y| ins.fdiv(x, y)),
        F32x4Min => binary(t, F32X4, |ins, x, y| ins.fmin(x, y)),
        F64x2Min => binary(t, F64X2, |ins, x, y| ins.fmin(x, y)),
        F32x4Max => binary(t, F32X4, |ins, x, y| ins.fmax(x, y)),
        F64x2Max => binary(t, F64X2, |ins, x, y| ins.fmax(x, y)),
        F32x4PMin => pseudo_min(t, F32X4),
        F64x2PMin => pseudo_min(t, F64X2),
        F32x4PMax => pseudo_max(t, F32X4),
        F64x2PMax => pseudo_max(t, F64X2),
        _ => return false,
    }
    true
}

/// `y < x ? y : x` per lane.
pub(super) fn pseudo_min(t: &mut FuncTranslator<'_>, lanes: Type) {
    let (x, y) = t.pop_vectors(lanes);
    emit_pick(t, (y, x), y, x);
}

/// `x < y ? y : x` per lane.
pub(super) fn pseudo_max(t: &mut FuncTranslator<'_>, lanes: Type) {
    let (x, y) = t.pop_vectors(lanes);
    emit_pick(t, (x, y), y, x);
}

/// Pushes `then` in the lanes where `less.0 < less.1`, and `otherwise` in the others. Kept as
/// comparison and selection, which x86-64 recognises as its own minimum or maximum.
fn emit_pick(t: &mut FuncTranslator<'_>, less: (Value, Value), then: Value, otherwise: Value) {
    let lanes = t.type_of(then);
    let holds = t.builder.ins().fcmp(FloatCC::LessThan, less.0, less.1);
    let holds = t.emit_lanes(holds, lanes);
    let result = t.builder.ins().bitselect(holds, then, otherwise);
    t.push_vector(result);
}

fn translate_compare(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use FloatCC::*;
    use Operator::*;
    match op {
        F32x4Eq => fcmp(t, F32X4, Equal),
        F64x2Eq => fcmp(t, F64X2, Equal),
        F32x4Ne => fcmp(t, F32X4, NotEqual),
        F64x2Ne => fcmp(t, F64X2, NotEqual),
        F32x4Lt => fcmp(t, F32X4, LessThan),
        F64x2Lt => fcmp(t, F64X2, LessThan),
        F32x4Gt => fcmp(t, F32X4, GreaterThan),
        F64x2Gt => fcmp(t, F64X2, GreaterThan),
        F32x4Le => fcmp(t, F32X4, LessThanOrEqual),
        F64x2Le => fcmp(t, F64X2, LessThanOrEqual),
        F32x4Ge => fcmp(t, F32X4, GreaterThanOrEqual),
        F64x2Ge => fcmp(t, F64X2, GreaterThanOrEqual),
        _ => return false,
    }
    true
}

/// All ones in the lanes where the condition holds, all zeros in the others.
fn fcmp(t: &mut FuncTranslator<'_>, lanes: Type, condition: FloatCC) {
    let (x, y) = t.pop_vectors(lanes);
    let result = t.builder.ins().fcmp(condition, x, y);
    t.push_vector(result);
}

fn translate_convert(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        F32x4ConvertI32x4S => unary(t, I32X4, |ins, x| ins.fcvt_from_sint(F32X4, x)),
        F32x4ConvertI32x4U => unary(t, I32X4, |ins, x| ins.fcvt_from_uint(F32X4, x)),
        F64x2ConvertLowI32x4S => convert_low_signed(t),
        F64x2ConvertLowI32x4U => convert_low_unsigned(t),
        F32x4DemoteF64x2Zero => unary(t, F64X2, |ins, x| ins.fvdemote(x)),
        F64x2PromoteLowF32x4 => unary(t, F32X4, |ins, x| ins.fvpromote_low(x)),
        I32x4TruncSatF32x4S => unary(t, F32X4, |ins, x| ins.fcvt_to_sint_sat(I32X4, x)),
        I32x4TruncSatF32x4U => unary(t, F32X4, |ins, x| ins.fcvt_to_uint_sat(I32X4, x)),
        I32x4TruncSatF64x2SZero => truncate_signed_zero(t),
        I32x4TruncSatF64x2UZero => truncate_unsigned_zero(t),
        _ => return false,
    }
    true
}

fn convert_low_signed(t: &mut FuncTranslator<'_>) {
    let x = t.pop_vector(I32X4);
    let wide = t.builder.ins().swiden_low(x);
    let result = t.builder.ins().fcvt_from_sint(F64X2, wide);
    t.push_vector(result);
}

fn convert_low_unsigned(t: &mut FuncTranslator<'_>) {
    let x = t.pop_vector(I32X4);
    let wide = t.builder.ins().uwiden_low(x);
    let result = t.builder.ins().fcvt_from_uint(F64X2, wide);
    t.push_vector(result);
}

/// Two `f64` lanes to the low two `i32` lanes, saturating; zero in the high two.
fn truncate_signed_zero(t: &mut FuncTranslator<'_>) {
    let x = t.pop_vector(F64X2);
    let wide = t.builder.ins().fcvt_to_sint_sat(I64X2, x);
    let zero = t.emit_zero_vector(I64X2);
    let result = t.builder.ins().snarrow(wide, zero);
    t.push_vector(result);
}

/// Two `f64` lanes to the low two unsigned 32-bit lanes, saturating; zero in the high two.
pub(super) fn truncate_unsigned_zero(t: &mut FuncTranslator<'_>) {
    let x = t.pop_vector(F64X2);
    let result = if t.env.isa.has_round() {
        let wide = t.builder.ins().fcvt_to_uint_sat(I64X2, x);
        let zero = t.emit_zero_vector(I64X2);
        t.builder.ins().uunarrow(wide, zero)
    } else {
        // The vector form rounds first; lane by lane is shorter than calling for that.
        let zero = t.emit_zero_vector(I32X4);
        let low = emit_truncated_lane(t, x, zero, 0);
        emit_truncated_lane(t, x, low, 1)
    };
    t.push_vector(result);
}

/// `into`, with lane `lane` of `from` converted to an unsigned integer in the same lane.
fn emit_truncated_lane(t: &mut FuncTranslator<'_>, from: Value, into: Value, lane: u8) -> Value {
    let x = t.builder.ins().extractlane(from, lane);
    let integer = t.builder.ins().fcvt_to_uint_sat(I32, x);
    t.builder.ins().insertlane(into, integer, lane)
}

impl FuncTranslator<'_> {
    /// A vector of zeros with these lanes.
    pub(super) fn emit_zero_vector(&mut self, lanes: Type) -> Value {
        let constant = self.builder.func.dfg.constants.insert([0; 16][..].into());
        self.builder.ins().vconst(lanes, constant)
    }
}
