//! Mapping an object: text to execute, metadata to read, both shared with the file.
//!
//! ```text
//!  reservation, laid out as the program headers say
//!  | R--: ELF headers, metadata, code tables | R-X: text | … |
//!         ▲                                    ▲
//!         metadata()                           text()
//! ```
//!
//! Text finds its read-only data by distance, so both keep the distance they have in the file.
//! The image of the memories is not mapped here: each instance maps or copies it for itself.
//!
//! # Safety
//!
//! Executing the text is the caller's decision: opening a module is `unsafe`. What this file
//! answers for is that the slices it hands out lie in its own mapping.
#![allow(unsafe_code, reason = "mapped files are read through pointers")]

use super::elf::{Elf, PREFIX};
use super::error::{Damage, Fault, OpenError, Part};
use super::gdb::GdbEntry;
use super::header;
use super::metadata::Metadata;
use super::unwind::UnwindEntry;
#[cfg(feature = "signatures")]
use crate::object::Looks;
#[cfg(feature = "signatures")]
use crate::signature::Trust;
use crate::sys::{self, Access, Reservation};
use precast_abi::object::ObjectHeader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::slice;
use std::sync::OnceLock;

/// An object that has been checked and mapped for this machine.
#[derive(Debug)]
pub(crate) struct MappedObject {
    // First, so that they go before what they speak about.
    unwind_entry: OnceLock<UnwindEntry>,
    gdb_entry: OnceLock<Option<GdbEntry>>,
    mapping: Reservation,
    /// Lowest address of the object's segments, as the file counts: where `mapping` starts.
    lowest: u64,
    /// Distance of the metadata from the start of the mapping, and its size.
    metadata: (usize, usize),
    /// Distance of the text from the start of the mapping, and its size.
    text: (usize, usize),
    header: ObjectHeader,
    file: OwnedFd,
    file_len: u64,
}

impl MappedObject {
    /// Maps a file as it is.
    ///
    /// The mapping shows later changes of the file, and ends the process where the file is cut
    /// short: writers must replace files, not write to them. Where they cannot be trusted to,
    /// [`MappedObject::open_sealed`] copies.
    pub(crate) fn open(path: &Path) -> Result<MappedObject, OpenError> {
        MappedObject::map(sys::open_read(path).map_err(io("open"))?)
    }

    /// Maps a copy of a file that no one can change.
    pub(crate) fn open_sealed(path: &Path) -> Result<MappedObject, OpenError> {
        let file = sys::open_read(path).map_err(io("open"))?;
        sys::len(file.as_fd()).map_err(io("read"))?;
        MappedObject::map(sys::sealed_copy(file.as_fd()).map_err(io("copy"))?)
    }

    /// Maps a copy of these bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<MappedObject, OpenError> {
        // Look before copying: most bytes that are no object are told by the first few.
        Elf::parse(&bytes[..bytes.len().min(PREFIX)], bytes.len() as u64)?;
        MappedObject::map(sys::sealed_bytes(bytes).map_err(io("copy"))?)
    }

    /// Maps a copy of a file that is signed by a key that is trusted.
    ///
    /// The copy is made and sealed first, then checked, then mapped: nobody can change the bytes
    /// that were checked, whatever is done to the file meanwhile.
    #[cfg(feature = "signatures")]
    pub(crate) fn open_trusted(path: &Path, trust: &Trust) -> Result<MappedObject, OpenError> {
        let file = sys::open_read(path).map_err(io("open"))?;
        sys::len(file.as_fd()).map_err(io("read"))?;
        MappedObject::map_trusted(sys::sealed_copy(file.as_fd()).map_err(io("copy"))?, trust)
    }

    /// Maps a copy of bytes that are signed by a key that is trusted.
    #[cfg(feature = "signatures")]
    pub(crate) fn from_trusted(bytes: &[u8], trust: &Trust) -> Result<MappedObject, OpenError> {
        MappedObject::map_trusted(sys::sealed_bytes(bytes).map_err(io("copy"))?, trust)
    }

    /// Maps what is signed of a sealed file.
    #[cfg(feature = "signatures")]
    fn map_trusted(sealed: OwnedFd, trust: &Trust) -> Result<MappedObject, OpenError> {
        let len = sys::len(sealed.as_fd()).map_err(io("read"))?;
        if len == 0 {
            return Err(OpenError::NotAnObject(Looks::Empty));
        }
        let whole = sys::map_whole_file(sealed.as_fd(), len as usize).map_err(io("map"))?;
        // SAFETY: the whole file was just mapped, and cannot become shorter: it is sealed.
        let bytes = unsafe { bytes_at(&whole, (0, len as usize)) };
        // What is no object at all is called that, rather than unsigned.
        Elf::parse(&bytes[..bytes.len().min(PREFIX)], len)?;
        let signed_len = trust.check(bytes)?.object.len() as u64;
        drop(whole);
        MappedObject::map_start(sealed, signed_len)
    }

    /// Maps an object that a file consists of.
    fn map(file: OwnedFd) -> Result<MappedObject, OpenError> {
        let file_len = sys::len(file.as_fd()).map_err(io("read"))?;
        MappedObject::map_start(file, file_len)
    }

    /// Maps the object that is the first `file_len` bytes of a file.
    ///
    /// Six system calls for any size: length, first page, reservation, and one mapping each for
    /// the metadata and the text; the file was opened before.
    fn map_start(file: OwnedFd, file_len: u64) -> Result<MappedObject, OpenError> {
        let mut prefix = [0; PREFIX];
        let count = sys::read_start(file.as_fd(), &mut prefix).map_err(io("read"))?;
        let count = count.min(file_len as usize);
        let elf = Elf::parse(&prefix[..count], file_len)?;
        let (lowest, len) = extent(&elf)?;
        let mapping = Reservation::new(len).map_err(io("map"))?;

        let load = elf.metadata_load;
        let start = (load.address - lowest) as usize;
        // SAFETY: the reservation is new, so no one refers to memory in it.
        unsafe {
            mapping.map_file(
                start..start + load.file_size as usize,
                file.as_fd(),
                load.offset,
                Access::Read,
            )
        }
        .map_err(io("map"))?;
        let metadata = (
            (elf.metadata.address - lowest) as usize,
            elf.metadata.file_size as usize,
        );
        // SAFETY: the metadata lies within `metadata_load` (`Elf::parse`), which was just mapped.
        let bytes = unsafe { bytes_at(&mapping, metadata) };
        let header = header::check(bytes, &elf)?;
        header::require_host(&header)?;

        let text = if header.text.size == 0 {
            (0, 0)
        } else {
            let text = (
                (header.text.address - lowest) as usize,
                header.text.size as usize,
            );
            // SAFETY: segments do not overlap (`Elf::parse`), and text is one of them
            // (`header::check`): what is referred to, the metadata, stays.
            unsafe {
                mapping.map_file(
                    text.0..text.0 + text.1,
                    file.as_fd(),
                    header.text.file_offset,
                    Access::ReadExecute,
                )
            }
            .map_err(io("map"))?;
            text
        };
        Ok(MappedObject {
            unwind_entry: OnceLock::new(),
            gdb_entry: OnceLock::new(),
            mapping,
            lowest,
            metadata,
            text,
            header,
            file,
            file_len,
        })
    }

    /// Everything the object says about its module.
    pub(crate) fn metadata(&self) -> Metadata<'_> {
        // SAFETY: `map` mapped this range for reading, and the mapping lives as long as `self`.
        Metadata::new(
            unsafe { bytes_at(&self.mapping, self.metadata) },
            &self.header,
        )
    }

    /// Address of the first byte of the text.
    pub(crate) fn text_base(&self) -> usize {
        self.mapping.base().addr().get() + self.text.0
    }

    /// Size of the text in bytes.
    pub(crate) fn text_len(&self) -> usize {
        self.text.1
    }

    /// The text, as data.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &[u8] {
        // SAFETY: `map` mapped this range for reading and executing; an empty text is an empty
        // slice at the start of the mapping.
        unsafe { bytes_at(&self.mapping, self.text) }
    }

    /// What is added to an address in the file to get the address it is mapped at. Wraps.
    pub(crate) fn slide(&self) -> u64 {
        (self.mapping.base().addr().get() as u64).wrapping_sub(self.lowest)
    }

    /// Where the text ends, as the file counts addresses.
    pub(crate) fn text_end(&self) -> u64 {
        self.header.text.address + self.header.text.size
    }

    /// Makes backtraces taken by the host pass through this object's code. Once is enough.
    pub(crate) fn register_with_unwinder(&self) {
        if self.text.1 > 0 {
            self.unwind_entry
                .get_or_init(|| UnwindEntry::register(self.text_base(), self.text.1));
        }
    }

    /// Shows this object's symbols and unwind tables to debuggers, those that are attached now
    /// and later. Once is enough.
    pub(crate) fn register_with_debugger(&self) {
        self.gdb_entry.get_or_init(|| GdbEntry::register(self));
    }

    /// The file, for mapping or reading the image from
    /// [`ObjectHeader::image`]`.file_offset`.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Length of the file in bytes.
    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }
}

/// Lowest address of the segments, and how many bytes they span.
fn extent(elf: &Elf) -> Result<(u64, usize), OpenError> {
    let out_of_bounds = || OpenError::from(Damage::of(Part::ElfHeader, Fault::OutOfBounds));
    let (Some(first), Some(last)) = (elf.loads().first(), elf.loads().last()) else {
        return Err(out_of_bounds());
    };
    // The reservation starts on a page as the kernel sees pages, and so must the first segment.
    let lowest = first.address - first.address % sys::page_size() as u64;
    let len = last.address + last.memory_size - lowest;
    // Segments lie in a file: a span that is much larger than any file is damage.
    if len > 1 << 40 {
        return Err(out_of_bounds());
    }
    Ok((lowest, len as usize))
}

/// # Safety
///
/// `(start, len)` lies within `mapping`, is mapped readable, and stays so for as long as the
/// slice is used.
unsafe fn bytes_at(mapping: &Reservation, (start, len): (usize, usize)) -> &[u8] {
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(mapping.base().add(start).as_ptr(), len) }
}

fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> OpenError {
    move |error| OpenError::Io { doing, error }
}
