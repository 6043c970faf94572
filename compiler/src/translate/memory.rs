//! Memory operators.

use super::func::FuncTranslator;
use crate::module::{DataIndex, MemoryIndex};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use precast_abi::runtime::RuntimeFn;
use wasmparser::MemArg;

/// A load of fewer bytes than its result has.
#[derive(Clone, Copy)]
pub(super) enum Narrow {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
}

impl Narrow {
    fn bytes(self) -> u32 {
        match self {
            Narrow::S8 | Narrow::U8 => 1,
            Narrow::S16 | Narrow::U16 => 2,
            Narrow::S32 | Narrow::U32 => 4,
        }
    }
}

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

    pub(super) fn translate_load(&mut self, memarg: &MemArg, ty: Type) {
        let value = self.emit_guest_load(memarg, ty);
        self.push1(value);
    }

    pub(super) fn translate_load_narrow(&mut self, memarg: &MemArg, ty: Type, narrow: Narrow) {
        let index = self.pop1();
        let at = self.emit_guest_address(memarg, index, narrow.bytes());
        let (flags, address, offset) = (at.flags, at.value, at.offset);
        let ins = self.builder.ins();
        let value = match narrow {
            Narrow::S8 => ins.sload8(ty, flags, address, offset),
            Narrow::U8 => ins.uload8(ty, flags, address, offset),
            Narrow::S16 => ins.sload16(ty, flags, address, offset),
            Narrow::U16 => ins.uload16(ty, flags, address, offset),
            Narrow::S32 => ins.sload32(flags, address, offset),
            Narrow::U32 => ins.uload32(flags, address, offset),
        };
        self.push1(value);
    }

    pub(super) fn translate_store(&mut self, memarg: &MemArg) {
        let value = self.pop1();
        self.emit_guest_store(memarg, value);
    }

    pub(super) fn translate_store_narrow(&mut self, memarg: &MemArg, bytes: u32) {
        let (index, value) = self.pop2();
        let at = self.emit_guest_address(memarg, index, bytes);
        let (flags, address, offset) = (at.flags, at.value, at.offset);
        let ins = self.builder.ins();
        match bytes {
            1 => ins.istore8(flags, value, address, offset),
            2 => ins.istore16(flags, value, address, offset),
            _ => ins.istore32(flags, value, address, offset),
        };
    }

    pub(super) fn translate_memory_size(&mut self, memory: u32) {
        let index = MemoryIndex::from_u32(memory);
        let info = &self.env.module.memories[index];
        let len = self.emit_memory_len(index);
        let shift = i64::from(info.page_size_log2);
        let pages = self.builder.ins().ushr_imm_u(len, shift);
        self.push_index(pages, info.index64);
    }

    /// Pushes a 64-bit count as the index type of a memory or table.
    pub(super) fn push_index(&mut self, count: Value, index64: bool) {
        let count = if index64 {
            count
        } else {
            self.builder.ins().ireduce(types::I32, count)
        };
        self.push1(count);
    }

    pub(super) fn translate_memory_grow(&mut self, memory: u32) {
        let delta = self.pop1();
        let delta = self.emit_index(delta);
        let index64 = self.env.module.memories[MemoryIndex::from_u32(memory)].index64;
        let memory = self.emit_number(memory);
        let pages = self.emit_runtime_call(RuntimeFn::MemoryGrow, &[memory, delta]);
        self.push_index(pages, index64);
    }

    pub(super) fn translate_memory_copy(&mut self, dst_memory: u32, src_memory: u32) {
        let pair = self.emit_pair(dst_memory, src_memory);
        self.emit_bulk(RuntimeFn::MemoryCopy, pair);
    }

    pub(super) fn translate_memory_fill(&mut self, memory: u32) {
        let memory = self.emit_number(memory);
        self.emit_bulk(RuntimeFn::MemoryFill, memory);
    }

    pub(super) fn translate_memory_init(&mut self, memory: u32, segment: u32) {
        let pair = self.emit_pair(memory, segment);
        self.emit_bulk(RuntimeFn::MemoryInit, pair);
    }

    pub(super) fn translate_data_drop(&mut self, segment: u32) {
        // Nobody can tell whether a segment is dropped that nobody copies from.
        if self.env.module.data[DataIndex::from_u32(segment)].used {
            let segment = self.emit_number(segment);
            self.emit_runtime_call(RuntimeFn::DataDrop, &[segment]);
        }
    }
}
