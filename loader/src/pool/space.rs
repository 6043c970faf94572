//! The address space of a pool: places in a row, reserved in pieces.
//!
//! ```text
//!  place                                                              next place
//!  | guard | … room for stack and instance data | memory … | guard | guard | …
//!  ▲                                            ▲
//!  start, a multiple of 2 MiB                   instance base
//! ```
//!
//! The end of the stack, instance data and the first bytes of memory lie in the same 2 MiB, so that
//! one page table serves them; places that are smaller than that share it.
//!
//! # Safety
//!
//! This file holds unsafe code: places are parts of reservations, none overlaps another, and each is
//! handed to one user at a time by whoever owns the space.
#![allow(unsafe_code, reason = "places are parts of reservations")]

use std::io;

use precast_abi::instance::{OFFSET_GUARD, STACK_GUARD};

use crate::error::PoolError;
use crate::slot::Place;
use crate::sys::{self, Access, Mappings, Reservation};

/// What one page table spans: a multiple of it apart, places look the same to the system.
const TABLE_SPAN: u64 = 2 << 20;
/// Most address space that is asked for at once.
const PIECE: u64 = 1 << 42;
/// Mappings that are left to the rest of the process.
const SPARE_MAPPINGS: usize = 1000;

/// What the places of a pool look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes for stack and instance data.
    pub(crate) room: u64,
    /// Bytes for memory.
    pub(crate) reservation: u64,
    /// Whether pages beyond what an instance has are inaccessible, as modules count on that were
    /// compiled for it. Otherwise places are accessible all over, and need one mapping together.
    pub(crate) guarded: bool,
}

impl Shape {
    fn base_offset(&self) -> u64 {
        let page = sys::page_size() as u64;
        (STACK_GUARD + self.room + page).next_multiple_of(page)
    }

    fn guard(&self) -> u64 {
        if self.guarded { OFFSET_GUARD } else { 0 }
    }

    /// More places than that fit no process.
    pub(crate) fn most(&self) -> u32 {
        u32::try_from(sys::ADDRESS_SPACE / self.stride()).unwrap_or(u32::MAX - 2)
    }

    /// Bytes from one place to the next. Small places share page tables.
    fn stride(&self) -> u64 {
        let page = sys::page_size() as u64;
        let least = (self.base_offset() + self.reservation + self.guard()).next_multiple_of(page);
        match least > TABLE_SPAN {
            true => least.next_multiple_of(TABLE_SPAN),
            false => least,
        }
    }
}

/// See the file's documentation.
#[derive(Debug)]
pub(crate) struct Space {
    shape: Shape,
    stride: u64,
    per_piece: u32,
    pieces: Box<[Reservation]>,
    /// Whether guards can be made without splitting a mapping.
    pub(crate) cheap_guards: bool,
}

impl Space {
    /// Reserves `slots` places.
    pub(crate) fn reserve(shape: Shape, slots: u32) -> Result<Space, PoolError> {
        let stride = shape.stride();
        let needed = stride.saturating_mul(slots.into());
        let mut per_piece = (PIECE / stride).clamp(1, slots.into()) as u32;
        loop {
            match reserve_pieces(&shape, slots, per_piece) {
                Ok(pieces) => {
                    return Ok(Space {
                        shape,
                        stride,
                        per_piece,
                        pieces,
                        cheap_guards: !shape.guarded && can_guard(),
                    });
                }
                // The program's own mappings may split what is free.
                Err(_) if per_piece > 16 => per_piece /= 4,
                Err(source) => {
                    return Err(PoolError::AddressSpace {
                        needed,
                        limit: sys::address_space_limit(),
                        source,
                    });
                }
            }
        }
    }

    /// Refuses what the process may not have mappings for; says how many windows may take.
    pub(crate) fn spare_mappings(&self, slots: u32) -> Result<usize, PoolError> {
        let Some(Mappings { max, used }) = Mappings::read() else {
            return Ok(usize::MAX / 2);
        };
        let each = if self.cheap_guards { 0 } else { 2 };
        let needed = slots as usize * each + self.pieces.len();
        let left = max.saturating_sub(used + SPARE_MAPPINGS.min(max / 16));
        // What a window saves is not worth that something else of the process is refused a mapping.
        left.checked_sub(needed)
            .map(|left| left.saturating_sub(max / 8))
            .ok_or(PoolError::Mappings { needed, max, used })
    }

    fn part(&self, place: u32) -> io::Result<Reservation> {
        let piece = &self.pieces[(place / self.per_piece) as usize];
        let skew = piece
            .base()
            .addr()
            .get()
            .next_multiple_of(TABLE_SPAN as usize)
            - piece.base().addr().get();
        let start = skew + (u64::from(place % self.per_piece) * self.stride) as usize;
        // SAFETY: parts of different places do not overlap; the owner of the space hands a place to
        // one user at a time and keeps the space until all are done.
        unsafe { piece.part(start..start + self.stride as usize) }
    }

    /// Makes ready a place that is in its first state.
    ///
    /// # Safety
    ///
    /// No one may use the place until what is returned, and what is made of it, is dropped.
    pub(crate) unsafe fn place(&self, place: u32) -> io::Result<Place> {
        let space = self.part(place)?;
        let base_offset = self.shape.base_offset() as usize;
        if !self.shape.guarded {
            let guard = 0..STACK_GUARD as usize;
            // SAFETY: no one uses the place.
            unsafe {
                match self.cheap_guards {
                    true => space.guard(guard)?,
                    false => space.protect(guard, Access::None)?,
                }
            }
        }
        Ok(Place {
            space,
            base_offset,
            capacity: self.shape.reservation,
            guard: self.shape.guard(),
            is_open: !self.shape.guarded,
        })
    }

    /// Brings a place into its first state: nothing that was written is left.
    ///
    /// # Safety
    ///
    /// No one may use the place.
    pub(crate) unsafe fn clear(&self, place: u32) -> io::Result<()> {
        let space = self.part(place)?;
        let all = 0..space.len();
        // SAFETY: no one uses the place.
        unsafe {
            if self.shape.guarded {
                space.clear(all.clone())?;
            } else {
                space.protect(STACK_GUARD as usize..space.len(), Access::ReadWrite)?;
                space.discard(all.clone())?;
            }
        }
        if self.shape.guarded {
            space.use_small_pages(all);
        }
        Ok(())
    }
}

fn reserve_pieces(shape: &Shape, slots: u32, per_piece: u32) -> io::Result<Box<[Reservation]>> {
    let stride = shape.stride();
    (0..slots)
        .step_by(per_piece as usize)
        .map(|first| {
            let count = per_piece.min(slots - first);
            let len = u64::from(count)
                .checked_mul(stride)
                .and_then(|len| len.checked_add(TABLE_SPAN))
                .and_then(|len| usize::try_from(len).ok())
                .ok_or(io::ErrorKind::OutOfMemory)?;
            let piece = Reservation::new(len)?;
            piece.use_small_pages(0..len);
            if !shape.guarded {
                // SAFETY: the reservation is new: no one uses it.
                unsafe { piece.protect(0..len, Access::ReadWrite)? };
            }
            Ok(piece)
        })
        .collect()
}

/// Whether the system can make guards without splitting mappings.
fn can_guard() -> bool {
    let page = sys::page_size();
    Reservation::new(page).is_ok_and(|probe| {
        // SAFETY: the reservation is new: no one uses it.
        unsafe { probe.protect(0..page, Access::ReadWrite).is_ok() && probe.guard(0..page).is_ok() }
    })
}
