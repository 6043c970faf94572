//! As much of ELF as is needed to find the metadata and to know what may be mapped how.
//!
//! The loader reads the ELF header and the program headers, and nothing else: sections are for
//! the system's tools.

use super::error::{Damage, Fault, Foreign, Looks, OpenError, Part};
use super::file::{self, Format, Headers, PREFIX, Region};
use super::record::Record;
use precast_abi::object::{Arch, PT_PRECAST};

/// The first bytes of a file.
pub(super) const MAGIC: [u8; 4] = *b"\x7fELF";

const HEADER_SIZE: u64 = 64;
const PROGRAM_HEADER_SIZE: u16 = 56;
const ET_REL: u16 = 1;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;

/// May be executed, a `p_flags` bit.
const PF_X: u32 = 1;
/// May be written, a `p_flags` bit.
const PF_W: u32 = 2;

/// A program header.
#[derive(Clone, Copy)]
struct ProgramHeader {
    kind: u32,
    region: Region,
    memory_size: u64,
}

impl ProgramHeader {
    fn read(bytes: &[u8]) -> Option<ProgramHeader> {
        let bytes = &mut &bytes[..];
        let (kind, flags) = (u32::take(bytes)?, u32::take(bytes)?);
        let (offset, address, _physical) =
            (u64::take(bytes)?, u64::take(bytes)?, u64::take(bytes)?);
        let (size, memory_size) = (u64::take(bytes)?, u64::take(bytes)?);
        let region = Region {
            offset,
            address,
            size,
            writable: flags & PF_W != 0,
            executable: flags & PF_X != 0,
        };
        Some(ProgramHeader {
            kind,
            region,
            memory_size,
        })
    }
}

/// Reads the headers of a file of `file_len` bytes, see [`Headers::parse`].
pub(super) fn parse(prefix: &[u8], file_len: u64) -> Result<Headers, OpenError> {
    let header = Header::parse(prefix, file_len)?;
    // A file that Precast did not make is not damaged, whatever else there is in it.
    let mut found = None;
    for index in 0..header.count {
        let program_header = header.program_header(prefix, index, file_len)?;
        if program_header.kind == PT_PRECAST && found.replace(program_header.region).is_some() {
            return Err(damaged(index, Fault::Overlaps));
        }
    }
    let metadata = found.ok_or(OpenError::NotAnObject(Looks::OtherElf))?;
    let mut headers = Headers::new(Format::Elf, header.arch, metadata);
    for index in 0..header.count {
        let program_header = header.program_header(prefix, index, file_len)?;
        if program_header.kind == PT_LOAD {
            let fail = |fault| damaged(index, fault);
            headers.push(check_load(program_header, file_len, fail)?, fail)?;
        }
    }
    headers.finish()
}

/// What the ELF header says.
struct Header {
    arch: Arch,
    table: u64,
    count: u16,
}

impl Header {
    fn parse(prefix: &[u8], file_len: u64) -> Result<Header, OpenError> {
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
    file::field(prefix, offset, HEADER_SIZE, file_len)
}

/// A loaded segment has no memory beyond the file that code or data would count on.
fn check_load(
    load: ProgramHeader,
    file_len: u64,
    fail: impl Fn(Fault) -> OpenError,
) -> Result<Region, OpenError> {
    let region = load.region.check(file_len, &fail)?;
    if load.memory_size != region.size {
        return Err(fail(Fault::BadSize));
    }
    Ok(region)
}

fn damaged(index: u16, fault: Fault) -> OpenError {
    Damage::at(Part::ProgramHeader, index.into(), fault).into()
}
