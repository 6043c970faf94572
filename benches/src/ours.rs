//! Precast: the same few operations as in [`crate::theirs`].

use std::path::Path;

use precast::{Caller, Instance, Linker, Module, Store, TypedFunc};
use precast_compiler::{Compiled, Options};
use precast_wasi::{WasiCtx, WasiCtxBuilder};

use crate::Result;

/// Compiles for this machine's CPU, as the other runtime does.
pub fn compile(wasm: &[u8], jobs: usize) -> Result<Compiled> {
    let options = Options {
        cpu: precast_compiler::Cpu::parse("native")?,
        jobs,
        ..Options::default()
    };
    Ok(precast_compiler::compile(wasm, &options)?)
}

/// Opens an object that [`compile`] made.
pub fn open(path: &Path) -> Result<Module> {
    // SAFETY: the file was written by `compile` in this process and nobody changes it.
    Ok(unsafe { Module::open(path) }?)
}

/// Compiles and maps from memory.
pub fn module(wasm: &[u8]) -> Result<Module> {
    let compiled = compile(wasm, 0)?;
    // SAFETY: these bytes come from the compiler, just now.
    Ok(unsafe { Module::from_bytes(&compiled.bytes) }?)
}

/// The same for memories with `reservation` bytes of address space, whose code checks accesses.
pub fn compact_module(wasm: &[u8], reservation: u64) -> Result<Module> {
    let options = Options {
        cpu: precast_compiler::Cpu::parse("native")?,
        memory_reservation: Some(reservation),
        ..Options::default()
    };
    module_with(wasm, &options)
}

/// The same, compiled in some way.
pub fn module_with(wasm: &[u8], options: &Options) -> Result<Module> {
    let compiled = precast_compiler::compile(wasm, options)?;
    // SAFETY: these bytes come from the compiler, just now.
    Ok(unsafe { Module::from_bytes(&compiled.bytes) }?)
}

/// A module without imports of its own, and its store.
pub struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    /// Compiles and instantiates; the import `host.f` answers its argument plus one.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        let module = module(wasm)?;
        let mut store = Store::new(());
        let mut linker = Linker::new();
        linker.func("host", "f", |_: Caller<'_, ()>, x: i32| x.wrapping_add(1));
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance })
    }

    /// A typed export and the store to call it with.
    pub fn export<P, R>(&mut self, name: &str) -> Result<(&mut Store<()>, TypedFunc<P, R>)>
    where
        P: precast::WasmParams,
        R: precast::WasmResults,
    {
        let function = self.instance.func(&self.store, name)?;
        Ok((&mut self.store, function))
    }
}

/// Instantiates a module without imports again and again.
pub struct Instantiator {
    module: Module,
    linker: Linker<()>,
}

impl Instantiator {
    /// Compiles and opens once.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        Ok(Self {
            module: module(wasm)?,
            linker: Linker::new(),
        })
    }

    /// One instance from nothing, one call of `f`, and away with it.
    pub fn once(&self) -> Result<i32> {
        let mut store = Store::new(());
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        let f = instance.func::<i32, i32>(&store, "f")?;
        Ok(f.call(&mut store, 1)?)
    }
}

/// A guest with WASI whose standard output goes nowhere.
pub struct WasiGuest {
    store: Store<WasiCtx>,
    instance: Instance,
}

impl WasiGuest {
    /// Compiles and instantiates with two arguments.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        let module = module(wasm)?;
        let mut linker = Linker::new();
        precast_wasi::add_to_linker(&mut linker, |context: &mut WasiCtx| context);
        let context = WasiCtxBuilder::new().args(["guest", "argument"]).build()?;
        let mut store = Store::new(context);
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance })
    }

    /// Calls an export that makes `n` WASI calls.
    pub fn calls(&mut self, name: &str, n: i32) -> Result<()> {
        let function = self.instance.func::<i32, i32>(&self.store, name)?;
        match function.call(&mut self.store, n)? {
            0 => Ok(()),
            errors => Err(format!("{name} answered errno {errors}").into()),
        }
    }
}
