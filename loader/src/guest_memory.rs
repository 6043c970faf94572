//! A guest's memory as host functions see it: reading is free, writing says where.
//!
//! # Safety
//!
//! This file holds unsafe code: memory is found by the address and length in its definition. The
//! lifetime is that of a borrow of the store, during which neither guests nor other handles use it.
#![allow(unsafe_code, reason = "linear memory is shared with generated code")]

use std::marker::PhantomData;
use std::ops::{Deref, Range};

use precast_abi::instance::MemoryDef;

use crate::window::{Readers, Window};

/// The memory of a guest, borrowed from its store.
///
/// It reads as a slice of bytes. What is to be written is asked for by its range: where the guest
/// comes from a pool, the pages in it, and only those, are restored when the guest is done.
/// [`GuestMemory::all_mut`] asks for all of it, which makes restoring such a guest cost more.
///
/// Slices of it may be used by other threads, too, unless it comes from one of the functions that
/// are named `local_`.
pub struct GuestMemory<'a> {
    start: *mut u8,
    len: usize,
    window: Option<&'a Window>,
    borrow: PhantomData<&'a mut [u8]>,
}

impl<'a> GuestMemory<'a> {
    /// # Safety
    ///
    /// `def` must be the definition of a memory of a store that is borrowed exclusively for `'a`,
    /// and `window` that of the slot it lies in, if that has one; else null. `None` where the system
    /// refuses to make it accessible `to` whom it is for.
    #[inline]
    pub(crate) unsafe fn new(
        def: MemoryDef,
        window: *const Window,
        to: Readers,
    ) -> Option<GuestMemory<'a>> {
        // SAFETY: the caller's promise; windows live as long as their store.
        let window = unsafe { window.as_ref() };
        if window.is_some_and(|window| !window.make_readable(to)) {
            return None;
        }
        Some(GuestMemory {
            start: std::ptr::with_exposed_provenance_mut(def.base as usize),
            len: def.len as usize,
            window,
            borrow: PhantomData,
        })
    }

    /// A buffer of the host's, for trying functions that take a guest's memory without a guest.
    pub fn of_host(bytes: &'a mut [u8]) -> GuestMemory<'a> {
        GuestMemory {
            start: bytes.as_mut_ptr(),
            len: bytes.len(),
            window: None,
            borrow: PhantomData,
        }
    }

    /// The bytes of `range`, to write to; `None` where it is not within the memory, or the system
    /// refuses.
    #[inline]
    pub fn slice_mut(&mut self, range: Range<usize>) -> Option<&mut [u8]> {
        if range.start > range.end || range.end > self.len {
            return None;
        }
        let len = range.end - range.start;
        if let Some(window) = self.window
            && !window.make_writable(self.start.addr() + range.start, len)
        {
            return None;
        }
        // SAFETY: within the memory, which is mapped up to its length and borrowed exclusively.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), len) })
    }

    /// As [`GuestMemory::slice_mut`], for as long as the memory is borrowed.
    pub fn into_slice_mut(mut self, range: Range<usize>) -> Option<&'a mut [u8]> {
        let slice = std::ptr::from_mut(self.slice_mut(range)?);
        // SAFETY: the memory is borrowed exclusively for `'a`, and `self` is used up.
        Some(unsafe { &mut *slice })
    }

    /// Copies `bytes` to `offset`; `None` as for [`GuestMemory::slice_mut`].
    #[inline]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Option<()> {
        let end = offset.checked_add(bytes.len())?;
        self.slice_mut(offset..end)?.copy_from_slice(bytes);
        Some(())
    }

    /// The bytes of several ranges, to write to, in their own order; `None` where two overlap, one
    /// is not within the memory, or the system refuses.
    pub fn slices_mut(&mut self, ranges: &[Range<usize>]) -> Option<Vec<&mut [u8]>> {
        let mut order: Vec<&Range<usize>> = ranges.iter().filter(|r| !r.is_empty()).collect();
        order.sort_unstable_by_key(|range| range.start);
        if order.windows(2).any(|pair| pair[0].end > pair[1].start) {
            return None;
        }
        ranges
            .iter()
            .map(|range| {
                let slice = std::ptr::from_mut(self.slice_mut(range.clone())?);
                // SAFETY: within the memory, as was just checked, and no two overlap; `self` is
                // borrowed for as long as they are.
                Some(unsafe { &mut *slice })
            })
            .collect()
    }

    /// All of it, to write to. `None` where the system refuses to make it writable.
    pub fn all_mut(self) -> Option<&'a mut [u8]> {
        if self.window.is_some_and(|window| !window.open()) {
            return None;
        }
        // SAFETY: the memory is mapped up to its length and borrowed exclusively for `'a`.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start, self.len) })
    }

    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> GuestMemory<'_> {
        GuestMemory { ..*self }
    }
}

impl Deref for GuestMemory<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the memory is mapped up to its length and borrowed exclusively.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl std::fmt::Debug for GuestMemory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestMemory")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_within_are_given() {
        let mut bytes = *b"0123456789";
        let mut memory = GuestMemory::of_host(&mut bytes);
        assert_eq!(memory.slice_mut(2..4).expect("within"), b"23");
        assert_eq!(memory.slice_mut(10..10).expect("empty at the end"), b"");
        assert!(memory.slice_mut(9..11).is_none());
        assert!(memory.slice_mut(11..11).is_none());
        #[allow(
            clippy::reversed_empty_ranges,
            reason = "such a range is what is tried"
        )]
        let reversed = memory.slice_mut(4..2);
        assert!(reversed.is_none());
        assert!(memory.write(8, b"ab").is_some());
        assert!(memory.write(usize::MAX, b"a").is_none());
        assert_eq!(&*memory, b"01234567ab");
    }

    #[test]
    fn ranges_at_once_do_not_overlap() {
        let mut bytes = *b"0123456789";
        let mut memory = GuestMemory::of_host(&mut bytes);
        assert!(memory.slices_mut(&[0..4, 3..5]).is_none());
        assert!(memory.slices_mut(&[0..4, 0..4]).is_none());
        assert!(memory.slices_mut(&[0..4, 8..11]).is_none());
        let slices = memory.slices_mut(&[6..8, 2..2, 0..6]).expect("apart");
        assert_eq!(slices, [&b"67"[..], b"", b"012345"]);
    }
}
