//! What generated code and the crossings see of a function of the host.
//!
//! # Safety
//!
//! This file holds unsafe code. A [`HostBox`] is boxed by its store and never moved or freed
//! before the store, so the addresses of its parts may be given to guest code.
#![allow(
    unsafe_code,
    reason = "host functions are found by pointers that guest code holds"
)]

use std::any::Any;
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use precast_abi::instance::{FuncRef, MemoryDef};

use crate::activation::{Activation, Pending, Waiting};
use crate::arch;
use crate::entry;
use crate::error::{Error, UseError};
use crate::store::{StoreCore, StoreMut};
use crate::suspend::Suspend;
use crate::types::FuncType;
use crate::value::Cell;
use crate::window::Window;

/// Calls the function with arguments and results in an array, on the host's stack.
pub(crate) type CallValues = unsafe extern "C" fn(*const HostRecord, *mut Cell);

/// A function of the host, of no store in particular.
#[derive(Clone)]
pub(crate) struct HostDef {
    pub(crate) ty: FuncType,
    /// Address of a function of the C calling convention that takes the [`HostRecord`] and then
    /// what `ty` says, if that fits registers; unused otherwise.
    pub(crate) call_registers: *const (),
    pub(crate) call_values: CallValues,
    /// What both find in [`HostRecord::env`].
    pub(crate) env: *const (),
    /// Keeps `env` alive.
    pub(crate) keep: Arc<dyn Any + Send + Sync>,
}

// SAFETY: `env` points to what `keep` owns, which is `Send + Sync`; the rest is code.
unsafe impl Send for HostDef {}
// SAFETY: as above.
unsafe impl Sync for HostDef {}

/// The hidden parameter of a host function: a [`precast_abi::instance::HostFunc`] and more.
#[repr(C)]
pub(crate) struct HostRecord {
    call_array: usize,
    pub(crate) activation: *const Activation,
    pub(crate) call_registers: *const (),
    pub(crate) call_values: CallValues,
    pub(crate) env: *const (),
    /// Memory 0 of the instance that imports it; null where there is none.
    pub(crate) memory: *const MemoryDef,
    /// Which pages of that memory may be written, where it is a pooled slot's; else null.
    pub(crate) window: *const Window,
    /// The instance that imports it; [`precast_abi::NONE`] where there is none.
    pub(crate) instance: u32,
    pub(crate) ty: FuncType,
}

const _: () = assert!(offset_of!(HostRecord, call_array) == 0);

/// A host function of a store, with the record that is its identity. The distance between the two
/// parts tells host functions from others.
#[repr(C, align(32))]
pub(crate) struct HostBox {
    pub(crate) func_ref: FuncRef,
    pub(crate) record: HostRecord,
    _keep: Arc<dyn Any + Send + Sync>,
}

const RECORD: usize = offset_of!(HostBox, record);
const _: () = assert!(RECORD == size_of::<FuncRef>());

// SAFETY: the raw pointers are to the store's own memory, which moves with it; see `HostDef`.
unsafe impl Send for HostBox {}
// SAFETY: as above; nothing in it changes through shared references.
unsafe impl Sync for HostBox {}

impl HostBox {
    /// `host_stub` is that of the function's type, where it does not travel in registers: 0 if no
    /// module has had one yet.
    pub(crate) fn new(
        def: &HostDef,
        activation: &Activation,
        host_stub: usize,
        memory: *const MemoryDef,
        instance: u32,
    ) -> Box<HostBox> {
        let in_registers = def.ty.fits_registers();
        let code = if in_registers {
            arch::host_call_registers()
        } else {
            host_stub
        };
        let mut host = Box::new(HostBox {
            func_ref: FuncRef {
                code: code as u64,
                context: 0,
                type_id: def.ty.id().0,
                reserved: 0,
                identity: 0,
            },
            record: HostRecord {
                call_array: arch::host_call_array(),
                activation,
                call_registers: def.call_registers,
                call_values: def.call_values,
                env: def.env,
                memory,
                window: std::ptr::null(),
                instance,
                ty: def.ty,
            },
            _keep: Arc::clone(&def.keep),
        });
        let address = (&raw mut *host).expose_provenance() as u64;
        host.func_ref.identity = address;
        host.func_ref.context = address + RECORD as u64;
        host
    }

    /// The record that is the function's identity, as guest code may see it.
    pub(crate) fn identity(&self) -> NonNull<FuncRef> {
        let address = std::ptr::with_exposed_provenance_mut(self.func_ref.identity as usize);
        NonNull::new(address).expect("set by `new`")
    }
}

/// The host function whose identity `func_ref` is, or `None` where it is a guest function.
pub(crate) fn host_record(func_ref: &FuncRef) -> Option<NonNull<HostRecord>> {
    // Instance bases are never this close to a record: 128 bytes of header lie between.
    if func_ref.context != func_ref.identity + RECORD as u64 {
        return None;
    }
    NonNull::new(std::ptr::with_exposed_provenance_mut(
        func_ref.context as usize,
    ))
}

impl HostRecord {
    /// Runs the body of a host function: with its store, and with panics and errors kept for
    /// whoever called the guest. `None` where there are no results, because it failed. `cells` is
    /// where the results go, null where they travel in registers.
    ///
    /// # Safety
    ///
    /// `this` must be the record of a function of a living `Store<T>`, and be called by a crossing,
    /// or by a host that has the store exclusively.
    pub(crate) unsafe fn run<T: 'static, R>(
        this: *const HostRecord,
        cells: *mut Cell,
        body: impl FnOnce(StoreMut<'_, T>, &HostRecord) -> Result<R, Error>,
    ) -> Option<R> {
        // SAFETY: the caller vouches for the record, which its store keeps alive.
        let record = unsafe { &*this };
        // SAFETY: the activation lives as long as the store, which lives.
        let activation = unsafe { &*record.activation };
        // SAFETY: the store is of this `T`, and whoever called us does not use it meanwhile.
        let store = unsafe { StoreMut::<T>::from_core(activation.core()) };
        let pending = match catch_unwind(AssertUnwindSafe(|| body(store, record))) {
            Ok(Ok(results)) => return Some(results),
            Ok(Err(Error::Suspend(note))) => record.suspend(activation, cells, note),
            Ok(Err(Error::Exception(exception))) => {
                activation.throw(exception);
                return None;
            }
            Ok(Err(error)) => Pending::Error(error),
            Err(payload) => Pending::Panic(payload),
        };
        activation.fail(pending);
        None
    }

    /// What is to be done for a function that will answer later.
    #[cold]
    fn suspend(&self, activation: &Activation, cells: *mut Cell, note: Suspend) -> Pending {
        let called_by_guest = activation.guest_fp.load(Ordering::Relaxed) & 1 == 0;
        if called_by_guest && activation.depth() == 0 && activation.is_resumable() {
            let ty = self.ty;
            Pending::Suspend(Waiting {
                ty,
                record: self,
                cells,
                note,
            })
        } else {
            Pending::Error(UseError::CannotSuspend.into())
        }
    }

    /// Calls it from the host, without any guest between.
    ///
    /// # Safety
    ///
    /// As [`HostRecord::run`], the store not being used by anyone; `values` must hold arguments of
    /// its type and have room for its results.
    pub(crate) unsafe fn call_from_host(
        this: NonNull<HostRecord>,
        core: NonNull<StoreCore>,
        values: *mut Cell,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise is what `call_values` asks for.
        unsafe { (this.as_ref().call_values)(this.as_ptr(), values) };
        // SAFETY: the store lives; the function has returned and holds nothing of it.
        let activation = unsafe { entry::activation(core) };
        if let Some(exception) = activation.take_thrown() {
            return Err(exception.into());
        }
        match activation.take_pending() {
            None => Ok(()),
            Some(Pending::Error(error)) => Err(error),
            Some(Pending::Panic(payload)) => std::panic::resume_unwind(payload),
            Some(Pending::Suspend(_) | Pending::Thrown(_)) => Err(UseError::CannotSuspend.into()),
            Some(Pending::Trap(code)) => {
                Err(crate::trap::Trap::new(code, Default::default()).into())
            }
        }
    }
}
