//! Linear memories.
//!
//! # Safety
//!
//! This file holds unsafe code. A memory's definition and bytes are found by addresses that live
//! as long as the store; they are used only through a borrow of the store, while no guest runs.
#![allow(unsafe_code, reason = "linear memory is shared with generated code")]

use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use precast_abi::instance::MemoryDef;
use precast_abi::object::MemoryRecord;

use crate::activation::Activation;
use crate::error::{Error, SystemError, UseError};
use crate::guest_memory::GuestMemory;
use crate::instantiate::InstanceData;
use crate::shared::SharedMemory;
use crate::slot::Slot;
use crate::store::{AsStore, AsStoreMut, StoreCore};
use crate::sys::{self, Access, Reservation};
use crate::types::MemoryType;
use crate::window::{Readers, Window};

/// A linear memory, in some store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub(crate) store: NonZeroU64,
    pub(crate) index: u32,
}

/// Where a memory's bytes lie.
#[derive(Debug)]
pub(crate) enum Home {
    /// In the slot of an instance: from this distance on from the start of its reservation.
    Slot { instance: u32, offset: usize },
    /// In a reservation of its own.
    Own(Reservation),
    /// With other stores, on other threads.
    Shared(SharedMemory),
}

/// What the store keeps of a memory.
#[derive(Debug)]
pub(crate) struct MemoryEntity {
    /// Where generated code looks for base and length.
    pub(crate) def: NonNull<MemoryDef>,
    /// As declared.
    pub(crate) declared: MemoryType,
    pub(crate) home: Home,
    /// Bytes that the home has room for.
    pub(crate) capacity: u64,
    /// Bytes that are accessible whatever its length.
    pub(crate) committed: u64,
    /// Keeps `def` where no instance does.
    pub(crate) _own_def: Option<Box<MemoryDef>>,
}

// SAFETY: the pointer is to memory of the same store, which moves with it.
unsafe impl Send for MemoryEntity {}
// SAFETY: reads through shared references happen only while no guest runs.
unsafe impl Sync for MemoryEntity {}

/// Address space for a 64-bit memory that does not say how large it may become.
const DEFAULT_CAPACITY_64: u64 = 16 << 30;

/// How many bytes of address space a memory without a fixed reservation gets.
fn capacity_for(ty: &MemoryType, limit: u64) -> u64 {
    let most = ty.max.unwrap_or(u64::MAX).min(ty.absolute_max());
    let most = shift(most, ty.page_size_log2).unwrap_or(u64::MAX);
    let least = shift(ty.min, ty.page_size_log2).unwrap_or(u64::MAX);
    most.min(if ty.is_64 {
        DEFAULT_CAPACITY_64
    } else {
        4 << 30
    })
    .min(limit)
    .max(least)
}

/// The same for a memory in the slot of its instance: no more than its object was compiled for.
pub(crate) fn slot_capacity(record: &MemoryRecord, ty: &MemoryType, limit: u64) -> u64 {
    let capacity = capacity_for(ty, limit);
    match record.capacity {
        0 => capacity,
        most => capacity.min(most),
    }
}

/// `pages` in bytes; `None` beyond 64 bits.
pub(crate) fn shift(pages: u64, log2: u32) -> Option<u64> {
    (pages <= u64::MAX >> log2).then(|| pages << log2)
}

impl MemoryEntity {
    /// A reservation for a memory of its own, zeroed, of its least size; and its capacity.
    pub(crate) fn reserve(ty: MemoryType, limit: u64) -> Result<(Reservation, u64), SystemError> {
        let least = shift(ty.min, ty.page_size_log2).unwrap_or(u64::MAX);
        let mut capacity = capacity_for(&ty, limit);
        loop {
            match reserve(capacity, least) {
                Ok(reservation) => return Ok((reservation, capacity)),
                Err(error) if capacity <= least.max(1) => return Err(error),
                // No room for all that it may become: try with less.
                Err(_) => capacity = (capacity / 2).max(least),
            }
        }
    }

    pub(crate) fn is_in_slot(&self) -> bool {
        matches!(self.home, Home::Slot { .. })
    }

    /// A shared memory, as a store knows it.
    pub(crate) fn of_shared(memory: SharedMemory) -> MemoryEntity {
        MemoryEntity {
            def: memory.def(),
            declared: memory.ty(),
            home: Home::Shared(memory),
            capacity: 0,
            committed: 0,
            _own_def: None,
        }
    }

    pub(crate) fn def(&self) -> MemoryDef {
        let def = self.def.as_ptr();
        // SAFETY: the definition lives as long as the store. Its base never changes; where other
        // threads may change the length, they do so by atomic operations.
        unsafe {
            MemoryDef {
                base: (*def).base,
                len: AtomicU64::from_ptr(&raw mut (*def).len).load(Ordering::Acquire),
            }
        }
    }

    /// Current size in pages.
    pub(crate) fn pages(&self) -> u64 {
        self.def().len >> self.declared.page_size_log2
    }

    /// Its type for linking: the least size is the current one.
    pub(crate) fn ty(&self) -> MemoryType {
        MemoryType {
            min: self.pages(),
            ..self.declared
        }
    }

    /// Its bytes, as a pointer and a length.
    pub(crate) fn raw(&self) -> (*mut u8, usize) {
        let def = self.def();
        (
            std::ptr::with_exposed_provenance_mut(def.base as usize),
            def.len as usize,
        )
    }
}

fn reserve(capacity: u64, least: u64) -> Result<Reservation, SystemError> {
    let fail = |what, bytes| {
        move |error| SystemError {
            what,
            bytes,
            source: Some(error),
        }
    };
    let len = usize::try_from(capacity).unwrap_or(usize::MAX);
    let reservation = Reservation::new(len).map_err(fail("reserve", capacity))?;
    if least > 0 {
        // SAFETY: the reservation is new: no one uses it.
        unsafe { reservation.protect(0..least as usize, Access::ReadWrite) }
            .map_err(fail("allocate", least))?;
    }
    Ok(reservation)
}

impl StoreCore {
    /// Grows memory `index` by `delta` pages. The old size in pages, or `None` where it cannot.
    pub(crate) fn grow_memory(&mut self, index: u32, delta: u64) -> Option<u64> {
        let memory = &self.memories[index as usize];
        if let Home::Shared(memory) = &memory.home {
            return memory.grow(delta);
        }
        let (ty, old) = (memory.declared, memory.pages());
        let new = old.checked_add(delta)?;
        if new > ty.max.unwrap_or(u64::MAX).min(ty.absolute_max()) {
            return None;
        }
        let new_bytes = shift(new, ty.page_size_log2)?;
        let old_bytes = memory.def().len;
        if new_bytes > memory.capacity {
            return None;
        }
        self.take_memory(new_bytes - old_bytes).ok()?;
        if self
            .commit_memory(index, old_bytes as usize, new_bytes as usize)
            .is_err()
        {
            self.memory_bytes -= new_bytes - old_bytes;
            return None;
        }
        // SAFETY: the definition lives as long as the store, and no guest runs.
        unsafe { (*self.memories[index as usize].def.as_ptr()).len = new_bytes };
        Some(old)
    }

    /// The window of the slot that the memory lies in, if that is a pool's; else null.
    pub(crate) fn window_of(&self, memory: &MemoryEntity) -> *const Window {
        match &memory.home {
            Home::Slot { instance, .. } => self.instances[*instance as usize].slot.region.window,
            Home::Own(_) | Home::Shared(_) => std::ptr::null(),
        }
    }

    /// Makes the bytes of a memory from `old` to `new` accessible.
    fn commit_memory(&self, index: u32, old: usize, new: usize) -> io::Result<()> {
        let page = sys::page_size();
        let (from, to) = (old.next_multiple_of(page), new.next_multiple_of(page));
        if from >= to || new as u64 <= self.memories[index as usize].committed {
            return Ok(());
        }
        match &self.memories[index as usize].home {
            // SAFETY: access is only added.
            Home::Own(reservation) => unsafe { reservation.protect(from..to, Access::ReadWrite) },
            Home::Slot { instance, .. } => {
                self.instances[*instance as usize].commit(&self.activation, from, to)
            }
            // It sees to that itself.
            Home::Shared(_) => Ok(()),
        }
    }
}

impl InstanceData {
    /// Makes bytes `from..to` of its memory accessible, which are not: whole pages.
    fn commit(&self, activation: &Activation, from: usize, to: usize) -> io::Result<()> {
        let base = self.slot.base();
        let Some(window) = self.window.as_deref() else {
            return self.commit_plainly(from..to, 0);
        };
        let past_key = window.keyed().saturating_sub(base);
        if past_key <= from {
            return self.commit_plainly(from..to, window.guarded().saturating_sub(base));
        }
        if to < past_key || window.is_key_off() {
            self.remove_key(activation, window)?;
            return self.commit_plainly(from..to, window.guarded().saturating_sub(base));
        }
        if past_key < to {
            self.commit_plainly(past_key..to, window.guarded().saturating_sub(base))?;
        }
        activation.open_key(window);
        Ok(())
    }

    /// The same, up to `guarded` by taking away guards.
    fn commit_plainly(&self, range: Range<usize>, guarded: usize) -> io::Result<()> {
        let (from, to) = (range.start, range.end);
        let Slot {
            reservation,
            base_offset: offset,
            ..
        } = &self.slot;
        let middle = guarded.clamp(from, to);
        if from < middle {
            reservation.unguard(offset + from..offset + middle)?;
        }
        if middle < to {
            // SAFETY: access is only added.
            unsafe { reservation.protect(offset + middle..offset + to, Access::ReadWrite)? };
        }
        Ok(())
    }

    /// Makes keyed pages guarded ones. What is in them is lost.
    pub(crate) fn remove_key(&self, activation: &Activation, window: &Window) -> io::Result<()> {
        let start = self.slot.region.start;
        let keyed = window.first_grown()..window.keyed();
        // SAFETY: pages of the slot, to which no one refers: they are no part of the memory, or the
        // slot is being restored.
        unsafe { (self.slot.reservation).guard(keyed.start - start..keyed.end - start)? };
        window.set_guarded(window.guarded().max(keyed.end));
        if !window.remove_key() {
            return Err(io::Error::last_os_error());
        }
        activation.clear_keyed();
        Ok(())
    }
}

/// Whether a type makes sense.
pub(crate) fn check_type(ty: &MemoryType) -> Result<(), UseError> {
    let most = ty.absolute_max();
    if !matches!(ty.page_size_log2, 0 | 16) {
        let reason = "pages are of 1 or 65536 bytes";
        return Err(UseError::BadType { reason });
    }
    if ty.min > most || ty.max.is_some_and(|max| max > most || max < ty.min) {
        let reason = "the limits do not fit";
        return Err(UseError::BadType { reason });
    }
    Ok(())
}

impl Memory {
    /// A memory of the host's own.
    ///
    /// # Errors
    ///
    /// If the type makes no sense, or the store's limit or the system does not allow it.
    pub fn new(mut store: impl AsStoreMut, ty: MemoryType) -> Result<Memory, Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        if ty.shared {
            let reason = "shared memories are made by `SharedMemory::new`";
            return Err(UseError::BadType { reason }.into());
        }
        check_type(&ty)?;
        let bytes = shift(ty.min, ty.page_size_log2).unwrap_or(u64::MAX);
        core.take_memory(bytes)?;
        let limit = core.options.limits.memory_bytes;
        let (reservation, capacity) = match MemoryEntity::reserve(ty, limit) {
            Ok(made) => made,
            Err(error) => {
                core.memory_bytes -= bytes;
                return Err(error.into());
            }
        };
        let base = reservation.base().as_ptr().expose_provenance() as u64;
        let mut own_def = Box::new(MemoryDef { base, len: bytes });
        let def = NonNull::from(&mut *own_def);
        def.as_ptr().expose_provenance();
        core.memories.push(MemoryEntity {
            def,
            declared: ty,
            home: Home::Own(reservation),
            capacity,
            committed: 0,
            _own_def: Some(own_def),
        });
        Ok(Memory {
            store: core.id,
            index: core.memories.len() as u32 - 1,
        })
    }

    /// The memory itself, where it is one that threads share.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn shared(&self, store: impl AsStore) -> Result<Option<SharedMemory>, Error> {
        let store = store.as_store();
        let core = store.into_core();
        Ok(core.check_shared(self.store, self.index)?.cloned())
    }

    /// Its bytes may be borrowed: no other thread has them.
    fn exclusive<'a>(&self, core: &'a StoreCore) -> Result<&'a MemoryEntity, Error> {
        match core.check_shared(self.store, self.index)? {
            Some(_) => Err(UseError::SharedMemory.into()),
            None => self.entity(core),
        }
    }

    fn entity<'a>(&self, core: &'a StoreCore) -> Result<&'a MemoryEntity, Error> {
        core.check(self.store)?;
        Ok(&core.memories[self.index as usize])
    }

    /// Its type. The least size is the current one.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, as with all methods.
    pub fn ty(&self, store: impl AsStore) -> Result<MemoryType, Error> {
        Ok(self.entity(store.as_store().into_core())?.ty())
    }

    /// Current size in pages.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn size(&self, store: impl AsStore) -> Result<u64, Error> {
        Ok(self.entity(store.as_store().into_core())?.pages())
    }

    /// Grows it by `delta` pages. The old size in pages, or `None` where its type, the store's
    /// limit or the system does not allow it.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn grow(&self, mut store: impl AsStoreMut, delta: u64) -> Result<Option<u64>, Error> {
        let mut store = store.as_store_mut();
        store.core().check(self.store)?;
        Ok(store.core_mut().grow_memory(self.index, delta))
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, or threads share it, as with all that give its bytes.
    pub fn data<'a, S: AsStore>(&self, store: &'a S) -> Result<&'a [u8], Error> {
        let core = store.as_store().into_core();
        let entity = self.exclusive(core)?;
        // SAFETY: a pooled slot's window lives as long as the store.
        let window = unsafe { core.window_of(entity).as_ref() };
        if window.is_some_and(|window| !window.make_readable(Readers::Anywhere)) {
            return Err(cannot_access());
        }
        let (start, len) = entity.raw();
        // SAFETY: memory up to its length is mapped as long as the store lives; the borrow keeps
        // guests from running and other handles from writing.
        Ok(unsafe { std::slice::from_raw_parts(start, len) })
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn data_mut<'a, S: AsStoreMut>(&self, store: &'a mut S) -> Result<&'a mut [u8], Error> {
        Ok(self.data_and_store_mut(store)?.0)
    }

    /// Its bytes, and the host's state beside them.
    ///
    /// Where the store comes from a pool, all of the memory counts as written from then on:
    /// [`Memory::slice_mut`] costs less.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, or the system refuses to make it writable.
    pub fn data_and_store_mut<'a, S: AsStoreMut>(
        &self,
        store: &'a mut S,
    ) -> Result<(&'a mut [u8], &'a mut S::Data), Error> {
        let store = store.as_store_mut();
        let memory = self.writable(store.core())?;
        let bytes = memory.all_mut().ok_or_else(cannot_access)?;
        Ok((bytes, store.into_data_mut()))
    }

    /// The bytes of a range, to write to.
    ///
    /// # Errors
    ///
    /// If the range is not within the memory, it belongs to another store, or the system refuses to
    /// make it writable.
    pub fn slice_mut<'a, S: AsStoreMut>(
        &self,
        store: &'a mut S,
        range: Range<usize>,
    ) -> Result<&'a mut [u8], Error> {
        let store = store.as_store_mut();
        let memory = self.writable(store.core())?;
        if range.start > range.end || range.end > memory.len() {
            return Err(UseError::OutOfBounds.into());
        }
        memory.into_slice_mut(range).ok_or_else(cannot_access)
    }

    /// The memory, for the lifetime of the exclusive borrow of the store that `core` is part of.
    fn writable<'a>(&self, core: &StoreCore) -> Result<GuestMemory<'a>, Error> {
        let entity = self.exclusive(core)?;
        // SAFETY: the callers have the store exclusively for `'a`.
        unsafe { GuestMemory::new(entity.def(), core.window_of(entity), Readers::Anywhere) }
            .ok_or_else(cannot_access)
    }

    /// Copies bytes from `offset` into `buffer`.
    ///
    /// # Errors
    ///
    /// If the range is not within the memory.
    pub fn read(&self, store: impl AsStore, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let store = store.as_store();
        if let Some(memory) = store.into_core().check_shared(self.store, self.index)? {
            return memory.read(offset, buffer);
        }
        let data = self.data(&store)?;
        buffer.copy_from_slice(&data[range(offset, buffer.len(), data.len())?]);
        Ok(())
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Errors
    ///
    /// If the range is not within the memory.
    pub fn write(
        &self,
        mut store: impl AsStoreMut,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let mut store = store.as_store_mut();
        if let Some(memory) = store.core().check_shared(self.store, self.index)? {
            return memory.write(offset, bytes);
        }
        let size = self.entity(store.core())?.raw().1;
        let range = range(offset, bytes.len(), size)?;
        self.slice_mut(&mut store, range)?.copy_from_slice(bytes);
        Ok(())
    }
}

/// The system refused to make pages accessible.
fn cannot_access() -> Error {
    Error::System(SystemError {
        what: "make accessible",
        bytes: 0,
        source: Some(io::Error::last_os_error()),
    })
}

fn range(offset: u64, len: usize, size: usize) -> Result<Range<usize>, UseError> {
    let start = usize::try_from(offset).map_err(|_| UseError::OutOfBounds)?;
    let end = start
        .checked_add(len)
        .filter(|&end| end <= size)
        .ok_or(UseError::OutOfBounds)?;
    Ok(start..end)
}
