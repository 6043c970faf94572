//! Values that cross the border between host and guest.

use std::any::Any;
use std::num::NonZeroU64;

use crate::error::{Error, UseError};
use crate::exception::ExnRef;
use crate::func::Func;
use crate::heap::AnyRef;
use crate::interner;
use crate::store::{AsStore, AsStoreMut, EXTERN_MARK, StoreCore};
use crate::types::{HeapType, RefType, ValType};

/// A value of any WebAssembly type.
#[derive(Clone, Copy, Debug)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector; lane 0 in the lowest bits.
    V128(u128),
    /// A function or null.
    FuncRef(Option<Func>),
    /// Something of the host's or null.
    ExternRef(Option<ExternRef>),
    /// An exception or null.
    ExnRef(Option<ExnRef>),
    /// A garbage-collected object, what may stand in its place, or null.
    AnyRef(Option<AnyRef>),
}

/// One cell of an argument array, see [`precast_abi::VALUE_SIZE`].
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell(pub(crate) [u64; 2]);

impl Cell {
    pub(crate) fn from_u128(value: u128) -> Cell {
        Cell([value as u64, (value >> 64) as u64])
    }

    pub(crate) fn to_u128(self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }
}

const _: () = assert!(size_of::<Cell>() == precast_abi::VALUE_SIZE);

impl Val {
    /// Zero or null of a type; `None` for references that cannot be null.
    pub fn default_of(ty: ValType) -> Option<Val> {
        Some(match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(0),
            ValType::Ref(RefType {
                nullable: false, ..
            }) => return None,
            ValType::Ref(r) if r.is_func() => Val::FuncRef(None),
            ValType::Ref(r) if r.is_exn() => Val::ExnRef(None),
            ValType::Ref(r) if r.is_any() => Val::AnyRef(None),
            ValType::Ref(_) => Val::ExternRef(None),
        })
    }

    /// The integer, if it is an `i32`.
    pub fn i32(self) -> Option<i32> {
        if let Val::I32(value) = self {
            Some(value)
        } else {
            None
        }
    }

    /// The integer, if it is an `i64`.
    pub fn i64(self) -> Option<i64> {
        if let Val::I64(value) = self {
            Some(value)
        } else {
            None
        }
    }

    /// The float, if it is an `f32`.
    pub fn f32(self) -> Option<f32> {
        if let Val::F32(bits) = self {
            Some(f32::from_bits(bits))
        } else {
            None
        }
    }

    /// The float, if it is an `f64`.
    pub fn f64(self) -> Option<f64> {
        if let Val::F64(bits) = self {
            Some(f64::from_bits(bits))
        } else {
            None
        }
    }

    /// The vector, if it is a `v128`.
    pub fn v128(self) -> Option<u128> {
        if let Val::V128(value) = self {
            Some(value)
        } else {
            None
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Val::I32(_) => "i32",
            Val::I64(_) => "i64",
            Val::F32(_) => "f32",
            Val::F64(_) => "f64",
            Val::V128(_) => "v128",
            Val::FuncRef(None) => "a null function",
            Val::FuncRef(Some(_)) => "a function",
            Val::ExternRef(None) => "a null externref",
            Val::ExternRef(Some(_)) => "an externref",
            Val::ExnRef(None) => "a null exnref",
            Val::ExnRef(Some(_)) => "an exnref",
            Val::AnyRef(None) => "a null anyref",
            Val::AnyRef(Some(_)) => "an anyref",
        }
    }

    /// Its bits, once it is known to be of type `ty` and to belong to the store.
    pub(crate) fn to_cell(self, ty: ValType, store: &StoreCore) -> Result<Cell, Error> {
        let wrong = || UseError::ValueType {
            expected: ty,
            found: self.kind(),
        };
        Ok(match (self, ty) {
            (Val::I32(value), ValType::I32) => Cell([value as u32 as u64, 0]),
            (Val::I64(value), ValType::I64) => Cell([value as u64, 0]),
            (Val::F32(bits), ValType::F32) => Cell([bits.into(), 0]),
            (Val::F64(bits), ValType::F64) => Cell([bits, 0]),
            (Val::V128(value), ValType::V128) => Cell::from_u128(value),
            (Val::FuncRef(func), ValType::Ref(r)) if r.is_func() => {
                Cell([func_ref_bits(func, r, store)?.ok_or_else(wrong)?, 0])
            }
            (Val::ExternRef(value), ValType::Ref(r)) if r.is_extern() => {
                Cell([extern_ref_bits(value, r, store)?.ok_or_else(wrong)?, 0])
            }
            (Val::ExnRef(value), ValType::Ref(r)) if r.is_exn() => {
                Cell([exn_ref_bits(value, r, store)?.ok_or_else(wrong)?, 0])
            }
            (Val::AnyRef(value), ValType::Ref(r)) if r.is_any() => {
                Cell([any_ref_bits(value, r, store)?.ok_or_else(wrong)?, 0])
            }
            _ => return Err(wrong().into()),
        })
    }

    /// The value of type `ty` in a cell that the store's guest code (or [`Val::to_cell`]) wrote.
    pub(crate) fn from_cell(cell: Cell, ty: ValType, store: &StoreCore) -> Val {
        let bits = cell.0[0];
        match ty {
            ValType::I32 => Val::I32(bits as i32),
            ValType::I64 => Val::I64(bits as i64),
            ValType::F32 => Val::F32(bits as u32),
            ValType::F64 => Val::F64(bits),
            ValType::V128 => Val::V128(cell.to_u128()),
            ValType::Ref(r) if r.is_func() => Val::FuncRef(store.func_from_bits(bits)),
            ValType::Ref(r) if r.is_exn() => Val::ExnRef(store.exn_from_bits(bits)),
            ValType::Ref(r) if r.is_any() => Val::AnyRef(store.any_from_bits(bits)),
            ValType::Ref(_) => Val::ExternRef(store.extern_from_bits(bits)),
        }
    }
}

/// `Ok(None)` where the type does not allow the value.
fn func_ref_bits(
    func: Option<Func>,
    ty: RefType,
    store: &StoreCore,
) -> Result<Option<u64>, UseError> {
    let Some(func) = func else {
        return Ok(ty.nullable.then_some(0));
    };
    store.check(func.store)?;
    let fits = match ty.heap {
        HeapType::Func => true,
        HeapType::Concrete(id) => interner::is_subtype(func.type_id(), id),
        _ => false,
    };
    Ok(fits.then(|| func.bits()))
}

fn extern_ref_bits(
    value: Option<ExternRef>,
    ty: RefType,
    store: &StoreCore,
) -> Result<Option<u64>, UseError> {
    let Some(value) = value else {
        return Ok(ty.nullable.then_some(0));
    };
    store.check(value.store)?;
    Ok((ty.heap == HeapType::Extern).then(|| value.bits()))
}

fn any_ref_bits(
    value: Option<AnyRef>,
    ty: RefType,
    store: &StoreCore,
) -> Result<Option<u64>, UseError> {
    let Some(value) = value else {
        return Ok(ty.nullable.then_some(0));
    };
    store.check(value.store)?;
    let bits = value.bits(store)?;
    Ok(store
        .ref_type(bits)
        .matches(RefType {
            nullable: false,
            heap: ty.heap,
        })
        .then_some(bits))
}

fn exn_ref_bits(
    value: Option<ExnRef>,
    ty: RefType,
    store: &StoreCore,
) -> Result<Option<u64>, UseError> {
    let Some(value) = value else {
        return Ok(ty.nullable.then_some(0));
    };
    store.check(value.store)?;
    Ok((ty.heap == HeapType::Exn).then_some(value.bits))
}

/// Something of the host's, as a guest can hold it. Lives as long as its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternRef {
    pub(crate) store: NonZeroU64,
    /// What the guest holds: one more than the value's index, marked, or what an `anyref` became.
    pub(crate) bits: NonZeroU64,
}

impl ExternRef {
    /// Puts `value` into the store.
    pub fn new(mut store: impl AsStoreMut, value: impl Any + Send + Sync) -> ExternRef {
        store.as_store_mut().core_mut().new_extern(Box::new(value))
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// If it belongs to another store, or is no value of the host's but an object of a guest's, which
    /// that has converted.
    pub fn data<'a, S: AsStore>(&self, store: &'a S) -> Result<&'a (dyn Any + Send + Sync), Error> {
        let core = store.as_store().into_core();
        core.check(self.store)?;
        let index = (self.bits.get() ^ EXTERN_MARK).wrapping_sub(1);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let rare = core.rare.as_ref();
        let value = rare.and_then(|rare| rare.externs.get(index));
        Ok(&**value.ok_or(UseError::OutOfBounds)?)
    }

    /// What the guest holds: never 0.
    pub(crate) fn bits(self) -> u64 {
        self.bits.get()
    }
}
