//! Host functions that are plain `extern "C"` functions: a crossing calls them with nothing
//! between.
//!
//! # Safety
//!
//! This file holds unsafe code. The type of the function pointer tells the function's
//! [`FuncType`], so that generated code passes what it takes.
#![allow(unsafe_code, reason = "functions that are called by assembly")]

use std::marker::PhantomData;
use std::sync::Arc;

use crate::caller::Caller;
use crate::guest_memory::GuestMemory;
use crate::host::record::{HostDef, HostRecord};
use crate::store::StoreMut;
use crate::types::FuncType;
use crate::value::Cell;
use crate::wasm_ty::{WasmParams, WasmResults, WasmTy};
use crate::window::Readers;

/// First parameter of a plain `extern "C"` host function.
///
/// Such a function must not panic: a panic in it ends the process.
#[repr(transparent)]
pub struct RawCaller<'a> {
    record: *const HostRecord,
    store: PhantomData<&'a mut ()>,
}

impl<'a> RawCaller<'a> {
    /// Memory 0 of the instance that imports this function.
    #[inline]
    pub fn memory(&mut self) -> Option<GuestMemory<'_>> {
        self.memory_for(Readers::Anywhere)
    }

    /// The same for a function that uses the memory on its own thread only: see
    /// [`Caller::local_memory_and_data`].
    #[inline]
    pub fn local_memory(&mut self) -> Option<GuestMemory<'_>> {
        self.memory_for(Readers::Here)
    }

    #[inline(always)]
    fn memory_for(&mut self, readers: Readers) -> Option<GuestMemory<'_>> {
        // SAFETY: crossings pass the record of a function of a living store.
        let record = unsafe { &*self.record };
        if record.memory.is_null() {
            return None;
        }
        // SAFETY: as for `Caller::memory_and_data`.
        unsafe { GuestMemory::new(record.memory.read(), record.window, readers) }
    }

    /// The caller with its store, as other host functions have it.
    ///
    /// # Safety
    ///
    /// `T` must be the type of the store's data.
    pub unsafe fn into_caller<T: 'static>(self) -> Caller<'a, T> {
        // SAFETY: crossings pass the record of a function of a living store, which no one else
        // uses until the function returns; the caller vouches for the type.
        unsafe {
            let record = &*self.record;
            let store = StoreMut::<T>::from_core((*record.activation).core());
            Caller::new(store, record)
        }
    }
}

/// Numbers: what plain host functions take and return.
pub trait RawNumber: WasmTy + Copy {}

impl RawNumber for i32 {}
impl RawNumber for u32 {}
impl RawNumber for i64 {}
impl RawNumber for u64 {}
impl RawNumber for f32 {}
impl RawNumber for f64 {}

/// What plain host functions return: one number or nothing.
pub trait RawResult: Copy + sealed::Sealed + 'static {
    #[doc(hidden)]
    type Results: WasmResults;
    #[doc(hidden)]
    fn to_cell(self) -> Cell;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for () {}

impl RawResult for () {
    type Results = ();

    fn to_cell(self) -> Cell {
        Cell::default()
    }
}

macro_rules! raw_results {
    ($($ty:ty),*) => {$(
        impl sealed::Sealed for $ty {}

        impl RawResult for $ty {
            type Results = $ty;

            fn to_cell(self) -> Cell {
                <$ty as WasmTy>::to_cell(self as <$ty as WasmTy>::Abi)
            }
        }
    )*};
}

raw_results!(i32, u32, i64, u64, f32, f64);

/// `extern "C"` functions that can be host functions: those that take a [`RawCaller`] and up to
/// eight numbers and return one or nothing.
pub trait IntoRawFunc<Params>: Copy + Send + Sync + 'static {
    #[doc(hidden)]
    fn into_host_def(self) -> RawFn;
}

/// A plain host function, for stores of any data.
pub struct RawFn(pub(crate) HostDef);

macro_rules! functions {
    ($($arg:ident)*) => {
        #[allow(non_snake_case, reason = "each parameter is named as its type")]
        impl<R, $($arg),*> IntoRawFunc<(R, $($arg,)*)>
            for extern "C" fn(RawCaller<'_>, $($arg),*) -> R
        where
            R: RawResult,
            $($arg: RawNumber + 'static,)*
        {
            fn into_host_def(self) -> RawFn {
                /// # Safety
                ///
                /// Called by a crossing or the host, with cells as the function's type says.
                unsafe extern "C" fn values<R: RawResult, $($arg: RawNumber),*>(
                    record: *const HostRecord,
                    values: *mut Cell,
                ) {
                    type Function<R, $($arg),*> = extern "C" fn(RawCaller<'_>, $($arg),*) -> R;
                    // SAFETY: `env` was made of such a function below, the record lives, and there
                    // are as many cells as parameters and results. A number and what the calling
                    // convention makes of it have the same bits.
                    unsafe {
                        let function: Function<R, $($arg),*> = std::mem::transmute((*record).env);
                        #[allow(unused_mut, reason = "there may be no parameters")]
                        let mut next = values;
                        $(
                            let $arg = std::mem::transmute_copy::<$arg::Abi, $arg>(
                                &$arg::from_cell(*next),
                            );
                            next = next.add(1);
                        )*
                        let _ = next;
                        let caller = RawCaller { record, store: PhantomData };
                        let result = function(caller, $($arg),*);
                        if R::Results::LEN == 1 {
                            values.write(result.to_cell());
                        }
                    }
                }

                RawFn(HostDef {
                    ty: FuncType::new([$($arg::val_type()),*], R::Results::val_types()),
                    call_registers: self as *const (),
                    call_values: values::<R, $($arg),*>,
                    env: self as *const (),
                    keep: Arc::new(()),
                })
            }
        }
    };
}

functions!();
functions!(A1);
functions!(A1 A2);
functions!(A1 A2 A3);
functions!(A1 A2 A3 A4);
functions!(A1 A2 A3 A4 A5);
functions!(A1 A2 A3 A4 A5 A6);
functions!(A1 A2 A3 A4 A5 A6 A7);
functions!(A1 A2 A3 A4 A5 A6 A7 A8);
