//! CLIF types and signatures.

use crate::isa;
use crate::module::FuncType;
use cranelift_codegen::ir::{AbiParam, ArgumentExtension, Signature, Type, types};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use precast_abi::object::Arch;
use wasmparser::ValType;

/// The CLIF type of a wasm value.
pub(crate) fn clif_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 | ValType::Ref(_) => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

/// The signature of a wasm function: the hidden parameter, then its own.
pub(crate) fn wasm_signature(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::new(types::I64));
    let abi = |ty: &ValType| AbiParam::new(clif_type(*ty));
    signature.params.extend(ty.params.iter().map(abi));
    signature.returns.extend(ty.results.iter().map(abi));
    signature
}

/// The signature of a wasm function that is called by its address: it may be one of the host. On
/// RISC-V those count on what C's convention promises: that integers of 32 bits come with their sign.
pub(crate) fn outward_signature(isa: &dyn TargetIsa, ty: &FuncType) -> Signature {
    let mut signature = wasm_signature(ty);
    if isa::arch(isa) == Arch::Riscv64 {
        let params = signature.params.iter_mut();
        for param in params.filter(|param| param.value_type == types::I32) {
            param.extension = ArgumentExtension::Sext;
        }
    }
    signature
}

/// A signature with the C calling convention of `call_conv`.
pub(crate) fn c_signature(call_conv: CallConv, params: &[Type], returns: &[Type]) -> Signature {
    let mut signature = Signature::new(call_conv);
    let abi = |ty: &Type| AbiParam::new(*ty);
    signature.params.extend(params.iter().map(abi));
    signature.returns.extend(returns.iter().map(abi));
    signature
}
