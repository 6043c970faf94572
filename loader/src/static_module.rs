//! Modules that a linker has made part of the program.
//!
//! # Safety
//!
//! This file holds unsafe code: it passes on the caller's promise about an address.
#![allow(unsafe_code, reason = "an object is found by its address")]

use std::sync::{Mutex, PoisonError};

use crate::module::Module;
use crate::object::{MappedObject, OpenError};

/// The modules that were opened, by their addresses. The code range of a text is registered once,
/// and its module stays as long as the program, as the text does.
static OPENED: Mutex<Vec<(usize, Module)>> = Mutex::new(Vec::new());

impl Module {
    /// Opens an object that `precast compile --emit obj` made and a linker has put into this
    /// program: `object` is the address of its symbol, which is `precast_object` unless it was
    /// compiled with `--symbol`.
    ///
    /// No file is opened, nothing is mapped, and no page is made executable: code and metadata stay
    /// where they are. Memories with a large initial image share one copy of it. The module is never
    /// closed; opening it again gives the same one.
    ///
    /// ```no_run
    /// unsafe extern "C" {
    ///     static precast_object: u8;
    /// }
    /// // SAFETY: made by `precast compile --emit obj`, and linked with this program.
    /// let module = unsafe { precast::Module::from_static(&raw const precast_object)? };
    /// # Ok::<(), precast::OpenError>(())
    /// ```
    ///
    /// # Safety
    ///
    /// `object` must be the symbol of an object that comes from a compiler that is trusted,
    /// unaltered, and was linked as any other object: its sections are mapped as they ask for, for
    /// as long as the program runs, and nobody writes to them. In particular it must not belong to a
    /// library that is unloaded.
    ///
    /// # Errors
    ///
    /// If it is not an object for this machine and loader, or null.
    pub unsafe fn from_static(object: *const u8) -> Result<Module, OpenError> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        let address = object.addr();
        if let Some((_, module)) = opened.iter().find(|(known, _)| *known == address) {
            return Ok(module.clone());
        }
        // SAFETY: the caller's promise.
        let module = Module::new(unsafe { MappedObject::of_program(object)? })?;
        opened.push((address, module.clone()));
        Ok(module)
    }
}
