//! Arrays.

use super::func::FuncTranslator;
use super::instance::Region;
use crate::module::{Field, TypeIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use precast_abi::heap::{ARRAY_ELEMENTS, ObjectWord};
use precast_abi::runtime::RuntimeFn;
use precast_abi::trap::TrapCode;

/// Offset of the first element.
const ELEMENTS: i32 = ARRAY_ELEMENTS as i32;

impl FuncTranslator<'_> {
    /// The elements of an array type, and the size of one.
    fn elements(&self, ty: TypeIndex) -> (Field, u32) {
        let field = self.env.module.types[ty].sub.fields[0];
        (field, self.env.module.abi_field(&field).size())
    }

    /// An array whose elements start as a value that is an operand, or as zero.
    pub(super) fn translate_array_new(&mut self, ty: u32, from_value: bool) {
        let ty = TypeIndex::from_u32(ty);
        let (field, size) = self.elements(ty);
        let len = self.pop1();
        let value = from_value.then(|| self.pop1());
        let wide = self.builder.ins().uextend(types::I64, len);
        let bytes = self.builder.ins().imul_imm_u(wide, i64::from(size));
        self.charge_bulk(RuntimeFn::MemoryFill, bytes);
        let rounded = self
            .builder
            .ins()
            .iadd_imm_s(bytes, i64::from(ARRAY_ELEMENTS) + 7);
        let room = self.builder.ins().band_imm_s(rounded, -8);
        let rest = |t: &mut Self, object| {
            t.emit_array_length(object, len);
            if value.is_none() {
                // The size is a multiple of 8, and nothing of it is beyond the object.
                let first = t.builder.ins().iadd_imm_s(object, i64::from(ELEMENTS));
                let end = t.builder.ins().iadd(object, room);
                let zero = t.builder.ins().iconst(types::I64, 0);
                t.emit_stores(first, end, 8, |t, address| {
                    let flags = t.instance_flags(Region::Fields);
                    t.builder.ins().store(flags, zero, address, 0);
                });
            }
        };
        let slow = |t: &mut Self| {
            let ty = t.emit_number(ty.as_u32());
            t.emit_runtime_call(RuntimeFn::ArrayNew, &[ty, wide])
        };
        let reference = self.emit_alloc_or(ty, room, rest, slow);
        if let Some(value) = value {
            let object = self.emit_object(reference);
            let first = self.builder.ins().iadd_imm_s(object, i64::from(ELEMENTS));
            let end = self.builder.ins().iadd(first, bytes);
            self.emit_stores(first, end, size, |t, address| {
                t.emit_field_store(&field, value, address, 0);
            });
        }
        self.push1(reference);
    }

    fn emit_array_length(&mut self, object: Value, len: Value) {
        let flags = self.instance_flags(Region::ObjectWords);
        let ins = self.builder.ins();
        ins.store(flags, len, object, ObjectWord::LENGTH);
    }

    /// Does something at each address from `first` to `end`, in steps of `size`. No call among it:
    /// addresses do not outlive one.
    fn emit_stores(
        &mut self,
        first: Value,
        end: Value,
        size: u32,
        store: impl FnOnce(&mut Self, Value),
    ) {
        let header = self.builder.create_block();
        let body = self.builder.create_block();
        let done = self.builder.create_block();
        let address = self.builder.append_block_param(header, types::I64);
        let ins = self.builder.ins();
        ins.jump(header, &[BlockArg::from(first)]);

        self.builder.switch_to_block(header);
        let more = self
            .builder
            .ins()
            .icmp(IntCC::UnsignedLessThan, address, end);
        self.builder.ins().brif(more, body, &[], done, &[]);

        self.continue_at(body);
        store(self, address);
        let next = self.builder.ins().iadd_imm_s(address, i64::from(size));
        let ins = self.builder.ins();
        ins.jump(header, &[BlockArg::from(next)]);
        self.builder.seal_block(header);
        self.continue_at(done);
    }

    pub(super) fn translate_array_new_fixed(&mut self, ty: u32, count: u32) {
        let ty = TypeIndex::from_u32(ty);
        let (field, size) = self.elements(ty);
        let values = self.peek_n(count as usize).to_vec();
        let bytes = u64::from(count) * u64::from(size) + u64::from(ARRAY_ELEMENTS);
        let room = bytes.next_multiple_of(8) as i64;
        let room = self.builder.ins().iconst(types::I64, room);
        let reference = self.emit_alloc(ty, room);
        let object = self.emit_object(reference);
        let len = self.builder.ins().iconst(types::I32, i64::from(count));
        self.emit_array_length(object, len);
        for (i, value) in (0..).zip(values) {
            self.emit_field_store(&field, value, object, ELEMENTS + i * size as i32);
        }
        self.pop_n(count as usize);
        self.push1(reference);
    }

    /// An array of what is in a segment.
    pub(super) fn translate_array_new_segment(
        &mut self,
        function: RuntimeFn,
        ty: u32,
        segment: u32,
    ) {
        let (start, len) = self.pop2();
        let pair = self.emit_pair(ty, segment);
        let start = self.builder.ins().uextend(types::I64, start);
        let len = self.builder.ins().uextend(types::I64, len);
        self.charge_elements(function, TypeIndex::from_u32(ty), len);
        let reference = self.emit_runtime_call(function, &[pair, start, len]);
        self.push_object(reference);
    }

    /// Charges for elements that a function of the loader copies or makes.
    fn charge_elements(&mut self, function: RuntimeFn, ty: TypeIndex, len: Value) {
        if matches!(function, RuntimeFn::ArrayNewElem | RuntimeFn::ArrayInitElem) {
            return self.charge_bulk(RuntimeFn::TableInit, len);
        }
        let (_, size) = self.elements(ty);
        let bytes = self.builder.ins().imul_imm_u(len, i64::from(size));
        self.charge_bulk(RuntimeFn::MemoryCopy, bytes);
    }

    /// Pushes a reference to an object that the loader has made.
    pub(super) fn push_object(&mut self, reference: Value) {
        if self.env.collects {
            self.builder.declare_value_needs_stack_map(reference);
        }
        self.push1(reference);
    }

    /// The address of an element, less the offset of the first one. Traps if there is none.
    fn emit_array_element(&mut self, reference: Value, index: Value, size: u32) -> Value {
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let len = self.emit_array_len(reference);
        let condition = IntCC::UnsignedGreaterThanOrEqual;
        let out_of_bounds = self.builder.ins().icmp(condition, index, len);
        self.emit_trap_if(out_of_bounds, TrapCode::ArrayOutOfBounds);
        let object = self.emit_object(reference);
        let index = self.builder.ins().uextend(types::I64, index);
        let distance = self.builder.ins().imul_imm_u(index, i64::from(size));
        let address = self.builder.ins().iadd(object, distance);
        // The branch above may be guessed wrong: then nothing beyond the array is read either.
        let ins = self.builder.ins();
        ins.select_spectre_guard(out_of_bounds, object, address)
    }

    pub(super) fn translate_array_get(&mut self, ty: u32, signed: bool) {
        let (field, size) = self.elements(TypeIndex::from_u32(ty));
        let (reference, index) = self.pop2();
        let address = self.emit_array_element(reference, index, size);
        let value = self.emit_field_load(&field, address, ELEMENTS, signed);
        self.push1(value);
    }

    pub(super) fn translate_array_set(&mut self, ty: u32) {
        let (field, size) = self.elements(TypeIndex::from_u32(ty));
        let (reference, index, value) = self.pop3();
        let address = self.emit_array_element(reference, index, size);
        self.emit_field_store(&field, value, address, ELEMENTS);
    }

    pub(super) fn translate_array_len(&mut self) {
        let reference = self.pop1();
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let len = self.emit_array_len(reference);
        self.push1(len);
    }

    pub(super) fn translate_array_fill(&mut self, ty: u32) {
        let (field, size) = self.elements(TypeIndex::from_u32(ty));
        let (index, value, count) = self.pop3();
        let reference = self.pop1();
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let len = self.emit_array_len(reference);
        let [index, count, len] =
            [index, count, len].map(|value| self.builder.ins().uextend(types::I64, value));
        let bytes = self.builder.ins().imul_imm_u(count, i64::from(size));
        self.charge_bulk(RuntimeFn::MemoryFill, bytes);
        let end = self.builder.ins().iadd(index, count);
        let out_of_bounds = self
            .builder
            .ins()
            .icmp(IntCC::UnsignedGreaterThan, end, len);
        self.emit_trap_if(out_of_bounds, TrapCode::ArrayOutOfBounds);
        let object = self.emit_object(reference);
        let elements = self.builder.ins().iadd_imm_s(object, i64::from(ELEMENTS));
        let [first, end] = [index, end].map(|index| {
            let distance = self.builder.ins().imul_imm_u(index, i64::from(size));
            self.builder.ins().iadd(elements, distance)
        });
        self.emit_stores(first, end, size, |t, address| {
            t.emit_field_store(&field, value, address, 0);
        });
    }

    pub(super) fn translate_array_copy(&mut self, ty: u32) {
        let (from, from_index, count) = self.pop3();
        let (to, to_index) = self.pop2();
        self.emit_trap_if_null(to, TrapCode::NullReference);
        self.emit_trap_if_null(from, TrapCode::NullReference);
        let index = TypeIndex::from_u32(ty);
        let ty = self.emit_number(ty);
        // Both fit 32 bits.
        let high = self.builder.ins().ishl_imm_u(to, 32);
        let pair = self.builder.ins().bor(high, from);
        let [to_index, from_index, count] = [to_index, from_index, count]
            .map(|value| self.builder.ins().uextend(types::I64, value));
        self.charge_elements(RuntimeFn::ArrayCopy, index, count);
        let args = [ty, pair, to_index, from_index, count];
        self.emit_runtime_call(RuntimeFn::ArrayCopy, &args);
    }

    /// Copies from a segment.
    pub(super) fn translate_array_init(&mut self, function: RuntimeFn, ty: u32, segment: u32) {
        let (index, start, count) = self.pop3();
        let reference = self.pop1();
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let pair = self.emit_pair(ty, segment);
        let [index, start, count] =
            [index, start, count].map(|value| self.builder.ins().uextend(types::I64, value));
        self.charge_elements(function, TypeIndex::from_u32(ty), count);
        self.emit_runtime_call(function, &[pair, reference, index, start, count]);
    }
}
