//! What the tests above the crates share.

pub mod fuzz;
pub mod guest;
pub mod spec;
pub mod trusted;
pub mod wasi;
