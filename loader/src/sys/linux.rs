//! Linux: the contract of [`super`].
//!
//! # Safety
//!
//! All calls go through rustix. What they return is checked there; what this file adds is that a
//! mapping is only ever changed inside a [`Reservation`] that owns it.
#![allow(unsafe_code, reason = "mapping memory is what this file is for")]

use super::Access;
use precast_abi::object::Os;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr::{self, NonNull};

pub(super) const OS: Os = Os::Linux;

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

impl Reservation {
    /// Reserves `len` bytes, rounded up to pages.
    pub(crate) fn new(len: usize) -> io::Result<Reservation> {
        let len = super::round_up_to_page(len.max(1)).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
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

    /// Gives back the memory behind `range`: anonymous pages read as zeros from then on, pages of
    /// a private mapping of a file as the file has them. `range` is page-aligned (its end is
    /// rounded up).
    ///
    /// # Safety
    ///
    /// No reference to memory in `range` is in use.
    pub(crate) unsafe fn discard(&self, range: Range<usize>) -> io::Result<()> {
        // SAFETY: `advise` keeps it inside this reservation; the caller promises the rest.
        unsafe { self.advise(range, Advice::LinuxDontNeed) }
    }

    /// Asks for small pages only in `range`: sandboxes are many and small. Without effect where
    /// the system knows no others.
    pub(crate) fn use_small_pages(&self, range: Range<usize>) {
        // SAFETY: contents and access stay as they are.
        let _ = unsafe { self.advise(range, Advice::LinuxNoHugepage) };
    }

    /// # Safety
    ///
    /// As the advice asks for.
    unsafe fn advise(&self, range: Range<usize>, advice: Advice) -> io::Result<()> {
        let (at, len) = self.locate(&range)?;
        // SAFETY: `locate` keeps it inside this reservation; the caller promises the rest.
        Ok(unsafe { rustix::mm::madvise(at, len, advice) }?)
    }

    /// Makes pages inaccessible without splitting the mapping that they are in, until `unguard` or
    /// `clear`. Their contents are lost. An error where the kernel cannot (before Linux 6.13).
    ///
    /// # Safety
    ///
    /// No reference to memory in `range` is in use.
    pub(crate) unsafe fn guard(&self, range: Range<usize>) -> io::Result<()> {
        const MADV_GUARD_INSTALL: libc::c_int = 102;
        // SAFETY: the caller's promise.
        unsafe { self.advise_by_number(range, MADV_GUARD_INSTALL) }
    }

    /// Makes guarded pages accessible as their mapping is; they are zero.
    pub(crate) fn unguard(&self, range: Range<usize>) -> io::Result<()> {
        const MADV_GUARD_REMOVE: libc::c_int = 103;
        // SAFETY: access is only added, and contents stay.
        unsafe { self.advise_by_number(range, MADV_GUARD_REMOVE) }
    }

    /// # Safety
    ///
    /// As the advice asks for.
    unsafe fn advise_by_number(&self, range: Range<usize>, advice: libc::c_int) -> io::Result<()> {
        let (at, len) = self.locate(&range)?;
        loop {
            // SAFETY: `locate` keeps it inside this reservation; the caller promises the rest.
            if unsafe { libc::madvise(at, len, advice) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
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
        let flags = match access {
            Access::None => MprotectFlags::empty(),
            Access::Read => MprotectFlags::READ,
            Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            Access::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
            Access::ReadExecutePads => {
                MprotectFlags::from_bits_retain(prot(Access::ReadExecutePads).bits())
            }
        };
        // SAFETY: `locate` keeps the change inside this reservation, and the caller promises
        // that no one is surprised.
        unsafe { rustix::mm::mprotect(at, len, flags) }?;
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
        // SAFETY: the range was mapped by `new` and belongs to this value alone; its owner has
        // seen to it that nothing in it is used any more.
        let result = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(result.is_ok(), "a mapping of our own cannot be refused");
    }
}

/// Pages whose code has landing pads (AArch64).
const PROT_BTI: u32 = 0x10;

fn prot(access: Access) -> ProtFlags {
    match access {
        Access::None => ProtFlags::empty(),
        Access::Read => ProtFlags::READ,
        Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        Access::ReadExecute => ProtFlags::READ | ProtFlags::EXEC,
        Access::ReadExecutePads if super::cpu::has_landing_pads() => {
            ProtFlags::READ | ProtFlags::EXEC | ProtFlags::from_bits_retain(PROT_BTI)
        }
        Access::ReadExecutePads => ProtFlags::READ | ProtFlags::EXEC,
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
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
    let base = unsafe {
        rustix::mm::mmap(
            ptr::null_mut(),
            len,
            prot(Access::ReadWrite),
            flags,
            file,
            start,
        )
    }?;
    let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    Ok(Reservation {
        base,
        len,
        owned: true,
    })
}

/// Opens a file for reading. What is no file is found out by [`len`]: a named pipe must not make us
/// wait for someone to write to it.
pub(crate) fn open_read(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    )?)
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

/// Any file may be executed from.
pub(crate) fn admit_code(_: BorrowedFd<'_>, _start: u64, _signature: (u64, u64)) -> io::Result<()> {
    Ok(())
}

/// A sealed file in memory with these contents.
pub(crate) fn sealed_bytes(bytes: &[u8]) -> io::Result<OwnedFd> {
    let memory = memory_file()?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(&memory, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    seal(memory)
}

/// A sealed file in memory with the contents of `file`.
pub(crate) fn sealed_copy(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let memory = memory_file()?;
    let mut offset = 0;
    // At most this much per call, the kernel's own limit.
    const CHUNK: usize = 0x7fff_f000;
    loop {
        match rustix::fs::sendfile(&memory, file, Some(&mut offset), CHUNK) {
            Ok(0) => return seal(memory),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn memory_file() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(rustix::fs::memfd_create(c"precast-object", flags)?)
}

fn seal(memory: OwnedFd) -> io::Result<OwnedFd> {
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(memory.as_fd(), seals)?;
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_files_cannot_be_written() {
        let file = sealed_bytes(b"hello").expect("memory files work");
        assert_eq!(len(file.as_fd()).expect("it has a length"), 5);
        assert!(rustix::io::write(&file, b"x").is_err());
        assert!(rustix::fs::ftruncate(&file, 1).is_err());
        let copy = sealed_copy(file.as_fd()).expect("it can be copied");
        let mut buffer = [0; 8];
        assert_eq!(
            read_at(copy.as_fd(), 0, &mut buffer).expect("it can be read"),
            5
        );
        assert_eq!(&buffer[..5], b"hello");
    }

    #[test]
    fn mappings_stay_inside_their_reservation() {
        let reservation = Reservation::new(2 * page_size()).expect("address space is there");
        let page = page_size();
        for range in [page..page, 1..page, page..3 * page, 0..usize::MAX] {
            // SAFETY: nobody uses this memory.
            let result = unsafe { reservation.map_zeroes(range.clone(), Access::Read) };
            assert!(result.is_err(), "{range:?}");
        }
        // SAFETY: nobody uses this memory.
        unsafe { reservation.map_zeroes(page..page + 1, Access::ReadWrite) }.expect("it fits");
        // SAFETY: the second page was just made writable and belongs to this test.
        unsafe { reservation.base().add(2 * page - 1).write(7) };
    }
}
