//! Mach-O shared objects, for macOS.
//!
//! ```text
//!  __TEXT          RX   headers, then on pages of their own __text, __eh_frame
//!  __PRECAST_DATA  R    __metadata; __image: the initial contents of memories
//!  __LINKEDIT      R    symbols, strings, code signature
//! ```
//!
//! File offsets and addresses are the same. Our loader maps `__text`, `__metadata`, and `__image`;
//! the rest is for `dlopen`, debuggers and the system, which executes nothing that is not signed.

use super::macho_signature::{Signed, signature_size, write_signature};
use super::{Cursor, MAX_SIZE, Parts, Symbol, pad_to, string_at};
use crate::error::CompileError;
use crate::link::Places;
use crate::options::Target;
use object::Endianness;
use object::macho::{self, SectionFlags, VmProt};
use object::write::macho::{
    BuildVersionCommand, DylibCommand, DysymtabCommand, Encoder, MachHeader, Nlist, SectionHeader,
    SegmentCommand, SymtabCommand,
};
use precast_abi::object::{Arch, MACHO_METADATA, MACHO_SEGMENT, Segment};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// What the object calls itself. Nobody finds it by that.
const INSTALL_NAME: &[u8] = b"@rpath/precast-object.dylib";

/// The system's own library: a file that needs nothing at all is refused by `dlopen`.
const SYSTEM_LIBRARY: &[u8] = b"/usr/lib/libSystem.B.dylib";

/// macOS 11, the first for both CPUs.
const SYSTEM_VERSION: macho::Version = macho::Version(11 << 16);

/// Bytes of the identity that tools tell files apart by.
const UUID_SIZE: usize = 16;

/// Writes a shared object.
pub(crate) fn write_shared(parts: Parts<'_>, target: Target) -> Result<Vec<u8>, CompileError> {
    Writer::new(parts, target)?.write()
}

/// Symbols and their names: those of all pieces of the text, then the exported ones, by name.
pub(super) struct Symbols {
    /// Offset of the name in the string table, and the symbol.
    local: Vec<(u32, Symbol)>,
    exported: Vec<(u32, Symbol)>,
    strings: Vec<u8>,
}

impl Symbols {
    pub(super) fn new(parts: &Parts<'_>) -> Symbols {
        let mut symbols = Symbols {
            local: Vec::with_capacity(parts.names.symbols.len()),
            exported: Vec::with_capacity(parts.exported.len()),
            strings: vec![0],
        };
        for symbol in &parts.names.symbols {
            let name = symbols.name(string_at(&parts.names.strings, symbol.name));
            symbols.local.push((name, *symbol));
        }
        let exported_name = |symbol: &Symbol| string_at(parts.metadata.strings(), symbol.name);
        let mut exported = parts.exported.clone();
        exported.sort_by_key(|symbol| exported_name(symbol));
        for symbol in exported {
            let name = symbols.name(exported_name(&symbol));
            symbols.exported.push((name, symbol));
        }
        symbols
    }

    /// Adds a name, as C compilers write it.
    pub(super) fn name(&mut self, name: &[u8]) -> u32 {
        let offset = self.strings.len() as u32;
        self.strings.push(b'_');
        self.exact_name(name);
        offset
    }

    /// Adds a name as it is.
    pub(super) fn exact_name(&mut self, name: &[u8]) -> u32 {
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(name);
        self.strings.push(0);
        offset
    }

    /// The pieces of the text, each with the offset of its name.
    pub(super) fn local(&self) -> &[(u32, Symbol)] {
        &self.local
    }

    /// The string table.
    pub(super) fn strings(&self) -> &[u8] {
        &self.strings
    }

    /// How many symbols there are.
    pub(super) fn len(&self) -> u64 {
        self.local.len() as u64 + self.exported.len() as u64
    }
}

/// Where everything stands, in bytes from the start of the file; addresses are the same.
struct Plan {
    text: Range<u64>,
    eh_frame: Range<u64>,
    metadata: Range<u64>,
    image: Range<u64>,
    symtab: Range<u64>,
    strtab: Range<u64>,
    signature: Range<u64>,
}

/// A segment and its sections.
struct Part {
    name: &'static str,
    place: Range<u64>,
    /// May be executed, as well as read.
    executable: bool,
    sections: Vec<(&'static str, Range<u64>, u64, SectionFlags)>,
}

struct Writer<'a> {
    parts: Parts<'a>,
    encoder: Encoder<Endianness>,
    target: Target,
    symbols: Symbols,
    plan: Plan,
}

impl<'a> Writer<'a> {
    fn new(parts: Parts<'a>, target: Target) -> Result<Self, CompileError> {
        let encoder = Encoder::new(Endianness::Little, true);
        let symbols = Symbols::new(&parts);
        let plan = Plan::new(&parts, &symbols, encoder, target.page_size())?;
        Ok(Writer {
            parts,
            encoder,
            target,
            symbols,
            plan,
        })
    }

    /// Writes the parts in the order of their places.
    fn write(mut self) -> Result<Vec<u8>, CompileError> {
        let segment = |place: &Range<u64>| Segment {
            file_offset: place.start,
            address: place.start,
            size: place.end - place.start,
        };
        let (text, image) = (segment(&self.plan.text), segment(&self.plan.image));
        let metadata = &mut self.parts.metadata;
        metadata.place(self.plan.metadata.start, text, image);
        let mut out = Vec::with_capacity(self.plan.signature.end as usize);
        let uuid = self.write_headers(&mut out);
        self.write_text(&mut out)?;
        pad_to(&mut out, self.plan.eh_frame.start);
        let Plan { text, eh_frame, .. } = &self.plan;
        out.extend(self.parts.unwind.frame(text.start, eh_frame.start));
        pad_to(&mut out, self.plan.metadata.start);
        out.extend_from_slice(self.parts.metadata.bytes());
        pad_to(&mut out, self.plan.image.start);
        out.extend_from_slice(self.parts.image);
        self.write_symbols(&mut out);
        pad_to(&mut out, self.plan.signature.start);
        let digest = Sha256::digest(&out);
        out[uuid].copy_from_slice(&uuid_of(&digest));
        let signed = Signed {
            executable: self.plan.metadata.start,
        };
        write_signature(&mut out, signed);
        debug_assert_eq!(out.len() as u64, self.plan.signature.end);
        Ok(out)
    }

    /// The segments; the last of them, which has no sections, is that of the system's tools.
    fn segments(&self) -> Vec<Part> {
        let plan = &self.plan;
        let page = self.target.page_size();
        let mut data = vec![(MACHO_METADATA, plan.metadata.clone(), page, regular())];
        if !plan.image.is_empty() {
            data.push(("__image", plan.image.clone(), page, regular()));
        }
        let linkedit = plan.symtab.start;
        vec![
            Part {
                name: "__TEXT",
                place: 0..plan.metadata.start,
                executable: true,
                sections: vec![
                    ("__text", plan.text.clone(), page, instructions()),
                    ("__eh_frame", plan.eh_frame.clone(), 8, unwind_tables()),
                ],
            },
            Part {
                name: MACHO_SEGMENT,
                place: plan.metadata.start..linkedit,
                executable: false,
                sections: data,
            },
            Part {
                name: "__LINKEDIT",
                place: linkedit..plan.signature.end,
                executable: false,
                sections: Vec::new(),
            },
        ]
    }

    /// Writes the header and the load commands, with an identity of zeros, and says where that is.
    fn write_headers(&self, out: &mut Vec<u8>) -> Range<usize> {
        let encoder = self.encoder;
        let mut commands = Vec::new();
        let segments = self.segments();
        for segment in &segments {
            self.write_segment(&mut commands, segment);
        }
        self.write_dylib(&mut commands, macho::LC_ID_DYLIB, INSTALL_NAME);
        encoder.load_command(&mut commands, macho::LC_UUID, &[0; UUID_SIZE]);
        let uuid = encoder.mach_header_size() as usize + commands.len();
        let version = BuildVersionCommand {
            platform: macho::PLATFORM_MACOS,
            minos: SYSTEM_VERSION,
            sdk: SYSTEM_VERSION,
            ntools: 0,
        };
        encoder.build_version_command(&mut commands, &version);
        self.write_symbol_commands(&mut commands);
        self.write_dylib(&mut commands, macho::LC_LOAD_DYLIB, SYSTEM_LIBRARY);
        let signature = &self.plan.signature;
        encoder.linkedit_data_command(
            &mut commands,
            macho::LC_CODE_SIGNATURE,
            signature.start as u32,
            (signature.end - signature.start) as u32,
        );
        let (cputype, cpusubtype) = cpu(self.target.arch());
        let header = MachHeader {
            cputype,
            cpusubtype,
            filetype: macho::MH_DYLIB,
            // The segments, and each of the commands above.
            ncmds: segments.len() as u32 + 7,
            sizeofcmds: commands.len() as u32,
            flags: macho::MH_NOUNDEFS | macho::MH_DYLDLINK | macho::MH_TWOLEVEL,
        };
        encoder.mach_header(out, &header);
        out.extend(commands);
        uuid - UUID_SIZE..uuid
    }

    fn write_segment(&self, commands: &mut Vec<u8>, part: &Part) {
        let page = self.target.page_size();
        let size = part.place.end - part.place.start;
        let protection = protection(part.executable);
        let segment = SegmentCommand {
            segname: name(part.name),
            vmaddr: part.place.start,
            vmsize: size.next_multiple_of(page),
            fileoff: part.place.start,
            filesize: size,
            maxprot: protection,
            initprot: protection,
            nsects: part.sections.len() as u32,
            flags: macho::SegmentFlags(0),
        };
        self.encoder.segment_command(commands, &segment);
        for (sectname, place, align, flags) in &part.sections {
            let section = SectionHeader {
                sectname: name(sectname),
                segname: name(part.name),
                addr: place.start,
                size: place.end - place.start,
                offset: place.start as u32,
                align: align.trailing_zeros(),
                reloff: 0,
                nreloc: 0,
                flags: *flags,
                reserved1: 0,
                reserved2: 0,
                reserved3: 0,
            };
            self.encoder.section_header(commands, &section);
        }
    }

    fn write_dylib(&self, commands: &mut Vec<u8>, cmd: macho::LoadCommandType, name: &[u8]) {
        let dylib = DylibCommand {
            cmd,
            name,
            timestamp: 0,
            current_version: macho::Version(1 << 16),
            compatibility_version: macho::Version(1 << 16),
        };
        self.encoder.dylib_command(commands, &dylib);
    }

    fn write_symbol_commands(&self, commands: &mut Vec<u8>) {
        let Plan { symtab, strtab, .. } = &self.plan;
        let symtab = SymtabCommand {
            symoff: symtab.start as u32,
            nsyms: self.symbols.len() as u32,
            stroff: strtab.start as u32,
            strsize: (strtab.end - strtab.start) as u32,
        };
        self.encoder.symtab_command(commands, &symtab);
        let local = self.symbols.local.len() as u32;
        let exported = self.symbols.exported.len() as u32;
        let dysymtab = DysymtabCommand {
            nlocalsym: local,
            iextdefsym: local,
            nextdefsym: exported,
            iundefsym: local + exported,
            ..DysymtabCommand::default()
        };
        self.encoder.dysymtab_command(commands, &dysymtab);
    }

    fn write_text(&self, out: &mut Vec<u8>) -> Result<(), CompileError> {
        pad_to(out, self.plan.text.start);
        let places = Places {
            text: self.plan.text.start,
            code_tables: self.plan.metadata.start + u64::from(self.parts.metadata.code_tables()),
        };
        self.parts.text.write(out, &places)
    }

    fn write_symbols(&self, out: &mut Vec<u8>) {
        pad_to(out, self.plan.symtab.start);
        let local = self.symbols.local.iter().map(|symbol| (symbol, false));
        let exported = self.symbols.exported.iter().map(|symbol| (symbol, true));
        for ((name, symbol), exported) in local.chain(exported) {
            let scope = if exported { macho::N_EXT.0 } else { 0 };
            let symbol = Nlist {
                n_strx: *name,
                n_type: macho::SymbolFlags(macho::N_SECT.0 | scope),
                n_sect: 1,
                n_desc: macho::SymbolDesc(0),
                n_value: self.plan.text.start + u64::from(symbol.offset),
            };
            self.encoder.nlist(out, &symbol);
        }
        out.extend_from_slice(&self.symbols.strings);
    }
}

impl Plan {
    fn new(
        parts: &Parts<'_>,
        symbols: &Symbols,
        encoder: Encoder<Endianness>,
        page: u64,
    ) -> Result<Plan, CompileError> {
        // The headers have the first page to themselves.
        let mut cursor = Cursor(page);
        let text = cursor.take(u64::from(parts.text.size()), page);
        let eh_frame = cursor.take(parts.unwind.frame_size(), 8);
        let metadata = cursor.take(parts.metadata.bytes().len() as u64, page);
        let image = cursor.take(parts.image.len() as u64, page);
        let symtab = cursor.take(encoder.nlist_size() * symbols.len(), page);
        let strtab = cursor.take(symbols.strings.len() as u64, 1);
        let start = cursor.take(0, 16).start;
        let signature = start..start + signature_size(start);
        // Offsets in the headers have 32 bits.
        if image.end > MAX_SIZE || signature.end > u64::from(u32::MAX) {
            return Err(CompileError::TooLarge {
                what: format!("the object would have {} bytes of 2 GiB", image.end),
            });
        }
        Ok(Plan {
            text,
            eh_frame,
            metadata,
            image,
            symtab,
            strtab,
            signature,
        })
    }
}

/// The CPU, as Mach-O names it.
pub(super) fn cpu(arch: Arch) -> (macho::CpuType, macho::CpuSubtype) {
    match arch {
        Arch::Aarch64 => (macho::CPU_TYPE_ARM64, macho::CPU_SUBTYPE_ARM64_ALL.into()),
        _ => (macho::CPU_TYPE_X86_64, macho::CPU_SUBTYPE_X86_64_ALL.into()),
    }
}

fn protection(executable: bool) -> VmProt {
    if executable {
        macho::VM_PROT_READ | macho::VM_PROT_EXECUTE
    } else {
        macho::VM_PROT_READ
    }
}

/// Flags of a section of data.
pub(super) fn regular() -> SectionFlags {
    macho::S_REGULAR.into()
}

/// Flags of a section of code.
pub(super) fn instructions() -> SectionFlags {
    macho::S_REGULAR | macho::S_ATTR_PURE_INSTRUCTIONS | macho::S_ATTR_SOME_INSTRUCTIONS
}

/// Flags of `__eh_frame`, as compilers set them.
pub(super) fn unwind_tables() -> SectionFlags {
    macho::S_COALESCED
        | macho::S_ATTR_NO_TOC
        | macho::S_ATTR_STRIP_STATIC_SYMS
        | macho::S_ATTR_LIVE_SUPPORT
}

/// A name in a header: at most 16 bytes.
pub(super) fn name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// The start of a hash as a UUID of version 8, that of numbers of one's own making (RFC 9562, 5.8).
fn uuid_of(digest: &[u8]) -> [u8; UUID_SIZE] {
    let mut uuid = [0; UUID_SIZE];
    uuid.copy_from_slice(&digest[..UUID_SIZE]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}
