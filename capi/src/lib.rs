//! The C API: `capi/include/precast.h` says what each function does.
//!
//! # How it is made
//!
//! - A parameter that C passes as a pointer is an `Option` of a reference or a box here, whose null
//!   is `None`: every function looks before it uses one. That a pointer which is not null is what
//!   its type says, is the promise that a C program makes by calling.
//! - Every function runs in [`error::run`] or [`error::answer`]: no panic gets out.
//! - Things that guests can reach again while they are in use (stores, linkers) say so when they
//!   are: [`store`] and [`linker`].
//! - Handles that are plain records are made of the loader's raw handles, and compared with their
//!   store by the loader.

mod call;
mod error;
mod func;
mod global;
mod instance;
mod interrupt;
mod linker;
mod memory;
mod module;
mod options;
mod pool;
mod raw;
mod signature;
mod store;
mod table;
mod text;
mod typed;
mod value;
mod wasi;

use std::ffi::{CStr, c_char};

/// `precast_version`
#[unsafe(no_mangle)]
extern "C" fn precast_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    CStr::from_bytes_with_nul(VERSION.as_bytes()).map_or(std::ptr::null(), CStr::as_ptr)
}
