//! Instances and what they export.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use loader::{AsStore, AsStoreMut, Extern};

use crate::error::{self, Failure, Result, given, misuse};
use crate::store::{self, CStore};
use crate::text;
use crate::value::{CExtern, CFunc, CGlobal, CInstance, CMemory, CTable};

/// What the instance exports under the name, as `pick` wants it.
fn find<T: Copy + Default, L: Into<T>>(
    store: Option<&CStore>,
    instance: CInstance,
    name: *const c_char,
    out: Option<&mut MaybeUninit<T>>,
    pick: fn(Extern) -> Option<L>,
    kind: &str,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        out.write(T::default());
        let name = text::given(name, "the name")?;
        let instance = instance.get()?;
        let store = store::enter(store)?;
        // Tells which store it is of, where that is another.
        instance.module(store.as_store())?;
        let export = instance.export(store.as_store(), name);
        let export = export.ok_or_else(|| misuse(format!("there is no export `{name}`")))?;
        let picked = pick(export);
        let picked =
            picked.ok_or_else(|| misuse(format!("the export `{name}` is not a {kind}")))?;
        out.write(picked.into());
        Ok(())
    })
}

/// `precast_instance_func`
#[unsafe(no_mangle)]
extern "C" fn precast_instance_func(
    store: Option<&CStore>,
    instance: CInstance,
    name: *const c_char,
    out: Option<&mut MaybeUninit<CFunc>>,
) -> Failure {
    find(store, instance, name, out, Extern::func, "function")
}

/// `precast_instance_memory`
#[unsafe(no_mangle)]
extern "C" fn precast_instance_memory(
    store: Option<&CStore>,
    instance: CInstance,
    name: *const c_char,
    out: Option<&mut MaybeUninit<CMemory>>,
) -> Failure {
    find(store, instance, name, out, Extern::memory, "memory")
}

/// `precast_instance_table`
#[unsafe(no_mangle)]
extern "C" fn precast_instance_table(
    store: Option<&CStore>,
    instance: CInstance,
    name: *const c_char,
    out: Option<&mut MaybeUninit<CTable>>,
) -> Failure {
    find(store, instance, name, out, Extern::table, "table")
}

/// `precast_instance_global`
#[unsafe(no_mangle)]
extern "C" fn precast_instance_global(
    store: Option<&CStore>,
    instance: CInstance,
    name: *const c_char,
    out: Option<&mut MaybeUninit<CGlobal>>,
) -> Failure {
    find(store, instance, name, out, Extern::global, "global")
}

/// `precast_instance_export`
#[unsafe(no_mangle)]
extern "C" fn precast_instance_export(
    store: Option<&CStore>,
    instance: CInstance,
    index: usize,
    out: Option<&mut MaybeUninit<CExtern>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let instance = instance.get()?;
        let store = store::enter(store)?;
        let exports = instance.exports(store.as_store())?;
        let found = exports.get(index);
        let (_, item) = found.ok_or_else(|| {
            misuse(format!(
                "there are {} exports: none is {index}",
                exports.len()
            ))
        })?;
        out.write((*item).into());
        Ok(())
    })
}

/// `precast_instance_fuel`
#[unsafe(no_mangle)]
extern "C" fn precast_instance_fuel(
    store: Option<&CStore>,
    instance: CInstance,
    out: Option<&mut MaybeUninit<u64>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let store = store::enter(store)?;
        let fuel = instance.get()?.fuel(store.as_store())?;
        let counted: Result<u64> =
            fuel.ok_or_else(|| misuse("the object does not count fuel; compile it with --fuel"));
        out.write(counted?);
        Ok(())
    })
}

/// `precast_instance_set_fuel`
#[unsafe(no_mangle)]
extern "C" fn precast_instance_set_fuel(
    store: Option<&CStore>,
    instance: CInstance,
    fuel: u64,
) -> Failure {
    error::run(|| {
        let mut store = store::enter(store)?;
        Ok(instance.get()?.set_fuel(store.as_store_mut(), fuel)?)
    })
}
