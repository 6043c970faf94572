//! How late a guest is stopped that runs when its time is over.
//!
//! A watchdog has to wake up for that, and that takes as long as the system takes to run a thread whose
//! time to wake has come. So the same is done in turn with a thread that does nothing but sleep until a
//! moment, while another one is as busy as the guest: what a deadline takes beyond that is its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use precast::{Interruption, Sandbox};

use super::goals::Table;
use super::theirs::Settings;
use super::{Effort, ours, theirs};
use crate::Result;
use crate::measure::Clock;

/// A guest that never returns.
const SPIN: &str =
    r#"(module (func (export "f") (param i32) (result i32) (loop (br 0)) (unreachable)))"#;

/// Deadlines beside the wake-ups of a thread.
///
/// # Errors
///
/// If a guest is not stopped, or by something else.
pub fn late(effort: Effort, table: &mut Table) -> Result<()> {
    let wasm = wat::parse_str(SPIN)?;
    let mut mine = ours::Guest::new(&wasm, 512 << 10)?;
    let (sandbox, spin) = mine.export::<i32, i32>("f")?;
    let engine = Settings::DEFAULT.engine(4, true)?;
    let mut theirs = theirs::Guest::in_engine(&engine, &wasm)?;
    let (store, their_spin) = theirs.export::<i32, i32>("f")?;
    let mut samples = [const { Vec::new() }; 3];
    let rounds = if effort.is_quick { 250 } else { 1000 };
    let mut lost = 0;
    for round in 0..rounds {
        // Not in step with any clock of the system's.
        let time = Duration::from_micros(500 + round * 7919 % 1000);
        let (sample, undisturbed) = without_loss(|| of_sleeper(time))?;
        keep(&mut samples[0], sample, undisturbed, &mut lost);
        let (sample, undisturbed) =
            without_loss(|| of_deadline(sandbox, time, |sandbox| spin.call(sandbox, 0)))?;
        keep(&mut samples[1], sample, undisturbed, &mut lost);
        let (sample, undisturbed) = without_loss(|| {
            of_epoch(&engine, store, time, |store| {
                their_spin.call(store, 0).is_err()
            })
        })?;
        keep(&mut samples[2], sample, undisturbed, &mut lost);
    }
    for sample in &mut samples {
        sample.sort_unstable();
    }
    let at = |who: usize, part: f64| {
        let sorted: &[Duration] = &samples[who];
        if sorted.is_empty() {
            return f64::NAN;
        }
        let index = ((sorted.len() - 1) as f64 * part).round() as usize;
        sorted[index].as_secs_f64() * 1e6
    };
    for (key, part) in [("deadline", 0.5), ("deadline_p99", 0.99)] {
        table.line(key, at(1, part) - at(0, part), at(2, part) - at(0, part));
    }
    table.note(&format!(
        "{lost} of {} rounds do not count: the busy thread was taken off its CPU",
        3 * rounds
    ));
    for (who, name) in ["a sleeping thread", "precast", "wasmtime"]
        .iter()
        .enumerate()
    {
        let [median, p99, worst] = [0.5, 0.99, 1.0].map(|part| at(who, part));
        table.note(&format!(
            "{name} is late by {median:.0} µs, 99 of 100 times by less than {p99:.0}, at worst {worst:.0}"
        ));
    }
    Ok(())
}

/// Does it, and says whether this thread had its CPU all the time: what was late otherwise is not known.
fn without_loss(work: impl FnOnce() -> Result<Duration>) -> Result<(Duration, bool)> {
    const CLOCKS: [Clock; 2] = [Clock::Wall, Clock::Thread];
    let before = CLOCKS.map(Clock::now);
    let late = work()?;
    let [passed, spent] = [0, 1].map(|i: usize| CLOCKS[i].now() - before[i]);
    Ok((
        late,
        passed.saturating_sub(spent) < Duration::from_micros(100),
    ))
}

fn keep(samples: &mut Vec<Duration>, sample: Duration, undisturbed: bool, lost: &mut u32) {
    if undisturbed {
        samples.push(sample);
    } else {
        *lost += 1;
    }
}

/// How late a thread wakes up, while this one is busy.
fn of_sleeper(time: Duration) -> Result<Duration> {
    let is_awake = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let end = wake_on_time().map(|()| Instant::now() + time);
            if let Ok(end) = end {
                std::thread::sleep(end - Instant::now());
            }
            let late = end.map(|end| end.elapsed());
            is_awake.store(true, Ordering::Release);
            late
        });
        while !is_awake.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        Ok(sleeper.join().map_err(|_| "a thread failed")??)
    })
}

/// Has the calling thread's sleep end when it is over, not when it suits the system, as a watchdog's.
fn wake_on_time() -> std::io::Result<()> {
    let thread = rustix::thread::gettid().as_raw_nonzero();
    std::fs::write(format!("/proc/{thread}/timerslack_ns"), "1")
}

/// How late the guest of a sandbox is stopped.
fn of_deadline(
    sandbox: &mut Sandbox<()>,
    time: Duration,
    run: impl FnOnce(&mut Sandbox<()>) -> std::result::Result<i32, precast::Error>,
) -> Result<Duration> {
    let end = Instant::now() + time;
    sandbox.set_deadline(Some(end));
    let result = run(&mut *sandbox);
    let late = end.elapsed();
    match result {
        Err(precast::Error::Trap(trap)) if trap.interruption() == Some(Interruption::Deadline) => {
            Ok(late)
        }
        other => Err(format!("it ended with {other:?}").into()),
    }
}

/// How late Wasmtime's guest is stopped, by a thread that sleeps for it and then lets the epoch end.
fn of_epoch(
    engine: &wasmtime::Engine,
    store: &mut wasmtime::Store<()>,
    time: Duration,
    run: impl FnOnce(&mut wasmtime::Store<()>) -> bool,
) -> Result<Duration> {
    store.set_epoch_deadline(1);
    std::thread::scope(|scope| {
        let ready = std::sync::mpsc::channel();
        scope.spawn(move || {
            let end = Instant::now() + time;
            let _ = ready.0.send(wake_on_time().map(|()| end));
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            engine.increment_epoch();
        });
        let end = ready.1.recv()??;
        match run(store) {
            true => Ok(end.elapsed()),
            false => Err("it was not stopped".into()),
        }
    })
}
