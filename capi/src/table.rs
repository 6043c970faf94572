//! Tables.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use loader::{AsStoreMut, Table, TableType, ValType};

use crate::error::{self, Failure, Kind, given, misuse};
use crate::signature;
use crate::store::{self, CStore};
use crate::value::{CTable, CVal};

/// What `PRECAST_NO_LIMIT` is.
const NO_LIMIT: u64 = u64::MAX;

/// `precast_table_new`
#[unsafe(no_mangle)]
extern "C" fn precast_table_new(
    store: Option<&CStore>,
    ty: *const c_char,
    min: u64,
    max: u64,
    init: Option<&CVal>,
    out: Option<&mut MaybeUninit<CTable>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        out.write(CTable::default());
        let ValType::Ref(element) = signature::val_type(ty)? else {
            return Err(misuse("the elements of a table are funcref or externref"));
        };
        let ty = TableType::new(element, min, (max != NO_LIMIT).then_some(max));
        let init = given(init, "the first value")?.get()?;
        let mut store = store::enter(store)?;
        out.write(Table::new(store.as_store_mut(), ty, init)?.into());
        Ok(())
    })
}

/// `precast_table_size`
#[unsafe(no_mangle)]
extern "C" fn precast_table_size(
    store: Option<&CStore>,
    table: CTable,
    out: Option<&mut MaybeUninit<u64>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let store = store::enter(store)?;
        out.write(table.get()?.size(&store)?);
        Ok(())
    })
}

/// `precast_table_get`
#[unsafe(no_mangle)]
extern "C" fn precast_table_get(
    store: Option<&CStore>,
    table: CTable,
    index: u64,
    out: Option<&mut MaybeUninit<CVal>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let store = store::enter(store)?;
        let found = table.get()?.get(&store, index)?;
        out.write(found.ok_or_else(|| misuse("out of bounds"))?.into());
        Ok(())
    })
}

/// `precast_table_set`
#[unsafe(no_mangle)]
extern "C" fn precast_table_set(
    store: Option<&CStore>,
    table: CTable,
    index: u64,
    value: Option<&CVal>,
) -> Failure {
    error::run(|| {
        let value = given(value, "the value")?.get()?;
        let mut store = store::enter(store)?;
        Ok(table.get()?.set(store.as_store_mut(), index, value)?)
    })
}

/// `precast_table_grow`
#[unsafe(no_mangle)]
extern "C" fn precast_table_grow(
    store: Option<&CStore>,
    table: CTable,
    delta: u64,
    init: Option<&CVal>,
    old: Option<&mut MaybeUninit<u64>>,
) -> Failure {
    error::run(|| {
        let init = given(init, "the value")?.get()?;
        let mut store = store::enter(store)?;
        let grown = table.get()?.grow(store.as_store_mut(), delta, init)?;
        let before = grown.ok_or_else(|| {
            let message = format!("the table cannot grow by {delta} elements");
            error::Error::new(Kind::Limit, &message)
        })?;
        if let Some(old) = old {
            old.write(before);
        }
        Ok(())
    })
}
