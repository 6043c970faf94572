//! Garbage-collected objects: making small ones, and sandboxes of modules that have them.

use precast_compiler::{Collector, Options};

use super::goals::Table;
use super::{Effort, ours, theirs};
use crate::measure::interleave;
use crate::{Result, guests};

/// Stack for guests of both, in bytes.
const STACK: usize = 512 << 10;

/// `run(n)` makes `n` objects, each of which the one before refers to, in lists of 64, of
/// which one is alive, and gives what the last holds.
const GUEST: &str = r#"(module
    (type $s (struct (field (ref null $s)) (field (mut i32))))
    (func (export "run") (param $n i32) (result i32) (local $last (ref null $s))
        (loop $again
            (if (i32.eqz (i32.and (local.get $n) (i32.const 63)))
                (then (local.set $last (ref.null $s))))
            (local.set $last (struct.new $s (local.get $last) (local.get $n)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (struct.get $s 1 (local.get $last))))"#;

/// Objects that one sandbox makes, with no collector: what a request may make, and what fits a heap that
/// does not grow.
const AT_ONCE: u64 = 3_000;
/// The same with a collector, which has to collect now and then.
const WITH_COLLECTOR: u64 = 100_000;

/// A small struct, without a collector and with one that copies.
///
/// # Errors
///
/// If a contestant fails or makes no objects.
pub fn allocations(effort: Effort, table: &mut Table) -> Result<()> {
    let wasm = wat::parse_str(GUEST)?;
    for (key, collector, other_collector, at_once) in [
        (
            "alloc_null",
            Collector::Null,
            wasmtime::Collector::Null,
            AT_ONCE,
        ),
        (
            "alloc_copying",
            Collector::Copying,
            wasmtime::Collector::Copying,
            WITH_COLLECTOR,
        ),
    ] {
        let options = Options {
            collector,
            ..Options::default()
        };
        let rig = ours::Objects::new(&wasm, &options, STACK)?;
        let other = theirs::Objects::new(&wasm, other_collector, STACK)?;
        let check = |n: u64, last: i32| match last {
            1 => Ok(()),
            last => Err(format!("{n} objects ended with {last}")),
        };
        // Each call has a new sandbox: what there is of objects is gone with it.
        let times = interleave(
            effort.short(),
            &mut [
                &mut |n| many(n, at_once, |n| Ok(check(n, rig.run(n as i32)?)?)),
                &mut |n| many(n, at_once, |n| Ok(check(n, other.run(n as i32)?)?)),
            ],
        )?;
        table.line(key, times.median[0], times.median[1]);
    }
    Ok(())
}

/// Calls with `n` in pieces that fit.
fn many(n: u64, at_once: u64, mut run: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let mut left = n;
    while left > 0 {
        let now = left.min(at_once);
        run(now)?;
        left -= now;
    }
    Ok(())
}

/// A sandbox of a module that makes an object, over one of a module that does not: what objects add.
///
/// # Errors
///
/// If a contestant fails or answers wrongly.
pub fn instances(effort: Effort, table: &mut Table) -> Result<()> {
    let plain = guests::trivial()?;
    let objects = wat::parse_str(
        r#"(module
            (type $s (struct (field i32) (field (ref null $s))))
            (func (export "f") (param i32) (result i32)
                (struct.get $s 0 (struct.new $s
                    (i32.add (local.get 0) (i32.const 1)) (ref.null $s)))))"#,
    )?;
    let (plain, objects) = (
        ours::Rig::<i32>::new(&plain)?,
        ours::Rig::<i32>::new(&objects)?,
    );
    let times = interleave(
        effort.short(),
        &mut [&mut |n| again(n, &objects), &mut |n| again(n, &plain)],
    )?;
    table.line("inst_gc", times.median[0] - times.median[1], f64::NAN);
    table.note(&format!(
        "precast: {:.0} ns with an object, {:.0} without",
        times.median[0], times.median[1]
    ));
    Ok(())
}

fn again(n: u64, rig: &ours::Rig<i32>) -> Result<()> {
    for x in 0..n as i32 {
        if rig.once(x)? != x.wrapping_add(1) {
            return Err("it answered wrongly".into());
        }
    }
    Ok(())
}
