//! Exceptions: thrown and caught in a loop of the guest.

use super::goals::Table;
use super::{Effort, ours, theirs};
use crate::Result;
use crate::measure::interleave;

/// Stack for guests of both, in bytes.
const STACK: usize = 512 << 10;

/// `run(n, depth)` catches `n` exceptions, each thrown `depth` calls further down, and adds up what
/// they carry; `quiet` is the same where nobody throws. Imported functions are inlined by nobody:
/// the calls go through a table that can change.
const GUEST: &str = r#"(module
    (type $f (func (param i32 i32) (result i32)))
    (tag $t (param i32))
    (table (export "table") 2 funcref)
    (elem (i32.const 0) $down $down)
    (func $down (type $f)
        (if (i32.eqz (local.get 0)) (then (throw $t (local.get 1))))
        (if (i32.lt_s (local.get 0) (i32.const 0)) (then (return (local.get 1))))
        (i32.add (i32.const 1) (call_indirect (type $f)
            (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (i32.const 1))))
    (func $once (param $depth i32) (param $value i32) (result i32)
        (block $caught (result i32)
            (try_table (result i32) (catch $t $caught)
                (call_indirect (type $f) (local.get $depth) (local.get $value) (i32.const 0)))))
    (func (export "run") (param $n i32) (param $depth i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (call $once (local.get $depth) (i32.const 3))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

/// Exceptions caught one frame up, and ten.
///
/// # Errors
///
/// If a contestant fails or does not catch.
pub fn throws(effort: Effort, table: &mut Table) -> Result<()> {
    let wasm = wat::parse_str(GUEST)?;
    for (key, depth) in [("throw_1", 0), ("throw_10", 9)] {
        let mut mine = ours::Guest::new(&wasm, STACK)?;
        let mut other = theirs::Guest::with_exceptions(&wasm, STACK)?;
        let (sandbox, my_run) = mine.export::<(i32, i32), i32>("run")?;
        let (store, other_run) = other.export::<(i32, i32), i32>("run")?;
        let check = |n: u64, sum: i32| match sum == 3 * n as i32 {
            true => Ok(()),
            false => Err(format!("{n} exceptions carried {sum}")),
        };
        let times = interleave(
            effort.short(),
            &mut [
                &mut |n| Ok(check(n, my_run.call(&mut *sandbox, (n as i32, depth))?)?),
                &mut |n| Ok(check(n, other_run.call(&mut *store, (n as i32, depth))?)?),
            ],
        )?;
        table.line(key, times.median[0], times.median[1]);
    }
    Ok(())
}
