//! Where the code of a function comes from once other functions are inlined in it.
//!
//! Source locations of Cranelift have 32 bits. Those below the end of the module are offsets in
//! it, of the function's own code; those from there on are numbers of positions in a table that
//! the function carries along.

use cranelift_codegen::ir::{self, Block, SourceLoc};
use precast_abi::addrmap::{Chain, Site};
use std::collections::HashMap;

/// The positions of the code of one function that was inlined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    /// The first source location that is none of the function itself; 0 where there is none.
    first: u32,
    positions: Vec<Position>,
    sites: Vec<InlinedSite>,
}

/// A place in an inlined function.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// Which site, plus one; 0 for the function itself.
    site: u32,
    /// Offset in the module.
    offset: u32,
}

/// A call that was replaced by the callee's code.
#[derive(Clone, Copy, Debug)]
struct InlinedSite {
    /// The site in whose callee the call was, plus one; 0 for the function itself.
    outer: u32,
    site: Site,
}

impl Positions {
    /// The positions of a function in which nothing is inlined, in a module that ends at
    /// `first`.
    pub(crate) fn new(first: u32) -> Positions {
        Positions {
            first,
            ..Positions::default()
        }
    }

    /// The offset in the module that a location stands for, and where that was inlined.
    pub(crate) fn resolve(&self, location: u32) -> (u32, Chain) {
        let index = location.checked_sub(self.first).map(|index| index as usize);
        let found = index.and_then(|index| self.positions.get(index));
        let Some(position) = found.filter(|_| self.first > 0) else {
            return (location, Chain::default());
        };
        (position.offset, self.chain(position.site))
    }

    /// Whether a location is of the function's own code.
    pub(super) fn is_own(&self, location: SourceLoc) -> bool {
        location.bits() < self.first
    }

    fn chain(&self, mut site: u32) -> Chain {
        let mut inner_to_outer = Vec::new();
        while let Some(found) = self.site(site) {
            inner_to_outer.push(found.site);
            site = found.outer;
        }
        let mut chain = Chain::default();
        for site in inner_to_outer.into_iter().rev() {
            let fits = chain.push(site);
            debug_assert!(fits, "the graph limits how deep functions are inlined");
        }
        chain
    }

    fn site(&self, site: u32) -> Option<InlinedSite> {
        self.sites.get(site.checked_sub(1)? as usize).copied()
    }

    /// Whether there is room for that many more locations.
    pub(super) fn have_room(&self, more: usize) -> bool {
        let used = u64::from(self.first) + self.positions.len() as u64;
        self.first > 0 && used + (more as u64) < u64::from(u32::MAX)
    }

    /// Gives the instructions of `callee` that were copied to `caller`, from block `first_block`
    /// on, their locations, which Cranelift drops.
    pub(super) fn place(
        &mut self,
        caller: &mut ir::Function,
        first_block: u32,
        callee: &ir::Function,
        positions: &Positions,
        site: Site,
    ) {
        let outer = self.sites.len() as u32 + 1;
        self.sites.push(InlinedSite { outer: 0, site });
        self.sites
            .extend(positions.sites.iter().map(|inner| InlinedSite {
                outer: outer + inner.outer,
                site: inner.site,
            }));
        let mut known: HashMap<u32, SourceLoc> = HashMap::new();
        for from in callee.layout.blocks() {
            let to = Block::from_u32(first_block + from.as_u32());
            // What cannot be reached is not copied.
            if !caller.layout.is_block_inserted(to) {
                continue;
            }
            // A tail call becomes a call and a jump, all else stays one instruction.
            let mut copy = caller.layout.first_inst(to);
            for inst in callee.layout.block_insts(from) {
                let Some(copied) = copy else { break };
                copy = caller.layout.next_inst(copied);
                let old = callee.srcloc(inst);
                if old.is_default() {
                    continue;
                }
                let new = *known
                    .entry(old.bits())
                    .or_insert_with(|| self.add(old.bits(), outer, positions));
                caller.set_srcloc(copied, new);
            }
        }
    }

    /// A new location for one of an inlined function.
    fn add(&mut self, old: u32, outer: u32, positions: &Positions) -> SourceLoc {
        let index = old.checked_sub(positions.first).map(|index| index as usize);
        let found = index.and_then(|index| positions.positions.get(index));
        let position = match found {
            Some(inner) => Position {
                site: outer + inner.site,
                offset: inner.offset,
            },
            None => Position {
                site: outer,
                offset: old,
            },
        };
        let location = self.first + self.positions.len() as u32;
        self.positions.push(position);
        SourceLoc::new(location)
    }
}
