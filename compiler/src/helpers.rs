//! What old CPUs lack, compiled into the object.
//!
//! Where an instruction set has no instruction for a CLIF operation, Cranelift calls a *library
//! function* of its embedder's. On x86-64 these are, in the code that we emit:
//!
//! - rounding (`ceil`, `floor`, `trunc`, `nearest`, scalar and per lane) without SSE4.1,
//! - byte shuffles with variable indices without SSSE3.
//!
//! An object never calls out for these: the functions below go into its own text. Fused
//! multiply-add is not among them: relaxed multiply-add is not fused on a CPU without FMA.
//!
//! Calls to them are direct and near (`use_colocated_libcalls`), in the C calling convention.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{
    Function, InstBuilder, LibCall, MemFlagsData, StackSlot, StackSlotData, StackSlotKind, Type,
    UserFuncName, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// A function that an object brings along for CPUs which lack an instruction.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Helper {
    CeilF32 = 0,
    CeilF64 = 1,
    FloorF32 = 2,
    FloorF64 = 3,
    TruncF32 = 4,
    TruncF64 = 5,
    NearestF32 = 6,
    NearestF64 = 7,
    X86Pshufb = 8,
}

impl Helper {
    /// Every helper, in the order of their numbers.
    pub(crate) const ALL: [Helper; 9] = [
        Helper::CeilF32,
        Helper::CeilF64,
        Helper::FloorF32,
        Helper::FloorF64,
        Helper::TruncF32,
        Helper::TruncF64,
        Helper::NearestF32,
        Helper::NearestF64,
        Helper::X86Pshufb,
    ];

    /// The helper that does what `call` asks for; `None` where code of ours never asks for it.
    pub(crate) fn for_libcall(call: LibCall) -> Option<Helper> {
        Some(match call {
            LibCall::CeilF32 => Helper::CeilF32,
            LibCall::CeilF64 => Helper::CeilF64,
            LibCall::FloorF32 => Helper::FloorF32,
            LibCall::FloorF64 => Helper::FloorF64,
            LibCall::TruncF32 => Helper::TruncF32,
            LibCall::TruncF64 => Helper::TruncF64,
            LibCall::NearestF32 => Helper::NearestF32,
            LibCall::NearestF64 => Helper::NearestF64,
            LibCall::X86Pshufb => Helper::X86Pshufb,
            _ => return None,
        })
    }

    fn libcall(self) -> LibCall {
        match self {
            Helper::CeilF32 => LibCall::CeilF32,
            Helper::CeilF64 => LibCall::CeilF64,
            Helper::FloorF32 => LibCall::FloorF32,
            Helper::FloorF64 => LibCall::FloorF64,
            Helper::TruncF32 => LibCall::TruncF32,
            Helper::TruncF64 => LibCall::TruncF64,
            Helper::NearestF32 => LibCall::NearestF32,
            Helper::NearestF64 => LibCall::NearestF64,
            Helper::X86Pshufb => LibCall::X86Pshufb,
        }
    }

    /// Its name in an object's symbol table.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Helper::CeilF32 => "precast.ceil_f32",
            Helper::CeilF64 => "precast.ceil_f64",
            Helper::FloorF32 => "precast.floor_f32",
            Helper::FloorF64 => "precast.floor_f64",
            Helper::TruncF32 => "precast.trunc_f32",
            Helper::TruncF64 => "precast.trunc_f64",
            Helper::NearestF32 => "precast.nearest_f32",
            Helper::NearestF64 => "precast.nearest_f64",
            Helper::X86Pshufb => "precast.pshufb",
        }
    }

    /// Its body, with the signature that Cranelift calls it with.
    pub(crate) fn build(self, isa: &dyn TargetIsa, name: UserFuncName) -> Function {
        let default = CallConv::triple_default(isa.triple());
        let convention = CallConv::for_libcall(isa.flags(), default);
        let signature = self.libcall().signature(convention, isa.pointer_type());
        let mut func = Function::with_name_signature(name, signature);
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut func, &mut context);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let params = builder.block_params(entry).to_vec();
        let result = match (self, params.as_slice()) {
            (Helper::X86Pshufb, &[bytes, indices]) => emit_pshufb(&mut builder, bytes, indices),
            (_, &[x, ..]) => emit_round(&mut builder, self, x),
            (_, []) => unreachable!("every library function has a parameter"),
        };
        builder.ins().return_(&[result]);
        builder.seal_all_blocks();
        builder.finalize(isa.frontend_config());
        func
    }
}

/// `x` rounded to an integer. Keeps the sign of zero; makes NaNs quiet and keeps their payload,
/// as SSE4.1's `round` does.
fn emit_round(builder: &mut FunctionBuilder<'_>, helper: Helper, x: Value) -> Value {
    let ty = builder.func.dfg.value_type(x);
    let magnitude = builder.ins().fabs(x);
    // From here on every number is an integer: 2^23 and 2^52, the widths of the mantissas.
    let limit = emit_float(
        builder,
        ty,
        if ty == types::F32 {
            8_388_608.0
        } else {
            4_503_599_627_370_496.0
        },
    );
    // Adding the limit pushes the fraction out of the mantissa, to the nearest even integer.
    let pushed = builder.ins().fadd(magnitude, limit);
    let nearest = builder.ins().fsub(pushed, limit);
    let rounded = match helper {
        Helper::NearestF32 | Helper::NearestF64 => nearest,
        Helper::TruncF32 | Helper::TruncF64 => {
            emit_step(builder, nearest, FloatCC::GreaterThan, magnitude, -1.0)
        }
        Helper::FloorF32 | Helper::FloorF64 => {
            let signed = builder.ins().fcopysign(nearest, x);
            emit_step(builder, signed, FloatCC::GreaterThan, x, -1.0)
        }
        Helper::CeilF32 | Helper::CeilF64 => {
            let signed = builder.ins().fcopysign(nearest, x);
            emit_step(builder, signed, FloatCC::LessThan, x, 1.0)
        }
        Helper::X86Pshufb => unreachable!("not a rounding"),
    };
    let rounded = builder.ins().fcopysign(rounded, x);
    let has_fraction = builder.ins().fcmp(FloatCC::LessThan, magnitude, limit);
    let zero = emit_float(builder, ty, 0.0);
    let itself = builder.ins().fadd(x, zero);
    builder.ins().select(has_fraction, rounded, itself)
}

/// `value + step` where `value <condition> bound` holds, else `value`.
fn emit_step(
    builder: &mut FunctionBuilder<'_>,
    value: Value,
    condition: FloatCC,
    bound: Value,
    step: f64,
) -> Value {
    let ty = builder.func.dfg.value_type(value);
    let step = emit_float(builder, ty, step);
    let stepped = builder.ins().fadd(value, step);
    let beyond = builder.ins().fcmp(condition, value, bound);
    builder.ins().select(beyond, stepped, value)
}

/// A constant that both float types represent exactly.
fn emit_float(builder: &mut FunctionBuilder<'_>, ty: Type, value: f64) -> Value {
    if ty == types::F32 {
        builder.ins().f32const(Ieee32::with_float(value as f32))
    } else {
        builder.ins().f64const(Ieee64::with_float(value))
    }
}

/// Byte `i` of the result is `bytes[indices[i] % 16]`, or 0 where bit 7 of `indices[i]` is set.
fn emit_pshufb(builder: &mut FunctionBuilder<'_>, bytes: Value, indices: Value) -> Value {
    let source = emit_spill(builder, bytes);
    let result = emit_spill(builder, indices);
    for lane in 0..16 {
        let index = builder
            .ins()
            .stack_load(types::I64, types::I8, result, lane);
        let low = builder.ins().band_imm_u(index, 15);
        let low = builder.ins().uextend(types::I64, low);
        let base = builder.ins().stack_addr(types::I64, source, 0);
        let address = builder.ins().iadd(base, low);
        let byte = builder
            .ins()
            .load(types::I8, MemFlagsData::trusted(), address, 0);
        let zero = builder.ins().iconst(types::I8, 0);
        let cleared = builder.ins().icmp(IntCC::SignedLessThan, index, zero);
        let byte = builder.ins().select(cleared, zero, byte);
        builder.ins().stack_store(types::I64, byte, result, lane);
    }
    builder
        .ins()
        .stack_load(types::I64, types::I8X16, result, 0)
}

/// A stack slot that holds `vector`.
fn emit_spill(builder: &mut FunctionBuilder<'_>, vector: Value) -> StackSlot {
    let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, 16, 4);
    let slot = builder.create_sized_stack_slot(slot);
    builder.ins().stack_store(types::I64, vector, slot, 0);
    slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::settings::{self, Configurable};
    use cranelift_codegen::{Context, FinalizedRelocTarget, ir::ExternalName};

    fn baseline() -> cranelift_codegen::isa::OwnedTargetIsa {
        let mut flags = settings::builder();
        flags.set("use_colocated_libcalls", "true").unwrap();
        flags.set("opt_level", "speed").unwrap();
        let flags = settings::Flags::new(flags);
        let triple = "x86_64-unknown-linux-gnu".parse().unwrap();
        cranelift_codegen::isa::lookup(triple)
            .unwrap()
            .finish(flags)
            .unwrap()
    }

    #[test]
    fn every_helper_compiles_without_calling_another() {
        let isa = baseline();
        for helper in Helper::ALL {
            let func = helper.build(&*isa, UserFuncName::user(7, helper as u32));
            let mut context = Context::for_function(func);
            let code = context
                .compile(&*isa, &mut Default::default())
                .unwrap_or_else(|error| panic!("{helper:?}: {error:?}"));
            assert!(code.buffer.relocs().iter().all(|reloc| !matches!(
                reloc.target,
                FinalizedRelocTarget::ExternalName(ExternalName::LibCall(_))
            )));
        }
    }

    #[test]
    fn numbers_and_names_are_distinct() {
        for (number, helper) in Helper::ALL.into_iter().enumerate() {
            assert_eq!(helper as usize, number);
            assert_eq!(Helper::for_libcall(helper.libcall()), Some(helper));
            let same = Helper::ALL
                .iter()
                .filter(|other| other.symbol() == helper.symbol());
            assert_eq!(same.count(), 1);
        }
        assert_eq!(Helper::for_libcall(LibCall::FmaF64), None);
    }
}
