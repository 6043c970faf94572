//! From wasm operators to CLIF.
//!
//! [`translate_function`] turns the body of one validated function into a Cranelift function,
//! [`translate_init`] makes the function that finishes instantiation. Each operator has one
//! line in the tables of `dispatch`; what it means stands in the file of its category.
//!
//! # Conventions of the generated code
//!
//! - Functions have the calling convention `tail`. The first parameter is the instance base;
//!   the wasm parameters follow. Many results need the setting `enable_multi_ret_implicit_sret`.
//! - `v128` is `i8x16` wherever it is on the operand stack, in a local, parameter or result;
//!   operators cast to the lanes they want. References are `i64`.
//! - Symbols are [`UserExternalName`](cranelift_codegen::ir::UserExternalName)s in the
//!   namespaces of [`Namespace`].
//! - Trap codes are those of [`crate::trap`]; accesses to guard-page memories carry
//!   [`crate::trap::GUARD_PAGE_ACCESS`] and have no entry in the object's trap table.
//! - Source locations are offsets in the module's bytes.

mod address;
mod array;
mod atomic;
mod call;
mod cast;
mod control;
mod convert;
mod count;
mod dispatch;
mod env;
mod exception;
mod fuel;
mod func;
mod global;
mod heap;
mod init;
mod instance;
mod legacy;
mod memory;
mod numeric;
mod reference;
mod runtime;
mod signature;
mod simd;
mod structs;
mod table;
mod trap;

pub(crate) use env::{Env, MAX_BLOCK_PARAMS, Namespace};
pub(crate) use func::translate_function;
pub(crate) use init::{needs_init, translate_init};
pub(crate) use signature::{c_signature, clif_type, outward_signature, wasm_signature};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
