//! Memory operators.

use super::func::FuncTranslator;
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::MemArg;

impl FuncTranslator<'_> {
    /// Pops an index and loads a value of type `ty` from there.
    pub(super) fn emit_guest_load(&mut self, memarg: &MemArg, ty: Type) -> Value {
        let index = self.pop1();
        let at = self.emit_guest_address(memarg, index, ty.bytes());
        self.builder.ins().load(ty, at.flags, at.value, at.offset)
    }

    /// Pops an index and stores `value`, popped before, there.
    pub(super) fn emit_guest_store(&mut self, memarg: &MemArg, value: Value) {
        let index = self.pop1();
        let size = self.type_of(value).bytes();
        let at = self.emit_guest_address(memarg, index, size);
        self.builder
            .ins()
            .store(at.flags, value, at.value, at.offset);
    }
}
