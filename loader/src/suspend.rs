//! Guests that wait: suspended when a host function cannot answer yet, or when their time slice is
//! used up, and resumed later, on any thread.
//!
//! # Safety
//!
//! This file holds unsafe code: a suspended guest is frames on the stack of its store. They are
//! resumed only if the store at hand is still the one, and holds the very suspension: its number,
//! given out once, is compared. While it holds, the store refuses entry. What gives access to a store
//! is the embedder's code, which may give another every time: so each use compares anew, with the
//! very access that it then goes on with.
#![allow(
    unsafe_code,
    reason = "suspended guests are resumed by the addresses of their frames"
)]

use std::any::Any;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::activation::{Activation, SUSPENDED, Waiting};
#[cfg(feature = "async")]
use crate::caller::Caller;
use crate::entry::{self, Entry, Rest, WayBack};
use crate::error::{Error, UseError};
use crate::func::{Func, Target, TypedFunc};
use crate::host::dynamic::boxed;
use crate::host::record::HostRecord;
use crate::store::{AsStoreMut, StoreCore};
use crate::trap::Backtrace;
use crate::types::{FuncType, ValType};
use crate::value::{Cell, Val};
use crate::wasm_ty::{WasmParams, WasmResults};

/// What a host function returns as its error if it cannot answer yet.
///
/// The guest that called it is suspended then, if it was started by [`TypedFunc::start`] or
/// [`Func::start`] and no other host function waits below; else the call fails with
/// [`UseError::CannotSuspend`].
#[derive(Debug, Default)]
pub struct Suspend {
    /// The lock makes it fit for errors, which threads may share; it is never contended.
    note: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Suspend {
    /// With nothing to tell.
    pub fn new() -> Suspend {
        Suspend::default()
    }

    /// With something for whoever resumes the guest: see [`Suspended::take_note`].
    pub fn with_note(note: impl Any + Send) -> Suspend {
        Suspend {
            note: Mutex::new(Some(Box::new(note))),
        }
    }
}

/// How a call that can be suspended has come to rest. `S` is what gave access to the store, and `R`
/// the results.
#[derive(Debug)]
pub enum Progress<S: AsStoreMut, R> {
    /// It is over.
    Done(S, Result<R, Error>),
    /// It waits.
    Suspended(Suspended<S, R>),
}

impl<S: AsStoreMut, R> Progress<S, R> {
    /// The store and the results.
    ///
    /// # Panics
    ///
    /// If the guest waits.
    pub fn unwrap_done(self) -> (S, Result<R, Error>) {
        match self {
            Progress::Done(store, result) => (store, result),
            Progress::Suspended(_) => panic!("the guest is suspended"),
        }
    }

    /// The guest that waits.
    ///
    /// # Panics
    ///
    /// If the call is over.
    pub fn unwrap_suspended(self) -> Suspended<S, R> {
        match self {
            Progress::Suspended(guest) => guest,
            Progress::Done(..) => panic!("the call is over"),
        }
    }
}

/// Why a guest waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A host function will answer later. The guest needs its results to go on.
    HostCall,
    /// Its time slice is used up, see [`crate::Store::set_time_slice`].
    TimeSlice,
}

/// A guest that was suspended, with the access to its store.
///
/// Meanwhile the store refuses to run other guests. It may be moved to another thread and resumed
/// there. If it is dropped, the guest is given up, as after a trap.
pub struct Suspended<S: AsStoreMut, R> {
    /// `None` once it was taken out.
    store: Option<S>,
    guest: Guest,
    read: Read<R>,
}

/// Takes results from cells.
type Read<R> = fn(&[Cell], Option<FuncType>, &StoreCore) -> R;

/// The frames of one call.
struct Guest {
    store: NonZeroU64,
    suspension: u64,
    /// Where it is not known when the host is compiled.
    ty: Option<FuncType>,
    stack_top: usize,
    /// Arguments and results of the call. The entry stub has its address.
    values: Vec<Cell>,
    state: State,
}

// SAFETY: the cells that a waiting function's record points to are on the stack of the guest's
// store, and followed only together with that store.
unsafe impl Send for Guest {}
// SAFETY: as above; nothing is changed through `&Guest`.
unsafe impl Sync for Guest {}

enum State {
    /// It runs.
    Running,
    Waits(Waiting),
    /// Results were given, or none are needed.
    AtCall,
    Anywhere,
}

impl Guest {
    /// Whether this very guest is suspended in the store.
    fn is_in(&self, core: &StoreCore) -> bool {
        let activation: &Activation = &core.activation;
        core.id == self.store
            && activation.guest_fp.load(Ordering::Relaxed) == SUSPENDED
            && activation.suspension.get() == self.suspension
    }

    /// Takes note of how a stretch of running ended. `None` where the guest is suspended.
    fn rest(&mut self, core: &StoreCore, rest: Result<Rest, Error>) -> Option<Result<(), Error>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.state = match rest {
            Ok(Rest::Returned) => return Some(Ok(())),
            Err(error) => return Some(Err(error)),
            Ok(Rest::Waits(waiting)) => State::Waits(waiting),
            Ok(Rest::AtCall) => State::AtCall,
            Ok(Rest::Anywhere) => State::Anywhere,
        };
        self.suspension = NEXT.fetch_add(1, Ordering::Relaxed);
        core.activation.suspension.set(self.suspension);
        None
    }
}

impl<S: AsStoreMut, R> Suspended<S, R> {
    /// Calls a guest function so that it can be suspended.
    ///
    /// # Safety
    ///
    /// `target` must be of the store with this id, of the type that `ty` says or `read` knows, and `values` as
    /// many cells as it needs, with the arguments.
    unsafe fn start(
        mut store: S,
        id: NonZeroU64,
        target: Target,
        ty: Option<FuncType>,
        mut values: Vec<Cell>,
        read: Read<R>,
    ) -> Progress<S, R> {
        let mut access = store.as_store_mut();
        if let Err(error) = access.core().check(id) {
            return Progress::Done(store, Err(error.into()));
        }
        let core = access.core_ptr();
        let entry: Entry = match target {
            Target::Guest(entry) => entry,
            Target::Host(record) => {
                // SAFETY: the caller's promise.
                let result =
                    unsafe { HostRecord::call_from_host(record, core, values.as_mut_ptr()) };
                // SAFETY: the store lives, and the function has returned.
                let core = unsafe { core.as_ref() };
                let result = result.map(|()| read(&values, ty, core));
                return Progress::Done(store, result);
            }
        };
        let mut guest = Guest {
            store: id,
            suspension: 0,
            ty,
            stack_top: entry.stack_top,
            values,
            state: State::Running,
        };
        // SAFETY: the caller's promise; the cells stay where they are as long as `guest` has them,
        // which gives the guest's frames up before.
        let rest = unsafe { entry::start(core, &entry, guest.values.as_mut_ptr()) };
        Suspended::progress(store, guest, read, rest)
    }

    fn progress(
        store: S,
        mut guest: Guest,
        read: Read<R>,
        rest: Result<Rest, Error>,
    ) -> Progress<S, R> {
        let core = store.as_store().into_core();
        if let Err(error) = core.check(guest.store) {
            return Progress::Done(store, Err(error.into()));
        }
        match guest.rest(core, rest) {
            None => Progress::Suspended(Suspended {
                store: Some(store),
                guest,
                read,
            }),
            Some(result) => {
                let result = result.map(|()| read(&guest.values, guest.ty, core));
                Progress::Done(store, result)
            }
        }
    }

    fn access(&self) -> &S {
        self.store.as_ref().expect(TAKEN)
    }

    /// What gives access to the store.
    pub fn store(&self) -> &S {
        self.access()
    }

    /// What gives access to the store.
    pub fn store_mut(&mut self) -> &mut S {
        self.store.as_mut().expect(TAKEN)
    }

    /// Why the guest waits.
    pub fn why(&self) -> Why {
        match self.guest.state {
            State::Waits(_) => Why::HostCall,
            State::Running | State::AtCall | State::Anywhere => Why::TimeSlice,
        }
    }

    /// What the host function told that cannot answer yet, once.
    pub fn take_note(&mut self) -> Option<Box<dyn Any + Send>> {
        match &mut self.guest.state {
            State::Waits(waiting) => {
                let note = waiting.note.note.get_mut();
                note.unwrap_or_else(PoisonError::into_inner).take()
            }
            _ => None,
        }
    }

    /// The types of the results that the guest needs to go on.
    pub fn needs(&self) -> Vec<ValType> {
        match &self.guest.state {
            State::Waits(waiting) => waiting.ty.results().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Where the guest is, innermost first.
    pub fn backtrace(&self) -> Backtrace {
        let core = self.access().as_store().into_core();
        match self.guest.is_in(core) {
            true => crate::backtrace::of_landing(&core.activation, core.activation.landing.get()),
            false => Backtrace::default(),
        }
    }

    /// Gives the results that the guest needs to go on.
    ///
    /// # Errors
    ///
    /// If their number or types are not those that it needs.
    pub fn give(&mut self, results: &[Val]) -> Result<(), Error> {
        let core = self.store.as_ref().expect(TAKEN).as_store().into_core();
        let needed: &[ValType] = match &self.guest.state {
            State::Waits(waiting) => waiting.ty.results(),
            _ => &[],
        };
        if needed.len() != results.len() {
            return Err(UseError::ValueCount {
                expected: needed.len(),
                found: results.len(),
                of: "results",
            }
            .into());
        }
        if !self.guest.is_in(core) {
            return Err(UseError::NotSuspended.into());
        }
        let cells = (results.iter().zip(needed))
            .map(|(value, &ty)| value.to_cell(ty, core))
            .collect::<Result<Vec<Cell>, Error>>()?;
        self.put(&cells);
        Ok(())
    }

    /// As [`Suspended::give`], by what gives them with the store at hand.
    #[cfg(feature = "async")]
    pub(crate) fn answer_with(
        &mut self,
        finish: impl FnOnce(Caller<'_, S::Data>) -> Result<Vec<Cell>, Error>,
    ) -> Result<(), Error> {
        let State::Waits(waiting) = &self.guest.state else {
            return Err(UseError::NotSuspended.into());
        };
        let store = self.store.as_mut().expect(TAKEN).as_store_mut();
        if !self.guest.is_in(store.core()) {
            return Err(UseError::NotSuspended.into());
        }
        // SAFETY: the record lives as long as its store, which is at hand.
        let cells = finish(Caller::new(store, unsafe { &*waiting.record }))?;
        self.put(&cells);
        Ok(())
    }

    /// Puts results where the guest looks for them: as many as it needs, if it is suspended.
    fn put(&mut self, cells: &[Cell]) {
        let core = self.store.as_ref().expect(TAKEN).as_store().into_core();
        if !self.guest.is_in(core) {
            return;
        }
        if let State::Waits(waiting) = &self.guest.state {
            // SAFETY: the guest is suspended, so its frames are in place, and the cells belong to
            // the frame of the stub that called the function, for as many values as its type has.
            unsafe { answer(waiting, &core.activation, cells) };
            self.guest.state = State::AtCall;
        }
    }

    /// Lets the guest go on.
    ///
    /// If it needs results, [`Suspended::give`] must have been called; else it is given up, and the
    /// call fails with [`UseError::NoResults`]. A function without results needs none.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub fn resume(mut self) -> Progress<S, R> {
        if self.needs().is_empty() && matches!(self.guest.state, State::Waits(_)) {
            self.guest.state = State::AtCall;
        }
        let way = match self.guest.state {
            State::AtCall => WayBack::Crossing,
            State::Anywhere => WayBack::Registers,
            State::Running | State::Waits(_) => return self.refuse(UseError::NoResults),
        };
        let mut access = self.store.as_mut().expect(TAKEN).as_store_mut();
        if !self.guest.is_in(access.core()) {
            return self.refuse(UseError::NotSuspended);
        }
        let core = access.core_ptr();
        // SAFETY: the store is the caller's, and the guest is suspended in it, as just checked: so
        // its frames are in place.
        let rest = unsafe { entry::resume(core, self.guest.stack_top, way) };
        let (store, guest, read) = self.take_apart();
        Suspended::progress(store, guest, read, rest)
    }

    /// Gives the guest up, as after a trap.
    pub fn abandon(self) -> S {
        self.give_up();
        self.take_apart().0
    }

    fn refuse(self, error: UseError) -> Progress<S, R> {
        Progress::Done(self.abandon(), Err(error.into()))
    }

    fn give_up(&self) {
        if let Some(store) = &self.store {
            let core = store.as_store().into_core();
            if self.guest.is_in(core) {
                core.activation.abandon();
            }
        }
    }

    /// The parts, without giving anything up.
    fn take_apart(mut self) -> (S, Guest, Read<R>) {
        let store = self.store.take().expect(TAKEN);
        let gone = Guest {
            values: Vec::new(),
            state: State::Running,
            ..self.guest
        };
        (store, std::mem::replace(&mut self.guest, gone), self.read)
    }
}

const TAKEN: &str = "the store is taken out only by what uses this up";

/// Puts the results of a host function where its guest looks for them.
///
/// # Safety
///
/// The guest must be suspended where it called the function, and `cells` as many as its results.
unsafe fn answer(waiting: &Waiting, activation: &Activation, cells: &[Cell]) {
    if !waiting.cells.is_null() {
        // SAFETY: the caller's promise.
        unsafe {
            waiting
                .cells
                .copy_from_nonoverlapping(cells.as_ptr(), cells.len());
        }
    } else if let Some(&Cell(bits)) = cells.first() {
        let saved = activation.saved.get();
        let bits = boxed(bits[0], waiting.ty);
        activation.saved.set(saved.with_result(bits));
    }
}

impl<S: AsStoreMut, R> Drop for Suspended<S, R> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl<S: AsStoreMut, R> std::fmt::Debug for Suspended<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suspended")
            .field("why", &self.why())
            .finish_non_exhaustive()
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// Calls it so that it can be suspended: by a host function that cannot answer yet, see
    /// [`Suspend`], or by the store's time slice.
    ///
    /// Slower than [`TypedFunc::call`], as arguments and results are kept on the heap.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub fn start<S: AsStoreMut>(&self, store: S, params: P) -> Progress<S, R> {
        let core = store.as_store().into_core();
        let mut values = vec![Cell::default(); P::LEN.max(R::LEN)];
        // SAFETY: there are as many cells.
        let written = core
            .check(self.store)
            .map_err(Error::from)
            .and_then(|()| unsafe { params.write(values.as_mut_ptr(), core) });
        if let Err(error) = written {
            return Progress::Done(store, Err(error));
        }
        // SAFETY: there are as many cells as results, and the function was checked to be of these
        // types.
        let read: Read<R> = |cells, _, core| unsafe { R::read(cells.as_ptr(), core) };
        // SAFETY: the target belongs to the store, as checked, and is of these types.
        unsafe { Suspended::start(store, self.store, self.target, None, values, read) }
    }
}

impl Func {
    /// As [`TypedFunc::start`], of a type known at run time.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub fn start<S: AsStoreMut>(&self, store: S, arguments: &[Val]) -> Progress<S, Vec<Val>> {
        let core = store.as_store().into_core();
        let (target, ty, values) = match self.prepare(core, arguments) {
            Ok(prepared) => prepared,
            Err(error) => return Progress::Done(store, Err(error)),
        };
        let read: Read<Vec<Val>> = |cells, ty, core| {
            let types = ty.map_or(&[][..], |ty| ty.results());
            let results = cells.iter().zip(types);
            results
                .map(|(&cell, &ty)| Val::from_cell(cell, ty, core))
                .collect()
        };
        // SAFETY: the target belongs to the store, and the cells fit its type.
        unsafe { Suspended::start(store, self.store, target, Some(ty), values, read) }
    }
}
