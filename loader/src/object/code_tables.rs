//! Checking code tables: the read-only arrays that `call_indirect` jumps through.
//!
//! An array has one entry per element of its table and one more, for indices past the end. Each
//! entry is the distance from the start of the array to what it stands for: a function, an import
//! thunk, or the stub of the trap that calling this element is. Only the entry past the end goes
//! to the stub for undefined elements, so arrays that follow each other can be told apart.

use super::error::{Damage, Fault, Part};
use super::header::require;
use super::verify::Check;
use precast_abi::NONE;
use precast_abi::object::{TableRecord, TypeRecord};
use precast_abi::trap::TrapCode;
use precast_abi::types::ValType;

/// What an entry leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A function of the module's own, with this type index.
    Function(u32),
    /// Code that is no function's: an import thunk.
    Thunk,
    /// A trap.
    Trap,
    /// The trap that ends an array.
    End,
}

impl Check<'_> {
    /// Every entry leads to the start of a function, to a trap stub, or to code outside of
    /// functions (thunks, which have no records); all functions in an array are of one type; each
    /// array is as long as an immutable table.
    pub(super) fn code_tables(&mut self) {
        let tables = self.metadata.code_tables();
        let Some(tables) = self.note(tables) else {
            return;
        };
        let (entries, rest) = tables.as_chunks::<4>();
        self.note(require(
            rest.is_empty(),
            Damage::of(Part::CodeTables, Fault::BadSize),
        ));
        let entries: Vec<i32> = entries
            .iter()
            .map(|entry| i32::from_le_bytes(*entry))
            .collect();
        let mut start = 0;
        while start < entries.len() {
            match self.array(&entries, start) {
                Ok(end) => start = end,
                Err(damage) => {
                    self.note::<()>(Err(damage));
                    return;
                }
            }
        }
        self.report.code_table_entries += entries.len() as u64;
    }

    /// Checks the array that starts at this entry; says where the next one starts.
    fn array(&self, entries: &[i32], start: usize) -> Result<usize, Damage> {
        let mut ty: Option<u32> = None;
        for (index, &entry) in (start..).zip(&entries[start..]) {
            let damage = |fault| Damage::at(Part::CodeTable, index as u32, fault);
            match self
                .target(start, entry)
                .ok_or(damage(Fault::OutsideText))?
            {
                Target::End => {
                    let len = (index - start) as u64;
                    require(self.is_table_len(len), damage(Fault::BadSize))?;
                    return Ok(index + 1);
                }
                Target::Function(other) => {
                    let same = ty.is_none_or(|ty| self.same_type(ty, other));
                    require(same, damage(Fault::BadType))?;
                    ty = Some(other);
                }
                Target::Thunk | Target::Trap => {}
            }
        }
        Err(Damage::of(Part::CodeTables, Fault::Missing))
    }

    fn target(&self, start: usize, entry: i32) -> Option<Target> {
        let header = self.metadata.header();
        let array = self.metadata_address + u64::from(header.code_tables.offset) + 4 * start as u64;
        let address = array.checked_add_signed(entry.into())?;
        let offset = address
            .checked_sub(header.text.address)
            .filter(|at| *at < header.text.size)?;
        let offset = u32::try_from(offset)
            .ok()
            .filter(|offset| *offset != NONE)?;
        if let Some(code) = header.trap_stubs.iter().position(|stub| *stub == offset) {
            let is_end = code == TrapCode::UndefinedElement as usize;
            return Some(if is_end { Target::End } else { Target::Trap });
        }
        match self.metadata.function_at(offset) {
            Some((_, function)) if function.text_offset == offset => {
                Some(Target::Function(function.type_index))
            }
            Some(_) => None,
            None => (header.imported_functions > 0).then_some(Target::Thunk),
        }
    }

    fn is_table_len(&self, len: u64) -> bool {
        (0..self.metadata.header().tables.len)
            .filter_map(|index| self.metadata.table(index).ok())
            .any(|table| table.flags & TableRecord::IMMUTABLE != 0 && table.min == len)
    }

    /// Whether two types have equal parameters and results.
    fn same_type(&self, a: u32, b: u32) -> bool {
        let list = |ty: &TypeRecord| -> Option<Vec<ValType>> {
            self.metadata
                .params(ty)
                .chain(self.metadata.results(ty))
                .collect::<Result<_, _>>()
                .ok()
        };
        let (Ok(left), Ok(right)) = (self.metadata.ty(a), self.metadata.ty(b)) else {
            return false;
        };
        a == b || left.params == right.params && list(&left) == list(&right)
    }
}
