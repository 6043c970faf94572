//! `splat` directly behind the load of its operand.
//!
//! A load and a `splat` are one instruction, `vbroadcastss` or the like, if nothing stands between
//! them that has an effect; a load has one, since it may trap. Cranelift puts a `splat` where it is
//! used, behind the other loads of the expression.

use cranelift_codegen::ir::{Function, Inst, InstructionData, Opcode, ValueDef};

pub(super) fn run(func: &mut Function) {
    let mut splats = Vec::new();
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            if let Some(load) = load_of(func, inst) {
                splats.push((inst, load));
            }
        }
    }
    for (splat, load) in splats {
        // A load ends no block.
        let Some(next) = func.layout.next_inst(load) else {
            continue;
        };
        if next != splat {
            func.layout.remove_inst(splat);
            func.layout.insert_inst(splat, next);
        }
    }
}

/// The load whose result `inst` spreads over a vector.
fn load_of(func: &Function, inst: Inst) -> Option<Inst> {
    let InstructionData::Unary {
        opcode: Opcode::Splat,
        arg,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let ValueDef::Result(load, 0) = func.dfg.value_def(arg) else {
        return None;
    };
    (func.dfg.insts[load].opcode() == Opcode::Load).then_some(load)
}
