//! One way to run a kernel.

use std::path::PathBuf;

use crate::Result;

/// A kernel, ready to run.
pub struct Contestant {
    /// Its name in the JSON file.
    pub key: String,
    /// Bytes of the machine code of its functions, where that is known.
    pub code: Option<u64>,
    /// Where its code is.
    pub place: Place,
    /// Calls the kernel's `run`.
    pub run: Box<dyn FnMut(i32) -> Result<i64>>,
}

/// Where code is, for a profile.
pub enum Place {
    /// In a mapped object.
    File(PathBuf),
    /// Somewhere in memory.
    Memory {
        /// The address of the first byte.
        at: usize,
        /// A copy.
        text: Vec<u8>,
        /// Names, offsets and sizes.
        functions: Vec<(String, usize, usize)>,
    },
}

/// Keys of the contestants that goals speak of.
pub mod key {
    /// Ours, with everything that is on by default.
    pub const PRECAST: &str = "precast";
    /// Ours, some passes off.
    pub const WITHOUT: &str = "precast_without";
    /// Ours, guided by a profile.
    pub const PROFILE: &str = "precast_profile";
    /// Wasmtime as it comes.
    pub const WASMTIME: &str = "wasmtime";
    /// Wasmtime with its inlining switched on.
    pub const INLINING: &str = "wasmtime_inlining";
    /// Wasmtime whose code looks at the epoch, so that it can be stopped.
    pub const EPOCHS: &str = "wasmtime_epochs";
    /// The best of the native ones at `-O3`.
    pub const NATIVE: &str = "native";
    /// The module as C, by `wasm2c`, compiled at `-O2`.
    pub const WASM2C: &str = "wasm2c";
}
