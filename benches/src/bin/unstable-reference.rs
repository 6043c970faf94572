//! Runs one WASI program in Wasmtime's crate, whose linker still knows `wasi_unstable`.
//!
//! usage: `unstable-reference [--dir HOST::GUEST]… [--env K=V]… MODULE ARGV0 [ARGS…]`, or
//! `unstable-reference --precompile MODULE.cwasm MODULE`: what ends in `.cwasm` is run as it is.

use std::process::ExitCode;

use precast_benches::{Result, theirs};
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

/// What a shell reports for a process that aborted.
const TRAPPED: u8 = 134;

fn main() -> Result<ExitCode> {
    let mut context = WasiCtxBuilder::new();
    context.inherit_stdio();
    let mut arguments = std::env::args().skip(1);
    let module = loop {
        match arguments.next().ok_or("no module")?.as_str() {
            "--dir" => {
                let value = arguments.next().ok_or("--dir needs a value")?;
                let (host, guest) = value.split_once("::").ok_or("--dir needs HOST::GUEST")?;
                context.preopened_dir(host, guest, FsPerms::ReadWrite)?;
            }
            "--env" => {
                let value = arguments.next().ok_or("--env needs a value")?;
                let (key, value) = value.split_once('=').ok_or("--env needs K=V")?;
                context.env(key, value);
            }
            "--precompile" => {
                let to = arguments.next().ok_or("--precompile needs a file")?;
                let wasm = std::fs::read(arguments.next().ok_or("no module")?)?;
                std::fs::write(to, theirs::compile(&Engine::default(), &wasm)?)?;
                return Ok(ExitCode::SUCCESS);
            }
            module => break module.to_owned(),
        }
    };
    context.args(&arguments.collect::<Vec<_>>());
    start(&module, context.build_p1())
}

/// Runs `_start` and turns its end into an exit code.
fn start(path: &str, context: WasiP1Ctx) -> Result<ExitCode> {
    let engine = Engine::default();
    let module = match path.ends_with(".cwasm") {
        true => theirs::open(&engine, path.as_ref())?,
        false => Module::from_file(&engine, path)?,
    };
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p0::add_to_linker_sync(&mut linker, |context: &mut WasiP1Ctx| context)?;
    wasmtime_wasi::p1::add_to_linker_sync(&mut linker, |context: &mut WasiP1Ctx| context)?;
    let mut store = Store::new(&engine, context);
    let instance = linker.instantiate(&mut store, &module)?;
    let main = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    Ok(match main.call(&mut store, ()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => ExitCode::from(u8::try_from(exit.0).unwrap_or(1)),
            None => {
                eprintln!("{error:?}");
                ExitCode::from(TRAPPED)
            }
        },
    })
}
