//! .
use super::ModuleInfo;
use crate::error::CompileError;

impl<'a> ModuleInfo<'a> {
    /// Parses, validates and analyses a module. Runs in the rayon pool it is called in.
    pub(crate) fn read(wasm: &'a [u8]) -> Result<ModuleInfo<'a>, CompileError> {
        let _ = wasm;
        Err(CompileError::Internal {
            message: String::new(),
        })
    }
}
