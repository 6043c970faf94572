//! Precast.

use std::path::PathBuf;

use object::{Object, ObjectSymbol, SymbolKind};
use precast::{Linker, Store};
use precast_compiler::{Compiled, Options, Pass, Passes};

use super::contestant::{Contestant, Place, key};
use super::workshop;
use crate::kernels::Kernel;
use crate::{Result, ours};

/// A set of passes, and the name of what they make.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The contestant's key.
    pub key: &'static str,
    /// The optimisations that run.
    pub passes: Passes,
}

impl Build {
    /// Everything.
    pub const FULL: Self = Self {
        key: key::PRECAST,
        passes: Passes::ALL,
    };

    /// Everything but the passes with these names.
    ///
    /// # Errors
    ///
    /// If there is no such pass.
    pub fn without(names: &str) -> Result<Self> {
        let mut passes = Passes::ALL;
        for name in names.split(',') {
            passes = passes.without(Pass::parse(name)?);
        }
        Ok(Self {
            key: key::WITHOUT,
            passes,
        })
    }

    /// Compiles on one thread, for this machine's own CPU.
    ///
    /// # Errors
    ///
    /// If the compiler fails.
    pub fn compile(self, wasm: &[u8]) -> Result<Compiled> {
        let options = Options {
            cpu: precast_compiler::Cpu::parse("native")?,
            passes: self.passes,
            jobs: 1,
            ..Options::default()
        };
        Ok(precast_compiler::compile(wasm, &options)?)
    }

    /// Where the object of this kernel is put.
    pub fn object(self, kernel: &Kernel) -> PathBuf {
        workshop().join(format!("{}-{}.so", kernel.name, self.key))
    }

    /// Compiles, opens, and instantiates a kernel.
    ///
    /// # Errors
    ///
    /// If any of that fails.
    pub fn contestant(self, kernel: &Kernel) -> Result<Contestant> {
        let compiled = self.compile(kernel.wasm)?;
        let path = self.object(kernel);
        // A new file each time: the old one may still be mapped.
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, &compiled.bytes)?;
        std::fs::rename(&fresh, &path)?;
        let module = ours::open(&path)?;
        let mut store = Store::new(());
        let instance = Linker::new().instantiate(&mut store, &module)?;
        let run = instance.func::<i32, i64>(&store, "run")?;
        Ok(Contestant {
            key: self.key.to_owned(),
            code: Some(function_bytes(&compiled.bytes)?),
            place: Place::File(path),
            run: Box::new(move |n| Ok(run.call(&mut store, n)?)),
        })
    }
}

/// Bytes of the module's own functions: no stubs, no padding between them.
fn function_bytes(object: &[u8]) -> Result<u64> {
    let file = object::File::parse(object)?;
    let functions = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .filter(|symbol| {
            symbol
                .name()
                .is_ok_and(|name| !name.starts_with("precast."))
        });
    Ok(functions.map(|symbol| symbol.size()).sum())
}
