//! Calls: direct, of imports, through tables, through references, and as the last act of a
//! function.
//!
//! The callee's context is known without loading it wherever that is possible: loads that hang
//! on a loaded context are slow. An entry of a table that can change is compared with our own
//! base first.

use super::env::Namespace;
use super::func::FuncTranslator;
use super::instance::{Region, constant_flags};
use super::signature::{outward_signature, wasm_signature};
use crate::error::CompileError;
use crate::module::{CodeTable, FuncIndex, TableIndex, TypeIndex};
use crate::passes::{Known, Pass, known_callee};
use crate::trap::to_cranelift;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, BlockArg, InstBuilder, InstructionData, MemFlagsData, SigRef, Signature, Value, types,
};
use cranelift_codegen::isa::CallConv;
use precast_abi::instance::{FuncRef, ImportedFunc};
use precast_abi::trap::TrapCode;
use std::mem::offset_of;

/// What becomes of the results of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// They are pushed.
    Normal,
    /// They are those of the calling function, whose frame is gone before the call.
    Tail,
}

/// What is called.
#[derive(Clone, Copy)]
pub(super) enum Callee {
    /// A function in the same object.
    Symbol(ir::FuncRef),
    /// The code at this address.
    Code(Value),
}

impl FuncTranslator<'_> {
    pub(super) fn translate_call(
        &mut self,
        index: u32,
        kind: CallKind,
    ) -> Result<(), CompileError> {
        let index = FuncIndex::from_u32(index);
        let ty = self.env.module.functions[index].ty;
        let (callee, context) = self.emit_callee(index);
        let args = self.pop_args(ty, context);
        self.emit_call(callee, ty, &args, kind)
    }

    /// A function of the module and the context to call it with.
    fn emit_callee(&mut self, index: FuncIndex) -> (Callee, Value) {
        if !self.env.module.is_imported(index) {
            let signature = wasm_signature(self.env.module.func_type(index));
            let function = self.import(Namespace::Function, index.as_u32(), signature);
            return (Callee::Symbol(function), self.base);
        }
        let slot = self.env.layout.import_slots.offset(index);
        let code = slot + offset_of!(ImportedFunc, code) as i32;
        let code = self.emit_constant_load(types::I64, self.base, code);
        let context = slot + offset_of!(ImportedFunc, context) as i32;
        let context = self.emit_constant_load(types::I64, self.base, context);
        (Callee::Code(code), context)
    }

    /// Pops the arguments of a function of type `ty`; the context stands before them.
    fn pop_args(&mut self, ty: TypeIndex, context: Value) -> Vec<Value> {
        let count = self.env.module.types[ty].params.len();
        let mut args = Vec::with_capacity(count + 1);
        args.push(context);
        args.extend_from_slice(self.peek_n(count));
        self.pop_n(count);
        args
    }

    fn emit_call(
        &mut self,
        callee: Callee,
        ty: TypeIndex,
        args: &[Value],
        kind: CallKind,
    ) -> Result<(), CompileError> {
        match kind {
            CallKind::Tail => {
                self.emit_tail_call(callee, ty, args);
                self.set_unreachable();
            }
            CallKind::Normal => {
                let results = self.emit_normal_call(callee, ty, args)?;
                self.stack.extend_from_slice(&results);
            }
        }
        Ok(())
    }

    /// The frame is gone before the call, and with it what it would catch.
    fn emit_tail_call(&mut self, callee: Callee, ty: TypeIndex, args: &[Value]) {
        let signature = self.signature(ty);
        let ins = self.builder.ins();
        match callee {
            Callee::Symbol(function) => ins.return_call(function, args),
            Callee::Code(code) => ins.return_call_indirect(signature, code, args),
        };
    }

    /// The results of a call.
    fn emit_normal_call(
        &mut self,
        callee: Callee,
        ty: TypeIndex,
        args: &[Value],
    ) -> Result<Vec<Value>, CompileError> {
        let signature = self.signature(ty);
        let types = &self.env.module.types[ty].results;
        if self.is_in_try() {
            return self.emit_try_call(callee, signature, args, types);
        }
        let ins = self.builder.ins();
        let call = match callee {
            Callee::Symbol(function) => ins.call(function, args),
            Callee::Code(code) => ins.call_indirect(signature, code, args),
        };
        let results = self.builder.inst_results(call).to_vec();
        for (result, ty) in results.iter().zip(types) {
            self.keep_on_stack(*result, *ty);
        }
        Ok(results)
    }

    /// The signature of functions of a type.
    fn signature(&mut self, ty: TypeIndex) -> SigRef {
        let key = self.env.module.canonical(ty).as_u32();
        if let Some(signature) = self.cache.signatures.get(&key) {
            return *signature;
        }
        let signature = outward_signature(self.env.isa, &self.env.module.types[ty]);
        let signature = self.builder.import_signature(signature);
        self.cache.signatures.insert(key, signature);
        signature
    }

    pub(super) fn translate_call_indirect(
        &mut self,
        ty: u32,
        table: u32,
        kind: CallKind,
    ) -> Result<(), CompileError> {
        let (ty, table) = (TypeIndex::from_u32(ty), TableIndex::from_u32(table));
        let index = self.pop1();
        if let Some(code_table) = self.env.module.code_table(table, ty) {
            match self.known_callee(table, ty, index) {
                Some(Known::Function(callee)) => {
                    return self.translate_call(callee.as_u32(), kind);
                }
                Some(Known::AtIndex(callee, at)) => {
                    self.emit_index_guess(code_table, ty, index, at);
                    return self.translate_call(callee.as_u32(), kind);
                }
                None => {}
            }
            let code = self.emit_code_table_entry(code_table, ty, index);
            let args = self.pop_args(ty, self.base);
            return self.emit_call(Callee::Code(code), ty, &args, kind);
        }
        let entry = self.emit_element_address(table, index, TrapCode::UndefinedElement);
        let flags = self.instance_flags(Region::Elements);
        self.emit_type_check(ty, entry, flags);
        self.emit_record_call(ty, entry, flags, kind)
    }

    /// What is known of the callee of an indirect call.
    fn known_callee(&self, table: TableIndex, ty: TypeIndex, index: Value) -> Option<Known> {
        if !self.env.passes.has(Pass::Devirtualise) {
            return None;
        }
        known_callee(self.env.module, table, ty, self.constant(index))
    }

    /// The value of an `i32` or `i64` constant, as an index.
    fn constant(&self, value: Value) -> Option<u64> {
        let dfg = &self.builder.func.dfg;
        let inst = dfg.value_def(value).inst()?;
        let InstructionData::UnaryImm { imm, .. } = dfg.insts[inst] else {
            return None;
        };
        let bits = imm.bits() as u64;
        match dfg.value_type(value) {
            types::I32 => Some(u64::from(bits as u32)),
            types::I64 => Some(bits),
            _ => None,
        }
    }

    /// Traps unless an index is the one of the only element that can be called: what stands at
    /// every other one is code that traps with the right code.
    fn emit_index_guess(&mut self, code_table: u32, ty: TypeIndex, index: Value, at: u64) {
        let wide = self.emit_index(index);
        let found = self.builder.ins().icmp_imm_u(IntCC::Equal, wide, at as i64);
        let rest = self.builder.create_block();
        let wrong = self.builder.create_block();
        self.builder.set_cold_block(wrong);
        self.builder.ins().brif(found, rest, &[], wrong, &[]);

        self.continue_at(wrong);
        let code = self.emit_code_table_entry(code_table, ty, index);
        self.emit_trapping_call(code);
        self.continue_at(rest);
    }

    /// Calls code that traps.
    fn emit_trapping_call(&mut self, code: Value) {
        let mut signature = Signature::new(CallConv::Tail);
        signature.params.push(ir::AbiParam::new(types::I64));
        let signature = self.builder.import_signature(signature);
        let base = self.base;
        let ins = self.builder.ins();
        ins.call_indirect(signature, code, &[base]);
        let code = to_cranelift(TrapCode::UndefinedElement);
        self.builder.ins().trap(code);
    }

    /// The code to call for an element of an immutable table. Whatever is wrong with the index
    /// or the type, the entry found is code that traps with the right code.
    fn emit_code_table_entry(&mut self, code_table: u32, ty: TypeIndex, index: Value) -> Value {
        let CodeTable { table, ty: own } = self.env.module.code_tables[code_table as usize];
        let len = self.env.module.tables[table].min as i64;
        let index = self.emit_index(index);
        let len = self.builder.ins().iconst(types::I64, len);
        let within = self.builder.ins().icmp(IntCC::UnsignedLessThan, index, len);
        let index = self.builder.ins().select_spectre_guard(within, index, len);
        // The address of a symbol by way of a function: Cranelift's inliner mistakes others.
        let signature = Signature::new(CallConv::Tail);
        let array = self.import(Namespace::CodeTable, code_table, signature);
        let array = self.builder.ins().func_addr(types::I64, array);
        if own.is_none() {
            self.emit_type_number_check(array, code_table, ty, index);
        }
        self.emit_table_code(array, index)
    }

    /// The code that entry `index` of an array leads to.
    fn emit_table_code(&mut self, array: Value, index: Value) -> Value {
        let distance = self.builder.ins().ishl_imm_u(index, 2);
        let entry = self.builder.ins().iadd(array, distance);
        // Not `sload32`: Cranelift moves plain loads only out of loops.
        let offset = self.emit_constant_load(types::I32, entry, 0);
        let offset = self.builder.ins().sextend(types::I64, offset);
        self.builder.ins().iadd(array, offset)
    }

    /// Traps unless entry `index` of an array that is shared is a function of type `ty`.
    fn emit_type_number_check(
        &mut self,
        array: Value,
        code_table: u32,
        ty: TypeIndex,
        index: Value,
    ) {
        let module = self.env.module;
        let entries = module.code_table_entries(&module.code_tables[code_table as usize]);
        let expected = CodeTable::type_number(module.canonical(ty));
        let distance = self.builder.ins().ishl_imm_u(index, 1);
        let place = self.builder.ins().iadd(array, distance);
        // The numbers follow the entries, whose size is limited.
        let offset = entries as i32 * 4;
        let flags = constant_flags();
        let found = self.builder.ins().uload16(types::I32, flags, place, offset);
        let matches = self
            .builder
            .ins()
            .icmp_imm_u(IntCC::Equal, found, i64::from(expected));
        let rest = self.builder.create_block();
        let wrong = self.builder.create_block();
        self.builder.set_cold_block(wrong);
        self.builder.ins().brif(matches, rest, &[], wrong, &[]);

        // What has no type leads to the trap that it is.
        self.continue_at(wrong);
        let mismatch = self.trap_block(TrapCode::IndirectCallTypeMismatch);
        let trap = self.builder.create_block();
        self.builder.set_cold_block(trap);
        self.builder.ins().brif(found, mismatch, &[], trap, &[]);
        self.continue_at(trap);
        let code = self.emit_table_code(array, index);
        self.emit_trapping_call(code);
        self.continue_at(rest);
    }

    /// Traps unless the record at `entry` is of type `ty`.
    fn emit_type_check(&mut self, ty: TypeIndex, entry: Value, flags: MemFlagsData) {
        let expected = self.env.layout.type_id_offset(ty);
        let expected = self.emit_constant_load(types::I32, self.base, expected);
        let offset = offset_of!(FuncRef, type_id) as i32;
        let found = self.builder.ins().load(types::I32, flags, entry, offset);
        let matches = self.builder.ins().icmp(IntCC::Equal, found, expected);
        let rest = self.builder.create_block();
        let wrong = self.builder.create_block();
        self.builder.set_cold_block(wrong);
        self.builder.ins().brif(matches, rest, &[], wrong, &[]);

        // Null has the type 0, which no function has.
        self.continue_at(wrong);
        let mismatch = self.trap_block(TrapCode::IndirectCallTypeMismatch);
        let null = self.trap_block(TrapCode::UninitializedElement);
        if self.env.module.types[ty].sub.is_final {
            self.builder.ins().brif(found, mismatch, &[], null, &[]);
        } else {
            let other = self.builder.create_block();
            self.builder.set_cold_block(other);
            self.builder.ins().brif(found, other, &[], null, &[]);
            self.continue_at(other);
            let holds = self.emit_is_subtype(found, ty);
            self.builder.ins().brif(holds, rest, &[], mismatch, &[]);
        }
        self.continue_at(rest);
    }

    pub(super) fn translate_call_ref(
        &mut self,
        ty: u32,
        kind: CallKind,
    ) -> Result<(), CompileError> {
        let reference = self.pop1();
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let flags = MemFlagsData::trusted().with_readonly();
        self.emit_record_call(TypeIndex::from_u32(ty), reference, flags, kind)
    }

    /// Calls the function of a `FuncRef` record, with our own base as its context where that is
    /// what the record has.
    fn emit_record_call(
        &mut self,
        ty: TypeIndex,
        record: Value,
        flags: MemFlagsData,
        kind: CallKind,
    ) -> Result<(), CompileError> {
        let offset = offset_of!(FuncRef, code) as i32;
        let code = self.builder.ins().load(types::I64, flags, record, offset);
        let offset = offset_of!(FuncRef, context) as i32;
        let context = self.builder.ins().load(types::I64, flags, record, offset);
        let is_own = self.builder.ins().icmp(IntCC::Equal, context, self.base);

        let own = self.builder.create_block();
        let foreign = self.builder.create_block();
        let join = self.builder.create_block();
        self.builder.set_cold_block(foreign);
        self.builder.ins().brif(is_own, own, &[], foreign, &[]);
        let mut args = self.pop_args(ty, self.base);
        for (block, context) in [(own, self.base), (foreign, context)] {
            self.continue_at(block);
            args[0] = context;
            match kind {
                CallKind::Tail => self.emit_tail_call(Callee::Code(code), ty, &args),
                CallKind::Normal => {
                    let results = self.emit_normal_call(Callee::Code(code), ty, &args)?;
                    let results: Vec<_> = results.into_iter().map(BlockArg::from).collect();
                    self.builder.ins().jump(join, &results);
                }
            }
        }
        match kind {
            CallKind::Tail => self.set_unreachable(),
            CallKind::Normal => {
                self.append_params(join, &self.env.module.types[ty].results);
                self.continue_at(join);
                self.push_block_params(join);
            }
        }
        Ok(())
    }
}
