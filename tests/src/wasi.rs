//! Programs in a world of WASI, and what became of them.

use precast::{Error, Linker, Module, Store};
use precast_compiler::Options;
use precast_wasi::{Exit, Output, WasiCtx, WasiCtxBuilder};

use crate::trusted;

/// What a program left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Its exit code, or what ended it.
    pub end: Result<u32, String>,
    /// What it wrote, where that was captured.
    pub stdout: String,
    /// What it wrote, where that was captured.
    pub stderr: String,
}

/// A linker with WASI for stores that hold nothing but the context.
pub fn linker() -> Linker<WasiCtx> {
    let mut linker = Linker::new();
    precast_wasi::add_to_linker(&mut linker, |ctx| ctx);
    linker
}

/// Compiles a module, text or binary.
///
/// # Panics
///
/// If it is none.
pub fn compile(module: &[u8]) -> Module {
    let wasm = wat::parse_bytes(module).expect("a module");
    trusted::open(&wasm, &Options::default()).expect("a valid module")
}

/// Runs a module's `_start` in the world that `builder` describes, its output captured.
///
/// # Panics
///
/// If the world cannot be made or the module not be instantiated.
pub fn run(module: &Module, builder: &mut WasiCtxBuilder) -> Ran {
    builder.stdout(Output::Capture).stderr(Output::Capture);
    let mut store = Store::new(builder.build().expect("a world"));
    let instance = linker()
        .instantiate(&mut store, module)
        .expect("all imports");
    let start = instance
        .func::<(), ()>(&store, "_start")
        .expect("a program");
    let end = exit_code(start.call(&mut store, ()));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran {
        end,
        stdout: text(store.data_mut().take_stdout()),
        stderr: text(store.data_mut().take_stderr()),
    }
}

fn exit_code(result: Result<(), Error>) -> Result<u32, String> {
    match result {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast::<Exit>() {
            Ok(exit) => Ok(exit.code),
            Err(error) => Err(error.to_string()),
        },
    }
}
