//! Objects that a linker has made part of the program: there already, and executable already.
//!
//! ```text
//!  the program, as the system mapped it
//!  | R-X: .text … the object's text … | R--: .rodata … metadata … image … |
//!         ▲                                          │          ▲
//!         └──────────── distance in the header ──────┴──────────┘
//! ```
//!
//! No file is opened, and no page changes what it may be used for. The checks are those of a
//! mapped object, but for those of the file around it.
//!
//! # Safety
//!
//! Memory is read where the object says that it is: naming an object is the caller's decision, as
//! executing it is.
#![allow(unsafe_code, reason = "the linker tells only an address")]

use super::error::{Damage, Fault, Looks, OpenError, Part};
use super::header::{self, Place};
use super::record::read;
use crate::sys;
use precast_abi::object::{MAGIC, ObjectHeader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

/// Where the parts of such an object are.
#[derive(Debug)]
pub(super) struct Linked {
    metadata: (NonNull<u8>, usize),
    text: (NonNull<u8>, usize),
    image: (NonNull<u8>, usize),
    /// The image as a file in memory, made when a memory wants to map it; `None` where the system
    /// has no such files.
    image_file: OnceLock<Option<OwnedFd>>,
}

impl Linked {
    /// Checks an object whose metadata is at `metadata`.
    ///
    /// # Safety
    ///
    /// There must be an [`ObjectHeader`], as long as its magic is right a whole metadata section as
    /// long as its header says, and text and image where that says; none of them ever changes.
    pub(super) unsafe fn check(metadata: *const u8) -> Result<(Linked, ObjectHeader), OpenError> {
        let start =
            NonNull::new(metadata.cast_mut()).ok_or(OpenError::NotAnObject(Looks::Empty))?;
        // A symbol of one type stands for all of the section, and for what is found by distance.
        let address = start.as_ptr().expose_provenance();
        let bytes = |len| {
            // SAFETY: the caller's promise: the header first, and then what the header says.
            unsafe { slice::from_raw_parts(std::ptr::with_exposed_provenance(address), len) }
        };
        let prefix: [u8; 8] = read(bytes(MAGIC.len())).unwrap_or_default();
        if prefix != MAGIC {
            return Err(Damage::of(Part::Metadata, Fault::BadMagic).into());
        }
        // As much as every header has.
        let least = bytes(ObjectHeader::LEAST_SIZE);
        let size_at = std::mem::offset_of!(ObjectHeader, metadata_size);
        let size: u32 = read(&least[size_at..]).unwrap_or_default();
        let size = size as usize;
        let header = header::check(
            bytes(size.max(ObjectHeader::LEAST_SIZE)),
            Place::Program { address },
        )?;
        header::require_host(&header)?;
        let part = |segment: &precast_abi::object::Segment| {
            let address = match segment.size {
                0 => start,
                _ => pointer(header::linked_address(address, segment)).unwrap_or(start),
            };
            (address, segment.size as usize)
        };
        let linked = Linked {
            metadata: (start, size),
            text: part(&header.text),
            image: part(&header.image),
            image_file: OnceLock::new(),
        };
        Ok((linked, header))
    }

    /// Address and size of the metadata.
    pub(super) fn metadata(&self) -> (NonNull<u8>, usize) {
        self.metadata
    }

    /// Address and size of the text.
    pub(super) fn text(&self) -> (NonNull<u8>, usize) {
        self.text
    }

    /// The initial contents of memories.
    pub(super) fn image(&self) -> &[u8] {
        let (start, len) = self.image;
        // SAFETY: who named the object promised that its image is where its header says.
        unsafe { slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The same as a file, so that memories that share it can map it: one copy for all of them.
    pub(super) fn image_file(&self) -> Option<BorrowedFd<'_>> {
        let file = self
            .image_file
            .get_or_init(|| sys::sealed_bytes(self.image()).ok());
        file.as_ref().map(AsFd::as_fd)
    }
}

// SAFETY: the addresses are of memory that never changes.
unsafe impl Send for Linked {}
// SAFETY: as above.
unsafe impl Sync for Linked {}

fn pointer(address: u64) -> Option<NonNull<u8>> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address as usize))
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::super::synthetic;
    use super::*;
    use crate::object::ObjectView;
    use std::mem::offset_of;

    /// The sections of an object as a linker would place them, for ever.
    struct Program {
        metadata: Vec<u64>,
        header: ObjectHeader,
    }

    impl Program {
        fn new() -> Program {
            let file = synthetic::object();
            let view = ObjectView::parse(&file).expect("it is whole");
            let mut header = *view.metadata().header();
            let size = header.metadata_size as usize;
            let mut metadata = vec![0u64; size.div_ceil(8)];
            let address = metadata.as_ptr().addr() as u64;
            let text: &'static [u8] = view.text().to_vec().leak();
            let image: &'static [u8] = view.image().to_vec().leak();
            for (segment, bytes) in [(&mut header.text, text), (&mut header.image, image)] {
                segment.file_offset = 0;
                let at = bytes.as_ptr().expose_provenance() as u64;
                segment.address = at.wrapping_sub(address);
            }
            let from = synthetic::METADATA;
            for (word, bytes) in metadata.iter_mut().zip(file[from..from + size].chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_le_bytes(whole);
            }
            let mut program = Program { metadata, header };
            program.write_header();
            program
        }

        fn write_header(&mut self) {
            let mut bytes = Vec::new();
            self.header.put(&mut bytes);
            for (word, bytes) in self.metadata.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            }
        }

        fn check(&self) -> Result<(Linked, ObjectHeader), OpenError> {
            // SAFETY: the sections are there, and stay until the test is over.
            unsafe { Linked::check(self.metadata.as_ptr().cast()) }
        }
    }

    #[test]
    fn parts_are_found_by_their_distance() {
        let program = Program::new();
        let (linked, header) = program.check().expect("it is whole");
        assert_eq!(linked.image().len() as u64, header.image.size);
        assert_eq!(linked.text().1 as u64, header.text.size);
        let file = synthetic::object();
        let view = ObjectView::parse(&file).expect("it is whole");
        assert_eq!(linked.image(), view.image());
        let file = linked.image_file().expect("memory files work");
        assert_eq!(sys::len(file).expect("a length"), header.image.size);
    }

    #[test]
    fn nothing_is_no_object() {
        // SAFETY: null is looked at first.
        let error = unsafe { Linked::check(std::ptr::null()) }.expect_err("nothing is there");
        assert!(matches!(error, OpenError::NotAnObject(Looks::Empty)));
    }

    #[test]
    fn headers_that_no_linker_made_are_refused() {
        let far = |program: &Program| (usize::MAX - program.metadata.as_ptr().addr()) as u64;
        type Change = fn(&mut ObjectHeader, u64);
        let damages: [(&str, Change); 7] = [
            ("magic", |header, _| header.magic[0] ^= 1),
            ("version", |header, _| header.version.major += 1),
            ("arch", |header, _| header.arch = 2),
            ("file offset", |header, _| header.text.file_offset = 4096),
            ("text in the metadata", |header, _| header.text.address = 8),
            ("text past the end", |header, far| header.text.address = far),
            ("a list past the end", |header, _| {
                header.exports.len = 1 << 20
            }),
        ];
        for (what, damage) in damages {
            let mut program = Program::new();
            let far = far(&program);
            damage(&mut program.header, far);
            program.write_header();
            assert!(program.check().is_err(), "{what}");
        }
        assert_eq!(offset_of!(ObjectHeader, magic), 0);
    }
}
