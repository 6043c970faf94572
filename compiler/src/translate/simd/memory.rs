//! Loads and stores of vectors, of single lanes, and with extension.

use super::FuncTranslator;
use crate::translate::numeric::Unary;
use cranelift_codegen::ir::types::{
    F32, F32X4, F64, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64, I64X2,
};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::FuncInstBuilder;
use wasmparser::{MemArg, Operator};

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match op {
        V128Load { memarg } => load(t, memarg, I8X16, |_, x| x),
        V128Load8x8S { memarg } => load_extend(t, memarg, |ins, f, p, o| ins.sload8x8(f, p, o)),
        V128Load8x8U { memarg } => load_extend(t, memarg, |ins, f, p, o| ins.uload8x8(f, p, o)),
        V128Load16x4S { memarg } => load_extend(t, memarg, |ins, f, p, o| ins.sload16x4(f, p, o)),
        V128Load16x4U { memarg } => load_extend(t, memarg, |ins, f, p, o| ins.uload16x4(f, p, o)),
        V128Load32x2S { memarg } => load_extend(t, memarg, |ins, f, p, o| ins.sload32x2(f, p, o)),
        V128Load32x2U { memarg } => load_extend(t, memarg, |ins, f, p, o| ins.uload32x2(f, p, o)),
        V128Load8Splat { memarg } => load(t, memarg, I8, |ins, x| ins.splat(I8X16, x)),
        V128Load16Splat { memarg } => load(t, memarg, I16, |ins, x| ins.splat(I16X8, x)),
        // As floats: a value in a vector register is there already.
        V128Load32Splat { memarg } => load(t, memarg, F32, |ins, x| ins.splat(F32X4, x)),
        V128Load64Splat { memarg } => load(t, memarg, F64, |ins, x| ins.splat(F64X2, x)),
        V128Load32Zero { memarg } => load(t, memarg, I32, |ins, x| ins.scalar_to_vector(I32X4, x)),
        V128Load64Zero { memarg } => load(t, memarg, I64, |ins, x| ins.scalar_to_vector(I64X2, x)),
        V128Load8Lane { memarg, lane } => load_lane(t, memarg, I8X16, *lane),
        V128Load16Lane { memarg, lane } => load_lane(t, memarg, I16X8, *lane),
        V128Load32Lane { memarg, lane } => load_lane(t, memarg, I32X4, *lane),
        V128Load64Lane { memarg, lane } => load_lane(t, memarg, I64X2, *lane),
        V128Store { memarg } => store(t, memarg),
        V128Store8Lane { memarg, lane } => store_lane(t, memarg, I8X16, *lane),
        V128Store16Lane { memarg, lane } => store_lane(t, memarg, I16X8, *lane),
        V128Store32Lane { memarg, lane } => store_lane(t, memarg, I32X4, *lane),
        V128Store64Lane { memarg, lane } => store_lane(t, memarg, I64X2, *lane),
        _ => return false,
    }
    true
}

/// Loads a value of type `ty` and makes it a vector.
fn load(t: &mut FuncTranslator<'_>, memarg: &MemArg, ty: Type, vector: Unary) {
    let value = t.emit_guest_load(memarg, ty);
    let result = vector(t.builder.ins(), value);
    t.push_vector(result);
}

/// A CLIF load with its flags, address and offset.
type Load = fn(FuncInstBuilder<'_, '_>, MemFlagsData, Value, i32) -> Value;

/// Loads 64 bits as lanes and makes each twice as wide.
fn load_extend(t: &mut FuncTranslator<'_>, memarg: &MemArg, instruction: Load) {
    let index = t.pop1();
    let at = t.emit_guest_address(memarg, index, 8);
    let result = instruction(t.builder.ins(), at.flags, at.value, at.offset);
    t.push_vector(result);
}

fn load_lane(t: &mut FuncTranslator<'_>, memarg: &MemArg, lanes: Type, lane: u8) {
    let x = t.pop_vector(lanes);
    let value: Value = t.emit_guest_load(memarg, lanes.lane_type());
    let result = t.builder.ins().insertlane(x, value, lane);
    t.push_vector(result);
}

fn store(t: &mut FuncTranslator<'_>, memarg: &MemArg) {
    let x = t.pop_vector(I8X16);
    t.emit_guest_store(memarg, x);
}

fn store_lane(t: &mut FuncTranslator<'_>, memarg: &MemArg, lanes: Type, lane: u8) {
    let x = t.pop_vector(lanes);
    let value = t.builder.ins().extractlane(x, lane);
    t.emit_guest_store(memarg, value);
}
