//! Functions, called with arrays of values.

use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;

use loader::{AsStore, AsStoreMut, Val};

use crate::error::{self, Failure, answer, given};
use crate::store::{self, CStore, Finalizer, Owned};
use crate::text;
use crate::value::{CExternRef, CFunc, CVal};

/// More values than this take an allocation.
const FEW: usize = 8;

/// `precast_func_call`
#[unsafe(no_mangle)]
extern "C" fn precast_func_call(
    store: Option<&CStore>,
    func: CFunc,
    args: *const CVal,
    arg_count: usize,
    results: *mut CVal,
    result_count: usize,
) -> Failure {
    error::run(|| {
        let args = text::array(args, arg_count, "the array of arguments")?;
        text::check_array(results, result_count, "the array of results")?;
        let func = func.get()?;
        let mut few = [const { Val::I32(0) }; 2 * FEW];
        let mut many;
        let values = match arg_count.saturating_add(result_count) {
            count if arg_count <= FEW && result_count <= FEW => &mut few[..count],
            count => {
                many = vec![Val::I32(0); count];
                &mut many[..]
            }
        };
        let (given, made) = values.split_at_mut(arg_count);
        for (value, arg) in given.iter_mut().zip(args) {
            *value = arg.get()?;
        }
        let mut store = store::enter(store)?;
        func.call(store.as_store_mut(), given, made)?;
        // Only now: arguments and results may be one array.
        let results = text::array_mut(results, result_count, "the array of results")?;
        for (result, &value) in results.iter_mut().zip(&*made) {
            *result = value.into();
        }
        Ok(())
    })
}

/// `precast_func_type`
#[unsafe(no_mangle)]
extern "C" fn precast_func_type(
    store: Option<&CStore>,
    func: CFunc,
    out: Option<&mut MaybeUninit<*mut c_char>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        out.write(std::ptr::null_mut());
        let store = store::enter(store)?;
        let ty = func.get()?.ty(store.as_store())?;
        out.write(text::owned(&ty.to_string()).into_raw());
        Ok(())
    })
}

/// `precast_string_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_string_delete(string: *mut c_char) {
    answer((), || {
        if !string.is_null() {
            // SAFETY: a string that this library made, as the header asks.
            drop(unsafe { CString::from_raw(string) });
        }
        Some(())
    });
}

/// `precast_externref_new`
#[unsafe(no_mangle)]
extern "C" fn precast_externref_new(
    store: Option<&CStore>,
    data: *mut c_void,
    finalizer: Option<Finalizer>,
    out: Option<&mut MaybeUninit<CExternRef>>,
) -> Failure {
    let data = Owned::new(data, finalizer);
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let mut store = store::enter(store)?;
        out.write(loader::ExternRef::new(store.as_store_mut(), data).into());
        Ok(())
    })
}

/// `precast_externref_data`
#[unsafe(no_mangle)]
extern "C" fn precast_externref_data(
    store: Option<&CStore>,
    reference: CExternRef,
    out: Option<&mut MaybeUninit<*mut c_void>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let reference = reference.get()?;
        let store = store::enter(store)?;
        let data = reference.data(&store)?;
        // Whatever else is in a store was not put there from here.
        let owned = data.downcast_ref::<Owned>();
        out.write(given(owned, "the data of the reference")?.pointer);
        Ok(())
    })
}
