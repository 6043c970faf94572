//! Linux: threads, their stacks, and signals to them. Part of the contract of [`super`].
//!
//! # Safety
//!
//! System calls about the calling thread's own stacks, and signals that this process handles. The
//! alternate stack is mapped by this file, installed only here, and taken out before it is
//! unmapped.
#![allow(
    unsafe_code,
    reason = "signal stacks and signals are what this file is for"
)]

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::{Access, Reservation, page_size, round_up_to_page};

/// The current thread as the kernel numbers it.
pub(crate) fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

/// Lowest and past-the-end address of the current thread's own stack.
pub(crate) fn stack_bounds() -> Option<(usize, usize)> {
    if thread_id() == std::process::id() {
        return main_stack_bounds().or_else(stack_bounds_of_library);
    }
    stack_bounds_of_library()
}

/// The same for the process's first thread, for which the C library reads the list of all mappings.
/// The kernel puts the program's name at the end of its stack, and lets it grow to its limit.
fn main_stack_bounds() -> Option<(usize, usize)> {
    // SAFETY: reads a word that the kernel has given to the process.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    let high = round_up_to_page(name)?;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Stack).current?;
    let low = high.checked_sub(usize::try_from(limit).ok()?)?;
    let inside = (low..high).contains(&crate::arch::stack_pointer());
    (inside && name > 0).then_some((low.next_multiple_of(page_size()), high))
}

fn stack_bounds_of_library() -> Option<(usize, usize)> {
    // SAFETY: plain data, which the call below fills in.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    let (mut start, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: the C library's documented protocol: get, read, destroy.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        let result = libc::pthread_attr_getstack(&attributes, &mut start, &mut len);
        libc::pthread_attr_destroy(&mut attributes);
        if result != 0 {
            return None;
        }
    }
    Some((start as usize, (start as usize).checked_add(len)?))
}

/// An alternate signal stack of the current thread. Dropped on the same thread.
#[derive(Debug)]
pub(crate) struct SignalStack {
    mapping: Option<Reservation>,
}

/// The kernel's frame on a CPU with every vector extension is 11 KiB; previous handlers that we
/// pass signals on to need room too.
const SIGNAL_STACK: usize = 64 << 10;

impl SignalStack {
    /// Makes and installs one. Where the system refuses, the thread keeps what it had.
    pub(crate) fn install() -> SignalStack {
        let guard = page_size();
        let minimum = rustix::param::linux_minsigstksz() + (16 << 10);
        let size = round_up_to_page(SIGNAL_STACK.max(minimum)).unwrap_or(SIGNAL_STACK);
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
            ss_size: 0,
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

/// Sends [`INTERRUPT`] with `value` to a thread of this process. `false` where it is gone.
pub(crate) fn interrupt_thread(thread: u32, value: usize) -> bool {
    // SAFETY: plain data, filled in below as `rt_tgsigqueueinfo` asks for.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    info.si_signo = INTERRUPT;
    info.si_code = libc::SI_QUEUE;
    // SAFETY: the layout of `siginfo_t` for queued signals on 64-bit Linux: three ints and padding,
    // then pid and uid, then the value.
    unsafe {
        let words = (&raw mut info).cast::<u32>();
        words.add(4).write(libc::getpid() as u32);
        words.add(5).write(libc::getuid());
        words.add(6).cast::<usize>().write(value);
    }
    // SAFETY: sends a signal that this process handles.
    unsafe {
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            libc::getpid(),
            thread,
            INTERRUPT,
            &info,
        ) == 0
            || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
    }
}

/// The value that came with [`INTERRUPT`], where it is from [`interrupt_thread`]. Fit for a signal
/// handler.
pub(crate) fn ticket(info: &libc::siginfo_t) -> Option<u64> {
    // SAFETY: asks for the sender, which signals from processes have.
    let ours = info.si_code == libc::SI_QUEUE
        && unsafe { info.si_pid() } == std::process::id() as libc::pid_t;
    // SAFETY: queued signals have a value.
    ours.then(|| unsafe { info.si_value() }.sival_ptr as u64)
}

/// What a signal says of an access to memory that was refused; `None` for other signals. Fit for a
/// signal handler.
pub(crate) fn refused_access(signal: libc::c_int, code: libc::c_int) -> Option<super::Refused> {
    const MAPERR: libc::c_int = 1;
    const ACCERR: libc::c_int = 2;
    const PKUERR: libc::c_int = 4;
    match (signal, code) {
        (libc::SIGSEGV, MAPERR) => Some(super::Refused::Absent),
        (libc::SIGSEGV, ACCERR) => Some(super::Refused::Forbidden),
        (libc::SIGSEGV, PKUERR) => Some(super::Refused::Keyed),
        _ => None,
    }
}

/// Whether a process has sent a signal, where no instruction raised it.
pub(crate) fn was_sent(info: &libc::siginfo_t) -> bool {
    info.si_code <= 0
}

/// What the kernel looks at of a set of signals.
pub(crate) type SignalMask = u64;

/// The unwinder reads whole sections.
pub(crate) const UNWINDER_TAKES_ENTRIES: bool = false;

/// A descriptor that is readable once it is raised.
pub(crate) fn new_event(raised: bool) -> std::io::Result<OwnedFd> {
    let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
    Ok(rustix::event::eventfd(raised.into(), flags)?)
}

/// Makes it readable.
pub(crate) fn raise_event(event: &OwnedFd) {
    // It can only fail because it was raised already.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// Makes it not readable any more.
pub(crate) fn lower_event(event: &OwnedFd) {
    // It can only fail because it was not raised.
    let _ = rustix::io::read(event, &mut [0u8; 8]);
}

/// Makes every thread of the process pass a full memory barrier. `false` where the kernel cannot.
pub(crate) fn sync_threads() -> bool {
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER: libc::c_int = 1 << 4;
    // SAFETY: barriers only.
    unsafe {
        libc::syscall(libc::SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) == 0
            || (libc::syscall(libc::SYS_membarrier, REGISTER, 0, 0) == 0
                && libc::syscall(libc::SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) == 0)
    }
}

/// Nanoseconds of the clock that [`std::time::Instant`] reads. Fit for a signal handler.
pub(crate) fn monotonic() -> u64 {
    nanoseconds(rustix::time::clock_gettime(
        rustix::time::ClockId::Monotonic,
    ))
}

/// Nanoseconds that the calling thread has spent on a CPU. Fit for a signal handler.
pub(crate) fn thread_cpu_time() -> u64 {
    nanoseconds(rustix::time::clock_gettime(
        rustix::time::ClockId::ThreadCPUTime,
    ))
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    (time.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec as u64)
}

/// Sleeps until `word` is no longer `value`, someone calls [`wake_one`], or the time is over.
pub(crate) fn wait_while(word: &AtomicU32, value: u32, time: Option<Duration>) {
    use rustix::thread::futex;
    let time = time.map(|time| rustix::time::Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: time.subsec_nanos().into(),
    });
    // Whatever ends it, the caller looks again.
    let _ = futex::wait(word, futex::Flags::PRIVATE, value, time.as_ref());
}

/// Wakes a thread that waits for `word` to change.
pub(crate) fn wake_one(word: &AtomicU32) {
    use rustix::thread::futex;
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}

/// Makes the calling thread wake on time, and no signal of the process come to it.
pub(crate) fn be_a_watchdog() {
    // SAFETY: settings of the calling thread; the set is filled in before it is used.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0);
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}

/// Alternate signal stack and signal mask of the calling thread.
pub(crate) fn signal_state() -> (libc::stack_t, libc::sigset_t) {
    // SAFETY: plain data, filled in by the calls, which only ask.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigaltstack(std::ptr::null(), &mut stack);
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        (stack, mask)
    }
}

/// The most that the kernel writes when it delivers a signal, in bytes.
pub(crate) fn signal_frame_size() -> usize {
    rustix::param::linux_minsigstksz().max(libc::MINSIGSTKSZ)
}
