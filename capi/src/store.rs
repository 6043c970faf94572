//! Stores, whoever they belong to: the program, a sandbox, or a host function while it runs.
//!
//! A store says that it is in use for as long as a function of the API uses it, a guest's run
//! included. Whoever reaches for it meanwhile (a host function that was not given it, another
//! thread) is told so, and gets no second reference.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use loader::{
    AsStore, AsStoreMut, Caller, InterruptHandle, Limits, Sandbox, Store, StoreMut, StoreOptions,
    StoreRef,
};
use precast_wasi::{WasiCtx, WasiCtxBuilder};

use crate::error::{self, Failure, Result, answer, given, misuse};
use crate::options::{COptions, choose};

/// What the program keeps in a store, and the guest's world.
pub(crate) struct Data {
    owned: Owned,
    pub(crate) wasi: Option<WasiCtx>,
}

impl Data {
    pub(crate) fn new(owned: Owned) -> Data {
        Data { owned, wasi: None }
    }

    /// The program's pointer.
    pub(crate) fn pointer(&self) -> *mut c_void {
        self.owned.pointer
    }

    /// The guest's world: an empty one unless the program has described another.
    pub(crate) fn world(&mut self) -> &mut WasiCtx {
        self.wasi.get_or_insert_with(|| {
            WasiCtxBuilder::new()
                .build()
                .expect("an empty world has nothing that can fail")
        })
    }
}

/// A pointer of the program's, and the function that ends what it points to.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) pointer: *mut c_void,
    finalizer: Option<Finalizer>,
}

/// `precast_finalizer`
pub(crate) type Finalizer = extern "C" fn(*mut c_void);

// SAFETY: the library never looks at what it points to; the header tells the program from which
// threads its functions are called with it.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    pub(crate) fn new(pointer: *mut c_void, finalizer: Option<Finalizer>) -> Owned {
        Owned { pointer, finalizer }
    }

    /// The pointer. (By a method, so that closures take all of `self`.)
    pub(crate) fn get(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            finalizer(self.pointer);
        }
    }
}

/// `precast_store`
pub(crate) struct CStore {
    in_use: AtomicBool,
    kind: UnsafeCell<Kind>,
}

pub(crate) enum Kind {
    Own(Store<Data>),
    Sandbox(Sandbox<Data>),
    /// That of a host function which runs. The lifetime is that of its call.
    Caller(*mut Caller<'static, Data>),
}

impl CStore {
    pub(crate) fn new(kind: Kind) -> CStore {
        CStore {
            in_use: AtomicBool::new(false),
            kind: UnsafeCell::new(kind),
        }
    }

    /// Takes the store for a function of the API.
    pub(crate) fn enter(&self) -> Result<InUse<'_>> {
        if self.in_use.swap(true, Ordering::Acquire) {
            return Err(misuse(
                "the store is in use: a guest of it runs (host functions have a store of their \
                 own: precast_caller_store), or another thread uses it",
            ));
        }
        Ok(InUse(self))
    }

    /// Whether it may be deleted now.
    pub(crate) fn is_idle(&self) -> bool {
        !self.in_use.load(Ordering::Acquire)
    }
}

/// Takes a store that C names.
pub(crate) fn enter(store: Option<&CStore>) -> Result<InUse<'_>> {
    given(store, "the store")?.enter()
}

/// A store that is in use until this is dropped.
pub(crate) struct InUse<'a>(&'a CStore);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.in_use.store(false, Ordering::Release);
    }
}

impl InUse<'_> {
    fn kind(&self) -> &Kind {
        // SAFETY: `in_use` gives it to one user at a time, which this is.
        unsafe { &*self.0.kind.get() }
    }

    pub(crate) fn kind_mut(&mut self) -> &mut Kind {
        // SAFETY: as above, exclusively.
        unsafe { &mut *self.0.kind.get() }
    }

    fn interrupt_handle(&self) -> InterruptHandle {
        self.as_store().interrupt_handle()
    }
}

impl AsStore for InUse<'_> {
    type Data = Data;

    fn as_store(&self) -> StoreRef<'_, Data> {
        match self.kind() {
            Kind::Own(store) => store.as_store(),
            Kind::Sandbox(sandbox) => sandbox.as_store(),
            // SAFETY: the caller lives until the host function returns, and so does this store.
            Kind::Caller(caller) => unsafe { (**caller).as_store() },
        }
    }
}

impl AsStoreMut for InUse<'_> {
    fn as_store_mut(&mut self) -> StoreMut<'_, Data> {
        match self.kind_mut() {
            Kind::Own(store) => store.as_store_mut(),
            Kind::Sandbox(sandbox) => sandbox.as_store_mut(),
            // SAFETY: as above, and `in_use` gives it to one user at a time.
            Kind::Caller(caller) => unsafe { (**caller).as_store_mut() },
        }
    }
}

/// `precast_store_options`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CStoreOptions {
    size: usize,
    memory_bytes: u64,
    table_elements: u64,
    instances: u64,
    stack_size: u64,
    max_nesting: u64,
    fuel: u64,
}

// SAFETY: numbers only, of which zero stands for the default.
unsafe impl COptions for CStoreOptions {}

fn read_options(options: Option<&usize>) -> Result<StoreOptions> {
    let given = CStoreOptions::read(options)?;
    let default = StoreOptions::default();
    let size = |given: u64, default: usize| match given {
        0 => default,
        given => usize::try_from(given).unwrap_or(usize::MAX),
    };
    Ok(StoreOptions {
        limits: Limits {
            memory_bytes: choose(given.memory_bytes, default.limits.memory_bytes),
            table_elements: choose(given.table_elements, default.limits.table_elements),
            instances: size(given.instances, default.limits.instances),
        },
        stack_size: size(given.stack_size, default.stack_size),
        max_nesting: choose(given.max_nesting, default.max_nesting.into()).min(u32::MAX.into())
            as u32,
        fuel: choose(given.fuel, default.fuel),
        ..default
    })
}

/// `precast_store_new`
#[unsafe(no_mangle)]
extern "C" fn precast_store_new(
    options: Option<&usize>,
    data: *mut c_void,
    finalizer: Option<Finalizer>,
    out: Option<&mut MaybeUninit<*mut CStore>>,
) -> Failure {
    let data = Data::new(Owned::new(data, finalizer));
    error::make(out, || {
        let options = read_options(options)?;
        Ok(CStore::new(Kind::Own(Store::with_options(data, options))))
    })
}

/// `precast_store_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_store_delete(store: *mut CStore) {
    answer((), || {
        // SAFETY: null, or a store, as the header asks.
        let found = unsafe { store.as_ref() }?;
        let is_own = match found.enter().ok()?.kind() {
            Kind::Own(_) => true,
            Kind::Sandbox(_) | Kind::Caller(_) => false,
        };
        if is_own {
            // SAFETY: `precast_store_new` made it of a box, and no one uses it.
            drop(unsafe { Box::from_raw(store) });
        }
        Some(())
    });
}

/// `precast_store_data`
#[unsafe(no_mangle)]
extern "C" fn precast_store_data(store: Option<&CStore>) -> *mut c_void {
    answer(std::ptr::null_mut(), || {
        let store = enter(store).ok()?;
        Some(store.as_store().data().pointer())
    })
}

/// `precast_store_memory_bytes`
#[unsafe(no_mangle)]
extern "C" fn precast_store_memory_bytes(store: Option<&CStore>) -> u64 {
    answer(0, || match enter(store).ok()?.kind() {
        Kind::Own(store) => Some(store.memory_bytes()),
        Kind::Sandbox(sandbox) => Some(sandbox.memory_bytes()),
        Kind::Caller(_) => None,
    })
}

fn only_from_outside() -> Box<error::Error> {
    misuse("a host function cannot set limits of the store that it is called in")
}

/// What `PRECAST_NO_LIMIT` is.
const NO_LIMIT: u64 = u64::MAX;

fn duration(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds != NO_LIMIT).then(|| Duration::from_nanos(nanoseconds))
}

/// `precast_store_set_timeout`
#[unsafe(no_mangle)]
extern "C" fn precast_store_set_timeout(store: Option<&CStore>, nanoseconds: u64) -> Failure {
    error::run(|| {
        // One too far away to be told as a moment is as good as none.
        let deadline = duration(nanoseconds).and_then(|after| Instant::now().checked_add(after));
        match enter(store)?.kind_mut() {
            Kind::Own(store) => store.set_deadline(deadline),
            Kind::Sandbox(sandbox) => sandbox.set_deadline(deadline),
            Kind::Caller(_) => return Err(only_from_outside()),
        }
        Ok(())
    })
}

/// `precast_store_set_cpu_budget`
#[unsafe(no_mangle)]
extern "C" fn precast_store_set_cpu_budget(store: Option<&CStore>, nanoseconds: u64) -> Failure {
    error::run(|| {
        let budget = duration(nanoseconds);
        match enter(store)?.kind_mut() {
            Kind::Own(store) => store.set_cpu_budget(budget),
            Kind::Sandbox(sandbox) => sandbox.set_cpu_budget(budget),
            Kind::Caller(_) => return Err(only_from_outside()),
        }
        Ok(())
    })
}

/// `precast_store_set_time_slice`
#[unsafe(no_mangle)]
extern "C" fn precast_store_set_time_slice(store: Option<&CStore>, nanoseconds: u64) -> Failure {
    error::run(|| {
        let slice = duration(nanoseconds);
        match enter(store)?.kind_mut() {
            Kind::Own(store) => store.set_time_slice(slice),
            Kind::Sandbox(sandbox) => sandbox.set_time_slice(slice),
            Kind::Caller(_) => return Err(only_from_outside()),
        }
        Ok(())
    })
}

/// The handle behind `precast_interrupt_new`.
pub(crate) fn interrupt_handle(store: Option<&CStore>) -> Result<InterruptHandle> {
    Ok(enter(store)?.interrupt_handle())
}
