//! Globals.
//!
//! # Safety
//!
//! This file holds unsafe code. A global's value is found by an address that lives as long as the
//! store; it is used only through a borrow of the store, while no guest runs.
#![allow(unsafe_code, reason = "globals are shared with generated code")]

use std::cell::UnsafeCell;
use std::num::NonZeroU64;
use std::ptr::NonNull;

use crate::error::{Error, UseError};
use crate::store::{AsStore, AsStoreMut};
use crate::types::{GlobalType, ValType};
use crate::value::{Cell, Val};

/// A global, in some store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    pub(crate) store: NonZeroU64,
    /// 8 bytes, 16 for `v128`.
    pub(crate) cell: NonNull<u64>,
    pub(crate) ty: GlobalType,
}

// SAFETY: the address is followed only together with the store, which is borrowed then.
unsafe impl Send for Global {}
// SAFETY: as above.
unsafe impl Sync for Global {}

impl Global {
    /// A global of the host's own.
    ///
    /// # Errors
    ///
    /// If the value is not of the type.
    pub fn new(mut store: impl AsStoreMut, ty: GlobalType, value: Val) -> Result<Global, Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        let cell = value.to_cell(ty.content, core)?;
        let place = Box::new(UnsafeCell::new(cell));
        let cell = NonNull::new(place.get())
            .expect("boxes are not null")
            .cast::<u64>();
        cell.as_ptr().expose_provenance();
        let rare = core.rare_mut();
        if matches!(ty.content, ValType::Ref(ty) if ty.is_any()) {
            rare.heap_globals.push(rare.globals.len());
        }
        rare.globals.push(place);
        Ok(Global {
            store: core.id,
            cell,
            ty,
        })
    }

    /// Its type.
    pub fn ty(&self) -> GlobalType {
        self.ty
    }

    /// Its value.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn get(&self, store: impl AsStore) -> Result<Val, Error> {
        let core = store.as_store().into_core();
        core.check(self.store)?;
        let mut bits = [0; 2];
        // SAFETY: the cell lives as long as the store, and is of this size.
        unsafe {
            bits[0] = self.cell.read();
            if self.ty.content == ValType::V128 {
                bits[1] = self.cell.add(1).read();
            }
        }
        Ok(Val::from_cell(Cell(bits), self.ty.content, core))
    }

    /// Sets its value.
    ///
    /// # Errors
    ///
    /// If it is immutable, the value is not of its type, or it belongs to another store.
    pub fn set(&self, mut store: impl AsStoreMut, value: Val) -> Result<(), Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        core.check(self.store)?;
        if !self.ty.mutable {
            return Err(UseError::Immutable.into());
        }
        let bits = value.to_cell(self.ty.content, core)?.0;
        // SAFETY: the cell lives as long as the store, and is of this size; the store is ours.
        unsafe {
            self.cell.write(bits[0]);
            if self.ty.content == ValType::V128 {
                self.cell.add(1).write(bits[1]);
            }
        }
        Ok(())
    }
}
