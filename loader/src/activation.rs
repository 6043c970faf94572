//! The activation record: what belongs to running one store's guests, and the way in and out.
//!
//! # Safety
//!
//! This file holds unsafe code. An [`Activation`] is shared between the thread that runs the
//! store's guests, that thread's signal handler, the assembly in [`crate::arch`], and interrupt
//! handles on other threads. The rule: other threads touch `exit.killed` and `thread` only (both
//! atomic); everything else belongs to whoever has the store exclusively, and to the signal
//! handler only while guest code of this store is what it interrupted.
#![allow(
    unsafe_code,
    reason = "activation records are shared with assembly and signal handlers"
)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use precast_abi::trap::TrapCode;

use crate::arch;
use crate::backtrace;
use crate::error::Error;
use crate::instantiate::reserve_first;
use crate::store::StoreCore;
use crate::thread::{self, ThreadState};
use crate::trap::{Backtrace, Trap};
use crate::value;
use crate::window::Window;

/// `guest_fp` of an activation whose store runs no guest.
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

/// Reasons to leave the guest at the next chance; read as one 32-bit word by the crossings.
#[repr(C, align(4))]
pub(crate) struct Exit {
    /// Stopped from outside, for good.
    pub(crate) killed: AtomicU8,
    /// A host function failed: see [`Activation::pending`].
    pub(crate) pending: AtomicU8,
    zero: [u8; 2],
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
}

/// See the file's documentation. The assembly knows the first fields by their offsets.
#[repr(C)]
pub(crate) struct Activation {
    /// The host's stack pointer to return to, when a guest runs or has called out.
    pub(crate) host_sp: Cell<usize>,
    /// 0 while guest code runs; the guest's frame pointer while it has called out; [`IDLE`].
    pub(crate) guest_fp: AtomicUsize,
    pub(crate) exit: Exit,
    /// The thread that entered last, as the kernel numbers it; 0 where no guest runs.
    pub(crate) thread: AtomicU32,
    pub(crate) landing: Cell<Landing>,
    core: Cell<*mut StoreCore>,
    /// Frame pointers of the guest code that waits for nested entries, outermost first. The
    /// innermost of them is `guest_fp` while the nested guest has called out itself.
    outer: UnsafeCell<Vec<usize>>,
    pub(crate) pending: UnsafeCell<Option<Pending>>,
    /// Ascending. Changed only by the host, never while guest code of the store runs.
    pub(crate) regions: UnsafeCell<Vec<Region>>,
    /// Raised when killed, for host functions that block.
    pub(crate) event: crate::interrupt::Event,
}

// SAFETY: the file's rule says which fields other threads use, and those are atomic.
unsafe impl Send for Activation {}
// SAFETY: as above.
unsafe impl Sync for Activation {}

impl Activation {
    pub(crate) fn new() -> Activation {
        Activation {
            host_sp: Cell::new(0),
            guest_fp: AtomicUsize::new(IDLE),
            exit: Exit {
                killed: AtomicU8::new(0),
                pending: AtomicU8::new(0),
                zero: [0; 2],
            },
            thread: AtomicU32::new(0),
            landing: Cell::new(Landing::default()),
            core: Cell::new(std::ptr::null_mut()),
            outer: UnsafeCell::new(Vec::new()),
            pending: UnsafeCell::new(None),
            regions: UnsafeCell::new(Vec::new()),
            event: crate::interrupt::Event::new(),
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

    /// Whether the store's guests were stopped from outside.
    pub(crate) fn is_killed(&self) -> bool {
        self.exit.killed.load(Ordering::Acquire) != 0
    }

    /// Makes the guest be left with `pending` when the host function or runtime function that
    /// calls this returns.
    pub(crate) fn fail(&self, pending: Pending) {
        // SAFETY: host code of this store's thread calls this; no one else looks at the field.
        unsafe { *self.pending.get() = Some(pending) };
        self.exit.pending.store(1, Ordering::Relaxed);
    }

    /// Forgets everything about the user before: for a pooled store that is used again.
    pub(crate) fn renew(&self) {
        self.exit.killed.store(0, Ordering::Relaxed);
        drop(self.take_pending());
        self.landing.set(Landing::default());
    }

    /// As a kill from outside: nothing can be called any more.
    pub(crate) fn kill_for_good(&self) {
        self.exit.killed.store(1, Ordering::SeqCst);
    }

    /// Forgets regions but the first that was added.
    pub(crate) fn keep_region(&self, start: usize) {
        // SAFETY: as in `add_region`.
        unsafe { &mut *self.regions.get() }.retain(|region| region.start == start);
    }

    /// Takes what [`Activation::fail`] left.
    pub(crate) fn take_pending(&self) -> Option<Pending> {
        self.exit.pending.store(0, Ordering::Relaxed);
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
    // SAFETY: the caller has the store; the activation lives as long, behind an `Arc`.
    let activation: &Activation = unsafe { &*Arc::as_ptr(&(*core.as_ptr()).activation) };
    let nested = activation.guest_fp.load(Ordering::Relaxed) != IDLE;
    let status = thread::with(|thread| {
        if nested || arch::stack_pointer() < thread.host_limit.get() {
            // SAFETY: the caller's promise.
            return unsafe { invoke_with_care(activation, thread, entry, values) };
        }
        let outer = arch::Outer {
            host_sp: 0,
            guest_fp: IDLE,
        };
        // SAFETY: the caller vouches for `entry` and `values`; no guest is on the stack; the
        // thread is prepared.
        let status = unsafe { enter(activation, thread, entry, entry.stack_top, outer, values) };
        activation.thread.store(0, Ordering::Relaxed);
        status
    });
    if status == arch::RETURNED {
        Ok(())
    } else {
        Err(landed(activation, status))
    }
}

/// As [`invoke`], for a function whose parameters are integers or references and travel in
/// registers: `ints` begins with them, and the result is left in registers or, as an integer,
/// taken from `values` where there is one.
///
/// # Safety
///
/// As [`invoke`], and `ints` must begin with what `values` holds.
#[inline(always)]
pub(crate) unsafe fn invoke_direct(
    core: NonNull<StoreCore>,
    entry: &Entry,
    ints: [u64; arch::DIRECT_PARAMS],
    values: *mut value::Cell,
    has_result: bool,
) -> Result<(u64, f64), Error> {
    // SAFETY: the caller has the store; the activation lives as long, behind an `Arc`.
    let activation: &Activation = unsafe { &*Arc::as_ptr(&(*core.as_ptr()).activation) };
    let nested = activation.guest_fp.load(Ordering::Relaxed) != IDLE;
    let returned = thread::with(|thread| {
        if nested || arch::stack_pointer() < thread.host_limit.get() {
            // SAFETY: the caller's promise; a function that returned has written its result.
            unsafe {
                let status = invoke_with_care(activation, thread, entry, values);
                let wrote = has_result && status == arch::RETURNED;
                let bits = if wrote { (*values).0[0] } else { 0 };
                return arch::Returned {
                    status,
                    int: bits,
                    float: f64::from_bits(bits),
                };
            }
        }
        let current = thread.current.replace(activation);
        activation.thread.store(thread.id.get(), Ordering::Relaxed);
        // SAFETY: the caller vouches for `entry` and `ints`; no guest is on the stack; the thread
        // is prepared, and the activation has just become current.
        let returned = unsafe { arch::enter_direct(activation, entry, ints) };
        thread.current.set(current);
        activation.thread.store(0, Ordering::Relaxed);
        returned
    });
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
    thread: &ThreadState,
    entry: &Entry,
    stack_top: usize,
    outer: arch::Outer,
    values: *mut value::Cell,
) -> u64 {
    let current = thread.current.replace(activation);
    activation.thread.store(thread.id.get(), Ordering::Relaxed);
    // SAFETY: the caller's promise; the activation has just become current.
    let status = unsafe {
        let Entry {
            stub,
            context,
            code,
            ..
        } = *entry;
        arch::enter(activation, stub, context, code, values, stack_top, outer)
    };
    thread.current.set(current);
    status
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
    thread: &ThreadState,
    entry: &Entry,
    values: *mut value::Cell,
) -> u64 {
    let outer_fp = activation.guest_fp.load(Ordering::Relaxed);
    let nested = outer_fp != IDLE;
    let stack_top = match thread.check_host_stack() {
        Ok(()) if nested => nested_stack(activation, outer_fp),
        Ok(()) => Ok(entry.stack_top),
        Err(thread::HostStackUsedUp) => {
            let backtrace = backtrace::of_callers(activation, outer_fp);
            Err(Trap::new(TrapCode::StackOverflow, backtrace).into())
        }
    };
    let stack_top = match stack_top {
        Ok(stack_top) => stack_top,
        Err(error) => {
            activation.fail(Pending::Error(error));
            return arch::LEFT;
        }
    };
    let outer = arch::Outer {
        host_sp: activation.host_sp.get(),
        guest_fp: outer_fp,
    };
    // SAFETY: the caller vouches for `entry` and `values`; the stack was chosen, and the thread
    // prepared, above.
    let status = unsafe { enter(activation, thread, entry, stack_top, outer, values) };
    if nested {
        nested_done(activation);
    } else {
        activation.thread.store(0, Ordering::Relaxed);
    }
    status
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
    // SAFETY: host code of this store's thread runs this; no one else looks at the vector.
    let outer = unsafe { &mut *activation.outer.get() };
    if top - region.stack.min(top) < ROOM || outer.len() >= max_depth as usize {
        let backtrace = backtrace::of_callers(activation, outer_fp);
        return Err(Trap::new(TrapCode::StackOverflow, backtrace).into());
    }
    outer.push(outer_fp);
    Ok(top)
}

fn nested_done(activation: &Activation) {
    // SAFETY: as in `nested_stack`.
    unsafe { (*activation.outer.get()).pop() };
}

/// Turns what the guest left behind into an error, or resumes a host function's panic.
#[cold]
fn landed(activation: &Activation, status: u64) -> Error {
    if status == arch::TRAPPED {
        let landing = activation.landing.get();
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
    Trap::new(
        code,
        backtrace::of_landing(activation, activation.landing.get()),
    )
    .into()
}
