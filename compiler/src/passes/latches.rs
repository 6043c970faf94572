//! `i + k == N` at the end of loops.
//!
//! Cranelift makes `i == N - k` of it. So `i` is in use when `i + k`, which the next iteration
//! starts with, is made: both need a register, and a move stands on the way back to the top.

use super::immediates::constant;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef,
};

/// A comparison that can be made of the sum.
struct Latch {
    condition: IntCC,
    sum: Value,
    limit: i64,
}

pub(super) fn run(func: &mut Function) {
    let blocks: Vec<Block> = func.layout.blocks().collect();
    let mut conditions = Vec::new();
    for block in blocks {
        if let Some(latch) = latch(func, block) {
            conditions.extend(rewrite(func, block, &latch));
        }
    }
    if !conditions.is_empty() {
        remove_unused(func, conditions);
    }
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

/// What `sum`, made in `block`, adds to `counter`.
fn step(func: &Function, sum: Value, counter: Value, block: Block) -> Option<i64> {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(sum) else {
        return None;
    };
    match func.dfg.insts[inst] {
        InstructionData::Binary {
            opcode: Opcode::Iadd,
            args: [first, second],
        } if first == counter && is_in(func, inst, block) => constant(func, second),
        _ => None,
    }
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
fn remove_unused(func: &mut Function, conditions: Vec<Value>) {
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
