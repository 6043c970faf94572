//! Exceptions: `try_table`, `throw`, `throw_ref`. (For `try`, see `legacy`.)
//!
//! A call within a `try_table` ends its block: it says where to go on when it returns, and which
//! handlers its exceptions may have, the innermost first. Nothing is executed for that. The loader
//! finds the call by its return address, and goes on at the handler with the address of a record
//! that holds the values. So every clause has a block that takes them from there and branches to
//! the clause's label.

use super::call::Callee;
use super::control::{Frame, FrameKind};
use super::func::FuncTranslator;
use super::legacy::Tries;
use super::signature::clif_type;
use crate::error::CompileError;
use crate::module::TagIndex;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, BlockCall, ExceptionTable, ExceptionTableData, ExceptionTableItem,
    ExceptionTag, InstBuilder, MemFlagsData, SigRef, Signature, StackSlot, StackSlotData,
    StackSlotKind, Value, types,
};
use cranelift_codegen::isa::CallConv;
use precast_abi::VALUE_SIZE;
use precast_abi::instance::{ExceptionRecord, InstanceHeader};
use precast_abi::object::ExceptionHandler;
use precast_abi::runtime::RuntimeFn;
use precast_abi::trap::TrapCode;
use std::mem::offset_of;
use wasmparser::{AbstractHeapType, BlockType, Catch, HeapType, RefType, TryTable, ValType};

/// A function whose calls have more handlers than this, all together, is refused: each call names
/// all that are around it.
const MAX_HANDLERS: usize = 1 << 20;

/// What a function knows of its handlers.
#[derive(Default)]
pub(crate) struct Exceptions {
    /// The frames that catch what is thrown here, by their place in the control stack.
    pub(super) trys: Vec<usize>,
    /// How many handlers calls have named so far.
    named: usize,
    /// Room for the values of what is thrown, by their number.
    slots: Vec<Option<StackSlot>>,
    /// The signature of the functions that throw.
    signature: Option<SigRef>,
    /// What is known beforehand of each `try`.
    pub(super) legacy: Tries,
}

/// A clause of a `try_table` or `try`.
#[derive(Clone, Copy)]
pub(crate) struct Clause {
    /// What it catches; `None` for everything.
    pub(super) tag: Option<TagIndex>,
    /// Whether it hands on a reference to the exception.
    pub(super) wants_ref: bool,
    pub(super) target: Target,
    /// Where the loader goes on, once a call has named it.
    pub(super) landing: Option<Block>,
}

/// Where a clause leads to.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// A frame, by its place in the control stack: it branches there.
    Frame(usize),
    /// The code of the clause itself, once something leads there. Takes the values, and the
    /// reference where the clause wants it.
    Code(Option<Block>),
}

/// Values of this type are references to exceptions, which the loader must find on the stack.
fn is_exception(ty: ValType) -> bool {
    let ValType::Ref(ty) = ty else { return false };
    let exn = |ty| matches!(ty, AbstractHeapType::Exn);
    matches!(ty.heap_type(), HeapType::Abstract { ty, .. } if exn(ty))
}

/// Values of this type are references of the host's.
fn is_extern(ty: ValType) -> bool {
    let ValType::Ref(ty) = ty else { return false };
    let of_host = |ty| matches!(ty, AbstractHeapType::Extern);
    matches!(ty.heap_type(), HeapType::Abstract { ty, .. } if of_host(ty))
}

impl FuncTranslator<'_> {
    /// Makes sure that a value is on the stack during calls, if the loader must find it there.
    pub(super) fn keep_on_stack(&mut self, value: Value, ty: ValType) {
        if self.is_kept_on_stack(ty) {
            self.builder.declare_value_needs_stack_map(value);
        }
    }

    /// Whether the loader must find values of this type on the stack: references to exceptions, to
    /// objects that may move, and those of the host's, which may be objects that were converted.
    pub(super) fn is_kept_on_stack(&self, ty: ValType) -> bool {
        is_exception(ty) || is_extern(ty) || (self.env.collects && self.env.module.is_heap_ref(ty))
    }

    pub(super) fn translate_try_table(&mut self, table: &TryTable) {
        let depth = self.control.len();
        let clause = |catch: &Catch| {
            let (tag, wants_ref, label) = match *catch {
                Catch::One { tag, label } => (Some(tag), false, label),
                Catch::OneRef { tag, label } => (Some(tag), true, label),
                Catch::All { label } => (None, false, label),
                Catch::AllRef { label } => (None, true, label),
            };
            Clause {
                tag: tag.map(TagIndex::from_u32),
                wants_ref,
                target: Target::Frame(depth - 1 - label as usize),
                landing: None,
            }
        };
        let clauses = table.catches.iter().map(clause).collect();
        self.enter_try(table.ty, FrameKind::TryTable(clauses));
    }

    pub(super) fn enter_try(&mut self, ty: BlockType, kind: FrameKind) {
        self.exceptions.trys.push(self.control.len());
        self.push_block_frame(ty, kind);
    }

    /// Leaves a `try_table`: what it has caught goes to the labels of its clauses.
    pub(super) fn end_try_table(&mut self) {
        self.exceptions.trys.pop();
        let FrameKind::TryTable(clauses) = self.take_kind() else {
            return;
        };
        if clauses.iter().all(|clause| clause.landing.is_none()) {
            return self.end_block();
        }
        let rest = self.leave_for_landings();
        for clause in clauses {
            if let Some(landing) = clause.landing {
                self.continue_at(landing);
                self.emit_caught(landing, clause.tag, clause.wants_ref);
                self.branch_to(clause.target);
                self.stack.truncate(rest.height);
            }
        }
        self.resume_after(rest);
    }

    /// Branches to a frame with what is on the stack.
    fn branch_to(&mut self, target: Target) {
        if let Target::Frame(frame) = target {
            self.translate_br((self.control.len() - 1 - frame) as u32);
        }
    }

    /// Pushes the values of an exception that was caught, and a reference to it.
    pub(super) fn emit_caught(&mut self, landing: Block, tag: Option<TagIndex>, wants_ref: bool) {
        let record = self.builder.block_params(landing)[0];
        let flags = MemFlagsData::trusted();
        let module = self.env.module;
        let params = tag.map_or(&[][..], |tag| module.tag_params(tag));
        for (i, ty) in params.iter().enumerate() {
            let offset = (size_of::<ExceptionRecord>() + i * VALUE_SIZE) as i32;
            let ins = self.builder.ins();
            let value = ins.load(clif_type(*ty), flags, record, offset);
            self.keep_on_stack(value, *ty);
            self.push1(value);
        }
        if wants_ref {
            let offset = offset_of!(ExceptionRecord, reference) as i32;
            let reference = self.builder.ins().load(types::I64, flags, record, offset);
            self.keep_on_stack(reference, ValType::Ref(RefType::EXN));
            self.push1(reference);
        }
    }

    /// Whether the results of a call here say where exceptions go.
    pub(super) fn is_in_try(&self) -> bool {
        !self.exceptions.trys.is_empty()
    }

    /// A call of a function within a `try_table`. Goes on where it returns, with its results.
    pub(super) fn emit_try_call(
        &mut self,
        callee: Callee,
        signature: SigRef,
        args: &[Value],
        results: &[ValType],
    ) -> Result<Vec<Value>, CompileError> {
        // A function that is called by its address may have another one, for the same type.
        let signature = match callee {
            Callee::Symbol(function) => self.builder.func.dfg.ext_funcs[function].signature,
            Callee::Code(_) => signature,
        };
        // Of other conventions, a handler would find what callees keep in registers changed.
        let convention = self.builder.func.dfg.signatures[signature].call_conv;
        debug_assert_eq!(convention, CallConv::Tail);
        let rest = self.builder.create_block();
        self.append_params(rest, results);
        let table = self.exception_table(signature, rest, results.len())?;
        match callee {
            Callee::Symbol(function) => self.builder.ins().try_call(function, args, table),
            Callee::Code(code) => self.builder.ins().try_call_indirect(code, args, table),
        };
        self.continue_at(rest);
        Ok(self.builder.block_params(rest).to_vec())
    }

    /// Where a call goes on: at `rest` with its results, or at a handler.
    fn exception_table(
        &mut self,
        signature: SigRef,
        rest: Block,
        results: usize,
    ) -> Result<ExceptionTable, CompileError> {
        let handlers = self.handlers();
        self.exceptions.named += handlers.len();
        if self.exceptions.named > MAX_HANDLERS {
            return Err(self.too_large(&format!(
                "its calls have more than {MAX_HANDLERS} exception handlers"
            )));
        }
        let pool = &mut self.builder.func.dfg.value_lists;
        let mut items = vec![ExceptionTableItem::Context(self.base)];
        for (what, landing) in handlers {
            let call = BlockCall::new(landing, [BlockArg::TryCallExn(0)], pool);
            items.push(ExceptionTableItem::Tag(ExceptionTag::from_u32(what), call));
        }
        let results = (0..results as u32).map(BlockArg::TryCallRet);
        let returned = BlockCall::new(rest, results, pool);
        let table = ExceptionTableData::new(signature, returned, items);
        Ok(self.builder.func.dfg.exception_tables.push(table))
    }

    /// What is caught here and where, the innermost first. What another one has caught before is
    /// left out.
    fn handlers(&mut self) -> Vec<(u32, Block)> {
        let mut found: Vec<(u32, Block)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for frame in self.active_trys() {
            for j in 0..self.control[frame].clauses().len() {
                let clause = self.control[frame].clauses()[j];
                if !seen.insert(clause.tag) {
                    continue;
                }
                let landing = self.landing(frame, j);
                let tag = clause.tag.map(TagIndex::as_u32);
                let handler = ExceptionHandler::new(tag, clause.wants_ref, 0);
                found.push((handler.what, landing));
                if tag.is_none() {
                    return found;
                }
            }
        }
        found
    }

    /// The frames that catch what is thrown here, the innermost first.
    fn active_trys(&self) -> Vec<usize> {
        let mut below = usize::MAX;
        let mut active = Vec::new();
        for &frame in self.exceptions.trys.iter().rev() {
            if frame > below {
                continue;
            }
            match self.control[frame].delegates_to() {
                Some(target) => below = target,
                None => active.push(frame),
            }
        }
        active
    }

    /// The block that the loader goes on at for a clause.
    fn landing(&mut self, frame: usize, clause: usize) -> Block {
        if let Some(landing) = self.control[frame].clauses()[clause].landing {
            return landing;
        }
        let landing = self.builder.create_block();
        self.builder.append_block_param(landing, types::I64);
        self.builder.set_cold_block(landing);
        self.control[frame].clauses_mut()[clause].landing = Some(landing);
        landing
    }

    pub(super) fn translate_throw(&mut self, tag: u32) -> Result<(), CompileError> {
        let tag = TagIndex::from_u32(tag);
        let count = self.env.module.tag_params(tag).len();
        if let Some((frame, clause)) = self.known_clause(tag) {
            let Clause { tag, target, .. } = self.control[frame].clauses()[clause];
            if tag.is_none() {
                self.pop_n(count);
            }
            match target {
                Target::Frame(_) => self.branch_to(target),
                Target::Code(_) => {
                    let code = self.clause_code(frame, clause);
                    self.jump_to_clause(code, tag.map_or(0, |_| count));
                }
            }
            return Ok(());
        }
        let values = self.emit_thrown_values(tag);
        self.pop_n(count);
        let tag = self.emit_number(tag.as_u32());
        self.emit_throw(RuntimeFn::Throw, &[tag, values])
    }

    /// The clause of this function that catches what is thrown here, where that is known and
    /// nothing of the exception is left then but its values.
    fn known_clause(&self, thrown: TagIndex) -> Option<(usize, usize)> {
        let module = self.env.module;
        for frame in self.active_trys() {
            for (i, clause) in self.control[frame].clauses().iter().enumerate() {
                match clause.tag {
                    Some(tag) if tag != thrown => {
                        // Another import may be the same tag.
                        if module.is_imported_tag(tag) && module.is_imported_tag(thrown) {
                            return None;
                        }
                    }
                    _ => return (!clause.wants_ref).then_some((frame, i)),
                }
            }
        }
        None
    }

    /// Stores the values of what is thrown, and says where they are.
    fn emit_thrown_values(&mut self, tag: TagIndex) -> Value {
        let count = self.env.module.tag_params(tag).len();
        if count == 0 {
            return self.builder.ins().iconst(types::I64, 0);
        }
        let slot = self.values_slot(count);
        let values = self.peek_n(count).to_vec();
        let address = self.builder.ins().stack_addr(types::I64, slot, 0);
        for (i, value) in values.into_iter().enumerate() {
            let offset = (i * VALUE_SIZE) as i32;
            let flags = MemFlagsData::trusted();
            self.builder.ins().store(flags, value, address, offset);
        }
        address
    }

    fn values_slot(&mut self, count: usize) -> StackSlot {
        if self.exceptions.slots.len() <= count {
            self.exceptions.slots.resize(count + 1, None);
        }
        if let Some(slot) = self.exceptions.slots[count] {
            return slot;
        }
        let size = (count * VALUE_SIZE) as u32;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, VALUE_SIZE.ilog2() as u8);
        let slot = self.builder.create_sized_stack_slot(data);
        self.exceptions.slots[count] = Some(slot);
        slot
    }

    pub(super) fn translate_throw_ref(&mut self) -> Result<(), CompileError> {
        let reference = self.pop1();
        let unused = self.emit_number(0);
        self.emit_throw(RuntimeFn::ThrowRef, &[reference, unused])
    }

    /// Calls a function of the loader that does not return.
    pub(super) fn emit_throw(
        &mut self,
        function: RuntimeFn,
        args: &[Value; 2],
    ) -> Result<(), CompileError> {
        let table = -(InstanceHeader::RUNTIME as i32);
        let table = self.emit_constant_load(types::I64, self.base, table);
        let code = self.emit_constant_load(types::I64, table, function.offset());
        let signature = self.throw_signature();
        let args = [self.base, args[0], args[1]];
        if self.is_in_try() {
            self.emit_try_call(Callee::Code(code), signature, &args, &[])?;
        } else {
            self.builder.ins().call_indirect(signature, code, &args);
        }
        let never = crate::trap::to_cranelift(TrapCode::Unreachable);
        self.builder.ins().trap(never);
        self.set_unreachable();
        Ok(())
    }

    /// As of a function of the module: only those may be called within a `try_table`. Parameters
    /// travel as in C's convention.
    fn throw_signature(&mut self) -> SigRef {
        if let Some(signature) = self.exceptions.signature {
            return signature;
        }
        let mut signature = Signature::new(CallConv::Tail);
        signature.params.extend([AbiParam::new(types::I64); 3]);
        let signature = self.builder.import_signature(signature);
        self.exceptions.signature = Some(signature);
        signature
    }
}

impl Frame {
    pub(super) fn clauses(&self) -> &[Clause] {
        match &self.kind {
            FrameKind::TryTable(clauses) => clauses,
            FrameKind::Try(frame) => &frame.clauses,
            _ => &[],
        }
    }

    pub(super) fn clauses_mut(&mut self) -> &mut [Clause] {
        match &mut self.kind {
            FrameKind::TryTable(clauses) => clauses,
            FrameKind::Try(frame) => &mut frame.clauses,
            _ => &mut [],
        }
    }
}
