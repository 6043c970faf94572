//! Questions that a fault or a call by name asks of the metadata, answered by binary search.
//!
//! The signal handler asks some of them: nothing here allocates, locks or panics.

use std::mem::offset_of;

use super::error::{Damage, Part};
use super::metadata::Metadata;
use precast_abi::addrmap::{self, Chain};
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

/// Iterator over a location and the calls around it.
struct Locations {
    /// The function whose code it is.
    function: u32,
    chain: Chain,
    /// How many functions are left: the inlined ones, and `function`.
    next: Option<usize>,
    /// Where the next one is being executed.
    offset: Option<u32>,
}

impl Iterator for Locations {
    type Item = CodeLocation;

    fn next(&mut self) -> Option<CodeLocation> {
        let depth = self.next?.checked_sub(1)?;
        self.next = Some(depth);
        let site = depth.checked_sub(1).and_then(|n| self.chain.sites().get(n));
        let wasm_offset = self.offset;
        self.offset = site.map(|site| site.call);
        Some(CodeLocation {
            function: site.map_or(self.function, |site| site.function),
            wasm_offset,
        })
    }
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

    /// The number of the exception site with this return address, as a text offset.
    pub fn exception_site(&self, return_offset: u32) -> Option<u32> {
        let sites = self.header().exception_sites;
        let index = self.search(sites, |index| {
            self.record(sites, index, Part::ExceptionSite)
                .map(|site: u32| site.cmp(&return_offset))
        });
        index.ok()?.ok()
    }

    /// The defined function whose code holds this text offset.
    pub fn function_at(&self, text_offset: u32) -> Option<(u32, FunctionRecord)> {
        let header = self.header();
        let first = header.imported_functions;
        let defined = Span {
            offset: header.functions.offset + first * size_of::<FunctionRecord>() as u32,
            len: header.functions.len - first,
        };
        // The last one that starts here or before: those without code start where the next one
        // with code does.
        let next = self.search(defined, |index| {
            let at = offset_of!(FunctionRecord, text_offset);
            let start: u32 = self.field::<FunctionRecord, _>(defined, index, at, Part::Function)?;
            Ok(match start <= text_offset {
                true => std::cmp::Ordering::Less,
                false => std::cmp::Ordering::Greater,
            })
        });
        let (Ok(next) | Err(next)) = next.ok()?;
        let index = next.checked_sub(1)?;
        let function = self.function(first + index).ok()?;
        (text_offset - function.text_offset < function.text_size)
            .then_some((first + index, function))
    }

    /// The function and the wasm instruction that the code at this text offset comes from.
    ///
    /// For a return address, ask about the byte before it: the call itself.
    pub fn location_at(&self, text_offset: u32) -> Option<CodeLocation> {
        self.locations_at(text_offset).next()
    }

    /// The same, followed by the calls that were replaced by that code, the innermost first: what
    /// would be on the stack if nothing had been inlined. There are none outside of functions.
    pub fn locations_at(&self, text_offset: u32) -> impl Iterator<Item = CodeLocation> + use<> {
        let found = self.function_at(text_offset).map(|(index, function)| {
            let map = self
                .bytes(function.addr_map, Part::AddressMap, index)
                .unwrap_or(&[]);
            let place = addrmap::lookup(map, text_offset - function.text_offset);
            let (offset, chain) = place.map_or((None, Chain::default()), |(offset, chain)| {
                (Some(offset), chain)
            });
            Locations {
                function: index,
                chain,
                next: Some(chain.sites().len() + 1),
                offset,
            }
        });
        found.into_iter().flatten()
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
