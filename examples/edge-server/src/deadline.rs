//! Calls that end when their time is over.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use precast::{Error, InterruptHandle, Sandbox, TemplateFunc};

/// A call in work.
struct Call {
    ends: Instant,
    is_over: Arc<AtomicBool>,
    handle: InterruptHandle,
}

#[derive(Default)]
struct Watch {
    /// In the order in which they end: all have the same time.
    calls: Mutex<VecDeque<Call>>,
    more: Condvar,
}

/// Stops calls whose time is over.
pub(crate) struct Watchdog {
    watch: Arc<Watch>,
    time: Duration,
}

impl Watchdog {
    /// Gives every call the same time.
    pub(crate) fn new(time: Duration) -> std::io::Result<Self> {
        let watch = Arc::<Watch>::default();
        let watching = Arc::clone(&watch);
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watching.run())?;
        Ok(Self { watch, time })
    }

    /// Calls the program, for as long as it may run.
    pub(crate) fn call<T>(
        &self,
        sandbox: &mut Sandbox<T>,
        start: TemplateFunc<(), ()>,
    ) -> Result<(), Error> {
        let is_over = Arc::new(AtomicBool::new(false));
        let call = Call {
            ends: Instant::now() + self.time,
            is_over: Arc::clone(&is_over),
            handle: sandbox.interrupt_handle(),
        };
        let mut calls = self
            .watch
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let was_idle = calls.is_empty();
        calls.push_back(call);
        drop(calls);
        if was_idle {
            self.watch.more.notify_one();
        }
        let result = start.call(sandbox, ());
        is_over.store(true, Ordering::Release);
        result
    }
}

impl Watch {
    fn run(&self) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while calls
                .front()
                .is_some_and(|call| call.is_over.load(Ordering::Acquire))
            {
                calls.pop_front();
            }
            let now = Instant::now();
            calls = match calls.front().map(|call| call.ends) {
                None => self
                    .more
                    .wait(calls)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(ends) if ends > now => {
                    let waited = self.more.wait_timeout(calls, ends - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    let late = calls.pop_front();
                    drop(calls);
                    // Takes microseconds, in which others may begin.
                    late.inspect(|call| call.handle.kill());
                    self.calls.lock().unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }
}
