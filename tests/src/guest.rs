//! Guests for tests: text in, modules out.

use precast::{Error, Instance, Linker, Module, Store, Trap};
use precast_compiler::Options;

use crate::trusted;

/// Compiles a module in the text format, and opens it.
///
/// # Panics
///
/// If it is not a valid module.
pub fn module(text: &str) -> Module {
    module_with(text, &Options::default())
}

/// As [`module`], compiled as `options` say.
///
/// # Panics
///
/// If it is not a valid module.
pub fn module_with(text: &str, options: &Options) -> Module {
    let wasm = wat::parse_str(text).expect("the text is a module");
    trusted::open(&wasm, options).expect("the module compiles and opens")
}

/// Instantiates a module that imports nothing.
///
/// # Panics
///
/// If that fails.
pub fn instance(store: &mut Store<()>, text: &str) -> Instance {
    Linker::new()
        .instantiate(store, &module(text))
        .expect("it can be instantiated")
}

/// The trap that a call must have ended with.
///
/// # Panics
///
/// If it ended otherwise.
pub fn trap<T: std::fmt::Debug>(result: Result<T, Error>) -> Trap {
    match result {
        Err(Error::Trap(trap)) => trap,
        other => panic!("expected a trap, not {other:?}"),
    }
}
