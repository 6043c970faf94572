//! macOS: what pages may be used for, and what the system tells of a process's memory. Part of the
//! contract of [`super`].
//!
//! # Safety
//!
//! One `mprotect` of memory that the caller answers for.
#![allow(unsafe_code, reason = "changing the access of pages is unsafe")]

use super::Access;
use rustix::mm::{MprotectFlags, ProtFlags};
use std::io;
use std::ops::Range;

/// The system keeps no account of pages that were written.
#[derive(Debug)]
pub(crate) enum PageAccount {}

impl PageAccount {
    /// `None`.
    pub(crate) fn open() -> Option<PageAccount> {
        None
    }

    pub(crate) fn is_own(&self) -> bool {
        match *self {}
    }

    pub(crate) fn written(
        &self,
        _range: Range<usize>,
        _found: impl FnMut(Range<usize>),
    ) -> io::Result<()> {
        match *self {}
    }
}

/// How many mappings this process may have, and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mappings {
    pub(crate) max: usize,
    pub(crate) used: usize,
}

impl Mappings {
    /// `None`: the system does not say.
    pub(crate) fn read() -> Option<Mappings> {
        None
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
    let flags = mprotect_flags(access);
    // SAFETY: the caller's promise.
    range.is_empty() || unsafe { rustix::mm::mprotect(start, range.len(), flags) }.is_ok()
}

/// As `mmap` takes it. The system checks no landing pads in what is not its own.
pub(super) fn prot(access: Access) -> ProtFlags {
    match access {
        Access::None => ProtFlags::empty(),
        Access::Read => ProtFlags::READ,
        Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        Access::ReadExecute | Access::ReadExecutePads => ProtFlags::READ | ProtFlags::EXEC,
    }
}

/// As `mprotect` takes it.
pub(super) fn mprotect_flags(access: Access) -> MprotectFlags {
    match access {
        Access::None => MprotectFlags::empty(),
        Access::Read => MprotectFlags::READ,
        Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        Access::ReadExecute | Access::ReadExecutePads => MprotectFlags::READ | MprotectFlags::EXEC,
    }
}
