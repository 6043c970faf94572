//! What it costs a kernel that it can be stopped when its time is over, and how late it is stopped then.

use std::cell::RefCell;

use super::goals::Table;
use super::theirs::Settings;
use super::{Effort, ours, theirs};
use crate::Result;
use crate::kernels::KERNELS;
use crate::measure::{geometric_mean, interleave};

/// Every kernel, when it can be stopped and when it cannot: the mean of the factors.
///
/// # Errors
///
/// If a kernel fails or computes something else.
pub fn interruptible(effort: Effort, table: &mut Table) -> Result<()> {
    let with_epochs = Settings::DEFAULT.engine(4, true)?;
    let without = Settings::DEFAULT.engine(4, false)?;
    let (mut mine, mut other) = (Vec::new(), Vec::new());
    for kernel in KERNELS {
        let mut guest = ours::Guest::new(kernel.wasm, 512 << 10)?;
        let mut plain = theirs::Guest::in_engine(&without, kernel.wasm)?;
        let mut stoppable = theirs::Guest::in_engine(&with_epochs, kernel.wasm)?;
        let (sandbox, run) = guest.export::<i32, i64>("run")?;
        let (plain_store, plain_run) = plain.export::<i32, i64>("run")?;
        let (stoppable_store, stoppable_run) = stoppable.export::<i32, i64>("run")?;
        let expected = run.call(&mut *sandbox, kernel.size)?;
        let check = |found: i64| match found == expected {
            true => Ok(()),
            false => Err(format!("{}: {found} instead of {expected}", kernel.name)),
        };
        let sandbox = RefCell::new(sandbox);
        let ours = |is_armed| {
            let sandbox = &mut **sandbox.borrow_mut();
            ours::set_deadline(sandbox, is_armed);
            Ok(check(run.call(sandbox, kernel.size)?)?)
        };
        let times = interleave(
            effort.single(),
            &mut [
                &mut |_| ours(false),
                &mut |_| ours(true),
                &mut |_| Ok(check(plain_run.call(&mut *plain_store, kernel.size)?)?),
                &mut |_| {
                    Ok(check(
                        stoppable_run.call(&mut *stoppable_store, kernel.size)?,
                    )?)
                },
            ],
        )?;
        mine.push(times.median[1] / times.median[0]);
        other.push(times.median[3] / times.median[2]);
    }
    table.line(
        "interruptible",
        geometric_mean(mine.iter().copied()),
        geometric_mean(other.iter().copied()),
    );
    let most = |factors: &[f64]| factors.iter().copied().fold(f64::MIN, f64::max);
    table.note(&format!(
        "worst kernel: precast {:.2}, wasmtime {:.2}",
        most(&mine),
        most(&other)
    ));
    Ok(())
}
