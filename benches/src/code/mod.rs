//! `make bench-code`: every kernel in every way to run it, in one process, in turn.
//!
//! | file | what it holds |
//! |---|---|
//! | [`contestant`] | one way to run a kernel: its key, what it answers, how much code it is |
//! | [`precast`], [`wasmtime`] | the two runtimes, in their settings |
//! | [`native`] | the same source by the C and Rust compilers of this machine, in a shared library |
//! | [`wasm2c`] | the module as C, where `wasm2c` is installed |
//! | [`run`] | one kernel: results compared, then measured |
//! | [`disas`], [`profile`] | machine code beside another's, and where its time goes |
//! | [`table`] | lines on the terminal, and the JSON file |
//! | [`goals`] | the goals, and what was reached |

pub mod contestant;
pub mod disas;
pub mod goals;
pub mod native;
pub mod precast;
pub mod profile;
pub mod run;
pub mod table;
pub mod wasm2c;
pub mod wasmtime;

use std::path::PathBuf;

/// Where the sources of the kernels stand.
pub fn sources() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels"))
}

/// Where objects and libraries are put: `target/code`.
pub fn workshop() -> PathBuf {
    PathBuf::from("target/code")
}
