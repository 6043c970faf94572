//! The way into the guest, from the host's side.
//!
//! # Safety
//!
//! This file holds unsafe code: it follows the pointers of a store that runs guests. Whoever calls
//! has the store exclusively, and holds no reference into it while the guest runs.
#![allow(
    unsafe_code,
    reason = "the store is found by pointers while its guests run"
)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use precast_abi::trap::TrapCode;

use crate::activation::{Activation, IDLE, Pending};
use crate::arch;
use crate::backtrace;
use crate::error::Error;
use crate::store::StoreCore;
use crate::thread::{self, ThreadRecord};
use crate::trap::{Backtrace, Trap};
use crate::value;

/// A guest function ready to be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The object's stub that unpacks arguments, see [`precast_abi::object::TypeRecord`].
    pub(crate) stub: usize,
    /// Hidden parameter.
    pub(crate) context: usize,
    /// Entry point.
    pub(crate) code: usize,
    /// Upper end of the stack to run on.
    pub(crate) stack_top: usize,
}

/// The activation of a store.
///
/// # Safety
///
/// The store must live for `'a`.
#[inline(always)]
pub(crate) unsafe fn activation<'a>(core: NonNull<StoreCore>) -> &'a Activation {
    // SAFETY: the caller's promise; the activation lives as long as the store, behind an `Arc`.
    unsafe { &*Arc::as_ptr(&(*core.as_ptr()).activation) }
}

/// Whether an entry needs a closer look: another one waits for it, or the thread is not prepared
/// or near the end of its stack.
#[inline(always)]
fn needs_care(activation: &Activation, thread: &ThreadRecord) -> bool {
    activation.guest_fp.load(Ordering::Relaxed) != IDLE
        || arch::stack_pointer() < thread.host_limit.load(Ordering::Relaxed)
}

/// Calls a guest function: arguments and results in `values`.
///
/// # Safety
///
/// `core` must be a store that the caller has exclusively, with no reference into it alive;
/// `entry` a function of an instance in it; and `values` as many cells as its type needs, the
/// arguments of the right types.
#[inline(always)]
pub(crate) unsafe fn invoke(
    core: NonNull<StoreCore>,
    entry: &Entry,
    values: *mut value::Cell,
) -> Result<(), Error> {
    // SAFETY: the caller has the store.
    let activation = unsafe { activation(core) };
    let thread = thread::record();
    if needs_care(activation, thread) {
        // SAFETY: the caller's promise.
        return unsafe { invoke_with_care(activation, entry, values) };
    }
    // SAFETY: the caller vouches for `entry` and `values`; no guest is on the stack; the
    // thread is prepared.
    let status = unsafe { enter(activation, thread, entry, entry.stack_top, values) };
    if status == arch::RETURNED {
        Ok(())
    } else {
        Err(landed(activation, status))
    }
}

/// As [`invoke`], for a function whose parameters are integers or references and travel in
/// registers: `ints` begins with them, and the result is left in registers.
///
/// # Safety
///
/// As [`invoke`], with `ints` for `values`.
#[inline(always)]
pub(crate) unsafe fn invoke_direct(
    core: NonNull<StoreCore>,
    entry: &Entry,
    ints: [u64; arch::DIRECT_PARAMS],
) -> Result<(u64, f64), Error> {
    // SAFETY: the caller has the store.
    let activation = unsafe { activation(core) };
    let thread = thread::record();
    if needs_care(activation, thread) {
        let [a, b, c, d, e] = ints;
        // SAFETY: the caller's promise.
        return unsafe { invoke_direct_with_care(activation, entry, a, b, c, d, e) };
    }
    let outer = thread.replace_current(activation);
    // SAFETY: the caller vouches for `entry` and `ints`; no guest is on the stack; the thread
    // is prepared, and the activation has just become current.
    let returned = unsafe { arch::enter_direct(activation, entry, ints) };
    thread.restore_current(outer);
    if returned.status == arch::RETURNED {
        Ok((returned.int, returned.float))
    } else {
        Err(landed(activation, returned.status))
    }
}

/// # Safety
///
/// As [`invoke`]; `stack_top` must be the upper end of an accessible guest stack that no other
/// frame uses, and the thread prepared.
#[inline(always)]
unsafe fn enter(
    activation: &Activation,
    thread: &ThreadRecord,
    entry: &Entry,
    stack_top: usize,
    values: *mut value::Cell,
) -> u64 {
    let outer = thread.replace_current(activation);
    // SAFETY: the caller's promise; the activation has just become current.
    let status = unsafe { arch::enter(activation, entry, stack_top, values) };
    thread.restore_current(outer);
    status
}

/// [`invoke_direct`] by way of [`invoke_with_care`]. The integers one by one: an array would be
/// written to memory before it is known whether it is needed.
///
/// # Safety
///
/// As [`invoke_direct`].
#[cold]
#[inline(never)]
unsafe fn invoke_direct_with_care(
    activation: &Activation,
    entry: &Entry,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
) -> Result<(u64, f64), Error> {
    let mut cells = [a, b, c, d, e].map(|bits| value::Cell([bits, 0]));
    // SAFETY: the caller's promise: there are no more parameters, and at most one result.
    unsafe { invoke_with_care(activation, entry, cells.as_mut_ptr())? };
    let bits = cells[0].0[0];
    Ok((bits, f64::from_bits(bits)))
}

/// The first entry of a thread, one near the end of its stack, and one from within a host function
/// that a guest of the same store has called.
///
/// # Safety
///
/// As [`invoke`].
#[cold]
#[inline(never)]
unsafe fn invoke_with_care(
    activation: &Activation,
    entry: &Entry,
    values: *mut value::Cell,
) -> Result<(), Error> {
    let outer_fp = activation.guest_fp.load(Ordering::Relaxed);
    let nested = outer_fp != IDLE;
    let thread = thread::prepared().map_err(|thread::HostStackUsedUp| {
        Trap::new(
            TrapCode::StackOverflow,
            backtrace::of_callers(activation, outer_fp),
        )
    })?;
    if !nested {
        // SAFETY: the caller vouches for `entry` and `values`; no guest is on the stack; the thread
        // was prepared above.
        let status = unsafe { enter(activation, thread, entry, entry.stack_top, values) };
        return finish(activation, status);
    }
    let stack_top = nested_stack(activation, outer_fp)?;
    let host_sp = activation.host_sp.get();
    activation.push_outer(outer_fp);
    // SAFETY: as above; the stack was chosen below the frames that wait.
    let status = unsafe { enter(activation, thread, entry, stack_top, values) };
    // The way out has made the record idle: no guest code runs, so nobody minds the moment.
    activation.host_sp.set(host_sp);
    activation.guest_fp.store(outer_fp, Ordering::Relaxed);
    activation.pop_outer();
    finish(activation, status)
}

fn finish(activation: &Activation, status: u64) -> Result<(), Error> {
    match status {
        arch::RETURNED => Ok(()),
        status => Err(landed(activation, status)),
    }
}

/// Where on the guest stack a call from within a host function may go on.
fn nested_stack(activation: &Activation, outer_fp: usize) -> Result<usize, Error> {
    /// What a call needs at the very least, so that the entry itself does not overflow.
    const ROOM: usize = 4096;
    let top = (outer_fp - 16) & !15;
    let used_up = || Error::Trap(Trap::new(TrapCode::StackOverflow, Backtrace::default()));
    let region = activation.region_of(outer_fp).ok_or_else(used_up)?;
    // SAFETY: the store lives as long as its activation is entered; the field never changes.
    let max_depth = unsafe { (*activation.core().as_ptr()).options.max_nesting };
    if top - region.stack.min(top) < ROOM || activation.depth() >= max_depth {
        let backtrace = backtrace::of_callers(activation, outer_fp);
        return Err(Trap::new(TrapCode::StackOverflow, backtrace).into());
    }
    Ok(top)
}

/// Turns what the guest left behind into an error, or resumes a host function's panic.
#[cold]
#[inline(never)]
fn landed(activation: &Activation, status: u64) -> Error {
    let landing = activation.landing.get();
    if status == arch::TRAPPED {
        let code = u8::try_from(landing.code).ok().and_then(TrapCode::from_u8);
        let backtrace = backtrace::of_landing(activation, landing);
        // The codes come from the compiler's own tables; one of a later ABI is still a trap.
        return Trap::new(code.unwrap_or(TrapCode::Unreachable), backtrace).into();
    }
    let code = match activation.take_pending() {
        Some(Pending::Error(error)) => return error,
        Some(Pending::Panic(payload)) => std::panic::resume_unwind(payload),
        Some(Pending::Trap(code)) => code,
        None => TrapCode::Interrupted,
    };
    Trap::new(code, backtrace::of_landing(activation, landing)).into()
}
