//! What the tests above the crates share, as far as it needs no compiler of its own.

#[path = "../../src/guest.rs"]
pub mod guest;
#[path = "../../src/scribbler.rs"]
pub mod scribbler;
#[path = "../../src/spec/mod.rs"]
pub mod spec;
#[path = "../../src/trusted.rs"]
pub mod trusted;
#[path = "../../src/wasi.rs"]
pub mod wasi;
