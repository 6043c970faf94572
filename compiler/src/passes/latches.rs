//! `i + k == N` at the end of loops.
//!
//! Cranelift makes `i == N - k` of it. So `i` is in use when `i + k`, which the next iteration
//! starts with, is made: both need a register, and a move stands on the way back to the top.
//!
//! The same comes of a sum that is made before the last use of `i`: what a branch tests, Cranelift
//! makes before what the branch takes along. So both the sum and the test go to the end of the block.

use super::immediates::constant;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef,
};
use std::collections::HashSet;

/// A comparison that can be made of the sum.
struct Latch {
    condition: IntCC,
    sum: Value,
    limit: i64,
}

pub(super) fn run(func: &mut Function) {
    let blocks: Vec<Block> = func.layout.blocks().collect();
    let mut conditions = Vec::new();
    for block in &blocks {
        if let Some(latch) = latch(func, *block) {
            conditions.extend(rewrite(func, *block, &latch));
        }
    }
    if !conditions.is_empty() {
        remove_unused(func, conditions);
    }
    for block in blocks {
        sink(func, block);
    }
}

/// Moves the sums that `block` hands on, and the test before its branch, to its end.
fn sink(func: &mut Function, block: Block) {
    let Some(branch) = func.layout.last_inst(block) else {
        return;
    };
    let (test, calls) = match &func.dfg.insts[branch] {
        InstructionData::Brif { arg, blocks, .. } => (test(func, *arg, block), blocks.as_slice()),
        InstructionData::Jump { destination, .. } => {
            (Vec::new(), std::slice::from_ref(destination))
        }
        _ => return,
    };
    let handed_on = calls
        .iter()
        .flat_map(|call| call.args(&func.dfg.value_lists));
    let sums = handed_on.filter_map(|arg| match arg {
        BlockArg::Value(value) => sum(func, value).map(|sum| sum.inst),
        _ => None,
    });
    let late: HashSet<Inst> = sums.chain(test).collect();
    if late.is_empty() {
        return;
    }
    // From the end: what is used before it stays, and so does what that is made of.
    let mut used: HashSet<Value> = HashSet::new();
    let mut place = branch;
    let mut next = func.layout.prev_inst(branch);
    while let Some(inst) = next {
        next = func.layout.prev_inst(inst);
        if late.contains(&inst) && !used.contains(&func.dfg.first_result(inst)) {
            func.layout.remove_inst(inst);
            func.layout.insert_inst(inst, place);
            place = inst;
        } else {
            used.extend(func.dfg.inst_values(inst));
        }
    }
}

/// The instructions of `block` that make a condition, in their order.
fn test(func: &Function, condition: Value, block: Block) -> Vec<Inst> {
    let mut insts = Vec::new();
    let mut value = condition;
    while let ValueDef::Result(inst, 0) = func.dfg.value_def(value)
        && comparison(func, value).is_some()
        && is_in(func, inst, block)
    {
        insts.push(inst);
        match func.dfg.insts[inst] {
            InstructionData::Unary { arg, .. } => value = arg,
            _ => break,
        }
    }
    insts.reverse();
    insts
}

/// The comparison that ends `block`, if it compares what is handed on in a sum.
fn latch(func: &Function, block: Block) -> Option<Latch> {
    let branch = func.layout.last_inst(block)?;
    let InstructionData::Brif { arg, blocks, .. } = func.dfg.insts[branch] else {
        return None;
    };
    let comparison = comparison(func, arg).filter(|inst| is_in(func, *inst, block))?;
    let InstructionData::IntCompare {
        args: [counter, limit],
        cond: condition @ (IntCC::Equal | IntCC::NotEqual),
        ..
    } = func.dfg.insts[comparison]
    else {
        return None;
    };
    let limit = constant(func, limit)?;
    let bits = func.dfg.value_type(counter).bits();
    let handed_on = blocks
        .iter()
        .flat_map(|call| call.args(&func.dfg.value_lists));
    let mut sums = handed_on.filter_map(|arg| match arg {
        BlockArg::Value(sum) => step(func, sum, counter, block).map(|step| (sum, step)),
        _ => None,
    });
    let (sum, step) = sums.next()?;
    let limit = limit.wrapping_add(step) & (u64::MAX >> (64 - bits)).cast_signed();
    Some(Latch {
        condition,
        sum,
        limit,
    })
}

/// The comparison that `condition` is the result of, widened perhaps.
fn comparison(func: &Function, condition: Value) -> Option<Inst> {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(condition) else {
        return None;
    };
    match func.dfg.insts[inst] {
        InstructionData::IntCompare { .. } => Some(inst),
        InstructionData::Unary {
            opcode: Opcode::Uextend,
            arg,
        } => comparison(func, arg),
        _ => None,
    }
}

/// What `value`, made in `block`, adds to `counter`.
fn step(func: &Function, value: Value, counter: Value, block: Block) -> Option<i64> {
    let sum = sum(func, value).filter(|sum| sum.value == counter && is_in(func, sum.inst, block));
    sum.map(|sum| sum.constant)
}

/// A value and a constant, added by `inst`.
struct Sum {
    inst: Inst,
    value: Value,
    constant: i64,
}

fn sum(func: &Function, value: Value) -> Option<Sum> {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return None;
    };
    let InstructionData::Binary {
        opcode: Opcode::Iadd,
        args: [value, second],
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let constant = constant(func, second)?;
    Some(Sum {
        inst,
        value,
        constant,
    })
}

fn is_in(func: &Function, inst: Inst, block: Block) -> bool {
    func.layout.inst_block(inst) == Some(block)
}

/// Puts a comparison of the sum before the branch, and says what was compared before.
fn rewrite(func: &mut Function, block: Block, latch: &Latch) -> Option<Value> {
    let branch = func.layout.last_inst(block)?;
    let ty = func.dfg.value_type(latch.sum);
    let mut cursor = FuncCursor::new(func).at_inst(branch);
    let limit = cursor.ins().iconst(ty, latch.limit);
    let holds = cursor.ins().icmp(latch.condition, latch.sum, limit);
    match &mut cursor.func.dfg.insts[branch] {
        InstructionData::Brif { arg, .. } => Some(std::mem::replace(arg, holds)),
        _ => None,
    }
}

/// Removes what conditions were made of and nothing else uses: it would still count as a use of
/// the counter.
pub(super) fn remove_unused(func: &mut Function, conditions: Vec<Value>) {
    let mut uses: SecondaryMap<Value, u32> = SecondaryMap::new();
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            func.dfg
                .inst_values(inst)
                .for_each(|value| uses[value] += 1);
        }
    }
    for mut condition in conditions {
        while let ValueDef::Result(inst, 0) = func.dfg.value_def(condition)
            && uses[condition] == 0
            && func.layout.inst_block(inst).is_some()
        {
            func.layout.remove_inst(inst);
            let operands: Vec<Value> = func.dfg.inst_values(inst).collect();
            operands.iter().for_each(|operand| uses[*operand] -= 1);
            match func.dfg.insts[inst] {
                InstructionData::Unary { arg, .. } => condition = arg,
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::passes::golden::optimised_clif;
    use crate::passes::{Pass, Passes};

    fn clif(body: &str) -> String {
        let wat = format!("(module (memory 1) (func (param $i i32) (param $j i32) {body}))");
        optimised_clif(&wat, Passes::NONE.with(Pass::Latches))
    }

    /// The lines with `what`, by their number.
    fn lines(text: &str, what: &str) -> Vec<usize> {
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| line.contains(what));
        lines.map(|(number, _)| number).collect()
    }

    /// The verifier sees to the order of the two.
    #[test]
    fn sums_of_sums_keep_their_order() {
        let text = clif(
            "(loop $top
                (i32.store (local.get $j) (local.get $i))
                (local.set $j (i32.add (local.tee $i (i32.add (local.get $j) (i32.const 3))) (i32.const 5)))
                (br_if $top (i32.ne (local.get $j) (local.get $i))))",
        );
        assert!(lines(&text, "iadd")[1] > lines(&text, "store")[0], "{text}");
    }

    #[test]
    fn what_is_used_in_the_loop_stays_before_its_use() {
        let text = clif(
            "(loop $top
                (local.set $i (i32.add (local.get $i) (i32.const 4)))
                (i32.store (local.get $j) (local.get $i))
                (br_if $top (i32.lt_u (local.get $i) (i32.const 1000))))",
        );
        let sums = lines(&text, "iadd v");
        assert!(sums[0] < lines(&text, "store")[0], "{text}");
    }

    #[test]
    fn other_comparisons_than_for_equality_stay_as_they_are() {
        let body = "(loop $top
            (i32.store (local.get $j) (local.get $i))
            (local.set $j (i32.add (local.get $i) (i32.const 4)))
            (br_if $top (i32.lt_s (local.get $i) (i32.const 1000))))";
        assert!(!clif(body).contains("1004"));
    }
}
