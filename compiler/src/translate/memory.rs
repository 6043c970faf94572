//! Memory operators.

use super::address::GuestAddress;
use super::env::Namespace;
use super::func::FuncTranslator;
use crate::isa;
use crate::module::{Bounds, DataIndex, MemoryIndex};
use crate::passes::{Chunk, Pass, chunks};
use crate::stubs::bulk_signature;
use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use precast_abi::runtime::RuntimeFn;
use wasmparser::{MemArg, MemArgTarget};

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

/// The type of a value of so many bytes that is moved and not looked at.
fn chunk_type(size: u32) -> Type {
    match size {
        1 => types::I8,
        2 => types::I16,
        4 => types::I32,
        8 => types::I64,
        _ => types::I8X16,
    }
}

/// The lowest byte of an `i32`, `size` times.
fn emit_repeated(builder: &mut FunctionBuilder<'_>, byte: Value, size: u32) -> Value {
    let byte = builder.ins().ireduce(types::I8, byte);
    match size {
        1 => byte,
        16 => builder.ins().splat(types::I8X16, byte),
        _ => {
            let ty = chunk_type(size);
            let byte = builder.ins().uextend(ty, byte);
            let ones = 0x0101_0101_0101_0101_u64 >> (64 - 8 * size);
            let ones = builder.ins().iconst(ty, ones as i64);
            builder.ins().imul(byte, ones)
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
        let len = match info.shared && info.fixed_bytes().is_none() {
            true => self.emit_shared_memory_len(index),
            false => self.emit_memory_len(index),
        };
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
        let chunks = self.small_bulk_chunks();
        if !chunks.is_empty() {
            self.charge_small_bulk(RuntimeFn::MemoryCopy);
            return self.emit_small_copy(dst_memory, src_memory, &chunks);
        }
        if dst_memory == 0 && src_memory == 0 && self.has_bulk_stubs() {
            return self.emit_bulk_stub(RuntimeFn::MemoryCopy);
        }
        let pair = self.emit_pair(dst_memory, src_memory);
        self.emit_bulk(RuntimeFn::MemoryCopy, pair);
    }

    pub(super) fn translate_memory_fill(&mut self, memory: u32) {
        let chunks = self.small_bulk_chunks();
        if !chunks.is_empty() {
            self.charge_small_bulk(RuntimeFn::MemoryFill);
            return self.emit_small_fill(memory, &chunks);
        }
        if memory == 0 && self.has_bulk_stubs() {
            return self.emit_bulk_stub(RuntimeFn::MemoryFill);
        }
        let memory = self.emit_number(memory);
        self.emit_bulk(RuntimeFn::MemoryFill, memory);
    }

    /// Whether short ranges of memory 0 are copied and filled by stubs of the object's own.
    fn has_bulk_stubs(&self) -> bool {
        let memory = &self.env.module.memories[MemoryIndex::from_u32(0)];
        self.env.passes.has(Pass::SmallBulk)
            && isa::has_vectors(self.env.isa)
            && memory.bounds == Bounds::GuardPages
            && !memory.imported
            && !memory.index64
    }

    /// Pops three operands and calls the stub that stands for `function` where little is to be done.
    fn emit_bulk_stub(&mut self, function: RuntimeFn) {
        let (to, from, len) = self.pop3();
        let cost = self.emit_index(len);
        self.charge_bulk(function, cost);
        let stub = self.import(Namespace::BulkStub, function as u32, bulk_signature());
        let base = self.base;
        self.builder.ins().call(stub, &[base, to, from, len]);
    }

    /// The moves that the length on top of the stack becomes, if it is known and small.
    fn small_bulk_chunks(&self) -> Vec<Chunk> {
        if !self.env.passes.has(Pass::SmallBulk) {
            return Vec::new();
        }
        let dfg = &self.builder.func.dfg;
        let len = dfg.resolve_aliases(self.peek_n(1)[0]);
        let imm = match dfg.value_def(len).inst().map(|inst| &dfg.insts[inst]) {
            Some(InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            }) => imm.bits(),
            _ => return Vec::new(),
        };
        // One of 32 bits that looks negative is long, too.
        let most = if isa::has_vectors(self.env.isa) {
            16
        } else {
            8
        };
        chunks(imm as u64, most)
    }

    /// Charges for the length on top of the stack.
    fn charge_small_bulk(&mut self, function: RuntimeFn) {
        let len = self.peek_n(1)[0];
        let len = self.emit_index(len);
        self.charge_bulk(function, len);
    }

    /// Every load before any store, and the highest store first: all bytes or none.
    fn emit_small_copy(&mut self, dst_memory: u32, src_memory: u32, chunks: &[Chunk]) {
        let (dst, src, _len) = self.pop3();
        let from = self.emit_range_address(src_memory, src, chunks);
        let to = self.emit_range_address(dst_memory, dst, chunks);
        let load = |chunk: &Chunk| {
            let ty = chunk_type(chunk.size);
            let offset = from.offset + chunk.offset;
            self.builder.ins().load(ty, from.flags, from.value, offset)
        };
        let values: Vec<Value> = chunks.iter().map(load).collect();
        for (chunk, value) in chunks.iter().zip(values) {
            let offset = to.offset + chunk.offset;
            self.builder.ins().store(to.flags, value, to.value, offset);
        }
    }

    /// The highest store first: all bytes or none.
    fn emit_small_fill(&mut self, memory: u32, chunks: &[Chunk]) {
        let (dst, byte, _len) = self.pop3();
        let to = self.emit_range_address(memory, dst, chunks);
        let mut by_size: [Option<Value>; 5] = [None; 5];
        for chunk in chunks {
            let place = &mut by_size[chunk.size.ilog2() as usize];
            let value = match *place {
                Some(value) => value,
                None => *place.insert(emit_repeated(&mut self.builder, byte, chunk.size)),
            };
            let offset = to.offset + chunk.offset;
            self.builder.ins().store(to.flags, value, to.value, offset);
        }
    }

    /// The address of all bytes of a range together.
    fn emit_range_address(&mut self, memory: u32, index: Value, chunks: &[Chunk]) -> GuestAddress {
        let whole = MemArg {
            align: 0,
            max_align: 0,
            offset: 0,
            target: MemArgTarget::Memory(memory),
            ordering: None,
        };
        let ends = chunks.iter().map(|chunk| chunk.offset as u32 + chunk.size);
        self.emit_guest_address(&whole, index, ends.max().unwrap_or(0))
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
