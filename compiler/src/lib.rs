//! WebAssembly modules to native shared objects, ahead of time.
#![forbid(unsafe_code)]

mod error;
mod helpers;
mod layout;
mod module;
mod segments;
mod translate;
mod trap;

pub use error::CompileError;
