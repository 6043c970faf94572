//! Structs.

use super::func::FuncTranslator;
use crate::module::TypeIndex;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use precast_abi::trap::TrapCode;

impl FuncTranslator<'_> {
    pub(super) fn translate_struct_new(&mut self, ty: u32) {
        let ty = TypeIndex::from_u32(ty);
        let count = self.env.module.types[ty].sub.fields.len();
        let values = self.peek_n(count).to_vec();
        self.emit_struct(ty, &values);
        // Until here the values are on the stack of operands: an object that one refers to is found.
        let made = self.pop1();
        self.pop_n(count);
        self.push1(made);
    }

    pub(super) fn translate_struct_new_default(&mut self, ty: u32) {
        let ty = TypeIndex::from_u32(ty);
        let fields = &self.env.module.types[ty].sub.fields;
        let values: Vec<Value> = fields
            .iter()
            .map(|field| self.emit_default(field))
            .collect();
        self.emit_struct(ty, &values);
    }

    /// Pushes a struct with these values.
    fn emit_struct(&mut self, ty: TypeIndex, values: &[Value]) {
        let (offsets, size) = self.env.module.struct_layout(ty);
        let size = self.builder.ins().iconst(types::I64, i64::from(size));
        let reference = self.emit_alloc(ty, size);
        let object = self.emit_object(reference);
        let fields = &self.env.module.types[ty].sub.fields;
        for ((field, value), offset) in fields.iter().zip(values).zip(offsets) {
            self.emit_field_store(field, *value, object, offset as i32);
        }
        self.push1(reference);
    }

    pub(super) fn translate_struct_get(&mut self, ty: u32, index: u32, signed: bool) {
        let ty = TypeIndex::from_u32(ty);
        let reference = self.pop1();
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let (offsets, _) = self.env.module.struct_layout(ty);
        let object = self.emit_object(reference);
        let field = &self.env.module.types[ty].sub.fields[index as usize];
        let offset = offsets[index as usize] as i32;
        let value = self.emit_field_load(field, object, offset, signed);
        self.push1(value);
    }

    pub(super) fn translate_struct_set(&mut self, ty: u32, index: u32) {
        let ty = TypeIndex::from_u32(ty);
        let (reference, value) = self.pop2();
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let (offsets, _) = self.env.module.struct_layout(ty);
        let object = self.emit_object(reference);
        let field = &self.env.module.types[ty].sub.fields[index as usize];
        self.emit_field_store(field, value, object, offsets[index as usize] as i32);
    }
}
