//! Entering guest code where the assembly keeps all that a function of C keeps.
//!
//! # Safety
//!
//! This file holds unsafe code: it calls assembly that switches stacks.
#![allow(unsafe_code, reason = "guest code is entered by assembly")]

use crate::activation::Activation;
use crate::entry::Entry;
use crate::value;

#[allow(
    improper_ctypes,
    reason = "the assembly uses addresses and the fields it knows only"
)]
unsafe extern "C" {
    fn precast_enter(
        activation: *const Activation,
        stub: usize,
        context: usize,
        code: usize,
        values: *mut value::Cell,
        stack_top: usize,
    ) -> u64;
    fn precast_resume(activation: *const Activation, frame_word: usize, context: usize) -> u64;
}

/// Enters the guest. Returns [`super::RETURNED`], [`super::TRAPPED`], [`super::LEFT`],
/// [`super::BARRED`], or [`super::PREEMPTED`] if the activation is resumable.
///
/// # Safety
///
/// `entry` must be of a function in the activation's store, with an entry stub for its type, both
/// in mapped objects; `values` must hold its arguments and have room for its results; `stack_top`
/// must be aligned to 16 bytes and end an accessible guest stack that is not in use above it. The
/// activation must be current on this thread.
#[inline(always)]
pub(crate) unsafe fn enter(
    activation: &Activation,
    entry: &Entry,
    stack_top: usize,
    values: *mut value::Cell,
) -> u64 {
    let Entry {
        stub,
        context,
        code,
        ..
    } = *entry;
    // SAFETY: the caller's promise is what the assembly asks for.
    unsafe { precast_enter(activation, stub, context, code, values, stack_top) }
}

/// Lets a suspended guest go on. Returns as [`enter`] does; a guest that was entered by that leaves
/// its results where it was told to then.
///
/// # Safety
///
/// A guest of the activation must have been left with all of its frames in place, by a crossing or
/// by a signal: then `context` is what [`super::SignalFrame::prepare`] gave, else 0. `stack_top`
/// must be that of its entry, which was by [`enter`], and not nested. The activation must be current on this thread.
#[inline(always)]
pub(crate) unsafe fn resume(activation: &Activation, stack_top: usize, context: usize) -> u64 {
    // SAFETY: the caller's promise is what the assembly asks for.
    unsafe { precast_resume(activation, stack_top - 16, context) }
}
