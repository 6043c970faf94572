//! Linkers, and host functions that are functions of C.
//!
//! A linker may be reached again while it is in use: by a host function that it defined, called by
//! a start function. So it is counted, and locked: what would have to wait is an error instead.

use std::ffi::{c_char, c_void};
use std::mem::{MaybeUninit, offset_of};
use std::sync::{Arc, RwLock, RwLockReadGuard, TryLockError};

use loader::{AsStore, AsStoreMut, Caller, FuncType, Linker, Val};

use crate::error::{self, Failure, FromHost, Result, answer, given, misuse};
use crate::module::CModule;
use crate::signature;
use crate::store::{self, CStore, Data, Finalizer, Kind, Owned};
use crate::text;
use crate::value::{CExtern, CInstance, CVal, zero_of};

/// `precast_linker`
pub(crate) struct CLinker(Arc<RwLock<Linker<Data>>>);

impl CLinker {
    /// Another owner, who may use it whatever happens to this one.
    pub(crate) fn share(&self) -> Shared {
        Shared(Arc::clone(&self.0))
    }

    /// Changes it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Linker<Data>) -> R) -> Result<R> {
        let linker = Arc::clone(&self.0);
        let mut linker = match linker.try_write() {
            Ok(linker) => linker,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(misuse("the linker is in use: it cannot be changed now"));
            }
        };
        Ok(change(&mut linker))
    }
}

/// A linker for reading.
pub(crate) struct Shared(Arc<RwLock<Linker<Data>>>);

impl Shared {
    /// An error where it is just being changed: by another thread, or by whoever called a finalizer
    /// that comes here.
    pub(crate) fn read(&self) -> Result<RwLockReadGuard<'_, Linker<Data>>> {
        match self.0.try_read() {
            Ok(linker) => Ok(linker),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(misuse("the linker is in use: it is being changed"))
            }
        }
    }
}

/// `precast_caller`: what a host function gets. It lives until the function returns.
#[repr(C)]
pub(crate) struct CCaller {
    store: CStore,
    pub(crate) caller: *mut Caller<'static, Data>,
}

/// `precast_host_func`
type HostFunc = extern "C" fn(
    *mut c_void,
    Option<&CCaller>,
    *const CVal,
    usize,
    *mut CVal,
    usize,
) -> Option<Box<error::Error>>;

/// Calls a function of C for a guest.
fn call_host(
    function: HostFunc,
    env: &Owned,
    ty: FuncType,
    mut caller: Caller<'_, Data>,
    args: &[Val],
    results: &mut [Val],
) -> std::result::Result<(), loader::Error> {
    let args: Vec<CVal> = args.iter().map(|&arg| arg.into()).collect();
    let zeros = ty.results().iter().map(|&ty| zero_of(ty).into());
    let mut given: Vec<CVal> = zeros.collect();
    let pointer = (&raw mut caller).cast::<Caller<'static, Data>>();
    let reached = CCaller {
        store: CStore::new(Kind::Caller(pointer)),
        caller: pointer,
    };
    let failure = function(
        env.get(),
        Some(&reached),
        args.as_ptr(),
        args.len(),
        given.as_mut_ptr(),
        given.len(),
    );
    drop(reached);
    if let Some(error) = failure {
        return Err(error.into_loader(|| caller.backtrace()));
    }
    for (result, given) in results.iter_mut().zip(&given) {
        *result = given
            .get()
            .map_err(|error| loader::Error::host(FromHost(error)))?;
    }
    Ok(())
}

/// `precast_linker_new`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_new(out: Option<&mut MaybeUninit<*mut CLinker>>) -> Failure {
    error::make(out, || Ok(CLinker(Arc::new(RwLock::new(Linker::new())))))
}

/// `precast_linker_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_delete(linker: Option<Box<CLinker>>) {
    answer((), || {
        drop(linker);
        Some(())
    });
}

/// `precast_linker_define_func`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_define_func(
    linker: Option<&CLinker>,
    module: *const c_char,
    name: *const c_char,
    ty: *const c_char,
    function: Option<HostFunc>,
    env: *mut c_void,
    finalizer: Option<Finalizer>,
) -> Failure {
    // Made first: whatever goes wrong, the finalizer is called.
    let env = Owned::new(env, finalizer);
    error::run(|| {
        let linker = given(linker, "the linker")?;
        let module = text::given(module, "the name of the module")?;
        let name = text::given(name, "the name")?;
        let ty = signature::func_type(ty)?;
        let function = given(function, "the function")?;
        linker.change(|linker| {
            linker.func_dynamic(module, name, ty, move |caller, args, results| {
                call_host(function, &env, ty, caller, args, results)
            });
        })
    })
}

/// `precast_linker_define`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_define(
    linker: Option<&CLinker>,
    store: Option<&CStore>,
    module: *const c_char,
    name: *const c_char,
    item: Option<&CExtern>,
) -> Failure {
    error::run(|| {
        let linker = given(linker, "the linker")?;
        let module = text::given(module, "the name of the module")?;
        let name = text::given(name, "the name")?;
        let item = given(item, "the item")?.get()?;
        let store = store::enter(store)?;
        linker.change(|linker| {
            linker.define(store.as_store(), module, name, item)?;
            Ok(())
        })?
    })
}

/// `precast_linker_define_instance`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_define_instance(
    linker: Option<&CLinker>,
    store: Option<&CStore>,
    module: *const c_char,
    instance: CInstance,
) -> Failure {
    error::run(|| {
        let linker = given(linker, "the linker")?;
        let module = text::given(module, "the name of the module")?;
        let store = store::enter(store)?;
        linker.change(|linker| {
            linker.instance(store.as_store(), module, instance.get()?)?;
            Ok(())
        })?
    })
}

/// `precast_linker_define_wasi`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_define_wasi(linker: Option<&CLinker>) -> Failure {
    error::run(|| {
        given(linker, "the linker")?
            .change(|linker| precast_wasi::add_to_linker(linker, Data::world))
    })
}

/// `precast_linker_instantiate`
#[unsafe(no_mangle)]
extern "C" fn precast_linker_instantiate(
    linker: Option<&CLinker>,
    store: Option<&CStore>,
    module: Option<&CModule>,
    out: Option<&mut MaybeUninit<CInstance>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        out.write(CInstance::default());
        let linker = given(linker, "the linker")?.share();
        let module = given(module, "the module")?.module.clone();
        let mut store = store::enter(store)?;
        let instance = linker.read()?.instantiate(store.as_store_mut(), &module)?;
        out.write(instance.into());
        Ok(())
    })
}

/// `precast_caller_store`
#[unsafe(no_mangle)]
extern "C" fn precast_caller_store(caller: *mut CCaller) -> *mut CStore {
    const { assert!(offset_of!(CCaller, store) == 0) };
    caller.cast()
}

/// `precast_caller_instance`
#[unsafe(no_mangle)]
extern "C" fn precast_caller_instance(
    caller: Option<&CCaller>,
    out: Option<&mut MaybeUninit<CInstance>>,
) -> bool {
    answer(false, || {
        let caller = caller?;
        let _store = caller.store.enter().ok()?;
        // SAFETY: the caller lives until the host function returns, and is taken for this.
        let instance = unsafe { &*caller.caller }.instance()?;
        out?.write(instance.into());
        Some(true)
    })
}

/// `precast_caller_interrupted`
#[unsafe(no_mangle)]
extern "C" fn precast_caller_interrupted(caller: Option<&CCaller>) -> bool {
    answer(false, || {
        let caller = caller?;
        let _store = caller.store.enter().ok()?;
        // SAFETY: the caller lives until the host function returns, and is taken for this.
        Some(unsafe { &*caller.caller }.interrupted())
    })
}

/// `precast_caller_memory`
#[unsafe(no_mangle)]
extern "C" fn precast_caller_memory(
    caller: Option<&CCaller>,
    data: Option<&mut MaybeUninit<*const u8>>,
    len: Option<&mut MaybeUninit<usize>>,
) -> Failure {
    error::run(|| {
        let caller = given(caller, "the caller")?;
        let data = given(data, "the place for the address")?;
        let len = given(len, "the place for the length")?;
        let _store = caller.store.enter()?;
        // SAFETY: the caller lives until the host function returns, and is taken for this.
        let found = unsafe { &mut *caller.caller }.memory_and_data();
        let (memory, _) = given(found, "the memory of the guest that calls")?;
        data.write(memory.as_ptr());
        len.write(memory.len());
        Ok(())
    })
}

/// `precast_caller_range`
#[unsafe(no_mangle)]
extern "C" fn precast_caller_range(
    caller: Option<&CCaller>,
    offset: u64,
    len: usize,
    data: Option<&mut MaybeUninit<*mut u8>>,
) -> Failure {
    error::run(|| {
        let caller = given(caller, "the caller")?;
        let data = given(data, "the place for the address")?;
        let _store = caller.store.enter()?;
        // SAFETY: the caller lives until the host function returns, and is taken for this.
        let found = unsafe { &mut *caller.caller }.memory_and_data();
        let (mut memory, _) = given(found, "the memory of the guest that calls")?;
        let end = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(len)?));
        let range = end.and_then(|range| memory.slice_mut(range));
        let range = range.ok_or_else(|| misuse("out of bounds"))?;
        data.write(range.as_mut_ptr());
        Ok(())
    })
}
