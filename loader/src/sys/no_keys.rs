//! A system without protection keys. Part of the contract of [`super`].
//!
//! # Safety
//!
//! Passes on what its caller answers for.
#![allow(unsafe_code, reason = "changing the access of pages is unsafe")]

use std::ops::Range;

use super::Access;

/// What the calling thread might do with pages behind the key: there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Before;

impl Before {
    pub(crate) fn restore(self) {}
}

/// The calling thread may access pages behind the key until this is dropped.
#[must_use]
pub(crate) struct Opened;

impl Opened {
    pub(crate) fn new() -> Opened {
        Opened
    }
}

pub(crate) fn detect_once() {}

pub(crate) fn have_key() -> bool {
    false
}

pub(crate) fn switch(_open: bool) -> Before {
    Before
}

pub(crate) fn is_open() -> bool {
    true
}

pub(crate) fn set_all_rights(_all: u32) {}

/// As [`super::protect_pages`]; `false` where a key is asked for.
///
/// # Safety
///
/// As [`super::protect_pages`].
pub(crate) unsafe fn protect_keyed(range: Range<usize>, access: Access, keyed: bool) -> bool {
    // SAFETY: the caller's promise.
    !keyed && unsafe { super::protect_pages(range, access) }
}
