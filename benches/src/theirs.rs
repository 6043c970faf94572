//! Wasmtime: its crate with default settings, as a user would first meet it.

use std::path::Path;

use wasmtime::{Caller, Config, Engine, Instance, Linker, Module, Store, TypedFunc};
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use crate::Result;

/// An engine with default settings.
pub fn engine() -> Engine {
    Engine::default()
}

/// An engine that compiles on one thread only.
pub fn engine_of_one_thread() -> Result<Engine> {
    let mut config = Config::new();
    config.parallel_compilation(false);
    Ok(Engine::new(&config)?)
}

/// Compiles to the bytes of a `.cwasm`.
pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>> {
    Ok(engine.precompile_module(wasm)?)
}

/// Opens a `.cwasm` that [`compile`] made.
pub fn open(engine: &Engine, path: &Path) -> Result<Module> {
    // SAFETY: the file was written by `compile` in this process and nobody changes it.
    Ok(unsafe { Module::deserialize_file(engine, path) }?)
}

/// A module without imports, and its store.
pub struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    /// Compiles and instantiates; the import `host.f` answers its argument plus one.
    pub fn new(engine: &Engine, wasm: &[u8]) -> Result<Self> {
        let module = Module::new(engine, wasm)?;
        let mut store = Store::new(engine, ());
        let mut linker = Linker::new(engine);
        linker.func_wrap("host", "f", |_: Caller<'_, ()>, x: i32| x.wrapping_add(1))?;
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance })
    }

    /// A typed export and the store to call it with.
    pub fn export<P, R>(&mut self, name: &str) -> Result<(&mut Store<()>, TypedFunc<P, R>)>
    where
        P: wasmtime::WasmParams,
        R: wasmtime::WasmResults,
    {
        let function = self.instance.get_typed_func(&mut self.store, name)?;
        Ok((&mut self.store, function))
    }
}

/// Instantiates a module without imports again and again.
pub struct Instantiator {
    engine: Engine,
    prepared: wasmtime::InstancePre<()>,
}

impl Instantiator {
    /// Compiles and links once.
    pub fn new(engine: &Engine, wasm: &[u8]) -> Result<Self> {
        let module = Module::new(engine, wasm)?;
        let prepared = Linker::new(engine).instantiate_pre(&module)?;
        Ok(Self {
            engine: engine.clone(),
            prepared,
        })
    }

    /// One instance from nothing, one call of `f`, and away with it.
    pub fn once(&self) -> Result<i32> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.prepared.instantiate(&mut store)?;
        let f = instance.get_typed_func::<i32, i32>(&mut store, "f")?;
        Ok(f.call(&mut store, 1)?)
    }
}

/// A guest with WASI whose standard output goes nowhere.
pub struct WasiGuest {
    store: Store<WasiP1Ctx>,
    instance: Instance,
}

impl WasiGuest {
    /// Compiles and instantiates with two arguments.
    pub fn new(engine: &Engine, wasm: &[u8]) -> Result<Self> {
        let module = Module::new(engine, wasm)?;
        let mut linker = Linker::new(engine);
        p1::add_to_linker_sync(&mut linker, |context: &mut WasiP1Ctx| context)?;
        let context = wasmtime_wasi::WasiCtxBuilder::new()
            .args(&["guest", "argument"])
            .build_p1();
        let mut store = Store::new(engine, context);
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance })
    }

    /// Calls an export that makes `n` WASI calls.
    pub fn calls(&mut self, name: &str, n: i32) -> Result<()> {
        let function = self
            .instance
            .get_typed_func::<i32, i32>(&mut self.store, name)?;
        match function.call(&mut self.store, n)? {
            0 => Ok(()),
            errors => Err(format!("{name} answered errno {errors}").into()),
        }
    }
}
