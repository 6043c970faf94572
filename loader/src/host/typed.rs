//! Host functions made of closures whose types are known when the host is compiled.
//!
//! # Safety
//!
//! This file holds unsafe code: functions that crossings call with the C calling convention, whose
//! parameters are what [`WasmTy::Abi`] says for the closure's own types. The function's
//! [`FuncType`] is made of the same types, so that generated code passes just those.
#![allow(unsafe_code, reason = "functions that are called by assembly")]

use std::sync::Arc;

use crate::caller::Caller;
use crate::error::Error;
use crate::host::record::{HostDef, HostRecord};
use crate::store::{AsStore, StoreCore};
use crate::types::FuncType;
use crate::value::Cell;
use crate::wasm_ty::{WasmParams, WasmResults, WasmTy};

/// What a host closure may return: results, or a [`Result`] of them.
pub trait HostResult {
    /// The results.
    type Results: WasmResults;

    /// The same as a [`Result`].
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Results, Error>;
}

impl<R: WasmResults> HostResult for R {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R, Error> {
        Ok(self)
    }
}

impl<R: WasmResults> HostResult for Result<R, Error> {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R, Error> {
        self
    }
}

/// Closures that can be host functions: those that take a [`Caller`] and up to sixteen values, and
/// return a [`HostResult`].
///
/// `Params` tells the compiler which closure types are meant; it is always inferred.
pub trait IntoHostFunc<T, Params>: Send + Sync + Sized + 'static {
    #[doc(hidden)]
    fn into_host_def(self) -> HostFn<T>;
}

/// A host function for stores of `T`, not yet of any.
pub struct HostFn<T> {
    pub(crate) def: HostDef,
    data: std::marker::PhantomData<fn(T)>,
}

#[inline(always)]
fn core_of<'a, T: 'static>(caller: &'a Caller<'_, T>) -> &'a StoreCore {
    caller.as_store().into_core()
}

macro_rules! closures {
    ($($arg:ident)*) => {
        #[allow(non_snake_case, reason = "each parameter is named as its type")]
        impl<T, Closure, R, $($arg),*> IntoHostFunc<T, (R, $($arg,)*)> for Closure
        where
            T: 'static,
            Closure: Fn(Caller<'_, T>, $($arg),*) -> R + Send + Sync + 'static,
            R: HostResult + 'static,
            $($arg: WasmTy + 'static,)*
        {
            fn into_host_def(self) -> HostFn<T> {
                /// # Safety
                ///
                /// Called by a crossing, for a function of this closure's own type.
                unsafe extern "C" fn registers<T, Closure, R, $($arg),*>(
                    record: *const HostRecord,
                    $($arg: $arg::Abi),*
                ) -> <R::Results as WasmResults>::Abi
                where
                    T: 'static,
                    Closure: Fn(Caller<'_, T>, $($arg),*) -> R + 'static,
                    R: HostResult,
                    $($arg: WasmTy,)*
                {
                    // SAFETY: as this function's own.
                    let results = unsafe {
                        HostRecord::run::<T, _>(record, std::ptr::null_mut(), |mut store, record| {
                            // SAFETY: `env` was made of this closure below, and is kept.
                            let closure = &*record.env.cast::<Closure>();
                            let core = store.core_ptr();
                            let caller = Caller::new(store, record);
                            $(let $arg = $arg::from_abi($arg, core_of(&caller));)*
                            let results = closure(caller, $($arg),*).into_result()?;
                            // SAFETY: the store lives, and the caller is used up.
                            results.into_abi(core.as_ref())
                        })
                    };
                    results.unwrap_or_else(<R::Results as WasmResults>::zero)
                }

                /// # Safety
                ///
                /// Called by a crossing or the host, for a function of this closure's own type,
                /// with as many cells as it has parameters or results.
                unsafe extern "C" fn values<T, Closure, R, $($arg),*>(
                    record: *const HostRecord,
                    values: *mut Cell,
                )
                where
                    T: 'static,
                    Closure: Fn(Caller<'_, T>, $($arg),*) -> R + 'static,
                    R: HostResult,
                    $($arg: WasmTy,)*
                {
                    // SAFETY: as this function's own.
                    unsafe {
                        HostRecord::run::<T, _>(record, values, |mut store, record| {
                            // SAFETY: `env` was made of this closure below, and is kept.
                            let closure = &*record.env.cast::<Closure>();
                            let core = store.core_ptr();
                            let caller = Caller::new(store, record);
                            #[allow(unused_mut, reason = "there may be no parameters")]
                            let mut next = values;
                            $(
                                let $arg = $arg::from_abi($arg::from_cell(*next), core_of(&caller));
                                next = next.add(1);
                            )*
                            let _ = next;
                            let results = closure(caller, $($arg),*).into_result()?;
                            // SAFETY: the store lives, and the caller is used up; there is room
                            // for the results.
                            results.write(values, core.as_ref())
                        });
                    }
                }

                let env = Arc::new(self);
                let def = HostDef {
                    ty: FuncType::new([$($arg::val_type()),*], R::Results::val_types()),
                    call_registers: registers::<T, Closure, R, $($arg),*> as *const (),
                    call_values: values::<T, Closure, R, $($arg),*>,
                    env: Arc::as_ptr(&env).cast(),
                    keep: env,
                };
                HostFn { def, data: std::marker::PhantomData }
            }
        }
    };
}

closures!();
closures!(A1);
closures!(A1 A2);
closures!(A1 A2 A3);
closures!(A1 A2 A3 A4);
closures!(A1 A2 A3 A4 A5);
closures!(A1 A2 A3 A4 A5 A6);
closures!(A1 A2 A3 A4 A5 A6 A7);
closures!(A1 A2 A3 A4 A5 A6 A7 A8);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15);
closures!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16);
