//! Object files: what goes into one, whatever its format, and the formats.
//!
//! A format places the parts in a file, tells the metadata where text and image have come to
//! lie, has the text relocated for its place, and describes everything to the system's tools.

mod elf;
mod elf_relocatable;

use crate::error::CompileError;
use crate::link::Text;
use crate::metadata::Metadata;
use crate::options::{Emit, Options};
use crate::unwind::Unwind;

/// What goes into an object file.
pub(crate) struct Parts<'a> {
    /// The metadata section, but for the places of text and image.
    pub(crate) metadata: Metadata,
    /// Machine code, laid out but not yet relocated.
    pub(crate) text: &'a Text,
    /// How to unwind it.
    pub(crate) unwind: Unwind,
    /// Initial contents of memories.
    pub(crate) image: &'a [u8],
    /// Names of pieces of the text.
    pub(crate) symbols: Symbols,
}

impl Parts<'_> {
    /// The name at an offset of the string table, which begins in the metadata and goes on in
    /// the symbols' own.
    fn symbol_name(&self, offset: u32) -> &[u8] {
        let strings = self.metadata.strings();
        let offset = offset as usize;
        let rest = match offset.checked_sub(strings.len()) {
            None => &strings[offset..],
            Some(offset) => self.symbols.more_strings.get(offset..).unwrap_or_default(),
        };
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

/// Writes the parts as a file of the kind that the options ask for.
pub(crate) fn write(parts: Parts<'_>, options: &Options) -> Result<Vec<u8>, CompileError> {
    match options.emit {
        Emit::Object => elf_relocatable::write_relocatable(parts, options.target),
        _ => elf::write_shared(parts, options.target),
    }
}

/// The symbols of an object.
#[derive(Default)]
pub(crate) struct Symbols {
    /// Every function and stub, in the order of their places.
    pub(crate) all: Vec<Symbol>,
    /// The exported functions.
    pub(crate) exported: Vec<Symbol>,
    /// The rest of the string table: names that are not in the metadata.
    pub(crate) more_strings: Vec<u8>,
}

/// A name for a piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// Offset of its name in the string table.
    pub(crate) name: u32,
    /// Text offset.
    pub(crate) offset: u32,
    /// Size in bytes.
    pub(crate) size: u32,
}
