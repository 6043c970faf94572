//! As much of ELF as is needed to find the metadata and to know what may be mapped how.
//!
//! The loader reads the ELF header and the program headers, and nothing else: sections are for
//! the system's tools.

use super::error::{Damage, Fault, Foreign, Looks, OpenError, Part};
use super::record::{Record, read};
use precast_abi::object::{Arch, PT_PRECAST};

/// ELF header and program headers lie in this many bytes from the start of the file.
pub(crate) const PREFIX: usize = 4096;

const HEADER_SIZE: u64 = 64;
const PROGRAM_HEADER_SIZE: u16 = 56;
const MAX_LOADS: usize = 12;
const ET_REL: u16 = 1;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;

/// May be executed, a `p_flags` bit.
pub(crate) const PF_X: u32 = 1;
/// May be written, a `p_flags` bit.
pub(crate) const PF_W: u32 = 2;

/// A program header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
}

impl ProgramHeader {
    fn read(bytes: &[u8]) -> Option<ProgramHeader> {
        let bytes = &mut &bytes[..];
        let (kind, flags) = (u32::take(bytes)?, u32::take(bytes)?);
        let (offset, address, _physical) =
            (u64::take(bytes)?, u64::take(bytes)?, u64::take(bytes)?);
        let (file_size, memory_size) = (u64::take(bytes)?, u64::take(bytes)?);
        Some(ProgramHeader {
            kind,
            flags,
            offset,
            address,
            file_size,
            memory_size,
        })
    }

    /// Whether `other` lies within this one, in the file and at the same place in memory.
    fn contains(&self, other: &ProgramHeader) -> bool {
        other.offset >= self.offset
            && other.offset - self.offset <= self.file_size
            && other.file_size <= self.file_size - (other.offset - self.offset)
            && other.address.wrapping_sub(self.address) == other.offset - self.offset
    }
}

/// What the program headers say, each checked against the size of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elf {
    pub(crate) arch: Arch,
    /// The metadata section.
    pub(crate) metadata: ProgramHeader,
    /// The segment that holds it.
    pub(crate) metadata_load: ProgramHeader,
    loads: [ProgramHeader; MAX_LOADS],
    load_count: usize,
}

impl Elf {
    /// Reads the headers of a file of `file_len` bytes whose first bytes are `prefix` (all of it,
    /// or at least [`PREFIX`]).
    pub(crate) fn parse(prefix: &[u8], file_len: u64) -> Result<Elf, OpenError> {
        let header = Header::parse(prefix, file_len)?;
        let mut elf = Elf {
            arch: header.arch,
            metadata: ProgramHeader::default(),
            metadata_load: ProgramHeader::default(),
            loads: [ProgramHeader::default(); MAX_LOADS],
            load_count: 0,
        };
        // A file that Precast did not make is not damaged, whatever else there is in it.
        let mut found = None;
        for index in 0..header.count {
            let program_header = header.program_header(prefix, index, file_len)?;
            if program_header.kind == PT_PRECAST && found.replace(program_header).is_some() {
                return Err(damaged(index, Fault::Overlaps));
            }
        }
        elf.metadata = found.ok_or(OpenError::NotAnObject(Looks::OtherElf))?;
        for index in 0..header.count {
            let program_header = header.program_header(prefix, index, file_len)?;
            if program_header.kind == PT_LOAD {
                elf.push(check_load(program_header, index, file_len)?, index)?;
            }
        }
        elf.metadata_load = elf
            .loads()
            .iter()
            .copied()
            .find(|load| load.contains(&elf.metadata))
            .ok_or(Damage::of(Part::Metadata, Fault::OutOfBounds))?;
        if elf.metadata_load.flags & (PF_W | PF_X) != 0 {
            return Err(Damage::of(Part::Metadata, Fault::BadPermissions).into());
        }
        Ok(elf)
    }

    /// The segments that are mapped, in the order of their addresses.
    pub(crate) fn loads(&self) -> &[ProgramHeader] {
        &self.loads[..self.load_count]
    }

    fn push(&mut self, load: ProgramHeader, index: u16) -> Result<(), OpenError> {
        if let Some(last) = self.loads().last() {
            let end = last.address + last.memory_size;
            if load.address < end {
                return Err(damaged(index, Fault::Overlaps));
            }
        }
        let slot = self
            .loads
            .get_mut(self.load_count)
            .ok_or(damaged(index, Fault::BadCount))?;
        *slot = load;
        self.load_count += 1;
        Ok(())
    }
}

/// What the ELF header says.
struct Header {
    arch: Arch,
    table: u64,
    count: u16,
}

impl Header {
    fn parse(prefix: &[u8], file_len: u64) -> Result<Header, OpenError> {
        if !prefix.starts_with(b"\x7fELF") {
            return Err(OpenError::NotAnObject(Looks::guess(prefix)));
        }
        let ident: [u8; 16] = field(prefix, 0, file_len)?;
        // 64-bit, little-endian, version 1.
        if ident[4..7] != [2, 1, 1] {
            return Err(OpenError::NotAnObject(Looks::OtherElf));
        }
        match field::<u16>(prefix, 16, file_len)? {
            ET_DYN => {}
            ET_REL => return Err(OpenError::NotAnObject(Looks::Relocatable)),
            _ => return Err(OpenError::NotAnObject(Looks::OtherElf)),
        }
        let arch = match field::<u16>(prefix, 18, file_len)? {
            62 => Arch::X86_64,
            183 => Arch::Aarch64,
            243 => Arch::Riscv64,
            other => return Err(OpenError::OtherArch(Foreign::ElfMachine(other))),
        };
        if field::<u32>(prefix, 20, file_len)? != 1 {
            return Err(Damage::of(Part::ElfHeader, Fault::BadValue).into());
        }
        let header = Header {
            arch,
            table: field(prefix, 32, file_len)?,
            count: field(prefix, 56, file_len)?,
        };
        if field::<u16>(prefix, 54, file_len)? != PROGRAM_HEADER_SIZE {
            return Err(Damage::of(Part::ElfHeader, Fault::BadSize).into());
        }
        if header.table < HEADER_SIZE
            || header.table > PREFIX as u64
            || header.table_end() > PREFIX as u64
        {
            return Err(Damage::of(Part::ElfHeader, Fault::OutOfBounds).into());
        }
        Ok(header)
    }

    fn program_header(
        &self,
        prefix: &[u8],
        index: u16,
        file_len: u64,
    ) -> Result<ProgramHeader, OpenError> {
        let at = self.table + u64::from(index) * u64::from(PROGRAM_HEADER_SIZE);
        prefix
            .get(at as usize..)
            .and_then(ProgramHeader::read)
            .ok_or(OpenError::CutShort {
                needed: self.table_end(),
                found: file_len,
            })
    }

    fn table_end(&self) -> u64 {
        self.table + u64::from(self.count) * u64::from(PROGRAM_HEADER_SIZE)
    }
}

fn field<T: Record>(prefix: &[u8], offset: usize, file_len: u64) -> Result<T, OpenError> {
    prefix
        .get(offset..)
        .and_then(read)
        .ok_or(OpenError::CutShort {
            needed: HEADER_SIZE,
            found: file_len,
        })
}

/// A loaded segment lies in the file, has no memory beyond it that code or data would count on,
/// and is never writable and executable at once.
fn check_load(load: ProgramHeader, index: u16, file_len: u64) -> Result<ProgramHeader, OpenError> {
    let end = load
        .offset
        .checked_add(load.file_size)
        .ok_or(damaged(index, Fault::OutOfBounds))?;
    if end > file_len {
        return Err(OpenError::CutShort {
            needed: end,
            found: file_len,
        });
    }
    if load.memory_size != load.file_size {
        return Err(damaged(index, Fault::BadSize));
    }
    // Half of the address space is far more than any object has; sums cannot overflow below it.
    if load.address > i64::MAX as u64 || load.memory_size > i64::MAX as u64 {
        return Err(damaged(index, Fault::OutOfBounds));
    }
    if load.flags & (PF_W | PF_X) == PF_W | PF_X {
        return Err(damaged(index, Fault::BadPermissions));
    }
    Ok(load)
}

fn damaged(index: u16, fault: Fault) -> OpenError {
    Damage::at(Part::ProgramHeader, index.into(), fault).into()
}
