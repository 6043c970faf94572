//! Asynchronous calls and host functions, on any executor: the feature `async`.
//!
//! A host function gives a future. The guest that called it is suspended with the future as its
//! note, and whoever drives the call awaits that future and resumes the guest with what it gives.
//! Nothing here knows an executor, and nothing blocks.
//!
//! # Safety
//!
//! This file holds unsafe code: arguments are taken from cells that were made of values of the
//! very types, and results are put into as many cells as there are.
#![allow(
    unsafe_code,
    reason = "arguments and results are converted by way of cells"
)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::caller::Caller;
use crate::error::{Error, UseError};
use crate::func::{Func, TypedFunc};
use crate::linker::Linker;
use crate::store::{AsStore, AsStoreMut};
use crate::suspend::{Progress, Suspend, Why};
use crate::types::FuncType;
use crate::value::{Cell, Val};
use crate::wasm_ty::{WasmParams, WasmResults};

/// Gives the results, with the store at hand.
type Finish<T> = Box<dyn FnOnce(Caller<'_, T>) -> Result<Vec<Cell>, Error> + Send>;

/// What a host function leaves that answers later.
struct Answer<T: 'static>(Pin<Box<dyn Future<Output = Result<Finish<T>, Error>> + Send>>);

impl<T: 'static> Linker<T> {
    /// Defines a host function that answers by a future. `P` and `R` are parameters and results as
    /// for [`TypedFunc`]: a function of two has a tuple for its second parameter.
    ///
    /// The guest waits meanwhile; it must have been called by [`TypedFunc::call_async`] or
    /// [`Func::call_async`]. To work on the guest's memory when the future is ready, see
    /// [`Linker::func_async_then`].
    pub fn func_async<P, R, F>(
        &mut self,
        module: &str,
        name: &str,
        function: impl Fn(Caller<'_, T>, P) -> F + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: WasmResults + 'static,
        R: WasmResults + Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        self.func_async_then(module, name, function, |_, results| Ok(results))
    }

    /// As [`Linker::func_async`], with a second part that runs when the future is ready, with the
    /// guest's memory and the host's state at hand.
    ///
    /// It cannot call the guest, which waits for it.
    pub fn func_async_then<P, R, F, Ready>(
        &mut self,
        module: &str,
        name: &str,
        function: impl Fn(Caller<'_, T>, P) -> F + Send + Sync + 'static,
        then: fn(&mut Caller<'_, T>, Ready) -> Result<R, Error>,
    ) -> &mut Self
    where
        P: WasmResults + 'static,
        R: WasmResults + 'static,
        Ready: Send + 'static,
        F: Future<Output = Result<Ready, Error>> + Send + 'static,
    {
        let ty = FuncType::new(P::val_types(), R::val_types());
        let begin = move |caller: Caller<'_, T>, arguments: &[Val], _: &mut [Val]| {
            let params = params::<T, P>(&caller, arguments)?;
            let future = function(caller, params);
            let answer = async move {
                let ready = future.await?;
                let finish: Finish<T> = Box::new(move |mut caller| {
                    let results = then(&mut caller, ready)?;
                    let mut cells = vec![Cell::default(); R::LEN];
                    let core = caller.as_store().into_core();
                    // SAFETY: there are as many cells as results.
                    unsafe { results.write(cells.as_mut_ptr(), core)? };
                    Ok(cells)
                });
                Ok(finish)
            };
            Err(Suspend::with_note(Answer(Box::pin(answer))).into())
        };
        self.func_dynamic(module, name, ty, begin)
    }
}

/// Arguments as their types are known to the host.
fn params<T: 'static, P: WasmResults>(
    caller: &Caller<'_, T>,
    arguments: &[Val],
) -> Result<P, Error> {
    let core = caller.as_store().into_core();
    let cells = (arguments.iter().zip(P::val_types()))
        .map(|(value, ty)| value.to_cell(ty, core))
        .collect::<Result<Vec<Cell>, Error>>()?;
    // SAFETY: the function has these parameters, and the guest's code is valid: so there are as
    // many cells, of these types.
    Ok(unsafe { P::read(cells.as_ptr(), core) })
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// Calls it. Host functions that answer later are awaited, and where the store has a time slice
    /// the executor gets its turn whenever that is used up.
    ///
    /// If the future is dropped before it is ready, the guest is given up, as after a trap.
    ///
    /// # Errors
    ///
    /// As for [`TypedFunc::call`], and what the futures of host functions fail with.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub async fn call_async<S: AsStoreMut>(&self, store: S, params: P) -> Result<R, Error> {
        drive(self.start(store, params)).await
    }
}

impl Func {
    /// As [`TypedFunc::call_async`], of a type known at run time.
    ///
    /// # Errors
    ///
    /// As for [`Func::call`], and what the futures of host functions fail with.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub async fn call_async<S: AsStoreMut>(
        &self,
        store: S,
        arguments: &[Val],
    ) -> Result<Vec<Val>, Error> {
        drive(self.start(store, arguments)).await
    }
}

/// Goes on with a call until it is over.
async fn drive<S: AsStoreMut, R>(mut progress: Progress<S, R>) -> Result<R, Error> {
    loop {
        let mut guest = match progress {
            Progress::Done(_, result) => return result,
            Progress::Suspended(guest) => guest,
        };
        match guest.why() {
            Why::TimeSlice => Turn::default().await,
            Why::HostCall => {
                let note = guest.take_note().ok_or(UseError::CannotSuspend)?;
                let answer = note.downcast::<Answer<S::Data>>();
                let answer = answer.map_err(|_| UseError::CannotSuspend)?;
                let finish = answer.0.await?;
                guest.answer_with(finish)?;
            }
        }
        progress = guest.resume();
    }
}

/// Lets the executor do something else once.
#[derive(Default)]
struct Turn {
    taken: bool,
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.taken {
            return Poll::Ready(());
        }
        self.taken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
