//! What an innermost loop makes anew in each iteration, before the loop.
//!
//! Cranelift makes the sum or the like of a value and a constant again in each block that uses it:
//! that is one instruction, and saves a register. In the innermost loop it is one instruction, or
//! two, for each iteration.

use super::immediates::constant;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    Block, Function, Inst, InstBuilder, InstructionData, Opcode, Type, Value, ValueDef, types,
};
use cranelift_codegen::loop_analysis::{Loop, LoopAnalysis};
use std::collections::HashMap;

/// So many values are kept in registers for a loop.
const MAX_PER_LOOP: usize = 4;

/// A value and a constant, put together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Sum {
    opcode: Opcode,
    ty: Type,
    value: Value,
    constant: i64,
}

pub(super) fn run(func: &mut Function) {
    let cfg = ControlFlowGraph::with_function(func);
    let domtree = DominatorTree::with_function(func, &cfg);
    let mut loops = LoopAnalysis::new();
    loops.compute(func, &cfg, &domtree);
    for (which, blocks) in innermost(func, &loops) {
        if blocks.iter().any(|block| has_call(func, *block)) {
            continue;
        }
        if let Some(entry) = entry(func, &cfg, &loops, which) {
            hoist_from(func, &loops, which, &blocks, entry);
        }
    }
    func.dfg.resolve_all_aliases();
}

/// The jump to the header of a loop, if it is the only way in.
fn entry(
    func: &Function,
    cfg: &ControlFlowGraph,
    loops: &LoopAnalysis,
    which: Loop,
) -> Option<Inst> {
    let mut outside = cfg
        .pred_iter(loops.loop_header(which))
        .filter(|pred| !loops.is_in_loop(pred.block, which));
    let (Some(entry), None) = (outside.next(), outside.next()) else {
        return None;
    };
    (func.dfg.insts[entry.inst].opcode() == Opcode::Jump).then_some(entry.inst)
}

/// Moves what the blocks of a loop make of values from outside to before `entry`.
fn hoist_from(
    func: &mut Function,
    loops: &LoopAnalysis,
    which: Loop,
    blocks: &[Block],
    entry: Inst,
) {
    let mut made: HashMap<Sum, Inst> = HashMap::new();
    let insts = blocks
        .iter()
        .flat_map(|block| func.layout.block_insts(*block));
    for inst in insts.collect::<Vec<Inst>>() {
        let Some(sum) = sum(func, inst) else { continue };
        let place = match func.dfg.value_def(sum.value) {
            ValueDef::Result(inst, _) => func.layout.inst_block(inst),
            ValueDef::Param(block, _) => Some(block),
            ValueDef::Union(..) => None,
        };
        if place.is_none_or(|block| loops.is_in_loop(block, which)) {
            continue;
        }
        if let Some(first) = made.get(&sum) {
            func.dfg.replace_with_aliases(inst, *first);
            func.layout.remove_inst(inst);
        } else if made.len() < MAX_PER_LOOP {
            hoist(func, inst, sum, entry);
            made.insert(sum, inst);
        }
    }
}

/// The loops without loops in them, with their blocks.
fn innermost(func: &Function, loops: &LoopAnalysis) -> Vec<(Loop, Vec<Block>)> {
    let parents: Vec<Loop> = loops
        .loops()
        .filter_map(|which| loops.loop_parent(which))
        .collect();
    let mut bodies: HashMap<Loop, Vec<Block>> = HashMap::new();
    for block in func.layout.blocks() {
        if let Some(which) = loops.innermost_loop(block) {
            bodies.entry(which).or_default().push(block);
        }
    }
    for parent in parents {
        bodies.remove(&parent);
    }
    let mut bodies: Vec<_> = bodies.into_iter().collect();
    bodies.sort_unstable_by_key(|(which, _)| which.index());
    bodies
}

fn has_call(func: &Function, block: Block) -> bool {
    let mut insts = func.layout.block_insts(block);
    !func.layout.is_cold(block) && insts.any(|inst| func.dfg.insts[inst].opcode().is_call())
}

/// The operation, if it is one that Cranelift repeats. (64-bit sums are part of addresses.)
fn sum(func: &Function, inst: Inst) -> Option<Sum> {
    let InstructionData::Binary {
        opcode: opcode @ (Opcode::Iadd | Opcode::Band | Opcode::Bor | Opcode::Bxor),
        args: [value, second],
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let ty = func.dfg.value_type(value);
    let constant = constant(func, second)?;
    (ty == types::I32).then_some(Sum {
        opcode,
        ty,
        value,
        constant,
    })
}

fn hoist(func: &mut Function, inst: Inst, sum: Sum, before: Inst) {
    func.layout.remove_inst(inst);
    func.layout.insert_inst(inst, before);
    let constant = FuncCursor::new(func)
        .at_inst(inst)
        .ins()
        .iconst(sum.ty, sum.constant);
    if let InstructionData::Binary { args, .. } = &mut func.dfg.insts[inst] {
        args[1] = constant;
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_PER_LOOP;
    use crate::passes::golden::optimised_clif;
    use crate::passes::{Pass, Passes};

    /// How many of the `bxor` of `inside` stay in the loop.
    fn left(inside: &str) -> usize {
        let wat = format!(
            "(module (memory 1) (func $f) (func (param i32 i32)
                (loop $top
                    (i32.store (local.get 0) (local.get 0))
                    {inside}
                    (br_if $top (local.tee 0 (i32.sub (local.get 0) (i32.const 4)))))))"
        );
        let text = optimised_clif(&wat, Passes::NONE.with(Pass::Invariants));
        let (_, body) = text.split_once("store").expect("a store");
        body.matches("bxor").count()
    }

    fn store(constant: usize) -> String {
        format!("(i32.store (i32.const {constant}) (i32.xor (local.get 1) (i32.const {constant})))")
    }

    #[test]
    fn so_many_are_made_before_the_loop() {
        let stores: String = (1..=MAX_PER_LOOP + 2).map(store).collect();
        assert_eq!(left(&stores), 2);
    }

    #[test]
    fn what_changes_in_the_loop_stays() {
        let store = "(i32.store (i32.const 0) (i32.xor (local.get 0) (i32.const 7)))";
        assert_eq!(left(store), 1);
    }

    #[test]
    fn loops_with_calls_have_no_registers_to_spare() {
        assert_eq!(left(&format!("(call $f) {}", store(7))), 1);
    }
}
