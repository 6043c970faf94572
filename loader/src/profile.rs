//! What an instance has counted, for objects that were compiled to make profiles.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads the counters in an instance's data, through a borrow of
//! the store, while the guest does not run.
#![allow(unsafe_code, reason = "counters lie in instance data")]

use crate::error::Error;
use crate::instance::Instance;
use crate::store::AsStore;
use precast_abi::profile::Profile;

impl Instance {
    /// How often each counting point of the module has been passed since the instance was made;
    /// `None` where its object was not compiled to count that (`precast compile --instrument`).
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn profile(&self, store: impl AsStore) -> Result<Option<Profile>, Error> {
        let instance = self.data(store.as_store().into_core())?;
        let header = instance.module.metadata().header();
        if header.counter_count == 0 {
            return Ok(None);
        }
        // SAFETY: the counters lie in the part of the instance data that may change (checked when
        // the object was opened), and any bits are a number.
        let count = |counter| unsafe { instance.slot.read(header.counters - counter * 8) };
        let counts = (0..header.counter_count).map(count).collect();
        Ok(Some(Profile::new(header.source_hash, counts)))
    }
}
