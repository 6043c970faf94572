//! Globals.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use loader::{AsStoreMut, Global, GlobalType};

use crate::error::{self, Failure, given};
use crate::signature;
use crate::store::{self, CStore};
use crate::value::{CGlobal, CVal};

/// `precast_global_new`
#[unsafe(no_mangle)]
extern "C" fn precast_global_new(
    store: Option<&CStore>,
    ty: *const c_char,
    mutable: bool,
    value: Option<&CVal>,
    out: Option<&mut MaybeUninit<CGlobal>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        out.write(CGlobal::default());
        let ty = GlobalType::new(signature::val_type(ty)?, mutable);
        let value = given(value, "the value")?.get()?;
        let mut store = store::enter(store)?;
        out.write(Global::new(store.as_store_mut(), ty, value)?.into());
        Ok(())
    })
}

/// `precast_global_get`
#[unsafe(no_mangle)]
extern "C" fn precast_global_get(
    store: Option<&CStore>,
    global: CGlobal,
    out: Option<&mut MaybeUninit<CVal>>,
) -> Failure {
    error::run(|| {
        let out = given(out, "the place for the result")?;
        let store = store::enter(store)?;
        out.write(global.get()?.get(&store)?.into());
        Ok(())
    })
}

/// `precast_global_set`
#[unsafe(no_mangle)]
extern "C" fn precast_global_set(
    store: Option<&CStore>,
    global: CGlobal,
    value: Option<&CVal>,
) -> Failure {
    error::run(|| {
        let value = given(value, "the value")?.get()?;
        let mut store = store::enter(store)?;
        Ok(global.get()?.set(store.as_store_mut(), value)?)
    })
}
