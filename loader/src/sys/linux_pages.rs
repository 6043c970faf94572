//! Linux: which pages of a range were written, and how many mappings there may be. Part of the
//! contract of [`super`].
//!
//! # Safety
//!
//! One `ioctl` that writes to a buffer of this file's, and one `mprotect` of memory that the caller
//! answers for.
#![allow(unsafe_code, reason = "asking about pages is a system call of its own")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use super::Access;

/// A run of pages that are in memory or in swap because somebody wrote to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// The kernel's `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
/// A page that was only read, and is the kernel's page of zeros.
const ZERO: u64 = 1 << 5;

/// The kernel's own account of this process's pages.
#[derive(Debug)]
pub(crate) struct PageAccount {
    pagemap: File,
    process: u32,
}

impl PageAccount {
    /// `None` where the kernel (before Linux 6.7) or the file system does not offer it.
    pub(crate) fn open() -> Option<PageAccount> {
        let account = PageAccount {
            pagemap: File::open("/proc/self/pagemap").ok()?,
            process: std::process::id(),
        };
        let page = super::page_size();
        let probe = std::ptr::from_ref(&account).addr() & !(page - 1);
        account.written(probe..probe + page, |_| {}).ok()?;
        Some(account)
    }

    /// Whether this is the process that it was opened in, not a child of it.
    pub(crate) fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    /// Calls `found` with each run of pages in `range` that were written since they were mapped or
    /// discarded, in rising order: those in memory, and those that were swapped out. However many
    /// there are.
    pub(crate) fn written(
        &self,
        range: Range<usize>,
        mut found: impl FnMut(Range<usize>),
    ) -> io::Result<()> {
        let mut regions = [PageRegion::default(); 64];
        let mut at = range.start as u64;
        while at < range.end as u64 {
            let mut argument = ScanArgument {
                size: size_of::<ScanArgument>() as u64,
                start: at,
                end: range.end as u64,
                vec: regions.as_mut_ptr().expose_provenance() as u64,
                vec_len: regions.len() as u64,
                category_inverted: FILE | ZERO,
                category_mask: FILE | ZERO,
                category_anyof_mask: PRESENT | SWAPPED,
                return_mask: PRESENT | SWAPPED,
                ..ScanArgument::default()
            };
            // SAFETY: the kernel writes to `argument` and to at most `vec_len` regions.
            let count =
                unsafe { libc::ioctl(self.pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
            if count < 0 {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                }
            }
            for region in &regions[..(count as usize).min(regions.len())] {
                found(region.start as usize..region.end as usize);
            }
            if argument.walk_end <= at {
                return Err(io::ErrorKind::InvalidData.into());
            }
            at = argument.walk_end;
        }
        Ok(())
    }
}

/// How many mappings this process may have, and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mappings {
    pub(crate) max: usize,
    pub(crate) used: usize,
}

impl Mappings {
    /// `None` where the system does not say.
    pub(crate) fn read() -> Option<Mappings> {
        let max = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
        let maps = std::fs::read("/proc/self/maps").ok()?;
        Some(Mappings {
            max: max.trim().parse().ok()?,
            used: maps.iter().filter(|&&byte| byte == b'\n').count(),
        })
    }
}

/// The limit on this process's address space in bytes, if there is one.
pub(crate) fn address_space_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

/// Changes what mapped pages may be used for; `false` where the system refuses. Fit for a signal
/// handler.
///
/// # Safety
///
/// The range must be page-aligned and mapped, it must belong to the caller, and no reference in use
/// may need an access that is taken away.
pub(crate) unsafe fn protect_pages(range: Range<usize>, access: Access) -> bool {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the caller's promise.
    range.is_empty() || unsafe { libc::mprotect(start, range.len(), flags(access)) } == 0
}

/// As the kernel writes it.
pub(super) fn flags(access: Access) -> libc::c_int {
    match access {
        Access::None => libc::PROT_NONE,
        Access::Read => libc::PROT_READ,
        Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        Access::ReadExecute | Access::ReadExecutePads => libc::PROT_READ | libc::PROT_EXEC,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Reservation, page_size};

    #[test]
    fn written_pages_are_found_however_many() {
        let Some(account) = PageAccount::open() else {
            eprintln!("NOT TESTED: this kernel has no PAGEMAP_SCAN");
            return;
        };
        let page = page_size();
        let pages = 1000;
        let reservation = Reservation::new(pages * page).expect("address space is there");
        reservation.use_small_pages(0..pages * page);
        // SAFETY: nobody uses this memory.
        unsafe { reservation.protect(0..pages * page, Access::ReadWrite) }.expect("it fits");
        let start = reservation.base().as_ptr();
        // Every other page, so that each is a run of its own: more than one answer holds.
        for index in (0..pages).step_by(2) {
            // SAFETY: within the reservation, which is accessible.
            unsafe { start.add(index * page).write(1) };
        }
        // A page that is only read is not found.
        // SAFETY: as above.
        assert_eq!(unsafe { start.add(page).read_volatile() }, 0);
        let base = start.addr();
        let mut found = Vec::new();
        account
            .written(base..base + pages * page, |run| found.push(run))
            .expect("the probe worked");
        assert_eq!(found.len(), pages / 2);
        for (index, run) in found.into_iter().enumerate() {
            let at = base + 2 * index * page;
            assert_eq!(run, at..at + page);
        }
    }

    #[test]
    fn mappings_are_counted() {
        let mappings = Mappings::read().expect("a Linux with /proc");
        assert!(mappings.used > 10 && mappings.used < mappings.max);
    }
}
