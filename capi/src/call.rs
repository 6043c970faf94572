//! Calls that can wait: for a host function that answers later, or for their next slice of time.
//!
//! # Safety
//!
//! A call that waits keeps the address of its store, which the program deletes later, as the header
//! asks. It takes the store for as long as a function of the API uses it and not longer, so that the
//! program can look at the guest's memory meanwhile.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use loader::{AsStore, AsStoreMut, Progress, StoreMut, StoreRef, Suspend, Suspended, Val, Why};

use crate::error::{self, Failure, Result, answer, given, misuse};
use crate::store::{CStore, Data, InUse, Kind};
use crate::text;
use crate::value::{CFunc, CVal};

/// `precast_call`
pub(crate) struct CCall {
    store: NonNull<CStore>,
    state: State,
}

enum State {
    /// What came of it.
    Done(Vec<Val>),
    Waits(Box<Suspended<Access, Vec<Val>>>),
    /// It failed, or a function of the API is at it.
    Over,
}

/// The store of a call: taken while a function of the API is at it.
struct Access(Option<InUse<'static>>);

const TAKEN: &str = "the store is taken by whoever goes on with the call";

impl AsStore for Access {
    type Data = Data;

    fn as_store(&self) -> StoreRef<'_, Data> {
        self.0.as_ref().expect(TAKEN).as_store()
    }
}

impl AsStoreMut for Access {
    fn as_store_mut(&mut self) -> StoreMut<'_, Data> {
        self.0.as_mut().expect(TAKEN).as_store_mut()
    }
}

/// What the program told with `precast_error_new_suspend`.
pub(crate) struct Note(*mut c_void);

// SAFETY: the library never looks at what it points to; the header tells the program that whoever
// goes on with the call gets it, on whatever thread.
unsafe impl Send for Note {}

/// What a host function returns for `precast_error_new_suspend`.
pub(crate) fn suspend(note: *mut c_void) -> loader::Error {
    Suspend::with_note(Note(note)).into()
}

impl CCall {
    /// Takes the store that the call is in.
    fn take(&self) -> Result<InUse<'static>> {
        // SAFETY: the program deletes the store after its calls, as the header asks.
        let store: &'static CStore = unsafe { self.store.as_ref() };
        store.enter()
    }

    /// Notes how a stretch of running ended.
    fn rest(&mut self, progress: Progress<Access, Vec<Val>>) -> Result<()> {
        match progress {
            Progress::Done(_, Ok(results)) => self.state = State::Done(results),
            Progress::Done(_, Err(error)) => {
                self.state = State::Over;
                return Err(error.into());
            }
            Progress::Suspended(mut guest) => {
                guest.store_mut().0 = None;
                self.state = State::Waits(Box::new(guest));
            }
        }
        Ok(())
    }

    /// Uses the guest that waits, with its store.
    fn with_guest<R>(
        &mut self,
        body: impl FnOnce(&mut Suspended<Access, Vec<Val>>) -> Result<R>,
    ) -> Result<R> {
        let store = self.take()?;
        let State::Waits(guest) = &mut self.state else {
            return Err(misuse("the call does not wait"));
        };
        guest.store_mut().0 = Some(store);
        let result = body(guest);
        guest.store_mut().0 = None;
        result
    }
}

impl Drop for CCall {
    fn drop(&mut self) {
        let State::Waits(mut guest) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        match self.take() {
            Ok(store) => {
                guest.store_mut().0 = Some(store);
                drop(guest.abandon());
            }
            // Someone else is at the store: the guest waits for ever.
            Err(_) => std::mem::forget(guest),
        }
    }
}

/// `precast_call_start`
#[unsafe(no_mangle)]
extern "C" fn precast_call_start(
    store: Option<&CStore>,
    func: CFunc,
    args: *const CVal,
    arg_count: usize,
    out: Option<&mut MaybeUninit<*mut CCall>>,
) -> Failure {
    error::make(out, || {
        let args = text::array(args, arg_count, "the array of arguments")?;
        let func = func.get()?;
        let args = args.iter().map(CVal::get).collect::<Result<Vec<Val>>>()?;
        let mut call = CCall {
            store: NonNull::from(given(store, "the store")?),
            state: State::Over,
        };
        let mut store = call.take()?;
        if matches!(store.kind_mut(), Kind::Caller(_)) {
            return Err(misuse("a host function cannot start a call that may wait"));
        }
        let progress = func.start(Access(Some(store)), &args);
        call.rest(progress)?;
        Ok(call)
    })
}

/// `precast_call_get_state`
#[unsafe(no_mangle)]
extern "C" fn precast_call_get_state(call: Option<&CCall>) -> u32 {
    answer(0, || {
        Some(match &call?.state {
            State::Over => 0,
            State::Done(_) => 1,
            State::Waits(guest) => match guest.why() {
                Why::HostCall => 2,
                Why::TimeSlice => 3,
                _ => u32::MAX,
            },
        })
    })
}

/// `precast_call_take_note`
#[unsafe(no_mangle)]
extern "C" fn precast_call_take_note(call: Option<&mut CCall>) -> *mut c_void {
    answer(std::ptr::null_mut(), || {
        let State::Waits(guest) = &mut call?.state else {
            return None;
        };
        let note = guest.take_note()?.downcast::<Note>().ok()?;
        Some(note.0)
    })
}

/// `precast_call_give`
#[unsafe(no_mangle)]
extern "C" fn precast_call_give(
    call: Option<&mut CCall>,
    results: *const CVal,
    count: usize,
) -> Failure {
    error::run(|| {
        let results = text::array(results, count, "the array of results")?;
        let results = results.iter().map(CVal::get);
        let results = results.collect::<Result<Vec<Val>>>()?;
        given(call, "the call")?.with_guest(|guest| Ok(guest.give(&results)?))
    })
}

/// `precast_call_resume`
#[unsafe(no_mangle)]
extern "C" fn precast_call_resume(call: Option<&mut CCall>) -> Failure {
    error::run(|| {
        let call = given(call, "the call")?;
        let store = call.take()?;
        match std::mem::replace(&mut call.state, State::Over) {
            State::Waits(mut guest) => {
                guest.store_mut().0 = Some(store);
                call.rest(guest.resume())
            }
            other => {
                call.state = other;
                Err(misuse("the call does not wait"))
            }
        }
    })
}

/// `precast_call_results`
#[unsafe(no_mangle)]
extern "C" fn precast_call_results(
    call: Option<&CCall>,
    results: *mut CVal,
    count: usize,
) -> Failure {
    error::run(|| {
        let State::Done(values) = &given(call, "the call")?.state else {
            return Err(misuse("the call has no results"));
        };
        if values.len() != count {
            let there = values.len();
            return Err(misuse(format!("the call has {there} results, not {count}")));
        }
        let results = text::array_mut(results, count, "the array of results")?;
        for (result, &value) in results.iter_mut().zip(values) {
            *result = value.into();
        }
        Ok(())
    })
}

/// `precast_call_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_call_delete(call: Option<Box<CCall>>) {
    answer((), || {
        drop(call);
        Some(())
    });
}
