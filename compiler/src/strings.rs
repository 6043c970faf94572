//! String tables: that of the metadata and of the exported symbols, and that of all symbols.

use crate::error::CompileError;
use precast_abi::object::Span;
use std::collections::HashMap;

/// A string table in ELF's sense: each string ends with a zero byte, and offset 0 is the empty
/// string.
pub(crate) struct Strings<'a> {
    bytes: Vec<u8>,
    known: HashMap<&'a str, u32>,
}

/// Greatest size in bytes.
const MAX_SIZE: usize = 1 << 30;

impl<'a> Strings<'a> {
    pub(crate) fn new() -> Self {
        Strings {
            bytes: vec![0],
            known: HashMap::from([("", 0)]),
        }
    }

    /// The table.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The table, for good.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How long the table is so far.
    fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// The place of `string` in the table, relative to its start. Equal strings share it.
    pub(crate) fn intern(&mut self, string: &'a str) -> Result<Span, CompileError> {
        let len = string.len() as u32;
        if let Some(&offset) = self.known.get(string) {
            return Ok(Span { offset, len });
        }
        let offset = self.append(string)?;
        self.known.insert(string, offset);
        Ok(Span { offset, len })
    }

    /// Adds a string that nothing else is equal to.
    pub(crate) fn append(&mut self, string: &str) -> Result<u32, CompileError> {
        let offset = self.len();
        if self.bytes.len() + string.len() >= MAX_SIZE {
            let what = format!("names exceed {} MiB", MAX_SIZE >> 20);
            return Err(CompileError::TooLarge { what });
        }
        self.bytes.extend_from_slice(string.as_bytes());
        self.bytes.push(0);
        Ok(offset)
    }

    /// The offset of `name` as the name of a symbol: shared with the string itself, unless it
    /// contains zero bytes, which a symbol cannot have and which are written as `\0` there.
    pub(crate) fn symbol(&mut self, name: &'a str) -> Result<u32, CompileError> {
        if name.contains('\0') {
            return self.append(&name.replace('\0', "\\0"));
        }
        Ok(self.intern(name)?.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_their_place() {
        let mut strings = Strings::new();
        let first = strings.intern("memory").unwrap();
        strings.intern("main").unwrap();
        assert_eq!(strings.intern("memory").unwrap(), first);
        assert_eq!(strings.symbol("memory").unwrap(), first.offset);
        assert_eq!(strings.bytes(), b"\0memory\0main\0");
        assert_eq!(strings.intern("").unwrap(), Span::default());
    }

    #[test]
    fn a_zero_byte_in_a_symbol_is_escaped() {
        let mut strings = Strings::new();
        let exact = strings.intern("a\0b").unwrap();
        let symbol = strings.symbol("a\0b").unwrap();
        assert_eq!(exact, Span { offset: 1, len: 3 });
        assert_eq!(&strings.bytes()[symbol as usize..], b"a\\0b\0");
    }
}
