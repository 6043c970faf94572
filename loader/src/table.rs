//! Tables.
//!
//! # Safety
//!
//! This file holds unsafe code. A table's definition and elements are found by addresses that live
//! as long as the store (elements: until it grows, which updates the definition); they are used
//! only through a borrow of the store, while no guest runs.
#![allow(unsafe_code, reason = "tables are shared with generated code")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::num::NonZeroU64;
use std::ptr::NonNull;

use precast_abi::instance::{FuncRef, TableDef};

use crate::error::{Error, SystemError, UseError};
use crate::func::Func;
use crate::store::{AsStore, AsStoreMut, StoreCore};
use crate::types::{TableType, ValType};
use crate::value::{Cell, Val};

/// A table, in some store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub(crate) store: NonZeroU64,
    pub(crate) index: u32,
}

/// What the store keeps of a table.
#[derive(Debug)]
pub(crate) struct TableEntity {
    /// Where generated code looks for elements and length.
    pub(crate) def: NonNull<TableDef>,
    /// As declared.
    pub(crate) declared: TableType,
    /// Room for elements, in elements.
    pub(crate) capacity: u64,
    /// Whether the first elements lie in instance data.
    pub(crate) in_data: bool,
    /// The elements, where they do not lie in instance data.
    pub(crate) storage: Option<Storage>,
    /// Keeps `def` where no instance does.
    pub(crate) _own_def: Option<Box<TableDef>>,
}

// SAFETY: the pointer is to memory of the same store, which moves with it.
unsafe impl Send for TableEntity {}
// SAFETY: reads through shared references happen only while no guest runs.
unsafe impl Sync for TableEntity {}

/// Zeroed room for elements.
#[derive(Debug)]
pub(crate) struct Storage {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory that is owned.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// Room for `count` elements of `size` bytes; `None` where there is not so much memory.
    pub(crate) fn new(count: u64, size: usize) -> Option<Storage> {
        let bytes = usize::try_from(count).ok()?.checked_mul(size)?.max(size);
        let layout = Layout::from_size_align(bytes, align_of::<FuncRef>()).ok()?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Storage { start, layout })
    }

    /// Address of the first element, as guest code may use it.
    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl TableEntity {
    pub(crate) fn def(&self) -> TableDef {
        // SAFETY: the definition lives as long as the store.
        unsafe { self.def.read() }
    }

    /// Its type for linking: the least length is the current one.
    pub(crate) fn ty(&self) -> TableType {
        TableType {
            min: self.def().len,
            ..self.declared
        }
    }

    /// Bytes of an element.
    pub(crate) fn element_size(&self) -> usize {
        element_size(&self.declared)
    }

    /// Address of elements `start..start + len`; `None` where there are not so many.
    pub(crate) fn elements(&self, start: u64, len: u64) -> Option<*mut u8> {
        let def = self.def();
        if start.checked_add(len)? > def.len {
            return None;
        }
        let address = def.elements as usize + start as usize * self.element_size();
        Some(std::ptr::with_exposed_provenance_mut(address))
    }

    /// The reference that element `index` holds.
    fn get(&self, index: u64) -> Option<u64> {
        let element = self.elements(index, 1)?;
        // SAFETY: within the table; references to functions are held by value with their identity.
        Some(unsafe {
            if self.declared.element.is_func() {
                element.cast::<FuncRef>().read().identity
            } else {
                element.cast::<u64>().read()
            }
        })
    }

    /// Sets elements `start..start + len` to a reference; `false` where there are not so many.
    ///
    /// # Safety
    ///
    /// `reference` must be null or a reference of the table's kind that the store made.
    pub(crate) unsafe fn fill(&self, start: u64, len: u64, reference: u64) -> bool {
        let Some(elements) = self.elements(start, len) else {
            return false;
        };
        // SAFETY: within the table; the caller vouches for the reference.
        unsafe {
            if self.declared.element.is_func() {
                let value = func_ref_value(reference);
                let elements = elements.cast::<FuncRef>();
                (0..len as usize).for_each(|i| elements.add(i).write(value));
            } else {
                let elements = elements.cast::<u64>();
                (0..len as usize).for_each(|i| elements.add(i).write(reference));
            }
        }
        true
    }
}

impl TableEntity {
    /// Brings a table that an instance defines back to its first length, all null. What lies in
    /// instance data is restored from `pristine`, its end before the base, into which the address of
    /// new elements is written. `None` where there is no memory.
    ///
    /// # Safety
    ///
    /// No guest of the store may run before the instance data is restored.
    pub(crate) unsafe fn restore(&mut self, pristine: &mut [u8], base: usize) -> Option<()> {
        let least = self.declared.min;
        if self.in_data {
            self.storage = None;
            self.capacity = least;
            return Some(());
        }
        if self.capacity == least
            && let Some(storage) = &self.storage
        {
            // SAFETY: the storage is ours and as large as its layout says.
            unsafe { storage.start.write_bytes(0, storage.layout.size()) };
            return Some(());
        }
        let storage = Storage::new(least, self.element_size())?;
        let def = TableDef {
            elements: storage.address(),
            len: least,
        };
        let at = pristine.len().checked_sub(base - self.def.addr().get())?;
        let (elements, len) = pristine
            .get_mut(at..at + size_of::<TableDef>())?
            .split_at_mut(8);
        elements.copy_from_slice(&def.elements.to_ne_bytes());
        len.copy_from_slice(&def.len.to_ne_bytes());
        self.storage = Some(storage);
        self.capacity = least;
        Some(())
    }
}

/// Bytes of an element of such a table.
pub(crate) fn element_size(ty: &TableType) -> usize {
    if ty.element.is_func() {
        size_of::<FuncRef>()
    } else {
        8
    }
}

/// What a table of functions holds for a `funcref` value.
///
/// # Safety
///
/// The reference must be null or the address of a record that a living store made.
pub(crate) unsafe fn func_ref_value(reference: u64) -> FuncRef {
    if reference == 0 {
        return FuncRef {
            code: 0,
            context: 0,
            type_id: 0,
            reserved: 0,
            identity: 0,
        };
    }
    // SAFETY: the caller's promise.
    unsafe { std::ptr::with_exposed_provenance::<FuncRef>(reference as usize).read() }
}

impl StoreCore {
    /// Grows table `index` by `delta` elements, each `reference`. The old length, or `None` where
    /// it cannot.
    ///
    /// # Safety
    ///
    /// `reference` must be null or a reference of the table's kind that the store made.
    pub(crate) unsafe fn grow_table(
        &mut self,
        index: u32,
        delta: u64,
        reference: u64,
    ) -> Option<u64> {
        let table = &self.tables[index as usize];
        let old = table.def().len;
        let new = old.checked_add(delta)?;
        let widest = if table.declared.is_64 {
            u64::MAX
        } else {
            u32::MAX.into()
        };
        if new > table.declared.max.unwrap_or(u64::MAX).min(widest) {
            return None;
        }
        self.take_elements(delta).ok()?;
        if !self.make_room(index, new) {
            self.table_elements -= delta;
            return None;
        }
        let table = &self.tables[index as usize];
        // SAFETY: the definition lives as long as the store, no guest runs, and there is room.
        unsafe {
            (*table.def.as_ptr()).len = new;
            table.fill(old, delta, reference);
        }
        Some(old)
    }

    fn make_room(&mut self, index: u32, needed: u64) -> bool {
        let table = &mut self.tables[index as usize];
        if needed <= table.capacity {
            return true;
        }
        let size = table.element_size();
        let most = table.declared.max.unwrap_or(u64::MAX).max(needed);
        let capacity = needed.max(table.capacity.saturating_mul(2)).min(most);
        let Some(storage) = Storage::new(capacity, size) else {
            return false;
        };
        let def = table.def();
        // SAFETY: old and new elements are both mapped, do not overlap, and the new have room;
        // the definition lives as long as the store, and no guest runs.
        unsafe {
            let old = std::ptr::with_exposed_provenance::<u8>(def.elements as usize);
            old.copy_to_nonoverlapping(storage.start.as_ptr(), def.len as usize * size);
            (*table.def.as_ptr()).elements = storage.address();
        }
        table.storage = Some(storage);
        table.capacity = capacity;
        true
    }
}

impl Table {
    /// A table of the host's own, each element `init`.
    ///
    /// # Errors
    ///
    /// If the type makes no sense, `init` is not of it, or the store's limit or the system does not
    /// allow it.
    pub fn new(mut store: impl AsStoreMut, ty: TableType, init: Val) -> Result<Table, Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        let widest = if ty.is_64 { u64::MAX } else { u32::MAX.into() };
        if ty.min > widest || ty.max.is_some_and(|max| max < ty.min || max > widest) {
            return Err(UseError::BadType {
                reason: "the limits do not fit",
            }
            .into());
        }
        let reference = init.to_cell(ValType::Ref(ty.element), core)?.0[0];
        core.take_elements(ty.min)?;
        let Some(storage) = Storage::new(ty.min, element_size(&ty)) else {
            core.table_elements -= ty.min;
            let bytes = ty.min.saturating_mul(element_size(&ty) as u64);
            return Err(SystemError {
                what: "allocate",
                bytes,
                source: None,
            }
            .into());
        };
        let mut own_def = Box::new(TableDef {
            elements: storage.address(),
            len: ty.min,
        });
        let def = NonNull::from(&mut *own_def);
        def.as_ptr().expose_provenance();
        let entity = TableEntity {
            def,
            declared: ty,
            capacity: ty.min,
            in_data: false,
            storage: Some(storage),
            _own_def: Some(own_def),
        };
        // SAFETY: `to_cell` has checked that the reference is of this store and type.
        unsafe { entity.fill(0, ty.min, reference) };
        core.tables.push(entity);
        Ok(Table {
            store: core.id,
            index: core.tables.len() as u32 - 1,
        })
    }

    fn entity<'a>(&self, core: &'a StoreCore) -> Result<&'a TableEntity, Error> {
        core.check(self.store)?;
        Ok(&core.tables[self.index as usize])
    }

    /// Its type. The least length is the current one.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, as with all methods.
    pub fn ty(&self, store: impl AsStore) -> Result<TableType, Error> {
        Ok(self.entity(store.as_store().into_core())?.ty())
    }

    /// Current length in elements.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn size(&self, store: impl AsStore) -> Result<u64, Error> {
        Ok(self.entity(store.as_store().into_core())?.def().len)
    }

    /// Element `index`; `None` past the end.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn get(&self, store: impl AsStore, index: u64) -> Result<Option<Val>, Error> {
        let core = store.as_store().into_core();
        let table = self.entity(core)?;
        let ty = ValType::Ref(table.declared.element);
        Ok(table
            .get(index)
            .map(|bits| Val::from_cell(Cell([bits, 0]), ty, core)))
    }

    /// Sets element `index`.
    ///
    /// # Errors
    ///
    /// If there is no such element, or the value is not of the table's type.
    pub fn set(&self, mut store: impl AsStoreMut, index: u64, value: Val) -> Result<(), Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        let table = self.entity(core)?;
        let bits = value.to_cell(ValType::Ref(table.declared.element), core)?.0[0];
        // SAFETY: `to_cell` has checked that the reference is of this store and type.
        let inside = unsafe { table.fill(index, 1, bits) };
        if inside {
            Ok(())
        } else {
            Err(UseError::OutOfBounds.into())
        }
    }

    /// Grows it by `delta` elements, each `init`. The old length, or `None` where its type, the
    /// store's limit or the system does not allow it.
    ///
    /// # Errors
    ///
    /// If the value is not of the table's type.
    pub fn grow(
        &self,
        mut store: impl AsStoreMut,
        delta: u64,
        init: Val,
    ) -> Result<Option<u64>, Error> {
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        let ty = ValType::Ref(self.entity(core)?.declared.element);
        let bits = init.to_cell(ty, core)?.0[0];
        // SAFETY: `to_cell` has checked that the reference is of this store and type.
        Ok(unsafe { core.grow_table(self.index, delta, bits) })
    }

    /// The function in element `index`; `None` where it is null, past the end, or no function.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn func(&self, store: impl AsStore, index: u64) -> Result<Option<Func>, Error> {
        Ok(match self.get(store, index)? {
            Some(Val::FuncRef(func)) => func,
            _ => None,
        })
    }
}
