//! Structured control: blocks, branches, `select`, `return`.

use super::exception::Clause;
use super::func::FuncTranslator;
use super::legacy::TryFrame;
use super::signature::clif_type;
use crate::error::CompileError;
use crate::isa;
use crate::module::TypeIndex;
use crate::passes::{Pass, Run, runs};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstBuilder, JumpTableData, Value};
use precast_abi::object::Arch;
use precast_abi::trap::TrapCode;
use std::collections::HashMap;
use wasmparser::{BlockType, BrTable, ValType};

/// A block, loop, `if` or function that has been entered and not been left.
pub(crate) struct Frame {
    pub(super) kind: FrameKind,
    /// Height of the operand stack below its parameters.
    height: usize,
    /// How many results it has.
    results: usize,
    /// Where it is left: has one parameter for each result. Not used by loops.
    exit: Block,
    /// Whether a branch to `exit` exists.
    exit_used: bool,
}

pub(super) enum FrameKind {
    /// The function itself: to leave it is to return.
    Function,
    Block,
    /// Branches go to its header, which takes this many parameters.
    Loop {
        header: Block,
        params: usize,
    },
    /// The block for the `else` that may come; has one parameter for each one of the frame.
    If {
        otherwise: Block,
    },
    Else,
    /// Has these clauses.
    TryTable(Vec<Clause>),
    Try(TryFrame),
}

/// What is left to do where a frame ends, once its handlers are translated.
pub(super) struct Rest {
    /// Height of the operand stack.
    pub(super) height: usize,
    exit: Option<Block>,
}

/// Where a branch goes.
#[derive(Clone, Copy)]
struct Label {
    block: Block,
    /// How many operands it takes along.
    arity: usize,
}

fn block_args(values: &[Value]) -> Vec<BlockArg> {
    values.iter().copied().map(BlockArg::from).collect()
}

impl FuncTranslator<'_> {
    /// Enters the function itself.
    pub(super) fn push_function_frame(&mut self, results: &[ValType]) {
        self.push_frame(FrameKind::Function, 0, results);
    }

    fn push_frame(&mut self, kind: FrameKind, params: usize, results: &[ValType]) {
        let exit = self.builder.create_block();
        if !matches!(kind, FrameKind::Loop { .. }) {
            self.append_params(exit, results);
        }
        self.control.push(Frame {
            kind,
            height: self.stack.len() - params,
            results: results.len(),
            exit,
            exit_used: false,
        });
    }

    pub(super) fn append_params(&mut self, block: Block, types: &[ValType]) {
        for ty in types {
            let param = self.builder.append_block_param(block, clif_type(*ty));
            self.keep_on_stack(param, *ty);
        }
    }

    /// Parameters and results of a block.
    fn block_type(&self, ty: BlockType) -> (&[ValType], Vec<ValType>) {
        match ty {
            BlockType::Empty => (&[], Vec::new()),
            BlockType::Type(ty) => (&[], vec![ty]),
            BlockType::FuncType(index) => {
                let ty = &self.env.module.types[TypeIndex::from_u32(index)];
                (&ty.params, ty.results.to_vec())
            }
        }
    }

    pub(super) fn translate_block(&mut self, ty: BlockType) {
        self.push_block_frame(ty, FrameKind::Block);
    }

    /// Enters a frame that begins where control is.
    pub(super) fn push_block_frame(&mut self, ty: BlockType, kind: FrameKind) {
        let (params, results) = self.block_type(ty);
        let params = params.len();
        self.push_frame(kind, params, &results);
    }

    pub(super) fn translate_loop(&mut self, ty: BlockType) {
        let (params, results) = self.block_type(ty);
        let params = params.to_vec();
        let header = self.builder.create_block();
        self.append_params(header, &params);
        let args = block_args(self.peek_n(params.len()));
        self.builder.ins().jump(header, &args);
        self.builder.switch_to_block(header);
        let kind = FrameKind::Loop {
            header,
            params: params.len(),
        };
        self.push_frame(kind, params.len(), &results);
        self.pop_n(params.len());
        self.push_block_params(header);
        self.count(0);
    }

    pub(super) fn translate_if(&mut self, ty: BlockType) {
        let condition = self.pop1();
        let (params, results) = self.block_type(ty);
        let params = params.to_vec();
        let then = self.builder.create_block();
        let otherwise = self.builder.create_block();
        self.append_params(otherwise, &params);
        match self.branch_hint() {
            Some(true) => self.builder.set_cold_block(otherwise),
            Some(false) => self.builder.set_cold_block(then),
            None => {}
        }
        let args = block_args(self.peek_n(params.len()));
        self.builder
            .ins()
            .brif(condition, then, &[], otherwise, &args);
        self.continue_at(then);
        self.push_frame(FrameKind::If { otherwise }, params.len(), &results);
        self.count(0);
    }

    pub(super) fn translate_else(&mut self) {
        if self.reachable {
            self.leave_frame();
        }
        let frame = self.frame_mut(0);
        let FrameKind::If { otherwise } = std::mem::replace(&mut frame.kind, FrameKind::Else)
        else {
            return;
        };
        let height = frame.height;
        self.stack.truncate(height);
        self.continue_at(otherwise);
        self.push_block_params(otherwise);
        self.reachable = true;
    }

    pub(super) fn translate_end(&mut self) {
        // An `if` without `else` hands its parameters on as results.
        if matches!(self.frame_mut(0).kind, FrameKind::If { .. }) {
            self.translate_else();
        }
        match self.frame_mut(0).kind {
            FrameKind::Function => self.end_function(),
            FrameKind::Loop { header, .. } => {
                self.builder.seal_block(header);
                self.control.pop();
            }
            FrameKind::TryTable(_) => self.end_try_table(),
            FrameKind::Try(_) => self.end_try(),
            _ => self.end_block(),
        }
    }

    /// What the innermost frame is: a block from now on.
    pub(super) fn take_kind(&mut self) -> FrameKind {
        std::mem::replace(&mut self.frame_mut(0).kind, FrameKind::Block)
    }

    /// Leaves the innermost frame, so that code for what is left to do can be put behind it.
    pub(super) fn leave_for_landings(&mut self) -> Rest {
        if self.reachable {
            self.leave_frame();
        }
        let frame = self.control.pop().expect("validated");
        self.stack.truncate(frame.height);
        Rest {
            height: frame.height,
            exit: frame.exit_used.then_some(frame.exit),
        }
    }

    /// Goes on behind such a frame.
    pub(super) fn resume_after(&mut self, rest: Rest) {
        self.stack.truncate(rest.height);
        self.reachable = rest.exit.is_some();
        if let Some(exit) = rest.exit {
            self.continue_at(exit);
            self.push_block_params(exit);
        }
    }

    pub(super) fn end_block(&mut self) {
        // Where no branch leads to the end, there is no need for a block: its results are on the
        // stack already.
        if self.reachable && !self.frame_mut(0).exit_used {
            self.control.pop();
            return;
        }
        if self.reachable {
            self.leave_frame();
        }
        let Some(frame) = self.control.pop() else {
            return;
        };
        self.stack.truncate(frame.height);
        self.reachable = frame.exit_used;
        if frame.exit_used {
            self.continue_at(frame.exit);
            self.push_block_params(frame.exit);
        }
    }

    fn end_function(&mut self) {
        let Some(frame) = self.control.pop() else {
            return;
        };
        if self.reachable {
            let values = self.peek_n(frame.results).to_vec();
            self.builder.ins().return_(&values);
        }
        if frame.exit_used {
            self.continue_at(frame.exit);
            let values = self.builder.block_params(frame.exit).to_vec();
            self.builder.ins().return_(&values);
        }
        self.stack.truncate(frame.height);
        self.set_unreachable();
    }

    /// Drops what the innermost frame has put on the operand stack.
    pub(super) fn drop_operands(&mut self) {
        let height = self.frame_mut(0).height;
        self.stack.truncate(height);
    }

    /// Goes to the end of the innermost frame with its results.
    pub(super) fn leave_frame(&mut self) {
        let frame = self.frame_mut(0);
        frame.exit_used = true;
        let (exit, results) = (frame.exit, frame.results);
        let args = block_args(self.peek_n(results));
        self.builder.ins().jump(exit, &args);
    }

    pub(super) fn push_block_params(&mut self, block: Block) {
        self.stack
            .extend_from_slice(self.builder.block_params(block));
    }

    /// The frame at `depth`, 0 being the innermost.
    fn frame_mut(&mut self, depth: u32) -> &mut Frame {
        let index = self.control.len() - 1 - depth as usize;
        &mut self.control[index]
    }

    /// Where a branch to `depth` goes; it will be used.
    fn label(&mut self, depth: u32) -> Label {
        let frame = self.frame_mut(depth);
        if let FrameKind::Loop { header, params } = frame.kind {
            return Label {
                block: header,
                arity: params,
            };
        }
        frame.exit_used = true;
        Label {
            block: frame.exit,
            arity: frame.results,
        }
    }

    pub(super) fn translate_br(&mut self, depth: u32) {
        if matches!(self.frame_mut(depth).kind, FrameKind::Function) {
            return self.translate_return();
        }
        let label = self.label(depth);
        let args = block_args(self.peek_n(label.arity));
        self.builder.ins().jump(label.block, &args);
        self.set_unreachable();
    }

    pub(super) fn translate_return(&mut self) {
        let results = self.control[0].results;
        let values = self.peek_n(results).to_vec();
        self.builder.ins().return_(&values);
        self.set_unreachable();
    }

    pub(super) fn translate_br_if(&mut self, depth: u32) {
        let condition = self.pop1();
        self.emit_branch_if(condition, depth);
    }

    /// Branches to `depth` if `condition` is not zero, and goes on in a new block otherwise.
    fn emit_branch_if(&mut self, condition: Value, depth: u32) {
        let label = self.label(depth);
        let args = block_args(self.peek_n(label.arity));
        let next = self.builder.create_block();
        match self.branch_hint() {
            Some(false) => {
                let edge = self.builder.create_block();
                self.builder.set_cold_block(edge);
                self.builder.ins().brif(condition, edge, &[], next, &[]);
                self.continue_at(edge);
                self.builder.ins().jump(label.block, &args);
            }
            hint => {
                if hint == Some(true) {
                    self.builder.set_cold_block(next);
                }
                self.builder
                    .ins()
                    .brif(condition, label.block, &args, next, &[]);
            }
        }
        self.continue_at(next);
        self.count(0);
    }

    /// Whether the branch that is being translated is likely to be taken, if that is known.
    fn branch_hint(&self) -> Option<bool> {
        // What was counted is better than what was thought.
        let counted = self.profile.as_ref();
        if let Some(taken) = counted.and_then(|profile| profile.taken(self.offset)) {
            return Some(taken);
        }
        if !self.env.passes.has(Pass::BranchHints) {
            return None;
        }
        let function = &self.env.module.functions[self.index?];
        let distance = self.offset.checked_sub(function.body_range().start)?;
        function.branch_hints.taken(distance)
    }

    pub(super) fn translate_br_on_null(&mut self, depth: u32) {
        let reference = self.pop1();
        let is_null = self.builder.ins().icmp_imm_u(IntCC::Equal, reference, 0);
        self.emit_branch_if(is_null, depth);
        self.push1(reference);
    }

    pub(super) fn translate_br_on_non_null(&mut self, depth: u32) {
        // The reference is the last operand that the branch takes along.
        let reference = self.peek_n(1)[0];
        let is_valid = self.builder.ins().icmp_imm_u(IntCC::NotEqual, reference, 0);
        self.emit_branch_if(is_valid, depth);
        self.pop_n(1);
    }

    /// A label that stands in the table more than once, or takes operands along, is reached by
    /// way of a block of its own. So an entry of the table costs a few bytes, whatever travels
    /// to the label, locals included.
    pub(super) fn translate_br_table(&mut self, targets: &BrTable<'_>) -> Result<(), CompileError> {
        let selector = self.pop1();
        let mut depths = Vec::with_capacity(targets.len() as usize + 1);
        for depth in targets.targets() {
            depths.push(depth.map_err(super::func::damaged)?);
        }
        depths.push(targets.default());
        let (edges, entries) = self.edges(&depths);

        let small = self.env.passes.has(Pass::SmallTables);
        let (default, rest) = depths.split_last().expect("a table has a default");
        match small.then(|| runs(rest, *default)).flatten() {
            Some(runs) => self.emit_comparisons(selector, &runs, entries[default], &entries),
            None => self.emit_table(selector, &depths, &entries),
        }
        for (nth, (edge, label)) in (0..).zip(edges) {
            self.continue_at(edge);
            self.count(nth);
            let args = block_args(self.peek_n(label.arity));
            self.builder.ins().jump(label.block, &args);
        }
        self.set_unreachable();
        Ok(())
    }

    /// Branches to where `selector` leads by a table.
    fn emit_table(&mut self, selector: Value, depths: &[u32], entries: &HashMap<u32, Block>) {
        // Each entry needs a call of its own: arguments are appended to it when locals turn out
        // to be parameters of the block.
        let dfg = &mut self.builder.func.dfg;
        let mut call = |depth| dfg.block_call(entries[depth], &[]);
        let mut calls: Vec<BlockCall> = depths.iter().map(&mut call).collect();
        if isa::arch(self.env.isa) == Arch::Aarch64 {
            // Cranelift puts the default in the machine's table, but a landing pad only where the
            // targets of this table are.
            calls.extend(depths.last().map(call));
        }
        let (default, calls) = calls.split_last().expect("a table has a default");
        let table = JumpTableData::new(*default, calls);
        let table = self.builder.create_jump_table(table);
        self.builder.ins().br_table(selector, table);
    }

    /// Branches to where `selector` leads by comparisons.
    fn emit_comparisons(
        &mut self,
        selector: Value,
        runs: &[Run],
        default: Block,
        entries: &HashMap<u32, Block>,
    ) {
        for run in runs {
            let is_one = run.len == 1;
            let (first, len) = (u64::from(run.first), u64::from(run.len));
            let ins = self.builder.ins();
            let is_in = if is_one {
                ins.icmp_imm_u(IntCC::Equal, selector, first as i64)
            } else if run.first == 0 {
                ins.icmp_imm_u(IntCC::UnsignedLessThan, selector, len as i64)
            } else {
                let distance = ins.iadd_imm_s(selector, -(first as i64));
                let ins = self.builder.ins();
                ins.icmp_imm_u(IntCC::UnsignedLessThan, distance, len as i64)
            };
            let rest = self.builder.create_block();
            self.builder
                .ins()
                .brif(is_in, entries[&run.depth], &[], rest, &[]);
            self.continue_at(rest);
        }
        self.builder.ins().jump(default, &[]);
    }

    /// The block that each depth of a branch table goes to, and those of them that go on to
    /// labels.
    fn edges(&mut self, depths: &[u32]) -> (Vec<(Block, Label)>, HashMap<u32, Block>) {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for depth in depths {
            *counts.entry(*depth).or_default() += 1;
        }
        let mut edges = Vec::new();
        let mut entries = HashMap::new();
        for depth in depths {
            if entries.contains_key(depth) {
                continue;
            }
            let label = self.label(*depth);
            // What is counted needs a place for that.
            let direct = counts[depth] == 1 && label.arity == 0 && self.env.counters.is_none();
            let block = if direct {
                label.block
            } else {
                let edge = self.builder.create_block();
                edges.push((edge, label));
                edge
            };
            entries.insert(*depth, block);
        }
        (edges, entries)
    }

    pub(super) fn translate_select(&mut self, ty: Option<ValType>) {
        let (first, second, condition) = self.pop3();
        let value = self.builder.ins().select(condition, first, second);
        if let Some(ty) = ty {
            self.keep_on_stack(value, ty);
        }
        self.push1(value);
    }

    pub(super) fn translate_unreachable(&mut self) {
        self.emit_trap(TrapCode::Unreachable);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, compile};

    /// Entries of a branch table must not share the list of their arguments.
    #[test]
    fn branch_table_may_name_a_block_twice_that_takes_a_local() {
        let wasm = wat::parse_str(
            r#"(module (func (param i32 i32) (result i32) (local $x i32)
                (block $out
                    (local.set $x (i32.const 7))
                    (br_if $out (local.get 1))
                    (local.set $x (i32.const 9))
                    (br_table $out $out (local.get 0)))
                (local.get $x)))"#,
        )
        .expect("the test's own module");
        compile(&wasm, &Options::default()).expect("a valid module");
    }
}
