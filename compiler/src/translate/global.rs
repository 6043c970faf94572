//! Local and global variables.

use super::func::FuncTranslator;
use super::instance::{Region, constant_flags};
use super::signature::clif_type;
use crate::module::{ConstValue, GlobalIndex};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};

impl FuncTranslator<'_> {
    pub(super) fn translate_local_get(&mut self, index: u32) {
        let value = self.builder.use_var(self.locals[index as usize]);
        self.push1(value);
    }

    pub(super) fn translate_local_set(&mut self, index: u32) {
        let value = self.pop1();
        self.builder.def_var(self.locals[index as usize], value);
    }

    pub(super) fn translate_local_tee(&mut self, index: u32) {
        let value = self.peek_n(1)[0];
        self.builder.def_var(self.locals[index as usize], value);
    }

    pub(super) fn translate_global_get(&mut self, index: u32) {
        let index = GlobalIndex::from_u32(index);
        let global = &self.env.module.globals[index];
        let value = match global.known_value() {
            Some(value) => self.emit_const(value),
            None => {
                let ty = clif_type(global.ty);
                // In `init`, a constant is not one yet.
                // And objects may move, whoever refers to them.
                let moves = self.env.module.is_heap_ref(global.ty);
                let constant = global.is_constant() && !self.initialising && !moves;
                let (cell, offset, flags) = self.emit_global_cell(index);
                let flags = if constant { constant_flags() } else { flags };
                let value = self.builder.ins().load(ty, flags, cell, offset);
                self.keep_on_stack(value, global.ty);
                value
            }
        };
        self.push1(value);
    }

    pub(super) fn translate_global_set(&mut self, index: u32) {
        let value = self.pop1();
        self.emit_global_store(GlobalIndex::from_u32(index), value);
    }

    pub(super) fn emit_global_store(&mut self, index: GlobalIndex, value: Value) {
        let (cell, offset, flags) = self.emit_global_cell(index);
        self.builder.ins().store(flags, value, cell, offset);
    }

    /// Where the value of a global lies, and the flags to access it with.
    fn emit_global_cell(&mut self, index: GlobalIndex) -> (Value, i32, MemFlagsData) {
        let imported = self.env.module.globals[index].init.is_none();
        let offset = self.env.layout.globals.offset(index);
        let (cell, offset) = self.emit_record(offset, imported);
        let region = if imported {
            Region::ImportedGlobals
        } else {
            Region::Global(index)
        };
        (cell, offset, self.instance_flags(region))
    }

    /// A value that is known now.
    pub(super) fn emit_const(&mut self, value: ConstValue) -> Value {
        let ins = self.builder.ins();
        match value {
            ConstValue::I32(value) => ins.iconst(types::I32, i64::from(value as u32)),
            ConstValue::I64(value) => ins.iconst(types::I64, value),
            ConstValue::F32(bits) => ins.f32const(Ieee32::with_bits(bits)),
            ConstValue::F64(bits) => ins.f64const(Ieee64::with_bits(bits)),
            ConstValue::Null => ins.iconst(types::I64, 0),
            ConstValue::V128(bytes) => self.emit_v128_const(&bytes),
            ConstValue::Func(index) => self.emit_func_ref(index),
        }
    }
}
