//! Puts pieces of code in their order, and makes them refer to each other.
//!
//! Everything in a text is relative to the program counter, so that it runs wherever it is
//! mapped, shared by all processes that map it.

use crate::code::Code;
use crate::error::CompileError;
use crate::placement::{ALIGN, LINE};
use crate::reloc::{self, Field, Target};
use crate::translate::Namespace;
use crate::unwind::Unwind;
use cranelift_codegen::ir::UserExternalName;
use precast_abi::NONE;
use precast_abi::object::Arch;
use std::collections::BTreeMap;

/// Greatest size of the text: code reaches all of the object by 32-bit distances.
const MAX_SIZE: u64 = (2 << 30) - (64 << 20);

/// The text of an object: pieces of code, laid out.
pub(crate) struct Text {
    arch: Arch,
    pieces: Vec<Piece>,
    size: u32,
    /// Text offsets of the functions, by index; [`NONE`] where there is none.
    functions: Vec<u32>,
    /// Text offsets of everything else.
    others: BTreeMap<(u32, u32), u32>,
    /// Distances from the first code table to each.
    code_tables: Vec<u32>,
}

/// A piece of code in its place.
pub(crate) struct Piece {
    /// What it is.
    pub(crate) name: UserExternalName,
    /// Its text offset.
    pub(crate) offset: u32,
    /// The code.
    pub(crate) code: Code,
}

/// Addresses of what code refers to. Only their differences count.
pub(crate) struct Places {
    /// Of the text.
    pub(crate) text: u64,
    /// Of the code tables.
    pub(crate) code_tables: u64,
}

impl Text {
    /// Lays out pieces in the order in which they come. `code_tables` are the distances from
    /// the first code table to each.
    pub(crate) fn new(
        arch: Arch,
        pieces: impl IntoIterator<Item = (UserExternalName, Code)>,
        code_tables: Vec<u32>,
    ) -> Result<Text, CompileError> {
        let mut text = Text {
            arch,
            pieces: Vec::new(),
            size: 0,
            functions: Vec::new(),
            others: BTreeMap::new(),
            code_tables,
        };
        for (name, code) in pieces {
            text.append(name, code)?;
        }
        // Never empty, so that it can be mapped.
        text.size = text.size.max(ALIGN);
        Ok(text)
    }

    fn append(&mut self, name: UserExternalName, code: Code) -> Result<(), CompileError> {
        let align = u64::from(code.align.max(ALIGN));
        let first = u64::from(self.size).next_multiple_of(align);
        let mut places = (first..first + u64::from(LINE)).step_by(align as usize);
        let suits = |place: &u64| code.phases.has((place % u64::from(LINE)) as u32);
        let start = places.find(suits).unwrap_or(first);
        let end = start + code.bytes.len() as u64;
        if end > MAX_SIZE {
            return Err(CompileError::TooLarge {
                what: format!("more than {} MiB of machine code", MAX_SIZE >> 20),
            });
        }
        let offset = start as u32;
        self.size = end as u32;
        if name.namespace == Namespace::Function as u32 {
            let index = name.index as usize;
            if self.functions.len() <= index {
                self.functions.resize(index + 1, NONE);
            }
            self.functions[index] = offset;
        } else {
            self.others.insert((name.namespace, name.index), offset);
        }
        self.pieces.push(Piece { name, offset, code });
        Ok(())
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// The pieces, in the order of their places.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Text offset of a symbol; [`NONE`] where there is none.
    pub(crate) fn offset(&self, namespace: Namespace, index: u32) -> u32 {
        self.offset_of(&namespace.name(index))
    }

    /// Text offset of a symbol; [`NONE`] where there is none.
    pub(crate) fn offset_of(&self, name: &UserExternalName) -> u32 {
        let offset = if name.namespace == Namespace::Function as u32 {
            self.functions.get(name.index as usize)
        } else {
            self.others.get(&(name.namespace, name.index))
        };
        offset.copied().unwrap_or(NONE)
    }

    /// The unwind tables of the text.
    pub(crate) fn unwind(&self) -> Unwind {
        let functions: Vec<_> = self
            .pieces
            .iter()
            .map(|piece| {
                let size = piece.code.bytes.len() as u32;
                (piece.offset, size, &piece.code.frame)
            })
            .collect();
        Unwind::new(self.arch, &functions)
    }

    /// Appends the text to `out`, made for these places.
    pub(crate) fn write(&self, out: &mut Vec<u8>, places: &Places) -> Result<(), CompileError> {
        let start = out.len();
        let filler = reloc::filler(self.arch);
        for piece in &self.pieces {
            out.resize(start + piece.offset as usize, filler);
            out.extend_from_slice(&piece.code.bytes);
            let bytes = &mut out[start + piece.offset as usize..];
            self.relocate(piece, bytes, places)?;
        }
        out.resize(start + self.size as usize, filler);
        Ok(())
    }

    fn relocate(
        &self,
        piece: &Piece,
        bytes: &mut [u8],
        places: &Places,
    ) -> Result<(), CompileError> {
        for reloc in &piece.code.relocs {
            let target = match &reloc.target {
                Target::Local(offset) => places.text + u64::from(piece.offset + offset),
                Target::Symbol(name) => self.address(name, places)?,
            };
            let target = target.wrapping_add_signed(i64::from(reloc.addend));
            let at = places.text + u64::from(piece.offset + reloc.offset);
            let bytes = &mut bytes[reloc.offset as usize..];
            reloc.field.write(bytes, at, target)?;
        }
        Ok(())
    }

    /// The fields that hold distances to code tables: how, text offset, and what is to be added to
    /// the distance from the field to the first of them.
    pub(crate) fn code_table_fields(&self) -> impl Iterator<Item = (Field, u32, i64)> {
        self.pieces.iter().flat_map(|piece| {
            piece.code.relocs.iter().filter_map(|reloc| {
                let Target::Symbol(name) = &reloc.target else {
                    return None;
                };
                if name.namespace != Namespace::CodeTable as u32 {
                    return None;
                }
                let table = *self.code_tables.get(name.index as usize)?;
                Some((
                    reloc.field,
                    piece.offset + reloc.offset,
                    i64::from(table) + i64::from(reloc.addend),
                ))
            })
        })
    }

    fn address(&self, name: &UserExternalName, places: &Places) -> Result<u64, CompileError> {
        let missing = || CompileError::Internal {
            message: format!("code refers to {name}, which nothing defines"),
        };
        if name.namespace == Namespace::CodeTable as u32 {
            let table = self.code_tables.get(name.index as usize);
            return Ok(places.code_tables + u64::from(*table.ok_or_else(missing)?));
        }
        let offset = self.offset_of(name);
        if offset == NONE {
            return Err(missing());
        }
        Ok(places.text + u64::from(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Phases;
    use crate::reloc::{Field, Reloc};
    use crate::unwind::FrameCode;

    /// Code of some size with one field at offset 4.
    fn code(size: usize, target: Target, addend: i32) -> Code {
        Code {
            bytes: vec![0x90; size].into(),
            align: 1,
            phases: Phases::ALL,
            relocs: [Reloc {
                offset: 4,
                field: Field::Bytes4,
                target,
                addend,
            }]
            .into(),
            traps: [].into(),
            address_map: [].into(),
            frame: FrameCode::default(),
            exception_sites: Box::default(),
            stack_maps: Box::default(),
        }
    }

    fn field(bytes: &[u8], at: usize) -> i32 {
        i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn function(index: u32) -> UserExternalName {
        Namespace::Function.name(index)
    }

    const PLACES: Places = Places {
        text: 0x5000,
        code_tables: 0x1000,
    };

    #[test]
    fn fields_hold_the_distance_to_their_targets() {
        let call = |index| code(20, Target::Symbol(function(index)), -4);
        let table = Target::Symbol(Namespace::CodeTable.name(1));
        let pieces = [
            (function(3), call(4)),
            (function(4), call(3)),
            (Namespace::Init.name(0), code(12, table, -4)),
            (Namespace::Init.name(1), code(12, Target::Local(8), -4)),
        ];
        let text = Text::new(Arch::X86_64, pieces, vec![0, 0x40, 0x80]).unwrap();
        let mut bytes = vec![0xaa; 3];
        text.write(&mut bytes, &PLACES).unwrap();
        let bytes = &bytes[3..];
        assert_eq!(bytes.len(), text.size() as usize);
        assert_eq!(text.offset(Namespace::Function, 4), 32);
        // A call's distance counts from the end of its field.
        assert_eq!(field(bytes, 4), 32 - 8);
        assert_eq!(field(bytes, 32 + 4), -(32 + 8));
        assert_eq!(field(bytes, 64 + 4), 0x1040 - (0x5000 + 64 + 8));
        assert_eq!(field(bytes, 80 + 4), 0);
        assert_eq!(bytes[20..32], [reloc::filler(Arch::X86_64); 12]);
    }

    #[test]
    fn a_symbol_that_nothing_defines_is_an_error() {
        let pieces = [(function(0), code(8, Target::Symbol(function(1)), -4))];
        let text = Text::new(Arch::X86_64, pieces, vec![0]).unwrap();
        assert_eq!(text.offset(Namespace::Function, 1), NONE);
        let error = text.write(&mut Vec::new(), &PLACES);
        assert!(matches!(error, Err(CompileError::Internal { .. })));
    }

    #[test]
    fn what_is_out_of_reach_is_an_error() {
        let table = Target::Symbol(Namespace::CodeTable.name(0));
        let text = Text::new(Arch::X86_64, [(function(0), code(8, table, -4))], vec![0]).unwrap();
        let places = Places {
            text: 0,
            code_tables: 3 << 30,
        };
        let error = text.write(&mut Vec::new(), &places);
        assert!(matches!(error, Err(CompileError::TooLarge { .. })));
    }

    #[test]
    fn a_text_beyond_the_reach_of_code_is_an_error() {
        let mut pieces = Vec::new();
        for index in 0..3 {
            let mut code = code(8, Target::Local(0), -4);
            code.align = 1 << 30;
            pieces.push((function(index), code));
        }
        let error = Text::new(Arch::X86_64, pieces, vec![0]);
        assert!(matches!(error, Err(CompileError::TooLarge { .. })));
    }

    #[test]
    fn an_empty_text_can_still_be_mapped() {
        let text = Text::new(Arch::X86_64, [], vec![0]).unwrap();
        let mut bytes = Vec::new();
        text.write(&mut bytes, &PLACES).unwrap();
        assert_eq!(bytes, [reloc::filler(Arch::X86_64); ALIGN as usize]);
    }
}
