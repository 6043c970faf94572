//! Linking: finding imports by name, and whether they fit.

use std::collections::HashMap;
use std::marker::PhantomData;

use crate::caller::Caller;
use crate::error::{Error, LinkError, UnfitImport};
use crate::externs::Extern;
use crate::host;
use crate::host::raw::IntoRawFunc;
use crate::host::record::HostDef;
use crate::host::typed::IntoHostFunc;
use crate::instance::Instance;
use crate::instantiate::{self, Resolved};
use crate::module::Module;
use crate::shared::SharedMemory;
use crate::store::{AsStore, AsStoreMut, StoreCore, StoreMut};
use crate::types::{ExternType, FuncType, GlobalType, MemoryType, TableType};
use crate::value::Val;

/// Names for imports to find: host functions, for any store of `T`, and what particular stores
/// hold.
///
/// A later definition of a name takes the place of an earlier one.
pub struct Linker<T: 'static> {
    definitions: HashMap<String, HashMap<String, Definition>>,
    data: PhantomData<fn(T)>,
}

#[derive(Clone)]
pub(crate) enum Definition {
    Host(HostDef),
    Extern(Extern),
    /// Of no store, and so for every one.
    Shared(SharedMemory),
}

impl From<Extern> for Definition {
    fn from(item: Extern) -> Definition {
        Definition::Extern(item)
    }
}

impl<T: 'static> Default for Linker<T> {
    fn default() -> Self {
        Linker::new()
    }
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            definitions: self.definitions.clone(),
            data: PhantomData,
        }
    }
}

impl<T: 'static> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self
            .definitions
            .iter()
            .flat_map(|(module, names)| names.keys().map(move |name| format!("{module}::{name}")));
        f.debug_set().entries(names).finish()
    }
}

impl<T: 'static> Linker<T> {
    /// A linker that knows no names.
    pub fn new() -> Linker<T> {
        Linker {
            definitions: HashMap::new(),
            data: PhantomData,
        }
    }

    fn put(&mut self, module: &str, name: &str, definition: Definition) -> &mut Self {
        self.definitions
            .entry(module.to_owned())
            .or_default()
            .insert(name.to_owned(), definition);
        self
    }

    /// Defines a host function by a closure: its first parameter is a [`Caller`], the others and
    /// the result tell its type.
    pub fn func<Params>(
        &mut self,
        module: &str,
        name: &str,
        function: impl IntoHostFunc<T, Params>,
    ) -> &mut Self {
        self.put(module, name, Definition::Host(function.into_host_def().def))
    }

    /// Defines a host function of a type known at run time.
    pub fn func_dynamic(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        function: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self {
        let def = host::dynamic::define::<T, _>(ty, function);
        self.put(module, name, Definition::Host(def))
    }

    /// Defines a host function by a plain `extern "C"` function, which guests call with nothing
    /// between. Its first parameter is a [`crate::RawCaller`]. A panic in it ends the process.
    pub fn func_raw<Params>(
        &mut self,
        module: &str,
        name: &str,
        function: impl IntoRawFunc<Params>,
    ) -> &mut Self {
        self.put(module, name, Definition::Host(function.into_host_def().0))
    }

    /// Defines something that a store holds. Only instances of that store can import it.
    ///
    /// # Errors
    ///
    /// If `item` is not of `store`.
    pub fn define(
        &mut self,
        store: impl AsStore,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self, Error> {
        let item = item.into();
        item.ty(store)?;
        Ok(self.put(module, name, Definition::Extern(item)))
    }

    /// Defines a memory that threads share: instances of any store can import it.
    pub fn define_shared(&mut self, module: &str, name: &str, memory: &SharedMemory) -> &mut Self {
        self.put(module, name, Definition::Shared(memory.clone()))
    }

    /// Defines everything that an instance exports.
    ///
    /// # Errors
    ///
    /// If it is not of `store`.
    pub fn instance(
        &mut self,
        store: impl AsStore,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self, Error> {
        for (name, item) in instance.exports(store)? {
            self.put(module, &name, Definition::Extern(item));
        }
        Ok(self)
    }

    /// Whether the name is defined.
    pub fn contains(&self, module: &str, name: &str) -> bool {
        self.get(module, name).is_some()
    }

    pub(crate) fn get(&self, module: &str, name: &str) -> Option<&Definition> {
        self.definitions.get(module)?.get(name)
    }

    /// Instantiates a module with imports found by name, and runs its start function.
    ///
    /// # Errors
    ///
    /// If imports are missing or do not fit (all of them are listed), a limit is reached, the
    /// system refuses memory, or the start function or a segment traps.
    pub fn instantiate(
        &self,
        mut store: impl AsStoreMut<Data = T>,
        module: &Module,
    ) -> Result<Instance, Error> {
        let mut store = store.as_store_mut();
        let find = |_, module: &str, name: &str| self.get(module, name).cloned();
        let resolved = check_imports(store.core(), module, find)?;
        instantiate(&mut store, module, resolved)
    }
}

/// Finds and checks all imports of a module. `find` takes an import's index and names.
pub(crate) fn check_imports(
    core: &StoreCore,
    module: &Module,
    find: impl Fn(usize, &str, &str) -> Option<Definition>,
) -> Result<Vec<Resolved>, Error> {
    let wanted = module.imports()?;
    let mut resolved = Vec::with_capacity(wanted.len());
    let mut unfit = Vec::new();
    for (index, import) in wanted.iter().enumerate() {
        let definition = find(index, import.module, import.name);
        let found = match &definition {
            Some(Definition::Host(def)) => Some(ExternType::Func(def.ty)),
            Some(Definition::Extern(item)) => Some(item.ty_in(core)?),
            Some(Definition::Shared(memory)) => Some(ExternType::Memory(memory.ty())),
            None => None,
        };
        match (definition, found) {
            (Some(definition), Some(found)) if fits(&found, &import.ty) => {
                resolved.push(resolve(definition));
            }
            (_, found) => unfit.push(UnfitImport {
                module: import.module.to_owned(),
                name: import.name.to_owned(),
                expected: import.ty,
                found,
            }),
        }
    }
    if unfit.is_empty() {
        Ok(resolved)
    } else {
        Err(LinkError { imports: unfit }.into())
    }
}

fn resolve(definition: Definition) -> Resolved {
    match definition {
        Definition::Host(def) => Resolved::Host(def),
        Definition::Shared(memory) => Resolved::Shared(memory),
        Definition::Extern(Extern::Func(func)) => Resolved::Func(func),
        Definition::Extern(Extern::Table(table)) => Resolved::Table(table.index),
        Definition::Extern(Extern::Memory(memory)) => Resolved::Memory(memory.index),
        Definition::Extern(Extern::Global(global)) => Resolved::Global(global),
        Definition::Extern(Extern::Tag(tag)) => Resolved::Tag(tag.id),
    }
}

/// Whether something of type `found` may be imported as `expected`: the specification's import
/// matching.
fn fits(found: &ExternType, expected: &ExternType) -> bool {
    match (found, expected) {
        (ExternType::Func(found), ExternType::Func(expected)) => found.matches(*expected),
        (ExternType::Table(found), ExternType::Table(expected)) => table_fits(found, expected),
        (ExternType::Memory(found), ExternType::Memory(expected)) => memory_fits(found, expected),
        (ExternType::Global(found), ExternType::Global(expected)) => global_fits(found, expected),
        (ExternType::Tag(found), ExternType::Tag(expected)) => found == expected,
        _ => false,
    }
}

fn table_fits(found: &TableType, expected: &TableType) -> bool {
    found.element == expected.element
        && found.is_64 == expected.is_64
        && limits_fit((found.min, found.max), (expected.min, expected.max))
}

fn memory_fits(found: &MemoryType, expected: &MemoryType) -> bool {
    found.is_64 == expected.is_64
        && found.shared == expected.shared
        && found.page_size_log2 == expected.page_size_log2
        && limits_fit((found.min, found.max), (expected.min, expected.max))
}

fn global_fits(found: &GlobalType, expected: &GlobalType) -> bool {
    match (found.mutable, expected.mutable) {
        (true, true) => found.content == expected.content,
        (false, false) => found.content.matches(expected.content),
        _ => false,
    }
}

fn limits_fit(found: (u64, Option<u64>), expected: (u64, Option<u64>)) -> bool {
    let max_fits = match (found.1, expected.1) {
        (_, None) => true,
        (Some(found), Some(expected)) => found <= expected,
        (None, Some(_)) => false,
    };
    found.0 >= expected.0 && max_fits
}

/// Makes an instance with imports that [`check_imports`] has found.
pub(crate) fn instantiate<T: 'static>(
    store: &mut StoreMut<'_, T>,
    module: &Module,
    resolved: Vec<Resolved>,
) -> Result<Instance, Error> {
    let index = instantiate::in_store(store, module, resolved)?;
    Ok(Instance {
        store: store.core().id,
        index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{RefType, ValType};

    #[test]
    fn limits_may_be_narrower_than_asked_for() {
        assert!(limits_fit((2, Some(3)), (1, Some(4))));
        assert!(limits_fit((2, None), (2, None)));
        assert!(!limits_fit((1, None), (2, None)));
        assert!(!limits_fit((2, None), (1, Some(4))));
        assert!(!limits_fit((2, Some(5)), (1, Some(4))));
    }

    #[test]
    fn only_immutable_globals_may_be_of_subtypes() {
        let some_func = ValType::Ref(RefType {
            nullable: false,
            ..RefType::FUNCREF
        });
        let global = GlobalType::new;
        assert!(global_fits(
            &global(some_func, false),
            &global(ValType::FUNCREF, false)
        ));
        assert!(!global_fits(
            &global(some_func, true),
            &global(ValType::FUNCREF, true)
        ));
        assert!(!global_fits(
            &global(ValType::FUNCREF, false),
            &global(some_func, false)
        ));
        assert!(!global_fits(
            &global(ValType::I32, true),
            &global(ValType::I32, false)
        ));
    }
}
