//! Mapping an object: text to execute, metadata to read, both shared with the file.
//!
//! ```text
//!  reservation, laid out as the file's headers say
//!  | R--: metadata, code tables | … | R-X: text | … |       (or the text first)
//!         ▲                           ▲
//!         metadata()                  text()
//! ```
//!
//! Text finds its read-only data by distance, so both keep the distance they have in the file.
//! The image of the memories is not mapped here: each instance maps or copies it for itself.
//! An object may lie within a larger file, from a page on, and be one of several for different CPUs
//! (`levels.rs`). Objects that a linker has made part of
//! the program are there already, see `linked.rs`.
//!
//! # Safety
//!
//! Executing the text is the caller's decision: opening a module is `unsafe`. What this file
//! answers for is that the slices it hands out lie in its own mapping.
#![allow(unsafe_code, reason = "mapped files are read through pointers")]

use super::error::{Damage, Fault, OpenError, Part};
use super::file::{Format, Headers, PREFIX, Region};
use super::gdb::GdbEntry;
use super::header::{self, Place};
use super::levels::{self, First};
use super::linked::Linked;
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
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

/// An object that has been checked and is in memory, for this machine.
#[derive(Debug)]
pub(crate) struct MappedObject {
    // First, so that they go before what they speak about.
    unwind_entry: OnceLock<UnwindEntry>,
    gdb_entry: OnceLock<Option<GdbEntry>>,
    /// Address of the metadata, and its size.
    metadata: (NonNull<u8>, usize),
    /// Address of the text, and its size.
    text: (NonNull<u8>, usize),
    header: ObjectHeader,
    home: Home,
}

// SAFETY: the addresses are of memory that no one writes to, which lives as long as the object.
unsafe impl Send for MappedObject {}
// SAFETY: as above.
unsafe impl Sync for MappedObject {}

/// What an object is part of.
#[derive(Debug)]
enum Home {
    /// A file.
    File(MappedFile),
    /// The program.
    Program(Linked),
}

/// A file, or a part of one, that is mapped.
#[derive(Debug)]
pub(super) struct MappedFile {
    mapping: Reservation,
    /// Lowest address of the object's regions, as the file counts: where `mapping` starts.
    lowest: u64,
    format: Format,
    file: OwnedFd,
    /// Where the object starts in the file: a multiple of the page size.
    start: u64,
    /// Length of the object in bytes.
    len: u64,
    /// Where the object starts whose image this one has: `start`, unless it is shared.
    image_start: u64,
}

impl MappedFile {
    /// Where `size` bytes at an address in the file are in the mapping.
    fn place(&self, address: u64, size: u64) -> (usize, usize) {
        ((address - self.lowest) as usize, size as usize)
    }

    /// Maps a region of the object.
    ///
    /// # Safety
    ///
    /// No reference to memory in its pages is in use.
    unsafe fn map_region(&self, region: &Region, access: Access) -> Result<(), OpenError> {
        let (at, len) = self.place(region.address, region.size);
        let offset = self.start + region.offset;
        // SAFETY: the caller's promise.
        let mapped = unsafe {
            self.mapping
                .map_file(at..at + len, self.file.as_fd(), offset, access)
        };
        mapped.map_err(io("map"))
    }

    /// What is added to an address in the file to get the address it is mapped at. Wraps.
    pub(super) fn slide(&self) -> u64 {
        (self.mapping.base().addr().get() as u64).wrapping_sub(self.lowest)
    }

    /// A private, writable copy of the whole object, which costs only the pages that are written.
    pub(super) fn private_copy(&self) -> std::io::Result<Reservation> {
        let len = usize::try_from(self.len).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
        sys::map_whole_file(self.file.as_fd(), self.start, len)
    }

    /// Length of the object in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What the object's headers are.
    pub(super) fn format(&self) -> Format {
        self.format
    }
}

impl MappedFile {
    /// Maps the text, and says where. An empty one is nowhere.
    ///
    /// # Safety
    ///
    /// As [`MappedFile::map_region`].
    unsafe fn map_text(&self, header: &ObjectHeader) -> Result<(usize, usize), OpenError> {
        let text = Region {
            offset: header.text.file_offset,
            address: header.text.address,
            size: header.text.size,
            ..Region::default()
        };
        if text.size == 0 {
            return Ok((0, 0));
        }
        let access = match header.flags & ObjectHeader::LANDING_PADS {
            0 => Access::ReadExecute,
            _ => Access::ReadExecutePads,
        };
        // SAFETY: the caller's promise.
        unsafe { self.map_region(&text, access)? };
        Ok(self.place(text.address, text.size))
    }
}

impl MappedObject {
    /// Maps a file as it is.
    ///
    /// The mapping shows later changes of the file, and ends the process where the file is cut
    /// short: writers must replace files, not write to them. Where they cannot be trusted to,
    /// [`MappedObject::open_sealed`] copies.
    pub(crate) fn open(path: &Path) -> Result<MappedObject, OpenError> {
        MappedObject::map_file(sys::open_read(path).map_err(io("open"))?)
    }

    /// Maps the object that starts `start` bytes into a file and is `len` bytes long.
    pub(crate) fn open_part(path: &Path, start: u64, len: u64) -> Result<MappedObject, OpenError> {
        if !start.is_multiple_of(sys::page_size() as u64) {
            return Err(Damage::of(Part::Headers, Fault::Misaligned).into());
        }
        let file = sys::open_read(path).map_err(io("open"))?;
        let found = sys::len(file.as_fd()).map_err(io("read"))?;
        let needed = start.saturating_add(len);
        if needed > found {
            return Err(OpenError::CutShort { needed, found });
        }
        MappedObject::map(file, start, len)
    }

    /// Maps a copy of a file that no one can change.
    pub(crate) fn open_sealed(path: &Path) -> Result<MappedObject, OpenError> {
        let file = sys::open_read(path).map_err(io("open"))?;
        sys::len(file.as_fd()).map_err(io("read"))?;
        MappedObject::map_file(sys::sealed_copy(file.as_fd()).map_err(io("copy"))?)
    }

    /// Maps a copy of these bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<MappedObject, OpenError> {
        // Look before copying: most bytes that are no object are told by the first few.
        Headers::parse(&bytes[..bytes.len().min(PREFIX)], bytes.len() as u64)?;
        MappedObject::map_file(sys::sealed_bytes(bytes).map_err(io("copy"))?)
    }

    /// Maps a copy of these bytes, whatever system they are for.
    #[cfg(feature = "other-systems")]
    pub(crate) fn from_bytes_of_any_system(bytes: &[u8]) -> Result<MappedObject, OpenError> {
        let file = sys::sealed_bytes(bytes).map_err(io("copy"))?;
        MappedObject::map_if(file, 0, bytes.len() as u64, header::require_cpu)
    }

    fn map_file(file: OwnedFd) -> Result<MappedObject, OpenError> {
        let len = sys::len(file.as_fd()).map_err(io("read"))?;
        MappedObject::map(file, 0, len)
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
        let whole = sys::map_whole_file(sealed.as_fd(), 0, len as usize).map_err(io("map"))?;
        // SAFETY: the whole file was just mapped, and cannot become shorter: it is sealed.
        let bytes = unsafe { bytes_at(&whole, (0, len as usize)) };
        // What is no object at all is called that, rather than unsigned.
        Headers::parse(&bytes[..bytes.len().min(PREFIX)], len)?;
        let signed_len = trust.check(bytes)?.object.len() as u64;
        drop(whole);
        MappedObject::map(sealed, 0, signed_len)
    }

    /// Five system calls for any size: first page, reservation, and one mapping each for the
    /// metadata and the text; the file was opened and its length found out before. As many without
    /// the text again where the file has a better object for this CPU.
    fn map(file: OwnedFd, start: u64, len: u64) -> Result<MappedObject, OpenError> {
        MappedObject::map_if(file, start, len, header::require_host)
    }

    /// As [`MappedObject::map`], with another idea of what this machine can execute.
    fn map_if(
        file: OwnedFd,
        start: u64,
        len: u64,
        require_host: fn(&ObjectHeader) -> Result<(), OpenError>,
    ) -> Result<MappedObject, OpenError> {
        MappedObject::map_level(file, (start, len), None, require_host)
    }

    /// Maps the object at a place of the file: start and length. It is a level of `first`, which
    /// starts at the place that stands with it, or the first of its file.
    fn map_level(
        file: OwnedFd,
        (start, len): (u64, u64),
        first: Option<(u64, First)>,
        require_host: fn(&ObjectHeader) -> Result<(), OpenError>,
    ) -> Result<MappedObject, OpenError> {
        let mut prefix = [0; PREFIX];
        let prefix = &mut prefix[..usize::try_from(len).unwrap_or(PREFIX).min(PREFIX)];
        let count = sys::read_at(file.as_fd(), start, prefix).map_err(io("read"))?;
        let headers = Headers::parse(&prefix[..count], len)?;
        let (lowest, span) = extent(&headers)?;
        let mut home = MappedFile {
            mapping: Reservation::new(span).map_err(io("map"))?,
            lowest,
            format: headers.format,
            file,
            start,
            len,
            image_start: start,
        };
        // SAFETY: the reservation is new, so no one refers to memory in it.
        unsafe { home.map_region(&headers.metadata_load, Access::Read)? };
        let metadata = home.place(headers.metadata.address, headers.metadata.size);
        // SAFETY: the metadata lies within `metadata_load` (`Headers::parse`), which was just
        // mapped.
        let bytes = unsafe { bytes_at(&home.mapping, metadata) };
        let header = header::check(bytes, Place::File(&headers))?;
        let header = levels::accept(header, first.as_ref().map(|(_, first)| first))?;
        let features = sys::host().cpu_features;
        let best = levels::best(Metadata::new(bytes, &header), len, features)?;
        if let Some((index, level)) = best {
            let place = (start + level.file_offset, level.size);
            let first = First {
                header,
                level,
                index,
            };
            return MappedObject::map_level(home.file, place, Some((start, first)), require_host);
        }
        require_host(&header)?;
        if let Some((start, _)) = first
            && header.flags & ObjectHeader::SHARES_IMAGE != 0
        {
            home.image_start = start;
        }
        if let Some(signature) = headers.code_signature {
            sys::admit_code(home.file.as_fd(), start, signature).map_err(io("execute"))?;
        }
        // SAFETY: regions do not overlap (`Headers::parse`), and text is one of them that starts on a
        // page (`header::check`): what is referred to, the metadata, stays.
        let text = unsafe { home.map_text(&header)? };
        let address = |(start, len): (usize, usize)| {
            // SAFETY: both ranges lie in the mapping, as was found above.
            (unsafe { home.mapping.base().add(start) }, len)
        };
        let (metadata, text) = (address(metadata), address(text));
        Ok(MappedObject::new(metadata, text, header, Home::File(home)))
    }

    /// Takes the object whose metadata is at this address in the program itself.
    ///
    /// # Safety
    ///
    /// As [`Linked::check`].
    pub(crate) unsafe fn of_program(metadata: *const u8) -> Result<MappedObject, OpenError> {
        // SAFETY: the caller's promise.
        let (linked, header) = unsafe { Linked::check(metadata)? };
        let (metadata, text) = (linked.metadata(), linked.text());
        let home = Home::Program(linked);
        Ok(MappedObject::new(metadata, text, header, home))
    }

    fn new(
        metadata: (NonNull<u8>, usize),
        text: (NonNull<u8>, usize),
        header: ObjectHeader,
        home: Home,
    ) -> MappedObject {
        MappedObject {
            unwind_entry: OnceLock::new(),
            gdb_entry: OnceLock::new(),
            metadata,
            text,
            header,
            home,
        }
    }

    /// Everything the object says about its module.
    pub(crate) fn metadata(&self) -> Metadata<'_> {
        let (start, len) = self.metadata;
        // SAFETY: the range is readable and does not change, as long as `self` lives: `map` mapped
        // it, or it is part of the program.
        let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), len) };
        Metadata::new(bytes, &self.header)
    }

    /// Address of the first byte of the text.
    pub(crate) fn text_base(&self) -> usize {
        self.text.0.addr().get()
    }

    /// Size of the text in bytes.
    pub(crate) fn text_len(&self) -> usize {
        self.text.1
    }

    /// The text, as data.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &[u8] {
        // SAFETY: as for the metadata; text is readable as well as executable.
        unsafe { slice::from_raw_parts(self.text.0.as_ptr(), self.text.1) }
    }

    /// Where the text ends, as the file counts addresses.
    pub(super) fn text_end(&self) -> u64 {
        self.header.text.address + self.header.text.size
    }

    /// The file that it is mapped from, unless it is part of the program.
    pub(super) fn mapped_file(&self) -> Option<&MappedFile> {
        match &self.home {
            Home::File(file) => Some(file),
            Home::Program(_) => None,
        }
    }

    /// Makes backtraces taken by the host pass through this object's code. Once is enough. The
    /// program's own unwind tables cover what is part of the program.
    pub(crate) fn register_with_unwinder(&self) {
        if self.text.1 > 0 && self.mapped_file().is_some() {
            self.unwind_entry
                .get_or_init(|| UnwindEntry::register(self.text_base(), self.text.1));
        }
    }

    /// Shows this object's symbols and unwind tables to debuggers, those that are attached now
    /// and later. Once is enough. They know what is part of the program from its own file.
    pub(crate) fn register_with_debugger(&self) {
        self.gdb_entry.get_or_init(|| GdbEntry::register(self));
    }

    /// Where the image of the memories can be mapped from: a file, and where in it the image
    /// starts. `None` where there is no such file: the image can only be copied.
    pub(crate) fn image_file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        match &self.home {
            Home::File(home) => Some((
                home.file.as_fd(),
                home.image_start + self.header.image.file_offset,
            )),
            Home::Program(linked) => linked.image_file().map(|file| (file, 0)),
        }
    }

    /// The image, where it is in memory already.
    pub(crate) fn image_in_memory(&self) -> Option<&[u8]> {
        match &self.home {
            Home::File(_) => None,
            Home::Program(linked) => Some(linked.image()),
        }
    }
}

/// Lowest address of the regions, and how many bytes they span.
fn extent(file: &Headers) -> Result<(u64, usize), OpenError> {
    let out_of_bounds = || OpenError::from(Damage::of(Part::Headers, Fault::OutOfBounds));
    let (Some(first), Some(last)) = (file.regions().first(), file.regions().last()) else {
        return Err(out_of_bounds());
    };
    // The reservation starts on a page as the kernel sees pages, and so must the first region.
    let lowest = first.address - first.address % sys::page_size() as u64;
    let len = last.address + last.size - lowest;
    // Regions lie in a file: a span that is much larger than any file is damage.
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
