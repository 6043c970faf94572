//! Measurements of Precast, and of Precast beside another runtime.
//!
//! Everything that is compared runs in one process, the contestants in turn, over many
//! rounds, and what is reported is the median: absolute times on a shared machine drift,
//! ratios taken in the same minute do not.
//!
//! - [`kernels`]: small programs with a checksum, for the speed of generated code;
//! - [`guests`]: modules written here, for the cost of calls, WASI and loading;
//! - [`ours`] and [`theirs`]: the same few operations on Precast and on Wasmtime;
//! - [`code`]: the kernels in every way to run them, native code included;
//! - [`versus`]: sandboxes in pools, beside Wasmtime's;
//! - [`measure`]: rounds, medians; [`report`]: the table and the JSON file.

pub mod code;
pub mod guests;
pub mod kernels;
pub mod measure;
pub mod ours;
pub mod report;
pub mod theirs;
pub mod versus;

/// What the rigs return: whatever went wrong, they stop and say it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
