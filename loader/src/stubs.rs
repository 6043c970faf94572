//! Finding the stubs by which functions of a type are called: guests' by the host, and the host's by
//! guests. They are in the objects of modules that know the type.
//!
//! # Safety
//!
//! This file holds unsafe code: records of functions and the elements of tables are found by
//! addresses that live as long as the store, which is borrowed.
#![allow(unsafe_code, reason = "function records are found by their addresses")]

use std::ptr::NonNull;

use precast_abi::NONE;
use precast_abi::instance::FuncRef;

use crate::error::Error;
use crate::func::Func;
use crate::host::record::{HostBox, HostDef};
use crate::instantiate::InstanceData;
use crate::module::Module;
use crate::store::StoreCore;
use crate::types::TypeId;

impl StoreCore {
    /// The instance with this base.
    pub(crate) fn instance_at(&self, base: usize) -> &InstanceData {
        // SAFETY: bases come from function records, whose instances live as long as the store.
        let index = unsafe { crate::slot::header(base) }.loader[0];
        &self.instances[index as usize]
    }

    /// The stub that calls functions of a type, from `instance` or else from any.
    pub(crate) fn enter_stub(&self, instance: &InstanceData, ty: TypeId) -> Result<usize, Error> {
        let of = |module: &Module| -> Result<Option<usize>, Error> {
            let Some(index) = type_index(module, ty)? else {
                return Ok(None);
            };
            let stub = module.metadata().ty(index)?.enter_stub;
            Ok((stub != NONE).then(|| module.code(stub)))
        };
        if let Some(stub) = of(&instance.module)? {
            return Ok(stub);
        }
        for other in &self.instances {
            if let Some(stub) = of(&other.module)? {
                return Ok(stub);
            }
        }
        Err(crate::error::UseError::NotCallable.into())
    }

    /// Makes a host function that belongs to no instance.
    pub(crate) fn add_host_func(&mut self, def: &HostDef) -> Func {
        let ty = def.ty;
        let stub = match ty.fits_registers() {
            true => None,
            false => self
                .instances
                .iter()
                .find_map(|i| host_stub(&i.module, ty.id()).ok()?),
        };
        let host = HostBox::new(
            def,
            &self.activation,
            stub.unwrap_or(0),
            std::ptr::null(),
            NONE,
        );
        if stub.is_none() && !ty.fits_registers() {
            self.rare_mut()
                .without_stub
                .push((ty.id(), host.identity()));
        }
        let func = Func::from_record(self.id, host.identity());
        self.rare_mut().host_funcs.push(host);
        func
    }

    /// Completes host functions whose types no module had a stub for, until this one.
    ///
    /// No guest can have called them: one that knows the type would have brought the stub.
    pub(crate) fn adopt_stubs(&mut self, module: &Module) -> Result<(), Error> {
        let Some(rare) = &mut self.rare else {
            return Ok(());
        };
        let mut waiting = std::mem::take(&mut rare.without_stub);
        let before = waiting.len();
        let mut result = Ok(());
        waiting.retain(|&(ty, record)| match host_stub(module, ty) {
            Ok(Some(stub)) => {
                self.complete(record, stub as u64);
                false
            }
            Ok(None) => true,
            Err(error) => {
                result = Err(error);
                true
            }
        });
        if waiting.len() < before {
            // The stubs are needed even if instantiation fails.
            self.rare_mut().kept.push(module.clone());
        }
        self.rare_mut().without_stub = waiting;
        result
    }

    /// Sets the code of a function record, and of the copies of it that tables hold.
    fn complete(&mut self, mut record: NonNull<FuncRef>, code: u64) {
        // SAFETY: records of the store's host functions live as long as the store.
        unsafe { record.as_mut().code = code };
        let identity = record.as_ptr().expose_provenance() as u64;
        for table in self
            .tables
            .iter()
            .filter(|table| table.declared.element.is_func())
        {
            let len = table.def().len;
            let Some(elements) = table.elements(0, len) else {
                continue;
            };
            for index in 0..len as usize {
                // SAFETY: within the table.
                let element = unsafe { &mut *elements.cast::<FuncRef>().add(index) };
                if element.identity == identity {
                    element.code = code;
                }
            }
        }
    }
}

/// The module's number of a type.
fn type_index(module: &Module, ty: TypeId) -> Result<Option<u32>, Error> {
    let ids = module.type_ids()?;
    Ok(ids
        .iter()
        .position(|&id| id == ty)
        .map(|index| index as u32))
}

/// The module's stub by which guests call host functions of a type.
pub(crate) fn host_stub(module: &Module, ty: TypeId) -> Result<Option<usize>, Error> {
    let Some(index) = type_index(module, ty)? else {
        return Ok(None);
    };
    let stub = module.metadata().ty(index)?.host_stub;
    Ok((stub != NONE).then(|| module.code(stub)))
}
