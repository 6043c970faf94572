//! Instances, as an embedder holds them.

use std::num::NonZeroU64;
use std::ptr::NonNull;

use precast_abi::NONE;
use precast_abi::object::ExternKind;

use crate::error::{Error, UseError};
use crate::exception::Tag;
use crate::externs::Extern;
use crate::func::TypedFunc;
use crate::global::Global;
use crate::instantiate::InstanceData;
use crate::linker::check_imports;
use crate::memory::Memory;
use crate::module::{Module, global_type};
use crate::store::{AsStore, AsStoreMut, StoreCore};
use crate::table::Table;
use crate::wasm_ty::{WasmParams, WasmResults};

/// An instance of a module, in some store. Lives as long as the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    pub(crate) store: NonZeroU64,
    pub(crate) index: u32,
}

impl Instance {
    /// Instantiates a module with `imports` in the order in which it asks for them.
    /// [`crate::Linker`] finds imports by their names.
    ///
    /// # Errors
    ///
    /// If imports do not fit, a limit is reached, the system refuses memory, or the start function
    /// or a segment traps. The instance exists even then, should it be reachable from others.
    pub fn new(
        mut store: impl AsStoreMut,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance, Error> {
        let mut store = store.as_store_mut();
        let found = |index: usize| imports.get(index).copied().map(Into::into);
        let resolved = check_imports(store.core(), module, |index, _, _| found(index))?;
        crate::linker::instantiate(&mut store, module, resolved)
    }

    pub(crate) fn data<'a>(&self, core: &'a StoreCore) -> Result<&'a InstanceData, UseError> {
        core.check(self.store)?;
        Ok(&core.instances[self.index as usize])
    }

    /// The module that it is an instance of.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn module(&self, store: impl AsStore) -> Result<Module, Error> {
        Ok(self.data(store.as_store().into_core())?.module.clone())
    }

    /// What it exports under `name`. `None` where there is no such export, or the instance belongs
    /// to another store.
    pub fn export(&self, store: impl AsStore, name: &str) -> Option<Extern> {
        let core = store.as_store().into_core();
        let instance = self.data(core).ok()?;
        let export = instance.module.metadata().find_export(name).ok()??;
        instance.get(core, export.kind, export.index).ok()
    }

    /// All that it exports, ordered by name.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, or the object is damaged.
    pub fn exports(&self, store: impl AsStore) -> Result<Vec<(String, Extern)>, Error> {
        let core = store.as_store().into_core();
        let instance = self.data(core)?;
        let metadata = instance.module.metadata();
        (0..metadata.header().exports.len)
            .map(|index| {
                let export = metadata.export(index).map_err(crate::OpenError::from)?;
                let name = metadata
                    .name(export.name, crate::object::Part::Export, index)
                    .map_err(crate::OpenError::from)?;
                Ok((
                    name.to_owned(),
                    instance.get(core, export.kind, export.index)?,
                ))
            })
            .collect()
    }

    /// The function it exports under `name`, with types known when the host is compiled.
    ///
    /// # Errors
    ///
    /// If there is no such function, or its type is another.
    pub fn func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsStore,
        name: &str,
    ) -> Result<TypedFunc<P, R>, Error> {
        self.data(store.as_store().into_core())?;
        let name_owned = || name.to_owned();
        match self.export(store.as_store(), name) {
            Some(Extern::Func(func)) => func.typed(store),
            Some(_) => Err(UseError::NotA {
                kind: "function",
                name: name_owned(),
            }
            .into()),
            None => Err(UseError::NoExport { name: name_owned() }.into()),
        }
    }

    /// The memory it exports under `name`.
    pub fn memory(&self, store: impl AsStore, name: &str) -> Option<Memory> {
        self.export(store, name)?.memory()
    }

    /// The table it exports under `name`.
    pub fn table(&self, store: impl AsStore, name: &str) -> Option<Table> {
        self.export(store, name)?.table()
    }

    /// The tag it exports under `name`.
    pub fn tag(&self, store: impl AsStore, name: &str) -> Option<Tag> {
        self.export(store, name)?.tag()
    }

    /// The global it exports under `name`.
    pub fn global(&self, store: impl AsStore, name: &str) -> Option<Global> {
        self.export(store, name)?.global()
    }
}

impl InstanceData {
    /// Something in one of the instance's index spaces.
    fn get(&self, core: &StoreCore, kind: u32, index: u32) -> Result<Extern, Error> {
        let damaged = || UseError::OutOfBounds;
        let store = core.id;
        Ok(match ExternKind::from_u32(kind).ok_or_else(damaged)? {
            ExternKind::Function => Extern::Func(self.func(core, index)?),
            ExternKind::Table => {
                let table = self
                    .tables
                    .get(index as usize)
                    .filter(|&&table| table != NONE);
                Extern::Table(Table {
                    store,
                    index: *table.ok_or_else(damaged)?,
                })
            }
            ExternKind::Memory => {
                let memory = self.memories.get(index as usize);
                Extern::Memory(Memory {
                    store,
                    index: *memory.ok_or_else(damaged)?,
                })
            }
            ExternKind::Global => Extern::Global(self.global(core, index)?),
            ExternKind::Tag => {
                let number = self.number();
                let id = self.tag_id(number, index);
                core.tag_type(id).ok_or_else(damaged)?;
                Extern::Tag(Tag { store, id })
            }
        })
    }

    fn global(&self, core: &StoreCore, index: u32) -> Result<Global, Error> {
        let metadata = self.module.metadata();
        let record = metadata.global(index).map_err(crate::OpenError::from)?;
        let ty = global_type(&record, self.module.type_ids()?)?;
        let imported = index < metadata.header().imported_globals;
        let address = if imported {
            self.imported_global(record.cell)
        } else {
            self.slot.address(record.cell)
        };
        let cell = NonNull::new(std::ptr::with_exposed_provenance_mut(address));
        Ok(Global {
            store: core.id,
            cell: cell.ok_or(UseError::OutOfBounds)?,
            ty,
        })
    }
}
