//! The official specification suite.

pub mod skip;
pub mod suite;
