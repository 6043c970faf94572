//! Running a module: from the cache, or compiled into it.

use std::path::Path;

use precast::Module;
use precast_compiler::{Cpu, Options};

use crate::cache::{Cache, Key};
use crate::failure::{Failure, complain};
use crate::{compile, input};

/// The module in `bytes`, which were read from `path`, compiled for this machine.
pub(crate) fn module(path: &Path, bytes: Vec<u8>) -> Result<Module, Failure> {
    let cpu = Cpu::parse("native").map_err(|error| Failure::at(path, error))?;
    let options = Options {
        cpu,
        ..Options::default()
    };
    let cache = Cache::open()
        .map_err(|problem| complain(&format!("warning: running without the cache: {problem}")))
        .ok();
    let key = Key::new(&bytes, &format!("{options:?}"));
    if let Some(found) = cache.as_ref().and_then(|cache| open(&cache.find(&key)?)) {
        return Ok(found);
    }
    let wasm = input::to_wasm(path, bytes)?;
    let object = compile::compile_bytes(&wasm, &options, false)
        .map_err(|error| Failure::at(path, error))?
        .bytes;
    if let Some(cache) = cache {
        match cache.store(&key, &object) {
            Ok(entry) => return open(&entry).map_or_else(|| load(path, &object), Ok),
            Err(error) => {
                let reason = crate::failure::reason(&error);
                complain(&format!("warning: cannot write to the cache: {reason}"));
            }
        }
    }
    load(path, &object)
}

/// An entry of the cache; one that cannot be opened counts as absent.
fn open(entry: &Path) -> Option<Module> {
    // SAFETY: the cache hands out whole entries only, of a directory that no one else can write
    // to: it is what our compiler made. Entries are replaced by rename.
    unsafe { Module::open(entry) }.ok()
}

/// An object that was compiled a moment ago.
fn load(path: &Path, object: &[u8]) -> Result<Module, Failure> {
    // SAFETY: these bytes come from our own compiler.
    unsafe { Module::from_bytes(object) }.map_err(|error| Failure::at(path, error))
}
