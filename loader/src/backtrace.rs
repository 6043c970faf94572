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
use crate::calls::{ENDS, Ends};
use crate::registry;
use crate::trap::Backtrace;

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
    Backtrace::of(pcs.into_calls())
}

/// The calls that led to the host function that runs now, whose crossing has this frame.
pub(crate) fn of_callers(activation: &Activation, fp: usize) -> Backtrace {
    let mut pcs = Ends::default();
    walk(activation, fp, &mut pcs);
    for &fp in activation.outer_frames().iter().rev() {
        walk(activation, fp, &mut pcs);
    }
    Backtrace::of(pcs.into_calls())
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
