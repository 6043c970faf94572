//! Templates: modules whose imports are resolved and checked once.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use precast_abi::NONE;
use precast_abi::object::{ExternKind, MemoryRecord};

use super::{PoolInner, Warm};
use crate::entry::Entry;
use crate::error::{Error, PoolError, UseError};
use crate::func::TypedFunc;
use crate::host::record::HostDef;
use crate::instantiate::Resolved;
use crate::linker::{Definition, Linker, check_imports};
use crate::module::Module;
use crate::pool::Sandbox;
use crate::store::{StoreCore, StoreOptions};
use crate::types::TypeId;
use crate::wasm_ty::{WasmParams, WasmResults};

/// A module with its imports resolved and checked, ready to be instantiated in pools. Made by
/// [`Linker::template`]. Cheap to clone, and shared between threads.
///
/// Its imports are functions of the host: what belongs to a store cannot be imported.
pub struct Template<T: 'static> {
    pub(super) inner: Arc<TemplateInner<T>>,
}

pub(super) struct TemplateInner<T: 'static> {
    pub(super) id: u64,
    pub(super) module: Module,
    imports: Vec<HostDef>,
    /// The pool it was used in first, by far the most frequent.
    first: OnceLock<Binding<T>>,
    others: Mutex<Vec<Binding<T>>>,
}

/// Slots of one pool that hold instances of the template.
struct Binding<T: 'static> {
    pool: u64,
    warm: Arc<Warm>,
    owner: Weak<PoolInner<T>>,
}

impl<T: 'static> Clone for Template<T> {
    fn clone(&self) -> Self {
        Template {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T: 'static> std::fmt::Debug for Template<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template")
            .field("module", &self.inner.module.name())
            .finish_non_exhaustive()
    }
}

impl<T: 'static> Linker<T> {
    /// Resolves and checks the imports of a module once, for any number of instances in pools.
    ///
    /// # Errors
    ///
    /// If imports are missing or do not fit (all of them are listed), or belong to a store.
    pub fn template(&self, module: &Module) -> Result<Template<T>, Error> {
        for import in module.imports()? {
            if let Some(Definition::Extern(_) | Definition::Shared(_)) =
                self.get(import.module, import.name)
            {
                return Err(PoolError::ImportOfStore {
                    module: import.module.to_owned(),
                    name: import.name.to_owned(),
                }
                .into());
            }
        }
        let metadata = module.metadata();
        for index in 0..metadata.header().memories.len {
            if metadata.memory(index)?.flags & MemoryRecord::SHARED != 0 {
                return Err(PoolError::SharedMemory.into());
            }
        }
        let core = StoreCore::new(StoreOptions::default());
        let find = |_, module: &str, name: &str| self.get(module, name).cloned();
        let imports = check_imports(&core, module, find)?;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ok(Template {
            inner: Arc::new(TemplateInner {
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                module: module.clone(),
                imports: imports
                    .into_iter()
                    .filter_map(|import| match import {
                        Resolved::Host(def) => Some(def),
                        _ => None,
                    })
                    .collect(),
                first: OnceLock::new(),
                others: Mutex::new(Vec::new()),
            }),
        })
    }
}

impl<T: 'static> Template<T> {
    /// The module that it is made of.
    pub fn module(&self) -> &Module {
        &self.inner.module
    }

    /// The function that the module exports under `name`, to be called in any sandbox made of this
    /// template.
    ///
    /// # Errors
    ///
    /// If there is no such function, it is imported, or its type is another.
    pub fn func<P: WasmParams, R: WasmResults>(
        &self,
        name: &str,
    ) -> Result<TemplateFunc<P, R>, Error> {
        let module = &self.inner.module;
        let metadata = module.metadata();
        let export = metadata
            .find_export(name)?
            .ok_or_else(|| UseError::NoExport { name: name.into() })?;
        if export.kind != ExternKind::Function as u32 {
            let name = name.into();
            return Err(UseError::NotA {
                kind: "function",
                name,
            }
            .into());
        }
        let function = metadata.function(export.index)?;
        let type_id = module.type_ids()?[function.type_index as usize];
        crate::func::check_types::<P, R>(TypeId::func_type(type_id))?;
        let stub = metadata.ty(function.type_index)?.enter_stub;
        if function.text_size == 0 || stub == NONE {
            return Err(UseError::NotCallable.into());
        }
        Ok(TemplateFunc {
            template: self.inner.id,
            stub: module.code(stub),
            code: module.code(function.text_offset),
            types: PhantomData,
        })
    }

    /// What the instance imports.
    pub(super) fn imports(&self) -> Vec<Resolved> {
        let imports = self.inner.imports.iter();
        imports.map(|def| Resolved::Host(def.clone())).collect()
    }

    /// Calls `f` with the slots of `pool` that hold instances of this template.
    #[inline]
    pub(super) fn with_warm<R>(
        &self,
        pool: &Arc<PoolInner<T>>,
        f: impl FnOnce(&Arc<Warm>) -> R,
    ) -> R {
        match self.inner.first.get() {
            Some(binding) if binding.pool == pool.id => f(&binding.warm),
            _ => f(&self.bind(pool)),
        }
    }

    #[cold]
    fn bind(&self, pool: &Arc<PoolInner<T>>) -> Arc<Warm> {
        let new = || Binding {
            pool: pool.id,
            warm: pool.new_warm(self.inner.id),
            owner: Arc::downgrade(pool),
        };
        let others = self.inner.others.lock();
        let mut others = others.unwrap_or_else(PoisonError::into_inner);
        let first = self.inner.first.get_or_init(new);
        let known = std::iter::once(first).chain(others.iter());
        if let Some(binding) = known.into_iter().find(|binding| binding.pool == pool.id) {
            return Arc::clone(&binding.warm);
        }
        // Pools that are gone are of no use any more.
        others.retain(|binding| binding.owner.strong_count() > 0);
        let binding = new();
        let warm = Arc::clone(&binding.warm);
        others.push(binding);
        warm
    }
}

/// A function that a template's module exports, with types known when the host is compiled: to be
/// called in any [`Sandbox`] of that template.
pub struct TemplateFunc<P, R> {
    template: u64,
    stub: usize,
    code: usize,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TemplateFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TemplateFunc<P, R> {}

impl<P, R> std::fmt::Debug for TemplateFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TemplateFunc").finish_non_exhaustive()
    }
}

impl<P: WasmParams, R: WasmResults> TemplateFunc<P, R> {
    /// The function in a particular sandbox.
    ///
    /// # Errors
    ///
    /// If the sandbox is of another template.
    #[inline]
    pub fn bind<T: 'static>(&self, sandbox: &Sandbox<T>) -> Result<TypedFunc<P, R>, Error> {
        if sandbox.template() != self.template {
            return Err(UseError::WrongTemplate.into());
        }
        let core = sandbox.core();
        let region = &core.instances[0].slot.region;
        Ok(TypedFunc::of_entry(
            core.id,
            Entry {
                stub: self.stub,
                context: region.base,
                code: self.code,
                stack_top: region.stack_top,
            },
        ))
    }

    /// Calls it in a sandbox.
    ///
    /// # Errors
    ///
    /// As [`TypedFunc::call`], and if the sandbox is of another template.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    #[inline]
    pub fn call<T: 'static>(&self, sandbox: &mut Sandbox<T>, params: P) -> Result<R, Error> {
        self.bind(sandbox)?.call(sandbox, params)
    }
}

impl<T: 'static> Drop for TemplateInner<T> {
    fn drop(&mut self) {
        let others = self
            .others
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for binding in self.first.take().into_iter().chain(others.drain(..)) {
            if let Some(pool) = binding.owner.upgrade() {
                pool.retire(&binding.warm);
            }
        }
    }
}
