//! Modules that are safe to open because we have just compiled them.
//!
//! # Safety
//!
//! Opening an object is unsafe: it is native code. What [`compile`] returns is code of our own
//! making, confined to its sandbox unless the compiler is wrong, which is what tests are about.

use precast::{Module, OpenError};
use precast_compiler::{CompileError, Options, compile};
use std::fmt;

/// Why a module was not compiled or not opened.
#[derive(Debug)]
pub enum Refusal {
    /// The compiler refuses it.
    Compile(CompileError),
    /// The loader refuses the object: it is for a better CPU than this machine's, for example.
    Open(OpenError),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Compile(error) => error.fmt(f),
            Refusal::Open(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

/// Compiles a module and opens the object.
///
/// # Errors
///
/// Where the compiler or the loader refuses it.
pub fn open(wasm: &[u8], options: &Options) -> Result<Module, Refusal> {
    let object = compile(wasm, options).map_err(Refusal::Compile)?;
    // SAFETY: the bytes come from our own compiler, just now.
    unsafe { Module::from_bytes(&object.bytes) }.map_err(Refusal::Open)
}
