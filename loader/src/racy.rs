//! Copying bytes that other threads may be writing at the same time: those of shared memories.
//!
//! What a guest's threads race for, they get in any mixture of old and new bytes, as WebAssembly's memory
//! model allows; what must not happen is that the host's own code is undefined for it. So no
//! reference to such bytes ever exists, and each is read and written by a relaxed atomic operation.
//!
//! # Safety
//!
//! This file holds unsafe code: it follows raw pointers. The callers have checked that the ranges
//! lie in mapped memory.
#![allow(unsafe_code, reason = "racing bytes are reached by pointers alone")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Something that is moved by one atomic operation.
trait Unit: Copy {
    /// # Safety
    ///
    /// Both must be aligned, and valid to read and to write.
    unsafe fn copy(to: *mut Self, from: *const Self);
    /// # Safety
    ///
    /// It must be aligned, and valid to write.
    unsafe fn set(to: *mut Self, byte: u8);
}

macro_rules! units {
    ($($int:ty: $atomic:ty),*) => {$(
        impl Unit for $int {
            #[inline(always)]
            unsafe fn copy(to: *mut Self, from: *const Self) {
                // SAFETY: the caller's promise; nothing is written through the second.
                unsafe {
                    let value = <$atomic>::from_ptr(from.cast_mut()).load(Ordering::Relaxed);
                    <$atomic>::from_ptr(to).store(value, Ordering::Relaxed);
                }
            }
            #[inline(always)]
            unsafe fn set(to: *mut Self, byte: u8) {
                let value = <$int>::from_ne_bytes([byte; size_of::<$int>()]);
                // SAFETY: the caller's promise.
                unsafe { <$atomic>::from_ptr(to).store(value, Ordering::Relaxed) };
            }
        }
    )*};
}
units!(u8: AtomicU8, u16: AtomicU16, u32: AtomicU32, u64: AtomicU64);

/// Copies `len` bytes. The ranges may overlap.
///
/// # Safety
///
/// Both must be mapped, to read and to write; bytes of a shared memory, or the caller's own.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    let distance = to.addr() ^ from.addr();
    // SAFETY, of all four: the caller's promise; the distance is a multiple of the unit's size.
    match distance.trailing_zeros() {
        // SAFETY: see above.
        0 => unsafe { copy_by::<u8>(to, from, len) },
        // SAFETY: see above.
        1 => unsafe { copy_by::<u16>(to, from, len) },
        // SAFETY: see above.
        2 => unsafe { copy_by::<u32>(to, from, len) },
        // SAFETY: see above.
        _ => unsafe { copy_by::<u64>(to, from, len) },
    }
}

/// Bytes before the first whole unit of a range at `at`, and bytes of whole units.
fn split<T>(at: usize, len: usize) -> (usize, usize) {
    let size = size_of::<T>();
    let head = (at.wrapping_neg() & (size - 1)).min(len);
    (head, (len - head) & !(size - 1))
}

/// # Safety
///
/// As [`copy`]; the distance of the two is a multiple of the size of `T`, which is a power of two.
unsafe fn copy_by<T: Unit>(to: *mut u8, from: *const u8, len: usize) {
    let (head, whole) = split::<T>(to.addr(), len);
    // SAFETY: within the ranges.
    let byte = |i: usize| unsafe { u8::copy(to.add(i), from.add(i)) };
    // SAFETY: within the ranges, and aligned: they begin `head` bytes in.
    let unit = |i: usize| unsafe { T::copy(to.add(i).cast(), from.add(i).cast()) };
    let units = (head..head + whole).step_by(size_of::<T>());
    if to.addr() <= from.addr() || to.addr() >= from.addr() + len {
        (0..head).for_each(byte);
        units.for_each(unit);
        (head + whole..len).for_each(byte);
    } else {
        (head + whole..len).rev().for_each(byte);
        units.rev().for_each(unit);
        (0..head).rev().for_each(byte);
    }
}

/// Sets `len` bytes.
///
/// # Safety
///
/// As [`copy`].
pub(crate) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    let (head, whole) = split::<u64>(to.addr(), len);
    // SAFETY: within the range.
    let set = |i: usize| unsafe { u8::set(to.add(i), byte) };
    (0..head).for_each(set);
    for i in (head..head + whole).step_by(size_of::<u64>()) {
        // SAFETY: within the range, and aligned.
        unsafe { u64::set(to.add(i).cast(), byte) };
    }
    (head + whole..len).for_each(set);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_fills_as_slices_do() {
        let original: Vec<u8> = (0..64).collect();
        for to in 0..20 {
            for from in 0..20 {
                for len in 0..40 {
                    let mut expected = original.clone();
                    expected.copy_within(from..from + len, to);
                    let mut bytes = original.clone();
                    let start = bytes.as_mut_ptr();
                    // SAFETY: both ranges lie within the vector.
                    unsafe { copy(start.add(to), start.add(from), len) };
                    assert_eq!(bytes, expected, "{from} to {to}, {len}");
                }
            }
            let mut expected = original.clone();
            expected[to..to + 30].fill(7);
            let mut bytes = original.clone();
            // SAFETY: within the vector.
            unsafe { fill(bytes.as_mut_ptr().add(to), 7, 30) };
            assert_eq!(bytes, expected);
        }
    }
}
