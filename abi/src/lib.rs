//! The contract between Precast's generated code and its loader, written once.
//!
//! Everything that both sides must agree on stands here and nowhere else: the layout of an
//! instance ([`instance`]), the records in an object's metadata ([`object`]), how types are
//! encoded ([`types`]), trap codes ([`trap`]), the functions generated code may call
//! ([`runtime`]), the compressed map from code addresses to wasm offsets ([`addrmap`]), the CPU
//! features an object may require ([`cpu`]) and the format of profiles ([`profile`]).
//!
//! All layouts are `repr(C)`, little-endian, of fixed width, and pinned by constant assertions:
//! a field that moves shows up as a compile error, and an ABI change touches this crate,
//! `docs/abi.md` and [`VERSION`] in one commit.
//!
//! # Words used throughout
//!
//! - *instance base*: the address of linear memory 0 of an instance, and the one hidden
//!   parameter of every wasm function. Instance data lies below it.
//! - *distance*: how many bytes below the instance base something lies. Always positive.
//! - *metadata offset*: bytes from the start of the [`object::ObjectHeader`].
//! - *text offset*: bytes from the start of the text segment.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod addrmap;
pub mod cpu;
pub mod heap;
pub mod instance;
pub mod object;
pub mod profile;
pub mod runtime;
pub mod signature;
pub mod trap;
pub mod types;

/// The version of this ABI. Objects of the same `major` and of no greater `minor` load.
pub const VERSION: Version = Version { major: 1, minor: 3 };

/// An ABI version.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Changes when an older object would no longer load.
    pub major: u16,
    /// Grows with every addition.
    pub minor: u16,
}

/// Stands for "there is none" where a `u32` offset or index is optional.
pub const NONE: u32 = u32::MAX;

/// Bytes between two values of an argument array: every value has a cell of 16 bytes,
/// little-endian, whatever its type.
pub const VALUE_SIZE: usize = 16;
