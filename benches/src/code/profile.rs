//! Where a kernel spends its time: the program counter, looked at a few hundred times a second.
//!
//! Guest code runs on stacks of its own, which other profilers cannot walk. Nothing is walked here:
//! one address a sample is enough to find a hot loop.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::Result;
use crate::measure::Clock;

/// The most samples that are kept.
const MOST: usize = 1 << 14;

/// The addresses, in the order they were seen.
static SAMPLES: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
/// How many there are, and those that found no place.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Runs `work` again and again for about `span` of CPU time, and answers where it was.
///
/// # Errors
///
/// If the work fails or the timer cannot be had.
pub fn sample(span: Duration, work: &mut dyn FnMut() -> Result<()>) -> Result<Vec<usize>> {
    TAKEN.store(0, Ordering::Relaxed);
    install()?;
    set_timer(Duration::from_millis(1))?;
    let started = Clock::Thread.now();
    let mut result = Ok(());
    while result.is_ok() && Clock::Thread.now() - started < span {
        result = work();
    }
    set_timer(Duration::ZERO)?;
    result?;
    let taken = TAKEN.load(Ordering::Relaxed).min(MOST);
    let samples = SAMPLES.iter().take(taken);
    Ok(samples.map(|at| at.load(Ordering::Relaxed)).collect())
}

/// Makes [`on_tick`] the handler of the profiling timer's signal, for good.
fn install() -> Result<()> {
    // SAFETY: `sigaction` is plain data, for which zeros are valid: no handler, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_tick as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the handler has the signature that `SA_SIGINFO` asks for, calls nothing but atomics, and
    // never goes away; nothing else in this program uses the signal.
    let failed = unsafe { libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) } != 0;
    if failed {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}

/// Sends the signal after each such part of CPU time; zero stops it. The kernel rounds up to its tick.
fn set_timer(every: Duration) -> Result<()> {
    let every = libc::timeval {
        tv_sec: every.as_secs() as libc::time_t,
        tv_usec: every.subsec_micros().into(),
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: the pointer is valid for the call, and the old value is not asked for.
    let failed =
        unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) } != 0;
    if failed {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}

extern "C" fn on_tick(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with `SA_SIGINFO` the third argument is the interrupted thread's context, which lives as
    // long as the handler runs.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    let place = TAKEN.fetch_add(1, Ordering::Relaxed);
    if let Some(sample) = SAMPLES.get(place) {
        sample.store(program_counter(context), Ordering::Relaxed);
    }
}

#[cfg(target_arch = "x86_64")]
fn program_counter(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
}

#[cfg(target_arch = "aarch64")]
fn program_counter(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.pc as usize
}
