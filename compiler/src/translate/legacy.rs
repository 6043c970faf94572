//! The first form of exceptions: `try`, `catch`, `catch_all`, `delegate`, `rethrow`.
//!
//! The clauses of a `try` come after its body. So functions that have any are read once before: for
//! which tags there are clauses, and which exceptions are thrown again.

use super::control::FrameKind;
use super::exception::{Clause, Target};
use super::func::FuncTranslator;
use crate::error::CompileError;
use crate::module::TagIndex;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Value};
use precast_abi::runtime::RuntimeFn;
use wasmparser::{BlockType, FunctionBody, Operator, RefType, ValType};

/// A `try` that has been entered and not been left.
pub(crate) struct TryFrame {
    pub(super) clauses: Vec<Clause>,
    /// How many clauses have begun.
    begun: usize,
    /// The frame that has the handlers, by its place in the control stack, if it has none itself.
    delegate: Option<usize>,
    /// What the current clause has caught, where it is thrown again.
    caught: Option<Value>,
}

/// What is known beforehand of each `try` of a function, in their order.
#[derive(Default)]
pub(crate) struct Tries {
    found: Vec<Try>,
    next: usize,
}

#[derive(Clone, Default)]
struct Try {
    /// The tag of each clause, and whether what it catches is thrown again.
    clauses: Vec<(Option<TagIndex>, bool)>,
    /// The label of its `delegate`.
    delegate: Option<u32>,
}

impl Tries {
    /// Reads a body that was validated.
    pub(super) fn of(body: &FunctionBody<'_>) -> wasmparser::Result<Tries> {
        let mut found: Vec<Try> = Vec::new();
        // Of each block that is open, which `try` it is.
        let mut open: Vec<Option<usize>> = vec![None];
        for op in body.get_operators_reader()? {
            let innermost = open.last().copied().flatten();
            match op? {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. } => open.push(None),
                Operator::Try { .. } => {
                    open.push(Some(found.len()));
                    found.push(Try::default());
                }
                Operator::Catch { tag_index } => {
                    let tag = Some(TagIndex::from_u32(tag_index));
                    if let Some(at) = innermost {
                        found[at].clauses.push((tag, false));
                    }
                }
                Operator::CatchAll => {
                    if let Some(at) = innermost {
                        found[at].clauses.push((None, false));
                    }
                }
                Operator::Delegate { relative_depth } => {
                    if let Some(at) = innermost {
                        found[at].delegate = Some(relative_depth);
                    }
                    open.pop();
                }
                Operator::Rethrow { relative_depth } => {
                    let target = open.iter().rev().nth(relative_depth as usize);
                    let clause = target
                        .copied()
                        .flatten()
                        .and_then(|at| found[at].clauses.last_mut());
                    if let Some((_, wants_ref)) = clause {
                        *wants_ref = true;
                    }
                }
                Operator::End => {
                    open.pop();
                }
                _ => {}
            }
        }
        Ok(Tries { found, next: 0 })
    }

    fn take(&mut self) -> Try {
        let next = self.found.get(self.next).cloned();
        self.next += 1;
        next.unwrap_or_default()
    }
}

impl FuncTranslator<'_> {
    pub(super) fn translate_try(&mut self, ty: BlockType) {
        let Try { clauses, delegate } = self.exceptions.legacy.take();
        let depth = self.control.len();
        let clause = |(tag, wants_ref)| Clause {
            tag,
            wants_ref,
            target: Target::Code(None),
            landing: None,
        };
        let frame = TryFrame {
            clauses: clauses.into_iter().map(clause).collect(),
            begun: 0,
            delegate: delegate.map(|label| depth - 1 - label as usize),
            caught: None,
        };
        self.enter_try(ty, FrameKind::Try(frame));
    }

    /// Passes a `try` that cannot be reached.
    pub(super) fn skip_try(&mut self) {
        self.exceptions.legacy.take();
    }

    /// Begins the next clause of a `try`: what comes before it is over.
    pub(super) fn translate_catch(&mut self) {
        if self.reachable {
            self.leave_frame();
        }
        let at = self.control.len() - 1;
        let FrameKind::Try(frame) = &mut self.control[at].kind else {
            return;
        };
        let clause = frame.begun;
        frame.begun += 1;
        frame.caught = None;
        if clause == 0 {
            self.exceptions.trys.pop();
        }
        self.drop_operands();
        self.reachable = self.begin_clause(at, clause);
    }

    /// Goes on with the code of a clause; `false` where nothing leads there.
    fn begin_clause(&mut self, frame: usize, clause: usize) -> bool {
        let Clause {
            tag,
            wants_ref,
            landing,
            ..
        } = self.control[frame].clauses()[clause];
        if let Some(landing) = landing {
            let code = self.clause_code(frame, clause);
            let height = self.stack.len();
            self.continue_at(landing);
            self.emit_caught(landing, tag, wants_ref);
            self.jump_to_clause(code, self.stack.len() - height);
            self.stack.truncate(height);
        }
        let Target::Code(Some(code)) = self.control[frame].clauses()[clause].target else {
            return false;
        };
        self.continue_at(code);
        self.push_block_params(code);
        if wants_ref {
            let caught = self.pop1();
            if let FrameKind::Try(frame) = &mut self.control[frame].kind {
                frame.caught = Some(caught);
            }
        }
        true
    }

    /// The block that the code of a clause begins with.
    pub(super) fn clause_code(&mut self, frame: usize, clause: usize) -> Block {
        let Clause {
            tag,
            wants_ref,
            target,
            ..
        } = self.control[frame].clauses()[clause];
        if let Target::Code(Some(code)) = target {
            return code;
        }
        let code = self.builder.create_block();
        let module = self.env.module;
        if let Some(tag) = tag {
            self.append_params(code, module.tag_params(tag));
        }
        if wants_ref {
            self.append_params(code, &[ValType::Ref(RefType::EXN)]);
        }
        self.control[frame].clauses_mut()[clause].target = Target::Code(Some(code));
        code
    }

    /// Goes to the code of a clause with the upper `count` values.
    pub(super) fn jump_to_clause(&mut self, code: Block, count: usize) {
        let args: Vec<BlockArg> = self.peek_n(count).iter().map(|v| (*v).into()).collect();
        self.builder.ins().jump(code, &args);
        self.set_unreachable();
    }

    /// Ends a `try` whose exceptions are another frame's.
    pub(super) fn translate_delegate(&mut self) {
        self.end_try();
    }

    /// Leaves a `try`.
    pub(super) fn end_try(&mut self) {
        if let FrameKind::Try(frame) = self.take_kind()
            && frame.begun == 0
        {
            self.exceptions.trys.pop();
        }
        self.end_block();
    }

    pub(super) fn translate_rethrow(&mut self, depth: u32) -> Result<(), CompileError> {
        let frame = self.control.len() - 1 - depth as usize;
        let FrameKind::Try(TryFrame {
            caught: Some(caught),
            ..
        }) = self.control[frame].kind
        else {
            return Err(CompileError::Internal {
                message: "nothing that could be thrown again was caught".to_owned(),
            });
        };
        let unused = self.emit_number(0);
        self.emit_throw(RuntimeFn::ThrowRef, &[caught, unused])
    }
}

impl super::control::Frame {
    /// The frame that has the handlers of a `try`, if that is another one.
    pub(super) fn delegates_to(&self) -> Option<usize> {
        match &self.kind {
            FrameKind::Try(frame) => frame.delegate,
            _ => None,
        }
    }
}
