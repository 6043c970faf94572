//! Stopping guests from other threads.
//!
//! `kill` raises a flag that every crossing from host to guest looks at, and then makes sure that
//! the thread which runs the guest comes by such a crossing: it sends a signal, whose handler
//! diverts guest code to the way out. A thread that is caught between guest and host cannot be
//! diverted; the handler then keeps quiet, and the signal is sent again. It answers where it is
//! certain that no guest code of the store will run before the flag is looked at.
//!
//! A store's record may be used again for someone else. The flag stands in one word with the number
//! of its user, so that a kill that comes late finds another number and does nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::activation::{Activation, Generation, Standing};
use crate::sys;
use crate::thread;
use crate::wait::Parking;

/// Stops the guests of one store, from any thread, at any time, also when the store is gone.
#[derive(Clone)]
pub struct InterruptHandle {
    activation: Arc<Activation>,
    generation: Generation,
}

/// Answers to the last few tickets; a ticket stands in the place of its remainder.
static ANSWERS: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
static NEXT_TICKET: AtomicU64 = AtomicU64::new(1);

/// Called by the signal handler: the thread has taken notice.
pub(crate) fn answer(ticket: u64) {
    ANSWERS[ticket as usize % ANSWERS.len()].store(ticket, Ordering::Release);
}

impl InterruptHandle {
    pub(crate) fn new(activation: Arc<Activation>) -> InterruptHandle {
        let generation = activation.generation();
        InterruptHandle {
            activation,
            generation,
        }
    }

    /// Stops the guests of the store, for good: the call that is running, if one is, and every
    /// later one end with [`precast_abi::trap::TrapCode::Interrupted`].
    ///
    /// A host function that is running is not cut short, but the guest that called it is left when
    /// it returns. Returns once the guest is sure not to go on; that takes microseconds, as long as
    /// the system lets its thread run.
    pub fn kill(&self) {
        if !self.activation.kill(self.generation) {
            return;
        }
        // Either the entering thread sees the flag, or we see that it has entered.
        let synced = sys::sync_threads();
        if !synced {
            std::thread::sleep(Duration::from_micros(100));
        }
        let give_up = Instant::now() + Duration::from_secs(1);
        let mut pause = Duration::from_micros(5);
        while Instant::now() < give_up {
            let Some(thread) = self.runs_on() else { return };
            if self.notify(thread, pause) {
                return;
            }
            pause = (pause * 2).min(Duration::from_millis(2));
        }
        // A thread that blocks the signal. The flag stands: its next crossing sees it.
    }

    /// Whether the store's guests were stopped for good, or the store is used for something else.
    pub fn is_killed(&self) -> bool {
        matches!(self.standing(), Standing::Killed | Standing::Over)
    }

    /// Whether the guest that runs is to stop: it was killed, or a limit of its time is reached. For
    /// host functions that wait, beside [`InterruptHandle::descriptor`].
    pub fn asks_to_stop(&self) -> bool {
        self.standing() != Standing::Runs
    }

    /// A descriptor that is readable while the guests are to stop, for host functions that wait:
    /// poll it beside your own.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.activation.event.descriptor(|| self.standing())
    }

    fn standing(&self) -> Standing {
        self.activation.standing(self.generation)
    }

    /// The thread whose innermost guest is of this store.
    fn runs_on(&self) -> Option<u32> {
        if self.standing() == Standing::Over {
            return None;
        }
        let activation = Arc::as_ptr(&self.activation).cast_mut();
        thread::records()
            .find(|record| record.current.load(Ordering::SeqCst) == activation)
            .map(|record| record.id.load(Ordering::Relaxed))
    }

    /// Signals the thread and waits for its answer. A thread that is gone runs no guest.
    fn notify(&self, thread: u32, pause: Duration) -> bool {
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        let place = &ANSWERS[ticket as usize % ANSWERS.len()];
        if !sys::interrupt_thread(thread, ticket as usize) {
            return self.runs_on() == Some(thread);
        }
        for _ in 0..1000 {
            if place.load(Ordering::Acquire) == ticket {
                return true;
            }
            std::hint::spin_loop();
        }
        std::thread::sleep(pause);
        place.load(Ordering::Acquire) == ticket
    }
}

impl std::fmt::Debug for InterruptHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InterruptHandle")
            .field("killed", &self.is_killed())
            .finish()
    }
}

/// Something that host functions can wait for beside their own descriptors. Made on demand.
///
/// The lock orders raising it, making it, and the change of users. The thread that runs the guest
/// may raise it without, in a signal handler: while it is there, users do not change.
pub(crate) struct Event {
    descriptor: OnceLock<OwnedFd>,
    raised: AtomicBool,
    lock: Mutex<()>,
    /// Where the guest's thread sleeps in `memory.atomic.wait`: raised along.
    parking: Parking,
}

impl Event {
    pub(crate) const fn new() -> Event {
        Event {
            descriptor: OnceLock::new(),
            raised: AtomicBool::new(false),
            lock: Mutex::new(()),
            parking: Parking::new(),
        }
    }

    pub(crate) fn parking(&self) -> &Parking {
        &self.parking
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises it if `set` says so, having set the flag that it stands for.
    pub(crate) fn raise_if(&self, set: impl FnOnce() -> bool) -> bool {
        let _order = self.lock();
        let done = set();
        if done {
            self.raise();
        }
        done
    }

    /// Raises it after its flag was set. Fit for a signal handler.
    pub(crate) fn raise(&self) {
        self.parking.raise();
        if let Some(descriptor) = self.descriptor.get() {
            self.raised.store(true, Ordering::Relaxed);
            sys::raise_event(descriptor);
        }
    }

    /// Changes users by `begin`; the next one finds the event not raised.
    #[inline]
    pub(crate) fn renew(&self, begin: impl FnOnce()) {
        if self.descriptor.get().is_none() {
            // Whoever raises it now holds the lock, and the next user needs that to make one.
            return begin();
        }
        let _order = self.lock();
        begin();
        self.lower();
    }

    /// Lowers it again, unless another flag stands that it was raised for.
    pub(crate) fn lower_unless(&self, stands: impl FnOnce() -> bool) {
        if self.raised.load(Ordering::Relaxed) {
            let _order = self.lock();
            if !stands() {
                self.lower();
            }
        }
    }

    /// Needs the lock.
    fn lower(&self) {
        if self.raised.swap(false, Ordering::Relaxed)
            && let Some(descriptor) = self.descriptor.get()
        {
            sys::lower_event(descriptor);
        }
    }

    /// A descriptor that is readable once the user that asks is to stop; one that always is where
    /// that user is gone.
    pub(crate) fn descriptor(
        &self,
        standing: impl FnOnce() -> Standing,
    ) -> io::Result<BorrowedFd<'_>> {
        let _order = self.lock();
        if self.descriptor.get().is_none() {
            let _ = self.descriptor.set(sys::new_event(false)?);
        }
        // Now that there is one, users do not change without the lock.
        match standing() {
            Standing::Runs => {}
            // It may have been stopped before there was a descriptor to raise.
            Standing::Stopping | Standing::Killed => self.raise(),
            Standing::Over => return always_raised(),
        }
        let descriptor = self.descriptor.get().ok_or(io::ErrorKind::Other)?;
        Ok(descriptor.as_fd())
    }
}

/// What stands for guests that are long gone.
fn always_raised() -> io::Result<BorrowedFd<'static>> {
    static RAISED: OnceLock<OwnedFd> = OnceLock::new();
    if RAISED.get().is_none() {
        // Another thread may have been faster; then this one is closed again.
        let _ = RAISED.set(sys::new_event(true)?);
    }
    Ok(RAISED.get().ok_or(io::ErrorKind::Other)?.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is readable now.
    fn is_raised(descriptor: BorrowedFd<'_>) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        poll(&mut fds, Some(&now)).expect("it can be polled") == 1
    }

    #[test]
    fn a_handle_reaches_only_the_user_it_was_made_for() {
        let activation = Arc::new(Activation::new());
        let first = InterruptHandle::new(Arc::clone(&activation));
        assert!(!first.is_killed());
        let waiting = first.descriptor().expect("there are descriptors");
        assert!(!is_raised(waiting));
        first.kill();
        assert!(first.is_killed() && is_raised(waiting));
        activation.renew();
        let second = InterruptHandle::new(Arc::clone(&activation));
        assert!(first.is_killed() && !second.is_killed());
        first.kill();
        assert!(!activation.is_killed());
        assert!(is_raised(
            first.descriptor().expect("there are descriptors")
        ));
        assert!(!is_raised(
            second.descriptor().expect("there are descriptors")
        ));
        second.kill();
        assert!(activation.is_killed());
        assert!(is_raised(
            second.descriptor().expect("there are descriptors")
        ));
    }

    #[test]
    fn a_new_user_finds_nothing_of_the_one_before() {
        let activation = Activation::new();
        activation.fail_with_trap(precast_abi::trap::TrapCode::Unreachable);
        activation.host_calls.set(3);
        activation.renew();
        assert!(activation.take_pending().is_none());
        assert_eq!(activation.host_calls.get(), 0);
    }

    /// Kills that come while the record changes users reach the old one or nobody.
    #[test]
    fn kills_and_changes_of_users_at_once() {
        const ROUNDS: usize = 2000;
        let activation = Arc::new(Activation::new());
        let handle = Mutex::new(InterruptHandle::new(Arc::clone(&activation)));
        let stop = AtomicBool::new(false);
        let (killed, spared) = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let handle = handle.lock().unwrap().clone();
                        // The flag only: waiting for threads is not what is tested.
                        handle.activation.kill(handle.generation);
                        assert!(handle.is_killed());
                    }
                });
            }
            let (mut killed, mut spared) = (0, 0);
            // As often as told, and until both were seen: threads run when the system lets them.
            let late = Instant::now() + Duration::from_secs(60);
            for round in 0.. {
                let seen_both = killed > 0 && spared > 0;
                if round >= ROUNDS && (seen_both || Instant::now() > late) {
                    break;
                }
                activation.renew();
                // Nobody has a handle of this user yet.
                assert!(!activation.is_killed());
                let own = InterruptHandle::new(Arc::clone(&activation));
                if round % 3 == 0 {
                    let descriptor = own.descriptor().expect("there are descriptors");
                    assert!(!is_raised(descriptor), "round {round}");
                }
                *handle.lock().unwrap() = own;
                if round % 2 == 0 {
                    std::thread::yield_now();
                }
                match activation.is_killed() {
                    true => killed += 1,
                    false => spared += 1,
                }
            }
            stop.store(true, Ordering::Relaxed);
            (killed, spared)
        });
        assert!(killed > 0 && spared > 0, "{killed} killed, {spared} not");
    }
}
