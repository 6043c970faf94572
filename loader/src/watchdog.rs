//! The thread that watches over limits of time, one per process, started by the first of them.
//!
//! It says when it will wake next, makes all threads pass a memory barrier, and then looks at their
//! records. So a thread that arms a limit writes its moment and reads when the watchdog wakes,
//! without a fence: either it sees that the watchdog would be late, and calls it, or the watchdog
//! sees the moment. A thread whose moment has come is signalled again and again until its handler
//! has moved the moment on.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence, fence};
use std::time::Duration;

use crate::error::{Error, SystemError};
use crate::limits::{Moment, NEVER, TICKET};
use crate::sys;
use crate::thread;

/// When the watchdog looks again.
static NEXT: AtomicU64 = AtomicU64::new(NEVER);
/// Changed to wake it before.
static BELL: AtomicU32 = AtomicU32::new(0);
/// Whether it can make other threads pass a barrier.
static BARRIERS: AtomicBool = AtomicBool::new(false);
static STARTED: AtomicBool = AtomicBool::new(false);

/// How soon a thread is signalled again that could not be stopped where it was.
const FIRST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// Makes sure that the watchdog looks at this thread's record at `moment`, which stands there.
#[inline]
pub(crate) fn expect(moment: Moment) -> Result<(), Error> {
    compiler_fence(Ordering::SeqCst);
    if !BARRIERS.load(Ordering::Relaxed) {
        fence(Ordering::SeqCst);
    }
    match moment < NEXT.load(Ordering::Relaxed) {
        true => call(),
        false => Ok(()),
    }
}

#[cold]
fn call() -> Result<(), Error> {
    if !STARTED.load(Ordering::Acquire) {
        start()?;
    }
    BELL.fetch_add(1, Ordering::SeqCst);
    sys::wake_one(&BELL);
    Ok(())
}

fn start() -> Result<(), Error> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(|error| error.into_inner());
    if STARTED.load(Ordering::Acquire) {
        return Ok(());
    }
    BARRIERS.store(sys::sync_threads(), Ordering::Relaxed);
    let thread = std::thread::Builder::new().name("precast-watchdog".to_owned());
    let failed =
        |error: io::Error| SystemError::new("start the thread that watches deadlines", error);
    thread.spawn(watch).map_err(failed)?;
    STARTED.store(true, Ordering::Release);
    Ok(())
}

/// After a fork: the child has no such thread.
pub(crate) fn after_fork() {
    STARTED.store(false, Ordering::Relaxed);
    NEXT.store(NEVER, Ordering::Relaxed);
}

fn watch() {
    sys::be_a_watchdog();
    let mut pause = FIRST_PAUSE;
    loop {
        let bell = BELL.load(Ordering::SeqCst);
        let now = sys::monotonic();
        let plan = publish(now, pause);
        for record in thread::records() {
            let id = record.id.load(Ordering::Relaxed);
            if record.wake.load(Ordering::Relaxed) <= now && id != 0 {
                sys::interrupt_thread(id, TICKET as usize);
            }
        }
        pause = match plan.due {
            true => (pause * 2).min(LONGEST_PAUSE),
            false => FIRST_PAUSE,
        };
        let rest = plan.next.saturating_sub(sys::monotonic());
        let rest = (plan.next != NEVER).then(|| Duration::from_nanos(rest));
        sys::wait_while(&BELL, bell, rest);
    }
}

/// What the records ask for.
struct Plan {
    /// When to look again.
    next: Moment,
    /// Whether the moment of some thread has come.
    due: bool,
}

impl Plan {
    fn new(now: Moment, pause: Duration) -> Plan {
        let mut plan = Plan {
            next: NEVER,
            due: false,
        };
        for record in thread::records() {
            match record.wake.load(Ordering::Relaxed) {
                moment if moment <= now => plan.due = true,
                moment => plan.next = plan.next.min(moment),
            }
        }
        if plan.due {
            plan.next = plan.next.min(now + pause.as_nanos() as u64);
        }
        plan
    }
}

/// Says when the watchdog looks next.
fn publish(now: Moment, pause: Duration) -> Plan {
    let mut plan = Plan::new(now, pause);
    loop {
        NEXT.store(plan.next, Ordering::SeqCst);
        sys::sync_threads();
        let again = Plan::new(now, pause);
        if again.next >= plan.next {
            return Plan {
                due: again.due,
                ..plan
            };
        }
        plan = again;
    }
}
