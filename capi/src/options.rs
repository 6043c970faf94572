//! Records of options: they say their own size, so that they may grow.

use crate::error::{Result, misuse};

/// A record of options that begins with its size in bytes, of which zeros stand for defaults.
///
/// # Safety
///
/// The record consists of numbers without padding, and any bits are a value of it.
pub(crate) unsafe trait COptions: Copy + Default {
    /// What C gives: as much of it as both sides know. Null is all defaults.
    fn read(options: Option<&usize>) -> Result<Self> {
        let mut known = Self::default();
        let Some(size) = options else {
            return Ok(known);
        };
        if *size < size_of::<usize>() || *size > 4096 || !size.is_multiple_of(size_of::<usize>()) {
            return Err(misuse(
                "the options do not say their size: begin them with `sizeof` of their type",
            ));
        }
        let len = (*size).min(size_of::<Self>());
        let from = std::ptr::from_ref(size).cast::<u8>();
        // SAFETY: C's record is as long as it says, as the header asks; ours takes any bits.
        unsafe { std::ptr::copy_nonoverlapping(from, (&raw mut known).cast::<u8>(), len) };
        Ok(known)
    }
}

/// What is given, or the default where that is zero.
pub(crate) fn choose(given: u64, default: u64) -> u64 {
    if given == 0 { default } else { given }
}
