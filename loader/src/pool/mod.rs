//! Pools: slots that are reserved up front, and given to one sandbox after the other.
//!
//! A slot that was used stays *warm*: it keeps its instance, restored to its first state, for the
//! next sandbox of the same template. Taking and giving back a warm slot makes no system call,
//! allocates nothing, and takes no lock. Everything else is rare and slow: the first use of a slot,
//! and one for another template.
//!
//! | file | what |
//! |---|---|
//! | `template.rs` | modules with their imports resolved |
//! | `list.rs` | the lists of warm slots, one per template, shared without locks |
//! | `space.rs` | the address space |
//! | `sandbox.rs` | a slot in use |
//! | `reset.rs` | bringing a slot into its first state |
//!
//! # Safety
//!
//! This file holds unsafe code. A `Parked` store belongs to whoever has taken its place's number
//! from a list, or was handed the place when it was cold; the place's pointer is read and written
//! by that owner alone.
#![allow(unsafe_code, reason = "stores wait in places without an owner")]

mod list;
mod reset;
mod sandbox;
mod space;
mod template;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicIsize, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, PoolError, SystemError};
use crate::store::{Limits, StoreOptions};
use crate::sys::PageAccount;
use list::{Link, List};
use sandbox::Parked;
use space::{Shape, Space};

pub use reset::ResetStrategy;
pub use sandbox::Sandbox;
pub use template::{Template, TemplateFunc};

/// Whose sandbox it is, as the embedder numbers its customers. A slot goes from one tenant to
/// another only after everything in it was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(pub u64);

/// How far apart the sandboxes of a pool lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Density {
    /// Each has address space for all that a 32-bit memory can become, so that its code needs no
    /// checks. Costs 4 GiB of address space and two kernel mappings each: some 32,000 fit a process.
    Guarded,
    /// For modules that were compiled with `--memory-reservation`, whose code checks accesses.
    /// Neighbours share a kernel mapping (Linux 6.13 or newer; two each before): memory is the limit.
    Compact {
        /// Bytes of address space for the memory of each. A memory cannot grow beyond.
        reservation: u64,
    },
}

/// What a pool is to be. Every option says what it costs.
#[derive(Clone, Debug)]
#[must_use]
pub struct PoolBuilder {
    slots: u32,
    density: Density,
    stack_size: usize,
    instance_data: usize,
    limits: Limits,
    fuel: u64,
    keep_resident: usize,
    strategy: ResetStrategy,
    verify: bool,
    protection_keys: bool,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        PoolBuilder {
            slots: 1000,
            density: Density::Guarded,
            stack_size: 256 << 10,
            instance_data: 256 << 10,
            limits: Limits {
                instances: 16,
                ..Limits::default()
            },
            fuel: StoreOptions::default().fuel,
            keep_resident: 256 << 10,
            strategy: ResetStrategy::Auto,
            verify: false,
            protection_keys: true,
        }
    }
}

impl PoolBuilder {
    /// How many sandboxes there may be at a time. Each costs address space from the start (see
    /// [`Density`]), 64 bytes of memory, and nothing else until it is used. 1000 by default.
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// How far apart they lie. [`Density::Guarded`] by default.
    pub fn density(mut self, density: Density) -> Self {
        self.density = density;
        self
    }

    /// Bytes of stack for the guest's code: host functions use none of it. Address space until it is
    /// used. Between 16 KiB and 1 GiB; 256 KiB by default.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// The most bytes of instance data (globals, tables, function records) that a module may need.
    /// Address space only. 256 KiB by default.
    pub fn instance_data(mut self, bytes: usize) -> Self {
        self.instance_data = bytes;
        self
    }

    /// The most bytes of linear memory that a sandbox may have. No limit by default.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.limits.memory_bytes = bytes;
        self
    }

    /// The most table elements that a sandbox may have. Ten million by default.
    pub fn max_table_elements(mut self, elements: u64) -> Self {
        self.limits.table_elements = elements;
        self
    }

    /// How much a sandbox may execute, where its module was compiled to count that. See
    /// [`StoreOptions::fuel`].
    pub fn fuel(mut self, fuel: u64) -> Self {
        self.fuel = fuel;
        self
    }

    /// The most bytes of a sandbox's memory that stay in memory while its slot waits for the next.
    /// More makes a guest that writes much faster to bring back, at the price of that memory in each
    /// slot. 256 KiB by default.
    pub fn keep_resident(mut self, bytes: usize) -> Self {
        self.keep_resident = bytes;
        self
    }

    /// How slots are brought into their first state. By default the fastest way that the system and
    /// the guest's behaviour allow.
    pub fn reset_strategy(mut self, strategy: ResetStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Whether a guest that grows its memory to the same length for every user grows without a system
    /// call, where the CPU has protection keys and the kernel guards (Linux 6.13): what it grows by
    /// stays in memory, behind a key that a thread has only while it runs a guest that has grown.
    /// True by default. One of the process's 15 keys is taken.
    ///
    /// That is given up for slots in whose use other host code looks at a memory that has grown than
    /// functions which do so by [`crate::Caller::local_memory_and_data`], as those of `precast-wasi`
    /// do: then it is made accessible to every thread, and given back afterwards.
    pub fn protection_keys(mut self, wanted: bool) -> Self {
        self.protection_keys = wanted;
        self
    }

    /// Compares every byte of a slot with what it should be before the slot is used again, at the
    /// price of reading all of it. A slot that fails is taken out of use and counted in
    /// [`PoolStats::unclean`]. For tests, and those who want to be very sure.
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    fn stack(&self) -> usize {
        self.stack_size.clamp(16 << 10, 1 << 30)
    }

    /// What places of the pool look like.
    fn shape(&self) -> Shape {
        let room = self.stack().saturating_add(self.instance_data.min(1 << 30)) as u64;
        let (reservation, guarded) = match self.density {
            Density::Guarded => (4 << 30, true),
            Density::Compact { reservation } => (reservation.min(4 << 30), false),
        };
        Shape {
            room,
            reservation: reservation.next_multiple_of(crate::sys::page_size() as u64),
            guarded,
        }
    }

    /// Address space for `slots` places, and the mappings that windows may take beside.
    fn reserve(&self, slots: u32) -> Result<(Space, usize), PoolError> {
        let space = Space::reserve(self.shape(), slots)?;
        let spare = space.spare_mappings(slots)?;
        Ok((space, spare))
    }

    /// As many slots of this kind as the process may have now: its address space and the kernel's
    /// limit on mappings allow no more. How much memory there is for them is another question.
    ///
    /// It is found by reserving address space, which is given back at once: to be asked while the
    /// process starts, not while other threads need address space. Leave some for what comes later.
    ///
    /// # Errors
    ///
    /// If there may not be a single one: the error says which limit that is.
    pub fn most_slots(&self) -> Result<u32, Error> {
        self.reserve(1)?;
        let (mut possible, mut too_many) = (1, self.shape().most().saturating_add(1));
        while too_many - possible > 1 {
            let middle = possible.midpoint(too_many);
            match self.reserve(middle) {
                Ok(_) => possible = middle,
                Err(_) => too_many = middle,
            }
        }
        Ok(possible)
    }

    /// Reserves the pool.
    ///
    /// # Errors
    ///
    /// If the process may not have as much address space or as many mappings: the error says which
    /// limit it was.
    pub fn build<T: 'static>(self) -> Result<Pool<T>, Error> {
        if self.slots == 0 || self.slots == u32::MAX {
            let reason = "a pool has between 1 and 2^32 - 2 slots";
            return Err(PoolError::Options { reason }.into());
        }
        let (space, spare) = self.reserve(self.slots)?;
        let stack_size = self.stack();
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let inner = PoolInner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            store_options: StoreOptions {
                limits: self.limits,
                fuel: self.fuel,
                stack_size,
                ..StoreOptions::default()
            },
            parked: PhantomData,
            places: (0..self.slots).map(|_| PlaceCell::default()).collect(),
            cold: Mutex::new(Cold {
                free: Vec::new(),
                untouched: 0,
                is_closed: false,
            }),
            warm: Mutex::new(Vec::new()),
            spare_mappings: AtomicIsize::new(spare as isize),
            account: PageAccount::open(),
            counts: Counts::default(),
            options: self,
            space,
        };
        Ok(Pool {
            handle: Arc::new(Handle(Arc::new(inner))),
        })
    }
}

/// Slots for sandboxes whose host state is a `T`. Cheap to clone, and shared between threads.
///
/// When the last clone is dropped, slots that are not in use are given back, and the others as soon
/// as their sandboxes are dropped.
pub struct Pool<T: 'static> {
    handle: Arc<Handle<T>>,
}

struct Handle<T: 'static>(Arc<PoolInner<T>>);

impl<T: 'static> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Pool {
            handle: Arc::clone(&self.handle),
        }
    }
}

impl<T: 'static> std::fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("slots", &self.handle.0.places.len())
            .finish_non_exhaustive()
    }
}

/// What a pool has done and has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Sandboxes in use.
    pub live: usize,
    /// Slots that could be given to a sandbox now, warm ones included.
    pub free: usize,
    /// Slots that wait for the next sandbox of their template.
    pub warm: usize,
    /// Slots that could not be restored and are out of use.
    pub lost: usize,
    /// How often a slot was restored by copying the pages in its window.
    pub resets_by_window: u64,
    /// By asking the system which pages were written.
    pub resets_by_scan: u64,
    /// By giving back all of its memory.
    pub resets_by_discard: u64,
    /// How often a slot was made from nothing, or for another template.
    pub made: u64,
    /// How often [`PoolBuilder::verify`] found a slot that was not as it should be.
    pub unclean: u64,
}

/// What is counted where it is rare; the rest is counted in the slots.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    lost: AtomicU64,
    unclean: AtomicU64,
}

/// A place and what waits or lives in it. Read by its owner; the counters by anyone. A cache line, so
/// that neighbours' owners do not meet.
#[repr(align(64))]
#[derive(Debug, Default)]
struct PlaceCell {
    /// Its place in the list that it is in.
    next: Link,
    /// 1 while a sandbox is in it.
    live: AtomicU32,
    /// A [`Parked`] of the pool's type, if there is one.
    parked: UnsafeCell<Option<NonNull<()>>>,
    by_window: AtomicU64,
    by_scan: AtomicU64,
    by_discard: AtomicU64,
}

/// The places of a pool, which its lists refer to, too.
type Places = Arc<[PlaceCell]>;

// SAFETY: places are used by their owners alone (see the file), and what waits in them may go from
// thread to thread: no data of the host's waits in a place.
unsafe impl Send for PlaceCell {}
// SAFETY: as above; the other fields are atomic.
unsafe impl Sync for PlaceCell {}

/// The warm slots of a template.
#[derive(Debug)]
struct Warm {
    template: u64,
    list: List,
}

/// Places in their first state.
#[derive(Debug)]
struct Cold {
    free: Vec<u32>,
    /// This one and all after it were never used.
    untouched: u32,
    is_closed: bool,
}

pub(crate) struct PoolInner<T: 'static> {
    id: u64,
    options: PoolBuilder,
    store_options: StoreOptions,
    places: Places,
    /// What waits in them.
    parked: PhantomData<NonNull<Parked<T>>>,
    cold: Mutex<Cold>,
    warm: Mutex<Vec<Arc<Warm>>>,
    /// Mappings that windows may take.
    spare_mappings: AtomicIsize,
    account: Option<PageAccount>,
    counts: Counts,
    /// Dropped last.
    space: Space,
}

// SAFETY: places are used by their owners alone (see the file), and what waits in them is `Send` as
// the `T` in use is; no `T` waits in a place.
unsafe impl<T: 'static> Send for PoolInner<T> {}
// SAFETY: as above.
unsafe impl<T: 'static> Sync for PoolInner<T> {}

fn lock<V>(mutex: &Mutex<V>) -> std::sync::MutexGuard<'_, V> {
    // What is behind the pool's locks is complete before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool<()> {
    /// A pool to be made to measure.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }
}

impl<T: 'static> Pool<T> {
    /// A sandbox of its own with a fresh instance of the template, for the host state `data`. A
    /// start function is run.
    ///
    /// # Errors
    ///
    /// If all slots are in use, the module does not fit the pool's slots, the system refuses
    /// memory, or the start function or a segment traps.
    #[inline]
    pub fn instantiate(
        &self,
        template: &Template<T>,
        tenant: Tenant,
        data: T,
    ) -> Result<Sandbox<T>, Error> {
        let pool = &self.handle.0;
        template.with_warm(pool, |warm| {
            let parked = match warm.list.take() {
                // SAFETY: taking the place's number from a list makes its store ours.
                Some(place) => unsafe { pool.parked(place) },
                None => pool.make(template, warm)?,
            };
            Sandbox::start(parked, tenant, data)
        })
    }

    /// What it has done and has. Looks at every slot.
    pub fn stats(&self) -> PoolStats {
        let pool = &self.handle.0;
        let sum = |count: fn(&PlaceCell) -> &AtomicU64| -> u64 {
            pool.places
                .iter()
                .map(|place| count(place).load(Ordering::Relaxed))
                .sum()
        };
        let lost = pool.counts.lost.load(Ordering::Relaxed) as usize;
        let is_live = |place: &PlaceCell| place.live.load(Ordering::Relaxed) as usize;
        let live = pool.places.iter().map(is_live).sum();
        let slots = pool.places.len();
        let cold = lock(&pool.cold);
        let unused = cold.free.len() + (slots - cold.untouched as usize);
        PoolStats {
            live,
            free: slots.saturating_sub(live + lost),
            warm: slots.saturating_sub(live + lost + unused),
            lost,
            resets_by_window: sum(|place| &place.by_window),
            resets_by_scan: sum(|place| &place.by_scan),
            resets_by_discard: sum(|place| &place.by_discard),
            made: pool.counts.made.load(Ordering::Relaxed),
            unclean: pool.counts.unclean.load(Ordering::Relaxed),
        }
    }
}

impl<T: 'static> PoolInner<T> {
    /// The store that waits in a place.
    ///
    /// # Safety
    ///
    /// The caller must have taken the place's number from a list of warm ones.
    #[inline]
    unsafe fn parked(&self, place: u32) -> NonNull<Parked<T>> {
        // SAFETY: the owner of a place alone uses its cell; warm places hold a store.
        unsafe { (*self.places[place as usize].parked.get()).unwrap_unchecked() }.cast()
    }

    fn new_warm(&self, template: u64) -> Arc<Warm> {
        let warm = Arc::new(Warm {
            template,
            list: List::new(list::default_shards(), &self.places),
        });
        lock(&self.warm).push(Arc::clone(&warm));
        if lock(&self.cold).is_closed {
            warm.list.close(|_| {});
        }
        warm
    }

    /// A store for the template: one that waits in the list of another thread, one in a cold place,
    /// or one in a place taken from another template.
    #[cold]
    fn make(
        self: &Arc<Self>,
        template: &Template<T>,
        warm: &Arc<Warm>,
    ) -> Result<NonNull<Parked<T>>, Error> {
        if let Some(place) = warm.list.take_any() {
            // SAFETY: taking the place's number from a list makes its store ours.
            return Ok(unsafe { self.parked(place) });
        }
        let place = self.cold_place()?;
        self.counts.made.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the place is ours, and in its first state.
        match unsafe { Parked::make(self, place, template, warm) } {
            Ok(parked) => {
                // SAFETY: the place is ours.
                unsafe { *self.places[place as usize].parked.get() = Some(parked.cast()) };
                Ok(parked)
            }
            Err(error) => {
                self.clear(place);
                Err(error)
            }
        }
    }

    fn cold_place(&self) -> Result<u32, Error> {
        let slots = self.places.len() as u32;
        let mut cold = lock(&self.cold);
        if let Some(place) = cold.free.pop() {
            return Ok(place);
        }
        if cold.untouched < slots {
            cold.untouched += 1;
            return Ok(cold.untouched - 1);
        }
        drop(cold);
        let lists = lock(&self.warm).clone();
        for warm in lists {
            if let Some(place) = warm.list.take_any() {
                // SAFETY: taking the place's number from a list makes it ours.
                unsafe { self.dismantle(place) };
                let cleared = lock(&self.cold).free.pop();
                if let Some(place) = cleared {
                    return Ok(place);
                }
            }
        }
        Err(PoolError::Full {
            slots: slots as usize,
        }
        .into())
    }

    /// Destroys the store in a place, and makes the place cold.
    ///
    /// # Safety
    ///
    /// The place must be the caller's, who gives it up, and hold a store whose data is gone.
    unsafe fn dismantle(&self, place: u32) {
        // SAFETY: the place is the caller's.
        let parked = unsafe { (*self.places[place as usize].parked.get()).take() };
        if let Some(parked) = parked {
            // SAFETY: made by `Box::leak` in `Parked::make`; the place does not hold it any more.
            let parked = unsafe { Box::from_raw(parked.cast::<Parked<T>>().as_ptr()) };
            if parked.has_mappings() {
                self.give_mappings();
            }
            drop(parked);
        }
        self.clear(place);
    }

    /// Makes a place cold that holds nothing any more.
    fn clear(&self, place: u32) {
        // SAFETY: the place is in no list and holds no store: no one uses it.
        match unsafe { self.space.clear(place) } {
            Ok(()) => lock(&self.cold).free.push(place),
            // Never to be used again: what was written there may still be there.
            Err(_) => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Gives up the warm slots of a template that is gone.
    fn retire(&self, warm: &Arc<Warm>) {
        lock(&self.warm).retain(|other| !Arc::ptr_eq(other, warm));
        // SAFETY: places of a list that is closed are ours.
        warm.list.close(|place| unsafe { self.dismantle(place) });
    }

    /// Whether a window may take mappings of its own.
    fn take_mappings(&self) -> bool {
        let each = MAPPINGS_PER_WINDOW as isize;
        let left = self.spare_mappings.fetch_sub(each, Ordering::Relaxed) - each;
        if left < 0 {
            self.give_mappings();
        }
        left >= 0
    }

    fn give_mappings(&self) {
        self.spare_mappings
            .fetch_add(MAPPINGS_PER_WINDOW as isize, Ordering::Relaxed);
    }
}

/// Mappings that a narrow window takes at most, beside those that its slot has anyway.
const MAPPINGS_PER_WINDOW: usize = 2 * crate::window::MAX_RANGES + 4;

impl<T: 'static> Drop for Handle<T> {
    fn drop(&mut self) {
        let pool = &self.0;
        lock(&pool.cold).is_closed = true;
        let lists = std::mem::take(&mut *lock(&pool.warm));
        for warm in lists {
            // SAFETY: places of a list that is closed are ours.
            warm.list.close(|place| unsafe { pool.dismantle(place) });
        }
    }
}

/// The system refused something for a place.
fn refused(what: &'static str, source: std::io::Error) -> Error {
    Error::System(SystemError {
        what,
        bytes: 0,
        source: Some(source),
    })
}
