//! What each thread needs before it may enter a guest: an alternate signal stack, and the bounds
//! of its own stack.
//!
//! # Safety
//!
//! This file holds unsafe code: system calls about the thread's own stacks. The alternate stack is
//! mapped by this file, installed only here, and taken out before it is unmapped.
#![allow(
    unsafe_code,
    reason = "threads hold a pointer to the activation they run"
)]

use std::cell::{Cell, OnceCell};

use crate::activation::Activation;
use crate::arch;
use crate::signals;
use crate::sys::{self, SignalStack};

/// Bytes of its own stack that a thread must have left to enter a guest: host functions called
/// from there need some.
const HOST_ROOM: usize = 128 << 10;

/// State of a thread. Nothing in it needs dropping, so that access is one load from the thread
/// pointer, also in a signal handler.
pub(crate) struct ThreadState {
    /// The activation that this thread runs, the innermost if there are several.
    pub(crate) current: Cell<*const Activation>,
    /// Entering with a stack pointer below this needs a closer look. All ones until the thread is
    /// prepared.
    pub(crate) host_limit: Cell<usize>,
    /// The thread as the kernel numbers it.
    pub(crate) id: Cell<u32>,
    /// Bounds of the thread's own stack; equal where they could not be found.
    stack: Cell<(usize, usize)>,
}

thread_local! {
    static STATE: ThreadState = const {
        ThreadState {
            current: Cell::new(std::ptr::null()),
            host_limit: Cell::new(usize::MAX),
            id: Cell::new(0),
            stack: Cell::new((0, 0)),
        }
    };
    /// Installed while the thread lives.
    static SIGNAL_STACK: OnceCell<SignalStack> = const { OnceCell::new() };
}

/// Too little of the host's stack is left to enter a guest.
pub(crate) struct HostStackUsedUp;

/// Gives access to the state of the current thread.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(&ThreadState) -> R) -> R {
    STATE.with(f)
}

impl ThreadState {
    /// Prepares the thread if that was not done, and checks whether its stack has room.
    #[cold]
    pub(crate) fn check_host_stack(&self) -> Result<(), HostStackUsedUp> {
        if self.host_limit.get() == usize::MAX {
            self.prepare();
        }
        let (low, high) = self.stack.get();
        let sp = arch::stack_pointer();
        // A stack that is not the thread's own (of a coroutine) has bounds that we do not know.
        if (low..high).contains(&sp) && sp < self.host_limit.get() {
            return Err(HostStackUsedUp);
        }
        Ok(())
    }

    fn prepare(&self) {
        signals::install();
        // While the thread is being torn down the cell is gone; the system's default must do then.
        let _ = SIGNAL_STACK.try_with(|stack| {
            stack.get_or_init(SignalStack::install);
        });
        self.id.set(sys::thread_id());
        let (low, high) = sys::stack_bounds().unwrap_or((0, 0));
        self.stack.set((low, high));
        self.host_limit.set(low + HOST_ROOM.min((high - low) / 4));
    }

    /// After a fork: the child's only thread has another number.
    pub(crate) fn renumber(&self) {
        if self.host_limit.get() == usize::MAX {
            return;
        }
        self.id.set(sys::thread_id());
        // SAFETY: an activation that is current on this thread is entered, so it lives.
        if let Some(activation) = unsafe { self.current.get().as_ref() } {
            activation
                .thread
                .store(self.id.get(), std::sync::atomic::Ordering::Relaxed);
        }
    }
}
