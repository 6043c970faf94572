//! The `metadata.code.branch_hint` section: which branches are likely.
//!
//! Cranelift knows of two kinds of blocks only, cold ones and others: what a hint calls unlikely
//! is a cold block, at the end of the function.

use wasmparser::BranchHint;

/// Hints of one function, in the order of its code.
#[derive(Clone, Debug, Default)]
pub(crate) struct BranchHints {
    /// Distances from the start of the body, and whether the branch there is likely.
    hints: Box<[(u32, bool)]>,
}

impl BranchHints {
    /// Takes the hints that are in order, up to the first that is not.
    pub(crate) fn new(hints: impl Iterator<Item = BranchHint>) -> BranchHints {
        let mut ordered: Vec<(u32, bool)> = Vec::new();
        for hint in hints {
            if ordered
                .last()
                .is_some_and(|(last, _)| *last >= hint.func_offset)
            {
                break;
            }
            ordered.push((hint.func_offset, hint.taken));
        }
        BranchHints {
            hints: ordered.into(),
        }
    }

    /// Whether the branch at this distance from the start of the body is likely to be taken, if
    /// there is a hint.
    pub(crate) fn taken(&self, offset: u64) -> Option<bool> {
        let offset = u32::try_from(offset).ok()?;
        let place = self.hints.binary_search_by_key(&offset, |(at, _)| *at);
        place.ok().map(|place| self.hints[place].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(func_offset: u32, taken: bool) -> BranchHint {
        BranchHint { func_offset, taken }
    }

    #[test]
    fn hints_are_found_by_their_offset() {
        let hints = [hint(3, true), hint(9, false)];
        let hints = BranchHints::new(hints.into_iter());
        let found = [2, 3, 4, 9, 10, 3 + (1 << 32)].map(|offset| hints.taken(offset));
        assert_eq!(found, [None, Some(true), None, Some(false), None, None]);
    }

    #[test]
    fn what_is_out_of_order_is_left_out() {
        let hints = [hint(3, true), hint(3, false), hint(9, true)];
        let hints = BranchHints::new(hints.into_iter());
        assert_eq!([3, 9].map(|offset| hints.taken(offset)), [Some(true), None]);
    }
}
