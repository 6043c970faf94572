//! Memories that threads share.
//!
//! ```text
//!  store 1: instance data ──┐                 ┌── SharedMemory (host)
//!                           ▼                 ▼
//!  store 2: instance data ──► MemoryDef { base, len } ──► reservation: all that it may become
//! ```
//!
//! All instances that have the memory, in whichever store, hold the address of one definition.
//! Growing makes more of the reservation accessible under a lock, and then publishes the length:
//! whoever sees the length may access that much. It never shrinks, and never moves.
//!
//! # Safety
//!
//! This file holds unsafe code. The definition's length is only ever read and written by atomic
//! operations, by generated code too (plain aligned loads, which are atomic on every target). The bytes are read and
//! written by relaxed atomic operations alone ([`crate::racy`]): no reference to them exists.
#![allow(unsafe_code, reason = "shared memory is reached by pointers alone")]

use std::cell::UnsafeCell;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use precast_abi::instance::MemoryDef;

use crate::error::{Error, LimitError, UseError};
use crate::memory::{Home, Memory, MemoryEntity, check_type, shift};
use crate::racy;
use crate::store::{AsStoreMut, StoreCore};
use crate::sys::{Access, Reservation, round_up_to_page};
use crate::types::MemoryType;
use crate::wait::WaitQueue;

/// A linear memory that threads share: instances of any number of stores, and the host.
///
/// Made by the host, or by an instance that defines a shared memory ([`Memory::shared`]). A cheap
/// handle: clones stand for the same memory, which lives until the last of them, and the last
/// store that has it, is gone.
///
/// Bytes are copied in and out. There are no slices of it: other threads may write at any time.
#[derive(Clone)]
pub struct SharedMemory {
    inner: Arc<Inner>,
}

struct Inner {
    def: UnsafeCell<MemoryDef>,
    ty: MemoryType,
    /// Bytes that it may become: its maximum, or less.
    capacity: u64,
    reservation: Reservation,
    /// Held while it grows.
    growing: Mutex<()>,
    waiters: WaitQueue,
}

// SAFETY: the definition is used by atomic operations, the reservation is only ever made more
// accessible, and that under a lock; the rest is `Send`.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl SharedMemory {
    /// A memory of `ty`, which must be shared and have a maximum. Address space for all of the
    /// maximum is reserved; memory is used as far as it is written to.
    ///
    /// # Errors
    ///
    /// If the type makes no sense, or the system refuses.
    pub fn new(ty: MemoryType) -> Result<SharedMemory, Error> {
        SharedMemory::with_limit(ty, u64::MAX)
    }

    /// The same, which never becomes larger than `bytes`, whatever its maximum says: `memory.grow`
    /// answers -1 beyond. [`crate::Limits`] of the stores that have it do not count it.
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::new`], and if it is larger from the start.
    pub fn with_limit(ty: MemoryType, bytes: u64) -> Result<SharedMemory, Error> {
        let (true, Some(max)) = (ty.shared, ty.max) else {
            let reason = "a shared memory is `shared` and has a maximum";
            return Err(UseError::BadType { reason }.into());
        };
        check_type(&ty)?;
        let least = shift(ty.min, ty.page_size_log2).unwrap_or(u64::MAX);
        if least > bytes {
            let (requested, limit) = (least, bytes);
            return Err(LimitError::MemoryBytes { requested, limit }.into());
        }
        let capacity = shift(max, ty.page_size_log2).unwrap_or(u64::MAX).min(bytes);
        let (reservation, capacity) = MemoryEntity::reserve(ty, capacity)?;
        let base = reservation.base().as_ptr().expose_provenance() as u64;
        let def = UnsafeCell::new(MemoryDef { base, len: least });
        let inner = Arc::new(Inner {
            def,
            ty,
            capacity,
            reservation,
            growing: Mutex::new(()),
            waiters: WaitQueue::new(),
        });
        inner.def.get().expose_provenance();
        Ok(SharedMemory { inner })
    }

    /// Its type. The least size is the current one.
    pub fn ty(&self) -> MemoryType {
        MemoryType {
            min: self.size(),
            ..self.inner.ty
        }
    }

    /// Current size in pages.
    pub fn size(&self) -> u64 {
        self.len() >> self.inner.ty.page_size_log2
    }

    /// Current size in bytes. It may have grown by the time this returns; it never shrinks.
    pub fn len(&self) -> u64 {
        self.length().load(Ordering::SeqCst)
    }

    /// Whether it has no bytes now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both stand for the same memory.
    pub fn is_same(&self, other: &SharedMemory) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Grows it by `delta` pages. The old size in pages, or `None` where its type, its limit or the
    /// system does not allow it.
    pub fn grow(&self, delta: u64) -> Option<u64> {
        let Inner { ty, capacity, .. } = &*self.inner;
        let growing = self.inner.growing.lock();
        let _growing = growing.unwrap_or_else(PoisonError::into_inner);
        let old = self.len();
        let pages = old >> ty.page_size_log2;
        let new = pages.checked_add(delta)?;
        if new > ty.max?.min(ty.absolute_max()) {
            return None;
        }
        let new = shift(new, ty.page_size_log2).filter(|new| new <= capacity)?;
        let (from, to) = (
            round_up_to_page(old as usize)?,
            round_up_to_page(new as usize)?,
        );
        if from < to {
            // SAFETY: access is only added, to what no one has a right to yet.
            unsafe { self.inner.reservation.protect(from..to, Access::ReadWrite) }.ok()?;
        }
        self.length().store(new, Ordering::SeqCst);
        Some(pages)
    }

    /// Copies bytes from `offset` into `buffer`, byte by byte as far as other threads can tell.
    ///
    /// # Errors
    ///
    /// If the range is not within the memory.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let from = self.bytes(offset, buffer.len() as u64);
        let from = from.ok_or(UseError::OutOfBounds)?;
        // SAFETY: a mapped range, and the caller's own.
        unsafe { racy::copy(buffer.as_mut_ptr(), from, buffer.len()) };
        Ok(())
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Errors
    ///
    /// If the range is not within the memory.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let to = self.bytes(offset, bytes.len() as u64);
        let to = to.ok_or(UseError::OutOfBounds)?;
        // SAFETY: a mapped range, and the caller's own, which is only read.
        unsafe { racy::copy(to, bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Wakes up to `count` of the threads that wait at `offset` with `memory.atomic.wait`, the longest
    /// waiting first, and answers how many.
    pub fn notify(&self, offset: u64, count: u32) -> u32 {
        self.inner.waiters.notify(offset, count)
    }

    pub(crate) fn waiters(&self) -> &WaitQueue {
        &self.inner.waiters
    }

    pub(crate) fn reservation(&self) -> &Reservation {
        &self.inner.reservation
    }

    /// Where generated code finds it: as long as a clone of this lives.
    pub(crate) fn def(&self) -> NonNull<MemoryDef> {
        NonNull::from(&self.inner.def).cast()
    }

    /// Address of `len` bytes from `offset` on, which stay accessible as long as the memory lives.
    pub(crate) fn bytes(&self, offset: u64, len: u64) -> Option<*mut u8> {
        let inside = offset.checked_add(len)? <= self.len();
        let base = self.inner.reservation.base().as_ptr();
        // SAFETY: within the reservation, since the length never exceeds it.
        inside.then(|| unsafe { base.add(offset as usize) })
    }

    fn length(&self) -> &AtomicU64 {
        // SAFETY: the field lives as long as `self`, is aligned, and used by atomic operations only.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.inner.def.get()).len) }
    }

    /// The memory as a member of a store, so that it can be looked at, exported and imported as others
    /// can. To import it, [`crate::Linker::define_shared`] is enough.
    pub fn adopt(&self, mut store: impl AsStoreMut) -> Memory {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        Memory {
            store: core.id,
            index: core.adopt_memory(self.clone()),
        }
    }
}

impl StoreCore {
    /// The store's number of a shared memory, which it may have already.
    pub(crate) fn adopt_memory(&mut self, memory: SharedMemory) -> u32 {
        let known = self.memories.iter().position(
            |entity| matches!(&entity.home, Home::Shared(other) if other.is_same(&memory)),
        );
        let index = known.unwrap_or_else(|| {
            self.memories.push(MemoryEntity::of_shared(memory));
            self.memories.len() - 1
        });
        index as u32
    }

    /// The shared memory with this number, if it is one.
    pub(crate) fn shared_memory(&self, index: u32) -> Option<&SharedMemory> {
        match &self.memories.get(index as usize)?.home {
            Home::Shared(memory) => Some(memory),
            Home::Slot { .. } | Home::Own(_) => None,
        }
    }

    /// Makes a shared memory that an instance of this store defines. It counts as all that it may
    /// become, since other threads grow it without the store: no more than what is left.
    pub(crate) fn define_shared(&mut self, ty: MemoryType) -> Result<SharedMemory, Error> {
        let left = (self.options.limits.memory_bytes).saturating_sub(self.memory_bytes);
        let memory = SharedMemory::with_limit(ty, left)?;
        self.take_memory(memory.inner.capacity)?;
        Ok(memory)
    }

    /// Whether the store with this number is this one, and the memory in it shared.
    pub(crate) fn check_shared(
        &self,
        store: NonZeroU64,
        index: u32,
    ) -> Result<Option<&SharedMemory>, UseError> {
        self.check(store)?;
        Ok(self.shared_memory(index))
    }
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory")
            .field("type", &self.ty())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(min: u64, max: u64) -> MemoryType {
        MemoryType {
            shared: true,
            ..MemoryType::new(min, Some(max))
        }
    }

    #[test]
    fn only_shared_types_with_a_maximum_make_one() {
        assert!(SharedMemory::new(MemoryType::new(1, Some(2))).is_err());
        let endless = MemoryType {
            shared: true,
            ..MemoryType::new(1, None)
        };
        assert!(SharedMemory::new(endless).is_err());
        assert!(SharedMemory::new(shared(3, 2)).is_err());
        assert!(SharedMemory::with_limit(shared(2, 4), 65536).is_err());
    }

    #[test]
    fn it_grows_to_its_limit_and_its_maximum() {
        let memory = SharedMemory::with_limit(shared(1, 10), 3 * 65536).expect("a memory");
        assert_eq!(memory.grow(2), Some(1));
        assert_eq!(memory.grow(1), None);
        assert_eq!(memory.grow(u64::MAX), None);
        let memory = SharedMemory::new(shared(1, 2)).expect("a memory");
        assert!(memory.write(65535, b"ab").is_err());
        assert_eq!((memory.grow(1), memory.grow(1)), (Some(1), None));
        memory.write(65535, b"ab").expect("it has grown");
        let mut read = [0; 3];
        memory.read(65534, &mut read).expect("within");
        assert_eq!(&read, b"\0ab");
        assert!(memory.read(u64::MAX, &mut read).is_err());
    }

    #[test]
    fn every_grow_of_a_race_counts_once() {
        let memory = SharedMemory::new(shared(0, 1000)).expect("a memory");
        let mut old: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let grow = || {
                            let old = memory.grow(1)?;
                            // What it has grown by is accessible at once.
                            memory.write(old * 65536, b"x").ok()?;
                            Some(old)
                        };
                        (0..300).filter_map(|_| grow()).collect::<Vec<_>>()
                    })
                })
                .collect();
            let all = threads.into_iter().flat_map(|thread| thread.join());
            all.flatten().collect()
        });
        old.sort_unstable();
        assert_eq!(old, (0..1000).collect::<Vec<_>>());
        assert_eq!(memory.size(), 1000);
    }
}
