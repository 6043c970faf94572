//! What the tests above the crates share.

pub mod spec;
