//! Indices of 64 bits where they come from.
//!
//! An index into memory is a value of 32 bits that is extended by zeros. On x86-64, what makes a
//! value of 32 bits clears the rest of the register, but code generation knows that of arithmetic in
//! sight only: not of loads, and not of what comes along a branch. There it extends by an
//! instruction, `mov eax, eax`, which takes a cycle in each step through a list.
//!
//! So loads of which something is extended, with a sign or without, load 64 bits that are extended, and parameters of
//! blocks travel in 64 bits, where whatever comes to them in the loop is extended for nothing. All
//! other uses take the lower half, which is no instruction either.

use super::immediates::constant;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    Block, BlockArg, Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef, types,
};
use cranelift_codegen::loop_analysis::LoopAnalysis;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn run(func: &mut Function) {
    let extensions = extensions(func, Opcode::Uextend);
    let params = params_to_widen(func, &extensions);
    widen_params(func, &params);
    widen_loads(func, Opcode::Uextend);
    widen_loads(func, Opcode::Sextend);
    func.dfg.resolve_all_aliases();
}

/// The instructions that extend a value from 32 to 64 bits by `kind`.
fn extensions(func: &Function, kind: Opcode) -> BTreeMap<Value, Vec<Inst>> {
    let mut found: BTreeMap<Value, Vec<Inst>> = BTreeMap::new();
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            if let InstructionData::Unary { opcode, arg } = func.dfg.insts[inst]
                && opcode == kind
                && func.dfg.value_type(arg) == types::I32
                && func.dfg.value_type(func.dfg.first_result(inst)) == types::I64
            {
                found.entry(arg).or_default().push(inst);
            }
        }
    }
    found
}

/// Something that a branch hands to a parameter.
struct Incoming {
    value: Value,
    branch: Inst,
    /// Whether it comes from outside of the loop that the parameter's block begins.
    is_entry: bool,
}

/// The parameters that are extended, and to which nothing comes in their loop that is not extended
/// as it is.
fn params_to_widen(
    func: &Function,
    extensions: &BTreeMap<Value, Vec<Inst>>,
) -> BTreeMap<Value, Vec<Inst>> {
    let is_param = |value: &Value| matches!(func.dfg.value_def(*value), ValueDef::Param(..));
    if !extensions.keys().any(&is_param) {
        return BTreeMap::new();
    }
    let cfg = ControlFlowGraph::with_function(func);
    let domtree = DominatorTree::with_function(func, &cfg);
    let mut loops = LoopAnalysis::new();
    loops.compute(func, &cfg, &domtree);
    let mut incoming: BTreeMap<Value, Vec<Incoming>> = BTreeMap::new();
    for param in extensions.keys().filter(|value| is_param(value)) {
        if let Some(all) = incoming_of(func, &cfg, &loops, *param) {
            incoming.insert(*param, all);
        }
    }
    loop {
        let is_wide = |value: Value| incoming.contains_key(&value) || is_extended(func, value);
        let unfit = |all: &[Incoming]| all.iter().any(|one| !one.is_entry && !is_wide(one.value));
        let left: BTreeSet<Value> = incoming
            .iter()
            .filter(|(_, all)| unfit(all))
            .map(|(param, _)| *param)
            .collect();
        if left.is_empty() {
            break;
        }
        incoming.retain(|param, _| !left.contains(param));
    }
    let branches = |all: Vec<Incoming>| all.into_iter().map(|one| one.branch).collect();
    incoming
        .into_iter()
        .map(|(param, all)| (param, branches(all)))
        .collect()
}

/// Everything that branches hand to a parameter; `None` where that cannot be changed.
fn incoming_of(
    func: &Function,
    cfg: &ControlFlowGraph,
    loops: &LoopAnalysis,
    param: Value,
) -> Option<Vec<Incoming>> {
    let ValueDef::Param(block, place) = func.dfg.value_def(param) else {
        return None;
    };
    if func.layout.entry_block() == Some(block) {
        return None;
    }
    let around = loops.is_loop_header(block);
    let mut all = Vec::new();
    for pred in cfg.pred_iter(block) {
        let calls = match &func.dfg.insts[pred.inst] {
            InstructionData::Jump { destination, .. } => std::slice::from_ref(destination),
            InstructionData::Brif { blocks, .. } => blocks.as_slice(),
            _ => return None,
        };
        let is_entry = around.is_some_and(|which| !loops.is_in_loop(pred.block, which));
        for call in calls {
            if call.block(&func.dfg.value_lists) != block {
                continue;
            }
            let BlockArg::Value(value) = call.args(&func.dfg.value_lists).nth(place)? else {
                return None;
            };
            all.push(Incoming {
                value,
                branch: pred.inst,
                is_entry,
            });
        }
    }
    Some(all)
}

/// Whether a value of 32 bits is extended for nothing.
fn is_extended(func: &Function, value: Value) -> bool {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return false;
    };
    matches!(
        func.dfg.insts[inst].opcode(),
        Opcode::Iadd
            | Opcode::Isub
            | Opcode::Imul
            | Opcode::Band
            | Opcode::Bor
            | Opcode::Bxor
            | Opcode::Ishl
            | Opcode::Ushr
            | Opcode::Iconst
    ) || is_load(func, inst)
}

/// Whether an instruction loads a value of 32 bits without a sign.
fn is_load(func: &Function, inst: Inst) -> bool {
    let InstructionData::Load { opcode, .. } = func.dfg.insts[inst] else {
        return false;
    };
    matches!(opcode, Opcode::Load | Opcode::Uload8 | Opcode::Uload16)
        && func.dfg.value_type(func.dfg.first_result(inst)) == types::I32
}

/// Makes parameters 64 bits wide, to which these branches lead.
fn widen_params(func: &mut Function, params: &BTreeMap<Value, Vec<Inst>>) {
    for (&param, branches) in params {
        let ValueDef::Param(block, place) = func.dfg.value_def(param) else {
            continue;
        };
        let wide = func.dfg.replace_block_param(param, types::I64);
        let Some(first) = func.layout.first_inst(block) else {
            continue;
        };
        let mut cursor = FuncCursor::new(func).at_inst(first);
        cursor.ins().with_result(param).ireduce(types::I32, wide);
        let branches: BTreeSet<Inst> = branches.iter().copied().collect();
        for branch in branches {
            widen_arguments(func, branch, block, place);
        }
    }
    // Whatever is the lower half of a wide parameter is extended already.
    for (value, insts) in extensions(func, Opcode::Uextend) {
        if let ValueDef::Result(inst, 0) = func.dfg.value_def(value)
            && let InstructionData::Unary {
                opcode: Opcode::Ireduce,
                arg,
            } = func.dfg.insts[inst]
            && params.contains_key(&value)
        {
            replace(func, &insts, arg);
        }
    }
}

/// Extends what a branch hands to a parameter.
fn widen_arguments(func: &mut Function, branch: Inst, block: Block, place: usize) {
    let dfg = &func.dfg;
    let calls = dfg.insts[branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
    let calls: Vec<Option<Value>> = calls
        .iter()
        .map(|call| {
            let leads_there = call.block(&dfg.value_lists) == block;
            let arg = call.args(&dfg.value_lists).nth(place);
            arg.filter(|_| leads_there).and_then(|arg| arg.as_value())
        })
        .collect();
    let wide: Vec<Option<Value>> = calls
        .into_iter()
        .map(|value| value.map(|value| extend(func, value, branch)))
        .collect();
    let dfg = &mut func.dfg;
    let calls =
        dfg.insts[branch].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
    for (call, wide) in calls.iter_mut().zip(wide) {
        let Some(wide) = wide else { continue };
        let mut at = 0;
        call.update_args(&mut dfg.value_lists, |arg| {
            at += 1;
            if at - 1 == place {
                BlockArg::Value(wide)
            } else {
                arg
            }
        });
    }
}

/// A value extended before an instruction.
fn extend(func: &mut Function, value: Value, before: Inst) -> Value {
    let constant = constant(func, value);
    let mut cursor = FuncCursor::new(func).at_inst(before);
    cursor.set_srcloc(cursor.func.srcloc(before));
    match constant {
        Some(constant) => cursor.ins().iconst(types::I64, constant & 0xffff_ffff),
        None => cursor.ins().uextend(types::I64, value),
    }
}

/// Makes loads that are extended load what is extended.
fn widen_loads(func: &mut Function, kind: Opcode) {
    for (value, insts) in extensions(func, kind) {
        let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
            continue;
        };
        if !is_load(func, inst) {
            continue;
        }
        let InstructionData::Load {
            opcode,
            arg,
            flags,
            offset,
        } = func.dfg.insts[inst]
        else {
            continue;
        };
        let flags = func.dfg.mem_flags[flags];
        let mut cursor = FuncCursor::new(func).at_inst(inst);
        cursor.set_srcloc(cursor.func.srcloc(inst));
        // The sign of fewer bits than 32 is not that of the 32.
        let wide = match (opcode, kind) {
            (Opcode::Uload8, _) => cursor.ins().uload8(types::I64, flags, arg, offset),
            (Opcode::Uload16, _) => cursor.ins().uload16(types::I64, flags, arg, offset),
            (_, Opcode::Sextend) => cursor.ins().sload32(flags, arg, offset),
            _ => cursor.ins().uload32(flags, arg, offset),
        };
        cursor.func.dfg.insts[inst] = InstructionData::Unary {
            opcode: Opcode::Ireduce,
            arg: wide,
        };
        replace(func, &insts, wide);
    }
}

/// Has everyone use `value` instead of what these instructions make.
fn replace(func: &mut Function, insts: &[Inst], value: Value) {
    for &inst in insts {
        let result = func.dfg.first_result(inst);
        func.layout.remove_inst(inst);
        func.dfg.clear_results(inst);
        func.dfg.change_to_alias(result, value);
    }
}
