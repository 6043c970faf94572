//! Limits of time: deadlines, CPU budgets and time slices, at no cost to generated code.
//!
//! An entry that has limits puts an [`Armed`] on its stack, and the moment of the earliest into its
//! thread's record, where the watchdog finds it (see [`crate::watchdog`]). When that moment has
//! come the thread is signalled, and [`expire`] marks what is due in the activation's exit word.
//!
//! # Safety
//!
//! This file holds unsafe code. The list of [`Armed`]s of a thread is changed by that thread and
//! read by its signal handler: an entry is linked in when it is complete, and taken out before it
//! is gone.
#![allow(
    unsafe_code,
    reason = "the signal handler finds limits by pointers to the stack"
)]

use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::activation::{Activation, Reason};
use crate::error::{Error, UseError};
use crate::func::{Func, TypedFunc};
use crate::pool::Sandbox;
use crate::store::{AsStore, AsStoreMut, Store, StoreCore};
use crate::sys;
use crate::thread::ThreadRecord;
use crate::trap::Interruption;
use crate::value::Val;
use crate::wasm_ty::{WasmParams, WasmResults};
use crate::watchdog;

/// Nanoseconds of the system's monotonic clock, as [`sys::monotonic`] tells them.
pub(crate) type Moment = u64;

/// A moment, or an amount of time, that is never reached.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the watchdog's signals carry instead of a ticket.
pub(crate) const TICKET: u64 = 0;

/// The limits of a store's calls. Changed while no guest of it runs.
pub(crate) struct TimeLimits {
    /// Calls end at this [`Moment`].
    deadline: Cell<Moment>,
    /// Nanoseconds of CPU time that calls may still use, all together.
    cpu_left: Cell<u64>,
    /// Nanoseconds that a call which can be suspended may run in one go.
    slice: Cell<u64>,
    /// Whether cycles are counted.
    timed: Cell<bool>,
    /// Cycles counted so far.
    cycles: Cell<u64>,
}

impl TimeLimits {
    pub(crate) const fn new() -> TimeLimits {
        TimeLimits {
            deadline: Cell::new(NEVER),
            cpu_left: Cell::new(NEVER),
            slice: Cell::new(NEVER),
            timed: Cell::new(false),
            cycles: Cell::new(0),
        }
    }

    /// Whether entries have to mind any of this.
    pub(crate) fn any(&self) -> bool {
        self.deadline.get() != NEVER
            || self.cpu_left.get() != NEVER
            || self.slice.get() != NEVER
            || self.timed.get()
    }

    pub(crate) fn reset(&self) {
        self.deadline.set(NEVER);
        self.cpu_left.set(NEVER);
        self.slice.set(NEVER);
        self.timed.set(false);
        self.cycles.set(0);
    }
}

/// The limits of one entry, on the stack of the thread while it lasts.
pub(crate) struct Armed {
    activation: *const Activation,
    deadline: AtomicU64,
    /// When to look at the thread's CPU clock.
    cpu_check: AtomicU64,
    /// What that clock shows when the budget is spent.
    cpu_end: u64,
    slice: AtomicU64,
    outer: AtomicPtr<Armed>,
}

impl Armed {
    pub(crate) const fn new() -> Armed {
        Armed {
            activation: std::ptr::null(),
            deadline: AtomicU64::new(NEVER),
            cpu_check: AtomicU64::new(NEVER),
            cpu_end: NEVER,
            slice: AtomicU64::new(NEVER),
            outer: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn earliest(&self) -> Moment {
        let at = |moment: &AtomicU64| moment.load(Ordering::Relaxed);
        at(&self.deadline)
            .min(at(&self.cpu_check))
            .min(at(&self.slice))
    }
}

/// An entry whose limits are in force; they end with [`Limited::end`].
pub(crate) struct Limited<'a> {
    activation: &'a Activation,
    thread: &'static ThreadRecord,
    /// The one on the stack; null where there is nothing to watch.
    armed: *mut Armed,
    cpu_begun: u64,
    cycles_begun: u64,
}

impl<'a> Limited<'a> {
    /// Puts the limits of an outermost entry in force, in a place that stays where it is until
    /// they end.
    ///
    /// # Errors
    ///
    /// What has ended already, and why the limits cannot be watched.
    pub(crate) fn begin(
        activation: &'a Activation,
        thread: &'static ThreadRecord,
        armed: &mut Armed,
    ) -> Result<Limited<'a>, Refusal> {
        let limits = &activation.limits;
        let mut limited = Limited {
            activation,
            thread,
            armed: std::ptr::null_mut(),
            cpu_begun: NEVER,
            cycles_begun: 0,
        };
        if limits.any() {
            limited.arm(armed)?;
        }
        if limits.timed.get() {
            limited.cycles_begun = crate::arch::cycles();
        }
        Ok(limited)
    }

    fn arm(&mut self, armed: &mut Armed) -> Result<(), Refusal> {
        let limits = &self.activation.limits;
        if limits.deadline.get() != NEVER && limits.deadline.get() <= sys::monotonic() {
            return Err(Refusal::Over(Interruption::Deadline));
        }
        armed.activation = self.activation;
        armed.deadline = AtomicU64::new(limits.deadline.get());
        if limits.cpu_left.get() != NEVER {
            if limits.cpu_left.get() == 0 {
                return Err(Refusal::Over(Interruption::CpuBudget));
            }
            self.cpu_begun = sys::thread_cpu_time();
            armed.cpu_end = self.cpu_begun.saturating_add(limits.cpu_left.get());
            // It cannot be spent before as much time has passed.
            let check = sys::monotonic().saturating_add(limits.cpu_left.get());
            armed.cpu_check = AtomicU64::new(check);
        }
        if limits.slice.get() != NEVER && self.activation.is_resumable() {
            let end = sys::monotonic().saturating_add(limits.slice.get());
            armed.slice = AtomicU64::new(end);
        }
        let earliest = armed.earliest();
        if earliest == NEVER {
            return Ok(());
        }
        let outer = self.thread.armed.load(Ordering::Relaxed);
        armed.outer = AtomicPtr::new(outer);
        self.armed = armed;
        self.thread.armed.store(armed, Ordering::Release);
        if earliest >= self.thread.wake.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.thread.wake.store(earliest, Ordering::Relaxed);
        watchdog::expect(earliest).map_err(|error| {
            self.disarm();
            self.forget_signals();
            Refusal::Failed(error)
        })
    }

    /// The entry is over: its limits no longer hold, and what they asked for is forgotten. Says
    /// whether the slice was used up.
    pub(crate) fn end(self) -> SliceUsed {
        let limits = &self.activation.limits;
        if limits.timed.get() {
            let spent = crate::arch::cycles().wrapping_sub(self.cycles_begun);
            limits.cycles.set(limits.cycles.get().wrapping_add(spent));
        }
        self.disarm();
        if self.cpu_begun != NEVER {
            let spent = sys::thread_cpu_time().saturating_sub(self.cpu_begun);
            limits
                .cpu_left
                .set(limits.cpu_left.get().saturating_sub(spent));
        }
        self.forget_signals()
    }

    fn disarm(&self) {
        // SAFETY: `begin`'s caller keeps it in its place until here.
        let Some(armed) = (unsafe { self.armed.as_ref() }) else {
            return;
        };
        let outer = armed.outer.load(Ordering::Relaxed);
        self.thread.armed.store(outer, Ordering::Release);
        // A signal between the two may find that an outer one is due; then this moment is past,
        // and the next signal corrects it.
        (self.thread.wake).store(earliest_of(outer), Ordering::Relaxed);
    }

    /// Takes back what a signal has asked for while the limits were in force.
    fn forget_signals(&self) -> SliceUsed {
        let activation = self.activation;
        let used = activation.exit.has(Reason::SLICE);
        if used {
            activation.exit.clear(Reason::SLICE);
        }
        activation.defer_slice(false);
        if activation.exit.has(Reason::STOPPED) {
            activation.exit.clear(Reason::STOPPED);
            activation.event.lower_unless(|| activation.is_killed());
        }
        SliceUsed(used)
    }
}

/// Whether an entry was left because its slice was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SliceUsed(pub(crate) bool);

/// Why an entry is refused by its limits.
pub(crate) enum Refusal {
    /// The time is over before it began.
    Over(Interruption),
    /// The limits cannot be watched.
    Failed(Error),
}

/// The earliest moment of `armed` and those around it.
fn earliest_of(armed: *const Armed) -> Moment {
    iterate(armed).map(Armed::earliest).min().unwrap_or(NEVER)
}

fn iterate<'a>(armed: *const Armed) -> impl Iterator<Item = &'a Armed> {
    // SAFETY: entries are taken out of the thread's list before they are gone, and only that
    // thread and its signal handler come here.
    let follow = |armed: *const Armed| unsafe { armed.as_ref() };
    std::iter::successors(follow(armed), move |armed| {
        follow(armed.outer.load(Ordering::Relaxed))
    })
}

/// Marks the entries of the thread whose time is over. Answers when to look again, if there are
/// any. Called by the signal handler.
pub(crate) fn expire(thread: &ThreadRecord) -> Option<Moment> {
    let first = thread.armed.load(Ordering::Acquire);
    if first.is_null() {
        return None;
    }
    let now = sys::monotonic();
    for armed in iterate(first) {
        // SAFETY: an armed entry is entered, so its activation lives.
        let activation = unsafe { &*armed.activation };
        if armed.deadline.load(Ordering::Relaxed) <= now {
            armed.deadline.store(NEVER, Ordering::Relaxed);
            activation.stop(Interruption::Deadline);
        }
        if armed.cpu_check.load(Ordering::Relaxed) <= now {
            let left = armed.cpu_end.saturating_sub(sys::thread_cpu_time());
            let check = match left {
                0 => NEVER,
                left => now.saturating_add(left),
            };
            armed.cpu_check.store(check, Ordering::Relaxed);
            if left == 0 {
                activation.stop(Interruption::CpuBudget);
            }
        }
        if armed.slice.load(Ordering::Relaxed) <= now {
            armed.slice.store(NEVER, Ordering::Relaxed);
            activation.end_slice();
        }
    }
    Some(earliest_of(first))
}

impl StoreCore {
    fn usage(&self) -> Usage {
        Usage {
            memory_bytes: self.memory_bytes,
            ..self.activation.usage()
        }
    }
}

impl Activation {
    /// Sets when calls end.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        self.limits.deadline.set(deadline.map_or(NEVER, moment));
        self.limits_changed();
    }

    /// Sets how much CPU time calls may use from now on, all together.
    pub(crate) fn set_cpu_budget(&self, budget: Option<Duration>) {
        self.limits.cpu_left.set(budget.map_or(NEVER, nanoseconds));
        self.limits_changed();
    }

    /// What is left of it.
    pub(crate) fn cpu_budget(&self) -> Option<Duration> {
        let left = self.limits.cpu_left.get();
        (left != NEVER).then(|| Duration::from_nanos(left))
    }

    /// Sets how long a call that can be suspended runs in one go.
    pub(crate) fn set_time_slice(&self, slice: Option<Duration>) {
        let least = Duration::from_micros(1);
        let slice = slice.map_or(NEVER, |slice| nanoseconds(slice.max(least)));
        self.limits.slice.set(slice);
        if slice != NEVER {
            self.make_room_for_registers();
        }
        self.limits_changed();
    }

    /// What is counted here.
    fn usage(&self) -> Usage {
        Usage {
            host_calls: self.host_calls.get(),
            cycles: self.limits.cycles.get(),
            memory_bytes: 0,
        }
    }

    /// Sets whether cycles are counted.
    pub(crate) fn set_timed(&self, timed: bool) {
        self.limits.timed.set(timed);
        self.limits_changed();
    }
}

/// The same instant as the signal handler can tell it, or some nanoseconds before.
fn moment(instant: Instant) -> Moment {
    static START: OnceLock<(Instant, Moment)> = OnceLock::new();
    let &(start, at_start) = START.get_or_init(|| {
        // Both clocks are one; only that the thread may lose its CPU between the two readings.
        let both = || {
            let before = sys::monotonic();
            let instant = Instant::now();
            (sys::monotonic() - before, instant, before)
        };
        let (_, instant, moment) = (0..50).map(|_| both()).min().expect("fifty");
        (instant, moment)
    });
    match instant.checked_duration_since(start) {
        Some(after) => at_start.saturating_add(nanoseconds(after)),
        None => at_start.saturating_sub(nanoseconds(start - instant)),
    }
    .min(NEVER - 1)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos())
        .unwrap_or(NEVER)
        .min(NEVER - 1)
}

/// What a store's guests have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Calls of host functions by guests.
    pub host_calls: u64,
    /// Cycles of the CPU's time stamp counter between entering guests and their return, host
    /// functions that they called included. Counted only while [`Store::count_cycles`] asks for it.
    pub cycles: u64,
    /// Bytes of linear memory that its instances have. Memories never shrink, so that this is also the
    /// most that they have had.
    pub memory_bytes: u64,
}

/// What stores and sandboxes have alike.
macro_rules! limits_of {
    ($($store:ident),*) => {$(
        impl<T: 'static> $store<T> {
            /// Sets when calls into this store end: the one that runs then, and later ones until another
            /// deadline is set, fail with [`crate::TrapCode::Interrupted`] by
            /// [`Interruption::Deadline`]. A blocking WASI call is cut short.
            ///
            /// Generated code does not slow down; entering takes some tens of nanoseconds more. Counts for
            /// calls from outside of the store's guests, not for those that a host function makes
            /// within one. The first limit of the process starts a thread that watches over all of them.
            pub fn set_deadline(&mut self, deadline: Option<Instant>) {
                self.as_store()
                    .into_core()
                    .activation
                    .set_deadline(deadline);
            }

            /// Sets how much CPU time calls into this store may use from now on, all together: when it is
            /// spent they fail with [`crate::TrapCode::Interrupted`] by [`Interruption::CpuBudget`].
            ///
            /// Costs two readings of the thread's CPU clock per call, about half a microsecond each.
            pub fn set_cpu_budget(&mut self, budget: Option<Duration>) {
                self.as_store()
                    .into_core()
                    .activation
                    .set_cpu_budget(budget);
            }

            /// What is left of the budget; `None` where there is none.
            pub fn cpu_budget(&self) -> Option<Duration> {
                self.as_store().into_core().activation.cpu_budget()
            }

            /// Sets how long a call that was started with [`crate::TypedFunc::start`] runs in one go: then it is
            /// suspended, wherever it is, and can be resumed later. At least a microsecond.
            pub fn set_time_slice(&mut self, slice: Option<Duration>) {
                self.as_store().into_core().activation.set_time_slice(slice);
            }

            /// Sets whether [`Usage::cycles`] are counted. That costs some ten nanoseconds per call.
            pub fn count_cycles(&mut self, count: bool) {
                self.as_store().into_core().activation.set_timed(count);
            }

            /// What the store's guests have used so far.
            pub fn usage(&self) -> Usage {
                self.as_store().into_core().usage()
            }
        }
    )*};
}

limits_of!(Store, Sandbox);

/// A deadline for one call: the one before holds again when this is dropped.
struct OneDeadline {
    activation: Arc<Activation>,
    before: Moment,
}

impl OneDeadline {
    fn set(store: impl AsStore, deadline: Instant) -> Result<OneDeadline, UseError> {
        let activation = Arc::clone(&store.as_store().into_core().activation);
        if activation.guest_fp.load(Ordering::Relaxed) & 1 == 0 {
            return Err(UseError::NotOutermost);
        }
        let before = activation.limits.deadline.get();
        activation.set_deadline(Some(deadline));
        Ok(OneDeadline { activation, before })
    }
}

impl Drop for OneDeadline {
    fn drop(&mut self) {
        self.activation.limits.deadline.set(self.before);
        self.activation.limits_changed();
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// As [`TypedFunc::call`], with a deadline for this call: see [`Store::set_deadline`].
    ///
    /// # Errors
    ///
    /// As for [`TypedFunc::call`], and if a host function makes the call while a guest of the
    /// store waits for it.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub fn call_with_deadline(
        &self,
        mut store: impl AsStoreMut,
        params: P,
        deadline: Instant,
    ) -> Result<R, Error> {
        let _deadline = OneDeadline::set(store.as_store(), deadline)?;
        self.call(&mut store, params)
    }
}

impl Func {
    /// As [`Func::call`], with a deadline for this call: see [`Store::set_deadline`].
    ///
    /// # Errors
    ///
    /// As for [`Func::call`], and if a host function makes the call while a guest of the store
    /// waits for it.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub fn call_with_deadline(
        &self,
        mut store: impl AsStoreMut,
        arguments: &[Val],
        results: &mut [Val],
        deadline: Instant,
    ) -> Result<(), Error> {
        let _deadline = OneDeadline::set(store.as_store(), deadline)?;
        self.call(&mut store, arguments, results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{IDLE, LIMITED, SUSPENDED};

    #[test]
    fn a_new_user_has_no_limits_and_nothing_suspended() {
        let activation = Activation::new();
        activation.set_deadline(Some(Instant::now()));
        activation.set_cpu_budget(Some(Duration::ZERO));
        activation.set_time_slice(Some(Duration::from_millis(1)));
        activation.set_timed(true);
        assert_eq!(activation.guest_fp.load(Ordering::Relaxed), LIMITED);
        activation.guest_fp.store(SUSPENDED, Ordering::Relaxed);
        activation.suspension.set(7);
        activation.renew();
        assert_eq!(activation.guest_fp.load(Ordering::Relaxed), IDLE);
        assert_eq!(activation.suspension.get(), 0);
        assert!(!activation.limits.any());
        assert_eq!(activation.usage(), Usage::default());
    }

    #[test]
    fn moments_are_those_of_the_clock() {
        let before = sys::monotonic();
        let now = moment(Instant::now());
        let after = sys::monotonic();
        // The two clocks were compared once, within some microseconds.
        assert!(now + 1_000_000 > before && now <= after);
        let later = moment(Instant::now() + Duration::from_secs(5));
        assert!(later >= before + 4_999_000_000);
    }
}
