//! Optimisations of our own, before Cranelift's. Each is a file, and can be turned off.

mod block_order;
mod branch_hints;
mod byte_swaps;
mod devirtualise;
#[cfg(test)]
mod golden;
mod immediates;
mod inline;
mod invariants;
mod lane_rotations;
mod latches;
mod late;
mod offsets;
mod small_bulk;
mod small_tables;
mod wide_indices;

pub(crate) use branch_hints::BranchHints;
pub(crate) use devirtualise::{Known, known_callee};
pub(crate) use inline::{Inliner, Positions};
pub(crate) use late::optimize;
pub(crate) use small_bulk::{Chunk, chunks};
pub(crate) use small_tables::{Run, runs};

use crate::error::CompileError;
use crate::options::OptLevel;
use crate::translate::Env;
use cranelift_codegen::ir::Function;
use std::fmt;

/// An optimisation that can be turned off. None of them changes what a module does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pass {
    /// Branches that the module's `metadata.code.branch_hint` section calls unlikely leave the
    /// straight way through the code.
    BranchHints,
    /// Indirect calls that can lead to one function only become direct calls.
    Devirtualise,
    /// The code of small functions takes the place of calls of them.
    Inline,
    /// Accesses to memory at small distances from an earlier one use its address.
    Offsets,
    /// `memory.copy` and `memory.fill` of few bytes are loads and stores.
    SmallBulk,
    /// Constants are stored from the instruction, whatever their width.
    Immediates,
    /// A loop's end compares the counter's next value, so that the one before is dead by then.
    Latches,
    /// Sums and the like that an innermost loop would make anew are made before it.
    Invariants,
    /// The blocks of a loop follow each other.
    BlockOrder,
    /// Branch tables with few ways are comparisons.
    SmallTables,
    /// Loaded indices are extended by the load, and stay so along branches.
    WideIndices,
    /// Bytes that are put in reverse order by rotations and masks are swapped by one instruction.
    ByteSwaps,
    /// Lanes that are rotated by whole bytes are shuffled.
    LaneRotations,
}

impl Pass {
    /// Every pass, with its name.
    pub const ALL: [(Pass, &'static str); 13] = [
        (Pass::BranchHints, "branch-hints"),
        (Pass::Devirtualise, "devirtualise"),
        (Pass::Inline, "inline"),
        (Pass::Offsets, "offsets"),
        (Pass::SmallBulk, "small-bulk"),
        (Pass::Immediates, "immediates"),
        (Pass::Latches, "latches"),
        (Pass::Invariants, "invariants"),
        (Pass::BlockOrder, "block-order"),
        (Pass::SmallTables, "small-tables"),
        (Pass::WideIndices, "wide-indices"),
        (Pass::ByteSwaps, "byte-swaps"),
        (Pass::LaneRotations, "lane-rotations"),
    ];

    /// The pass with this name.
    ///
    /// # Errors
    ///
    /// [`CompileError::Options`] for anything else; the message lists the passes.
    pub fn parse(name: &str) -> Result<Pass, CompileError> {
        let known = Pass::ALL.iter().find(|(_, known)| *known == name);
        known
            .map(|(pass, _)| *pass)
            .ok_or_else(|| CompileError::Options {
                message: format!(
                    "unknown pass {name:?}: there are {}",
                    Pass::ALL.map(|(_, name)| name).join(", ")
                ),
            })
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Pass::ALL.iter().find(|(pass, _)| pass == self);
        f.write_str(known.map_or("unknown", |(_, name)| name))
    }
}

/// A set of passes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Passes(u32);

impl Passes {
    /// All of them: the default. [`OptLevel::None`] runs none all the same.
    pub const ALL: Passes = Passes((1 << Pass::ALL.len()) - 1);
    /// None of them.
    pub const NONE: Passes = Passes(0);

    /// These and `pass`.
    #[must_use]
    pub const fn with(self, pass: Pass) -> Passes {
        Passes(self.0 | 1 << pass as u32)
    }

    /// These but not `pass`.
    #[must_use]
    pub const fn without(self, pass: Pass) -> Passes {
        Passes(self.0 & !(1 << pass as u32))
    }

    /// Whether `pass` is one of them.
    pub const fn has(self, pass: Pass) -> bool {
        self.0 & 1 << pass as u32 != 0
    }

    /// Those that run at this level.
    pub(crate) fn at(self, level: OptLevel) -> Passes {
        match level {
            OptLevel::None => Passes::NONE,
            OptLevel::Speed | OptLevel::Size => self,
        }
    }
}

impl Default for Passes {
    fn default() -> Self {
        Passes::ALL
    }
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Pass::ALL.into_iter().filter(|(pass, _)| self.has(*pass));
        f.debug_list().entries(names.map(|(_, name)| name)).finish()
    }
}

/// Runs the passes that change a translated function of the module.
pub(crate) fn run(env: &Env<'_>, func: &mut Function) {
    if env.passes.has(Pass::Offsets) && offsets::applies(env.module) {
        offsets::run(func);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_has_a_name_and_a_place_of_its_own() {
        for (pass, name) in Pass::ALL {
            assert_eq!(Pass::parse(name), Ok(pass));
            assert_eq!(pass.to_string(), name);
            assert!(!Passes::NONE.has(pass) && Passes::ALL.has(pass));
            assert_eq!(Passes::NONE.with(pass).without(pass), Passes::NONE);
            assert_eq!(Passes::ALL.without(pass).with(pass), Passes::ALL);
            assert_ne!(Passes::ALL.without(pass), Passes::ALL);
        }
    }

    #[test]
    fn unknown_passes_are_refused_with_what_there_is() {
        let error = Pass::parse("branch").unwrap_err().to_string();
        assert!(error.contains("branch-hints"), "{error}");
    }

    /// Plain accesses around an atomic one stay where they are, and what is atomic is not left out.
    #[test]
    fn nothing_is_moved_past_an_atomic_operator() {
        let wat = "(module (memory 1) (func (param i32) (result i32)
            (i32.store (local.get 0) (i32.const 1))
            (drop (i32.atomic.load (local.get 0)))
            (i32.atomic.store (local.get 0) (i32.const 2))
            (i32.atomic.store (local.get 0) (i32.const 3))
            (i32.store (local.get 0) (i32.const 4))
            (drop (i32.load (local.get 0)))
            (atomic.fence)
            (i32.load (local.get 0))))";
        let with = Pass::ALL
            .iter()
            .fold(Passes::NONE, |all, (pass, _)| all.with(*pass));
        for passes in [Passes::NONE, with] {
            let text = golden::optimised_clif(wat, passes);
            let (_, body) = text.split_once("block0").expect("a block");
            assert_eq!(body.matches("atomic_load").count(), 1, "{body}");
            assert_eq!(body.matches("atomic_store").count(), 2, "{body}");
            assert_eq!(body.matches(" store").count(), 2, "{body}");
            // The one behind the fence is not the one before.
            let (_, behind) = body.split_once("fence").expect("a fence");
            assert!(behind.contains("load"), "{body}");
        }
    }
}
