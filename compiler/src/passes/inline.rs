//! Inlining: small functions take the place of calls of them.
//!
//! Callees come before callers: what was inlined in a function goes along with it. A worker that
//! needs a callee makes it, whoever needs it next finds it, and the last one who does takes it
//! away, so that memory holds small functions only, and those not for long. What is made depends
//! on the module alone: the graph says who may be inlined where before anything is.
//!
//! Cranelift does the copying (`cranelift_codegen::inline`), with what it leaves out added here:
//! it drops source locations, and takes the symbols of global values for those of the caller, so
//! that translation uses none.

mod cost;
mod graph;
mod positions;
#[cfg(test)]
mod tests;

pub(crate) use positions::Positions;

use crate::module::FuncIndex;
use crate::options::OptLevel;
use crate::passes::Pass;
use crate::translate::{self, Env, Namespace};
use cost::{Candidate, Size};
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{self, ExternalName, Inst, Opcode, Value};
use cranelift_codegen::{CodegenError, Context};
use cranelift_frontend::FunctionBuilderContext;
use graph::Graph;
use precast_abi::addrmap::Site;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Functions do not grow beyond this many parameters of blocks: far below what keeps the register
/// allocator busy for long.
const MAX_BLOCK_PARAMS: usize = translate::MAX_BLOCK_PARAMS / 2;

/// What inlines, for one module. Shared by all threads.
pub(crate) struct Inliner<'a> {
    env: &'a Env<'a>,
    graph: Graph,
    /// The functions that are inlined elsewhere, by index.
    slots: Vec<Mutex<Slot>>,
    /// The end of the code in the module.
    end: u32,
}

/// A function that is ready to be inlined.
struct Callee {
    index: FuncIndex,
    function: ir::Function,
    positions: Positions,
    size: Size,
}

/// Where a callee stands.
#[derive(Clone)]
enum Slot {
    /// Nobody has needed it so far.
    Empty,
    /// It is there, and needed so many times more.
    Ready(Arc<Callee>, u32),
    /// It cannot be made, or is not needed any more.
    Gone,
}

impl<'a> Inliner<'a> {
    /// What inlines in this module; `None` where nothing is inlined.
    pub(crate) fn new(env: &'a Env<'a>) -> Option<Inliner<'a>> {
        let bodies = env.module.functions.values().map(|f| f.body_range().end);
        let end = u32::try_from(bodies.max()?).ok()?;
        if !env.passes.has(Pass::Inline) {
            return None;
        }
        Some(Inliner {
            env,
            graph: Graph::new(env.module),
            slots: vec![Slot::Empty; env.module.functions.len()]
                .into_iter()
                .map(Mutex::new)
                .collect(),
            end: end.checked_add(1)?,
        })
    }

    /// Whether nobody needs the code of a function if it is inlined wherever it is called.
    pub(crate) fn may_vanish(&self, index: FuncIndex) -> bool {
        self.graph.may_vanish(index)
    }

    /// Translates a function into `context`, whose function must be empty, and inlines what is
    /// worth it.
    pub(crate) fn translate(
        &self,
        index: FuncIndex,
        builder: &mut FunctionBuilderContext,
        context: &mut Context,
    ) -> Result<Positions, crate::CompileError> {
        let mut positions = match self.callee(index, builder) {
            Some(callee) => {
                let callee = Arc::try_unwrap(callee).unwrap_or_else(|shared| Callee {
                    index,
                    function: shared.function.clone(),
                    positions: shared.positions.clone(),
                    size: shared.size,
                });
                context.func = callee.function;
                callee.positions
            }
            None => self.make(index, builder, context)?,
        };
        if self.graph.calls_itself(index) && self.env.level == OptLevel::Speed {
            self.inline_itself(index, context, &mut positions)?;
        }
        Ok(positions)
    }

    /// Translates a function and inlines the others.
    fn make(
        &self,
        index: FuncIndex,
        builder: &mut FunctionBuilderContext,
        context: &mut Context,
    ) -> Result<Positions, crate::CompileError> {
        let function = &mut context.func;
        translate::translate_function(self.env, index, builder, function)?;
        let mut positions = Positions::new(self.end);
        let callees: Vec<Arc<Callee>> = self
            .graph
            .callees(index)
            .iter()
            .filter_map(|callee| self.callee(*callee, builder))
            .collect();
        if !callees.is_empty() {
            let chosen = self.choose(index, context, &callees);
            apply(context, chosen, &mut positions).map_err(|error| failed(index, &error))?;
        }
        Ok(positions)
    }

    /// A function that may be inlined: one of those who need it asks for it.
    fn callee(
        &self,
        index: FuncIndex,
        builder: &mut FunctionBuilderContext,
    ) -> Option<Arc<Callee>> {
        // Its own code is one more use.
        let uses = self.graph.callers(index) + 1;
        if uses == 1 {
            return None;
        }
        let slot = self.slots.get(index.as_u32() as usize)?;
        // Nobody waits in a circle: the graph has none. Whoever panicked left it empty.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Empty = *slot {
            let mut context = Context::new();
            *slot = match self.make(index, builder, &mut context) {
                Ok(positions) => {
                    let size = Size::of(&context.func);
                    let callee = Callee {
                        index,
                        // A copy has no room for more, which is most of what the original takes.
                        function: context.func.clone(),
                        positions,
                        size,
                    };
                    Slot::Ready(Arc::new(callee), uses)
                }
                // Who compiles it tells.
                Err(_) => Slot::Gone,
            };
        }
        match std::mem::replace(&mut *slot, Slot::Gone) {
            Slot::Ready(callee, uses) => {
                if uses > 1 {
                    *slot = Slot::Ready(Arc::clone(&callee), uses - 1);
                }
                Some(callee)
            }
            _ => None,
        }
    }

    /// Chooses the calls to replace: those in the innermost loops first, then the smallest ones,
    /// until the function has grown enough. Where it was counted, those that were made most come
    /// first.
    fn choose(&self, index: FuncIndex, context: &mut Context, callees: &[Arc<Callee>]) -> Chosen {
        let by_index: HashMap<u32, &Arc<Callee>> = callees
            .iter()
            .map(|callee| (callee.index.as_u32(), callee))
            .collect();
        let calls = calls(&context.func, |function| by_index.contains_key(&function));
        if calls.is_empty() {
            return Chosen::default();
        }
        context.compute_cfg();
        context.compute_domtree();
        context.compute_loop_analysis();
        let function = &context.func;
        let cold = cost::find_cold(function, context.domtree.cfg_postorder());
        let for_size = self.env.level == OptLevel::Size;
        let counted = self.env.profile.and_then(|profile| {
            let body = self.env.module.functions[index].body.as_ref()?;
            Some((profile, profile.function(index, body)))
        });
        let mut candidates = Vec::new();
        for (inst, callee) in calls {
            let callee = by_index[&callee];
            if callee.size.catches {
                continue;
            }
            let Some(block) = function.layout.inst_block(inst) else {
                continue;
            };
            if cold[block.as_u32() as usize] || !context.domtree.is_reachable(block) {
                continue;
            }
            let args = function.dfg.inst_args(inst);
            let made = counted.as_ref().map(|(profile, function_profile)| {
                let offset = function.srcloc(inst).bits();
                let count = function_profile.calls(u64::from(offset)).unwrap_or(0);
                (count, profile.heat(count))
            });
            let call = Candidate {
                size: callee.size,
                loops: context.loop_analysis.loop_level(block).level(),
                args: args.len(),
                constants: args
                    .iter()
                    .filter(|arg| cost::is_constant(function, **arg))
                    .count(),
                is_sole: self.graph.is_sole(callee.index),
                count: made.map(|(count, _)| count),
                heat: made.map(|(_, heat)| heat),
            };
            if cost::is_worth_it(&call, for_size) {
                candidates.push((inst, callee, call));
            }
        }
        // Stable: the order of the code decides the rest.
        candidates.sort_by_key(|(_, _, call)| {
            let often = std::cmp::Reverse((call.count, call.loops));
            (often, call.size.hot)
        });
        let size = Size::of(function);
        let (mut room, mut params) = (cost::growth(&size), size.block_params);
        let mut chosen = Chosen::default();
        for (inst, callee, call) in candidates {
            let more = call.size.hot + call.size.cold;
            let results = callee.function.signature.returns.len();
            let more_params = call.size.block_params + results;
            if more <= room && params + more_params <= MAX_BLOCK_PARAMS {
                room -= more;
                params += more_params;
                chosen.calls.insert(inst, Arc::clone(callee));
            }
        }
        chosen
    }

    /// Inlines a function into itself, once.
    fn inline_itself(
        &self,
        index: FuncIndex,
        context: &mut Context,
        positions: &mut Positions,
    ) -> Result<(), crate::CompileError> {
        let size = Size::of(&context.func);
        let mut calls = calls(&context.func, |function| function == index.as_u32());
        // Those of other functions that are inlined here stay.
        calls.retain(|(inst, _)| positions.is_own(context.func.srcloc(*inst)));
        if size.catches || !cost::is_worth_unrolling(&size, calls.len()) {
            return Ok(());
        }
        let callee = Arc::new(Callee {
            index,
            function: context.func.clone(),
            positions: positions.clone(),
            size,
        });
        let mut chosen = Chosen::default();
        for (inst, _) in calls {
            chosen.calls.insert(inst, Arc::clone(&callee));
        }
        apply(context, chosen, positions).map_err(|error| failed(index, &error))
    }
}

/// The direct calls of functions that are wanted, in the order of the code.
fn calls(function: &ir::Function, wanted: impl Fn(u32) -> bool) -> Vec<(Inst, u32)> {
    let blocks = function.layout.blocks();
    let insts = blocks.flat_map(|block| function.layout.block_insts(block));
    let calls = insts.filter_map(|inst| {
        let callee = match function.dfg.insts[inst] {
            ir::InstructionData::Call { func_ref, .. } => function_index(function, func_ref)?,
            _ => return None,
        };
        wanted(callee).then_some((inst, callee))
    });
    calls.collect()
}

/// The function of the module that is meant.
fn function_index(function: &ir::Function, callee: ir::FuncRef) -> Option<u32> {
    let ExternalName::User(name) = function.dfg.ext_funcs[callee].name else {
        return None;
    };
    let name = &function.params.user_named_funcs()[name];
    (name.namespace == Namespace::Function as u32).then_some(name.index)
}

/// Calls that are to be replaced, and what was.
#[derive(Default)]
struct Chosen {
    calls: HashMap<Inst, Arc<Callee>>,
    replaced: Vec<Replaced>,
}

struct Replaced {
    callee: Arc<Callee>,
    site: Site,
    /// The number of the first block of the copy.
    first_block: u32,
}

impl Inline for Chosen {
    fn inline(
        &mut self,
        caller: &ir::Function,
        inst: Inst,
        _: Opcode,
        _: ir::FuncRef,
        _: &[Value],
    ) -> InlineCommand<'_> {
        let Some(callee) = self.calls.remove(&inst) else {
            return InlineCommand::KeepCall;
        };
        let site = Site {
            function: callee.index.as_u32(),
            call: caller.srcloc(inst).bits(),
        };
        // Cranelift makes the blocks of the copy before any other, in their order.
        let first_block = caller.dfg.num_blocks() as u32;
        self.replaced.push(Replaced {
            callee,
            site,
            first_block,
        });
        match self.replaced.last() {
            Some(replaced) => InlineCommand::Inline {
                callee: Cow::Borrowed(&replaced.callee.function),
                visit_callee: false,
            },
            None => InlineCommand::KeepCall,
        }
    }
}

/// Replaces the chosen calls.
fn apply(
    context: &mut Context,
    mut chosen: Chosen,
    positions: &mut Positions,
) -> Result<(), CodegenError> {
    if chosen.calls.is_empty() {
        return Ok(());
    }
    let insts = |callee: &Arc<Callee>| callee.function.dfg.num_insts();
    let more: usize = chosen.calls.values().map(insts).sum();
    if !positions.have_room(more) {
        return Ok(());
    }
    context.inline(&mut chosen)?;
    // What was known of the blocks is no longer true.
    context.cfg.clear();
    context.domtree.clear();
    context.loop_analysis.clear();
    for Replaced {
        callee,
        site,
        first_block,
    } in chosen.replaced
    {
        let caller = &mut context.func;
        let Callee {
            function,
            positions: inner,
            ..
        } = &*callee;
        positions.place(caller, first_block, function, inner, site);
    }
    Ok(())
}

fn failed(index: FuncIndex, error: &CodegenError) -> crate::CompileError {
    crate::CompileError::Internal {
        message: format!("inlining in function {}: {error}", index.as_u32()),
    }
}
