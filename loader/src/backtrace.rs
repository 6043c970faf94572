//! Backtraces of guest code, taken on the host's stack after the guest was left.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads frames of guest stacks. It reads only where a frame lies
//! wholly within an accessible guest stack of the store, and each frame must lie above the one
//! before, so that damage ends the walk.
#![allow(unsafe_code, reason = "frames are read from the guest's stack")]

use crate::activation::{Activation, Landing, Region};
use crate::arch::{self, ReturnAddress};
use crate::object::CodeLocation;
use crate::registry;
use crate::trap::{Backtrace, Frame};

/// How many frames are kept at each end of a deep stack. A power of two: a stack may be a hundred
/// thousand frames deep.
const ENDS: usize = 64;

/// How many frames are followed from the innermost on: to follow a hundred thousand takes longer than to
/// call them. The other end of a deeper stack is looked for from there.
const MOST: usize = 2048;
/// How far from the upper end of a stack its outermost frames are looked for, in bytes.
const OUTER_END: usize = 64 << 10;

/// The calls that led to a landing.
pub(crate) fn of_landing(activation: &Activation, landing: Landing) -> Backtrace {
    let mut pcs = Ends::default();
    if landing.pc != 0 {
        // Add one: below, return addresses are looked up one byte before.
        pcs.push(landing.pc + 1);
        if let Some(caller) = caller_without_frame(activation, landing) {
            pcs.push(caller);
        }
    }
    walk(activation, landing.fp, &mut pcs);
    walk_outer(activation, &mut pcs);
    pcs.resolve()
}

/// The calls that led to the host function that runs now, whose crossing has this frame.
pub(crate) fn of_callers(activation: &Activation, fp: usize) -> Backtrace {
    let mut pcs = Ends::default();
    walk(activation, fp, &mut pcs);
    for &fp in activation.outer_frames().iter().rev() {
        walk(activation, fp, &mut pcs);
    }
    pcs.resolve()
}

/// After a landing, `guest_fp` is again what it was when the guest was entered.
fn walk_outer(activation: &Activation, pcs: &mut Ends) {
    let fp = activation
        .guest_fp
        .load(std::sync::atomic::Ordering::Relaxed);
    if fp & 1 == 0 {
        walk(activation, fp, pcs);
        for &fp in activation.outer_frames().iter().rev() {
            walk(activation, fp, pcs);
        }
    }
}

/// The return address, where the function at `landing.pc` had not set up its frame yet.
fn caller_without_frame(activation: &Activation, landing: Landing) -> Option<usize> {
    let Some(range) = registry::find(landing.pc) else {
        // A crossing that used up the stack: its return address or saved frame pointer. What is
        // no code address is left out in the end.
        return find(activation, arch::frameless_return(0, &landing)?);
    };
    let offset = u32::try_from(landing.pc - range.start).ok()?;
    // SAFETY: the store whose guest ran there keeps the object mapped.
    let metadata = unsafe { range.object() }.metadata();
    let (_, function) = metadata.function_at(offset)?;
    let offset = (offset - function.text_offset) as usize;
    find(activation, arch::frameless_return(offset, &landing)?)
}

fn find(activation: &Activation, address: ReturnAddress) -> Option<usize> {
    match address {
        ReturnAddress::At(at) => read(activation.region_of(at)?, at),
        ReturnAddress::Is(address) => Some(address),
    }
}

/// Follows frame pointers from `fp` until they leave the guest stack.
fn walk(activation: &Activation, mut fp: usize, pcs: &mut Ends) {
    let Some(region) = activation.region_of(fp) else {
        return;
    };
    let frames = region.stack..region.stack_top.saturating_sub(15);
    while frames.contains(&fp) && fp.is_multiple_of(8) && !pcs.is_full() {
        // SAFETY: the stack of a slot is mapped for reading and writing from `stack` to
        // `stack_top`, both words lie within it, and no guest runs meanwhile.
        let [outer, pc] = unsafe { std::ptr::with_exposed_provenance::<[usize; 2]>(fp).read() };
        pcs.push(pc);
        if outer <= fp {
            break;
        }
        fp = outer;
    }
    if pcs.is_full() && frames.contains(&fp) {
        pcs.end_with(outer_end(region));
    }
}

/// The return addresses of the outermost frames of a stack, outermost first: each frame's address
/// stands in the frame of the function that it has called, beside an address of guest code.
fn outer_end(region: Region) -> Vec<usize> {
    let mut found = Vec::with_capacity(ENDS);
    let mut fp = region.stack_top - arch::OUTERMOST_FRAME;
    let lowest = region.stack.max(region.stack_top.saturating_sub(OUTER_END));
    for at in (lowest..fp).rev().filter(|at| at.is_multiple_of(8)) {
        if read(region, at) != Some(fp) {
            continue;
        }
        let pc = read(region, at + 8).unwrap_or(0);
        if registry::find(pc.wrapping_sub(1)).is_some() {
            found.push(pc);
            fp = at;
        }
        if found.len() == ENDS {
            break;
        }
    }
    found
}

/// A word of the guest stack in `region`.
fn read(region: Region, at: usize) -> Option<usize> {
    let inside = at >= region.stack && at.checked_add(8)? <= region.stack_top;
    if !inside || !at.is_multiple_of(8) {
        return None;
    }
    // SAFETY: the stack of a slot is mapped for reading and writing from `stack` to `stack_top`,
    // and no guest runs meanwhile.
    Some(unsafe { std::ptr::with_exposed_provenance::<usize>(at).read() })
}

/// The first and the last few return addresses of a sequence.
#[derive(Default)]
struct Ends {
    first: Vec<usize>,
    /// A ring, whose oldest entry is at `seen % ENDS`.
    last: Vec<usize>,
    seen: usize,
    /// Whether `last` is in order, and what came before was not counted to its end.
    is_cut: bool,
}

impl Ends {
    fn push(&mut self, pc: usize) {
        if self.first.len() < ENDS {
            self.first.push(pc);
            return;
        }
        match self.last.get_mut(self.seen % ENDS) {
            Some(oldest) => *oldest = pc,
            None => {
                self.last.reserve_exact(ENDS - self.last.len());
                self.last.push(pc);
            }
        }
        self.seen += 1;
    }

    /// Whether frames have been followed far enough.
    fn is_full(&self) -> bool {
        self.seen >= MOST
    }

    /// Ends the sequence with these, the last one first, after an unknown number of others.
    fn end_with(&mut self, mut last: Vec<usize>) {
        last.reverse();
        // What the ring held is in the middle now.
        self.seen += last.len();
        self.last = last;
        self.is_cut = true;
    }

    fn resolve(mut self) -> Backtrace {
        if self.seen > ENDS && !self.is_cut {
            self.last.rotate_left(self.seen % ENDS);
        }
        let mut omitted = self.seen - self.last.len();
        let frames_of = |pcs: &[usize]| {
            let mut frames = Vec::with_capacity(pcs.len());
            pcs.iter().for_each(|&pc| push_frames(pc, &mut frames));
            frames
        };
        let (mut frames, mut last) = (frames_of(&self.first), frames_of(&self.last));
        let inlined = frames.len() > self.first.len() || last.len() > self.last.len();
        if omitted > 0 {
            // Each end has as many frames as return addresses were kept.
            let surplus = last.len().saturating_sub(ENDS);
            omitted += surplus + frames.len().saturating_sub(ENDS);
            frames.truncate(ENDS);
            last.drain(..surplus);
        }
        frames.append(&mut last);
        Backtrace {
            frames,
            omitted,
            // What was inlined into the functions between was not counted.
            is_cut: self.is_cut || (inlined && omitted > 0),
        }
    }
}

/// Appends the guest functions that a return address is in, the innermost first: more than one where
/// some were inlined, none in a stub.
fn push_frames(pc: usize, frames: &mut Vec<Frame>) {
    let Some(range) = registry::find(pc.wrapping_sub(1)) else {
        return;
    };
    let Ok(offset) = u32::try_from(pc - 1 - range.start) else {
        return;
    };
    // SAFETY: the address is from a stack of the store that holds the object.
    let metadata = unsafe { range.object() }.metadata();
    let module = metadata.module_name().unwrap_or_default();
    let frame = |location: CodeLocation| {
        let name = metadata.function_name(location.function);
        let name = name.ok().filter(|name| !name.is_empty());
        Frame {
            module: module.to_owned(),
            function: location.function,
            name: name.map(str::to_owned),
            wasm_offset: location.wasm_offset,
        }
    };
    frames.extend(metadata.locations_at(offset).map(frame));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_stacks_keep_their_ends() {
        let mut ends = Ends::default();
        for pc in 0..1000 {
            ends.push(pc);
        }
        ends.last.rotate_left(ends.seen % ENDS);
        assert_eq!(ends.first, (0..64).collect::<Vec<_>>());
        assert_eq!(ends.last, (936..1000).collect::<Vec<_>>());
    }
}
