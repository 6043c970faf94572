//! Calls of the loader's runtime functions.

use super::func::FuncTranslator;
use super::signature::c_signature;
use cranelift_codegen::ir::{InstBuilder, SigRef, Value, types};
use cranelift_codegen::isa::CallConv;
use precast_abi::instance::InstanceHeader;
use precast_abi::runtime::RuntimeFn;

impl FuncTranslator<'_> {
    /// Calls a runtime function with the instance base and `args` (64 bits each). The result
    /// means something for functions that have one.
    pub(super) fn emit_runtime_call(&mut self, function: RuntimeFn, args: &[Value]) -> Value {
        let table = -(InstanceHeader::RUNTIME as i32);
        let table = self.emit_constant_load(types::I64, self.base, table);
        let code = self.emit_constant_load(types::I64, table, function.offset());
        let signature = self.runtime_signature(args.len());
        let mut all = vec![self.base];
        all.extend_from_slice(args);
        let call = self.builder.ins().call_indirect(signature, code, &all);
        self.builder.inst_results(call)[0]
    }

    /// Pops three operands and calls `function` with `first` and them.
    pub(super) fn emit_bulk(&mut self, function: RuntimeFn, first: Value) {
        let (a, b, c) = self.pop3();
        let args = [
            first,
            self.emit_index(a),
            self.emit_index(b),
            self.emit_index(c),
        ];
        self.charge_bulk(function, args[3]);
        self.emit_runtime_call(function, &args);
    }

    /// Functions without a result leave garbage in its register, which nobody looks at.
    fn runtime_signature(&mut self, args: usize) -> SigRef {
        if let Some(signature) = self.cache.runtime.get(&args) {
            return *signature;
        }
        let convention = CallConv::triple_default(self.env.isa.triple());
        let params = vec![types::I64; args + 1];
        let signature = c_signature(convention, &params, &[types::I64]);
        let signature = self.builder.import_signature(signature);
        self.cache.runtime.insert(args, signature);
        signature
    }

    /// A number of a memory, table or segment.
    pub(super) fn emit_number(&mut self, number: u32) -> Value {
        self.builder.ins().iconst(types::I64, i64::from(number))
    }

    /// Two such numbers in one argument.
    pub(super) fn emit_pair(&mut self, high: u32, low: u32) -> Value {
        let pair = u64::from(high) << 32 | u64::from(low);
        self.builder.ins().iconst(types::I64, pair as i64)
    }
}
