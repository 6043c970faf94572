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

use crate::activation::{Activation, IDLE, Landing, Pending, SUSPENDED, Waiting};
use crate::arch;
use crate::backtrace;
use crate::error::{Error, UseError};
use crate::limits::{Armed, Limited, Refusal, SliceUsed};
use crate::store::StoreCore;
use crate::sys;
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

/// Whether an entry needs a closer look: another one waits for it, it has limits of time, or the
/// thread is not prepared or near the end of its stack.
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

/// As [`enter`], with the right to keyed pages that the store's guest is to have.
///
/// # Safety
///
/// As [`enter`].
unsafe fn enter_keyed(
    activation: &Activation,
    thread: &ThreadRecord,
    entry: &Entry,
    stack_top: usize,
    values: *mut value::Cell,
) -> u64 {
    with_key(activation, thread, || {
        // SAFETY: the caller's promise.
        unsafe { enter(activation, thread, entry, stack_top, values) }
    })
}

/// Has the guest run that `go` enters, with the right to keyed pages that it is to have. Afterwards
/// the thread has that of the guest that waits for it, or else what it had.
#[inline]
fn with_key(activation: &Activation, thread: &ThreadRecord, go: impl FnOnce() -> u64) -> u64 {
    let Some(open) = activation.key() else {
        return go();
    };
    let before = sys::keys::switch(open);
    let status = go();
    // SAFETY: an activation that is current is entered, so it lives.
    let outer = unsafe { thread.current.load(Ordering::Relaxed).as_ref() };
    match outer.and_then(Activation::key) {
        Some(open) => {
            let _ = sys::keys::switch(open);
        }
        None => before.restore(),
    }
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

/// The first entry of a thread, one near the end of its stack, one with limits of time, and one from
/// within a host function that a guest of the same store has called.
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
    let thread = prepared(activation, outer_fp)?;
    if outer_fp == SUSPENDED {
        return Err(UseError::GuestSuspended.into());
    }
    if outer_fp & 1 == 0 {
        // SAFETY: the caller's promise.
        return unsafe { invoke_nested(activation, thread, outer_fp, entry, values) };
    }
    let mut armed = Armed::new();
    let limited = begin(activation, thread, &mut armed)?;
    // SAFETY: the caller vouches for `entry` and `values`; no guest is on the stack; the thread
    // was prepared above.
    let status = unsafe { enter_keyed(activation, thread, entry, entry.stack_top, values) };
    limited.end();
    // The way out has made the record idle.
    activation.guest_fp.store(outer_fp, Ordering::Relaxed);
    finish(activation, status)
}

/// # Safety
///
/// As [`invoke`], where a guest of the activation has called out, with its frame at `outer_fp`.
unsafe fn invoke_nested(
    activation: &Activation,
    thread: &'static ThreadRecord,
    outer_fp: usize,
    entry: &Entry,
    values: *mut value::Cell,
) -> Result<(), Error> {
    let stack_top = nested_stack(activation, outer_fp)?;
    let host_sp = activation.host_sp.get();
    activation.begin_nested(outer_fp);
    // SAFETY: the caller vouches for `entry` and `values`; the thread is prepared; the stack was
    // chosen below the frames that wait.
    let status = unsafe { enter_keyed(activation, thread, entry, stack_top, values) };
    // The way out has made the record idle: no guest code runs, so nobody minds the moment.
    activation.host_sp.set(host_sp);
    activation.guest_fp.store(outer_fp, Ordering::Relaxed);
    activation.end_nested();
    finish(activation, status)
}

/// Prepares the thread, and makes sure that host functions will have some stack.
fn prepared(activation: &Activation, outer_fp: usize) -> Result<&'static ThreadRecord, Error> {
    thread::prepared().map_err(|thread::HostStackUsedUp| {
        let backtrace = backtrace::of_callers(activation, outer_fp);
        Trap::new(TrapCode::StackOverflow, backtrace).into()
    })
}

/// Puts the limits of an outermost entry in force.
fn begin<'a>(
    activation: &'a Activation,
    thread: &'static ThreadRecord,
    armed: &mut Armed,
) -> Result<Limited<'a>, Error> {
    Limited::begin(activation, thread, armed).map_err(|refusal| match refusal {
        Refusal::Over(by) => {
            let suspended = activation.guest_fp.load(Ordering::Relaxed) == SUSPENDED;
            let landing = suspended.then(|| activation.landing.get());
            let backtrace = landing.map(|landing| backtrace::of_landing(activation, landing));
            Trap::interrupted(by, backtrace.unwrap_or_default()).into()
        }
        Refusal::Failed(error) => error,
    })
}

/// How a call that can be suspended has come to rest.
pub(crate) enum Rest {
    /// It has returned: results are where it was told to leave them.
    Returned,
    /// A host function will answer later.
    Waits(Waiting),
    /// Its time slice was used up when a host function returned, or was used up there.
    AtCall,
    /// Its time slice was used up somewhere else.
    Anywhere,
}

/// Calls a guest function so that it can be suspended.
///
/// # Safety
///
/// As [`invoke`]; `values` must stay where it is until the guest has returned or is given up, also
/// when it is suspended in between.
pub(crate) unsafe fn start(
    core: NonNull<StoreCore>,
    entry: &Entry,
    values: *mut value::Cell,
) -> Result<Rest, Error> {
    // SAFETY: the caller has the store.
    let activation = unsafe { activation(core) };
    match activation.guest_fp.load(Ordering::Relaxed) {
        SUSPENDED => return Err(UseError::GuestSuspended.into()),
        fp if fp & 1 == 0 => return Err(UseError::NotOutermost.into()),
        _ => {}
    }
    loop {
        let rest = run(activation, |thread| {
            // SAFETY: the caller vouches for `entry` and `values`; no guest is on the stack; the
            // thread is prepared.
            unsafe { enter(activation, thread, entry, entry.stack_top, values) }
        })?;
        if let Some(rest) = rest {
            return Ok(rest);
        }
    }
}

/// Lets a guest go on that [`start`] or this has left suspended; by a crossing, or else, as `rest`
/// says, by a signal.
///
/// # Safety
///
/// The caller must have the store exclusively, and the guest whose entry had `stack_top` be
/// suspended in it.
pub(crate) unsafe fn resume(
    core: NonNull<StoreCore>,
    stack_top: usize,
    way: WayBack,
) -> Result<Rest, Error> {
    // SAFETY: the caller has the store.
    let activation = unsafe { activation(core) };
    let go = |thread: &'static ThreadRecord| {
        let context = match way {
            WayBack::Crossing => 0,
            // SAFETY: the guest does not run, so no handler uses it.
            WayBack::Registers => match unsafe { &mut *activation.registers.get() } {
                Some(frame) => frame.prepare(),
                None => unreachable!("a guest that was stopped there has left its registers"),
            },
        };
        activation.suspension.set(0);
        let outer = thread.replace_current(activation);
        // SAFETY: the caller's promise; the activation has just become current.
        let status = unsafe { arch::resume(activation, stack_top, context) };
        thread.restore_current(outer);
        status
    };
    loop {
        match run(activation, go) {
            Ok(Some(rest)) => return Ok(rest),
            Ok(None) => activation.guest_fp.store(SUSPENDED, Ordering::Relaxed),
            Err(error) => {
                // It may have been refused before it began.
                activation.abandon();
                return Err(error);
            }
        }
    }
}

/// How a suspended guest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WayBack {
    /// It was left by a crossing.
    Crossing,
    /// It was left by a signal, which has kept its registers.
    Registers,
}

/// Runs a guest that can be suspended, by `go`. `None` where its time slice was used up before it
/// could go on.
fn run(
    activation: &Activation,
    go: impl FnOnce(&'static ThreadRecord) -> u64,
) -> Result<Option<Rest>, Error> {
    let thread = prepared(activation, IDLE)?;
    activation.set_resumable(true);
    let mut armed = Armed::new();
    let limited = match begin(activation, thread, &mut armed) {
        Ok(limited) => limited,
        Err(error) => {
            activation.set_resumable(false);
            return Err(error);
        }
    };
    let status = with_key(activation, thread, || go(thread));
    let must_stop = activation.must_stop();
    let SliceUsed(slice_used) = limited.end();
    activation.set_resumable(false);
    activation
        .guest_fp
        .store(activation.resting(), Ordering::Relaxed);
    if status == arch::RETURNED {
        return Ok(Some(Rest::Returned));
    }
    let stopped = must_stop || activation.has_pending();
    let rest = match (status, activation.take_waiting()) {
        (arch::PREEMPTED, _) => Rest::Anywhere,
        (arch::LEFT, Some(waiting)) if !must_stop => Rest::Waits(waiting),
        (arch::LEFT, None) if slice_used && !stopped => Rest::AtCall,
        (arch::BARRED, None) if slice_used && !stopped => return Ok(None),
        _ => return Err(landed(activation, status)),
    };
    activation.guest_fp.store(SUSPENDED, Ordering::Relaxed);
    Ok(Some(rest))
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
        // The codes come from the compiler's own tables; one of a later ABI is still a trap.
        return trap(activation, code.unwrap_or(TrapCode::Unreachable), landing).into();
    }
    let code = match activation.take_pending() {
        Some(Pending::Error(Error::Exception(mut exception))) => {
            exception.set_backtrace(|| backtrace::of_landing(activation, landing));
            return exception.into();
        }
        Some(Pending::Error(error)) => return error,
        Some(Pending::Panic(payload)) => std::panic::resume_unwind(payload),
        Some(Pending::Trap(code)) => code,
        Some(Pending::Suspend(_) | Pending::Thrown(_)) | None => TrapCode::Interrupted,
    };
    trap(activation, code, landing).into()
}

fn trap(activation: &Activation, code: TrapCode, landing: Landing) -> Trap {
    let backtrace = backtrace::of_landing(activation, landing);
    match code {
        TrapCode::Interrupted => Trap::interrupted(activation.interruption(), backtrace),
        code => Trap::new(code, backtrace),
    }
}
