//! Mach-O relocatable objects, for linking into a program.
//!
//! The same sections as in ELF, see `elf_relocatable.rs`, all in the segment of code: the only one that
//! every linker keeps from being written to. Distances between sections are pairs of relocations,
//! one that adds and one that takes away; `__eh_frame` has none, as linkers read its contents.

use super::macho::{Symbols, cpu, instructions, name, regular, unwind_tables};
use super::{Cursor, MAX_SIZE, Parts, Symbol, pad_to};
use crate::error::CompileError;
use crate::link::Places;
use crate::options::{Options, Target};
use crate::placement::LINE;
use crate::reloc::Field;
use object::Endianness;
use object::macho::{self, RelocationInfo, RelocationType, SectionFlags};
use object::write::macho::{
    DysymtabCommand, Encoder, MachHeader, Nlist, SectionHeader, SegmentCommand, SymtabCommand,
};
use precast_abi::object::{Arch, ObjectHeader, Segment};
use std::mem::offset_of;
use std::ops::Range;

/// Writes a relocatable object.
pub(crate) fn write_relocatable(
    parts: Parts<'_>,
    options: &Options,
) -> Result<Vec<u8>, CompileError> {
    let symbol = options.object_symbol()?;
    let mut writer = Writer::new(parts, symbol, options.target);
    writer.relocate_metadata();
    writer.relocate_text()?;
    writer.write()
}

/// A section: what its header says, its contents, and its relocations.
struct Section {
    name: &'static str,
    align: u64,
    flags: SectionFlags,
    bytes: Vec<u8>,
    relocations: Vec<RelocationInfo>,
}

/// The sections in their order, from 0.
const TEXT: usize = 0;
const UNWIND: usize = 1;
const METADATA: usize = 2;
const IMAGE: usize = 3;

struct Writer<'a> {
    parts: Parts<'a>,
    target: Target,
    encoder: Encoder<Endianness>,
    sections: [Section; 4],
    symbols: Symbols,
    /// Names of the symbols that relocations refer to, in the string table.
    starts: Starts<u32>,
}

/// Something for the start of each thing that relocations refer to.
struct Starts<T> {
    text: T,
    image: T,
    /// The code tables, which are a part of the metadata.
    tables: T,
    metadata: T,
}

impl<'a> Writer<'a> {
    fn new(mut parts: Parts<'a>, symbol: &str, target: Target) -> Writer<'a> {
        // Exported functions have the guest's names, which would clash with the program's.
        parts.exported.clear();
        let mut symbols = Symbols::new(&parts);
        // What begins with an `l` is for the linker only.
        let starts = Starts {
            text: symbols.exact_name(b"l_precast.text"),
            image: symbols.exact_name(b"l_precast.image"),
            tables: symbols.exact_name(b"l_precast.tables"),
            metadata: symbols.name(symbol.as_bytes()),
        };
        let section = |name, align, flags| Section {
            name,
            align,
            flags,
            bytes: Vec::new(),
            relocations: Vec::new(),
        };
        Writer {
            sections: [
                section("__text", u64::from(LINE), instructions()),
                section("__eh_frame", 8, unwind_tables()),
                section("__precast", 16, regular()),
                section("__precast_image", target.page_size(), regular()),
            ],
            parts,
            target,
            encoder: Encoder::new(Endianness::Little, true),
            symbols,
            starts,
        }
    }

    /// Index in the symbol table of these starts: behind the functions.
    fn start_symbols(&self) -> Starts<u32> {
        let functions = self.symbols.len() as u32;
        Starts {
            text: functions,
            image: functions + 1,
            tables: functions + 2,
            metadata: functions + 3,
        }
    }

    /// Calls within the text need no linker; accesses to code tables do.
    fn relocate_text(&mut self) -> Result<(), CompileError> {
        let nowhere = Places {
            text: 0,
            code_tables: 0,
        };
        let mut text = Vec::with_capacity(self.parts.text.size() as usize);
        self.parts.text.write(&mut text, &nowhere)?;
        let tables = self.start_symbols().tables;
        for (kind, field, distance) in self.parts.text.code_table_fields() {
            let bytes = &mut text[field as usize..];
            let relocations = text_relocations(kind, field, tables, distance, bytes)?;
            self.sections[TEXT].relocations.extend(relocations);
        }
        self.sections[TEXT].bytes = text;
        Ok(())
    }

    /// Entries of code tables are relative to their tables, and the places of text and image to the
    /// header.
    fn relocate_metadata(&mut self) {
        let symbols = self.start_symbols();
        let distance = Distance::new(self.target.arch());
        let entries: Vec<_> = self.parts.metadata.code_table_entries().collect();
        let segment = |size| Segment {
            file_offset: 0,
            address: 0,
            size,
        };
        let text_size = u64::from(self.parts.text.size());
        let image_size = self.parts.image.len() as u64;
        self.parts
            .metadata
            .place(0, segment(text_size), segment(image_size));
        let mut bytes = self.parts.metadata.bytes().to_vec();
        let relocations = &mut self.sections[METADATA].relocations;
        let address = offset_of!(Segment, address);
        for (segment, symbol) in [
            (offset_of!(ObjectHeader, text), symbols.text),
            (offset_of!(ObjectHeader, image), symbols.image),
        ] {
            let field = (segment + address) as u32;
            relocations.extend(distance.pair(field, symbols.metadata, symbol, 3));
        }
        for entry in entries {
            let addend = entry.target.wrapping_sub(entry.table);
            let at = entry.field as usize;
            bytes[at..at + 4].copy_from_slice(&addend.to_le_bytes());
            relocations.extend(distance.pair(entry.field, symbols.metadata, symbols.text, 2));
        }
        self.sections[METADATA].bytes = bytes;
        self.sections[IMAGE].bytes = self.parts.image.to_vec();
    }

    /// Writes everything in the order of its place. Addresses count from 0, and file offsets from
    /// behind the headers.
    fn write(mut self) -> Result<Vec<u8>, CompileError> {
        let mut addresses = Cursor(0);
        let sizes = [
            u64::from(self.parts.text.size()),
            self.parts.unwind.frame_size(),
            self.sections[METADATA].bytes.len() as u64,
            self.sections[IMAGE].bytes.len() as u64,
        ];
        let places: Vec<Range<u64>> = sizes
            .iter()
            .zip(&self.sections)
            .map(|(size, section)| addresses.take(*size, section.align))
            .collect();
        let frame = (places[TEXT].start, places[UNWIND].start);
        self.sections[UNWIND].bytes = self.parts.unwind.frame(frame.0, frame.1);
        let commands = self.commands_size();
        let first = (self.encoder.mach_header_size() + commands).next_multiple_of(16);
        let mut files = Cursor(first + addresses.0);
        let relocation_size = self.encoder.relocation_size();
        let relocations: Vec<Range<u64>> = self
            .sections
            .iter()
            .map(|section| files.take(section.relocations.len() as u64 * relocation_size, 8))
            .collect();
        let count = self.symbols.len() + 4;
        let symtab = files.take(self.encoder.nlist_size() * count, 8);
        let strtab = files.take(self.symbols.strings().len() as u64, 1);
        if addresses.0 > MAX_SIZE || strtab.end > u64::from(u32::MAX) {
            return Err(CompileError::TooLarge {
                what: format!("the object would have {} bytes of 2 GiB", addresses.0),
            });
        }
        let mut out = Vec::with_capacity(strtab.end as usize);
        self.write_header(&mut out, commands);
        self.write_segment(&mut out, &places, &relocations, first);
        self.write_symbol_commands(&mut out, &symtab, &strtab, count as u32);
        for (section, place) in self.sections.iter().zip(&places) {
            pad_to(&mut out, first + place.start);
            out.extend_from_slice(&section.bytes);
        }
        for (section, place) in self.sections.iter().zip(&relocations) {
            pad_to(&mut out, place.start);
            // From the last to the first, as compilers write them; pairs stay as they are.
            for relocation in descending(&section.relocations) {
                self.encoder.relocation(&mut out, &relocation);
            }
        }
        pad_to(&mut out, symtab.start);
        self.write_symbols(&mut out, &places);
        out.extend_from_slice(self.symbols.strings());
        Ok(out)
    }

    fn commands_size(&self) -> u64 {
        let encoder = self.encoder;
        encoder.segment_command_size(self.sections.len() as u32)
            + encoder.symtab_command_size()
            + encoder.dysymtab_command_size()
    }

    fn write_header(&self, out: &mut Vec<u8>, commands: u64) {
        let (cputype, cpusubtype) = cpu(self.target.arch());
        let header = MachHeader {
            cputype,
            cpusubtype,
            filetype: macho::MH_OBJECT,
            ncmds: 3,
            sizeofcmds: commands as u32,
            flags: macho::FileFlags(0),
        };
        self.encoder.mach_header(out, &header);
    }

    /// A relocatable object has one segment, without a name; its sections say where they belong.
    fn write_segment(
        &self,
        out: &mut Vec<u8>,
        places: &[Range<u64>],
        relocations: &[Range<u64>],
        first: u64,
    ) {
        let size = places[IMAGE].end;
        let all = macho::VM_PROT_READ | macho::VM_PROT_WRITE | macho::VM_PROT_EXECUTE;
        let segment = SegmentCommand {
            segname: name(""),
            vmaddr: 0,
            vmsize: size,
            fileoff: first,
            filesize: size,
            maxprot: all,
            initprot: all,
            nsects: self.sections.len() as u32,
            flags: macho::SegmentFlags(0),
        };
        self.encoder.segment_command(out, &segment);
        for (index, section) in self.sections.iter().enumerate() {
            let (place, relocations) = (&places[index], &relocations[index]);
            let count = section.relocations.len() as u32;
            let header = SectionHeader {
                sectname: name(section.name),
                segname: name("__TEXT"),
                addr: place.start,
                size: place.end - place.start,
                offset: (first + place.start) as u32,
                align: section.align.trailing_zeros(),
                reloff: if count > 0 {
                    relocations.start as u32
                } else {
                    0
                },
                nreloc: count,
                flags: section.flags,
                reserved1: 0,
                reserved2: 0,
                reserved3: 0,
            };
            self.encoder.section_header(out, &header);
        }
    }

    fn write_symbol_commands(
        &self,
        out: &mut Vec<u8>,
        symtab: &Range<u64>,
        strtab: &Range<u64>,
        count: u32,
    ) {
        let command = SymtabCommand {
            symoff: symtab.start as u32,
            nsyms: count,
            stroff: strtab.start as u32,
            strsize: (strtab.end - strtab.start) as u32,
        };
        self.encoder.symtab_command(out, &command);
        let command = DysymtabCommand {
            nlocalsym: count - 1,
            iextdefsym: count - 1,
            nextdefsym: 1,
            iundefsym: count,
            ..DysymtabCommand::default()
        };
        self.encoder.dysymtab_command(out, &command);
    }

    /// The functions, what relocations refer to, and the one symbol that is global: the start of
    /// the metadata.
    fn write_symbols(&self, out: &mut Vec<u8>, places: &[Range<u64>]) {
        let mut write = |n_strx, section: usize, offset: u32, scope| {
            let symbol = Nlist {
                n_strx,
                n_type: macho::SymbolFlags(macho::N_SECT.0 | scope),
                n_sect: section as u8 + 1,
                n_desc: macho::SymbolDesc(0),
                n_value: places[section].start + u64::from(offset),
            };
            self.encoder.nlist(out, &symbol);
        };
        for (name, Symbol { offset, .. }) in self.symbols.local() {
            write(*name, TEXT, *offset, 0);
        }
        write(self.starts.text, TEXT, 0, 0);
        write(self.starts.image, IMAGE, 0, 0);
        let tables = self.parts.metadata.code_tables();
        write(self.starts.tables, METADATA, tables, 0);
        write(self.starts.metadata, METADATA, 0, macho::N_EXT.0);
    }
}

/// A relocation by a symbol, of a field of 2^`log2` bytes.
fn relocation(field: u32, symbol: u32, log2: u8, kind: RelocationType) -> RelocationInfo {
    RelocationInfo {
        r_address: field,
        r_symbolnum: symbol,
        r_pcrel: false,
        r_length: log2,
        r_extern: true,
        r_type: kind,
    }
}

/// The relocations of a field of the text, whose bytes are there, that holds the distance to a symbol
/// plus `addend`.
fn text_relocations(
    kind: Field,
    field: u32,
    symbol: u32,
    addend: i64,
    bytes: &mut [u8],
) -> Result<Vec<RelocationInfo>, CompileError> {
    let relative = |kind| RelocationInfo {
        r_pcrel: true,
        ..relocation(field, symbol, 2, kind)
    };
    let relocation = match kind {
        Field::Bytes4 => {
            // What is there already is added, and it counts from the end of the field.
            bytes[..4].copy_from_slice(&(addend as i32 + 4).to_le_bytes());
            return Ok(vec![relative(macho::X86_64_RELOC_SIGNED)]);
        }
        Field::Page21 => relative(macho::ARM64_RELOC_PAGE21),
        Field::PageOffset12 => relocation(field, symbol, 2, macho::ARM64_RELOC_PAGEOFF12),
        _ => {
            return Err(CompileError::Internal {
                message: format!("no relocation for {kind:?}"),
            });
        }
    };
    kind.write(bytes, 0, 0)?;
    // An addend has 24 bits.
    if !(0..1 << 23).contains(&addend) {
        return Err(CompileError::TooLarge {
            what: "the tables of code exceed 8 MiB".to_owned(),
        });
    }
    let addend = RelocationInfo {
        r_extern: false,
        ..self::relocation(field, addend as u32, 2, macho::ARM64_RELOC_ADDEND)
    };
    Ok(vec![addend, relocation])
}

/// The pair of relocations that adds to a field how far one symbol is from another.
struct Distance {
    minus: RelocationType,
    plus: RelocationType,
}

impl Distance {
    fn new(arch: Arch) -> Distance {
        match arch {
            Arch::Aarch64 => Distance {
                minus: macho::ARM64_RELOC_SUBTRACTOR,
                plus: macho::ARM64_RELOC_UNSIGNED,
            },
            _ => Distance {
                minus: macho::X86_64_RELOC_SUBTRACTOR,
                plus: macho::X86_64_RELOC_UNSIGNED,
            },
        }
    }

    fn pair(&self, field: u32, from: u32, to: u32, log2: u8) -> [RelocationInfo; 2] {
        [
            relocation(field, from, log2, self.minus),
            relocation(field, to, log2, self.plus),
        ]
    }
}

/// The relocations by their places, the last first; those of one place in their order.
fn descending(relocations: &[RelocationInfo]) -> Vec<RelocationInfo> {
    let mut sorted = relocations.to_vec();
    sorted.sort_by_key(|relocation| std::cmp::Reverse(relocation.r_address));
    sorted
}
