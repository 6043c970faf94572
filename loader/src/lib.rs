//! Maps WebAssembly that was compiled ahead of time and runs it in sandboxes.

#![deny(unsafe_code)]

pub mod object;
mod sys;

pub use object::{ObjectView, OpenError};
