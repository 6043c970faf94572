//! Wasmtime, as it comes and with what a goal is set against.

use wasmtime::{Config, Engine, Inlining, Instance, Module, Store};

use super::contestant::{Contestant, Place, key};
use crate::Result;
use crate::kernels::Kernel;

/// One setting of Wasmtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Everything as it comes.
    Default,
    /// Functions are inlined, within a module too.
    Inlining,
    /// Code looks at the epoch, so that it can be stopped.
    Epochs,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::Inlining, Self::Epochs];

    /// The contestant's key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Default => key::WASMTIME,
            Self::Inlining => key::INLINING,
            Self::Epochs => key::EPOCHS,
        }
    }

    /// An engine that compiles on one thread.
    ///
    /// # Errors
    ///
    /// If the settings do not fit together.
    pub fn engine(self) -> Result<Engine> {
        let mut config = Config::new();
        config.parallel_compilation(false);
        match self {
            Self::Default => {}
            Self::Inlining => drop(config.compiler_inlining(Inlining::Yes)),
            Self::Epochs => drop(config.epoch_interruption(true)),
        }
        Ok(Engine::new(&config)?)
    }

    /// Compiles and instantiates a kernel.
    ///
    /// # Errors
    ///
    /// If either fails.
    pub fn contestant(self, kernel: &Kernel) -> Result<Contestant> {
        let engine = self.engine()?;
        let module = Module::new(&engine, kernel.wasm)?;
        let mut store = Store::new(&engine, ());
        if self == Self::Epochs {
            store.set_epoch_deadline(u64::MAX / 2);
        }
        let instance = Instance::new(&mut store, &module, &[])?;
        let run = instance.get_typed_func::<i32, i64>(&mut store, "run")?;
        let functions: Vec<(String, usize, usize)> = module
            .functions()
            .map(|function| {
                let number = format!("function[{}]", function.index.as_u32());
                let name = function.name.clone().unwrap_or(number);
                (name, function.offset, function.len)
            })
            .collect();
        let bytes: usize = functions.iter().map(|(.., size)| size).sum();
        Ok(Contestant {
            key: self.key().to_owned(),
            code: Some(bytes as u64),
            place: Place::Memory {
                at: module.text().as_ptr() as usize,
                text: module.text().to_vec(),
                functions,
            },
            run: Box::new(move |n| Ok(run.call(&mut store, n)?)),
        })
    }
}
