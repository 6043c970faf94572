//! The official specification suite, run through compiler and loader.
//!
//! [`suite::files`] lists the scripts, [`runner::run_file`] executes one, directive by directive,
//! and [`skip`] knows which assertions may be skipped, and why.

mod engine;
pub mod runner;
pub mod skip;
mod spectest;
pub mod suite;
mod values;
