//! macOS: files and mappings. Part of the contract of [`super`].
//!
//! Nothing of this was ever run: it compiles, and says what the system's manuals say.
//!
//! # Safety
//!
//! All calls but `fcntl` go through rustix. What they return is checked there; what this file adds is
//! that a mapping is only ever changed inside a [`Reservation`] that owns it.
#![allow(unsafe_code, reason = "mapping memory is what this file is for")]

use super::Access;
use super::os_pages::{mprotect_flags, prot};
use precast_abi::object::Os;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const OS: Os = Os::Macos;

/// Bytes in a page.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// A piece of address space that belongs to its owner alone.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    len: usize,
    /// Whether this value gives the range back; parts of another reservation do not.
    owned: bool,
}

// SAFETY: a reservation is an address range; all access to the memory behind it is through
// pointers whose users answer for it.
unsafe impl Send for Reservation {}
// SAFETY: as above; methods that change mappings are unsafe and say what they need.
unsafe impl Sync for Reservation {}

/// What this system cannot do.
fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Reservation {
    /// Reserves `len` bytes, rounded up to pages.
    pub(crate) fn new(len: usize) -> io::Result<Reservation> {
        let len = super::round_up_to_page(len.max(1)).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let base =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags) }?;
        Reservation::owner(base, len)
    }

    fn owner(base: *mut c_void, len: usize) -> io::Result<Reservation> {
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Reservation {
            base,
            len,
            owned: true,
        })
    }

    /// Address of the first byte, a multiple of the page size.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes, a multiple of the page size.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A page-aligned part of it, which is not given back when it is dropped.
    ///
    /// # Safety
    ///
    /// The part must not be used any more when `self` is dropped, and no other part in use may
    /// overlap it.
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> io::Result<Reservation> {
        let (at, len) = self.locate(&range)?;
        let base = NonNull::new(at.cast()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Reservation {
            base,
            len,
            owned: false,
        })
    }

    /// Makes `range` what it was when it was reserved: inaccessible, and costing no memory.
    /// `range` is page-aligned (its end is rounded up).
    ///
    /// # Safety
    ///
    /// No reference to memory in `range` is in use.
    pub(crate) unsafe fn clear(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.locate(&range)?;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: as in `map_file`.
        unsafe { rustix::mm::mmap_anonymous(at, len, ProtFlags::empty(), flags) }?;
        Ok(())
    }

    /// Always an error: no advice of the system's makes pages what they were. Pools, which need it,
    /// say so when they are built.
    ///
    /// # Safety
    ///
    /// None: nothing happens.
    pub(crate) unsafe fn discard(&self, _range: Range<usize>) -> io::Result<()> {
        unsupported()
    }

    /// Without effect: pages have one size.
    pub(crate) fn use_small_pages(&self, _range: Range<usize>) {}

    /// Always an error: the system has no such pages.
    ///
    /// # Safety
    ///
    /// None: nothing happens.
    pub(crate) unsafe fn guard(&self, _range: Range<usize>) -> io::Result<()> {
        unsupported()
    }

    /// Always an error, as there are no guarded pages.
    pub(crate) fn unguard(&self, _range: Range<usize>) -> io::Result<()> {
        unsupported()
    }

    /// Maps a part of `file` over `range`, replacing what was there. `range` and `file_offset`
    /// are page-aligned (the end of `range` is rounded up).
    ///
    /// # Safety
    ///
    /// No reference to memory in `range` is in use.
    pub(crate) unsafe fn map_file(
        &self,
        range: Range<usize>,
        file: BorrowedFd<'_>,
        file_offset: u64,
        access: Access,
    ) -> io::Result<()> {
        let (at, len) = self.locate(&range)?;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: `locate` keeps the mapping inside this reservation, and the caller promises
        // that no one uses what was there.
        unsafe { rustix::mm::mmap(at, len, prot(access), flags, file, file_offset) }?;
        Ok(())
    }

    /// Maps zeroed memory over `range`, replacing what was there. `range` is page-aligned (its end
    /// is rounded up).
    ///
    /// # Safety
    ///
    /// No reference to memory in `range` is in use.
    #[cfg(test)]
    pub(crate) unsafe fn map_zeroes(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        let (at, len) = self.locate(&range)?;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: as in `map_file`.
        unsafe { rustix::mm::mmap_anonymous(at, len, prot(access), flags) }?;
        Ok(())
    }

    /// Changes what `range` may be used for; it keeps its contents. `range` is page-aligned (its
    /// end is rounded up).
    ///
    /// # Safety
    ///
    /// No reference in use to memory in `range` needs an access that is taken away.
    pub(crate) unsafe fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        let (at, len) = self.locate(&range)?;
        // SAFETY: `locate` keeps the change inside this reservation, and the caller promises
        // that no one is surprised.
        unsafe { rustix::mm::mprotect(at, len, mprotect_flags(access)) }?;
        Ok(())
    }

    /// Address and length of a range, refused where it leaves the reservation.
    fn locate(&self, range: &Range<usize>) -> io::Result<(*mut c_void, usize)> {
        let end = super::round_up_to_page(range.end).ok_or(io::ErrorKind::InvalidInput)?;
        let aligned = range.start.is_multiple_of(page_size());
        if !aligned || range.start >= end || end > self.len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: `start` is below `len`, so the sum stays inside the reservation.
        let at = unsafe { self.base.add(range.start) };
        Ok((at.as_ptr().cast(), end - range.start))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        // SAFETY: the range was mapped by `new` or `map_whole_file` and belongs to this value alone;
        // its owner has seen to it that nothing in it is used any more.
        let result = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(result.is_ok(), "a mapping of our own cannot be refused");
    }
}

/// Maps `len` bytes of `file` from `start` on somewhere, privately, readable and writable. Pages
/// that are not written stay shared with the file.
pub(crate) fn map_whole_file(
    file: BorrowedFd<'_>,
    start: u64,
    len: usize,
) -> io::Result<Reservation> {
    let len = super::round_up_to_page(len.max(1)).ok_or(io::ErrorKind::OutOfMemory)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let access = prot(Access::ReadWrite);
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
    let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, flags, file, start) }?;
    Reservation::owner(base, len)
}

/// Opens a file for reading. What is no file is found out by [`len`]: a named pipe must not make us
/// wait for someone to write to it.
pub(crate) fn open_read(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Length of a regular file in bytes; anything else is refused.
pub(crate) fn len(file: BorrowedFd<'_>) -> io::Result<u64> {
    let stat = rustix::fs::fstat(file)?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile => Ok(stat.st_size as u64),
        rustix::fs::FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
    }
}

/// Reads the bytes of a file from `start` on into `buffer`; says how many there were.
pub(crate) fn read_at(file: BorrowedFd<'_>, start: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// Adds a signature from the same file: a command of `fcntl`.
const F_ADDFILESIGS: libc::c_int = 61;

/// What that command takes: `fsignatures_t` of `<sys/fcntl.h>`.
#[repr(C)]
struct FileSignatures {
    /// Where what is signed starts in the file.
    file_start: libc::off_t,
    /// Where the signature is, from there on.
    blob_start: usize,
    blob_size: usize,
    // Of another command.
    size: usize,
    hash: [u8; 20],
    hash_type: libc::c_int,
}

/// Registers the code signature of the object that starts at `start` in the file: its offset in the
/// object, and its size. The kernel then compares each page with its hash when it is brought in.
pub(crate) fn admit_code(
    file: BorrowedFd<'_>,
    start: u64,
    (offset, size): (u64, u64),
) -> io::Result<()> {
    let mut request = FileSignatures {
        file_start: start as libc::off_t,
        blob_start: offset as usize,
        blob_size: size as usize,
        size: 0,
        hash: [0; 20],
        hash_type: 0,
    };
    // SAFETY: the kernel reads the signature itself, from the file; of the structure it reads and
    // writes no more than there is.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), F_ADDFILESIGS, &raw mut request) };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A file with these contents that has no name any more, and no descriptor that could write to it.
/// (Memory that is no file cannot be executed.)
pub(crate) fn sealed_bytes(bytes: &[u8]) -> io::Result<OwnedFd> {
    unnamed(|file| write_all(file, bytes))
}

/// The same with the contents of `file`.
pub(crate) fn sealed_copy(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    unnamed(|copy| {
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0;
        loop {
            match read_at(file, offset, &mut buffer)? {
                0 => return Ok(()),
                count => write_all(copy, &buffer[..count])?,
            }
            offset += buffer.len() as u64;
        }
    })
}

/// A file that is written by `write` and then read only. From its first moment on it is its owner's
/// alone, in a folder of temporary files that is the user's.
fn unnamed(write: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<OwnedFd> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("precast-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let writer = rustix::fs::open(&path, flags, Mode::RUSR)?;
    let reader = open_read(&path);
    rustix::fs::unlink(&path)?;
    let reader = reader?;
    write(writer.as_fd())?;
    Ok(reader)
}

fn write_all(file: BorrowedFd<'_>, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match rustix::io::write(file, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
