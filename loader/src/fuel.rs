//! How much an instance may still execute, for objects that count it.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads and writes a word of an instance's header, through a
//! borrow of the store, while the guest does not run.
#![allow(unsafe_code, reason = "fuel lies in instance data")]

use precast_abi::instance::InstanceHeader;
use precast_abi::object::ObjectHeader;

use crate::error::{Error, UseError};
use crate::instance::Instance;
use crate::instantiate::InstanceData;
use crate::store::{AsStore, AsStoreMut};

impl Instance {
    /// How much the instance may still execute; `None` where its object was not compiled to count
    /// that (`precast compile --fuel`).
    ///
    /// Every instance has fuel of its own, which nothing but its own code uses up. What costs how
    /// much, the page on fuel in the documentation says.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn fuel(&self, store: impl AsStore) -> Result<Option<u64>, Error> {
        let instance = self.data(store.as_store().into_core())?;
        // SAFETY: every instance has a header.
        let fuel = || unsafe { instance.slot.read(InstanceHeader::FUEL) };
        Ok(counts(instance).then(fuel))
    }

    /// Says how much the instance may execute from now on. A call that needs more traps, and may
    /// be made again when there is more.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, or its object was not compiled to count.
    pub fn set_fuel(&self, mut store: impl AsStoreMut, fuel: u64) -> Result<(), Error> {
        let mut store = store.as_store_mut();
        let instance = self.data(store.core_mut())?;
        if !counts(instance) {
            return Err(UseError::NoFuel.into());
        }
        // SAFETY: every instance has a header; the store is borrowed: no one uses it meanwhile.
        unsafe { instance.slot.write(InstanceHeader::FUEL, fuel) };
        Ok(())
    }

    /// Adds to what the instance may execute, up to `u64::MAX`. Returns how much that is now.
    ///
    /// # Errors
    ///
    /// As [`Instance::set_fuel`].
    pub fn add_fuel(&self, mut store: impl AsStoreMut, more: u64) -> Result<u64, Error> {
        let mut store = store.as_store_mut();
        let left = self.fuel(&store)?.ok_or(UseError::NoFuel)?;
        let fuel = left.saturating_add(more);
        self.set_fuel(&mut store, fuel)?;
        Ok(fuel)
    }
}

/// Whether the code of an instance counts what it executes.
fn counts(instance: &InstanceData) -> bool {
    instance.module.metadata().header().flags & ObjectHeader::FUEL != 0
}
