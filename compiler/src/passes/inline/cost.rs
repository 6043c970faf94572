//! How large a function is, and which calls are worth replacing.

use crate::profile::Heat;
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value, ValueDef};

/// How large a function is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Instructions that become code, outside of cold blocks.
    pub(super) hot: usize,
    /// Instructions in cold blocks.
    pub(super) cold: usize,
    /// Parameters of all blocks together.
    pub(super) block_params: usize,
    /// Whether it has a jump table.
    pub(super) has_table: bool,
    /// Ways back to the start of a loop.
    pub(super) loops: usize,
    /// Whether it catches exceptions of what it calls.
    pub(super) catches: bool,
}

impl Size {
    /// Measures a function.
    pub(super) fn of(function: &Function) -> Size {
        let mut size = Size::default();
        let mut seen = EntitySet::new();
        for block in function.layout.blocks() {
            seen.insert(block);
            size.block_params += function.dfg.num_block_params(block);
            let is_cold = function.layout.is_cold(block);
            for inst in function.layout.block_insts(block) {
                let opcode = function.dfg.insts[inst].opcode();
                size.has_table |= opcode == Opcode::BrTable;
                size.catches |= matches!(opcode, Opcode::TryCall | Opcode::TryCallIndirect);
                size.loops += successors(function, inst)
                    .filter(|next| seen.contains(*next))
                    .count();
                if is_cold {
                    size.cold += 1;
                } else if !is_free(opcode) {
                    size.hot += 1;
                }
            }
        }
        size
    }
}

/// Whether an instruction mostly becomes part of others, or nothing at all.
fn is_free(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Iconst
            | Opcode::F32const
            | Opcode::F64const
            | Opcode::Jump
            | Opcode::Return
            | Opcode::Uextend
            | Opcode::Ireduce
            | Opcode::Bitcast
    )
}

/// Whether a value is a constant.
pub(super) fn is_constant(function: &Function, value: Value) -> bool {
    let value = function.dfg.resolve_aliases(value);
    match function.dfg.value_def(value) {
        ValueDef::Result(inst, _) => matches!(
            function.dfg.insts[inst],
            InstructionData::UnaryImm { .. }
                | InstructionData::UnaryIeee32 { .. }
                | InstructionData::UnaryIeee64 { .. }
        ),
        _ => false,
    }
}

/// A call that could be replaced by the callee's code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// How large the callee is.
    pub(super) size: Size,
    /// How many loops the call is in.
    pub(super) loops: usize,
    /// How many arguments it has, the hidden one included.
    pub(super) args: usize,
    /// How many of them are constants.
    pub(super) constants: usize,
    /// Whether it is the only call of the callee.
    pub(super) is_sole: bool,
    /// How often it was made, if that was counted,
    pub(super) count: Option<u64>,
    /// and what that means.
    pub(super) heat: Option<Heat>,
}

/// What a function that is inlined may have of instructions outside of cold blocks.
const MAX_CALLEE: usize = 20;
/// The same for the only call of a function.
const MAX_SOLE_CALLEE: usize = 160;
/// What a function with a loop may have, whoever calls it.
const MAX_LOOP_CALLEE: usize = 40;
/// What each constant argument adds to that.
const PER_CONSTANT: usize = 6;
/// What a loop around the call adds to it, or that the call was made often.
const IN_LOOP: usize = 55;
/// A call and what surrounds it, in instructions; each argument takes one more.
const CALL: usize = 5;

/// Whether a call is worth replacing.
pub(super) fn is_worth_it(call: &Candidate, for_size: bool) -> bool {
    let Size { hot, cold, .. } = call.size;
    if for_size {
        return hot + cold <= CALL + call.args;
    }
    // A call costs little beside a loop, which does better with all registers to itself. But a short
    // one may be run through once or twice: the search of a hash table, the comparison of a word.
    if call.size.loops > 1 || call.size.loops == 1 && hot > MAX_LOOP_CALLEE {
        return false;
    }
    if call.heat == Some(Heat::Cold) {
        return hot + cold <= CALL + call.args;
    }
    if call.is_sole {
        return hot <= MAX_SOLE_CALLEE;
    }
    let mut limit = MAX_CALLEE + PER_CONSTANT * call.constants;
    if call.heat.map_or(call.loops > 0, |heat| heat == Heat::Hot) {
        limit += IN_LOOP;
    }
    !call.size.has_table && hot <= limit && cold <= 2 * limit
}

/// How many instructions a function may grow by.
pub(super) fn growth(caller: &Size) -> usize {
    const LEAST: usize = 100;
    const MOST: usize = 8000;
    ((caller.hot + caller.cold) / 5).clamp(LEAST, MOST)
}

/// A function that calls itself is inlined into itself if it is no larger,
const MAX_RECURSIVE: usize = 60;
/// and calls itself from no more places.
const MAX_RECURSIVE_CALLS: usize = 4;

/// Whether a function is worth being inlined into itself.
pub(super) fn is_worth_unrolling(size: &Size, calls: usize) -> bool {
    size.hot <= MAX_RECURSIVE && !size.has_table && (1..=MAX_RECURSIVE_CALLS).contains(&calls)
}

/// The blocks that an instruction branches to.
fn successors(function: &Function, inst: Inst) -> impl Iterator<Item = Block> {
    let dfg = &function.dfg;
    dfg.insts[inst]
        .branch_destination(&dfg.jump_tables, &dfg.exception_tables)
        .iter()
        .map(|call| call.block(&dfg.value_lists))
}

/// Blocks in cold places: those that say so, and those that lead to such blocks only.
pub(super) fn find_cold(function: &Function, postorder: &[Block]) -> Vec<bool> {
    let mut cold = vec![false; function.dfg.num_blocks()];
    // Blocks behind come first.
    for &block in postorder {
        let is_cold = function.layout.is_cold(block) || {
            let last = function.layout.last_inst(block);
            last.is_some_and(|inst| {
                let mut successors = successors(function, inst).peekable();
                function.dfg.insts[inst].opcode() == Opcode::Trap
                    || successors.peek().is_some()
                        && successors.all(|block| cold[block.as_u32() as usize])
            })
        };
        cold[block.as_u32() as usize] = is_cold;
    }
    cold
}
