//! Compiler, loader and the instances of one script.

use std::collections::HashMap;

use precast::{AnyKind, AnyRef, Error, Instance, Linker, Module, Store, StoreOptions, Val};
use precast_compiler::{CompileError, Options};

use super::spectest;

/// One script's store.
pub(super) struct Engine {
    options: Options,
    pub(super) store: Store<()>,
    linker: Linker<()>,
    extern_refs: HashMap<u32, precast::ExternRef>,
}

impl Engine {
    /// A store with nothing in it but `spectest`.
    pub(super) fn new(options: &Options, store: StoreOptions) -> Result<Engine, Error> {
        let mut store = Store::with_options((), store);
        let mut linker = Linker::new();
        spectest::define(&mut store, &mut linker)?;
        Ok(Engine {
            options: options.clone(),
            store,
            linker,
            extern_refs: HashMap::new(),
        })
    }

    /// Compiles a module.
    pub(super) fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        Ok(precast_compiler::compile(wasm, &self.options)?.bytes)
    }

    /// Instantiates an object that [`Engine::compile`] made.
    pub(super) fn instantiate(&mut self, object: &[u8]) -> Result<Instance, Error> {
        // SAFETY: the bytes come from our own compiler, a moment ago.
        let module = unsafe { Module::from_bytes_of_any_system(object) }.map_err(Error::Object)?;
        self.linker.instantiate(&mut self.store, &module)
    }

    /// Makes the exports of an instance importable under `name`.
    pub(super) fn register(&mut self, name: &str, instance: Instance) -> Result<(), Error> {
        self.linker.instance(&self.store, name, instance)?;
        Ok(())
    }

    /// The reference that scripts write `(ref.extern n)`: the same for the same `n`.
    pub(super) fn extern_ref(&mut self, n: u32) -> Val {
        let store = &mut self.store;
        let make = || precast::ExternRef::new(store, n);
        Val::ExternRef(Some(*self.extern_refs.entry(n).or_insert_with(make)))
    }

    /// The same as an `anyref`.
    pub(super) fn host_ref(&mut self, n: u32) -> Result<Val, String> {
        let Val::ExternRef(Some(value)) = self.extern_ref(n) else {
            return Err("no reference".to_owned());
        };
        let made = AnyRef::from_extern(&mut self.store, value);
        let made = made.map_err(|error| error.to_string())?;
        Ok(Val::AnyRef(Some(made)))
    }

    /// What an object is.
    pub(super) fn any_kind(&self, value: &AnyRef) -> Option<AnyKind> {
        value.kind(&self.store).ok()
    }

    /// The number in a reference that [`Engine::extern_ref`] or [`Engine::host_ref`] made.
    pub(super) fn extern_value(&self, value: &Val) -> Option<u32> {
        let reference = match value {
            Val::ExternRef(reference) => (*reference)?,
            Val::AnyRef(Some(value)) => match self.any_kind(value)? {
                AnyKind::Extern(reference) => reference,
                _ => return None,
            },
            _ => return None,
        };
        reference.data(&self.store).ok()?.downcast_ref().copied()
    }
}
