//! Accesses at small distances from an earlier one use its address.
//!
//! C programs compute `p + 8`, `p + 16` … in 32 bits, where they may wrap: each takes an
//! instruction, and a register. Once an access has succeeded, its address is known to lie in the
//! memory, the end of which is [`GUARD_TAIL`] bytes away from 4 GiB at least: what little is added
//! to it cannot wrap, and becomes the offset of the load or store.
//!
//! ```text
//!  v3 = iadd v2, 8           v5 = uextend v3     v6 = iadd base, v5     load v6
//!  v4 = iadd v2, 24          v7 = uextend v4     v8 = iadd base, v7     load v8
//!                                                            becomes    load v6+16
//! ```
//!
//! # What makes it safe, and what makes it right
//!
//! - **Safe**, whatever is believed of the values: the new address is the base, plus a zero-extended
//!   index, plus an offset that ends within [`OFFSET_GUARD`], as the address of every access to
//!   a memory with guard pages is. Were all below wrong, nothing could be reached that is not the
//!   memory's or its guard's; nor can it by speculation.
//! - **Right**: let the earlier access be at `x`, with all constants up to byte `x + reach`. It
//!   dominates this one, so it has succeeded with the same values: `x + reach ≤ 2³² − GUARD_TAIL`.
//!   With `d < reach + GUARD_TAIL`, `x + d < 2³²`: it does not wrap, and is the index of this access.
//!
//! Both need memory 0 to have guard pages and to begin with a length below the tail: the loader
//! lets none grow into it.

use crate::module::{Bounds, MemoryIndex, ModuleInfo};
use crate::trap::GUARD_PAGE_ACCESS;
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    Block, DataFlowGraph, Function, Inst, InstructionData, Opcode, Value, types,
};
use precast_abi::instance::{GUARD_RESERVATION, GUARD_TAIL, OFFSET_GUARD};
use std::collections::HashMap;

/// Sums of more terms than this are taken as they are.
const MAX_TERMS: usize = 8;

/// No more earlier accesses than this are looked at.
const MAX_ANCHORS: usize = 8;

/// Whether memory 0 is one whose accesses this is about.
pub(super) fn applies(module: &ModuleInfo<'_>) -> bool {
    let memory = module.memories.get(MemoryIndex::from_u32(0));
    memory.is_some_and(|memory| {
        memory.bounds == Bounds::GuardPages
            && !memory.imported
            && memory
                .min_bytes()
                .is_some_and(|min| min <= GUARD_RESERVATION - GUARD_TAIL)
    })
}

/// An access that has succeeded wherever it is known.
#[derive(Clone, Copy)]
struct Anchor {
    /// Its address: the base and its index.
    address: Value,
    /// Its index less the root.
    distance: u32,
    /// How far from its index bytes have been accessed.
    reach: u64,
}

impl Anchor {
    /// The offset from this anchor's address of `size` bytes at `offset` from the index that is
    /// the root plus `distance`, if it is known to be the same place.
    fn offset_of(&self, distance: u32, offset: u64, size: u64) -> Option<u64> {
        let between = u64::from(distance.wrapping_sub(self.distance));
        let same = between < self.reach + GUARD_TAIL;
        let offset = between + offset;
        (same && offset + size <= OFFSET_GUARD).then_some(offset)
    }
}

/// What is known on the way down the dominator tree: the latest anchors last.
#[derive(Default)]
struct Anchors {
    of_root: HashMap<Value, Vec<Anchor>>,
    /// The roots of all that were added, in order.
    added: Vec<Value>,
}

impl Anchors {
    fn add(&mut self, root: Value, anchor: Anchor) {
        self.of_root.entry(root).or_default().push(anchor);
        self.added.push(root);
    }

    /// Forgets all but the first `len` that were added.
    fn truncate(&mut self, len: usize) {
        for root in self.added.drain(len..) {
            if let Some(anchors) = self.of_root.get_mut(&root) {
                anchors.pop();
            }
        }
    }

    fn latest(&self, root: Value) -> impl Iterator<Item = &Anchor> {
        let anchors = self.of_root.get(&root).into_iter();
        anchors.flat_map(|anchors| anchors.iter().rev().take(MAX_ANCHORS))
    }
}

/// Rewrites the accesses of a function whose first parameter is the base.
pub(super) fn run(func: &mut Function) {
    let Some(entry) = func.layout.entry_block() else {
        return;
    };
    let Some(&base) = func.dfg.block_params(entry).first() else {
        return;
    };
    let cfg = ControlFlowGraph::with_function(func);
    let tree = DominatorTree::with_function(func, &cfg);
    let mut anchors = Anchors::default();
    // Blocks to enter, and how many anchors are known there.
    let mut blocks: Vec<(Block, usize)> = vec![(entry, 0)];
    while let Some((block, known)) = blocks.pop() {
        anchors.truncate(known);
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            rewrite(&mut func.dfg, base, inst, &mut anchors);
            next = func.layout.next_inst(inst);
        }
        let known = anchors.added.len();
        blocks.extend(tree.children(block).map(|child| (child, known)));
    }
}

/// Rewrites one instruction, and learns from it.
fn rewrite(dfg: &mut DataFlowGraph, base: Value, inst: Inst, anchors: &mut Anchors) {
    let Some(access) = Access::new(dfg, base, inst) else {
        return;
    };
    let Access {
        address,
        index,
        offset,
        size,
    } = access;
    let (root, distance) = split(dfg, index);
    let found = anchors.latest(root).find_map(|anchor| {
        let offset = anchor.offset_of(distance, offset, size)?;
        Some((*anchor, offset))
    });
    let Some((anchor, offset)) = found else {
        let anchor = Anchor {
            address,
            distance,
            reach: offset + size,
        };
        anchors.add(root, anchor);
        return;
    };
    match &mut dfg.insts[inst] {
        InstructionData::Load {
            arg, offset: place, ..
        } => {
            *arg = anchor.address;
            *place = (offset as i32).into();
        }
        InstructionData::Store {
            args,
            offset: place,
            ..
        } => {
            args[1] = anchor.address;
            *place = (offset as i32).into();
        }
        _ => return,
    }
    if offset + size > anchor.reach {
        let reach = offset + size;
        anchors.add(root, Anchor { reach, ..anchor });
    }
}

/// A load or store of guest memory behind guard pages.
struct Access {
    /// Its address: `base + zero_extend(index)`.
    address: Value,
    /// Its index, of 32 bits.
    index: Value,
    /// Constant offset.
    offset: u64,
    /// How many bytes.
    size: u64,
}

impl Access {
    fn new(dfg: &DataFlowGraph, base: Value, inst: Inst) -> Option<Access> {
        let data = &dfg.insts[inst];
        if data.memflags_trap_code(dfg) != Some(GUARD_PAGE_ACCESS) {
            return None;
        }
        let (opcode, address, offset, whole) = match *data {
            InstructionData::Load {
                opcode,
                arg,
                offset,
                ..
            } => (opcode, arg, offset, dfg.first_result(inst)),
            InstructionData::Store {
                opcode,
                args,
                offset,
                ..
            } => (opcode, args[1], offset, args[0]),
            _ => return None,
        };
        let size = match opcode {
            Opcode::Load | Opcode::Store => dfg.value_type(whole).bytes(),
            Opcode::Uload8 | Opcode::Sload8 | Opcode::Istore8 => 1,
            Opcode::Uload16 | Opcode::Sload16 | Opcode::Istore16 => 2,
            Opcode::Uload32 | Opcode::Sload32 | Opcode::Istore32 => 4,
            _ => return None,
        };
        let address = dfg.resolve_aliases(address);
        let [left, right] = binary(dfg, address, Opcode::Iadd)?;
        if left != dfg.resolve_aliases(base) {
            return None;
        }
        let extension = dfg.value_def(right).inst()?;
        let InstructionData::Unary {
            opcode: Opcode::Uextend,
            arg,
        } = dfg.insts[extension]
        else {
            return None;
        };
        if dfg.value_type(arg) != types::I32 {
            return None;
        }
        Some(Access {
            address,
            index: dfg.resolve_aliases(arg),
            offset: u64::try_from(i32::from(offset)).ok()?,
            size: u64::from(size),
        })
    }
}

/// A value of 32 bits as another one plus a constant, modulo 2³².
fn split(dfg: &DataFlowGraph, value: Value) -> (Value, u32) {
    let (mut root, mut distance) = (value, 0u32);
    for _ in 0..MAX_TERMS {
        let Some((rest, term)) = sum(dfg, root) else {
            break;
        };
        root = rest;
        distance = distance.wrapping_add(term);
    }
    (root, distance)
}

/// The terms of a sum with a constant.
fn sum(dfg: &DataFlowGraph, value: Value) -> Option<(Value, u32)> {
    if let Some([left, right]) = binary(dfg, value, Opcode::Iadd) {
        return match (constant(dfg, left), constant(dfg, right)) {
            (_, Some(term)) => Some((left, term)),
            (Some(term), _) => Some((right, term)),
            _ => None,
        };
    }
    // A disjunction without carries is a sum.
    let [left, right] = binary(dfg, value, Opcode::Bor)?;
    let term = constant(dfg, right)?;
    let disjoint = 32 - term.leading_zeros() <= low_zeros(dfg, left);
    disjoint.then_some((left, term))
}

/// How many of the lowest bits of a value of 32 bits are zero for certain.
fn low_zeros(dfg: &DataFlowGraph, value: Value) -> u32 {
    if let Some([_, right]) = binary(dfg, value, Opcode::Ishl) {
        // Shifts are modulo 32.
        constant(dfg, right).map_or(0, |by| by % 32)
    } else if let Some([_, right]) = binary(dfg, value, Opcode::Band) {
        constant(dfg, right).map_or(0, u32::trailing_zeros)
    } else {
        0
    }
}

/// The operands of a value that is made by `opcode`.
fn binary(dfg: &DataFlowGraph, value: Value, opcode: Opcode) -> Option<[Value; 2]> {
    let inst = dfg.value_def(value).inst()?;
    match dfg.insts[inst] {
        InstructionData::Binary {
            opcode: found,
            args,
        } if found == opcode => Some(args.map(|arg| dfg.resolve_aliases(arg))),
        _ => None,
    }
}

/// The number that a value of 32 bits is.
fn constant(dfg: &DataFlowGraph, value: Value) -> Option<u32> {
    let inst = dfg.value_def(value).inst()?;
    match dfg.insts[inst] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => Some(imm.bits() as u32),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
