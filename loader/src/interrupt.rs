//! Stopping guests from other threads.
//!
//! `kill` raises a flag that every crossing from host to guest looks at, and then makes sure that
//! the thread which runs the guest comes by such a crossing: it sends a signal, whose handler
//! diverts guest code to the way out. A thread that is caught between guest and host cannot be
//! diverted; the handler then keeps quiet, and the signal is sent again. It answers where it is
//! certain that no guest code of the store will run before the flag is looked at.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::activation::Activation;
use crate::sys;

/// Stops the guests of one store, from any thread, at any time, also when the store is gone.
#[derive(Clone)]
pub struct InterruptHandle {
    activation: Arc<Activation>,
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
        InterruptHandle { activation }
    }

    /// Stops the guests of the store, for good: the call that is running, if one is, and every
    /// later one end with [`precast_abi::trap::TrapCode::Interrupted`].
    ///
    /// A host function that is running is not cut short, but the guest that called it is left when
    /// it returns. Returns once the guest is sure not to go on; that takes microseconds, as long as
    /// the system lets its thread run.
    pub fn kill(&self) {
        let activation = &*self.activation;
        activation.exit.killed.store(1, Ordering::SeqCst);
        activation.event.raise();
        // Either the entering thread sees the flag, or we see that it has entered.
        let synced = sys::sync_threads();
        if !synced {
            std::thread::sleep(Duration::from_micros(100));
        }
        let give_up = Instant::now() + Duration::from_secs(1);
        let mut pause = Duration::from_micros(5);
        while Instant::now() < give_up {
            let thread = activation.thread.load(Ordering::SeqCst);
            if thread == 0 || self.notify(thread, pause) {
                return;
            }
            pause = (pause * 2).min(Duration::from_millis(2));
        }
        // A thread that blocks the signal. The flag stands: its next crossing sees it.
    }

    /// Whether the store's guests were stopped.
    pub fn is_killed(&self) -> bool {
        self.activation.is_killed()
    }

    /// A descriptor that is readable once the guests are stopped, for host functions that wait:
    /// poll it beside your own.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.activation.event.descriptor(&self.activation)
    }

    /// Signals the thread and waits for its answer. A thread that is gone runs no guest.
    fn notify(&self, thread: u32, pause: Duration) -> bool {
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        let place = &ANSWERS[ticket as usize % ANSWERS.len()];
        if !sys::interrupt_thread(thread, ticket as usize) {
            return self.activation.thread.load(Ordering::SeqCst) == thread;
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
pub(crate) struct Event {
    descriptor: OnceLock<OwnedFd>,
}

impl Event {
    pub(crate) const fn new() -> Event {
        Event {
            descriptor: OnceLock::new(),
        }
    }

    /// Called after the kill flag was raised.
    fn raise(&self) {
        if let Some(descriptor) = self.descriptor.get() {
            signal(descriptor);
        }
    }

    /// A descriptor that is readable once the activation is killed.
    pub(crate) fn descriptor(&self, activation: &Activation) -> io::Result<BorrowedFd<'_>> {
        if self.descriptor.get().is_none() {
            let flags =
                rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
            // Another thread may have been faster; then this one is closed again.
            let _ = self.descriptor.set(rustix::event::eventfd(0, flags)?);
        }
        let descriptor = self.descriptor.get().ok_or(io::ErrorKind::Other)?;
        // The kill may have come before there was a descriptor to raise.
        std::sync::atomic::fence(Ordering::SeqCst);
        if activation.is_killed() {
            signal(descriptor);
        }
        Ok(descriptor.as_fd())
    }
}

fn signal(descriptor: &OwnedFd) {
    // It can only fail because it was raised already.
    let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
}
