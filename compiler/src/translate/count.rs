//! Instrumentation: counting what is passed, for a profile.

use super::func::FuncTranslator;
use super::instance::Region;
use crate::profile;
use cranelift_codegen::ir::{InstBuilder, types};
use wasmparser::Operator;

/// Which counters the current operator has.
#[derive(Clone, Copy, Default)]
pub(crate) struct Points {
    /// Its first one.
    current: u32,
    /// The first one of the next operator.
    next: u32,
}

impl FuncTranslator<'_> {
    /// Counts the entry of the function.
    pub(super) fn count_entry(&mut self) {
        let counters = self.env.counters;
        if let (Some(counters), Some(index)) = (counters, self.index) {
            let first = counters.first(index);
            self.points = Points {
                current: first,
                next: first + 1,
            };
            self.count(0);
        }
    }

    /// Goes on to the counters of an operator, reachable or not.
    pub(super) fn next_points(&mut self, op: &Operator<'_>) {
        if self.env.counters.is_some() {
            self.points = Points {
                current: self.points.next,
                next: self.points.next + profile::points(op),
            };
        }
    }

    /// Counts that the `nth` counting point of the current operator is passed here.
    pub(super) fn count(&mut self, nth: u32) {
        if self.env.counters.is_none() || self.index.is_none() {
            return;
        }
        let counter = self.points.current + nth;
        let offset = self.env.layout.counter_offset(counter);
        let flags = self.instance_flags(Region::Counters);
        let base = self.base;
        let count = self.builder.ins().load(types::I64, flags, base, offset);
        let more = self.builder.ins().iadd_imm_u(count, 1);
        self.builder.ins().store(flags, more, base, offset);
    }
}
