//! WASI preview 1 for Precast: files, clocks, random bytes, arguments, standard streams and handed-in sockets for sandboxed programs.
//!
//! A guest gets what its [`WasiCtxBuilder`] names, and nothing else: it finds files only below preopened directories, whatever
//! its paths say and whoever renames what meanwhile. All pointers that it passes are checked; a bad one is EFAULT.
//!
//! Both `wasi_snapshot_preview1` and its predecessor `wasi_unstable` are there. `docs/wasi.md` says what each function does.
#![forbid(unsafe_code)]

mod bind;
mod builder;
mod copies;
mod ctx;
mod descriptor;
mod errno;
mod exit;
mod guest;
mod iovec;
mod preview1;
mod resolve;
mod stop;
mod table;
#[cfg(feature = "threads")]
mod threads;
mod types;
mod unstable;
mod version;

#[cfg(test)]
mod errno_test;
#[cfg(test)]
mod testing;

pub use bind::add_to_linker;
pub use builder::{BuildError, Input, Output, Perms, WasiCtxBuilder};
pub use ctx::WasiCtx;
pub use errno::Errno;
pub use exit::Exit;
#[cfg(feature = "threads")]
pub use threads::{Kill, Program, Thread};
