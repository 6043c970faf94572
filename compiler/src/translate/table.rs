//! Table operators.

use super::func::FuncTranslator;
use super::instance::Region;
use crate::isa;
use crate::module::{ElemIndex, TableIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, Value, types};
use precast_abi::instance::{FuncRef, TableDef};
use precast_abi::runtime::RuntimeFn;
use precast_abi::trap::TrapCode;
use std::mem::offset_of;
use wasmparser::ValType;

impl FuncTranslator<'_> {
    /// The address of an element of a table that can change. Traps with `code` if there is none.
    pub(super) fn emit_element_address(
        &mut self,
        table: TableIndex,
        index: Value,
        code: TrapCode,
    ) -> Value {
        let index = self.emit_index(index);
        let len = self.emit_table_len(table);
        let out_of_bounds = self
            .builder
            .ins()
            .icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
        self.emit_trap_if(out_of_bounds, code);
        let elements = self.emit_table_field(table, offset_of!(TableDef, elements));
        let size = i64::from(self.env.module.tables[table].element_size());
        let distance = self.builder.ins().imul_imm_u(index, size);
        let address = self.builder.ins().iadd(elements, distance);
        // The branch above may be guessed wrong: then nothing beyond the table is read either.
        self.builder
            .ins()
            .select_spectre_guard(out_of_bounds, elements, address)
    }

    /// The current length of a table in elements.
    fn emit_table_len(&mut self, index: TableIndex) -> Value {
        match self.env.module.tables[index].fixed_len() {
            Some(len) => self.builder.ins().iconst(types::I64, len as i64),
            None => self.emit_table_field(index, offset_of!(TableDef, len)),
        }
    }

    fn emit_table_field(&mut self, index: TableIndex, field: usize) -> Value {
        let imported = self.env.module.tables[index].imported;
        let offset = self.env.layout.tables.offset(index);
        let (record, offset) = self.emit_record(offset, imported);
        let flags = self.instance_flags(Region::Definitions);
        let offset = offset + field as i32;
        self.builder.ins().load(types::I64, flags, record, offset)
    }

    pub(super) fn translate_table_get(&mut self, table: u32) {
        let table = TableIndex::from_u32(table);
        let index = self.pop1();
        let address = self.emit_element_address(table, index, TrapCode::TableOutOfBounds);
        let offset = if self.env.module.tables[table].holds_func_refs {
            offset_of!(FuncRef, identity) as i32
        } else {
            0
        };
        let flags = self.instance_flags(Region::Elements);
        let value = self.builder.ins().load(types::I64, flags, address, offset);
        let ty = ValType::Ref(self.env.module.tables[table].elem);
        self.keep_on_stack(value, ty);
        self.push1(value);
    }

    pub(super) fn translate_table_set(&mut self, table: u32) {
        let table = TableIndex::from_u32(table);
        let (index, value) = self.pop2();
        let address = self.emit_element_address(table, index, TrapCode::TableOutOfBounds);
        let flags = self.instance_flags(Region::Elements);
        if self.env.module.tables[table].holds_func_refs {
            self.emit_record_copy(value, address, flags);
        } else {
            self.builder.ins().store(flags, value, address, 0);
        }
    }

    /// Copies a `FuncRef` record, or zeros if `reference` is null, to `address`.
    fn emit_record_copy(&mut self, reference: Value, address: Value, flags: MemFlagsData) {
        let has_vectors = isa::has_vectors(self.env.isa);
        let ty = if has_vectors {
            types::I8X16
        } else {
            types::I64
        };
        let piece = ty.bytes() as i32;
        let offsets = (0..size_of::<FuncRef>() as i32).step_by(piece as usize);
        let copy = self.builder.create_block();
        let store = self.builder.create_block();
        for _ in offsets.clone() {
            self.builder.append_block_param(store, ty);
        }
        let zero = match has_vectors {
            true => self.emit_v128_const(&[0; 16]),
            false => self.builder.ins().iconst(types::I64, 0),
        };
        let zeros: Vec<BlockArg> = offsets.clone().map(|_| BlockArg::from(zero)).collect();
        self.builder.ins().brif(reference, copy, &[], store, &zeros);

        self.continue_at(copy);
        let source = MemFlagsData::new().with_notrap();
        let load = |offset| self.builder.ins().load(ty, source, reference, offset);
        let pieces: Vec<BlockArg> = offsets.clone().map(load).map(BlockArg::from).collect();
        self.builder.ins().jump(store, &pieces);

        self.continue_at(store);
        for (nth, offset) in offsets.enumerate() {
            let piece = self.builder.block_params(store)[nth];
            self.builder.ins().store(flags, piece, address, offset);
        }
    }

    pub(super) fn translate_table_size(&mut self, table: u32) {
        let table = TableIndex::from_u32(table);
        let len = self.emit_table_len(table);
        self.push_index(len, self.env.module.tables[table].index64);
    }

    pub(super) fn translate_table_grow(&mut self, table: u32) {
        let (value, delta) = self.pop2();
        let index64 = self.env.module.tables[TableIndex::from_u32(table)].index64;
        let table = self.emit_number(table);
        let delta = self.emit_index(delta);
        let len = self.emit_runtime_call(RuntimeFn::TableGrow, &[table, value, delta]);
        self.push_index(len, index64);
    }

    pub(super) fn translate_table_fill(&mut self, table: u32) {
        let table = self.emit_number(table);
        self.emit_bulk(RuntimeFn::TableFill, table);
    }

    pub(super) fn translate_table_copy(&mut self, dst_table: u32, src_table: u32) {
        let pair = self.emit_pair(dst_table, src_table);
        self.emit_bulk(RuntimeFn::TableCopy, pair);
    }

    pub(super) fn translate_table_init(&mut self, table: u32, segment: u32) {
        let pair = self.emit_pair(table, segment);
        self.emit_bulk(RuntimeFn::TableInit, pair);
    }

    pub(super) fn translate_elem_drop(&mut self, segment: u32) {
        // Nobody can tell whether a segment is dropped that nobody copies from.
        if self.env.module.elements[ElemIndex::from_u32(segment)].used {
            let segment = self.emit_number(segment);
            self.emit_runtime_call(RuntimeFn::ElemDrop, &[segment]);
        }
    }
}
