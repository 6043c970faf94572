//! Questions that a fault or a call by name asks of the metadata, answered by binary search.
//!
//! The signal handler asks some of them: nothing here allocates, locks or panics.

use super::error::{Damage, Part};
use super::metadata::Metadata;
use precast_abi::addrmap;
use precast_abi::object::{ExportRecord, FunctionRecord, Span};
use precast_abi::trap::TrapCode;

/// Where code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLocation {
    /// Index of the function.
    pub function: u32,
    /// Bytes from the start of the module file, where the address map knows.
    pub wasm_offset: Option<u32>,
}

impl<'a> Metadata<'a> {
    /// The trap that a fault of the instruction at this text offset means; `None` where it means
    /// none.
    pub fn trap_at(&self, text_offset: u32) -> Option<TrapCode> {
        let header = self.header();
        let index = self.search(header.trap_offsets, |index| {
            self.record(header.trap_offsets, index, Part::TrapSite)
                .map(|site: u32| site.cmp(&text_offset))
        });
        let code = self
            .record(header.trap_codes, index.ok()?.ok()?, Part::TrapSite)
            .ok()?;
        TrapCode::from_u8(code)
    }

    /// The defined function whose code holds this text offset.
    pub fn function_at(&self, text_offset: u32) -> Option<(u32, FunctionRecord)> {
        let header = self.header();
        let first = header.imported_functions;
        let defined = Span {
            offset: header.functions.offset + first * size_of::<FunctionRecord>() as u32,
            len: header.functions.len - first,
        };
        let index = self.search(defined, |index| {
            self.record(defined, index, Part::Function)
                .map(|function: FunctionRecord| function.text_offset.cmp(&text_offset))
        });
        let index = match index.ok()? {
            Ok(exact) => exact,
            Err(next) => next.checked_sub(1)?,
        };
        let function = self.function(first + index).ok()?;
        (text_offset - function.text_offset < function.text_size)
            .then_some((first + index, function))
    }

    /// The function and the wasm instruction that the code at this text offset comes from.
    ///
    /// For a return address, ask about the byte before it: the call itself.
    pub fn location_at(&self, text_offset: u32) -> Option<CodeLocation> {
        let (index, function) = self.function_at(text_offset)?;
        let map = self
            .bytes(function.addr_map, Part::AddressMap, index)
            .unwrap_or(&[]);
        let wasm_offset = addrmap::lookup(map, text_offset - function.text_offset);
        Some(CodeLocation {
            function: index,
            wasm_offset,
        })
    }

    /// The export with this name.
    pub fn find_export(&self, name: &str) -> Result<Option<ExportRecord>, Damage> {
        let index = self.search(self.header().exports, |index| {
            let export = self.export(index)?;
            Ok(self
                .bytes(export.name, Part::Export, index)?
                .cmp(name.as_bytes()))
        })?;
        index.ok().map(|index| self.export(index)).transpose()
    }

    /// Binary search as of slices: the index of an equal record, or where it would stand.
    fn search(
        &self,
        list: Span,
        compare: impl Fn(u32) -> Result<std::cmp::Ordering, Damage>,
    ) -> Result<Result<u32, u32>, Damage> {
        let (mut low, mut high) = (0, list.len);
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(middle)? {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Ok(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(Err(low))
    }
}
