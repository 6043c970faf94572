//! Where a function should start, for the sake of its loops.
//!
//! Processors fetch code, and look for branches in it, by lines of 64 bytes. A block that a loop
//! jumps to costs more where it lies across the border of two: a dispatch loop of 35 bytes took
//! from 26 to 57 ms, depending on nothing else. Cranelift does not align blocks, but all of them
//! move with their function.

use std::collections::{HashMap, HashSet};

/// Bytes of a line.
pub(crate) const LINE: u32 = 64;

/// What the place of every function is a multiple of.
pub(crate) const ALIGN: u32 = 16;

/// Code outside of loops does not count. Each level of nesting counts as much more, as far as
/// [`MAX_DEPTH`] of them.
const WEIGHT: u64 = 8;
const MAX_DEPTH: i64 = 4;

/// A piece of code that should not lie across more lines than it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u32,
    len: u32,
    weight: u64,
}

/// Where in a line a function may start: multiples of [`ALIGN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phases(u8);

impl Phases {
    /// Anywhere.
    #[cfg(test)]
    pub(crate) const ALL: Phases = Phases(0b1111);

    /// One bit for each.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Of what [`Phases::bits`] gave.
    pub(crate) fn from_bits(bits: u8) -> Phases {
        Phases(bits)
    }

    /// Whether these bytes behind the start of a line are one of them.
    pub(crate) fn has(self, phase: u32) -> bool {
        phase.is_multiple_of(ALIGN) && self.0 >> (phase / ALIGN) & 1 == 1
    }
}

/// Where a function of `size` bytes had best start, at multiples of `align`. `starts` are the
/// offsets of its blocks, `edges` lead from block to block.
pub(crate) fn phases(starts: &[u32], edges: &[(u32, u32)], size: u32, align: u32) -> Phases {
    let pieces = pieces(starts, edges, size);
    let cost = |phase: u32| {
        let costs = pieces.iter().map(|piece| piece.cost(phase));
        costs.fold(0, u64::saturating_add)
    };
    let step = ALIGN.max(align) as usize;
    let costs = (0..LINE).step_by(step).map(|phase| (phase, cost(phase)));
    let costs: Vec<_> = costs.collect();
    let least = costs.iter().map(|(_, cost)| *cost).min();
    let best = costs.iter().filter(|(_, cost)| Some(*cost) == least);
    Phases(best.fold(0, |best, (phase, _)| best | 1 << (phase / ALIGN)))
}

impl Piece {
    fn cost(self, phase: u32) -> u64 {
        let first = self.start + phase;
        let lines = (first + self.len - 1) / LINE - first / LINE;
        let least = (self.len - 1) / LINE;
        self.weight * u64::from(lines - least)
    }
}

/// The blocks in loops that are jumped to, and the loops that fit in a line.
fn pieces(starts: &[u32], edges: &[(u32, u32)], size: u32) -> Vec<Piece> {
    let mut starts = starts.to_vec();
    starts.sort_unstable();
    starts.dedup();
    let end = |start: u32| {
        let next = starts.partition_point(|other| *other <= start);
        starts.get(next).copied().unwrap_or(size)
    };
    let loops = loops(edges, end);
    // How much deeper each block is than the one before it.
    let mut deeper = vec![0i64; starts.len() + 1];
    let place = |offset: u32| starts.partition_point(|start| *start < offset);
    for (head, past) in &loops {
        deeper[place(*head)] += 1;
        deeper[place(*past)] -= 1;
    }
    let jumps = edges.iter().filter(|(from, to)| end(*from) != *to);
    let jumped_to: HashSet<u32> = jumps.map(|(_, to)| *to).collect();
    let mut ways: HashMap<u32, u32> = HashMap::new();
    for (from, _) in edges {
        *ways.entry(*from).or_default() += 1;
    }
    let mut pieces = Vec::new();
    let mut depth = 0;
    for (place, &start) in starts.iter().enumerate() {
        depth += deeper[place];
        if depth == 0 || !jumped_to.contains(&start) {
            continue;
        }
        let weight = WEIGHT.pow(depth.clamp(0, MAX_DEPTH) as u32);
        let mut add = |len: u32| {
            if len > 0 {
                pieces.push(Piece { start, len, weight });
            }
        };
        let len = end(start) - start;
        let ways = ways.get(&start).copied().unwrap_or(0);
        add(len.saturating_sub(table_size(ways)));
        let whole = loops.binary_search_by_key(&start, |(head, _)| *head);
        if let Ok(whole) = whole {
            let len = loops[whole].1 - start;
            add(if len <= LINE { len } else { 0 });
        }
    }
    pieces
}

/// Heads of loops, in order, and where each loop ends: an edge back makes one.
fn loops(edges: &[(u32, u32)], end: impl Fn(u32) -> u32) -> Vec<(u32, u32)> {
    let back = edges.iter().filter(|(from, to)| to <= from);
    let mut loops: Vec<(u32, u32)> = back.map(|(from, to)| (*to, end(*from))).collect();
    loops.sort_unstable_by_key(|(head, past)| (*head, std::cmp::Reverse(*past)));
    loops.dedup_by_key(|(head, _)| *head);
    loops
}

/// Bytes of the jump table at the end of a block with so many ways out, which is no code: an
/// entry for each but the default.
fn table_size(ways: u32) -> u32 {
    if ways > 2 { (ways - 1) * 4 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(phases: &[u32]) -> Phases {
        Phases(
            phases
                .iter()
                .fold(0, |mask, phase| mask | 1 << (phase / ALIGN)),
        )
    }

    /// A function of an entry of 20 bytes, a loop of one block of so many bytes, and 10 more.
    fn of_a_loop(len: u32, align: u32) -> Phases {
        let edges = [(0, 20), (20, 20), (20, 20 + len)];
        phases(&[0, 20, 20 + len], &edges, 30 + len, align)
    }

    #[test]
    fn a_loop_lies_in_one_line_where_it_can() {
        // From 20 to 60, or behind the border.
        assert_eq!(of_a_loop(40, 1), at(&[0, 48]));
        assert_eq!(of_a_loop(50, 1), at(&[48]));
        assert_eq!(of_a_loop(50, 16), at(&[48]));
        // Two lines, however it is placed.
        assert_eq!(of_a_loop(62, 1), Phases::ALL);
        // Of 65 to 124 bytes at 20, two lines at the least.
        assert_eq!(of_a_loop(104, 1), at(&[0, 48]));
    }

    #[test]
    fn alignment_is_kept() {
        assert_eq!(of_a_loop(50, 32), at(&[0, 32]));
        assert_eq!(of_a_loop(50, 64), at(&[0]));
        assert_eq!(of_a_loop(50, 128), at(&[0]));
    }

    #[test]
    fn code_without_loops_may_lie_anywhere() {
        assert_eq!(phases(&[], &[], 1000, 1), Phases::ALL);
        let edges = [(0, 50), (0, 100), (50, 100)];
        assert_eq!(phases(&[0, 50, 100], &edges, 200, 1), Phases::ALL);
    }

    #[test]
    fn the_inner_loop_counts_more() {
        // The outer loop has blocks of 30 bytes at 50 and of 20 at 110 that cannot both be placed
        // well with the inner one, of 30 at 80.
        let edges = [(0, 50), (50, 110), (50, 80), (80, 80), (80, 110), (110, 50)];
        let starts = [0, 50, 80, 110, 130];
        let found = phases(&starts, &edges, 140, 1);
        for phase in [0, 16, 32, 48] {
            let first = 80 + phase;
            let inner_is_whole = first / LINE == (first + 29) / LINE;
            assert!(inner_is_whole || !found.has(phase), "{phase}");
        }
    }

    #[test]
    fn jump_tables_are_no_code() {
        // A dispatch of 30 bytes, then a table of 25 entries: the code fits in a line.
        let dispatch = |at: u32| {
            let mut edges = vec![(0, at), (at + 130, at)];
            edges.extend([(at, at + 130); 26]);
            phases(&[0, at, at + 130], &edges, at + 150, 1)
        };
        assert_eq!(dispatch(20), at(&[0, 48]));
        assert_eq!(dispatch(40), at(&[32, 48]));
    }
}
