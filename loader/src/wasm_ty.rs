//! Rust types that stand for WebAssembly types.
//!
//! # Safety
//!
//! This file holds unsafe code: cells of argument arrays are read and written through pointers,
//! whose validity callers promise.
#![allow(unsafe_code, reason = "argument arrays are shared with generated code")]

use crate::error::{Error, UseError};
use crate::func::Func;
use crate::store::StoreCore;
use crate::types::{HeapType, RefType, ValType};
use crate::value::{Cell, ExternRef};

/// Rust types that stand for a WebAssembly type: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, `u128`
/// for `v128`, `Option<Func>`, [`Func`], `Option<ExternRef>` and [`ExternRef`].
///
/// # Safety
///
/// `Abi` must be what the C calling convention passes for a value of type `val_type()`, and the
/// conversions must keep its bits. Only this crate implements it.
pub unsafe trait WasmTy: Sized + sealed::Sealed {
    /// How it travels between generated code and host functions.
    #[doc(hidden)]
    type Abi: Copy;
    /// What registers it travels in.
    #[doc(hidden)]
    const CLASS: Class;
    /// The type that it stands for.
    fn val_type() -> ValType;
    #[doc(hidden)]
    fn into_abi(self, store: &StoreCore) -> Result<Self::Abi, UseError>;
    #[doc(hidden)]
    fn from_abi(abi: Self::Abi, store: &StoreCore) -> Self;
    #[doc(hidden)]
    fn to_cell(abi: Self::Abi) -> Cell;
    #[doc(hidden)]
    fn from_cell(cell: Cell) -> Self::Abi;
    #[doc(hidden)]
    fn zero() -> Self::Abi;
}

/// A class of registers.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Int,
    Float,
    Vector,
}

mod sealed {
    pub trait Sealed {}
    pub trait Values {}
}

macro_rules! numbers {
    ($($ty:ty => $abi:ty, $class:ident, $val:ident, $to:expr, $from:expr;)*) => {$(
        impl sealed::Sealed for $ty {}

        // SAFETY: a number of the same width and class.
        unsafe impl WasmTy for $ty {
            type Abi = $abi;
            const CLASS: Class = Class::$class;

            fn val_type() -> ValType {
                ValType::$val
            }

            #[inline(always)]
            fn into_abi(self, _: &StoreCore) -> Result<$abi, UseError> {
                Ok(self as $abi)
            }

            #[inline(always)]
            fn from_abi(abi: $abi, _: &StoreCore) -> $ty {
                abi as $ty
            }

            #[inline(always)]
            fn to_cell(abi: $abi) -> Cell {
                ($to)(abi)
            }

            #[inline(always)]
            fn from_cell(cell: Cell) -> $abi {
                ($from)(cell)
            }

            fn zero() -> $abi {
                0 as $abi
            }
        }
    )*};
}

numbers! {
    i32 => u32, Int, I32, |v: u32| Cell([v.into(), 0]), |c: Cell| c.0[0] as u32;
    u32 => u32, Int, I32, |v: u32| Cell([v.into(), 0]), |c: Cell| c.0[0] as u32;
    i64 => u64, Int, I64, |v: u64| Cell([v, 0]), |c: Cell| c.0[0];
    u64 => u64, Int, I64, |v: u64| Cell([v, 0]), |c: Cell| c.0[0];
    f32 => f32, Float, F32, |v: f32| Cell([v.to_bits().into(), 0]), |c: Cell| f32::from_bits(c.0[0] as u32);
    f64 => f64, Float, F64, |v: f64| Cell([v.to_bits(), 0]), |c: Cell| f64::from_bits(c.0[0]);
    u128 => u128, Vector, V128, Cell::from_u128, Cell::to_u128;
}

macro_rules! references {
    ($($ty:ty, $nullable:expr, $heap:ident, $to:expr, $from:expr;)*) => {$(
        impl sealed::Sealed for $ty {}

        // SAFETY: references are 64-bit integers to the calling convention.
        unsafe impl WasmTy for $ty {
            type Abi = u64;
            const CLASS: Class = Class::Int;

            fn val_type() -> ValType {
                ValType::Ref(RefType { nullable: $nullable, heap: HeapType::$heap })
            }

            #[inline]
            fn into_abi(self, store: &StoreCore) -> Result<u64, UseError> {
                ($to)(self, store)
            }

            #[inline]
            fn from_abi(abi: u64, store: &StoreCore) -> $ty {
                ($from)(abi, store)
            }

            #[inline]
            fn to_cell(abi: u64) -> Cell {
                Cell([abi, 0])
            }

            #[inline]
            fn from_cell(cell: Cell) -> u64 {
                cell.0[0]
            }

            fn zero() -> u64 {
                0
            }
        }
    )*};
}

/// Why a reference of a type that is never null can be taken for granted.
const NOT_NULL: &str = "the type of the function says that it is not null";

references! {
    Option<Func>, true, Func,
        |v: Option<Func>, store: &StoreCore| v.map_or(Ok(0), |v| WasmTy::into_abi(v, store)),
        |bits, store: &StoreCore| store.func_from_bits(bits);
    Func, false, Func,
        |v: Func, store: &StoreCore| store.check(v.store).map(|()| v.bits()),
        |bits, store: &StoreCore| store.func_from_bits(bits).expect(NOT_NULL);
    Option<ExternRef>, true, Extern,
        |v: Option<ExternRef>, store: &StoreCore| v.map_or(Ok(0), |v| WasmTy::into_abi(v, store)),
        |bits, store: &StoreCore| store.extern_from_bits(bits);
    ExternRef, false, Extern,
        |v: ExternRef, store: &StoreCore| store.check(v.store).map(|()| v.bits()),
        |bits, store: &StoreCore| store.extern_from_bits(bits).expect(NOT_NULL);
}

/// Parameters of a typed function: nothing, one [`WasmTy`], or a tuple of up to sixteen.
pub trait WasmParams: Sized + sealed::Values {
    /// How many.
    #[doc(hidden)]
    const LEN: usize;
    /// The class of the only one; of several, of all, if it is [`Class::Int`].
    #[doc(hidden)]
    const CLASS: Class;
    #[doc(hidden)]
    fn val_types() -> Vec<ValType>;
    /// Writes them into as many cells.
    ///
    /// # Safety
    ///
    /// There must be `LEN` cells at `to`.
    #[doc(hidden)]
    unsafe fn write(self, to: *mut Cell, store: &StoreCore) -> Result<(), Error>;
}

/// Results of a typed function: nothing, one [`WasmTy`], or a tuple of up to sixteen.
pub trait WasmResults: WasmParams {
    /// How they travel in registers, where they do.
    #[doc(hidden)]
    type Abi;
    #[doc(hidden)]
    fn into_abi(self, store: &StoreCore) -> Result<Self::Abi, Error>;
    #[doc(hidden)]
    fn zero() -> Self::Abi;
    /// Reads them from as many cells.
    ///
    /// # Safety
    ///
    /// There must be `LEN` cells of these types at `from`, written by the store's guest code.
    #[doc(hidden)]
    unsafe fn read(from: *const Cell, store: &StoreCore) -> Self;
}

impl<A: WasmTy> sealed::Values for A {}

impl<A: WasmTy> WasmParams for A {
    const LEN: usize = 1;
    const CLASS: Class = A::CLASS;

    fn val_types() -> Vec<ValType> {
        vec![A::val_type()]
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut Cell, store: &StoreCore) -> Result<(), Error> {
        let cell = A::to_cell(WasmTy::into_abi(self, store)?);
        // SAFETY: the caller's promise.
        unsafe { to.write(cell) };
        Ok(())
    }
}

impl<A: WasmTy> WasmResults for A {
    type Abi = A::Abi;

    #[inline(always)]
    fn into_abi(self, store: &StoreCore) -> Result<A::Abi, Error> {
        Ok(WasmTy::into_abi(self, store)?)
    }

    fn zero() -> A::Abi {
        <A as WasmTy>::zero()
    }

    #[inline(always)]
    unsafe fn read(from: *const Cell, store: &StoreCore) -> A {
        // SAFETY: the caller's promise.
        A::from_abi(A::from_cell(unsafe { from.read() }), store)
    }
}

impl<A: WasmTy> sealed::Values for (A,) {}

impl<A: WasmTy> WasmParams for (A,) {
    const LEN: usize = 1;
    const CLASS: Class = A::CLASS;

    fn val_types() -> Vec<ValType> {
        vec![A::val_type()]
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut Cell, store: &StoreCore) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.0.write(to, store) }
    }
}

impl<A: WasmTy> WasmResults for (A,) {
    type Abi = A::Abi;

    #[inline(always)]
    fn into_abi(self, store: &StoreCore) -> Result<A::Abi, Error> {
        Ok(WasmTy::into_abi(self.0, store)?)
    }

    fn zero() -> A::Abi {
        <A as WasmTy>::zero()
    }

    #[inline(always)]
    unsafe fn read(from: *const Cell, store: &StoreCore) -> (A,) {
        // SAFETY: the caller's promise.
        (unsafe { A::read(from, store) },)
    }
}

macro_rules! tuples {
    ($($arg:ident)*) => {
        impl<$($arg: WasmTy),*> sealed::Values for ($($arg,)*) {}

        #[allow(non_snake_case, reason = "each value is named as its type")]
        impl<$($arg: WasmTy),*> WasmParams for ($($arg,)*) {
            const LEN: usize = 0 $(+ { const $arg: usize = 1; $arg })*;
            const CLASS: Class = if true $(&& matches!($arg::CLASS, Class::Int))* {
                Class::Int
            } else {
                Class::Vector
            };

            fn val_types() -> Vec<ValType> {
                vec![$($arg::val_type()),*]
            }

            #[inline(always)]
            #[allow(unused_mut, unused_variables, unused_assignments, reason = "there may be none")]
            unsafe fn write(self, mut to: *mut Cell, store: &StoreCore) -> Result<(), Error> {
                let ($($arg,)*) = self;
                $(
                    // SAFETY: the caller's promise.
                    unsafe {
                        to.write($arg::to_cell(WasmTy::into_abi($arg, store)?));
                        to = to.add(1);
                    }
                )*
                Ok(())
            }
        }

        #[allow(non_snake_case, reason = "each value is named as its type")]
        impl<$($arg: WasmTy),*> WasmResults for ($($arg,)*) {
            type Abi = ();

            fn into_abi(self, _: &StoreCore) -> Result<(), Error> {
                Ok(())
            }

            fn zero() {}

            #[inline(always)]
            #[allow(unused_mut, unused_variables, unused_assignments, reason = "there may be none")]
            unsafe fn read(mut from: *const Cell, store: &StoreCore) -> Self {
                $(
                    // SAFETY: the caller's promise.
                    let $arg = unsafe {
                        let value = $arg::from_abi($arg::from_cell(from.read()), store);
                        from = from.add(1);
                        value
                    };
                )*
                #[allow(clippy::unused_unit, reason = "there may be none")]
                ($($arg,)*)
            }
        }
    };
}

tuples!();
tuples!(A1 A2);
tuples!(A1 A2 A3);
tuples!(A1 A2 A3 A4);
tuples!(A1 A2 A3 A4 A5);
tuples!(A1 A2 A3 A4 A5 A6);
tuples!(A1 A2 A3 A4 A5 A6 A7);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15);
tuples!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16);
