//! Scattered buffers: a guest's iovecs as slices that the host's system calls take.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr, GuestSlice};

/// How many pieces one call looks at, as Linux has it; the rest makes a short read or write.
const MAX_PIECES: u32 = 1024;
/// How many bytes one call moves at most, as Linux has it.
const MAX_BYTES: u64 = 0x7fff_f000;
/// Pieces that are handled without allocating.
const FEW: usize = 8;
/// The most that is read at once through a buffer of the host's.
const BOUNCE: u64 = 256 * 1024;

/// An unchecked array of iovecs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Iovecs {
    first: GuestPtr<GuestSlice>,
    count: u32,
}

impl Iovecs {
    pub(crate) const fn new(address: u32, count: u32) -> Self {
        Self {
            first: GuestPtr::new(address),
            count,
        }
    }

    /// The pieces, each still unchecked; EFAULT if the array itself is outside.
    pub(crate) fn pieces(self, guest: &Guest<'_>) -> Result<impl Iterator<Item = GuestSlice>> {
        guest.check(self.first.array(self.count))?;
        let array = guest.bytes(self.first.array(self.count.min(MAX_PIECES)))?;
        Ok(array
            .chunks_exact(8)
            .map(<GuestSlice as crate::guest::Layout>::decode))
    }

    /// One piece, unchecked. Unlike [`Self::pieces`] it lets memory change between pieces.
    pub(crate) fn piece(self, guest: &Guest<'_>, index: u32) -> Result<Option<GuestSlice>> {
        if index >= self.count.min(MAX_PIECES) {
            return Ok(None);
        }
        guest.read(self.first.at(index)?).map(Some)
    }

    /// EFAULT if the array or any piece of it is outside; else how many bytes one call may move.
    pub(crate) fn check(self, guest: &Guest<'_>) -> Result<u64> {
        let mut total = 0;
        for piece in self.pieces(guest)? {
            guest.check(piece)?;
            total += piece.len();
        }
        Ok(total.min(MAX_BYTES))
    }
}

/// Gives `call` the pieces to write out.
pub(crate) fn gather<R>(
    guest: &Guest<'_>,
    iovecs: Iovecs,
    call: impl FnOnce(&[IoSlice<'_>]) -> Result<R>,
) -> Result<R> {
    if guest.most_at_once() < MAX_BYTES {
        return call(&[IoSlice::new(&gather_copies(guest, iovecs)?)]);
    }
    let mut few = [IoSlice::new(&[]); FEW];
    let mut many = Vec::new();
    let mut count = 0;
    for piece in iovecs.pieces(guest)? {
        let bytes = guest.bytes(piece)?;
        if bytes.is_empty() {
            continue;
        }
        if count < FEW {
            few[count] = IoSlice::new(bytes);
        } else {
            if many.is_empty() {
                many.extend_from_slice(&few);
            }
            many.push(IoSlice::new(bytes));
        }
        count += 1;
    }
    if many.is_empty() {
        call(&few[..count])
    } else {
        call(&many)
    }
}

/// The first bytes to write out, where they can only be copied.
fn gather_copies(guest: &Guest<'_>, iovecs: Iovecs) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in iovecs.pieces(guest)? {
        guest.check(piece)?;
        let room = BOUNCE - bytes.len() as u64;
        if room > 0 && piece.len() > 0 {
            bytes.extend_from_slice(guest.bytes(piece.first(room))?);
        }
    }
    Ok(bytes)
}

/// Gives `call` the pieces to fill; `call` answers how many bytes it wrote to them, in order.
///
/// Pieces may overlap: then the bytes go through a buffer, and later pieces overwrite earlier ones.
pub(crate) fn scatter(
    guest: &mut Guest<'_>,
    iovecs: Iovecs,
    call: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize>,
) -> Result<usize> {
    let size = guest.size();
    let mut ranges = Vec::new();
    let mut only = None;
    for piece in iovecs.pieces(guest)? {
        let range = piece.check(size)?;
        match (range.is_empty(), &only) {
            (true, _) => {}
            (false, None) => only = Some(range),
            (false, Some(first)) => {
                if ranges.is_empty() {
                    ranges.push(first.clone());
                }
                ranges.push(range);
            }
        }
    }
    if ranges.is_empty() {
        // None or one, by far the most frequent.
        return match (only, guest.own_memory()) {
            (None, _) => call(&mut []),
            (Some(range), Some(memory)) => {
                let bytes = memory.slice_mut(range).ok_or(Errno::Fault)?;
                call(&mut [IoSliceMut::new(bytes)])
            }
            (Some(range), None) => bounce(guest, &[range], call),
        };
    }
    if let Some(slices) = guest.own_memory().and_then(|own| own.slices_mut(&ranges)) {
        let mut slices: Vec<_> = slices.into_iter().map(IoSliceMut::new).collect();
        return call(&mut slices);
    }
    bounce(guest, &ranges, call)
}

/// Fills ranges by way of a buffer: overlapping ones, or those of a memory that threads share.
fn bounce(
    guest: &mut Guest<'_>,
    ranges: &[Range<usize>],
    call: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize>,
) -> Result<usize> {
    let total: u64 = ranges.iter().map(|range| range.len() as u64).sum();
    let mut buffer = vec![0; total.min(BOUNCE) as usize];
    let read = call(&mut [IoSliceMut::new(&mut buffer)])?;
    let mut rest = buffer.get(..read).ok_or(Errno::Io)?;
    for range in ranges {
        let (now, later) = rest.split_at(rest.len().min(range.len()));
        guest.put(range.start, now)?;
        rest = later;
    }
    Ok(read)
}
