//! macOS: threads, their stacks, and signals to them. Part of the contract of [`super`].
//!
//! Nothing of this was ever run: it compiles, and says what the system's manuals say.
//!
//! # Safety
//!
//! Calls of the C library about the calling thread's own stacks, and signals that this process
//! handles. The alternate stack is mapped by this file, installed only here, and taken out before it
//! is unmapped.
#![allow(
    unsafe_code,
    reason = "signal stacks and signals are what this file is for"
)]

use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{Access, Reservation, page_size, round_up_to_page};

unsafe extern "C" {
    /// The number of a thread in this process.
    fn pthread_mach_thread_np(thread: libc::pthread_t) -> u32;
    /// The thread with a number; null where there is none.
    fn pthread_from_mach_thread_np(number: u32) -> libc::pthread_t;
    /// Waits while a word has a value: what the system's own locks are made of.
    fn __ulock_wait(operation: u32, word: *const u32, value: u64, microseconds: u32) -> i32;
    /// Wakes who waits so.
    fn __ulock_wake(operation: u32, word: *const u32, value: u64) -> i32;
}

/// Compare a word of 32 bits, and return errors instead of setting `errno`.
const COMPARE_AND_WAIT: u32 = 1 | 0x0100_0000;

/// The current thread as the process numbers it. Fit for a signal handler.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: asks for the number of the calling thread.
    unsafe { pthread_mach_thread_np(libc::pthread_self()) }
}

/// Lowest and past-the-end address of the current thread's own stack.
pub(crate) fn stack_bounds() -> Option<(usize, usize)> {
    // SAFETY: asks about the calling thread.
    let (high, len) = unsafe {
        let thread = libc::pthread_self();
        let high = libc::pthread_get_stackaddr_np(thread).addr();
        (high, libc::pthread_get_stacksize_np(thread))
    };
    Some((high.checked_sub(len)?, high))
}

/// An alternate signal stack of the current thread. Dropped on the same thread.
#[derive(Debug)]
pub(crate) struct SignalStack {
    mapping: Option<Reservation>,
}

/// Twice what the system calls usual; previous handlers that we pass signals on to need room too.
const SIGNAL_STACK: usize = 2 * libc::SIGSTKSZ;

impl SignalStack {
    /// Makes and installs one. Where the system refuses, the thread keeps what it had.
    pub(crate) fn install() -> SignalStack {
        let guard = page_size();
        let size = round_up_to_page(SIGNAL_STACK).unwrap_or(SIGNAL_STACK);
        let mapping = Reservation::new(guard + size).ok().filter(|mapping| {
            // SAFETY: the mapping is new: no one uses it.
            unsafe { mapping.protect(guard..guard + size, Access::ReadWrite) }.is_ok()
                && set_signal_stack(mapping.base().addr().get() + guard, size)
        });
        SignalStack { mapping }
    }
}

/// Whether the kernel took it. The memory must be the caller's until another stack is set.
fn set_signal_stack(start: usize, size: usize) -> bool {
    let stack = libc::stack_t {
        ss_sp: std::ptr::with_exposed_provenance_mut(start),
        ss_flags: 0,
        ss_size: size,
    };
    // SAFETY: tells the kernel about memory that it uses only while a signal is delivered.
    unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) == 0 }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let Some(mapping) = &self.mapping else { return };
        // SAFETY: plain data.
        let mut current: libc::stack_t = unsafe { std::mem::zeroed() };
        let none = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: libc::MINSIGSTKSZ,
        };
        // SAFETY: asks and tells the kernel about this thread; someone else's stack stays.
        unsafe {
            libc::sigaltstack(std::ptr::null(), &mut current);
            if current.ss_sp.addr() == mapping.base().addr().get() + page_size() {
                libc::sigaltstack(&none, std::ptr::null_mut());
            }
        }
    }
}

/// The signal that makes a thread look whether it is to leave its guest. Ignored by default, so
/// that one that comes late does no harm.
pub(crate) const INTERRUPT: libc::c_int = libc::SIGURG;

/// What the last signal to a thread is to tell it, as the signal cannot: by the thread's number. Two
/// threads may share a place, and a later signal takes that of an earlier one: whoever waits for an
/// answer asks again.
static TICKETS: [(AtomicU32, AtomicU64); 64] =
    [const { (AtomicU32::new(0), AtomicU64::new(0)) }; 64];

/// Sends [`INTERRUPT`] with `value` to a thread of this process. `false` where it is gone.
pub(crate) fn interrupt_thread(thread: u32, value: usize) -> bool {
    if value != 0 {
        let (whose, ticket) = &TICKETS[thread as usize % TICKETS.len()];
        ticket.store(value as u64, Ordering::Relaxed);
        whose.store(thread, Ordering::Release);
    }
    // SAFETY: sends a signal that this process handles, to a thread that is there or not.
    unsafe {
        let thread = pthread_from_mach_thread_np(thread);
        thread != 0 && libc::pthread_kill(thread, INTERRUPT) != libc::ESRCH
    }
}

/// The value that came with [`INTERRUPT`], where it is from [`interrupt_thread`]. Fit for a signal
/// handler.
pub(crate) fn ticket(info: &libc::siginfo_t) -> Option<u64> {
    if info.si_pid != std::process::id() as libc::pid_t {
        return None;
    }
    let own = thread_id();
    let (whose, ticket) = &TICKETS[own as usize % TICKETS.len()];
    match whose.load(Ordering::Acquire) == own {
        true => Some(ticket.swap(0, Ordering::Relaxed)),
        false => Some(0),
    }
}

/// What a signal says of an access to memory that was refused; `None` for other signals. Fit for a
/// signal handler.
///
/// The system sends `SIGBUS` for pages that may not be accessed so, and `SIGSEGV` where there are none.
pub(crate) fn refused_access(signal: libc::c_int, _code: libc::c_int) -> Option<super::Refused> {
    match signal {
        libc::SIGBUS => Some(super::Refused::Forbidden),
        libc::SIGSEGV => Some(super::Refused::Absent),
        _ => None,
    }
}

/// Whether a process has sent a signal, where no instruction raised it: the codes that `kill` and its
/// like give.
pub(crate) fn was_sent(info: &libc::siginfo_t) -> bool {
    info.si_code <= 0 || (0x1_0001..=0x1_0007).contains(&info.si_code)
}

/// The unwinder takes one frame description at a time.
pub(crate) const UNWINDER_TAKES_ENTRIES: bool = true;

/// There is no such call: each thread passes a barrier of its own.
pub(crate) fn sync_threads() -> bool {
    false
}

/// Nanoseconds of the clock that [`std::time::Instant`] reads. Fit for a signal handler.
pub(crate) fn monotonic() -> u64 {
    clock(libc::CLOCK_UPTIME_RAW)
}

/// Nanoseconds that the calling thread has spent on a CPU. Fit for a signal handler.
pub(crate) fn thread_cpu_time() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to the structure.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec as u64)
}

/// Sleeps until `word` is no longer `value`, someone calls [`wake_one`], or the time is over.
pub(crate) fn wait_while(word: &AtomicU32, value: u32, time: Option<Duration>) {
    // 0 waits for ever; what is longer than an hour is looked at again after that.
    let microseconds = time.map_or(0, |time| time.as_micros().clamp(1, 3_600_000_000) as u32);
    // SAFETY: the word lives, and the kernel only reads it. Whatever ends it, the caller looks again.
    unsafe { __ulock_wait(COMPARE_AND_WAIT, word.as_ptr(), value.into(), microseconds) };
}

/// Wakes a thread that waits for `word` to change.
pub(crate) fn wake_one(word: &AtomicU32) {
    // SAFETY: the address only names who waits.
    unsafe { __ulock_wake(COMPARE_AND_WAIT, word.as_ptr(), 0) };
}

/// Makes no signal of the process come to the calling thread.
pub(crate) fn be_a_watchdog() {
    // SAFETY: settings of the calling thread; the set is filled in before it is used.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}

/// What the kernel looks at of a set of signals.
pub(crate) type SignalMask = u32;

/// A descriptor that is readable once it is raised: a queue of events with one event in it.
pub(crate) fn new_event(raised: bool) -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor, which is ours alone.
    let queue = unsafe {
        match libc::kqueue() {
            -1 => return Err(io::Error::last_os_error()),
            queue => OwnedFd::from_raw_fd(queue),
        }
    };
    change_event(&queue, libc::EV_ADD | libc::EV_CLEAR, 0)?;
    if raised {
        raise_event(&queue);
    }
    Ok(queue)
}

/// Makes it readable.
pub(crate) fn raise_event(queue: &OwnedFd) {
    // It can only fail because there is no memory.
    let _ = change_event(queue, 0, libc::NOTE_TRIGGER);
}

/// Makes it not readable any more.
pub(crate) fn lower_event(queue: &OwnedFd) {
    // What is added anew has not happened yet.
    let _ = change_event(queue, libc::EV_DELETE, 0);
    let _ = change_event(queue, libc::EV_ADD | libc::EV_CLEAR, 0);
}

fn change_event(queue: &OwnedFd, flags: u16, fflags: u32) -> io::Result<()> {
    let change = libc::kevent {
        ident: 1,
        filter: libc::EVFILT_USER,
        flags,
        fflags,
        data: 0,
        udata: std::ptr::null_mut(),
    };
    // SAFETY: one change, and no events to write anywhere.
    let done = unsafe {
        let nowhere = std::ptr::null_mut();
        libc::kevent(queue.as_raw_fd(), &change, 1, nowhere, 0, std::ptr::null())
    };
    match done {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
