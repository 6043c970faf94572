//! Conversions between number types, and sign extension within one.
//!
//! A conversion of a float that has no integer counterpart traps by itself: Cranelift's
//! instructions tell NaN (`invalid conversion to integer`) from out of range
//! (`integer overflow`) as the specification does.

use super::func::FuncTranslator;
use super::numeric::unary;
use cranelift_codegen::ir::types::{F32, F64, I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type};
use wasmparser::Operator;

/// Translates `op` if it is one of this file's, and says whether it was.
pub(super) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    use Operator::*;
    match *op {
        I32WrapI64 => unary(t, |ins, x| ins.ireduce(I32, x)),
        I64ExtendI32S => unary(t, |ins, x| ins.sextend(I64, x)),
        I64ExtendI32U => unary(t, |ins, x| ins.uextend(I64, x)),
        I32Extend8S => extend(t, I8, I32),
        I32Extend16S => extend(t, I16, I32),
        I64Extend8S => extend(t, I8, I64),
        I64Extend16S => extend(t, I16, I64),
        I64Extend32S => extend(t, I32, I64),

        I32TruncF32S | I32TruncF64S => unary(t, |ins, x| ins.fcvt_to_sint(I32, x)),
        I32TruncF32U | I32TruncF64U => unary(t, |ins, x| ins.fcvt_to_uint(I32, x)),
        I64TruncF32S | I64TruncF64S => unary(t, |ins, x| ins.fcvt_to_sint(I64, x)),
        I64TruncF32U | I64TruncF64U => unary(t, |ins, x| ins.fcvt_to_uint(I64, x)),
        I32TruncSatF32S | I32TruncSatF64S => unary(t, |ins, x| ins.fcvt_to_sint_sat(I32, x)),
        I32TruncSatF32U | I32TruncSatF64U => unary(t, |ins, x| ins.fcvt_to_uint_sat(I32, x)),
        I64TruncSatF32S | I64TruncSatF64S => unary(t, |ins, x| ins.fcvt_to_sint_sat(I64, x)),
        I64TruncSatF32U | I64TruncSatF64U => unary(t, |ins, x| ins.fcvt_to_uint_sat(I64, x)),

        F32ConvertI32S | F32ConvertI64S => unary(t, |ins, x| ins.fcvt_from_sint(F32, x)),
        F32ConvertI32U | F32ConvertI64U => unary(t, |ins, x| ins.fcvt_from_uint(F32, x)),
        F64ConvertI32S | F64ConvertI64S => unary(t, |ins, x| ins.fcvt_from_sint(F64, x)),
        F64ConvertI32U | F64ConvertI64U => unary(t, |ins, x| ins.fcvt_from_uint(F64, x)),
        F32DemoteF64 => unary(t, |ins, x| ins.fdemote(F32, x)),
        F64PromoteF32 => unary(t, |ins, x| ins.fpromote(F64, x)),

        I32ReinterpretF32 => reinterpret(t, I32),
        I64ReinterpretF64 => reinterpret(t, I64),
        F32ReinterpretI32 => reinterpret(t, F32),
        F64ReinterpretI64 => reinterpret(t, F64),
        _ => return false,
    }
    true
}

/// Sign-extends the low bits of type `from` to the whole of type `to`.
fn extend(t: &mut FuncTranslator<'_>, from: Type, to: Type) {
    let x = t.pop1();
    let low = t.builder.ins().ireduce(from, x);
    let result = t.builder.ins().sextend(to, low);
    t.push1(result);
}

fn reinterpret(t: &mut FuncTranslator<'_>, to: Type) {
    let x = t.pop1();
    let result = t.builder.ins().bitcast(to, MemFlagsData::new(), x);
    t.push1(result);
}
