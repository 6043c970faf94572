//! What each thread needs before it may enter a guest: a record that others can find, an alternate
//! signal stack, and the bounds of its own stack.
//!
//! # Safety
//!
//! This file holds unsafe code. Records are allocated once, linked into a list that only grows, and
//! used again by later threads: whoever finds one may read its atomic fields for ever. The fields
//! of a record are written by the thread that has it, and by no other.
#![allow(
    unsafe_code,
    reason = "threads hold a pointer to the activation they run"
)]

use std::cell::{Cell, OnceCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::activation::Activation;
use crate::arch;
use crate::limits::Armed;
use crate::signals;
use crate::sys::{self, SignalStack};

/// Bytes of its own stack that a thread must have left to enter a guest: host functions called
/// from there need some.
const HOST_ROOM: usize = 128 << 10;

/// What others may want to know of a thread, and what it must know itself to enter a guest.
pub(crate) struct ThreadRecord {
    /// The activation that the thread runs, the innermost if there are several.
    pub(crate) current: AtomicPtr<Activation>,
    /// Entering with a stack pointer below this needs a closer look. All ones until the thread is
    /// prepared.
    pub(crate) host_limit: AtomicUsize,
    /// The thread as the kernel numbers it; 0 where no thread has the record.
    pub(crate) id: AtomicU32,
    /// When the watchdog is to signal the thread, see [`crate::limits::Moment`].
    pub(crate) wake: AtomicU64,
    /// The entries that have a limit of time, the innermost first.
    pub(crate) armed: AtomicPtr<Armed>,
    /// Bounds of the thread's own stack; equal where they could not be found.
    stack: [AtomicUsize; 2],
    taken: AtomicBool,
    next: AtomicPtr<ThreadRecord>,
}

/// What threads have that were not prepared yet. Nobody writes to it.
static UNPREPARED: ThreadRecord = ThreadRecord::new();

static RECORDS: AtomicPtr<ThreadRecord> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// Needs no dropping, so that access is one load from the thread pointer, also in a signal
    /// handler.
    static RECORD: Cell<&'static ThreadRecord> = const { Cell::new(&UNPREPARED) };
    /// Installed while the thread lives.
    static PREPARED: OnceCell<Prepared> = const { OnceCell::new() };
}

/// Too little of the host's stack is left to enter a guest.
pub(crate) struct HostStackUsedUp;

/// The record of the current thread.
#[inline(always)]
pub(crate) fn record() -> &'static ThreadRecord {
    RECORD.with(Cell::get)
}

/// The records of all threads, of those that are gone too.
pub(crate) fn records() -> impl Iterator<Item = &'static ThreadRecord> {
    let follow = |link: &AtomicPtr<ThreadRecord>| {
        // SAFETY: records are never freed.
        unsafe { link.load(Ordering::Acquire).as_ref() }
    };
    std::iter::successors(follow(&RECORDS), move |record| follow(&record.next))
}

impl ThreadRecord {
    const fn new() -> ThreadRecord {
        ThreadRecord {
            current: AtomicPtr::new(std::ptr::null_mut()),
            host_limit: AtomicUsize::new(usize::MAX),
            id: AtomicU32::new(0),
            wake: AtomicU64::new(u64::MAX),
            armed: AtomicPtr::new(std::ptr::null_mut()),
            stack: [const { AtomicUsize::new(0) }; 2],
            taken: AtomicBool::new(false),
            next: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Makes `activation` the one that the thread runs; says which one was.
    #[inline(always)]
    pub(crate) fn replace_current(&self, activation: *const Activation) -> *const Activation {
        let outer = self.current.load(Ordering::Relaxed);
        // Release: who finds it here may look into it.
        self.current.store(activation.cast_mut(), Ordering::Release);
        outer
    }

    /// Undoes [`ThreadRecord::replace_current`].
    #[inline(always)]
    pub(crate) fn restore_current(&self, outer: *const Activation) {
        self.current.store(outer.cast_mut(), Ordering::Relaxed);
    }

    /// A record that no thread has.
    fn take() -> &'static ThreadRecord {
        let free = records().find(|record| !record.taken.swap(true, Ordering::Acquire));
        free.unwrap_or_else(|| {
            let record: &'static ThreadRecord = Box::leak(Box::new(ThreadRecord::new()));
            record.taken.store(true, Ordering::Relaxed);
            let mut first = RECORDS.load(Ordering::Relaxed);
            loop {
                record.next.store(first, Ordering::Relaxed);
                let link = NonNull::from(record).as_ptr();
                match RECORDS.compare_exchange(first, link, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => return record,
                    Err(other) => first = other,
                }
            }
        })
    }

    fn give_back(&self) {
        self.current.store(std::ptr::null_mut(), Ordering::Relaxed);
        self.armed.store(std::ptr::null_mut(), Ordering::Relaxed);
        self.wake.store(u64::MAX, Ordering::Relaxed);
        self.id.store(0, Ordering::Relaxed);
        self.taken.store(false, Ordering::Release);
    }

    /// Checks whether the thread's stack has room.
    fn check_host_stack(&self) -> Result<(), HostStackUsedUp> {
        let [low, high] = [0, 1].map(|end: usize| self.stack[end].load(Ordering::Relaxed));
        let sp = arch::stack_pointer();
        // A stack that is not the thread's own (of a coroutine) has bounds that we do not know.
        if (low..high).contains(&sp) && sp < self.host_limit.load(Ordering::Relaxed) {
            return Err(HostStackUsedUp);
        }
        Ok(())
    }
}

/// What a prepared thread gives back when it ends.
struct Prepared {
    record: &'static ThreadRecord,
    _stack: SignalStack,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        RECORD.set(&UNPREPARED);
        self.record.give_back();
    }
}

/// Prepares the thread if that was not done, and checks whether its stack has room.
#[cold]
pub(crate) fn prepared() -> Result<&'static ThreadRecord, HostStackUsedUp> {
    if record().id.load(Ordering::Relaxed) == 0 {
        prepare()?;
    }
    record().check_host_stack().map(|()| record())
}

/// Fails while the thread is being torn down and what it had is gone: a guest could not be stopped at
/// the end of its stack then.
fn prepare() -> Result<(), HostStackUsedUp> {
    signals::install();
    let record = ThreadRecord::take();
    record.id.store(sys::thread_id(), Ordering::Relaxed);
    let (low, high) = sys::stack_bounds().unwrap_or((0, 0));
    record.stack[0].store(low, Ordering::Relaxed);
    record.stack[1].store(high, Ordering::Relaxed);
    let limit = low + HOST_ROOM.min((high - low) / 4);
    record.host_limit.store(limit, Ordering::Relaxed);
    let mut is_new = false;
    let kept = PREPARED.try_with(|prepared| {
        prepared.get_or_init(|| {
            is_new = true;
            Prepared {
                record,
                _stack: SignalStack::install(),
            }
        });
    });
    if kept.is_err() || !is_new {
        record.give_back();
        return Err(HostStackUsedUp);
    }
    RECORD.set(record);
    Ok(())
}

/// After a fork: the child's only thread has another number, and all others are gone.
pub(crate) fn after_fork() {
    crate::watchdog::after_fork();
    let own = record();
    for record in records() {
        if std::ptr::eq(record, own) {
            record.id.store(sys::thread_id(), Ordering::Relaxed);
        } else {
            record.give_back();
        }
    }
}
