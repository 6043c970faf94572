//! ELF64 shared objects.
//!
//! ```text
//!  R    headers, build id, .hash, .dynsym, metadata (the string table is its end)
//!  RX   .text
//!  R    .eh_frame_hdr, .eh_frame
//!  RW   .dynamic
//!  R    initial memory image
//!       .symtab, .strtab, .shstrtab, section headers: not loaded
//! ```
//!
//! File offsets and addresses are the same. Our loader maps metadata, text, and image; the rest
//! is for `dlopen`, debuggers and profilers.

use super::{Cursor, MAX_SIZE, Parts, Symbol, pad_to, string_at};
use crate::error::CompileError;
use crate::link::Places;
use crate::options::Target;
use object::Endianness;
use object::elf::{self, ProgramFlags, ProgramType, SectionFlags, SectionType};
use object::write::elf::{
    Encoder, FileHeader, FileHeaderLayout, ProgramHeader, SectionHeader, Sym,
};
use precast_abi::object::{PT_PRECAST, Segment};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Bytes of a build id, as other linkers make them.
const BUILD_ID_SIZE: usize = 20;

/// Name and contents of the note that holds the build id.
const NOTE_HEADER_SIZE: u64 = 16;

/// Writes a shared object.
pub(crate) fn write_shared(parts: Parts<'_>, target: Target) -> Result<Vec<u8>, CompileError> {
    let writer = Writer::new(parts, target)?;
    writer.write()
}

/// Where everything stands, in bytes from the start of the file; addresses are the same.
struct Plan {
    note: Range<u64>,
    /// Empty where the target has no properties.
    property: Range<u64>,
    hash: Range<u64>,
    dynsym: Range<u64>,
    metadata: Range<u64>,
    /// The end of `metadata`.
    strings: Range<u64>,
    text: Range<u64>,
    eh_frame_hdr: Range<u64>,
    eh_frame: Range<u64>,
    dynamic: Range<u64>,
    image: Range<u64>,
    symtab: Range<u64>,
    strtab: Range<u64>,
    shstrtab: Range<u64>,
    section_headers: u64,
}

struct Writer<'a> {
    parts: Parts<'a>,
    encoder: Encoder<Endianness>,
    target: Target,
    sections: Sections,
    plan: Plan,
}

/// The sections of a target's objects.
struct Sections {
    list: &'static [Section],
    /// Their names, as a string table.
    names: Vec<u8>,
}

/// The sections in the order of their headers, from 1.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Section {
    BuildId = 1,
    Hash,
    Dynsym,
    Metadata,
    Strings,
    Text,
    EhFrameHdr,
    EhFrame,
    Dynamic,
    Image,
    Symtab,
    Strtab,
    Shstrtab,
    /// Only where the target has properties.
    Property,
}

impl Section {
    const ALL: [Section; 14] = [
        Section::BuildId,
        Section::Hash,
        Section::Dynsym,
        Section::Metadata,
        Section::Strings,
        Section::Text,
        Section::EhFrameHdr,
        Section::EhFrame,
        Section::Dynamic,
        Section::Image,
        Section::Symtab,
        Section::Strtab,
        Section::Shstrtab,
        Section::Property,
    ];

    fn name(self) -> &'static str {
        match self {
            Section::BuildId => ".note.gnu.build-id",
            Section::Hash => ".hash",
            Section::Dynsym => ".dynsym",
            Section::Metadata => ".precast",
            Section::Strings => ".dynstr",
            Section::Text => ".text",
            Section::EhFrameHdr => ".eh_frame_hdr",
            Section::EhFrame => ".eh_frame",
            Section::Dynamic => ".dynamic",
            Section::Image => ".precast.image",
            Section::Symtab => ".symtab",
            Section::Strtab => ".strtab",
            Section::Shstrtab => ".shstrtab",
            Section::Property => ".note.gnu.property",
        }
    }
}

impl Sections {
    fn new(target: Target) -> Self {
        let list = match target.elf_property() {
            Some(_) => &Section::ALL[..],
            None => &Section::ALL[..Section::ALL.len() - 1],
        };
        let mut names = vec![0];
        for section in list {
            names.extend(section.name().as_bytes());
            names.push(0);
        }
        Sections { list, names }
    }

    /// How many section headers there are, with the one that stands for none.
    fn count(&self) -> u32 {
        self.list.len() as u32 + 1
    }

    fn name_offset(&self, wanted: Section) -> u32 {
        let before = self.list.iter().take_while(|&&s| s != wanted);
        1 + before.map(|s| s.name().len() as u32 + 1).sum::<u32>()
    }
}

impl<'a> Writer<'a> {
    fn new(parts: Parts<'a>, target: Target) -> Result<Self, CompileError> {
        let encoder = Encoder::new(Endianness::Little, true, target.elf_machine());
        let sections = Sections::new(target);
        let plan = Plan::new(&parts, &encoder, &sections, target)?;
        Ok(Writer {
            parts,
            encoder,
            target,
            sections,
            plan,
        })
    }

    /// Writes the parts in the order of their places.
    fn write(mut self) -> Result<Vec<u8>, CompileError> {
        let plan = &self.plan;
        let text = Segment {
            file_offset: plan.text.start,
            address: plan.text.start,
            size: plan.text.end - plan.text.start,
        };
        let image = Segment {
            file_offset: plan.image.start,
            address: plan.image.start,
            size: plan.image.end - plan.image.start,
        };
        self.parts.metadata.place(plan.metadata.start, text, image);
        let size = self.plan.section_headers
            + self.encoder.section_header_size() * u64::from(self.sections.count());
        let page = self.target.page_size();
        self.parts.metadata.place_levels(size, page);
        let mut out = Vec::with_capacity(size as usize);
        self.write_headers(&mut out)?;
        let build_id = self.write_note(&mut out);
        self.write_property(&mut out);
        self.write_dynamic_symbols(&mut out);
        self.write_metadata(&mut out);
        self.write_text(&mut out)?;
        self.write_unwind(&mut out);
        self.write_dynamic(&mut out);
        pad_to(&mut out, self.plan.image.start);
        out.extend_from_slice(self.parts.image);
        self.write_symtab(&mut out);
        out.extend_from_slice(&self.parts.names.strings);
        pad_to(&mut out, self.plan.shstrtab.start);
        out.extend_from_slice(&self.sections.names);
        self.write_section_headers(&mut out);
        let digest = Sha256::digest(&out);
        out[build_id].copy_from_slice(&digest[..BUILD_ID_SIZE]);
        Ok(out)
    }

    fn write_headers(&self, out: &mut Vec<u8>) -> Result<(), CompileError> {
        let segments = self.segments();
        let header = FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: self.target.elf_machine(),
            e_entry: 0,
            e_flags: self.target.elf_flags(),
        };
        self.encoder
            .file_header(out, &header, &self.header_layout())
            .map_err(|error| CompileError::Internal {
                message: error.to_string(),
            })?;
        for segment in &segments {
            self.encoder.program_header(out, segment);
        }
        Ok(())
    }

    fn header_layout(&self) -> FileHeaderLayout {
        FileHeaderLayout {
            e_phoff: self.encoder.file_header_size(),
            segment_num: segment_count(self.target) as u32,
            e_shoff: self.plan.section_headers,
            section_num: self.sections.count(),
            shstrtab_index: Section::Shstrtab as u32,
        }
    }

    fn segments(&self) -> Vec<ProgramHeader> {
        segments(&self.plan, self.target)
    }

    /// Writes the build id as zeros, and says where it is.
    fn write_note(&self, out: &mut Vec<u8>) -> Range<usize> {
        pad_to(out, self.plan.note.start);
        out.extend(4u32.to_le_bytes());
        out.extend((BUILD_ID_SIZE as u32).to_le_bytes());
        out.extend(elf::NT_GNU_BUILD_ID.0.to_le_bytes());
        out.extend(b"GNU\0");
        let start = out.len();
        out.extend([0; BUILD_ID_SIZE]);
        start..out.len()
    }

    fn write_property(&self, out: &mut Vec<u8>) {
        if let Some(note) = self.target.elf_property() {
            pad_to(out, self.plan.property.start);
            out.extend(note);
        }
    }

    fn write_dynamic_symbols(&self, out: &mut Vec<u8>) {
        let exported = &self.parts.exported;
        pad_to(out, self.plan.hash.start);
        let count = exported.len() as u32 + 1;
        let name = |index: u32| {
            let symbol = exported.get(index.checked_sub(1)? as usize)?;
            Some(elf::hash(string_at(
                self.parts.metadata.strings(),
                symbol.name,
            )))
        };
        self.encoder
            .hash_table(out, bucket_count(count), count, name);
        pad_to(out, self.plan.dynsym.start);
        self.encoder.null_symbol(out);
        for symbol in exported {
            self.write_symbol(out, symbol, elf::STB_GLOBAL);
        }
    }

    fn write_symbol(&self, out: &mut Vec<u8>, symbol: &Symbol, bind: elf::SymbolBind) {
        let symbol = Sym {
            section: Some(Section::Text as u32),
            st_name: symbol.name,
            st_info: elf::SymbolInfo::new(bind, elf::STT_FUNC),
            st_other: elf::SymbolOther(0),
            st_shndx: elf::SHN_UNDEF,
            st_value: self.plan.text.start + u64::from(symbol.offset),
            st_size: u64::from(symbol.size),
        };
        self.encoder.symbol(out, &symbol);
    }

    fn write_metadata(&self, out: &mut Vec<u8>) {
        pad_to(out, self.plan.metadata.start);
        out.extend_from_slice(self.parts.metadata.bytes());
    }

    fn write_text(&self, out: &mut Vec<u8>) -> Result<(), CompileError> {
        pad_to(out, self.plan.text.start);
        let places = Places {
            text: self.plan.text.start,
            code_tables: self.plan.metadata.start + u64::from(self.parts.metadata.code_tables()),
        };
        self.parts.text.write(out, &places)
    }

    fn write_unwind(&self, out: &mut Vec<u8>) {
        let Plan {
            text,
            eh_frame,
            eh_frame_hdr,
            ..
        } = &self.plan;
        let unwind = &self.parts.unwind;
        pad_to(out, eh_frame_hdr.start);
        out.extend(unwind.header(text.start, eh_frame.start, eh_frame_hdr.start));
        pad_to(out, eh_frame.start);
        out.extend(unwind.frame(text.start, eh_frame.start));
    }

    fn write_dynamic(&self, out: &mut Vec<u8>) {
        pad_to(out, self.plan.dynamic.start);
        for (tag, value) in dynamic_entries(&self.plan, &self.encoder) {
            // Fails for entries that take no number only; ours do.
            let _ = self.encoder.dynamic(out, tag, value);
        }
    }

    fn write_symtab(&self, out: &mut Vec<u8>) {
        pad_to(out, self.plan.symtab.start);
        self.encoder.null_symbol(out);
        for symbol in &self.parts.names.symbols {
            self.write_symbol(out, symbol, elf::STB_LOCAL);
        }
    }

    fn write_section_headers(&self, out: &mut Vec<u8>) {
        pad_to(out, self.plan.section_headers);
        self.encoder.null_section_header(out, &self.header_layout());
        for section in self.sections.list {
            let header = self.section_header(*section);
            self.encoder.section_header(out, &header);
        }
    }

    fn section_header(&self, section: Section) -> SectionHeader {
        let plan = &self.plan;
        let alloc = elf::SHF_ALLOC;
        let page = self.target.page_size();
        let (kind, flags, place, align): (SectionType, SectionFlags, &Range<u64>, u64) =
            match section {
                Section::BuildId => (elf::SHT_NOTE, alloc, &plan.note, 4),
                Section::Property => (elf::SHT_NOTE, alloc, &plan.property, 8),
                Section::Hash => (elf::SHT_HASH, alloc, &plan.hash, 8),
                Section::Dynsym => (elf::SHT_DYNSYM, alloc, &plan.dynsym, 8),
                Section::Metadata => {
                    // The string table, a section of its own, is its end.
                    let records = plan.metadata.start..plan.strings.start;
                    return self.header(section, elf::SHT_PROGBITS, alloc, &records, 16);
                }
                Section::Strings => (elf::SHT_STRTAB, alloc, &plan.strings, 1),
                Section::Text => {
                    let flags = alloc | elf::SHF_EXECINSTR;
                    (elf::SHT_PROGBITS, flags, &plan.text, page)
                }
                Section::EhFrameHdr => (elf::SHT_PROGBITS, alloc, &plan.eh_frame_hdr, 4),
                Section::EhFrame => (elf::SHT_PROGBITS, alloc, &plan.eh_frame, 8),
                Section::Dynamic => {
                    let flags = alloc | elf::SHF_WRITE;
                    (elf::SHT_DYNAMIC, flags, &plan.dynamic, 8)
                }
                Section::Image => (elf::SHT_PROGBITS, alloc, &plan.image, page),
                Section::Symtab => (elf::SHT_SYMTAB, SectionFlags(0), &plan.symtab, 8),
                Section::Strtab => (elf::SHT_STRTAB, SectionFlags(0), &plan.strtab, 1),
                Section::Shstrtab => (elf::SHT_STRTAB, SectionFlags(0), &plan.shstrtab, 1),
            };
        self.header(section, kind, flags, place, align)
    }

    fn header(
        &self,
        section: Section,
        sh_type: SectionType,
        sh_flags: SectionFlags,
        place: &Range<u64>,
        sh_addralign: u64,
    ) -> SectionHeader {
        let (link, info, entsize) = match section {
            Section::Hash => (Section::Dynsym as u32, 0, 4),
            Section::Dynsym => (Section::Strings as u32, 1, self.encoder.sym_size()),
            Section::Dynamic => (Section::Strings as u32, 0, self.encoder.dyn_size()),
            Section::Symtab => {
                // All symbols are local; `sh_info` is the first that is not.
                let locals = self.parts.names.symbols.len() as u32 + 1;
                (Section::Strtab as u32, locals, self.encoder.sym_size())
            }
            _ => (0, 0, 0),
        };
        SectionHeader {
            sh_name: self.sections.name_offset(section),
            sh_type,
            sh_flags,
            sh_addr: if sh_flags & elf::SHF_ALLOC == SectionFlags(0) {
                0
            } else {
                place.start
            },
            sh_offset: place.start,
            sh_size: place.end - place.start,
            sh_link: link,
            sh_info: info,
            sh_addralign,
            sh_entsize: entsize,
        }
    }
}

impl Plan {
    fn new(
        parts: &Parts<'_>,
        encoder: &Encoder<Endianness>,
        sections: &Sections,
        target: Target,
    ) -> Result<Plan, CompileError> {
        let exported = parts.exported.len() as u32 + 1;
        let metadata_size = parts.metadata.bytes().len() as u64;
        let page = target.page_size();
        let headers = encoder.file_header_size()
            + segment_count(target) as u64 * encoder.program_header_size();
        let property_size = target.elf_property().map_or(0, |note| note.len() as u64);
        let mut cursor = Cursor(headers);
        let note = cursor.take(NOTE_HEADER_SIZE + BUILD_ID_SIZE as u64, 4);
        let property = cursor.take(property_size, 8);
        let hash = cursor.take(encoder.hash_size(bucket_count(exported), exported), 8);
        let dynsym = cursor.take(encoder.sym_size() * u64::from(exported), 8);
        let metadata = cursor.take(metadata_size, 16);
        let strings = metadata.end - parts.metadata.strings().len() as u64..metadata.end;
        let text = cursor.take(u64::from(parts.text.size()), page);
        let eh_frame_hdr = cursor.take(parts.unwind.header_size(), page);
        let eh_frame = cursor.take(parts.unwind.frame_size(), 8);
        let dynamic = cursor.take(encoder.dyn_size() * DYNAMIC_COUNT as u64, page);
        let image = cursor.take(parts.image.len() as u64, page);
        let end_of_image = cursor.0;
        let symbols = parts.names.symbols.len() as u64 + 1;
        let symtab = cursor.take(encoder.sym_size() * symbols, 8);
        let strtab = cursor.take(parts.names.strings.len() as u64, 1);
        let shstrtab = cursor.take(sections.names.len() as u64, 1);
        let section_headers = cursor.take(0, 8).start;
        if end_of_image > MAX_SIZE {
            return Err(CompileError::TooLarge {
                what: format!("the object would have {end_of_image} bytes of 2 GiB"),
            });
        }
        Ok(Plan {
            note,
            property,
            hash,
            dynsym,
            metadata,
            strings,
            text,
            eh_frame_hdr,
            eh_frame,
            dynamic,
            image,
            symtab,
            strtab,
            shstrtab,
            section_headers,
        })
    }
}

/// How many program headers there are.
fn segment_count(target: Target) -> usize {
    10 + usize::from(target.elf_property().is_some())
}

fn segments(plan: &Plan, target: Target) -> Vec<ProgramHeader> {
    let page = target.page_size();
    let segment = |p_type, p_flags: ProgramFlags, place: Range<u64>, p_align| ProgramHeader {
        p_type,
        p_flags,
        p_offset: place.start,
        p_vaddr: place.start,
        p_paddr: place.start,
        p_filesz: place.end - place.start,
        p_memsz: place.end - place.start,
        p_align,
    };
    let (r, w, x) = (elf::PF_R, elf::PF_W, elf::PF_X);
    let unwind = plan.eh_frame_hdr.start..plan.eh_frame.end;
    // A segment of no bytes would be refused; the place of the image stays in the table, so
    // that tables have the same size in every object.
    let image_type = if plan.image.is_empty() {
        elf::PT_NULL
    } else {
        elf::PT_LOAD
    };
    let mut segments = vec![
        segment(elf::PT_LOAD, r, 0..plan.strings.end, page),
        segment(elf::PT_LOAD, r | x, plan.text.clone(), page),
        segment(elf::PT_LOAD, r, unwind, page),
        segment(elf::PT_LOAD, r | w, plan.dynamic.clone(), page),
        segment(image_type, r, plan.image.clone(), page),
        segment(elf::PT_DYNAMIC, r | w, plan.dynamic.clone(), 8),
        segment(elf::PT_NOTE, r, plan.note.clone(), 4),
        segment(elf::PT_GNU_EH_FRAME, r, plan.eh_frame_hdr.clone(), 4),
        segment(elf::PT_GNU_STACK, r | w, 0..0, 16),
        segment(ProgramType(PT_PRECAST), r, plan.metadata.clone(), 16),
    ];
    if target.elf_property().is_some() {
        let place = plan.property.clone();
        segments.push(segment(elf::PT_GNU_PROPERTY, r, place, 8));
    }
    debug_assert_eq!(segments.len(), segment_count(target));
    segments
}

/// How many dynamic entries there are.
const DYNAMIC_COUNT: usize = 6;

fn dynamic_entries(
    plan: &Plan,
    encoder: &Encoder<Endianness>,
) -> [(elf::DynamicTag, u64); DYNAMIC_COUNT] {
    [
        (elf::DT_HASH, plan.hash.start),
        (elf::DT_STRTAB, plan.strings.start),
        (elf::DT_SYMTAB, plan.dynsym.start),
        (elf::DT_STRSZ, plan.strings.end - plan.strings.start),
        (elf::DT_SYMENT, encoder.sym_size()),
        (elf::DT_NULL, 0),
    ]
}

/// About two symbols per bucket.
fn bucket_count(symbols: u32) -> u32 {
    (symbols / 2).max(1)
}
