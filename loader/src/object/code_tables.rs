//! Checking code tables: the read-only arrays that `call_indirect` jumps through.
//!
//! An array has one entry per element of its table and one more, for indices past the end. Each
//! entry is the distance from the start of the array to what it stands for: a function, an import
//! thunk, or the stub of the trap that calling this element is. Only the entry past the end goes
//! to the stub for undefined elements. An array that calls of several types share has a type
//! number for each entry behind them.

use super::error::{Damage, Fault, Part};
use super::header::require;
use super::verify::Check;
use precast_abi::NONE;
use precast_abi::object::{CodeTableRecord, TypeRecord};
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
    /// The trap of an index past the end.
    End,
}

impl Check<'_> {
    /// The arrays fill their room without gaps, in their order. Every entry leads to the start of
    /// a function, to a trap stub, or to code outside of functions (thunks, which have no
    /// records); functions are of the array's type, or of the type that their number says.
    pub(super) fn code_tables(&mut self) {
        let header = self.metadata.header();
        let Some(bytes) = self.note(self.metadata.code_tables()) else {
            return;
        };
        let mut end = 0;
        for index in 0..header.code_table_records.len {
            let Some((array, entries)) = self.note(self.metadata.code_table(index)) else {
                return;
            };
            let follows = u64::from(array.offset) == end;
            self.note(require(
                follows,
                Damage::at(Part::CodeTable, index, Fault::Unordered),
            ));
            end = u64::from(array.offset)
                + CodeTableRecord::size(entries.into(), array.type_index == NONE);
            let bytes = &bytes[array.offset as usize..];
            self.note(self.array(index, &array, entries, bytes));
            self.report.code_table_entries += u64::from(entries);
        }
        self.note(require(
            end == u64::from(header.code_tables.len),
            Damage::of(Part::CodeTables, Fault::BadSize),
        ));
    }

    /// Checks an array of so many entries at the start of `bytes`.
    fn array(
        &self,
        index: u32,
        array: &CodeTableRecord,
        entries: u32,
        bytes: &[u8],
    ) -> Result<(), Damage> {
        let damage = |fault| Damage::at(Part::CodeTable, index, fault);
        let (targets, rest) = bytes.split_at(4 * entries as usize);
        let (targets, _) = targets.as_chunks::<4>();
        let (numbers, _) = rest.as_chunks::<2>();
        for (position, target) in (1..).zip(targets) {
            let target = self
                .target(array, i32::from_le_bytes(*target))
                .ok_or(damage(Fault::OutsideText))?;
            let is_end = position == entries;
            require((target == Target::End) == is_end, damage(Fault::BadValue))?;
            let ty = match array.type_index {
                NONE => {
                    let number = numbers.get(position as usize - 1).copied();
                    let number = u16::from_le_bytes(number.unwrap_or_default());
                    u32::from(number).checked_sub(1)
                }
                ty => Some(ty),
            };
            let fits = match (target, ty) {
                (Target::Function(found), Some(ty)) => self.same_type(found, ty),
                (Target::Thunk, ty) => ty.is_some_and(|ty| self.metadata.ty(ty).is_ok()),
                (Target::Trap | Target::End, ty) => array.type_index != NONE || ty.is_none(),
                (Target::Function(_), None) => false,
            };
            require(fits, damage(Fault::BadType))?;
        }
        Ok(())
    }

    fn target(&self, array: &CodeTableRecord, entry: i32) -> Option<Target> {
        let header = self.metadata.header();
        let start = u64::from(header.code_tables.offset) + u64::from(array.offset);
        let address = (self.metadata_address + start).checked_add_signed(entry.into())?;
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
