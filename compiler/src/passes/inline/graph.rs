//! Which functions may be inlined where: the graph of the calls whose target is known.
//!
//! Only small functions take part as callees. Of their calls among each other those are left out
//! that lead back to a function that is being looked at, so that no chain of calls is circular, and
//! those that would make a chain too long: what is inlined does not depend on the order in which
//! functions are compiled.

use crate::module::{FuncIndex, ModuleInfo};
use cranelift_codegen::entity::SecondaryMap;
use precast_abi::addrmap::MAX_DEPTH;
use std::collections::BTreeSet;

/// Bodies of more bytes are not looked at: they are too large for any caller,
const MAX_BODY_BYTES: u64 = 320;
/// but for those that are called from one place only.
const MAX_SOLE_BODY_BYTES: u64 = 1200;

/// How many functions deep those are that are inlined: one less than can be told, as a function
/// may be inlined into itself on top of it.
const MAX_RANK: u8 = MAX_DEPTH as u8 - 1;

/// The graph.
pub(super) struct Graph {
    nodes: SecondaryMap<FuncIndex, Node>,
}

/// What is known about a function.
#[derive(Clone, Default)]
struct Node {
    /// Whether it may be inlined.
    is_callee: bool,
    /// How many calls of it there are.
    calls: u32,
    /// Whether nobody can call it but by these.
    is_private: bool,
    /// Whether it calls itself.
    calls_itself: bool,
    /// The functions that may be inlined in it, in the order of its calls.
    callees: Box<[FuncIndex]>,
    /// How many functions it may be inlined in.
    callers: u32,
    /// The length of the longest chain of calls from here.
    rank: u8,
}

impl Graph {
    /// Looks at a whole module.
    pub(super) fn new(module: &ModuleInfo<'_>) -> Graph {
        let mut graph = Graph {
            nodes: SecondaryMap::with_default(Node::default()),
        };
        graph.nodes.resize(module.functions.len());
        graph.count_calls(module);
        let held = held_by_tables(module);
        for (index, function) in module.functions.iter() {
            let range = function.body_range();
            let size = range.end - range.start;
            let node = &mut graph.nodes[index];
            node.is_private =
                !function.needs_func_ref && module.start != Some(index) && !held.contains(&index);
            let is_sole = node.calls == 1 && node.is_private;
            let limit = if is_sole {
                MAX_SOLE_BODY_BYTES
            } else {
                MAX_BODY_BYTES
            };
            node.is_callee = function.body.is_some() && node.calls > 0 && size <= limit;
        }
        graph.choose_callees(module);
        graph
    }

    fn count_calls(&mut self, module: &ModuleInfo<'_>) {
        for (index, function) in module.functions.iter() {
            for callee in &function.callees {
                let node = &mut self.nodes[*callee];
                node.calls += 1;
                node.calls_itself |= *callee == index;
            }
        }
    }

    /// Decides who may be inlined in whom, callees before callers.
    fn choose_callees(&mut self, module: &ModuleInfo<'_>) {
        let mut visits = SecondaryMap::with_default(Visit::None);
        visits.resize(module.functions.len());
        for (root, function) in module.functions.iter() {
            if function.callees.is_empty() || visits[root] == Visit::Done {
                continue;
            }
            // What is no callee itself has no place in any chain.
            let mut path = vec![(root, 0)];
            while let Some((index, next)) = path.last_mut() {
                let index = *index;
                let Some(&callee) = module.functions[index].callees.get(*next) else {
                    self.finish(module, index, &mut visits);
                    path.pop();
                    continue;
                };
                *next += 1;
                if *next == 1 {
                    visits[index] = Visit::Open;
                }
                if self.nodes[callee].is_callee && visits[callee] == Visit::None {
                    path.push((callee, 0));
                }
            }
        }
    }

    /// Every callee of a function is finished, or leads back to it.
    fn finish(
        &mut self,
        module: &ModuleInfo<'_>,
        index: FuncIndex,
        visits: &mut SecondaryMap<FuncIndex, Visit>,
    ) {
        if visits[index] == Visit::Done {
            return;
        }
        visits[index] = Visit::Done;
        let mut seen = BTreeSet::new();
        let mut callees = Vec::new();
        let mut rank = 0;
        for &callee in &module.functions[index].callees {
            let node = &mut self.nodes[callee];
            let fits = node.is_callee
                && !node.calls_itself
                && node.rank < MAX_RANK
                && callee != index
                && visits[callee] == Visit::Done;
            if fits && seen.insert(callee) {
                node.callers += 1;
                rank = rank.max(node.rank + 1);
                callees.push(callee);
            }
        }
        let node = &mut self.nodes[index];
        node.callees = callees.into();
        node.rank = rank;
    }

    /// The functions that may be inlined in one, in the order of its calls.
    pub(super) fn callees(&self, caller: FuncIndex) -> &[FuncIndex] {
        &self.nodes[caller].callees
    }

    /// How many functions one may be inlined in.
    pub(super) fn callers(&self, callee: FuncIndex) -> u32 {
        self.nodes[callee].callers
    }

    /// Whether nobody needs the code of a function if it is inlined wherever it is called.
    pub(super) fn may_vanish(&self, index: FuncIndex) -> bool {
        let node = &self.nodes[index];
        node.is_private && node.callers > 0
    }

    /// Whether a function calls itself.
    pub(super) fn calls_itself(&self, index: FuncIndex) -> bool {
        self.nodes[index].calls_itself
    }

    /// Whether there is one call of a function only, and nobody else can call it.
    pub(super) fn is_sole(&self, callee: FuncIndex) -> bool {
        let node = &self.nodes[callee];
        node.calls == 1 && node.is_private
    }
}

/// How far the search has got with a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    None,
    /// Its callees are being looked at.
    Open,
    Done,
}

/// The functions in tables that no one can change.
fn held_by_tables(module: &ModuleInfo<'_>) -> BTreeSet<FuncIndex> {
    let tables = module.tables.values();
    let elements = tables.flat_map(|table| table.immutable.iter().flatten());
    elements.flatten().copied().collect()
}
