//! Functions, as an embedder holds them.
//!
//! # Safety
//!
//! This file holds unsafe code: a [`Func`] is the address of a record that lives as long as its
//! store. It is followed only once the store at hand is known to be that store.
#![allow(
    unsafe_code,
    reason = "functions are found by the addresses of their records"
)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::ptr::NonNull;

use precast_abi::instance::FuncRef;

use crate::arch;
use crate::caller::Caller;
use crate::entry::{Entry, invoke, invoke_direct};
use crate::error::{Error, UseError};
use crate::host;
use crate::host::record::{HostRecord, host_record};
use crate::host::typed::IntoHostFunc;
use crate::store::{AsStore, AsStoreMut, StoreCore};
use crate::types::{FuncType, TypeId, ValType};
use crate::value::{Cell, Val};
use crate::wasm_ty::{Class, WasmParams, WasmResults};

/// A function of a guest or of the host, in some store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Func {
    pub(crate) store: NonZeroU64,
    func_ref: NonNull<FuncRef>,
}

// SAFETY: the address is followed only together with the store, which is borrowed then.
unsafe impl Send for Func {}
// SAFETY: as above.
unsafe impl Sync for Func {}

impl std::fmt::Debug for Func {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Func({:p})", self.func_ref)
    }
}

impl Func {
    /// A function of the host whose type is known when the host is compiled.
    ///
    /// It belongs to no instance: [`Caller::memory_and_data`] gives nothing. Use a
    /// [`crate::Linker`] for functions that work on their caller's memory.
    pub fn wrap<S: AsStoreMut, Params>(
        mut store: S,
        function: impl IntoHostFunc<S::Data, Params>,
    ) -> Func {
        store
            .as_store_mut()
            .core_mut()
            .add_host_func(&function.into_host_def().def)
    }

    /// A function of the host of type `ty`.
    pub fn new<S: AsStoreMut>(
        mut store: S,
        ty: FuncType,
        function: impl Fn(Caller<'_, S::Data>, &[Val], &mut [Val]) -> Result<(), Error>
        + Send
        + Sync
        + 'static,
    ) -> Func {
        let def = host::dynamic::define::<S::Data, _>(ty, function);
        store.as_store_mut().core_mut().add_host_func(&def)
    }

    /// Its type.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsStore) -> Result<FuncType, Error> {
        store.as_store().into_core().check(self.store)?;
        Ok(self.type_id().func_type())
    }

    /// The same function with its types known when the host is compiled: faster to call.
    ///
    /// # Errors
    ///
    /// If its type is another, or it belongs to another store.
    pub fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsStore,
    ) -> Result<TypedFunc<P, R>, Error> {
        let core = store.as_store().into_core();
        core.check(self.store)?;
        check_types::<P, R>(self.type_id().func_type())?;
        let target = core.target(*self)?;
        Ok(TypedFunc {
            store: self.store,
            target,
            types: PhantomData,
        })
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// If it traps, a host function that it calls fails, the arguments or the number of results
    /// do not fit its type, or it belongs to another store.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    pub fn call(
        &self,
        mut store: impl AsStoreMut,
        arguments: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        let mut store = store.as_store_mut();
        let (target, ty, mut cells) = self.prepare(store.core(), arguments)?;
        check_count(ty.results().len(), results.len(), "results")?;
        // SAFETY: the store is ours, the target belongs to it, and the cells fit its type.
        unsafe { target.call(store.core_ptr(), cells.as_mut_ptr())? };
        for ((result, &ty), &cell) in results.iter_mut().zip(ty.results()).zip(&cells) {
            *result = Val::from_cell(cell, ty, store.core());
        }
        Ok(())
    }

    /// How to call it with `arguments`: its target, its type, and as many cells as that asks for.
    pub(crate) fn prepare(
        &self,
        core: &StoreCore,
        arguments: &[Val],
    ) -> Result<(Target, FuncType, Vec<Cell>), Error> {
        core.check(self.store)?;
        let ty = self.type_id().func_type();
        check_count(ty.params().len(), arguments.len(), "parameters")?;
        let target = core.target(*self)?;
        let mut cells = vec![Cell::default(); ty.params().len().max(ty.results().len())];
        for ((cell, &ty), &argument) in cells.iter_mut().zip(ty.params()).zip(arguments) {
            *cell = argument.to_cell(ty, core)?;
        }
        Ok((target, ty, cells))
    }

    /// The function whose `funcref` value this is.
    #[inline]
    pub(crate) fn from_bits(store: NonZeroU64, bits: u64) -> Option<Func> {
        let func_ref = NonNull::new(std::ptr::with_exposed_provenance_mut(bits as usize))?;
        Some(Func { store, func_ref })
    }

    pub(crate) fn from_record(store: NonZeroU64, func_ref: NonNull<FuncRef>) -> Func {
        Func { store, func_ref }
    }

    /// Its `funcref` value.
    pub(crate) fn bits(&self) -> u64 {
        self.func_ref.as_ptr().expose_provenance() as u64
    }

    /// Its record. Only for functions of a store that is at hand.
    pub(crate) fn record(&self) -> FuncRef {
        // SAFETY: records live as long as their store, which the caller has checked.
        unsafe { self.func_ref.read() }
    }

    /// Identity of its type. Only for functions of a store that is at hand.
    pub(crate) fn type_id(&self) -> TypeId {
        TypeId(self.record().type_id)
    }
}

/// Whether a function of type `actual` may be called with `P` and answer `R`.
pub(crate) fn check_types<P: WasmParams, R: WasmResults>(actual: FuncType) -> Result<(), UseError> {
    let (params, results) = (P::val_types(), R::val_types());
    if accepts(&params, actual.params()) && accepts(actual.results(), &results) {
        return Ok(());
    }
    let asked = FuncType::new(params, results);
    Err(UseError::FuncType { asked, actual })
}

/// Whether values of types `given` may be passed where `expected` are.
fn accepts(given: &[ValType], expected: &[ValType]) -> bool {
    given.len() == expected.len() && given.iter().zip(expected).all(|(a, b)| a.matches(*b))
}

fn check_count(expected: usize, found: usize, of: &'static str) -> Result<(), UseError> {
    if expected == found {
        Ok(())
    } else {
        Err(UseError::ValueCount {
            expected,
            found,
            of,
        })
    }
}

/// How the host calls a function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Guest(Entry),
    Host(NonNull<HostRecord>),
}

impl Target {
    /// # Safety
    ///
    /// The target must belong to the store `core`, which the caller has exclusively and holds no
    /// reference into; `values` must be cells as the type of the function asks for.
    #[inline(always)]
    unsafe fn call(&self, core: NonNull<StoreCore>, values: *mut Cell) -> Result<(), Error> {
        match self {
            // SAFETY: the caller's promise.
            Target::Guest(entry) => unsafe { invoke(core, entry, values) },
            // SAFETY: the caller's promise.
            Target::Host(record) => unsafe { call_host(*record, core, values) },
        }
    }

    /// As [`Target::call`], where `ints` begins with all parameters, and there is one result or
    /// none: as an integer, or as a float.
    ///
    /// # Safety
    ///
    /// As [`Target::call`].
    #[inline(always)]
    unsafe fn call_direct(
        &self,
        core: NonNull<StoreCore>,
        ints: [u64; arch::DIRECT_PARAMS],
    ) -> Result<(u64, f64), Error> {
        match self {
            // SAFETY: the caller's promise.
            Target::Guest(entry) => unsafe { invoke_direct(core, entry, ints) },
            // SAFETY: the caller's promise.
            Target::Host(record) => unsafe {
                let [a, b, c, d, e] = ints;
                call_host_direct(*record, core, a, b, c, d, e)
            },
        }
    }
}

/// # Safety
///
/// As [`Target::call_direct`].
#[cold]
#[inline(never)]
unsafe fn call_host_direct(
    record: NonNull<HostRecord>,
    core: NonNull<StoreCore>,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
) -> Result<(u64, f64), Error> {
    let mut cells = [a, b, c, d, e].map(|bits| Cell([bits, 0]));
    // SAFETY: the caller's promise.
    unsafe { HostRecord::call_from_host(record, core, cells.as_mut_ptr())? };
    let bits = cells[0].0[0];
    Ok((bits, f64::from_bits(bits)))
}

/// # Safety
///
/// As [`Target::call`].
#[cold]
unsafe fn call_host(
    record: NonNull<HostRecord>,
    core: NonNull<StoreCore>,
    values: *mut Cell,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { HostRecord::call_from_host(record, core, values) }
}

impl StoreCore {
    /// How the host calls a function of this store.
    fn target(&self, func: Func) -> Result<Target, Error> {
        let record = func.record();
        if let Some(host) = host_record(&record) {
            return Ok(Target::Host(host));
        }
        let instance = self.instance_at(record.context as usize);
        let stub = self.enter_stub(instance, TypeId(record.type_id))?;
        Ok(Target::Guest(Entry {
            stub,
            context: record.context as usize,
            code: record.code as usize,
            stack_top: instance.stack_top,
        }))
    }
}

/// A function whose parameters `P` and results `R` are known when the host is compiled: each
/// nothing, a [`crate::WasmTy`], or a tuple of them.
pub struct TypedFunc<P, R> {
    pub(crate) store: NonZeroU64,
    pub(crate) target: Target,
    types: PhantomData<fn(P) -> R>,
}

// SAFETY: addresses in it are followed only together with the store, which is borrowed then.
unsafe impl<P, R> Send for TypedFunc<P, R> {}
// SAFETY: as above.
unsafe impl<P, R> Sync for TypedFunc<P, R> {}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TypedFunc")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// More parameters or results than a tuple can have.
const MAX_VALUES: usize = 16;

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// The function at `entry`, which must be of these types and of an instance of the store.
    pub(crate) fn of_entry(store: NonZeroU64, entry: Entry) -> TypedFunc<P, R> {
        TypedFunc {
            store,
            target: Target::Guest(entry),
            types: PhantomData,
        }
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// If it traps, a host function that it calls fails, or it belongs to another store.
    ///
    /// # Panics
    ///
    /// If a host function that it calls does: with the same panic.
    #[inline]
    pub fn call(&self, mut store: impl AsStoreMut, params: P) -> Result<R, Error> {
        const { assert!(P::LEN <= MAX_VALUES && R::LEN <= MAX_VALUES) };
        let mut store = store.as_store_mut();
        store.core().check(self.store)?;
        if const { Self::DIRECT } {
            // These stay in registers, as long as no one takes their address.
            let mut cells = [Cell::default(); arch::DIRECT_PARAMS];
            // SAFETY: there is room for the most there can be. The store is ours, the target
            // belongs to it and was checked to be of these types; what it returns is of them, too.
            unsafe {
                params.write(cells.as_mut_ptr(), store.core())?;
                let ints = cells.map(|cell| cell.0[0]);
                let (int, float) = self.target.call_direct(store.core_ptr(), ints)?;
                let bits = match const { R::CLASS } {
                    Class::Float => float.to_bits(),
                    Class::Int | Class::Vector => int,
                };
                return Ok(R::read(&Cell([bits, 0]), store.core()));
            }
        }
        let mut cells = [const { MaybeUninit::<Cell>::uninit() }; MAX_VALUES];
        let values = cells.as_mut_ptr().cast();
        // SAFETY: as above.
        unsafe {
            params.write(values, store.core())?;
            self.target.call(store.core_ptr(), values)?;
            Ok(R::read(values, store.core()))
        }
    }

    /// Whether parameters and result travel in registers that can be set here.
    const DIRECT: bool = P::LEN <= arch::DIRECT_PARAMS
        && matches!(P::CLASS, Class::Int)
        && (R::LEN == 0 || R::LEN == 1 && !matches!(R::CLASS, Class::Vector));
}
