//! What a host function knows of the guest that called it.
//!
//! # Safety
//!
//! This file holds unsafe code: memory 0 of the calling instance is found by a pointer that was
//! resolved when the instance was made, and stays valid as long as the store.
#![allow(
    unsafe_code,
    reason = "the guest's memory is found by a pointer resolved beforehand"
)]

use std::io;
use std::os::fd::BorrowedFd;

use precast_abi::instance::MemoryDef;

use crate::backtrace;
use crate::externs::Extern;
use crate::guest_memory::GuestMemory;
use crate::host::record::HostRecord;
use crate::instance::Instance;
use crate::interrupt::InterruptHandle;
use crate::shared::SharedMemory;
use crate::store::{AsStore, AsStoreMut, StoreMut, StoreRef};
use crate::trap::Backtrace;
use crate::window::{Readers, Window};

/// The store, as a host function has it while it runs: its first parameter.
///
/// Through it the function reaches the host's state, the memory of the guest that called it, and
/// can call guest functions in turn.
pub struct Caller<'a, T: 'static> {
    store: StoreMut<'a, T>,
    memory: *const MemoryDef,
    window: *const Window,
    instance: u32,
}

impl<'a, T: 'static> Caller<'a, T> {
    #[inline]
    pub(crate) fn new(store: StoreMut<'a, T>, record: &HostRecord) -> Caller<'a, T> {
        Caller {
            store,
            memory: record.memory,
            window: record.window,
            instance: record.instance,
        }
    }

    /// The host's state.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The host's state.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// Memory 0 of the instance that imports this function, and the host's state beside it.
    /// `None` where it has no memory, or where no instance imports the function.
    #[inline]
    pub fn memory_and_data(&mut self) -> Option<(GuestMemory<'_>, &mut T)> {
        self.memory_and_data_for(Readers::Anywhere)
    }

    /// The same for a function that uses the memory on its own thread only, in its own code and by
    /// system calls.
    ///
    /// Where the guest comes from a pool and has grown its memory, the system calls are saved that
    /// make all of it accessible to other threads: see
    /// [`crate::pool::PoolBuilder::protection_keys`]. Using a slice of it on another thread may end
    /// the process.
    #[inline]
    pub fn local_memory_and_data(&mut self) -> Option<(GuestMemory<'_>, &mut T)> {
        self.memory_and_data_for(Readers::Here)
    }

    #[inline(always)]
    fn memory_and_data_for(&mut self, readers: Readers) -> Option<(GuestMemory<'_>, &mut T)> {
        if self.memory.is_null() {
            return None;
        }
        // SAFETY: the definition lives as long as the store. Memory up to its length is mapped,
        // and neither guests nor other handles can use it while `self` is borrowed. It is no part
        // of the store's own data, so it overlaps nothing.
        let memory = unsafe { GuestMemory::new(self.memory.read(), self.window, readers)? };
        Some((memory, self.store.data_mut()))
    }

    /// Memory 0 of the instance that imports this function, where threads share it: then there are no
    /// references to its bytes, and [`Caller::memory_and_data`] gives `None`.
    pub fn shared_memory(&self) -> Option<SharedMemory> {
        let core = self.store.core();
        let instance = core.instances.get(self.instance as usize)?;
        core.shared_memory(*instance.memories.first()?).cloned()
    }

    /// The instance that imports this function; `None` where it is called by the host itself, or
    /// by way of a reference that belongs to no instance.
    pub fn instance(&self) -> Option<Instance> {
        let known = self.instance != precast_abi::NONE;
        known.then(|| Instance {
            store: self.store.core().id,
            index: self.instance,
        })
    }

    /// What the instance that imports this function exports under `name`.
    pub fn export(&self, name: &str) -> Option<Extern> {
        self.instance()?.export(self, name)
    }

    /// Whether the guest was stopped from outside, or its time is over: a host function that takes long should return
    /// soon, with whatever result.
    pub fn interrupted(&self) -> bool {
        self.store.core().activation.must_stop()
    }

    /// A descriptor that is readable once the guest is to stop, for host functions that wait: poll it beside your own.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn interrupt_descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        let activation = &self.store.core().activation;
        (activation.event).descriptor(|| activation.standing(activation.generation()))
    }

    /// A handle with which any thread can stop the guests of this store.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.as_store().interrupt_handle()
    }

    /// The guest calls that led here, innermost first.
    pub fn backtrace(&self) -> Backtrace {
        let activation = &self.store.core().activation;
        match activation
            .guest_fp
            .load(std::sync::atomic::Ordering::Relaxed)
        {
            fp if fp & 1 == 1 => Backtrace::default(),
            fp => backtrace::of_callers(activation, fp),
        }
    }
}

impl<T: 'static> AsStore for Caller<'_, T> {
    type Data = T;

    #[inline]
    fn as_store(&self) -> StoreRef<'_, T> {
        self.store.as_store()
    }
}

impl<T: 'static> AsStoreMut for Caller<'_, T> {
    #[inline]
    fn as_store_mut(&mut self) -> StoreMut<'_, T> {
        self.store.as_store_mut()
    }
}
