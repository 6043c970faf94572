//! Instantiate, call, drop: on one thread, and on two.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::goals::Table;
use super::theirs::Settings;
use super::{Effort, ours, theirs};
use crate::measure::{interleave, median};
use crate::{Result, guests};

const REQUEST_WASM: &[u8] = include_bytes!("../../hello/request.wasm");

/// No memory at all.
///
/// # Errors
///
/// If a contestant fails or answers wrongly.
pub fn trivial(effort: Effort, table: &mut Table) -> Result<()> {
    // Whatever was asked last, so that nothing can be left out.
    let answers = |x: i32, answer: i32| answer == x.wrapping_add(1);
    compare::<i32>(effort, table, "inst_trivial", &guests::trivial()?, answers)
}

/// 64 KiB of memory.
///
/// # Errors
///
/// If a contestant fails or was not fresh.
pub fn small(effort: Effort, table: &mut Table) -> Result<()> {
    compare::<i64>(
        effort,
        table,
        "inst_64k",
        &guests::fresh(guests::FRESH_64K)?,
        is_fresh,
    )
}

/// 16 MiB of memory.
///
/// # Errors
///
/// If a contestant fails or was not fresh.
pub fn large(effort: Effort, table: &mut Table) -> Result<()> {
    compare::<i64>(
        effort,
        table,
        "inst_16m",
        &guests::fresh(guests::FRESH_16M)?,
        is_fresh,
    )
}

fn is_fresh(_: i32, answer: i64) -> bool {
    answer == guests::FRESH
}

/// What both kinds of call can answer.
trait Answer: precast::WasmResults + wasmtime::WasmResults + Copy + std::fmt::Debug {}
impl Answer for i32 {}
impl Answer for i64 {}

fn compare<R: Answer>(
    effort: Effort,
    table: &mut Table,
    key: &str,
    wasm: &[u8],
    is_right: fn(i32, R) -> bool,
) -> Result<()> {
    let mine = ours::Rig::<R>::new(wasm)?;
    let (settings, by_name) = best(effort, wasm, is_right)?;
    let other = theirs::Rig::new(&settings, wasm)?;
    let (mut x, mut y) = (0, 0);
    let times = interleave(
        effort.short(),
        &mut [
            &mut |n| many(n, &mut x, is_right, |x| mine.once(x)),
            &mut |n| many(n, &mut y, is_right, |x| call(&other, by_name, x)),
        ],
    )?;
    table.line(key, times.median[0], times.median[1]);
    let lookup = if by_name { "name" } else { "index" };
    table.note(&format!("wasmtime {settings}, exports by {lookup}"));
    Ok(())
}

#[inline]
fn call<R: Answer>(rig: &theirs::Rig, by_name: bool, x: i32) -> Result<R> {
    if by_name {
        rig.once_by_name(x)
    } else {
        rig.once(x)
    }
}

/// Does it `n` times, each time with another argument.
#[inline]
fn many<R: Answer>(
    n: u64,
    x: &mut i32,
    is_right: fn(i32, R) -> bool,
    mut once: impl FnMut(i32) -> Result<R>,
) -> Result<()> {
    for _ in 0..n {
        *x = x.wrapping_add(1);
        let answer = once(*x)?;
        if !is_right(*x, answer) {
            return Err(format!("it answered {answer:?} to {x}: it was not fresh").into());
        }
    }
    Ok(())
}

/// Wasmtime's fastest settings for a module, and whether it is faster to look up exports by name.
fn best<R: Answer>(
    effort: Effort,
    wasm: &[u8],
    is_right: fn(i32, R) -> bool,
) -> Result<(Settings, bool)> {
    let candidates = Settings::candidates();
    let rigs = candidates
        .iter()
        .map(|settings| theirs::Rig::new(settings, wasm));
    let rigs = rigs.collect::<Result<Vec<_>>>()?;
    let ways: Vec<_> = (0..rigs.len())
        .flat_map(|rig| [(rig, false), (rig, true)])
        .collect();
    let mut contestants: Vec<_> = ways
        .iter()
        .map(|&(rig, by_name)| {
            let (rig, mut x) = (&rigs[rig], 0);
            move |n| many(n, &mut x, is_right, |x| call(rig, by_name, x))
        })
        .collect();
    let mut contestants: Vec<crate::measure::Work<'_>> =
        contestants.iter_mut().map(|work| work as _).collect();
    let times = interleave(effort.choosing(), &mut contestants)?;
    let fastest = (0..ways.len()).min_by(|&a, &b| times.median[a].total_cmp(&times.median[b]));
    let (rig, by_name) = ways[fastest.ok_or("no settings to choose from")?];
    Ok((candidates[rig], by_name))
}

/// A program that looks at its arguments and its environment, and writes once.
///
/// # Errors
///
/// If a contestant fails or the program wrote something else.
pub fn wasi(effort: Effort, table: &mut Table) -> Result<()> {
    let check = |output: Vec<u8>| -> Result<()> {
        if output == b"Hello world in here.\n" {
            return Ok(());
        }
        Err(format!("it wrote {:?}", String::from_utf8_lossy(&output)).into())
    };
    let mine = ours::WasiRig::new(REQUEST_WASM)?;
    let candidates = Settings::candidates();
    let rigs = candidates
        .iter()
        .map(|settings| theirs::WasiRig::new(settings, REQUEST_WASM));
    let rigs = rigs.collect::<Result<Vec<_>>>()?;
    let mut contestants: Vec<_> = rigs
        .iter()
        .map(|rig| move |n: u64| (0..n).try_for_each(|_| check(rig.once()?)))
        .collect();
    let mut contestants: Vec<crate::measure::Work<'_>> =
        contestants.iter_mut().map(|work| work as _).collect();
    let times = interleave(effort.choosing(), &mut contestants)?;
    let fastest = (0..rigs.len()).min_by(|&a, &b| times.median[a].total_cmp(&times.median[b]));
    let fastest = fastest.ok_or("no settings to choose from")?;
    let times = interleave(
        effort.short(),
        &mut [
            &mut |n| (0..n).try_for_each(|_| check(mine.once()?)),
            &mut |n| (0..n).try_for_each(|_| check(rigs[fastest].once()?)),
        ],
    )?;
    table.line("inst_wasi", times.median[0], times.median[1]);
    table.note(&format!("wasmtime {}", candidates[fastest]));
    Ok(())
}

/// Does our part of a measure alone for some seconds: for a profiler.
///
/// # Errors
///
/// If it is none of these measures, or fails.
pub fn alone(key: &str) -> Result<()> {
    let began = Instant::now();
    let again = || began.elapsed() < Duration::from_secs(5);
    match key {
        "inst_wasi" => {
            let rig = ours::WasiRig::new(REQUEST_WASM)?;
            while again() {
                rig.once()?;
            }
        }
        "inst_trivial" => {
            let rig = ours::Rig::<i32>::new(&guests::trivial()?)?;
            while again() {
                (0..100).try_for_each(|x| rig.once(x).map(drop))?;
            }
        }
        "inst_64k" | "inst_16m" => {
            let is_small = key == "inst_64k";
            let shape = if is_small {
                guests::FRESH_64K
            } else {
                guests::FRESH_16M
            };
            let rig = ours::Rig::<i64>::new(&guests::fresh(shape)?)?;
            while again() {
                (0..100).try_for_each(|x| rig.once(x).map(drop))?;
            }
        }
        _ => return Err(format!("{key} cannot be taken alone").into()),
    }
    Ok(())
}

/// How long one part of a round lasts.
const PART: Duration = Duration::from_millis(20);

/// The throughput of two threads, each bound to a CPU, over that of one.
///
/// # Errors
///
/// If there is one CPU only, or a contestant fails.
pub fn scaling(effort: Effort, table: &mut Table) -> Result<()> {
    let cpus = cpus()?;
    let wasm = guests::fresh(guests::FRESH_64K)?;
    let mine = ours::Rig::<i64>::new(&wasm)?;
    let rounds = effort.short().rounds;
    // The settings that are fastest on one thread are not always the ones that scale.
    let mut best = (f64::NAN, f64::NAN, Settings::DEFAULT);
    for settings in Settings::candidates() {
        let other = theirs::Rig::new(&settings, &wasm)?;
        let factors = factors(cpus, 5, &|x| mine.once(x), &|x| other.once(x))?;
        if best.1.is_nan() || factors.1 > best.1 {
            best = (factors.0, factors.1, settings);
        }
    }
    let other = theirs::Rig::new(&best.2, &wasm)?;
    let factors = factors(cpus, rounds, &|x| mine.once(x), &|x| other.once(x))?;
    table.line("scaling_2threads", factors.0, factors.1);
    table.note(&format!("wasmtime {}", best.2));
    Ok(())
}

type Once<'a> = &'a (dyn Fn(i32) -> Result<i64> + Sync);

/// The medians of both contestants' factors.
fn factors(cpus: [usize; 2], rounds: usize, mine: Once<'_>, other: Once<'_>) -> Result<(f64, f64)> {
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (samples, once) in samples.iter_mut().zip([mine, other]) {
            // Each CPU alone, then both: neither the faster CPU nor other programs on one of them
            // make a factor.
            let alone = [throughput(&cpus[..1], once)?, throughput(&cpus[1..], once)?];
            let both = throughput(&cpus, once)?;
            samples.push(2.0 * both / (alone[0] + alone[1]));
        }
    }
    let [mut mine, mut other] = samples;
    Ok((median(&mut mine), median(&mut other)))
}

/// Calls a second of CPU time by all threads together, one on each of the CPUs.
fn throughput(cpus: &[usize], once: Once<'_>) -> Result<f64> {
    let (ready, failed) = (AtomicU32::new(0), AtomicU32::new(0));
    let total = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for &cpu in cpus {
            let (ready, failed, total) = (&ready, &failed, &total);
            scope.spawn(move || {
                let bound = bind(cpu).and_then(|()| count(ready, cpus.len() as u32, once));
                match bound {
                    Ok(rate) => {
                        total.fetch_add(rate as u64, Ordering::Relaxed);
                    }
                    Err(_) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    if failed.into_inner() > 0 {
        return Err("a thread failed, or could not be bound to a CPU".into());
    }
    Ok(total.into_inner() as f64)
}

/// Calls a second of the thread's own CPU time, so that other programs weigh less.
fn count(ready: &AtomicU32, threads: u32, once: Once<'_>) -> Result<f64> {
    for x in 0..200 {
        once(x)?;
    }
    ready.fetch_add(1, Ordering::SeqCst);
    while ready.load(Ordering::SeqCst) < threads {
        std::hint::spin_loop();
    }
    let (started, spent) = (Instant::now(), crate::measure::Clock::Thread.now());
    let mut calls = 0u64;
    while started.elapsed() < PART {
        for x in 0..50 {
            if once(x)? != guests::FRESH {
                return Err("it was not fresh".into());
            }
        }
        calls += 50;
    }
    let spent = crate::measure::Clock::Thread.now() - spent;
    Ok(calls as f64 / spent.as_secs_f64())
}

fn cpus() -> Result<[usize; 2]> {
    let set = rustix::thread::sched_getaffinity(None)?;
    let mut cpus = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu));
    match (cpus.next(), cpus.next()) {
        (Some(a), Some(b)) => Ok([a, b]),
        _ => Err("there is one CPU only".into()),
    }
}

fn bind(cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
