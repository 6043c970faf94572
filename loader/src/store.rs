//! Stores: everything that linked instances share, and the host's state beside it.
//!
//! # Safety
//!
//! This file holds unsafe code. A store lives behind a raw pointer because guest code keeps
//! finding it (through activation records and host functions) while `Store` itself is mutably
//! borrowed by the call that runs the guest. The invariant: at most one of {a reference derived
//! from a `Store`, `StoreRef`, `StoreMut` or `Caller`; running guest code} is active at any time.
//! Rust's borrows keep it: guest code runs only inside a function that holds the `StoreMut`
//! exclusively and touches nothing derived from it meanwhile.
#![allow(unsafe_code, reason = "guest code finds the store by pointers")]

use std::any::Any;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use precast_abi::instance::FuncRef;

use crate::activation::Activation;
use crate::error::{LimitError, UseError};
use crate::exception::Exceptions;
use crate::func::Func;
use crate::heap::Handles;
use crate::host::record::HostBox;
use crate::instantiate::InstanceData;
use crate::interrupt::InterruptHandle;
use crate::memory::MemoryEntity;
use crate::module::Module;
use crate::table::TableEntity;
use crate::types::{FuncType, TypeId};
use crate::value::{Cell, ExternRef};

/// What the instances of a store may use, all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory. `memory.grow` answers -1 beyond them.
    pub memory_bytes: u64,
    /// Elements of tables. `table.grow` answers -1 beyond them.
    pub table_elements: u64,
    /// Instances.
    pub instances: usize,
}

impl Default for Limits {
    /// No limit on memory but the system's, ten million table elements, a million instances.
    fn default() -> Limits {
        Limits {
            memory_bytes: u64::MAX,
            table_elements: 10_000_000,
            instances: 1_000_000,
        }
    }
}

/// How a store is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// What its instances may use.
    pub limits: Limits,
    /// Bytes of stack for guest code, rounded up to whole pages. Host functions run on the
    /// host's own stack and use none of it. Between 16 KiB and 1 GiB.
    pub stack_size: usize,
    /// How deeply calls from the host into the guest may nest within the store.
    pub max_nesting: u32,
    /// What each instance may execute to begin with, where its object was compiled to count that.
    /// See [`crate::Instance::set_fuel`].
    pub fuel: u64,
    /// Whether garbage is collected whenever an object is made, not only where there is no room: slow,
    /// for tests of what refers to objects.
    pub collect_always: bool,
}

impl Default for StoreOptions {
    /// No limits to speak of, a stack of 1 MiB, nesting up to 1000, and all the fuel there is.
    fn default() -> StoreOptions {
        StoreOptions {
            limits: Limits::default(),
            stack_size: 1 << 20,
            max_nesting: 1000,
            fuel: u64::MAX,
            collect_always: false,
        }
    }
}

/// The part of a store that does not depend on the type of the host's state.
pub struct StoreCore {
    pub(crate) id: NonZeroU64,
    pub(crate) activation: Arc<Activation>,
    pub(crate) options: StoreOptions,
    pub(crate) memory_bytes: u64,
    pub(crate) table_elements: u64,
    pub(crate) instances: Vec<InstanceData>,
    pub(crate) memories: Vec<MemoryEntity>,
    pub(crate) tables: Vec<TableEntity>,
    /// The memory that is the heap for garbage-collected objects.
    pub(crate) heap: Option<u32>,
    /// Objects that the host, or a guest as an `externref`, refers to.
    pub(crate) handles: OnceLock<Box<Mutex<Handles>>>,
    /// Boxed: there may be very many stores.
    pub(crate) rare: Option<Box<Rare>>,
}

/// What few stores have.
#[derive(Default)]
pub(crate) struct Rare {
    /// Globals of the host's own.
    pub(crate) globals: Fixed<std::cell::UnsafeCell<Cell>>,
    /// Those of them that hold references into the heap.
    pub(crate) heap_globals: Vec<usize>,
    /// Functions of the host's own that belong to no instance.
    pub(crate) host_funcs: Fixed<HostBox>,
    pub(crate) externs: Vec<Box<dyn Any + Send + Sync>>,
    /// Types of the tags of the host's own.
    pub(crate) tags: Vec<FuncType>,
    pub(crate) exceptions: Exceptions,
    /// Modules that are needed beside those of the instances.
    pub(crate) kept: Vec<Module>,
    /// Host functions whose types no module of the store has had a stub for yet.
    pub(crate) without_stub: Vec<(TypeId, NonNull<FuncRef>)>,
}

/// Values that guest code knows by their addresses: they stay where they are.
#[allow(clippy::vec_box, reason = "a vector moves its elements when it grows")]
pub(crate) type Fixed<T> = Vec<Box<T>>;

#[repr(C)]
pub(crate) struct StoreInner<T> {
    pub(crate) core: StoreCore,
    /// Always initialised in a [`Store`], and in a [`crate::Sandbox`]; not in a slot of a pool that
    /// waits for its next use.
    pub(crate) data: MaybeUninit<T>,
}

/// What the upper 16 bits of an `externref` of the host's are: no reference to an object, which a
/// collection may look for where an `externref` is, looks like that.
pub(crate) const EXTERN_MARK: u64 = 0xe9c7 << 48;

/// How many identities a store takes for itself: one for each use of a slot of a pool.
const IDS: u64 = 1 << 20;
static NEXT_ID: AtomicU64 = AtomicU64::new(IDS);

/// An identity that no store has had.
fn new_id() -> NonZeroU64 {
    let id = NEXT_ID.fetch_add(IDS, Ordering::Relaxed);
    NonZeroU64::new(id).expect("fewer than 2^44 stores")
}

/// Instances that may be linked with each other, and the host's state of type `T`.
///
/// Everything made in a store lives until the store is dropped. Handles ([`Func`],
/// [`crate::Memory`], …) are plain numbers: they may outlive it, and answer with an error in any
/// other.
pub struct Store<T: 'static> {
    inner: NonNull<StoreInner<T>>,
    owns: PhantomData<StoreInner<T>>,
}

// SAFETY: a store owns all that it points to. Host functions and externrefs in it are
// `Send + Sync`; instance data and guest stacks are plain memory that no other thread touches; the
// activation record is shared with interrupt handles, which only use its atomic fields.
unsafe impl<T: Send> Send for Store<T> {}
// SAFETY: nothing can be changed, and no guest can run, through `&Store`.
unsafe impl<T: Sync> Sync for Store<T> {}

impl<T: 'static> Store<T> {
    /// A store without limits.
    pub fn new(data: T) -> Store<T> {
        Store::with_options(data, StoreOptions::default())
    }

    /// A store whose instances may use no more than `limits`.
    pub fn with_limits(data: T, limits: Limits) -> Store<T> {
        Store::with_options(
            data,
            StoreOptions {
                limits,
                ..StoreOptions::default()
            },
        )
    }

    /// A store made to measure.
    pub fn with_options(data: T, options: StoreOptions) -> Store<T> {
        let inner = Box::new(StoreInner {
            core: StoreCore::new(options),
            data: MaybeUninit::new(data),
        });
        let inner = NonNull::from(Box::leak(inner));
        // SAFETY: just made; no other reference exists.
        unsafe { inner.as_ref() }.core.set_home(inner.cast());
        Store {
            inner,
            owns: PhantomData,
        }
    }

    /// The host's state.
    pub fn data(&self) -> &T {
        // SAFETY: the file's invariant; `&self` keeps guests from running.
        unsafe { (*self.inner.as_ptr()).data.assume_init_ref() }
    }

    /// The host's state.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: the file's invariant; `&mut self` is exclusive.
        unsafe { (*self.inner.as_ptr()).data.assume_init_mut() }
    }

    /// Ends the store and gives the host's state back.
    pub fn into_data(self) -> T {
        let inner = std::mem::ManuallyDrop::new(self).inner;
        // SAFETY: `inner` came from a box in `with_options`, and `self` will not free it again.
        let inner = unsafe { Box::from_raw(inner.as_ptr()) };
        // SAFETY: a store's data is initialised, and nobody will use it here any more.
        unsafe { inner.data.assume_init() }
    }

    /// A handle with which any thread can stop the guests of this store.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.as_store().interrupt_handle()
    }

    /// Bytes of linear memory that the store's instances have now.
    pub fn memory_bytes(&self) -> u64 {
        self.as_store().into_core().memory_bytes
    }
}

impl<T: 'static> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: `inner` came from a box in `with_options`; `&mut self` shows that no guest runs.
        let mut inner = unsafe { Box::from_raw(self.inner.as_ptr()) };
        // SAFETY: a store's data is initialised, and nobody will use it here any more.
        unsafe { inner.data.assume_init_drop() };
    }
}

impl<T: 'static + std::fmt::Debug> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("data", self.data())
            .finish_non_exhaustive()
    }
}

impl StoreCore {
    pub(crate) fn new(mut options: StoreOptions) -> StoreCore {
        options.stack_size = options.stack_size.clamp(16 << 10, 1 << 30);
        StoreCore {
            id: new_id(),
            activation: Arc::new(Activation::new()),
            options,
            memory_bytes: 0,
            table_elements: 0,
            instances: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            heap: None,
            handles: OnceLock::new(),
            rare: None,
        }
    }

    /// Called once, when the store is where it will stay.
    pub(crate) fn set_home(&self, home: NonNull<StoreCore>) {
        self.activation.set_core(home);
    }

    /// Takes another identity: handles made before are of another store from now on.
    pub(crate) fn renew_id(&mut self) {
        let next = self.id.get() + 1;
        self.id = match next % IDS {
            0 => new_id(),
            _ => NonZeroU64::new(next).expect("not the last of a block"),
        };
    }

    /// Whether a handle of the store with this id may be used here.
    #[inline]
    pub(crate) fn check(&self, store: NonZeroU64) -> Result<(), UseError> {
        if self.id == store {
            Ok(())
        } else {
            Err(UseError::WrongStore)
        }
    }

    /// Objects that the host, or a guest as an `externref`, refers to.
    pub(crate) fn handles(&self) -> MutexGuard<'_, Handles> {
        let handles = self.handles.get_or_init(Box::default);
        handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What few stores have: this one does.
    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What globals of the host's own hold.
    pub(crate) fn host_globals(&self) -> impl Iterator<Item = u64> {
        let globals = self.rare.iter().flat_map(|rare| &rare.globals);
        // SAFETY: whoever has the store calls this, while no guest runs.
        globals.map(|global| unsafe { (*global.get()).0[0] })
    }

    pub(crate) fn new_extern(&mut self, value: Box<dyn Any + Send + Sync>) -> ExternRef {
        let externs = &mut self.rare_mut().externs;
        externs.push(value);
        let bits = EXTERN_MARK | externs.len() as u64;
        let bits = NonZeroU64::new(bits).expect("it is marked");
        ExternRef {
            store: self.id,
            bits,
        }
    }

    /// The function whose `funcref` value this is.
    #[inline]
    pub(crate) fn func_from_bits(&self, bits: u64) -> Option<Func> {
        Func::from_bits(self.id, bits)
    }

    /// The value whose `externref` value this is.
    #[inline]
    pub(crate) fn extern_from_bits(&self, bits: u64) -> Option<ExternRef> {
        if self.handles.get().is_some() {
            // What was an object stays one from now on.
            self.handles().hold(bits);
        }
        Some(ExternRef {
            store: self.id,
            bits: NonZeroU64::new(bits)?,
        })
    }

    /// Counts `delta` more bytes of linear memory.
    pub(crate) fn take_memory(&mut self, delta: u64) -> Result<(), LimitError> {
        let limit = self.options.limits.memory_bytes;
        let requested = self.memory_bytes.saturating_add(delta);
        if requested > limit {
            return Err(LimitError::MemoryBytes { requested, limit });
        }
        self.memory_bytes = requested;
        Ok(())
    }

    /// Counts `delta` more table elements.
    pub(crate) fn take_elements(&mut self, delta: u64) -> Result<(), LimitError> {
        let limit = self.options.limits.table_elements;
        let requested = self.table_elements.saturating_add(delta);
        if requested > limit {
            return Err(LimitError::TableElements { requested, limit });
        }
        self.table_elements = requested;
        Ok(())
    }
}

/// Shared access to a store: what [`AsStore`] gives.
pub struct StoreRef<'a, T: 'static> {
    pub(crate) inner: NonNull<StoreInner<T>>,
    pub(crate) borrow: PhantomData<&'a StoreInner<T>>,
}

impl<T: 'static> Clone for StoreRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: 'static> Copy for StoreRef<'_, T> {}

impl<'a, T: 'static> StoreRef<'a, T> {
    /// The host's state.
    pub fn data(self) -> &'a T {
        // SAFETY: the file's invariant; the borrow `'a` keeps guests from running.
        unsafe { (*self.inner.as_ptr()).data.assume_init_ref() }
    }

    /// A handle with which any thread can stop the guests of this store.
    pub fn interrupt_handle(self) -> InterruptHandle {
        InterruptHandle::new(Arc::clone(&self.into_core().activation))
    }

    #[inline]
    pub(crate) fn into_core(self) -> &'a StoreCore {
        // SAFETY: the file's invariant; the borrow `'a` keeps guests from running.
        unsafe { &(*self.inner.as_ptr()).core }
    }
}

/// Exclusive access to a store: what [`AsStoreMut`] gives.
pub struct StoreMut<'a, T: 'static> {
    pub(crate) inner: NonNull<StoreInner<T>>,
    pub(crate) borrow: PhantomData<&'a mut StoreInner<T>>,
}

impl<'a, T: 'static> StoreMut<'a, T> {
    /// # Safety
    ///
    /// `core` must be that of a living `Store<T>`, and nothing else may use the store for `'a`.
    pub(crate) unsafe fn from_core(core: NonNull<StoreCore>) -> StoreMut<'a, T> {
        StoreMut {
            inner: core.cast(),
            borrow: PhantomData,
        }
    }

    /// The host's state.
    pub fn data(&self) -> &T {
        // SAFETY: the file's invariant; the borrow keeps guests from running.
        unsafe { (*self.inner.as_ptr()).data.assume_init_ref() }
    }

    /// The host's state.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: the file's invariant; the borrow is exclusive.
        unsafe { (*self.inner.as_ptr()).data.assume_init_mut() }
    }

    pub(crate) fn into_data_mut(self) -> &'a mut T {
        // SAFETY: the file's invariant; the borrow `'a` is exclusive and is used up.
        unsafe { (*self.inner.as_ptr()).data.assume_init_mut() }
    }

    #[inline]
    pub(crate) fn core(&self) -> &StoreCore {
        // SAFETY: the file's invariant; the borrow keeps guests from running.
        unsafe { &(*self.inner.as_ptr()).core }
    }

    #[inline]
    pub(crate) fn core_mut(&mut self) -> &mut StoreCore {
        // SAFETY: the file's invariant; the borrow is exclusive.
        unsafe { &mut (*self.inner.as_ptr()).core }
    }

    /// The core as a pointer, for running guest code: references must not be held across that.
    #[inline]
    pub(crate) fn core_ptr(&mut self) -> NonNull<StoreCore> {
        self.inner.cast()
    }
}

/// Anything that gives shared access to a store: `&Store<T>`, [`crate::Caller`], and so on.
pub trait AsStore {
    /// The type of the host's state.
    type Data: 'static;

    /// Borrows the store.
    fn as_store(&self) -> StoreRef<'_, Self::Data>;
}

/// Anything that gives exclusive access to a store: `&mut Store<T>`, [`crate::Caller`], and so on.
pub trait AsStoreMut: AsStore {
    /// Borrows the store exclusively.
    fn as_store_mut(&mut self) -> StoreMut<'_, Self::Data>;
}

impl<T: 'static> AsStore for Store<T> {
    type Data = T;

    #[inline]
    fn as_store(&self) -> StoreRef<'_, T> {
        StoreRef {
            inner: self.inner,
            borrow: PhantomData,
        }
    }
}

impl<T: 'static> AsStoreMut for Store<T> {
    #[inline]
    fn as_store_mut(&mut self) -> StoreMut<'_, T> {
        StoreMut {
            inner: self.inner,
            borrow: PhantomData,
        }
    }
}

impl<T: 'static> AsStore for StoreRef<'_, T> {
    type Data = T;

    fn as_store(&self) -> StoreRef<'_, T> {
        *self
    }
}

impl<T: 'static> AsStore for StoreMut<'_, T> {
    type Data = T;

    #[inline]
    fn as_store(&self) -> StoreRef<'_, T> {
        StoreRef {
            inner: self.inner,
            borrow: PhantomData,
        }
    }
}

impl<T: 'static> AsStoreMut for StoreMut<'_, T> {
    #[inline]
    fn as_store_mut(&mut self) -> StoreMut<'_, T> {
        StoreMut {
            inner: self.inner,
            borrow: PhantomData,
        }
    }
}

impl<S: AsStore + ?Sized> AsStore for &S {
    type Data = S::Data;

    #[inline]
    fn as_store(&self) -> StoreRef<'_, S::Data> {
        (**self).as_store()
    }
}

impl<S: AsStore + ?Sized> AsStore for &mut S {
    type Data = S::Data;

    #[inline]
    fn as_store(&self) -> StoreRef<'_, S::Data> {
        (**self).as_store()
    }
}

impl<S: AsStoreMut + ?Sized> AsStoreMut for &mut S {
    #[inline]
    fn as_store_mut(&mut self) -> StoreMut<'_, S::Data> {
        (**self).as_store_mut()
    }
}
