//! What the headers of an object's file say, whatever its format: which CPU it is for, where the
//! metadata is, and which parts of the file may be mapped how.
//!
//! Nothing but the headers is read, which lie in the first [`PREFIX`] bytes: constant time,
//! whatever the size of the file.

use super::error::{Damage, Fault, Looks, OpenError, Part};
use super::record::{Record, read};
use super::{elf, macho};
use precast_abi::object::{Arch, Os};

/// All headers lie in this many bytes from the start of the file.
pub(crate) const PREFIX: usize = 4096;

const MAX_REGIONS: usize = 12;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Elf,
    MachO,
}

impl Format {
    /// The system whose format it is.
    pub(crate) fn os(self) -> Os {
        match self {
            Format::Elf => Os::Linux,
            Format::MachO => Os::Macos,
        }
    }
}

/// A part of the file, and where it goes in memory: as many bytes there as in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

impl Region {
    /// Whether `other` lies within this one, in the file and at the same place in memory.
    pub(super) fn contains(&self, other: &Region) -> bool {
        other.offset >= self.offset
            && other.offset - self.offset <= self.size
            && other.size <= self.size - (other.offset - self.offset)
            && other.address.wrapping_sub(self.address) == other.offset - self.offset
    }

    /// A region lies in the file, far below the end of the address space, and is never writable and
    /// executable at once. `fail` makes an error of what is wrong.
    pub(super) fn check(
        self,
        file_len: u64,
        fail: impl Fn(Fault) -> OpenError,
    ) -> Result<Region, OpenError> {
        let end = self.offset.checked_add(self.size);
        let end = end.ok_or_else(|| fail(Fault::OutOfBounds))?;
        if end > file_len {
            return Err(OpenError::CutShort {
                needed: end,
                found: file_len,
            });
        }
        // Half of the address space is far more than any object has; sums cannot overflow below it.
        if self.address > i64::MAX as u64 || self.size > i64::MAX as u64 {
            return Err(fail(Fault::OutOfBounds));
        }
        if self.writable && self.executable {
            return Err(fail(Fault::BadPermissions));
        }
        Ok(self)
    }
}

/// What the headers say, each part checked against the size of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    pub(crate) format: Format,
    pub(crate) arch: Arch,
    /// The metadata section.
    pub(crate) metadata: Region,
    /// The region that holds it.
    pub(crate) metadata_load: Region,
    /// What the system wants to see before it executes anything: offset in the file, and size.
    pub(crate) code_signature: Option<(u64, u64)>,
    regions: [Region; MAX_REGIONS],
    region_count: usize,
}

impl Headers {
    /// Reads the headers of a file of `file_len` bytes whose first bytes are `prefix` (all of it,
    /// or at least [`PREFIX`]).
    pub(crate) fn parse(prefix: &[u8], file_len: u64) -> Result<Headers, OpenError> {
        if prefix.starts_with(&elf::MAGIC) {
            elf::parse(prefix, file_len)
        } else if prefix.starts_with(&macho::MAGIC) {
            macho::parse(prefix, file_len)
        } else {
            Err(OpenError::NotAnObject(Looks::guess(prefix)))
        }
    }

    /// Headers without any region yet.
    pub(super) fn new(format: Format, arch: Arch, metadata: Region) -> Headers {
        Headers {
            format,
            arch,
            metadata,
            metadata_load: Region::default(),
            code_signature: None,
            regions: [Region::default(); MAX_REGIONS],
            region_count: 0,
        }
    }

    /// Adds a region behind all others.
    pub(super) fn push(
        &mut self,
        region: Region,
        fail: impl Fn(Fault) -> OpenError,
    ) -> Result<(), OpenError> {
        if let Some(last) = self.regions().last()
            && region.address < last.address + last.size
        {
            return Err(fail(Fault::Overlaps));
        }
        let slot = self.regions.get_mut(self.region_count);
        *slot.ok_or_else(|| fail(Fault::BadCount))? = region;
        self.region_count += 1;
        Ok(())
    }

    /// Finds the region that holds the metadata.
    pub(super) fn finish(mut self) -> Result<Headers, OpenError> {
        let mut regions = self.regions().iter().copied();
        self.metadata_load = regions
            .find(|region| region.contains(&self.metadata))
            .ok_or(Damage::of(Part::Metadata, Fault::OutOfBounds))?;
        if self.metadata_load.writable || self.metadata_load.executable {
            return Err(Damage::of(Part::Metadata, Fault::BadPermissions).into());
        }
        Ok(self)
    }

    /// The regions that may be mapped, in the order of their addresses.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions[..self.region_count]
    }
}

/// A field of the first header, which has `needed` bytes.
pub(super) fn field<T: Record>(
    prefix: &[u8],
    offset: usize,
    needed: u64,
    file_len: u64,
) -> Result<T, OpenError> {
    let found = prefix.get(offset..).and_then(read);
    found.ok_or(OpenError::CutShort {
        needed,
        found: file_len,
    })
}
