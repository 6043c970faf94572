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
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use precast_abi::trap::TrapCode;

use crate::arch;
use crate::error::Error;
use crate::exception::Exception;
use crate::host::record::HostRecord;
use crate::instantiate::reserve_first;
use crate::interrupt::Event;
use crate::limits::TimeLimits;
use crate::store::StoreCore;
use crate::suspend::Suspend;
use crate::sys;
use crate::trap::Interruption;
use crate::types::FuncType;
use crate::value;
use crate::window::Window;

/// `guest_fp` of an activation whose store runs no guest. Frame pointers are even.
pub(crate) const IDLE: usize = 1;

/// As [`IDLE`], where entries have to mind limits of time, or keyed pages.
pub(crate) const LIMITED: usize = 3;

/// As [`IDLE`], where a guest is suspended.
pub(crate) const SUSPENDED: usize = 5;

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
    /// The register of return addresses then, where the CPU has one and the trap came by none.
    pub(crate) link: usize,
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
    /// The bit, for assembly.
    pub(crate) const fn bit(self) -> u8 {
        self.0
    }

    /// Stopped from outside, for good.
    pub(crate) const KILLED: Reason = Reason(1);
    /// A host function failed: see [`Activation::fail`].
    pub(crate) const PENDING: Reason = Reason(1 << 1);
    /// A limit of time was reached; ends with the outermost entry.
    pub(crate) const STOPPED: Reason = Reason(1 << 2);
    /// The time slice is used up; never while there are nested entries.
    pub(crate) const SLICE: Reason = Reason(1 << 3);
    /// A host function throws: see [`Activation::throw`].
    pub(crate) const THROWN: Reason = Reason(1 << 4);
}

/// Which user of an activation record is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// How a user of an activation record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its guests may run.
    Runs,
    /// They are to stop, this time.
    Stopping,
    /// They are to stop, for good.
    Killed,
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

    pub(crate) fn set(&self, reason: Reason) {
        self.0.fetch_or(reason.0.into(), Ordering::SeqCst);
    }

    pub(crate) fn clear(&self, reason: Reason) {
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
    /// Which pages of a pooled slot may be written; null elsewhere.
    pub(crate) window: *const Window,
}

impl Region {
    /// Which pages of a pooled slot may be written.
    pub(crate) fn window(&self) -> Option<&Window> {
        // SAFETY: a region's window lives as long as the slot, which lives as long as the region.
        unsafe { self.window.as_ref() }
    }
}

/// Why a host function wants the guest to be left.
pub(crate) enum Pending {
    /// It failed.
    Error(Error),
    /// It panicked.
    Panic(Box<dyn Any + Send>),
    /// A runtime function traps.
    Trap(TrapCode),
    /// It will answer later.
    Suspend(Waiting),
    /// It throws. Only between [`Activation::throw`] and [`Activation::take_thrown`].
    Thrown(Exception),
}

/// A host function that will answer later.
pub(crate) struct Waiting {
    /// Its type.
    pub(crate) ty: FuncType,
    /// Itself; lives as long as its store.
    #[allow(dead_code, reason = "read where host functions may be asynchronous")]
    pub(crate) record: *const HostRecord,
    /// Where its results go: cells on the guest's stack, or null where they travel in registers.
    pub(crate) cells: *mut value::Cell,
    /// What it tells whoever started the guest.
    pub(crate) note: Suspend,
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
    /// The guest's registers, where it was left when a host function returned.
    pub(crate) saved: Cell<arch::Saved>,
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
    pub(crate) limits: TimeLimits,
    /// What [`Reason::STOPPED`] stands for.
    stopped_by: Cell<Interruption>,
    /// Whether the outermost entry may be left with its guest suspended.
    resumable: AtomicBool,
    /// The slice was used up while an entry was nested.
    slice_deferred: AtomicBool,
    /// Where a guest that is stopped at any instruction leaves all of its registers.
    pub(crate) registers: UnsafeCell<Option<arch::SignalFrame>>,
    /// Number of the suspension that holds; 0 where there is none.
    pub(crate) suspension: Cell<u64>,
    /// The window with keyed pages of the store's pooled slot; null where there is none.
    keyed: Cell<*const Window>,
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
            saved: Cell::new(arch::Saved::default()),
            core: Cell::new(std::ptr::null_mut()),
            outer: UnsafeCell::new(Vec::new()),
            depth: AtomicU32::new(0),
            pending: UnsafeCell::new(None),
            regions: UnsafeCell::new(Vec::new()),
            event: Event::new(),
            limits: TimeLimits::new(),
            stopped_by: Cell::new(Interruption::Killed),
            resumable: AtomicBool::new(false),
            slice_deferred: AtomicBool::new(false),
            registers: UnsafeCell::new(None),
            suspension: Cell::new(0),
            keyed: Cell::new(std::ptr::null()),
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
    #[inline]
    pub(crate) fn renew(&self) {
        debug_assert!(self.guest_fp.load(Ordering::Relaxed) & 1 == 1);
        self.event.renew(|| self.exit.renew());
        // SAFETY: the caller has the store, which runs no guest.
        let registers = unsafe { (*self.registers.get()).is_some() };
        if registers || self.guest_fp.load(Ordering::Relaxed) != IDLE {
            self.renew_limited();
        }
        self.saved.set(arch::Saved::default());
        self.host_calls.set(0);
        self.landing.set(Landing::default());
        // SAFETY: the caller has the store, which runs no guest.
        let pending = unsafe { &mut *self.pending.get() };
        if pending.is_some() {
            *pending = None;
        }
        debug_assert_eq!(self.depth.load(Ordering::Relaxed), 0);
    }

    /// The part of [`Activation::renew`] for users that had limits of time.
    #[cold]
    fn renew_limited(&self) {
        self.abandon();
        self.wipe_registers();
        self.limits.reset();
        self.guest_fp.store(self.resting(), Ordering::Relaxed);
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
            Standing::Killed
        } else if word & u64::from(Reason::STOPPED.0) != 0 {
            Standing::Stopping
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

    /// Makes the crossing of the host function that calls this throw in the guest.
    #[cold]
    pub(crate) fn throw(&self, exception: Exception) {
        // SAFETY: as in `fail`.
        unsafe { *self.pending.get() = Some(Pending::Thrown(exception)) };
        self.exit.set(Reason::THROWN);
    }

    /// Takes what [`Activation::throw`] left.
    pub(crate) fn take_thrown(&self) -> Option<Exception> {
        if !self.exit.has(Reason::THROWN) {
            return None;
        }
        self.exit.clear(Reason::THROWN);
        // SAFETY: as in `fail`.
        let pending = unsafe { &mut *self.pending.get() };
        match pending.take_if(|pending| matches!(pending, Pending::Thrown(_)))? {
            Pending::Thrown(exception) => Some(exception),
            _ => None,
        }
    }

    /// As a kill from outside: nothing can be called any more.
    pub(crate) fn kill_for_good(&self) {
        self.exit.set(Reason::KILLED);
    }

    /// Forgets regions but the first that was added.
    pub(crate) fn keep_region(&self, start: usize) {
        // SAFETY: as in `add_region`.
        unsafe { &mut *self.regions.get() }.retain(|region| region.start == start);
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

    /// Whether [`Activation::fail`] left something.
    pub(crate) fn has_pending(&self) -> bool {
        self.exit.has(Reason::PENDING)
    }

    /// Takes what [`Activation::fail`] left, if it is a host function that answers later.
    pub(crate) fn take_waiting(&self) -> Option<Waiting> {
        // SAFETY: as in `fail`.
        let pending = unsafe { &mut *self.pending.get() };
        match pending.take_if(|pending| matches!(pending, Pending::Suspend(_)))? {
            Pending::Suspend(waiting) => {
                self.exit.clear(Reason::PENDING);
                Some(waiting)
            }
            _ => None,
        }
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
    fn push_outer(&self, fp: usize) {
        // SAFETY: host code of this store's thread calls this; no one else looks at the vector.
        let outer = unsafe { &mut *self.outer.get() };
        outer.push(fp);
        self.depth.store(outer.len() as u32, Ordering::Relaxed);
    }

    /// That entry is over.
    fn pop_outer(&self) {
        // SAFETY: as in `push_outer`.
        let outer = unsafe { &mut *self.outer.get() };
        outer.pop();
        self.depth.store(outer.len() as u32, Ordering::Relaxed);
    }

    /// Makes the outermost entry end. Called by the signal handler of the thread that runs it.
    pub(crate) fn stop(&self, by: Interruption) {
        self.stopped_by.set(by);
        self.exit.set(Reason::STOPPED);
        self.event.raise();
    }

    /// Whether the guest is to be left for good as soon as may be.
    pub(crate) fn must_stop(&self) -> bool {
        self.exit.has(Reason(Reason::KILLED.0 | Reason::STOPPED.0))
    }

    /// Why the guest was stopped.
    pub(crate) fn interruption(&self) -> Interruption {
        match self.is_killed() {
            true => Interruption::Killed,
            false => self.stopped_by.get(),
        }
    }

    /// Sets whether the outermost entry may be left with its guest suspended.
    pub(crate) fn set_resumable(&self, resumable: bool) {
        self.resumable.store(resumable, Ordering::Relaxed);
    }

    /// Whether it may.
    pub(crate) fn is_resumable(&self) -> bool {
        self.resumable.load(Ordering::Relaxed)
    }

    /// The time slice is used up. Called by the signal handler of the thread that runs the guest.
    pub(crate) fn end_slice(&self) {
        if self.depth() > 0 {
            self.defer_slice(true);
        } else if self.is_resumable() {
            self.exit.set(Reason::SLICE);
        }
    }

    pub(crate) fn defer_slice(&self, deferred: bool) {
        self.slice_deferred.store(deferred, Ordering::Relaxed);
    }

    /// A nested entry begins: the guest below it cannot be suspended.
    pub(crate) fn begin_nested(&self, outer_fp: usize) {
        self.push_outer(outer_fp);
        // From here on the signal handler defers.
        if self.exit.has(Reason::SLICE) {
            self.exit.clear(Reason::SLICE);
            self.defer_slice(true);
        }
    }

    /// It is over.
    pub(crate) fn end_nested(&self) {
        self.pop_outer();
        if self.depth() == 0 && self.slice_deferred.swap(false, Ordering::Relaxed) {
            self.end_slice();
        }
    }

    /// What `guest_fp` is while no guest runs.
    pub(crate) fn resting(&self) -> usize {
        match self.limits.any() || !self.keyed.get().is_null() {
            true => LIMITED,
            false => IDLE,
        }
    }

    /// Says which window of the store has keyed pages, while no guest runs.
    pub(crate) fn set_keyed(&self, window: &Window) {
        self.keyed.set(window);
        self.limits_changed();
    }

    /// None has them any more.
    pub(crate) fn clear_keyed(&self) {
        // A guest that runs is not at rest: who entered it keeps minding.
        self.keyed.set(std::ptr::null());
    }

    /// Whether the store's guest may access keyed pages, if there are any.
    #[inline]
    pub(crate) fn key(&self) -> Option<bool> {
        // SAFETY: the window is that of the store's slot, and lives as long.
        let window = unsafe { self.keyed.get().as_ref() };
        window.map(Window::is_key_open)
    }

    /// The memory has grown over keyed pages. A guest that waits for the caller has the right to them
    /// when it goes on; entries give it to others.
    pub(crate) fn open_key(&self, window: &Window) {
        window.set_key_open(true);
        if self.guest_fp.load(Ordering::Relaxed) & 1 == 0 {
            let _ = sys::keys::switch(true);
        }
    }

    /// To be called when limits were changed, while no guest runs.
    pub(crate) fn limits_changed(&self) {
        let fp = self.guest_fp.load(Ordering::Relaxed);
        assert!(fp & 1 == 1, "limits are changed by whoever has the store");
        if fp != SUSPENDED {
            self.guest_fp.store(self.resting(), Ordering::Relaxed);
        }
    }

    /// Gives up a guest that is suspended, if one is.
    pub(crate) fn abandon(&self) {
        if self.guest_fp.load(Ordering::Relaxed) != SUSPENDED {
            return;
        }
        self.suspension.set(0);
        self.saved.set(arch::Saved::default());
        self.wipe_registers();
        self.guest_fp.store(self.resting(), Ordering::Relaxed);
    }

    fn wipe_registers(&self) {
        // SAFETY: whoever has the store calls this; no guest runs, so no handler uses it.
        if let Some(frame) = unsafe { &mut *self.registers.get() } {
            frame.wipe();
        }
    }

    /// Makes room for the registers of a guest that is stopped at any instruction.
    pub(crate) fn make_room_for_registers(&self) {
        // SAFETY: whoever has the store calls this; no guest runs.
        let frame = unsafe { &mut *self.registers.get() };
        frame.get_or_insert_with(arch::SignalFrame::new);
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
        let window_end = region.window().map_or(0, Window::end);
        (address < region.end.max(region.base).max(window_end)).then_some(region)
    }

    pub(crate) fn add_region(&self, region: Region) {
        // SAFETY: the host calls this with the store borrowed exclusively; no guest runs.
        let regions = unsafe { &mut *self.regions.get() };
        let index = regions.partition_point(|other| other.start < region.start);
        reserve_first(regions, 1);
        regions.insert(index, region);
    }
}
