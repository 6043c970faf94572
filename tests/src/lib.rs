//! What the tests above the crates share.

pub mod fuzz;
pub mod spec;
pub mod trusted;
