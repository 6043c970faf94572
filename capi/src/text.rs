//! Strings, bytes and arrays that cross the border.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use crate::error::{Result, misuse};

/// A string for C to read: it ends before a zero byte that is in it.
pub(crate) fn owned(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// The bytes of a string of C's, without the zero at its end.
pub(crate) fn bytes<'a>(text: *const c_char, what: &str) -> Result<&'a [u8]> {
    if text.is_null() {
        return Err(misuse(format!("{what} is null")));
    }
    // SAFETY: not null, and so a string, as the header asks; it is used before the call returns.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A string of C's as text.
pub(crate) fn given<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    str::from_utf8(bytes(text, what)?).map_err(|_| misuse(format!("{what} is not UTF-8")))
}

/// A path that C names.
pub(crate) fn path<'a>(text: *const c_char, what: &str) -> Result<&'a Path> {
    Ok(Path::new(OsStr::from_bytes(bytes(text, what)?)))
}

/// The elements of an array of C's.
pub(crate) fn array<'a, T>(start: *const T, len: usize, what: &str) -> Result<&'a [T]> {
    check_array(start, len, what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not null and of a possible size, and so an array, as the header asks; it is used
    // before the call returns.
    Ok(unsafe { slice::from_raw_parts(start, len) })
}

/// The elements of an array of C's that is written to.
pub(crate) fn array_mut<'a, T>(start: *mut T, len: usize, what: &str) -> Result<&'a mut [T]> {
    check_array(start, len, what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as in `array`, and no one else uses it meanwhile.
    Ok(unsafe { slice::from_raw_parts_mut(start, len) })
}

/// Whether there can be such an array.
pub(crate) fn check_array<T>(start: *const T, len: usize, what: &str) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    if start.is_null() {
        return Err(misuse(format!("{what} is null, and not empty")));
    }
    let fits = len
        .checked_mul(size_of::<T>())
        .is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if !fits || !start.is_aligned() {
        return Err(misuse(format!(
            "{what} cannot be an array of {len} elements"
        )));
    }
    Ok(())
}
