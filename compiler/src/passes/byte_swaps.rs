//! Bytes in reverse order.
//!
//! WebAssembly has no instruction for that. Compilers make two rotations of it, two masks and a
//! disjunction: of `b3 b2 b1 b0`, `b0 . b2 .` come of one rotation, `. b1 . b3` of the other.

use super::immediates::constant;
use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode, Value, ValueDef, types};

/// Every other byte.
const MASK: i64 = 0x00ff_00ff;

pub(super) fn run(func: &mut Function) {
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    let swaps: Vec<(Inst, Value)> = insts
        .filter_map(|inst| swapped(func, inst).map(|value| (inst, value)))
        .collect();
    for (inst, arg) in swaps {
        func.dfg.insts[inst] = InstructionData::Unary {
            opcode: Opcode::Bswap,
            arg,
        };
    }
}

/// The value of which an instruction makes the bytes in reverse order.
fn swapped(func: &Function, inst: Inst) -> Option<Value> {
    let InstructionData::Binary {
        opcode: Opcode::Bor,
        args: [left, right],
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    if func.dfg.value_type(left) != types::I32 {
        return None;
    }
    let both = |even, odd| {
        let value = even_bytes(func, even)?;
        (odd_bytes(func, odd)? == value).then_some(value)
    };
    both(left, right).or_else(|| both(right, left))
}

/// Of `rotr(value & MASK, 8)`, the value: `b0 . b2 .`
fn even_bytes(func: &Function, value: Value) -> Option<Value> {
    let (masked, left) = rotation(func, value)?;
    mask(func, masked).filter(|_| left == 24)
}

/// Of `rotl(value, 8) & MASK`, the value: `. b1 . b3`
fn odd_bytes(func: &Function, value: Value) -> Option<Value> {
    let (value, left) = rotation(func, mask(func, value)?)?;
    (left == 8).then_some(value)
}

/// What is rotated, and by how much to the left.
fn rotation(func: &Function, value: Value) -> Option<(Value, i64)> {
    let (opcode, [value, by]) = binary(func, value)?;
    let by = constant(func, by)? & 31;
    match opcode {
        Opcode::Rotl => Some((value, by)),
        Opcode::Rotr => Some((value, -by & 31)),
        _ => None,
    }
}

/// What is masked.
fn mask(func: &Function, value: Value) -> Option<Value> {
    let (opcode, args) = binary(func, value)?;
    let [value, by] = args;
    (opcode == Opcode::Band && constant(func, by)? == MASK).then_some(value)
}

fn binary(func: &Function, value: Value) -> Option<(Opcode, [Value; 2])> {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return None;
    };
    match func.dfg.insts[inst] {
        InstructionData::Binary { opcode, args } => Some((opcode, args)),
        _ => None,
    }
}
