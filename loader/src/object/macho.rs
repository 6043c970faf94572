//! As much of Mach-O as is needed to find the metadata, to know what may be mapped how, and to show
//! the code signature to the system.
//!
//! The loader reads the header and the load commands. What it maps are sections: those of code and
//! of data share segments with others, which are for the system's tools.

use super::error::{Damage, Fault, Foreign, Looks, OpenError, Part};
use super::file::{self, Format, Headers, PREFIX, Region};
use super::record::{Record, read};
use precast_abi::object::{Arch, MACHO_METADATA, MACHO_SEGMENT};

/// The first bytes of a 64-bit little-endian file.
pub(super) const MAGIC: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];

const HEADER_SIZE: usize = 32;
const COMMAND_SIZE: usize = 8;
const SEGMENT_SIZE: usize = 72;
const SECTION_SIZE: usize = 80;

const CPU_X86_64: u32 = 0x0100_0007;
const CPU_ARM64: u32 = 0x0100_000c;
const MH_OBJECT: u32 = 1;
const MH_DYLIB: u32 = 6;
const LC_SEGMENT_64: u32 = 0x19;
const LC_CODE_SIGNATURE: u32 = 0x1d;

/// May be written, a bit of a segment's protection.
const PROT_WRITE: u32 = 2;
/// May be executed, a bit of a segment's protection.
const PROT_EXECUTE: u32 = 4;

/// Types of sections that have no bytes in the file.
const ZEROFILL: [u8; 3] = [0x01, 0x0c, 0x12];

/// Reads the headers of a file of `file_len` bytes, see [`Headers::parse`].
pub(super) fn parse(prefix: &[u8], file_len: u64) -> Result<Headers, OpenError> {
    let commands = Commands::find(prefix, file_len)?;
    // A file that Precast did not make is not damaged, whatever else there is in it.
    let mut found = None;
    for command in commands.iter() {
        let Command { index, kind, bytes } = command?;
        if kind != LC_SEGMENT_64 || !is_named(bytes, COMMAND_SIZE, MACHO_SEGMENT) {
            continue;
        }
        let segment = Segment::read(bytes, index)?;
        for section in segment.sections().filter(|section| section.is_metadata()) {
            if found.replace(section.region(&segment)).is_some() {
                return Err(damaged(index, Fault::Overlaps));
            }
        }
    }
    let metadata = found.ok_or(OpenError::NotAnObject(Looks::MachO))?;
    let mut headers = Headers::new(Format::MachO, commands.arch, metadata);
    for command in commands.iter() {
        let command = command?;
        match command.kind {
            LC_SEGMENT_64 => add_segment(&mut headers, &command, file_len)?,
            LC_CODE_SIGNATURE => add_signature(&mut headers, &command, file_len)?,
            _ => {}
        }
    }
    if headers.code_signature.is_none() {
        return Err(Damage::of(Part::CodeSignature, Fault::Missing).into());
    }
    headers.finish()
}

/// The load commands.
struct Commands<'a> {
    arch: Arch,
    bytes: &'a [u8],
    count: u32,
}

/// A load command.
struct Command<'a> {
    index: u32,
    kind: u32,
    /// All of it.
    bytes: &'a [u8],
}

impl<'a> Commands<'a> {
    fn find(prefix: &'a [u8], file_len: u64) -> Result<Commands<'a>, OpenError> {
        let number = |at| file::field::<u32>(prefix, at, HEADER_SIZE as u64, file_len);
        let arch = match number(4)? {
            CPU_X86_64 => Arch::X86_64,
            CPU_ARM64 => Arch::Aarch64,
            other => return Err(OpenError::OtherArch(Foreign::MachOCpu(other))),
        };
        match number(12)? {
            MH_DYLIB => {}
            MH_OBJECT => return Err(OpenError::NotAnObject(Looks::Relocatable)),
            _ => return Err(OpenError::NotAnObject(Looks::MachO)),
        }
        let (count, size) = (number(16)?, number(20)? as usize);
        number(HEADER_SIZE - 4)?;
        if size > PREFIX - HEADER_SIZE {
            return Err(OpenError::NotAnObject(Looks::MachO));
        }
        let bytes = prefix.get(HEADER_SIZE..HEADER_SIZE + size);
        let bytes = bytes.ok_or(OpenError::CutShort {
            needed: (HEADER_SIZE + size) as u64,
            found: file_len,
        })?;
        Ok(Commands { arch, bytes, count })
    }

    /// One after the other. They cannot be more than fit in [`PREFIX`].
    fn iter(&self) -> impl Iterator<Item = Result<Command<'a>, OpenError>> {
        let mut rest = self.bytes;
        let mut failed = false;
        (0..self.count).map_while(move |index| {
            if failed {
                return None;
            }
            let command = Command::split(&mut rest, index);
            failed = command.is_err();
            Some(command)
        })
    }
}

impl<'a> Command<'a> {
    /// Takes one off the front.
    fn split(rest: &mut &'a [u8], index: u32) -> Result<Command<'a>, OpenError> {
        let head = read::<[u32; 2]>(rest);
        let [kind, size] = head.ok_or(damaged(index, Fault::OutOfBounds))?;
        let size = size as usize;
        if size < COMMAND_SIZE || !size.is_multiple_of(8) {
            return Err(damaged(index, Fault::BadSize));
        }
        let split = rest.split_at_checked(size);
        let (bytes, behind) = split.ok_or(damaged(index, Fault::OutOfBounds))?;
        *rest = behind;
        Ok(Command { index, kind, bytes })
    }
}

/// A segment.
struct Segment<'a> {
    region: Region,
    memory_size: u64,
    /// Its sections.
    sections: &'a [u8],
}

impl<'a> Segment<'a> {
    fn read(bytes: &'a [u8], index: u32) -> Result<Segment<'a>, OpenError> {
        let fail = || damaged(index, Fault::BadSize);
        let (head, sections) = bytes.split_at_checked(SEGMENT_SIZE).ok_or_else(fail)?;
        let mut rest = &head[24..];
        let places = <[u64; 4]>::take(&mut rest).ok_or_else(fail)?;
        let [address, memory_size, offset, size] = places;
        let numbers = <[u32; 4]>::take(&mut rest).ok_or_else(fail)?;
        let [most, protection, count, _flags] = numbers;
        if sections.len() != (count as usize).saturating_mul(SECTION_SIZE) {
            return Err(fail());
        }
        Ok(Segment {
            region: Region {
                offset,
                address,
                size,
                writable: (most | protection) & PROT_WRITE != 0,
                executable: (most | protection) & PROT_EXECUTE != 0,
            },
            memory_size,
            sections,
        })
    }

    fn sections(&self) -> impl Iterator<Item = Section<'a>> {
        self.sections.chunks_exact(SECTION_SIZE).map(Section)
    }
}

/// A section: its header.
struct Section<'a>(&'a [u8]);

impl Section<'_> {
    fn is_metadata(&self) -> bool {
        is_named(self.0, 0, MACHO_METADATA)
    }

    /// Where it is, with the permissions of its segment.
    fn region(&self, segment: &Segment<'_>) -> Region {
        let number = |at: usize| read::<u64>(&self.0[at..]).unwrap_or(u64::MAX);
        let offset = read::<u32>(&self.0[48..]).unwrap_or(u32::MAX);
        Region {
            address: number(32),
            size: number(40),
            offset: offset.into(),
            ..segment.region
        }
    }

    fn has_bytes(&self) -> bool {
        !ZEROFILL.contains(&self.0[64])
    }
}

/// Adds the sections of a segment, each of which lies in it.
fn add_segment(
    headers: &mut Headers,
    command: &Command<'_>,
    file_len: u64,
) -> Result<(), OpenError> {
    let fail = |fault| damaged(command.index, fault);
    let segment = Segment::read(command.bytes, command.index)?;
    let whole = segment.region.check(file_len, fail)?;
    if segment.memory_size < whole.size {
        return Err(fail(Fault::BadSize));
    }
    for section in segment.sections() {
        let region = section.region(&segment);
        if !section.has_bytes() {
            return Err(fail(Fault::BadSize));
        }
        if !whole.contains(&region) {
            return Err(fail(Fault::OutOfBounds));
        }
        headers.push(region.check(file_len, fail)?, fail)?;
    }
    Ok(())
}

fn add_signature(
    headers: &mut Headers,
    command: &Command<'_>,
    file_len: u64,
) -> Result<(), OpenError> {
    let place = command.bytes.get(COMMAND_SIZE..).and_then(read::<[u32; 2]>);
    let [offset, size] = place.ok_or(damaged(command.index, Fault::BadSize))?;
    let needed = u64::from(offset) + u64::from(size);
    if needed > file_len {
        return Err(OpenError::CutShort {
            needed,
            found: file_len,
        });
    }
    let place = (offset.into(), size.into());
    match headers.code_signature.replace(place) {
        None => Ok(()),
        Some(_) => Err(damaged(command.index, Fault::Overlaps)),
    }
}

/// Whether the 16 bytes at `at` are this name.
fn is_named(bytes: &[u8], at: usize, name: &str) -> bool {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    bytes.get(at..at + 16) == Some(&padded)
}

fn damaged(index: u32, fault: Fault) -> OpenError {
    Damage::at(Part::LoadCommand, index, fault).into()
}
