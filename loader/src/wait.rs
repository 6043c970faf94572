//! `memory.atomic.wait` and `notify`: threads of guests that wait for each other.
//!
//! Each shared memory has a list of those that wait, oldest first; a thread that waits sleeps on a
//! word of its own store's activation (a futex), which is also what a kill or a deadline wakes. Who
//! is notified is taken off the list under its lock, so that the count that `notify` answers is
//! exact, and nobody is woken twice.
//!
//! ```text
//!  waiter                                      notifier
//!  lock; is the value as expected? enlist      changes the value
//!  unlock; sleep until NOTIFIED or stopped     lock; delist, set NOTIFIED; unlock; wake
//! ```
//!
//! There are never more waiters than threads that run guests.
//!
//! # Safety
//!
//! This file holds unsafe code: guest memory is looked at by atomic loads, at addresses that were
//! checked. See [`crate::runtime`] for what its functions count on.
#![allow(unsafe_code, reason = "called by generated code, on its memory")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use precast_abi::trap::TrapCode;

use crate::activation::Activation;
use crate::runtime::Context;
use crate::shared::SharedMemory;
use crate::sys;

/// Where the thread that runs a store's guests sleeps while they wait.
pub(crate) struct Parking(AtomicU32);

/// A thread sleeps, or is about to.
const WAITING: u32 = 1;
/// It was notified.
const NOTIFIED: u32 = 2;
/// It should see whether it is to stop.
const RAISED: u32 = 4;

impl Parking {
    pub(crate) const fn new() -> Parking {
        Parking(AtomicU32::new(0))
    }

    /// Makes a thread that sleeps here see whether it is to stop, after the flag for that was set.
    /// Fit for a signal handler.
    pub(crate) fn raise(&self) {
        if self.0.fetch_or(RAISED, Ordering::AcqRel) & WAITING != 0 {
            sys::wake_one(&self.0);
        }
    }

    fn begin(&self) {
        self.0.swap(WAITING, Ordering::AcqRel);
    }

    fn end(&self) {
        self.0.swap(0, Ordering::AcqRel);
    }

    /// Called with the list's lock.
    fn notify(&self) {
        self.0.fetch_or(NOTIFIED, Ordering::AcqRel);
    }

    /// Sleeps until notified, told to stop, or late.
    fn sleep(&self, must_stop: impl Fn() -> bool, end: Option<u64>) -> Wakeup {
        loop {
            // What was raised is taken back before the flag is looked at.
            let word = self.0.fetch_and(!RAISED, Ordering::AcqRel) & !RAISED;
            if word & NOTIFIED != 0 {
                return Wakeup::Notified;
            }
            if must_stop() {
                return Wakeup::Stopped;
            }
            let left = end.map(|end| end.saturating_sub(sys::monotonic()));
            if left == Some(0) {
                return Wakeup::Late;
            }
            sys::wait_while(&self.0, word, left.map(Duration::from_nanos));
        }
    }
}

/// Why a thread sleeps no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wakeup {
    Notified,
    Stopped,
    Late,
}

/// What `memory.atomic.wait` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Woken = 0,
    NotEqual = 1,
    TimedOut = 2,
}

struct Waiter {
    /// Offset in the memory.
    at: u64,
    thread: Arc<Activation>,
}

/// Those that wait at addresses of one memory.
pub(crate) struct WaitQueue {
    /// How many there are, for those who have no one to wake.
    count: AtomicUsize,
    waiters: Mutex<VecDeque<Waiter>>,
}

impl WaitQueue {
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue {
            count: AtomicUsize::new(0),
            waiters: Mutex::new(VecDeque::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits at `at` until notified, for `timeout` at most, if `as_expected` says so.
    fn wait(
        &self,
        thread: &Arc<Activation>,
        at: u64,
        as_expected: impl FnOnce() -> bool,
        timeout: Option<u64>,
    ) -> Outcome {
        let end = timeout.map(|timeout| sys::monotonic().saturating_add(timeout));
        let parking = thread.event.parking();
        parking.begin();
        let mut waiters = self.lock();
        // Counted before the value is looked at: who changes it after that sees the count.
        self.count.fetch_add(1, Ordering::SeqCst);
        if !as_expected() {
            self.count.fetch_sub(1, Ordering::SeqCst);
            parking.end();
            return Outcome::NotEqual;
        }
        waiters.push_back(Waiter {
            at,
            thread: Arc::clone(thread),
        });
        drop(waiters);
        let outcome = match parking.sleep(|| thread.must_stop(), end) {
            Wakeup::Notified => Outcome::Woken,
            // The guest that is stopped does not see what this answers.
            Wakeup::Stopped | Wakeup::Late => self.leave(thread),
        };
        parking.end();
        outcome
    }

    /// Leaves the list, unless notified meanwhile.
    fn leave(&self, thread: &Arc<Activation>) -> Outcome {
        let mut waiters = self.lock();
        let is_own = |waiter: &Waiter| Arc::ptr_eq(&waiter.thread, thread);
        match waiters.iter().position(is_own) {
            Some(index) => {
                waiters.remove(index);
                self.count.fetch_sub(1, Ordering::SeqCst);
                Outcome::TimedOut
            }
            None => Outcome::Woken,
        }
    }

    /// Wakes up to `count` of those that wait at `at`, the oldest first, and says how many.
    pub(crate) fn notify(&self, at: u64, count: u32) -> u32 {
        // What the notifier wrote comes before, whether that was atomic or not.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        let mut woken = Vec::new();
        let mut waiters = self.lock();
        let mut index = 0;
        while index < waiters.len() && woken.len() < count as usize {
            if waiters[index].at == at
                && let Some(waiter) = waiters.remove(index)
            {
                self.count.fetch_sub(1, Ordering::SeqCst);
                waiter.thread.event.parking().notify();
                woken.push(waiter.thread);
            } else {
                index += 1;
            }
        }
        drop(waiters);
        for thread in &woken {
            sys::wake_one(&thread.event.parking().0);
        }
        woken.len() as u32
    }
}

/// What a waiter compares.
#[derive(Clone, Copy)]
enum Width {
    Four = 4,
    Eight = 8,
}

impl Width {
    /// # Safety
    ///
    /// `at` must be mapped and aligned.
    unsafe fn holds(self, at: *mut u8, expected: u64) -> bool {
        match self {
            // SAFETY: the caller's promise; guests' threads use the bytes, and nobody else.
            Width::Four => unsafe {
                AtomicU32::from_ptr(at.cast()).load(Ordering::SeqCst) == expected as u32
            },
            // SAFETY: as above.
            Width::Eight => unsafe {
                AtomicU64::from_ptr(at.cast()).load(Ordering::SeqCst) == expected
            },
        }
    }
}

impl Context<'_> {
    /// Offset and address of an atomic operand.
    fn atomic_operand(
        &self,
        memory: u64,
        (index, offset): (u64, u64),
        width: Width,
    ) -> Result<(u64, *mut u8), TrapCode> {
        let size = width as u64;
        // Alignment first, as everywhere: the sum may not fit, its low bits do.
        if index.wrapping_add(offset) % size != 0 {
            return Err(TrapCode::UnalignedAtomic);
        }
        let at = index.checked_add(offset);
        let at = at.ok_or(TrapCode::MemoryOutOfBounds)?;
        let bytes = self.bytes(memory, at, size);
        Ok((at, bytes.ok_or(TrapCode::MemoryOutOfBounds)?))
    }

    /// The memory, if threads share it.
    fn shared(&self, memory: u64) -> Option<&SharedMemory> {
        self.core().shared_memory(self.memory(memory))
    }

    fn wait(
        &self,
        memory: u64,
        place: (u64, u64),
        width: Width,
        (expected, timeout): (u64, i64),
    ) -> Result<Outcome, TrapCode> {
        let (at, bytes) = self.atomic_operand(memory, place, width)?;
        let shared = self.shared(memory);
        let shared = shared.ok_or(TrapCode::ExpectedSharedMemory)?;
        // SAFETY: within the memory, and aligned, as was just checked.
        let as_expected = || unsafe { width.holds(bytes, expected) };
        let timeout = u64::try_from(timeout).ok();
        let thread = &self.core().activation;
        Ok((shared.waiters()).wait(thread, at, as_expected, timeout))
    }

    fn notify(&self, memory: u64, place: (u64, u64), count: u64) -> Result<u32, TrapCode> {
        let (at, _) = self.atomic_operand(memory, place, Width::Four)?;
        let shared = self.shared(memory);
        Ok(shared.map_or(0, |shared| shared.notify(at, count as u32)))
    }
}

pub(crate) unsafe extern "C" fn atomic_wait32(
    base: usize,
    memory: u64,
    index: u64,
    offset: u64,
    expected: u64,
    timeout: i64,
) -> u64 {
    // SAFETY: the crossing's promise.
    let context = unsafe { Context::new(base) };
    context.answer(|context| {
        let place = (index, offset);
        let outcome = context.wait(memory, place, Width::Four, (expected, timeout))?;
        Ok(outcome as u64)
    })
}

pub(crate) unsafe extern "C" fn atomic_wait64(
    base: usize,
    memory: u64,
    index: u64,
    offset: u64,
    expected: u64,
    timeout: i64,
) -> u64 {
    // SAFETY: the crossing's promise.
    let context = unsafe { Context::new(base) };
    context.answer(|context| {
        let place = (index, offset);
        let outcome = context.wait(memory, place, Width::Eight, (expected, timeout))?;
        Ok(outcome as u64)
    })
}

pub(crate) unsafe extern "C" fn atomic_notify(
    base: usize,
    memory: u64,
    index: u64,
    offset: u64,
    count: u64,
) -> u64 {
    // SAFETY: the crossing's promise.
    let context = unsafe { Context::new(base) };
    context.answer(|context| Ok(context.notify(memory, (index, offset), count)?.into()))
}

#[cfg(test)]
mod tests;
