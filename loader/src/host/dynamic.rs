//! Host functions made of closures that take and give [`Val`]s, of a type known at run time.
//!
//! # Safety
//!
//! This file holds unsafe code: functions that crossings call with the C calling convention.
//! Whatever the type, parameters that fit registers are in the five integer and eight float
//! registers after the first, in their order per class; so one signature serves all.
#![allow(unsafe_code, reason = "functions that are called by assembly")]

use std::sync::Arc;

use precast_abi::types::{FLOAT_REGISTERS, INT_REGISTERS};

use crate::caller::Caller;
use crate::error::Error;
use crate::host::record::{HostDef, HostRecord};
use crate::types::{FuncType, ValType};
use crate::value::{Cell, Val};

/// The host function of type `ty` that `closure` is the body of.
pub(crate) fn define<T, F>(ty: FuncType, closure: F) -> HostDef
where
    T: 'static,
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
{
    let float = matches!(ty.results(), [ValType::F32 | ValType::F64]);
    let call_registers = match float {
        true => float_registers::<T, F> as *const (),
        false => int_registers::<T, F> as *const (),
    };
    let env = Arc::new(closure);
    HostDef {
        ty,
        call_registers,
        call_values: values::<T, F>,
        env: Arc::as_ptr(&env).cast(),
        keep: env,
    }
}

/// Runs the closure with arguments from `cells` and leaves the results there. `later` is where they
/// go if it answers later, null where that is a register.
///
/// # Safety
///
/// As [`HostRecord::run`]; `env` is an `F`; `cells` has as many as parameters and as results.
unsafe fn run<T, F>(record: *const HostRecord, later: *mut Cell, cells: &mut [Cell])
where
    T: 'static,
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + 'static,
{
    let body = |mut store: crate::store::StoreMut<'_, T>, record: &HostRecord| {
        let core = store.core_ptr();
        // SAFETY: the store lives, and who uses it meanwhile has given it back.
        let handles = || unsafe { core.as_ref() }.handles.get();
        // What the function is given of objects ends with it.
        let mark = handles().map_or(0, |_| store.core().handles().mark());
        let outcome = call::<T, F>(store, record, cells);
        if handles().is_some() {
            // SAFETY: as above.
            unsafe { core.as_ref() }.handles().cut(mark);
        }
        outcome
    };
    // SAFETY: the caller's promise.
    unsafe { HostRecord::run::<T, ()>(record, later, body) };
}

/// Calls the closure, and converts what it takes and gives.
fn call<T, F>(
    mut store: crate::store::StoreMut<'_, T>,
    record: &HostRecord,
    cells: &mut [Cell],
) -> Result<(), Error>
where
    T: 'static,
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + 'static,
{
    // SAFETY: `define` made `env` of an `F`, and the record keeps it.
    let closure = unsafe { &*record.env.cast::<F>() };
    let ty = record.ty;
    let arguments: Vec<Val> = (ty.params().iter().zip(&*cells))
        .map(|(&ty, &cell)| Val::from_cell(cell, ty, store.core()))
        .collect();
    let zero = |&ty| Val::default_of(ty).unwrap_or(Val::FuncRef(None));
    let mut results: Vec<Val> = ty.results().iter().map(zero).collect();
    let core = store.core_ptr();
    closure(Caller::new(store, record), &arguments, &mut results)?;
    // SAFETY: the store lives, and the caller is used up.
    let core = unsafe { core.as_ref() };
    for ((cell, &ty), result) in cells.iter_mut().zip(ty.results()).zip(results) {
        *cell = result.to_cell(ty, core)?;
    }
    Ok(())
}

/// # Safety
///
/// Called by a crossing or the host with as many cells as the type has parameters or results.
unsafe extern "C" fn values<T, F>(record: *const HostRecord, cells: *mut Cell)
where
    T: 'static,
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + 'static,
{
    // SAFETY: the caller passes a living record, and cells as its type says.
    unsafe {
        let ty = (*record).ty;
        let len = ty.params().len().max(ty.results().len());
        run::<T, F>(record, cells, std::slice::from_raw_parts_mut(cells, len));
    }
}

/// The cells of a call whose parameters came in registers.
fn gather(
    ty: FuncType,
    ints: [u64; INT_REGISTERS],
    floats: [f64; FLOAT_REGISTERS],
) -> [Cell; INT_REGISTERS + FLOAT_REGISTERS] {
    let mut cells = [Cell::default(); INT_REGISTERS + FLOAT_REGISTERS];
    let (mut ints, mut floats) = (ints.into_iter(), floats.into_iter());
    for (cell, ty) in cells.iter_mut().zip(ty.params()) {
        let bits = match ty {
            ValType::F32 | ValType::F64 => floats.next().map(f64::to_bits),
            _ => ints.next(),
        };
        *cell = Cell([bits.unwrap_or(0), 0]);
    }
    cells
}

macro_rules! registers {
    ($name:ident -> $result:ty, $convert:expr) => {
        /// # Safety
        ///
        /// Called by a crossing for a function whose type fits registers.
        #[allow(clippy::too_many_arguments, reason = "one for each register")]
        #[allow(
            clippy::many_single_char_names,
            reason = "registers have no meaning of their own"
        )]
        unsafe extern "C" fn $name<T, F>(
            record: *const HostRecord,
            a: u64,
            b: u64,
            c: u64,
            d: u64,
            e: u64,
            s: f64,
            t: f64,
            u: f64,
            v: f64,
            w: f64,
            x: f64,
            y: f64,
            z: f64,
        ) -> $result
        where
            T: 'static,
            F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + 'static,
        {
            // SAFETY: the crossing passes a living record; a type that fits registers has no more
            // parameters than there are cells, and at most one result.
            unsafe {
                let mut cells = gather((*record).ty, [a, b, c, d, e], [s, t, u, v, w, x, y, z]);
                run::<T, F>(record, std::ptr::null_mut(), &mut cells);
                ($convert)(cells[0].0[0], (*record).ty)
            }
        }
    };
}

registers!(int_registers -> u64, |bits, _| bits);
registers!(float_registers -> f64, |bits, ty| f64::from_bits(boxed(bits, ty)));

/// A float as registers hold it: above an `f32` all bits are set, which RISC-V asks for.
pub(crate) fn boxed(bits: u64, ty: FuncType) -> u64 {
    match ty.results() {
        [ValType::F32, ..] => bits | 0xffff_ffff << 32,
        _ => bits,
    }
}

const _: () = assert!(INT_REGISTERS == 5 && FLOAT_REGISTERS == 8);
