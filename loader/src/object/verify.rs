//! The full check of an object: every record, string, offset and order, where opening checks the
//! header alone. `precast inspect --verify` is made of this and of a look at the machine code.

use super::error::{Damage, Fault, Part};
use super::header::require;
use super::metadata::Metadata;
use super::regions;
use super::view::ObjectView;
use precast_abi::NONE;
use precast_abi::addrmap;
use precast_abi::object::{ExternKind, FunctionRecord, Span};
use precast_abi::trap::TrapCode;
use std::ops::Range;

/// What [`ObjectView::verify`] has looked at and found sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Records of all kinds.
    pub records: u64,
    /// Entries of address maps.
    pub address_map_entries: u64,
    /// Instructions that may trap.
    pub trap_sites: u64,
    /// Regions of instance data.
    pub regions: u64,
    /// Entries of code tables.
    pub code_table_entries: u64,
}

/// Findings beyond this many are not collected: a damaged object has one cause, not thousands.
const MAX_FINDINGS: usize = 100;

impl ObjectView<'_> {
    /// Checks every record of the metadata, and how they fit together. Takes time in proportion
    /// to the size of the metadata.
    ///
    /// # Errors
    ///
    /// What is wrong, in the order of the checks; at most a hundred findings.
    pub fn verify(&self) -> Result<Report, Vec<Damage>> {
        let mut check = Check {
            metadata: self.metadata(),
            metadata_address: self.metadata_address(),
            report: Report::default(),
            findings: Vec::new(),
        };
        check.strings();
        check.types();
        check.functions();
        check.func_refs();
        check.entry_points();
        check.tables_memories_globals();
        check.imports();
        check.exports();
        check.segments();
        check.image_runs();
        check.trap_sites();
        check.exceptions();
        check.stack_maps();
        check.regions();
        check.code_tables();
        if check.findings.is_empty() {
            Ok(check.report)
        } else {
            Err(check.findings)
        }
    }
}

pub(super) struct Check<'a> {
    pub(super) metadata: Metadata<'a>,
    /// Address of the metadata, as the file counts.
    pub(super) metadata_address: u64,
    pub(super) report: Report,
    pub(super) findings: Vec<Damage>,
}

impl<'a> Check<'a> {
    /// Notes what went wrong; `Some` where nothing did.
    pub(super) fn note<T>(&mut self, result: Result<T, Damage>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(damage) => {
                if self.findings.len() < MAX_FINDINGS && self.findings.last() != Some(&damage) {
                    self.findings.push(damage);
                }
                None
            }
        }
    }

    /// Looks at each record of a list; stops where there are enough findings.
    fn each(&mut self, list: Span, look: impl Fn(Metadata<'a>, u32) -> Result<(), Damage>) {
        self.report.records += u64::from(list.len);
        for index in 0..list.len {
            self.note(look(self.metadata, index));
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
        }
    }

    fn strings(&mut self) {
        self.note(self.metadata.module_name());
        self.note(self.metadata.producer());
        self.note(self.metadata.globals_image());
        self.each(self.metadata.header().customs, |metadata, index| {
            metadata.custom(index).map(drop)
        });
    }

    fn types(&mut self) {
        let header = self.metadata.header();
        self.each(header.val_types, |metadata, index| {
            metadata.val_type(index).map(drop)
        });
        self.each(header.types, |metadata, index| metadata.ty(index).map(drop));
        self.each(header.sub_types, |metadata, index| {
            let (sub, _) = metadata.sub_type(index)?;
            metadata.fields(&sub).try_for_each(|field| field.map(drop))
        });
    }

    /// Calls with stack maps ascend, and each map tells of whole words of its frame.
    fn stack_maps(&mut self) {
        let sites = self.metadata.header().stack_map_sites;
        let mut last = None;
        for index in 0..sites.len {
            let found = self.stack_map(index, last);
            last = self.note(found).or(last);
            self.report.records += 1;
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
        }
    }

    /// The return address of the call with the stack map after `last`.
    fn stack_map(&self, index: u32, last: Option<u32>) -> Result<u32, Damage> {
        let damage = |fault| Damage::at(Part::StackMaps, index, fault);
        let sites = self.metadata.header().stack_map_sites;
        let site: u32 = self.metadata.record(sites, index, Part::StackMaps)?;
        require(
            last.is_none_or(|last| last < site),
            damage(Fault::Unordered),
        )?;
        let (size, words) = self
            .metadata
            .stack_map(site)
            .ok_or(damage(Fault::OutOfBounds))?;
        let inside = |word: u32| word.is_multiple_of(8) && word < size;
        let words: Vec<u32> = words.collect();
        require(words.into_iter().all(inside), damage(Fault::BadValue))?;
        Ok(site)
    }

    /// Each function's record and name; defined ones stand in the order of their code, which does
    /// not overlap; their address maps describe it.
    fn functions(&mut self) {
        let header = self.metadata.header();
        self.report.records += u64::from(header.functions.len);
        let mut end = 0;
        for index in 0..header.functions.len {
            let Some(function) = self.note(self.metadata.function(index)) else {
                continue;
            };
            self.note(self.metadata.function_name(index));
            if index < header.imported_functions {
                continue;
            }
            let ordered = function.text_offset >= end;
            self.note(require(
                ordered,
                Damage::at(Part::Function, index, Fault::Unordered),
            ));
            end = function.text_offset + function.text_size;
            self.address_map(index, &function);
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
        }
    }

    /// The list names each function that has a record in the instance data, in their order.
    fn func_refs(&mut self) {
        let metadata = self.metadata;
        let header = metadata.header();
        self.report.records += u64::from(header.func_refs.len);
        let mut next = 0;
        for index in 0..header.functions.len {
            let Ok(function) = metadata.function(index) else {
                continue;
            };
            if function.func_ref == NONE {
                continue;
            }
            let listed = metadata.func_ref(next).map(|(listed, _)| listed);
            let Some(listed) = self.note(listed) else {
                return;
            };
            let same = listed == index;
            self.note(require(
                same,
                Damage::at(Part::FuncRef, next, Fault::Contradiction),
            ));
            next += 1;
        }
        self.note(require(
            next == header.func_refs.len,
            Damage::of(Part::FuncRefs, Fault::BadCount),
        ));
    }

    fn address_map(&mut self, index: u32, function: &FunctionRecord) {
        let map = self
            .metadata
            .bytes(function.addr_map, Part::AddressMap, index);
        let Some(map) = self.note(map) else { return };
        let damage = |fault| Damage::at(Part::AddressMap, index, fault);
        let functions =
            self.metadata.header().imported_functions..self.metadata.header().functions.len;
        let mut last = None;
        let mut read = 0;
        let mut encoder = addrmap::Encoder::default();
        let mut entries = addrmap::decode(map);
        while let Some((code, wasm)) = entries.next() {
            let grows = last.is_none_or(|last| last < code);
            self.note(require(grows, damage(Fault::Unordered)));
            self.note(require(
                code < function.text_size,
                damage(Fault::OutOfBounds),
            ));
            let sites = entries.inlined().sites();
            let exist = sites.iter().all(|site| functions.contains(&site.function));
            self.note(require(exist, damage(Fault::BadIndex)));
            encoder.entry(code, wasm, entries.inlined(), |_| read += 1);
            last = Some(code);
            self.report.address_map_entries += 1;
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
        }
        // The decoder stops at damage: then it has not used all bytes.
        self.note(require(read == map.len(), damage(Fault::Malformed)));
    }

    /// Stubs and `init` are code of their own: not in the middle of a function.
    fn entry_points(&mut self) {
        let metadata = self.metadata;
        let header = metadata.header();
        let apart = |offset| offset == NONE || metadata.function_at(offset).is_none();
        self.note(require(
            apart(header.init),
            Damage::of(Part::Init, Fault::Overlaps),
        ));
        for (code, stub) in (0..).zip(super::header::trap_stubs(header)) {
            self.note(require(
                apart(stub),
                Damage::at(Part::TrapStub, code, Fault::Overlaps),
            ));
        }
        for index in 0..header.types.len {
            let Ok(ty) = metadata.ty(index) else { continue };
            let sound = apart(ty.enter_stub) && apart(ty.host_stub);
            self.note(require(
                sound,
                Damage::at(Part::Type, index, Fault::Overlaps),
            ));
        }
    }

    fn tables_memories_globals(&mut self) {
        let header = self.metadata.header();
        self.each(header.tables, |metadata, index| {
            metadata.table(index).map(drop)
        });
        self.each(header.memories, |metadata, index| {
            metadata.memory(index).map(drop)
        });
        self.each(header.globals, |metadata, index| {
            metadata.global(index).map(drop)
        });
    }

    /// Imports of each kind number its index space from the start, in order.
    fn imports(&mut self) {
        let header = self.metadata.header();
        self.report.records += u64::from(header.imports.len);
        let mut next = [0; 5];
        for index in 0..header.imports.len {
            let Some(import) = self.note(self.metadata.import(index)) else {
                continue;
            };
            self.note(self.metadata.name(import.module, Part::Import, index));
            self.note(self.metadata.name(import.name, Part::Import, index));
            let Some(next) = next.get_mut(import.kind as usize) else {
                continue;
            };
            self.note(require(
                import.index == *next,
                Damage::at(Part::Import, index, Fault::Unordered),
            ));
            *next += 1;
        }
    }

    /// Exports are ordered by name, no two are the same, and nothing that has no place in an
    /// instance is exported.
    fn exports(&mut self) {
        let header = self.metadata.header();
        self.report.records += u64::from(header.exports.len);
        let mut last: Option<&str> = None;
        for index in 0..header.exports.len {
            let Some(export) = self.note(self.metadata.export(index)) else {
                continue;
            };
            let name = self.metadata.name(export.name, Part::Export, index);
            let Some(name) = self.note(name) else {
                continue;
            };
            let ordered = last.is_none_or(|last| last < name);
            self.note(require(
                ordered,
                Damage::at(Part::Export, index, Fault::Unordered),
            ));
            last = Some(name);
            if export.kind == ExternKind::Function as u32 {
                let function = self.metadata.function(export.index);
                let has_code = function.is_ok_and(|function| {
                    function.text_size > 0 || export.index < header.imported_functions
                });
                self.note(require(
                    has_code,
                    Damage::at(Part::Export, index, Fault::Missing),
                ));
                let enters = function.and_then(|function| self.metadata.ty(function.type_index));
                let enters = enters.is_ok_and(|ty| ty.enter_stub != NONE);
                self.note(require(
                    enters,
                    Damage::at(Part::Export, index, Fault::Missing),
                ));
            }
        }
    }

    fn segments(&mut self) {
        let header = self.metadata.header();
        self.each(header.data, |metadata, index| {
            metadata.data(index).map(drop)
        });
        self.each(header.elements, |metadata, index| {
            let element = metadata.element(index)?;
            let items = if element.values == NONE {
                element.len
            } else {
                0
            };
            (0..items)
                .try_for_each(|item| metadata.element_function(index, &element, item).map(drop))
        });
    }

    /// Runs are ordered by memory and offset, and do not overlap.
    fn image_runs(&mut self) {
        let header = self.metadata.header();
        self.report.records += u64::from(header.image_runs.len);
        let mut end = (0, 0);
        for index in 0..header.image_runs.len {
            let Some(run) = self.note(self.metadata.image_run(index)) else {
                continue;
            };
            let ordered = (run.memory, run.memory_offset) >= end;
            self.note(require(
                ordered,
                Damage::at(Part::ImageRun, index, Fault::Overlaps),
            ));
            end = (run.memory, run.memory_offset + run.len);
        }
    }

    /// Sites ascend, mean a trap that exists, and lie in a function, or in the stubs that follow
    /// the last one.
    fn trap_sites(&mut self) {
        let header = self.metadata.header();
        let stubs = self.functions_end();
        let mut last = None;
        for index in 0..header.trap_offsets.len {
            let site = self
                .metadata
                .record::<u32>(header.trap_offsets, index, Part::TrapSite);
            let code = self
                .metadata
                .record::<u8>(header.trap_codes, index, Part::TrapSite);
            let (Some(site), Some(code)) = (self.note(site), self.note(code)) else {
                continue;
            };
            let damage = |fault| Damage::at(Part::TrapSite, index, fault);
            self.note(require(
                last.is_none_or(|last| last < site),
                damage(Fault::Unordered),
            ));
            self.note(require(
                TrapCode::from_u8(code).is_some(),
                damage(Fault::BadValue),
            ));
            let inside = site >= stubs && u64::from(site) < header.text.size
                || self.metadata.function_at(site).is_some();
            self.note(require(inside, damage(Fault::OutsideFunction)));
            last = Some(site);
            self.report.trap_sites += 1;
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
        }
    }

    /// Sites ascend and lie in functions, and so do their handlers: in the same one.
    fn exceptions(&mut self) {
        let header = self.metadata.header();
        self.each(header.tags, |metadata, index| metadata.tag(index).map(drop));
        let mut last = None;
        for index in 0..header.exception_sites.len {
            let found = self.exception_site(index, last);
            last = self.note(found).or(last);
            self.report.records += 1;
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
        }
    }

    /// The return address of an exception site that comes after `last`.
    fn exception_site(&self, index: u32, last: Option<u32>) -> Result<u32, Damage> {
        let metadata = self.metadata;
        let damage = |fault| Damage::at(Part::ExceptionSite, index, fault);
        let sites = metadata.header().exception_sites;
        let site: u32 = metadata.record(sites, index, Part::ExceptionSite)?;
        let ascends = last.is_none_or(|last| last < site);
        require(ascends, damage(Fault::Unordered))?;
        let function = |offset| metadata.function_at(offset).map(|(function, _)| function);
        let call = site.checked_sub(1).and_then(function);
        let call = call.ok_or(damage(Fault::OutsideFunction))?;
        let frame = metadata.exception_frame(index)?;
        for handler in frame.first..frame.first + frame.count {
            let place = metadata.exception_handler(handler)?.text_offset;
            let damage = Damage::at(Part::ExceptionHandler, handler, Fault::OutsideFunction);
            require(function(place) == Some(call), damage)?;
        }
        Ok(site)
    }

    /// Where the code of the last function ends.
    fn functions_end(&self) -> u32 {
        let header = self.metadata.header();
        let last = header
            .functions
            .len
            .checked_sub(1)
            .map(|last| self.metadata.function(last));
        match last {
            Some(Ok(function)) if function.text_offset != NONE => {
                function.text_offset + function.text_size
            }
            _ => 0,
        }
    }

    /// Regions of instance data do not overlap, so that no two things share a place.
    fn regions(&mut self) {
        let regions = regions::all(self.metadata);
        self.report.regions += regions.len() as u64;
        let mut end = 0;
        for (
            index,
            Range {
                start,
                end: this_end,
            },
        ) in (0..).zip(regions)
        {
            self.note(require(
                start >= end,
                Damage::at(Part::Region, index, Fault::Overlaps),
            ));
            end = end.max(this_end);
        }
        let own = self.own_globals();
        self.note(own);
    }

    /// Globals of the module's own lie in the region that their image initialises, in order.
    fn own_globals(&mut self) -> Result<(), Damage> {
        let header = self.metadata.header();
        let region = regions::range(
            header,
            header.layout.globals,
            u64::from(header.globals_image.len),
        );
        let mut cells = Vec::new();
        for index in header.imported_globals..header.globals.len {
            let Ok(global) = self.metadata.global(index) else {
                continue;
            };
            let cell = regions::range(header, global.cell, regions::cell_size(global.ty));
            let inside = region.start <= cell.start && cell.end <= region.end;
            require(inside, Damage::at(Part::Global, index, Fault::OutOfBounds))?;
            cells.push((cell.start, cell.end, index));
        }
        cells.sort_unstable();
        cells.windows(2).try_for_each(|pair| {
            require(
                pair[0].1 <= pair[1].0,
                Damage::at(Part::Global, pair[1].2, Fault::Overlaps),
            )
        })
    }
}
