//! Protection keys of x86-64 under Linux: pages that each thread opens and closes for itself, without
//! a system call. Part of the contract of [`super`].
//!
//! The process has one key for all pools. A thread's rights stand in a register (`PKRU`, two bits a
//! key); the kernel gives new processes none to any key but the first, threads what the thread had
//! that made them, and signal handlers none; `rt_sigreturn` brings back those of what was
//! interrupted, from the signal's frame.
//!
//! # Safety
//!
//! Two instructions that every thread may execute where the system has switched keys on, which is
//! asked before; and system calls about keys and pages that the caller answers for.
#![allow(
    unsafe_code,
    reason = "keys are instructions and system calls of their own"
)]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::ops::Range;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::Access;

/// Where the rights of the process's key begin in the register; 0 until there is a key: the first
/// key is every page's.
static SHIFT: AtomicU32 = AtomicU32::new(0);
/// Where the register lies in the saved vector state of a signal's frame; 0 where there is none.
static OFFSET: AtomicU32 = AtomicU32::new(0);

/// No access.
const DISABLED: u32 = 1;
/// Both bits of a key.
const MASK: u32 = 3;

/// Whether there are keys at all: from then on [`place_in_frame`] answers.
fn detect() -> bool {
    // SAFETY: every x86-64 CPU has the instruction; leaves beyond the last answer anything, so the
    // last is asked first.
    #[allow(unused_unsafe, reason = "newer compilers know that it is safe")]
    unsafe {
        const OSPKE: u32 = 1 << 4;
        let has_keys = __cpuid_count(0, 0).eax >= 0xd && __cpuid_count(7, 0).ecx & OSPKE != 0;
        if has_keys {
            OFFSET.store(__cpuid_count(0xd, 9).ebx, Relaxed);
        }
        has_keys
    }
}

/// To be called before signal handlers are in place that ask for [`place_in_frame`].
pub(crate) fn detect_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        detect();
    });
}

/// Distance of the register in the vector state of a signal's frame, if threads have it. Fit for a
/// signal handler.
pub(crate) fn place_in_frame() -> Option<usize> {
    match OFFSET.load(Relaxed) {
        0 => None,
        offset => Some(offset as usize),
    }
}

/// Whether the process has a key for pools; asks for one the first time.
pub(crate) fn have_key() -> bool {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        detect_once();
        if place_in_frame().is_none() {
            return;
        }
        // SAFETY: asks for a key, whose rights only this thread gets: none.
        let key = unsafe { libc::syscall(libc::SYS_pkey_alloc, 0, DISABLED) };
        if (1..16).contains(&key) {
            SHIFT.store(2 * key as u32, Relaxed);
        }
    });
    SHIFT.load(Relaxed) != 0
}

/// The process's key as the kernel counts them, if it has one.
fn number() -> Option<u32> {
    match SHIFT.load(Relaxed) {
        0 => None,
        shift => Some(shift / 2),
    }
}

/// All rights of the calling thread. There must be keys.
fn rights() -> u32 {
    let rights;
    // SAFETY: the callers know that there are keys; it reads a register.
    unsafe {
        asm!("rdpkru", in("ecx") 0, out("eax") rights, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    rights
}

/// As [`rights`]. No access to memory is moved across it.
fn set_rights(rights: u32) {
    // SAFETY: the callers know that there are keys. It changes what the thread may access, of pages
    // of the process's own key and of no others unless the caller says so.
    unsafe {
        asm!("wrpkru", in("eax") rights, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags));
    }
}

/// What the calling thread might do with pages behind the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Before(u32);

/// Lets the calling thread access pages behind the key, or not; the rights to other keys stay.
#[inline]
pub(crate) fn switch(open: bool) -> Before {
    let wanted = if open { 0 } else { DISABLED };
    Before(replace(wanted))
}

impl Before {
    /// Gives back what was before.
    #[inline]
    pub(crate) fn restore(self) {
        replace(self.0);
    }
}

/// The calling thread may access pages behind the key until this is dropped.
#[must_use]
pub(crate) struct Opened(Before);

impl Opened {
    pub(crate) fn new() -> Opened {
        Opened(switch(true))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.restore();
    }
}

/// Says what was before.
#[inline]
fn replace(wanted: u32) -> u32 {
    let shift = SHIFT.load(Relaxed);
    if shift == 0 {
        return 0;
    }
    let all = rights();
    let new = all & !(MASK << shift) | wanted << shift;
    if new != all {
        set_rights(new);
    }
    all >> shift & MASK
}

/// Whether the calling thread may access pages behind the key.
pub(crate) fn is_open() -> bool {
    let shift = SHIFT.load(Relaxed);
    shift == 0 || rights() >> shift & MASK == 0
}

/// All rights of the calling thread, for a signal's frame that is to go on there. Fit for a signal
/// handler.
pub(crate) fn all_rights() -> Option<u32> {
    place_in_frame().map(|_| rights())
}

/// Gives the calling thread the rights that a signal's frame says it had, where those of the handler
/// are others. Fit for a signal handler.
pub(crate) fn set_all_rights(all: u32) {
    if place_in_frame().is_some() && rights() != all {
        set_rights(all);
    }
}

/// As [`super::protect_pages`], and puts the pages behind the process's key, or behind none.
///
/// # Safety
///
/// As [`super::protect_pages`].
pub(crate) unsafe fn protect_keyed(range: Range<usize>, access: Access, keyed: bool) -> bool {
    let Some(key) = number() else {
        // SAFETY: the caller's promise.
        return !keyed && unsafe { super::protect_pages(range, access) };
    };
    if range.is_empty() {
        return true;
    }
    let flags = super::os_pages::flags(access);
    let key = if keyed { key } else { 0 };
    // SAFETY: the caller's promise.
    unsafe {
        libc::syscall(
            libc::SYS_pkey_mprotect,
            range.start,
            range.len(),
            flags,
            key,
        ) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Reservation, page_size};

    #[test]
    fn a_thread_opens_and_closes_for_itself() {
        if !have_key() {
            eprintln!("NOT TESTED: this machine has no protection keys");
            return;
        }
        let outer = switch(false);
        assert!(!is_open());
        let inner = switch(true);
        assert!(is_open());
        // A thread that is made now has what this one has; what it changes is its own.
        std::thread::spawn(|| {
            assert!(is_open());
            let _ = switch(false);
            assert!(!is_open());
        })
        .join()
        .expect("it runs");
        assert!(is_open());
        inner.restore();
        assert!(!is_open());
        outer.restore();
    }

    #[test]
    fn pages_behind_the_key_are_closed_to_the_kernel_too() {
        if !have_key() {
            eprintln!("NOT TESTED: this machine has no protection keys");
            return;
        }
        let page = page_size();
        let memory = Reservation::new(page).expect("address space is there");
        let start = memory.base().addr().get();
        let range = start..start + page;
        // SAFETY: nobody uses this memory.
        assert!(unsafe { protect_keyed(range.clone(), Access::ReadWrite, true) });
        let (from, to) = rustix::pipe::pipe().expect("there are descriptors");
        // SAFETY: within the reservation; the kernel looks whether it may be read.
        let write = || unsafe {
            let bytes = std::ptr::with_exposed_provenance(start);
            libc::write(std::os::fd::AsRawFd::as_raw_fd(&to), bytes, 1)
        };
        memory.base().as_ptr().expose_provenance();
        let before = switch(false);
        assert_eq!(write(), -1);
        let _ = switch(true);
        assert_eq!(write(), 1);
        let _ = switch(false);
        // SAFETY: nobody uses this memory.
        assert!(unsafe { protect_keyed(range, Access::ReadWrite, false) });
        assert_eq!(write(), 1);
        before.restore();
        drop(from);
    }
}
