//! Blocks of a loop that follow each other.
//!
//! Cranelift orders blocks by a walk through the graph: what the first way out of a branch leads to
//! comes last. Where that way stays in a loop and the other one leaves it, everything behind the
//! loop comes to lie in the midst of it: the rest of the loop is far away, and the register
//! allocator, which takes all between a loop's first block and its last for the loop, spills for
//! the wrong blocks. So such branches get their ways exchanged, and their condition inverted.

use super::latches::remove_unused;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{
    Block, Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef,
};
use cranelift_codegen::loop_analysis::LoopAnalysis;

pub(super) fn run(func: &mut Function) {
    let cfg = ControlFlowGraph::with_function(func);
    let domtree = DominatorTree::with_function(func, &cfg);
    let mut loops = LoopAnalysis::new();
    loops.compute(func, &cfg, &domtree);
    let mut conditions = Vec::new();
    for block in func.layout.blocks().collect::<Vec<Block>>() {
        if leaves_second(func, &loops, block) {
            conditions.extend(exchange(func, block));
        }
    }
    if !conditions.is_empty() {
        remove_unused(func, conditions);
    }
}

/// Whether `block` ends with a branch of which only the second way leaves a loop.
fn leaves_second(func: &Function, loops: &LoopAnalysis, block: Block) -> bool {
    let Some(branch) = func.layout.last_inst(block) else {
        return false;
    };
    let InstructionData::Brif { blocks, .. } = &func.dfg.insts[branch] else {
        return false;
    };
    let [first, second] = blocks.map(|call| call.block(&func.dfg.value_lists));
    let mut around = loops.innermost_loop(block);
    while let Some(which) = around {
        match [first, second].map(|next| loops.is_in_loop(next, which)) {
            [false, false] => around = loops.loop_parent(which),
            [stays, other] => return stays && !other,
        }
    }
    false
}

/// Exchanges the ways of the branch that ends `block`, and says what was its condition before.
fn exchange(func: &mut Function, block: Block) -> Option<Value> {
    let branch = func.layout.last_inst(block)?;
    let InstructionData::Brif { arg, .. } = func.dfg.insts[branch] else {
        return None;
    };
    let inverse = invert(func, arg, branch);
    match &mut func.dfg.insts[branch] {
        InstructionData::Brif { arg, blocks, .. } => {
            blocks.swap(0, 1);
            Some(std::mem::replace(arg, inverse))
        }
        _ => None,
    }
}

/// Makes the opposite of a condition before `branch`.
fn invert(func: &mut Function, condition: Value, branch: Inst) -> Value {
    let tested = match func.dfg.value_def(condition) {
        ValueDef::Result(inst, 0) => match func.dfg.insts[inst] {
            InstructionData::Unary {
                opcode: Opcode::Uextend,
                arg,
            } => arg,
            _ => condition,
        },
        _ => condition,
    };
    let made_by = match func.dfg.value_def(tested) {
        ValueDef::Result(inst, 0) => Some(func.dfg.insts[inst]),
        _ => None,
    };
    let mut cursor = FuncCursor::new(func).at_inst(branch);
    cursor.set_srcloc(cursor.func.srcloc(branch));
    match made_by {
        Some(InstructionData::IntCompare { args, cond, .. }) => {
            let [left, right] = args;
            cursor.ins().icmp(cond.complement(), left, right)
        }
        Some(InstructionData::FloatCompare { args, cond, .. }) => {
            let [left, right] = args;
            cursor.ins().fcmp(cond.complement(), left, right)
        }
        _ => {
            let ty = cursor.func.dfg.value_type(condition);
            let zero = cursor.ins().iconst(ty, 0);
            cursor.ins().icmp(IntCC::Equal, condition, zero)
        }
    }
}
