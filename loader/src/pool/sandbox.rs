//! A slot in use.
//!
//! # Safety
//!
//! This file holds unsafe code. A [`Parked`] store is owned by one [`Sandbox`] at a time, or by its
//! pool while it waits. Its data is initialised exactly while a sandbox owns it.
#![allow(unsafe_code, reason = "stores go from one owner to the next")]

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::reset::{Reset, Way};
use super::{PoolInner, Template, Tenant, Warm, refused};
use crate::entry::{Entry, invoke};
use crate::error::Error;
use crate::instance::Instance;
use crate::instantiate;
use crate::interrupt::InterruptHandle;
use crate::store::{AsStore, AsStoreMut, StoreCore, StoreInner, StoreMut, StoreRef};

/// A store that waits in a place of a pool, or lives there.
#[repr(C)]
pub(super) struct Parked<T: 'static> {
    /// First, so that the store's address is this one's.
    store: StoreInner<T>,
    reset: Reset,
    /// What completes an instance: segments that are not known before, and the start function.
    init: Option<Entry>,
    tenant: Tenant,
    place: u32,
    warm: Arc<Warm>,
    pool: Arc<PoolInner<T>>,
}

impl<T: 'static> Parked<T> {
    /// Makes the store and the instance in a place, up to running guest code.
    ///
    /// # Safety
    ///
    /// The place must be the caller's and in its first state.
    pub(super) unsafe fn make(
        pool: &Arc<PoolInner<T>>,
        place: u32,
        template: &Template<T>,
        warm: &Arc<Warm>,
    ) -> Result<NonNull<Parked<T>>, Error> {
        // SAFETY: the place is ours; what is made of it lives in the parked store.
        let space =
            unsafe { pool.space.place(place) }.map_err(|error| refused("prepare", error))?;
        let module = template.module();
        let mut core = StoreCore::new(pool.store_options);
        let (_, init) = instantiate::build(&mut core, module, template.imports(), Some(space))?;
        let reset = Reset::new(&core, module)?;
        let parked = Box::new(Parked {
            store: StoreInner {
                core,
                data: MaybeUninit::uninit(),
            },
            reset,
            init,
            tenant: Tenant::default(),
            place,
            warm: Arc::clone(warm),
            pool: Arc::clone(pool),
        });
        let parked = NonNull::from(Box::leak(parked));
        // SAFETY: just made; no other reference exists.
        unsafe { parked.as_ref() }
            .store
            .core
            .set_home(parked.cast());
        Ok(parked)
    }

    pub(super) fn has_mappings(&self) -> bool {
        self.reset.has_mappings
    }

    /// Makes what the instance is after its start function the state that it is brought back to, where
    /// running that again would come to the same: nothing outside of the instance was involved, and
    /// nothing changed but instance data.
    #[cold]
    fn keep_initialised(&mut self) {
        let core = &self.store.core;
        let calls_host = core.activation.host_calls.get() > 0;
        if !calls_host && self.reset.keep_instance_data(core) {
            self.init = None;
        }
    }

    /// Brings the store into its first state. `false` where it cannot be: then it must go.
    #[inline]
    fn clean(&mut self) -> bool {
        let pool = &*self.pool;
        let cell = &pool.places[self.place as usize];
        let Some(way) = self.reset.run(&mut self.store.core, pool) else {
            return false;
        };
        let count = match way {
            Way::Window => &cell.by_window,
            Way::Scan => &cell.by_scan,
            Way::Discard => &cell.by_discard,
        };
        // Only the owner of the place counts.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if pool.options.verify && !self.reset.is_clean(&self.store.core) {
            pool.counts.unclean.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        true
    }
}

/// A store of its own in a slot of a pool, with one instance of a template: a sandbox.
///
/// It is used as a [`crate::Store`]. When it is dropped, the host's state is, and the slot is
/// brought into its first state for the next.
pub struct Sandbox<T: 'static> {
    parked: NonNull<Parked<T>>,
    owns: PhantomData<T>,
}

// SAFETY: as for `Store`: a sandbox owns all that it points to but for its pool, which is shared
// between threads.
unsafe impl<T: Send> Send for Sandbox<T> {}
// SAFETY: nothing can be changed, and no guest can run, through `&Sandbox`.
unsafe impl<T: Sync> Sync for Sandbox<T> {}

impl<T: 'static> Sandbox<T> {
    /// Starts the use of a store that the caller owns.
    #[inline]
    pub(super) fn start(
        parked: NonNull<Parked<T>>,
        tenant: Tenant,
        data: T,
    ) -> Result<Sandbox<T>, Error> {
        // SAFETY: the caller owns it.
        let this = unsafe { &mut *parked.as_ptr() };
        this.store.data.write(data);
        this.tenant = tenant;
        let cell = &this.pool.places[this.place as usize];
        cell.live.store(1, Ordering::Relaxed);
        let init = this.init;
        let mut sandbox = Sandbox {
            parked,
            owns: PhantomData,
        };
        if let Some(init) = init {
            sandbox.run_init(&init)?;
            // SAFETY: the sandbox owns it.
            unsafe { &mut *parked.as_ptr() }.keep_initialised();
        }
        Ok(sandbox)
    }

    fn run_init(&mut self, init: &Entry) -> Result<(), Error> {
        // SAFETY: the store is ours, and no reference into it is held; `init` takes the instance
        // base alone.
        unsafe { invoke(self.parked.cast(), init, std::ptr::null_mut()) }
    }

    /// The number of the template that it was made of.
    #[inline]
    pub(super) fn template(&self) -> u64 {
        // SAFETY: the sandbox owns it.
        unsafe { &self.parked.as_ref().warm }.template
    }

    #[inline]
    pub(super) fn core(&self) -> &StoreCore {
        self.as_store().into_core()
    }

    /// The instance of the template.
    #[inline]
    pub fn instance(&self) -> Instance {
        Instance {
            store: self.core().id,
            index: 0,
        }
    }

    /// Whose it is.
    pub fn tenant(&self) -> Tenant {
        // SAFETY: the sandbox owns it.
        unsafe { self.parked.as_ref() }.tenant
    }

    /// The host's state.
    pub fn data(&self) -> &T {
        self.as_store().data()
    }

    /// The host's state.
    pub fn data_mut(&mut self) -> &mut T {
        self.as_store_mut().into_data_mut()
    }

    /// A handle with which any thread can stop the guest. Without effect on whoever uses the slot
    /// later.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.as_store().interrupt_handle()
    }

    /// Bytes of linear memory that it has now.
    pub fn memory_bytes(&self) -> u64 {
        self.core().memory_bytes
    }

    /// Brings it back to the state in which it was instantiated, and runs the start function again.
    /// The host's state stays. Handles made before are not of this sandbox any more.
    ///
    /// # Errors
    ///
    /// If the system refuses what is needed, or the start function or a segment traps. The sandbox
    /// is of no use then.
    pub fn reset(&mut self) -> Result<(), Error> {
        // SAFETY: the sandbox owns it.
        let this = unsafe { &mut *self.parked.as_ptr() };
        if !this.clean() {
            this.store.core.activation.kill_for_good();
            return Err(refused("reset", std::io::Error::last_os_error()));
        }
        match this.init {
            Some(init) => self.run_init(&init),
            None => Ok(()),
        }
    }

    /// Ends the sandbox and gives the host's state back.
    pub fn into_data(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: the data is initialised, and taken out once: `give_back` does not look at it.
        unsafe {
            let data = (*this.parked.as_ptr()).store.data.assume_init_read();
            give_back(this.parked);
            data
        }
    }
}

impl<T: 'static> Drop for Sandbox<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the sandbox owns it, and its data is initialised and will not be used any more.
        unsafe {
            if const { std::mem::needs_drop::<T>() } {
                let data = std::ptr::from_mut(&mut (*self.parked.as_ptr()).store.data);
                // Should dropping it panic, the slot is given back all the same.
                let guard = GiveBack(self.parked);
                (*data).assume_init_drop();
                drop(guard);
            } else {
                give_back(self.parked);
            }
        }
    }
}

/// Gives a store back when it is dropped.
struct GiveBack<T: 'static>(NonNull<Parked<T>>);

impl<T: 'static> Drop for GiveBack<T> {
    fn drop(&mut self) {
        // SAFETY: `Sandbox::drop` makes it of a store that it owns, whose data it drops.
        unsafe { give_back(self.0) };
    }
}

/// Gives a store back to its pool.
///
/// # Safety
///
/// The caller must own it, and its data must be gone.
#[inline]
unsafe fn give_back<T: 'static>(parked: NonNull<Parked<T>>) {
    // SAFETY: the caller owns it.
    let this = unsafe { &mut *parked.as_ptr() };
    let is_clean = this.clean();
    let place = this.place;
    this.pool.places[place as usize]
        .live
        .store(0, Ordering::Relaxed);
    // Once the list has it, the store is another's: nothing of it may be used then.
    let warm = Arc::as_ptr(&this.warm);
    // SAFETY: the store keeps the list alive until the list has the place.
    if !is_clean || !unsafe { &*warm }.list.give(place) {
        dismantle(this);
    }
}

#[cold]
fn dismantle<T: 'static>(parked: &mut Parked<T>) {
    let pool = Arc::clone(&parked.pool);
    let place = parked.place;
    // SAFETY: the place is ours, no list has it, and the store's data is gone.
    unsafe { pool.dismantle(place) };
}

impl<T: 'static> AsStore for Sandbox<T> {
    type Data = T;

    #[inline]
    fn as_store(&self) -> StoreRef<'_, T> {
        StoreRef {
            inner: self.parked.cast(),
            borrow: PhantomData,
        }
    }
}

impl<T: 'static> AsStoreMut for Sandbox<T> {
    #[inline]
    fn as_store_mut(&mut self) -> StoreMut<'_, T> {
        StoreMut {
            inner: self.parked.cast(),
            borrow: PhantomData,
        }
    }
}

impl<T: 'static + std::fmt::Debug> std::fmt::Debug for Sandbox<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("tenant", &self.tenant())
            .field("data", self.data())
            .finish_non_exhaustive()
    }
}
