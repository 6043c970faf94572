//! Calls in and out, and traps with their backtraces.

use std::hint::black_box;

use super::goals::Table;
use super::{Effort, ours, theirs};
use crate::measure::interleave;
use crate::{Result, guests};

/// Stack for guests of both, in bytes: Wasmtime's default.
const STACK: usize = 512 << 10;

fn guests() -> Result<(ours::Guest, theirs::Guest)> {
    let wasm = guests::crossings()?;
    Ok((
        ours::Guest::new(&wasm, STACK)?,
        theirs::Guest::new(&wasm, STACK)?,
    ))
}

/// Host to guest and back.
///
/// # Errors
///
/// If a contestant fails.
pub fn call_in(effort: Effort, table: &mut Table) -> Result<()> {
    let (mut mine, mut other) = guests()?;
    let (sandbox, my_add) = mine.export::<(i32, i32), i32>("add")?;
    let (store, other_add) = other.export::<(i32, i32), i32>("add")?;
    let times = interleave(
        effort.short(),
        &mut [
            &mut |n| {
                for i in 0..n as i32 {
                    black_box(my_add.call(&mut *sandbox, (black_box(i), 1))?);
                }
                Ok(())
            },
            &mut |n| {
                for i in 0..n as i32 {
                    black_box(other_add.call(&mut *store, (black_box(i), 1))?);
                }
                Ok(())
            },
        ],
    )?;
    table.line("call_in", times.median[0], times.median[1]);
    Ok(())
}

/// Guest to host and back, from a loop in the guest.
///
/// # Errors
///
/// If a contestant fails.
pub fn call_out(effort: Effort, table: &mut Table) -> Result<()> {
    let (mut mine, mut other) = guests()?;
    let (sandbox, my_out) = mine.export::<i32, i32>("out")?;
    let (store, other_out) = other.export::<i32, i32>("out")?;
    let check = |n: u64, answer: i32| match answer == n as i32 {
        true => Ok(()),
        false => Err(format!("the host was called {answer} times instead of {n}")),
    };
    let times = interleave(
        effort.short(),
        &mut [
            &mut |n| Ok(check(n, my_out.call(&mut *sandbox, n as i32)?)?),
            &mut |n| Ok(check(n, other_out.call(&mut *store, n as i32)?)?),
        ],
    )?;
    table.line("call_out", times.median[0], times.median[1]);
    Ok(())
}

/// The three kinds of traps.
///
/// # Errors
///
/// If a contestant does not trap, or has no backtrace.
pub fn traps(effort: Effort, table: &mut Table) -> Result<()> {
    for (key, export) in [
        ("trap", "trap"),
        ("trap_oob", "out_of_bounds"),
        ("trap_stack", "overflow"),
    ] {
        let (mut mine, mut other) = guests()?;
        let (sandbox, my_trap) = mine.export::<i32, i32>(export)?;
        let (store, other_trap) = other.export::<i32, i32>(export)?;
        let times = interleave(
            effort.short(),
            &mut [
                &mut |n| {
                    for _ in 0..n {
                        let error = my_trap.call(&mut *sandbox, 1).err();
                        let trap = error.as_ref().and_then(|error| error.trap());
                        let frames = trap.map_or(0, |trap| trap.backtrace().frames().len());
                        is_traced(black_box(frames))?;
                    }
                    Ok(())
                },
                &mut |n| {
                    for _ in 0..n {
                        let error = other_trap.call(&mut *store, 1).err();
                        let trace = error.as_ref().and_then(|error| error.downcast_ref());
                        let trace: Option<&wasmtime::WasmBacktrace> = trace;
                        let frames = trace.map_or(0, |trace| trace.frames().len());
                        is_traced(black_box(frames))?;
                    }
                    Ok(())
                },
            ],
        )?;
        table.line(key, times.median[0], times.median[1]);
    }
    Ok(())
}

fn is_traced(frames: usize) -> Result<()> {
    match frames {
        0 => Err("it did not trap, or has no backtrace".into()),
        _ => Ok(()),
    }
}
