//! Reading an object without mapping it.

use super::error::OpenError;
use super::file::{Headers, PREFIX};
use super::header::{self, Place};
use super::levels::{self, First};
use super::metadata::Metadata;
use precast_abi::object::{LevelRecord, ObjectHeader, Segment};

/// An object in memory that has been looked at and not executed: safe, whatever the bytes are.
///
/// It need not be for this machine.
#[derive(Clone, Debug)]
pub struct ObjectView<'a> {
    bytes: &'a [u8],
    metadata: &'a [u8],
    metadata_address: u64,
    header: ObjectHeader,
    /// The object that the image is in: this one, or the first of its file.
    image_of: &'a [u8],
}

impl<'a> ObjectView<'a> {
    /// Checks all that can be checked in constant time: that `bytes` are an object of a known
    /// ABI version, whole, with every list and segment in bounds.
    ///
    /// Of a file with objects for several CPUs this is the first, see [`ObjectView::levels`].
    pub fn parse(bytes: &'a [u8]) -> Result<ObjectView<'a>, OpenError> {
        ObjectView::parse_level(bytes, None)
    }

    /// The objects for better CPUs that the file has, from the least to the best.
    pub fn levels(&self) -> Result<Vec<ObjectView<'a>>, OpenError> {
        let metadata = self.metadata();
        let len = self.bytes.len() as u64;
        // That all of them are there.
        levels::best(metadata, len, 0)?;
        let one = |index| {
            let level: LevelRecord = metadata.level(index)?;
            let place = level.file_offset as usize..(level.file_offset + level.size) as usize;
            let first = First {
                header: self.header,
                level,
                index,
            };
            let bytes = self.bytes.get(place).unwrap_or_default();
            ObjectView::parse_level(bytes, Some((self.bytes, first)))
        };
        (0..self.header.levels.len).map(one).collect()
    }

    /// `first` are the bytes of the first object of the file and what it says.
    fn parse_level(
        bytes: &'a [u8],
        first: Option<(&'a [u8], First)>,
    ) -> Result<ObjectView<'a>, OpenError> {
        let file_len = bytes.len() as u64;
        let file = Headers::parse(&bytes[..bytes.len().min(PREFIX)], file_len)?;
        let start = file.metadata.offset as usize;
        let cut_short = OpenError::CutShort {
            needed: file.metadata.offset.saturating_add(file.metadata.size),
            found: file_len,
        };
        let metadata = bytes
            .get(start..)
            .and_then(|rest| rest.get(..file.metadata.size as usize))
            .ok_or(cut_short)?;
        let header = header::check(metadata, Place::File(&file))?;
        let header = levels::accept(header, first.as_ref().map(|(_, first)| first))?;
        let image_of = match first {
            Some((first, _)) if header.flags & ObjectHeader::SHARES_IMAGE != 0 => first,
            _ => bytes,
        };
        Ok(ObjectView {
            bytes,
            metadata,
            metadata_address: file.metadata.address,
            header,
            image_of,
        })
    }

    /// Whether this machine can execute it, as [`OpenError::OtherArch`], [`OpenError::OtherOs`]
    /// or [`OpenError::CpuFeatures`].
    pub fn require_host(&self) -> Result<(), OpenError> {
        header::require_host(&self.header)
    }

    /// Everything that the object says about its module.
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata::new(self.metadata, &self.header)
    }

    /// Address of the metadata, as the file counts addresses.
    pub fn metadata_address(&self) -> u64 {
        self.metadata_address
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The machine code.
    pub fn text(&self) -> &'a [u8] {
        segment(self.bytes, self.header.text)
    }

    /// The initial contents of memories.
    pub fn image(&self) -> &'a [u8] {
        segment(self.image_of, self.header.image)
    }
}

/// Opening has checked that segments lie in the file.
fn segment(bytes: &[u8], segment: Segment) -> &[u8] {
    let start = segment.file_offset as usize;
    bytes
        .get(start..)
        .and_then(|rest| rest.get(..segment.size as usize))
        .unwrap_or(&[])
}
