//! Object files: what goes into one, whatever its format, and the formats.
//!
//! A format places the parts in a file, tells the metadata where text and image have come to
//! lie, has the text relocated for its place, and describes everything to the system's tools.

mod elf;
mod elf_relocatable;
mod macho;
mod macho_relocatable;
mod macho_signature;

use crate::error::CompileError;
use crate::link::Text;
use crate::metadata::Metadata;
use crate::options::{Emit, Options};
use crate::unwind::Unwind;
use precast_abi::object::Os;
use std::ops::Range;

/// Greatest distance between two things in an object, so that code can reach all others.
const MAX_SIZE: u64 = (2 << 30) - (64 << 20);

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
    /// The exported functions; their names are in the string table of the metadata.
    pub(crate) exported: Vec<Symbol>,
    /// Names of all pieces of the text.
    pub(crate) names: SymbolTable,
}

/// Symbols, and the string table that their names are in.
pub(crate) struct SymbolTable {
    /// In the order of their places.
    pub(crate) symbols: Vec<Symbol>,
    /// The string table.
    pub(crate) strings: Vec<u8>,
}

/// The string at an offset of a string table, without the zero byte at its end.
fn string_at(strings: &[u8], offset: u32) -> &[u8] {
    let rest = strings.get(offset as usize..).unwrap_or_default();
    rest.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Writes the parts as a file of the kind that the options ask for.
pub(crate) fn write(parts: Parts<'_>, options: &Options) -> Result<Vec<u8>, CompileError> {
    match (options.target.os(), options.emit) {
        (Os::Linux, Emit::Object) => elf_relocatable::write_relocatable(parts, options),
        (Os::Linux, _) => elf::write_shared(parts, options.target),
        (Os::Macos, Emit::Object) => macho_relocatable::write_relocatable(parts, options),
        (Os::Macos, _) => macho::write_shared(parts, options.target),
    }
}

/// Hands out places in a file, one after the other.
struct Cursor(u64);

impl Cursor {
    fn take(&mut self, size: u64, align: u64) -> Range<u64> {
        let start = self.0.next_multiple_of(align);
        self.0 = start + size;
        start..self.0
    }
}

fn pad_to(out: &mut Vec<u8>, place: u64) {
    debug_assert!(out.len() as u64 <= place);
    out.resize(place as usize, 0);
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
