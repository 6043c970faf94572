//! ELF64 relocatable objects, for linking into a program.
//!
//! The same metadata, text and image as in a shared object, each in a section of its own. All
//! functions are local symbols: their names are the guest's, and would clash with the program's.
//! The one global symbol is that of the options: the metadata, from which a loader finds the rest.
//! Addresses in its header are relative to the header itself.

use super::{Parts, Symbol, string_at};
use crate::error::CompileError;
use crate::link::Places;
use crate::options::{Options, Target};
use crate::placement::LINE;
use crate::reloc::Field;
use object::elf;
use object::write::{Object, Relocation, SectionId, Symbol as ObjectSymbol, SymbolId};
use object::write::{StandardSegment, SymbolSection};
use object::{
    BinaryFormat, Endianness, FileFlags, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use precast_abi::object::{Arch, ObjectHeader, Segment};
use std::mem::offset_of;

/// Writes a relocatable object.
pub(crate) fn write_relocatable(
    parts: Parts<'_>,
    options: &Options,
) -> Result<Vec<u8>, CompileError> {
    let target = options.target;
    let symbol = options.object_symbol()?;
    let mut writer = Writer::new(target);
    writer.add_property(target);
    writer.add_symbols(&parts);
    writer.add_text(&parts)?;
    writer.add_unwind(&parts)?;
    writer.add_image(&parts, target.page_size());
    writer.add_metadata(parts, symbol)?;
    writer.object.write().map_err(internal)
}

/// What a linker is to write.
#[derive(Clone, Copy)]
enum Distance {
    /// Four bytes.
    Bytes4,
    /// Eight bytes.
    Bytes8,
    /// What an instruction holds.
    Of(Field),
}

/// The relocation that writes it; `None` where one alone does not.
fn elf_type(arch: Arch, distance: Distance) -> Option<elf::RelocationType> {
    Some(match (arch, distance) {
        (Arch::X86_64, Distance::Bytes4 | Distance::Of(Field::Bytes4)) => elf::R_X86_64_PC32,
        (Arch::X86_64, Distance::Bytes8) => elf::R_X86_64_PC64,
        (Arch::Aarch64, Distance::Bytes4) => elf::R_AARCH64_PREL32,
        (Arch::Aarch64, Distance::Bytes8) => elf::R_AARCH64_PREL64,
        (Arch::Aarch64, Distance::Of(Field::Page21)) => elf::R_AARCH64_ADR_PREL_PG_HI21,
        (Arch::Aarch64, Distance::Of(Field::PageOffset12)) => elf::R_AARCH64_ADD_ABS_LO12_NC,
        (Arch::Riscv64, Distance::Bytes4) => elf::R_RISCV_32_PCREL,
        (Arch::Riscv64, Distance::Of(Field::High20)) => elf::R_RISCV_PCREL_HI20,
        (Arch::Riscv64, Distance::Of(Field::Low12 { .. })) => elf::R_RISCV_PCREL_LO12_I,
        _ => return None,
    })
}

struct Writer {
    arch: Arch,
    object: Object<'static>,
    text: SectionId,
    metadata: SectionId,
    image: SectionId,
    unwind: SectionId,
}

impl Writer {
    fn new(target: Target) -> Writer {
        let mut object = Object::new(BinaryFormat::Elf, target.architecture(), Endianness::Little);
        object.flags = FileFlags::Elf {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_flags: target.elf_flags(),
        };
        let mut section = |segment: StandardSegment, name: &str, kind| {
            let segment = object.segment_name(segment).to_vec();
            object.add_section(segment, name.into(), kind)
        };
        let data = SectionKind::ReadOnlyData;
        let text = section(StandardSegment::Text, ".text", SectionKind::Text);
        let metadata = section(StandardSegment::Data, ".precast", data);
        let image = section(StandardSegment::Data, ".precast.image", data);
        let unwind = section(StandardSegment::Data, ".eh_frame", data);
        // Says to linkers that nothing here needs an executable stack.
        let metadata_kind = SectionKind::Metadata;
        section(StandardSegment::Data, ".note.GNU-stack", metadata_kind);
        Writer {
            arch: target.arch(),
            object,
            text,
            metadata,
            image,
            unwind,
        }
    }

    fn add_property(&mut self, target: Target) {
        if let Some(note) = target.elf_property() {
            let segment = self.object.segment_name(StandardSegment::Data).to_vec();
            let name = b".note.gnu.property".to_vec();
            let section = self.object.add_section(segment, name, SectionKind::Note);
            self.object.set_section_data(section, note.to_vec(), 8);
        }
    }

    fn add_symbols(&mut self, parts: &Parts<'_>) {
        for symbol in &parts.names.symbols {
            let name = string_at(&parts.names.strings, symbol.name).to_vec();
            self.add_function(name, symbol);
        }
    }

    fn add_function(&mut self, name: Vec<u8>, symbol: &Symbol) {
        self.object.add_symbol(ObjectSymbol {
            name,
            value: u64::from(symbol.offset),
            size: u64::from(symbol.size),
            kind: SymbolKind::Text,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(self.text),
            flags: SymbolFlags::None,
        });
    }

    /// Calls within the text need no linker; accesses to code tables do.
    fn add_text(&mut self, parts: &Parts<'_>) -> Result<(), CompileError> {
        let mut text = Vec::with_capacity(parts.text.size() as usize);
        let nowhere = Places {
            text: 0,
            code_tables: 0,
        };
        parts.text.write(&mut text, &nowhere)?;
        self.object
            .set_section_data(self.text, text, u64::from(LINE));
        let metadata = self.object.section_symbol(self.metadata);
        let tables = i64::from(parts.metadata.code_tables());
        for (kind, field, distance) in parts.text.code_table_fields() {
            let (symbol, addend) = match kind {
                // The instruction that has the upper part names the target.
                Field::Low12 { back } => (self.add_label(field - back), 0),
                _ => (metadata, tables + distance),
            };
            self.relocate(self.text, field, symbol, addend, Distance::Of(kind))?;
        }
        Ok(())
    }

    /// A name for an instruction.
    fn add_label(&mut self, offset: u32) -> SymbolId {
        self.object.add_symbol(ObjectSymbol {
            name: b".L".to_vec(),
            value: u64::from(offset),
            size: 0,
            kind: SymbolKind::Label,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(self.text),
            flags: SymbolFlags::None,
        })
    }

    fn add_unwind(&mut self, parts: &Parts<'_>) -> Result<(), CompileError> {
        let frame = parts.unwind.frame(0, 0);
        self.object.set_section_data(self.unwind, frame, 8);
        let text = self.object.section_symbol(self.text);
        for (code, field) in parts.unwind.code_fields() {
            self.relocate(self.unwind, field, text, i64::from(code), Distance::Bytes4)?;
        }
        Ok(())
    }

    fn add_image(&mut self, parts: &Parts<'_>, page: u64) {
        self.object
            .set_section_data(self.image, parts.image.to_vec(), page);
    }

    fn add_metadata(&mut self, mut parts: Parts<'_>, symbol: &str) -> Result<(), CompileError> {
        let name = symbol.as_bytes().to_vec();
        let text = self.object.section_symbol(self.text);
        let image = self.object.section_symbol(self.image);
        for entry in parts.metadata.code_table_entries() {
            // Relative to the table, where a linker makes it relative to the field.
            let addend = i64::from(entry.target) + i64::from(entry.field - entry.table);
            self.relocate(self.metadata, entry.field, text, addend, Distance::Bytes4)?;
        }
        let address = offset_of!(Segment, address);
        for (segment, symbol) in [
            (offset_of!(ObjectHeader, text), text),
            (offset_of!(ObjectHeader, image), image),
        ] {
            let field = (segment + address) as u32;
            self.relocate(
                self.metadata,
                field,
                symbol,
                i64::from(field),
                Distance::Bytes8,
            )?;
        }
        let segment = |size| Segment {
            file_offset: 0,
            address: 0,
            size,
        };
        let text_size = u64::from(parts.text.size());
        parts
            .metadata
            .place(0, segment(text_size), segment(parts.image.len() as u64));
        let bytes = parts.metadata.bytes().to_vec();
        self.object.add_symbol(ObjectSymbol {
            name,
            value: 0,
            size: bytes.len() as u64,
            kind: SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(self.metadata),
            flags: SymbolFlags::None,
        });
        self.object.set_section_data(self.metadata, bytes, 16);
        Ok(())
    }

    fn relocate(
        &mut self,
        section: SectionId,
        field: u32,
        symbol: SymbolId,
        addend: i64,
        distance: Distance,
    ) -> Result<(), CompileError> {
        if let Some(r_type) = elf_type(self.arch, distance) {
            return self.add_relocation(section, field, (symbol, addend), r_type);
        }
        if !matches!((self.arch, distance), (Arch::Riscv64, Distance::Bytes8)) {
            return Err(CompileError::Internal {
                message: "the linker has no relocation for a field".to_owned(),
            });
        }
        // The address of the symbol, and then without that of the field.
        let here = self.object.section_symbol(section);
        self.add_relocation(section, field, (symbol, addend), elf::R_RISCV_ADD64)?;
        self.add_relocation(section, field, (here, i64::from(field)), elf::R_RISCV_SUB64)
    }

    fn add_relocation(
        &mut self,
        section: SectionId,
        field: u32,
        (symbol, addend): (SymbolId, i64),
        r_type: elf::RelocationType,
    ) -> Result<(), CompileError> {
        let relocation = Relocation {
            offset: u64::from(field),
            symbol,
            addend,
            flags: RelocationFlags::Elf { r_type },
        };
        self.object
            .add_relocation(section, relocation)
            .map_err(internal)
    }
}

fn internal(error: object::write::Error) -> CompileError {
    CompileError::Internal {
        message: format!("cannot write the object: {error}"),
    }
}
