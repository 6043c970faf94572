//! The activation record: what belongs to running one store's guests.
//!
//! # Safety
//!
//! This file holds unsafe code. An [`Activation`] is shared between the thread that runs the
//! store's guests, that thread's signal handler, the assembly in [`crate::arch`], and interrupt
//! handles on other threads. The rule: other threads touch `exit`, `guest_fp` and `event` only (the
//! first two atomic, the third with a lock of its own); everything else belongs to whoever has the
//! store exclusively, and to the signal handler only while this store's guest, or a host function
//! that it called, is what it interrupted.
#![allow(
    unsafe_code,
    reason = "activation records are shared with assembly and signal handlers"
)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use precast_abi::trap::TrapCode;

use crate::error::Error;
use crate::interrupt::Event;
use crate::store::StoreCore;

/// `guest_fp` of an activation whose store runs no guest. Frame pointers are even.
pub(crate) const IDLE: usize = 1;

/// What a trap leaves behind for whoever entered the guest.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Landing {
    /// Instruction that trapped; 0 where the trap came by a call.
    pub(crate) pc: usize,
    /// Frame pointer then.
    pub(crate) fp: usize,
    /// Stack pointer then; 0 where the trap came by a call.
    pub(crate) sp: usize,
    /// A [`TrapCode`].
    pub(crate) code: u32,
}

/// Reasons to leave the guest at the next chance, and whose they are.
///
/// One 64-bit word. The lowest byte holds the reasons, and is what the crossings look at; the
/// others count the users that the record has had, so that a request meant for one of them
/// never reaches the next.
#[repr(transparent)]
pub(crate) struct Exit(AtomicU64);

/// A bit of [`Exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason(u8);

impl Reason {
    /// Stopped from outside, for good.
    pub(crate) const KILLED: Reason = Reason(1);
    /// A host function failed: see [`Activation::fail`].
    pub(crate) const PENDING: Reason = Reason(1 << 1);
}

/// Which user of an activation record is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// How a user of an activation record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its guests may run.
    Runs,
    /// They are to stop.
    Stopped,
    /// There is another user by now.
    Over,
}

const GENERATION_SHIFT: u32 = 8;

impl Exit {
    const fn new() -> Exit {
        Exit(AtomicU64::new(0))
    }

    pub(crate) fn has(&self, reason: Reason) -> bool {
        self.0.load(Ordering::Acquire) & u64::from(reason.0) != 0
    }

    fn generation(&self) -> Generation {
        Generation(self.0.load(Ordering::Acquire) >> GENERATION_SHIFT)
    }

    fn set(&self, reason: Reason) {
        self.0.fetch_or(reason.0.into(), Ordering::SeqCst);
    }

    fn clear(&self, reason: Reason) {
        self.0.fetch_and(!u64::from(reason.0), Ordering::SeqCst);
    }

    /// Sets it for `generation`; `false` where that is over.
    fn set_for(&self, generation: Generation, reason: Reason) -> bool {
        let set = |word: u64| {
            (word >> GENERATION_SHIFT == generation.0).then_some(word | u64::from(reason.0))
        };
        (self.0)
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, set)
            .is_ok()
    }

    /// The next generation begins, without any reason to leave.
    fn renew(&self) {
        let next = (self.0.load(Ordering::Relaxed) >> GENERATION_SHIFT) + 1;
        // What another thread has set meanwhile was meant for the generation that ends here.
        self.0.store(next << GENERATION_SHIFT, Ordering::Release);
    }
}

/// One contiguous slot of an instance, as the signal handler and backtraces need to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// First byte of the reservation: the guard below the stack.
    pub(crate) start: usize,
    /// First byte of the guest stack: the guard ends here.
    pub(crate) stack: usize,
    /// First byte past the guest stack: instance data begins here.
    pub(crate) stack_top: usize,
    /// Instance base.
    pub(crate) base: usize,
    /// First byte past what generated code may touch: reservation and guard of memory 0. Equal to
    /// `base` where every access is checked.
    pub(crate) end: usize,
}

/// Why a host function wants the guest to be left.
pub(crate) enum Pending {
    /// It failed.
    Error(Error),
    /// It panicked.
    Panic(Box<dyn Any + Send>),
    /// A runtime function traps.
    Trap(TrapCode),
}

/// See the file's documentation. The assembly knows the first fields by their offsets.
#[repr(C)]
pub(crate) struct Activation {
    /// The host's stack pointer to return to, when a guest runs or has called out.
    pub(crate) host_sp: Cell<usize>,
    /// 0 while guest code runs; the guest's frame pointer while it has called out; odd when there
    /// is none.
    pub(crate) guest_fp: AtomicUsize,
    pub(crate) exit: Exit,
    /// How often guests have called host functions.
    pub(crate) host_calls: Cell<u64>,
    pub(crate) landing: Cell<Landing>,
    core: Cell<*mut StoreCore>,
    /// Frame pointers of the guest code that waits for nested entries, outermost first. The
    /// innermost of them is `guest_fp` while the nested guest has called out itself.
    outer: UnsafeCell<Vec<usize>>,
    /// How many there are in `outer`, for the signal handler.
    depth: AtomicU32,
    pending: UnsafeCell<Option<Pending>>,
    /// Ascending. Changed only by the host, never while guest code of the store runs.
    pub(crate) regions: UnsafeCell<Vec<Region>>,
    /// Raised when killed, for host functions that block.
    pub(crate) event: Event,
}

// SAFETY: the file's rule says which fields other threads use, and those are atomic or locked.
unsafe impl Send for Activation {}
// SAFETY: as above.
unsafe impl Sync for Activation {}

impl Activation {
    pub(crate) fn new() -> Activation {
        Activation {
            host_sp: Cell::new(0),
            guest_fp: AtomicUsize::new(IDLE),
            exit: Exit::new(),
            host_calls: Cell::new(0),
            landing: Cell::new(Landing::default()),
            core: Cell::new(std::ptr::null_mut()),
            outer: UnsafeCell::new(Vec::new()),
            depth: AtomicU32::new(0),
            pending: UnsafeCell::new(None),
            regions: UnsafeCell::new(Vec::new()),
            event: Event::new(),
        }
    }

    /// Called once, before the store is used.
    pub(crate) fn set_core(&self, core: NonNull<StoreCore>) {
        self.core.set(core.as_ptr());
    }

    /// The store. Never null once it is set; valid as long as instances and host functions of it can be reached.
    #[inline]
    pub(crate) fn core(&self) -> NonNull<StoreCore> {
        debug_assert!(!self.core.get().is_null());
        // SAFETY: set when the store is made, before anything can ask for it.
        unsafe { NonNull::new_unchecked(self.core.get()) }
    }

    /// Makes the record fit for the next user of a store: whatever the one before asked for or left
    /// behind is gone, and interrupt handles of before reach nobody. The store must be the caller's
    /// exclusively, and run no guest. Keeps the regions.
    ///
    /// A system call only where something has waited for the event and it was raised.
    #[allow(dead_code, reason = "for stores that are used again")]
    #[inline]
    pub(crate) fn renew(&self) {
        debug_assert!(self.guest_fp.load(Ordering::Relaxed) & 1 == 1);
        self.event.renew(|| self.exit.renew());
        self.guest_fp.store(IDLE, Ordering::Relaxed);
        self.host_calls.set(0);
        self.landing.set(Landing::default());
        // SAFETY: the caller has the store, which runs no guest.
        let pending = unsafe { &mut *self.pending.get() };
        if pending.is_some() {
            *pending = None;
        }
        debug_assert_eq!(self.depth.load(Ordering::Relaxed), 0);
    }

    /// The user that the record has now.
    pub(crate) fn generation(&self) -> Generation {
        self.exit.generation()
    }

    /// How `generation` stands.
    pub(crate) fn standing(&self, generation: Generation) -> Standing {
        // One load: what is read of the next user says nothing of this one.
        let word = self.exit.0.load(Ordering::Acquire);
        if word >> GENERATION_SHIFT != generation.0 {
            Standing::Over
        } else if word & u64::from(Reason::KILLED.0) != 0 {
            Standing::Stopped
        } else {
            Standing::Runs
        }
    }

    /// Whether the store's guests were stopped from outside.
    pub(crate) fn is_killed(&self) -> bool {
        self.exit.has(Reason::KILLED)
    }

    /// Stops the guests of `generation` at their next crossing, and raises the event. `false` where
    /// that user is gone.
    pub(crate) fn kill(&self, generation: Generation) -> bool {
        self.event
            .raise_if(|| self.exit.set_for(generation, Reason::KILLED))
    }

    /// Makes the guest be left with `pending` when the host function or runtime function that
    /// calls this returns.
    #[cold]
    pub(crate) fn fail(&self, pending: Pending) {
        // SAFETY: host code of this store's thread calls this; no one else looks at the field.
        unsafe { *self.pending.get() = Some(pending) };
        self.exit.set(Reason::PENDING);
    }

    /// Takes what [`Activation::fail`] left.
    pub(crate) fn take_pending(&self) -> Option<Pending> {
        if !self.exit.has(Reason::PENDING) {
            return None;
        }
        self.exit.clear(Reason::PENDING);
        // SAFETY: as in `fail`.
        unsafe { (*self.pending.get()).take() }
    }

    /// Makes the guest trap when the runtime function that calls this returns.
    pub(crate) fn fail_with_trap(&self, code: TrapCode) {
        self.fail(Pending::Trap(code));
    }

    /// Frame pointers of the guest code that waits for nested entries, outermost first.
    pub(crate) fn outer_frames(&self) -> Vec<usize> {
        // SAFETY: host code of this store's thread calls this.
        unsafe { (*self.outer.get()).clone() }
    }

    /// How many entries wait for another.
    pub(crate) fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    /// The guest code at `fp` waits for an entry.
    pub(crate) fn push_outer(&self, fp: usize) {
        // SAFETY: host code of this store's thread calls this; no one else looks at the vector.
        let outer = unsafe { &mut *self.outer.get() };
        outer.push(fp);
        self.depth.store(outer.len() as u32, Ordering::Relaxed);
    }

    /// That entry is over.
    pub(crate) fn pop_outer(&self) {
        // SAFETY: as in `push_outer`.
        let outer = unsafe { &mut *self.outer.get() };
        outer.pop();
        self.depth.store(outer.len() as u32, Ordering::Relaxed);
    }

    /// The slot that holds `address`, its guards included.
    pub(crate) fn region_of(&self, address: usize) -> Option<Region> {
        // SAFETY: host code of this store's thread, or the signal handler that interrupted guest
        // code of this store, calls this: the vector does not change meanwhile.
        let regions = unsafe { &*self.regions.get() };
        let index = regions
            .partition_point(|region| region.start <= address)
            .checked_sub(1)?;
        let region = regions[index];
        (address < region.end.max(region.base)).then_some(region)
    }

    pub(crate) fn add_region(&self, region: Region) {
        // SAFETY: the host calls this with the store borrowed exclusively; no guest runs.
        let regions = unsafe { &mut *self.regions.get() };
        let index = regions.partition_point(|other| other.start < region.start);
        regions.insert(index, region);
    }
}
