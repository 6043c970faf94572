//! Reading an object without mapping it.

use super::error::OpenError;
use super::file::{Headers, PREFIX};
use super::header::{self, Place};
use super::metadata::Metadata;
use precast_abi::object::{ObjectHeader, Segment};

/// An object in memory that has been looked at and not executed: safe, whatever the bytes are.
///
/// It need not be for this machine.
#[derive(Clone, Debug)]
pub struct ObjectView<'a> {
    bytes: &'a [u8],
    metadata: &'a [u8],
    metadata_address: u64,
    header: ObjectHeader,
}

impl<'a> ObjectView<'a> {
    /// Checks all that can be checked in constant time: that `bytes` are an object of a known
    /// ABI version, whole, with every list and segment in bounds.
    pub fn parse(bytes: &'a [u8]) -> Result<ObjectView<'a>, OpenError> {
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
        Ok(ObjectView {
            bytes,
            metadata,
            metadata_address: file.metadata.address,
            header,
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
        self.segment(self.header.text)
    }

    /// The initial contents of memories.
    pub fn image(&self) -> &'a [u8] {
        self.segment(self.header.image)
    }

    /// Opening has checked that segments lie in the file.
    fn segment(&self, segment: Segment) -> &'a [u8] {
        let start = segment.file_offset as usize;
        self.bytes
            .get(start..)
            .and_then(|rest| rest.get(..segment.size as usize))
            .unwrap_or(&[])
    }
}
