//! The heap: where objects lie, and making them.
//!
//! A reference is never kept over a call but as a value that the stack maps know of (see
//! [`FuncTranslator::keep_on_stack`]), for objects may move meanwhile: what is derived from it, the address
//! of a field, is computed anew each time, and loads that give references are never taken for constant.

use super::func::FuncTranslator;
use super::instance::Region;
use crate::module::{Field, TypeIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use precast_abi::heap::{HeapDef, HeapHeader, ObjectWord};
use precast_abi::runtime::RuntimeFn;
use wasmparser::{StorageType, ValType};

impl FuncTranslator<'_> {
    /// The address of the heap.
    pub(super) fn emit_heap(&mut self) -> Value {
        self.emit_heap_def(HeapDef::BASE)
    }

    pub(super) fn emit_heap_def(&mut self, field: i32) -> Value {
        let offset = field - self.env.layout.heap as i32;
        self.emit_constant_load(types::I64, self.base, offset)
    }

    /// The address of an object.
    pub(super) fn emit_object(&mut self, reference: Value) -> Value {
        let heap = self.emit_heap();
        self.builder.ins().iadd(heap, reference)
    }

    /// The process-wide identity of a type.
    pub(super) fn emit_type_id(&mut self, ty: TypeIndex) -> Value {
        let offset = self.env.layout.type_id_offset(ty);
        self.emit_constant_load(types::I32, self.base, offset)
    }

    /// Room for an object of this type of `size` bytes, a multiple of 8 and 64 bits wide, with the
    /// identity of its type. Objects may move.
    pub(super) fn emit_alloc(&mut self, ty: TypeIndex, size: Value) -> Value {
        let slow = |t: &mut Self| {
            let id = t.emit_type_id(ty);
            let id = t.builder.ins().uextend(types::I64, id);
            t.emit_runtime_call(RuntimeFn::HeapAlloc, &[size, id])
        };
        self.emit_alloc_or(ty, size, |_, _| {}, slow)
    }

    /// The same, with what is left to do where there is room, and what to do where there is none.
    pub(super) fn emit_alloc_or(
        &mut self,
        ty: TypeIndex,
        size: Value,
        rest: impl FnOnce(&mut Self, Value),
        slow: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        let room = self.builder.create_block();
        let no_room = self.builder.create_block();
        let done = self.builder.create_block();
        let reference = self.builder.append_block_param(done, types::I64);
        if self.env.collects {
            self.builder.declare_value_needs_stack_map(reference);
        }
        self.builder.set_cold_block(no_room);

        let heap = self.emit_heap();
        let flags = self.instance_flags(Region::HeapHeader);
        let ins = self.builder.ins();
        let next = ins.load(types::I64, flags, heap, HeapHeader::NEXT);
        let ins = self.builder.ins();
        let limit = ins.load(types::I64, flags, heap, HeapHeader::LIMIT);
        let end = self.builder.ins().iadd(next, size);
        let ins = self.builder.ins();
        let too_much = ins.icmp(IntCC::UnsignedGreaterThan, end, limit);
        let ins = self.builder.ins();
        ins.brif(too_much, no_room, &[], room, &[]);

        self.continue_at(room);
        let ins = self.builder.ins();
        ins.store(flags, end, heap, HeapHeader::NEXT);
        let object = self.builder.ins().iadd(heap, next);
        let id = self.emit_type_id(ty);
        let words = self.instance_flags(Region::ObjectWords);
        self.builder.ins().store(words, id, object, 0);
        rest(self, object);
        let ins = self.builder.ins();
        ins.jump(done, &[BlockArg::from(next)]);

        self.continue_at(no_room);
        let made = slow(self);
        let ins = self.builder.ins();
        ins.jump(done, &[BlockArg::from(made)]);
        self.continue_at(done);
        reference
    }

    /// The number of elements of an array.
    pub(super) fn emit_array_len(&mut self, reference: Value) -> Value {
        let object = self.emit_object(reference);
        let flags = self.instance_flags(Region::ObjectWords);
        let ins = self.builder.ins();
        ins.load(types::I32, flags, object, ObjectWord::LENGTH)
    }

    /// The value of a field, or element, at an address. A packed one is extended.
    pub(super) fn emit_field_load(
        &mut self,
        field: &Field,
        address: Value,
        offset: i32,
        signed: bool,
    ) -> Value {
        let flags = self.instance_flags(Region::Fields);
        let ty = field.value_type();
        let ins = self.builder.ins();
        let value = match (field.ty, signed) {
            (StorageType::I8, true) => ins.sload8(types::I32, flags, address, offset),
            (StorageType::I8, false) => ins.uload8(types::I32, flags, address, offset),
            (StorageType::I16, true) => ins.sload16(types::I32, flags, address, offset),
            (StorageType::I16, false) => ins.uload16(types::I32, flags, address, offset),
            (StorageType::Val(ty), _) if self.env.module.is_heap_ref(ty) => {
                self.builder.ins().uload32(flags, address, offset)
            }
            (StorageType::Val(ty), _) => {
                let ty = super::signature::clif_type(ty);
                self.builder.ins().load(ty, flags, address, offset)
            }
        };
        self.keep_on_stack(value, ty);
        value
    }

    /// Sets a field, or element, at an address.
    pub(super) fn emit_field_store(
        &mut self,
        field: &Field,
        value: Value,
        address: Value,
        offset: i32,
    ) {
        let flags = self.instance_flags(Region::Fields);
        let ins = self.builder.ins();
        match field.ty {
            StorageType::I8 => ins.istore8(flags, value, address, offset),
            StorageType::I16 => ins.istore16(flags, value, address, offset),
            StorageType::Val(ty) if self.env.module.is_heap_ref(ty) => {
                self.builder.ins().istore32(flags, value, address, offset)
            }
            StorageType::Val(_) => ins.store(flags, value, address, offset),
        };
    }

    /// The value that a field has unless it is told.
    pub(super) fn emit_default(&mut self, field: &Field) -> Value {
        let ty: ValType = field.value_type();
        self.emit_zero(ty)
    }
}
