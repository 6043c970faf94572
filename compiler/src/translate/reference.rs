//! References.

use super::func::FuncTranslator;
use crate::module::FuncIndex;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use precast_abi::instance::FuncRef;
use precast_abi::trap::TrapCode;
use std::mem::offset_of;

impl FuncTranslator<'_> {
    pub(super) fn translate_ref_null(&mut self) {
        let null = self.builder.ins().iconst(types::I64, 0);
        self.push1(null);
    }

    pub(super) fn translate_ref_is_null(&mut self) {
        let reference = self.pop1();
        let is_null = self.builder.ins().icmp_imm_u(IntCC::Equal, reference, 0);
        let is_null = self.builder.ins().uextend(types::I32, is_null);
        self.push1(is_null);
    }

    pub(super) fn translate_ref_as_non_null(&mut self) {
        let reference = self.peek_n(1)[0];
        self.emit_trap_if_null(reference, TrapCode::NullReference);
    }

    pub(super) fn translate_ref_func(&mut self, index: u32) {
        let reference = self.emit_func_ref(FuncIndex::from_u32(index));
        self.push1(reference);
    }

    /// A reference to a function. One of our own is the address of our record; what is imported
    /// has its identity elsewhere.
    pub(super) fn emit_func_ref(&mut self, index: FuncIndex) -> Value {
        let offset = self.env.layout.func_refs.offset(index);
        if self.env.module.is_imported(index) {
            let offset = offset + offset_of!(FuncRef, identity) as i32;
            self.emit_constant_load(types::I64, self.base, offset)
        } else {
            self.builder.ins().iadd_imm_s(self.base, i64::from(offset))
        }
    }
}
