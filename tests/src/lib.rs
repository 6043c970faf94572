//! What the tests above the crates share.

pub mod fuzz;
pub mod guest;
pub mod scribbler;
pub mod spec;
pub mod trusted;
pub mod wasi;

/// The code in the readme compiles and does what it says.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
