//! Profiles: where functions are counted, and what the counts say about them.
//!
//! The counting points stand in [`precast_abi::profile`]. They are as few as tell all: how often
//! any other place was passed follows from the structure of the function. (Where a function was
//! left by a trap, or is still running, the counts contradict each other by one or so.)

use crate::module::{FuncIndex, ModuleInfo};
use cranelift_codegen::entity::SecondaryMap;
use rayon::prelude::*;
use std::collections::HashSet;
use wasmparser::{BrTable, FunctionBody, Operator};

/// A branch is unlikely that is taken at most once in this many times.
const UNLIKELY: u64 = 8;

/// A call is hot that is at least one in this many of all calls of a run,
const HOT: u64 = 1_000;
/// and cold that is less than one in this many.
const COLD: u64 = 1_000_000;

/// How much of a run a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heat {
    Hot,
    Warm,
    Cold,
}

/// How many counting points an operator has.
pub(crate) fn points(op: &Operator<'_>) -> u32 {
    match op {
        Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::BrIf { .. }
        | Operator::BrOnNull { .. }
        | Operator::BrOnNonNull { .. }
        | Operator::BrOnCast { .. }
        | Operator::BrOnCastFail { .. } => 1,
        Operator::BrTable { targets } => labels(targets).len() as u32,
        _ => 0,
    }
}

/// The different labels of a table, in the order in which it names them.
pub(crate) fn labels(table: &BrTable<'_>) -> Vec<u32> {
    let mut seen = HashSet::new();
    let targets = table.targets().map_while(Result::ok);
    targets
        .chain([table.default()])
        .filter(|depth| seen.insert(*depth))
        .collect()
}

/// Which counters each function has.
pub(crate) struct Counters {
    /// The first one of each function that the module defines.
    first: SecondaryMap<FuncIndex, u32>,
    /// How many there are.
    pub(crate) total: u32,
}

impl Counters {
    /// Numbers the counters of a module. `None` where there are more than numbers.
    pub(crate) fn of(module: &ModuleInfo<'_>) -> Option<Counters> {
        let functions: Vec<_> = module.functions.iter().collect();
        let points: Vec<u32> = functions
            .par_iter()
            .map(|(_, function)| function.body.as_ref().map_or(0, count))
            .collect();
        let mut counters = Counters {
            first: SecondaryMap::new(),
            total: 0,
        };
        for ((index, _), points) in functions.into_iter().zip(points) {
            counters.first[index] = counters.total;
            counters.total = counters.total.checked_add(points)?;
        }
        Some(counters)
    }

    /// The counter of the entry of a function; those of its operators follow.
    pub(crate) fn first(&self, index: FuncIndex) -> u32 {
        self.first[index]
    }
}

/// How many counters a function has.
fn count(body: &FunctionBody<'_>) -> u32 {
    let operators = body.get_operators_reader().into_iter().flatten();
    let points = operators.map_while(Result::ok).map(|op| points(&op));
    points.fold(1, u32::saturating_add)
}

/// The counts of a module.
pub(crate) struct ModuleProfile<'a> {
    counters: Counters,
    counts: &'a [u64],
    /// Calls of all functions together.
    calls: u64,
}

impl<'a> ModuleProfile<'a> {
    /// `None` where the counts are not those of the module's counters.
    pub(crate) fn new(module: &ModuleInfo<'_>, counts: &'a [u64]) -> Option<ModuleProfile<'a>> {
        let counters = Counters::of(module)?;
        if counters.total as usize != counts.len() {
            return None;
        }
        let own = module.functions.iter();
        let own = own.filter(|(_, function)| function.body.is_some());
        let entries = own.filter_map(|(index, _)| counts.get(counters.first(index) as usize));
        Some(ModuleProfile {
            calls: entries.fold(0, |sum, entries| sum.saturating_add(*entries)),
            counters,
            counts,
        })
    }

    /// What it means that a call was made so often.
    pub(crate) fn heat(&self, count: u64) -> Heat {
        if count == 0 || count < self.calls / COLD {
            Heat::Cold
        } else if count >= self.calls / HOT {
            Heat::Hot
        } else {
            Heat::Warm
        }
    }

    /// What the counts say about a function.
    pub(crate) fn function(&self, index: FuncIndex, body: &FunctionBody<'_>) -> FunctionProfile {
        let first = self.counters.first(index) as usize;
        FunctionProfile::new(body, self.counts.get(first..).unwrap_or_default())
    }
}

/// How often the places of a function were passed. Places are operators, by their offsets in the
/// module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FunctionProfile {
    /// Calls of the function.
    pub(crate) entries: u64,
    /// Conditional branches in order, and how often each was passed and was taken.
    branches: Vec<(u64, Branch)>,
    /// Call operators in order, and how often each was passed.
    calls: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Branch {
    passed: u64,
    taken: u64,
}

/// A block that is open.
struct Frame {
    is_loop: bool,
    /// Branches to its end.
    left: u64,
    /// For an `if` whose `else` has not come: how often the condition did not hold.
    otherwise: u64,
}

/// The state of a walk through a function.
struct Walk<'a> {
    counts: std::slice::Iter<'a, u64>,
    frames: Vec<Frame>,
    /// How often the current operator was passed.
    now: u64,
}

impl FunctionProfile {
    /// Reads a function whose counts come first in `counts`.
    fn new(body: &FunctionBody<'_>, counts: &[u64]) -> FunctionProfile {
        let mut profile = FunctionProfile::default();
        let mut walk = Walk {
            counts: counts.iter(),
            frames: Vec::new(),
            now: 0,
        };
        walk.now = walk.count();
        profile.entries = walk.now;
        walk.push(false, 0);
        let operators = body.get_operators_reader().into_iter();
        let operators = operators.flat_map(|operators| operators.into_iter_with_offsets());
        for (op, offset) in operators.map_while(Result::ok) {
            profile.note(&mut walk, &op, offset);
        }
        profile
    }

    fn note(&mut self, walk: &mut Walk<'_>, op: &Operator<'_>, offset: u64) {
        let passed = walk.now;
        match op {
            Operator::Block { .. } | Operator::TryTable { .. } | Operator::Try { .. } => {
                walk.push(false, 0);
            }
            Operator::Loop { .. } => {
                walk.now = walk.count();
                walk.push(true, 0);
            }
            Operator::If { .. } => {
                let taken = walk.count();
                self.branches.push((offset, Branch { passed, taken }));
                walk.now = taken;
                walk.push(false, passed.saturating_sub(taken));
            }
            Operator::Else => walk.enter_else(),
            // What is caught is not counted.
            Operator::Catch { .. } | Operator::CatchAll => {
                walk.branch(0, passed);
                walk.now = 0;
            }
            Operator::End | Operator::Delegate { .. } => walk.leave(),
            Operator::Br { relative_depth } => {
                walk.branch(*relative_depth, passed);
                walk.now = 0;
            }
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => {
                walk.now = walk.count();
                let taken = passed.saturating_sub(walk.now);
                self.branches.push((offset, Branch { passed, taken }));
                walk.branch(*relative_depth, taken);
            }
            Operator::BrTable { targets } => {
                for depth in labels(targets) {
                    let taken = walk.count();
                    walk.branch(depth, taken);
                }
                walk.now = 0;
            }
            Operator::Call { .. } | Operator::CallIndirect { .. } | Operator::CallRef { .. } => {
                self.calls.push((offset, passed));
            }
            Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => {
                self.calls.push((offset, passed));
                walk.now = 0;
            }
            Operator::Return
            | Operator::Unreachable
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Rethrow { .. } => walk.now = 0,
            _ => {}
        }
    }

    /// Whether the branch at this offset, or the condition of the `if` there, is likely to hold,
    /// if the counts decide it.
    pub(crate) fn taken(&self, offset: u64) -> Option<bool> {
        let place = self.branches.binary_search_by_key(&offset, |(at, _)| *at);
        let Branch { passed, taken } = self.branches[place.ok()?].1;
        if passed == 0 {
            return None;
        }
        let not_taken = passed.saturating_sub(taken);
        match (taken <= passed / UNLIKELY, not_taken <= passed / UNLIKELY) {
            (true, false) => Some(false),
            (false, true) => Some(true),
            _ => None,
        }
    }

    /// How often the call at this offset was made.
    pub(crate) fn calls(&self, offset: u64) -> Option<u64> {
        let place = self.calls.binary_search_by_key(&offset, |(at, _)| *at);
        place.ok().map(|place| self.calls[place].1)
    }
}

impl Walk<'_> {
    fn count(&mut self) -> u64 {
        self.counts.next().copied().unwrap_or(0)
    }

    fn push(&mut self, is_loop: bool, otherwise: u64) {
        self.frames.push(Frame {
            is_loop,
            left: 0,
            otherwise,
        });
    }

    fn branch(&mut self, depth: u32, times: u64) {
        let place = (self.frames.len() - 1).checked_sub(depth as usize);
        if let Some(frame) = place.and_then(|place| self.frames.get_mut(place))
            && !frame.is_loop
        {
            frame.left = frame.left.saturating_add(times);
        }
    }

    fn enter_else(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.left = frame.left.saturating_add(self.now);
            self.now = std::mem::take(&mut frame.otherwise);
        }
    }

    fn leave(&mut self) {
        if let Some(frame) = self.frames.pop() {
            let joined = frame.left.saturating_add(frame.otherwise);
            self.now = self.now.saturating_add(joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these counts say about the first function of a module.
    fn function(wat: &str, counts: &[u64]) -> FunctionProfile {
        let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
        let module = ModuleInfo::read(&wasm).unwrap_or_else(|error| panic!("{error}"));
        let profile = ModuleProfile::new(&module, counts).expect("as many counters");
        let (index, function) = module.functions.iter().next().expect("a function");
        profile.function(index, function.body.as_ref().expect("not an import"))
    }

    fn passed(profile: &FunctionProfile) -> Vec<(u64, u64)> {
        let branches = profile.branches.iter();
        branches
            .map(|(_, branch)| (branch.passed, branch.taken))
            .collect()
    }

    fn calls(profile: &FunctionProfile) -> Vec<u64> {
        profile.calls.iter().map(|(_, count)| *count).collect()
    }

    #[test]
    fn what_is_not_counted_follows() {
        let wat = "(module (func $f (param i32)
            (call $f (i32.const 0))
            (block $out
              (loop $again
                (call $f (i32.const 0))
                (if (local.get 0)
                  (then (call $f (i32.const 0)) (br $out))
                  (else (call $f (i32.const 0))))
                (br_if $again (local.get 0))
                (call $f (i32.const 0)))
              (call $f (i32.const 0)))
            (call $f (i32.const 0))))";
        // Ten entries, a hundred rounds, three of which leave by the `br`, seven by the `br_if`.
        let profile = function(wat, &[10, 100, 3, 7]);
        assert_eq!(profile.entries, 10);
        assert_eq!(passed(&profile), [(100, 3), (97, 90)]);
        assert_eq!(calls(&profile), [10, 100, 3, 97, 7, 7, 10]);
    }

    #[test]
    fn labels_of_tables_are_counted_one_by_one() {
        let wat = "(module (func $f (param i32)
            (block $a (block $b (block $c
              (br_table $b $a $b $c (local.get 0)))
              (call $f (i32.const 0)))
              (call $f (i32.const 0)))
            (call $f (i32.const 0))))";
        // `$b`, `$a`, `$c`.
        let profile = function(wat, &[9, 4, 2, 3]);
        assert_eq!(calls(&profile), [3, 7, 9]);
    }

    #[test]
    fn what_cannot_be_reached_has_its_counters_too() {
        let wat = "(module (func $f (param i32)
            (block (return) (loop (if (local.get 0) (then))))
            (call $f (i32.const 0))
            (if (local.get 0) (then (call $f (i32.const 0))))))";
        let profile = function(wat, &[6, 0, 0, 5]);
        assert_eq!(calls(&profile), [0, 5]);
    }

    #[test]
    fn one_in_eight_is_unlikely() {
        let wat = "(module (func (param i32) (if (local.get 0) (then))))";
        let taken = |passed, then| {
            let profile = function(wat, &[passed, then]);
            profile.taken(profile.branches[0].0)
        };
        assert_eq!(taken(80, 10), Some(false));
        assert_eq!(taken(80, 11), None);
        assert_eq!(taken(80, 69), None);
        assert_eq!(taken(80, 70), Some(true));
        assert_eq!(taken(0, 0), None);
        assert_eq!(taken(1, 1), Some(true));
        // After a trap, or of a guest that still runs.
        assert_eq!(taken(1, 2), Some(true));
    }

    #[test]
    fn counts_that_are_none_of_ours_do_no_harm() {
        let wat = "(module (func $f (param i32)
            (block (br_if 0 (local.get 0)) (br_table 0 1 (local.get 0)))
            (call $f (i32.const 0))))";
        let most = u64::MAX;
        let profile = function(wat, &[most, 0, most, most]);
        assert_eq!(calls(&profile), [most]);
    }
}
