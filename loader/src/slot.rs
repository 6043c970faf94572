//! Slots: the address space of one instance.
//!
//! ```text
//!  low                                                                       high
//!  | guard | guest stack ◄── | instance data | memory 0 ──►    | reserved, guard |
//!  ▲       ▲                 ▲               ▲
//!  start   stack             stack_top       base
//! ```
//!
//! # Safety
//!
//! This file holds unsafe code: writing to instance data by distances below the base. Distances
//! come from metadata accessors, which check that they are regions of the instance data; the slot
//! has as much of it as the layout says.
#![allow(unsafe_code, reason = "instance data is laid out by the compiler")]

use precast_abi::instance::{InstanceHeader, STACK_GUARD};

use crate::activation::Region;
use crate::error::{AddressSpaceError, Error, PoolError, SystemError};
use crate::sys::{self, Access, Reservation};

/// What a slot needs to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotPlan {
    /// Bytes of guest stack, at least.
    pub(crate) stack_size: usize,
    /// Bytes of instance data.
    pub(crate) data_size: usize,
    /// Bytes of memory 0 that are accessible from the start.
    pub(crate) memory_len: u64,
    /// Bytes of address space for memory 0.
    pub(crate) memory_capacity: u64,
    /// Bytes after that which must stay inaccessible.
    pub(crate) guard: u64,
    /// Whether generated code counts on the two above, and does not check.
    pub(crate) guarded: bool,
}

/// The address space of one instance.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) reservation: Reservation,
    /// Distance of the instance base from the start of the reservation.
    pub(crate) base_offset: usize,
    pub(crate) region: Region,
}

/// The place of a pool in which a slot is to be made.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its address space: inaccessible, or (`is_open`) accessible but for a guard.
    pub(crate) space: Reservation,
    /// Distance of the instance base from its start.
    pub(crate) base_offset: usize,
    /// Bytes from the base on that a memory may use.
    pub(crate) capacity: u64,
    /// Bytes after that which are never accessible.
    pub(crate) guard: u64,
    /// Whether stack, instance data and all of the capacity are accessible from the start.
    pub(crate) is_open: bool,
}

impl Slot {
    /// Makes a slot in a place of a pool. Its plan must fit: see [`Place::refuses`].
    pub(crate) fn in_place(place: Place, plan: &SlotPlan) -> Result<Slot, SystemError> {
        let base_offset = place.base_offset;
        let start = place.space.base().as_ptr().expose_provenance();
        let base = start + base_offset;
        let stack_top = (base - plan.data_size) & !15;
        let stack = (stack_top - plan.stack_size) & !(sys::page_size() - 1);
        if !place.is_open {
            let accessible = stack - start..base_offset + plan.memory_len as usize;
            let bytes = accessible.len() as u64;
            // SAFETY: the place was handed to us: no one uses it.
            unsafe { place.space.protect(accessible, Access::ReadWrite) }.map_err(|source| {
                SystemError {
                    what: "allocate",
                    bytes,
                    source: Some(source),
                }
            })?;
        }
        let guarded = match plan.guarded {
            true => plan.memory_capacity + plan.guard,
            false => 0,
        };
        Ok(Slot {
            reservation: place.space,
            base_offset,
            region: Region {
                start,
                stack,
                stack_top,
                base,
                end: base + guarded as usize,
                window: std::ptr::null(),
            },
        })
    }

    /// Reserves a slot and makes stack, instance data and the first bytes of memory 0 accessible.
    /// All of it is zero. Where there is no room for all that a memory with checks may become, the
    /// plan is changed to what there is.
    pub(crate) fn new(plan: &mut SlotPlan) -> Result<Slot, Error> {
        loop {
            match Slot::exactly(plan) {
                Err(Error::AddressSpace(_))
                    if !plan.guarded && plan.memory_capacity > plan.memory_len =>
                {
                    let page = sys::page_size() as u64;
                    let half = (plan.memory_capacity / 2).next_multiple_of(page);
                    plan.memory_capacity = match half < plan.memory_capacity {
                        true => half.max(plan.memory_len),
                        false => plan.memory_len,
                    };
                }
                result => return result,
            }
        }
    }

    /// The slot of this plan.
    fn exactly(plan: &SlotPlan) -> Result<Slot, Error> {
        let too_large = || SystemError {
            what: "reserve",
            bytes: u64::MAX,
            source: None,
        };
        let low = STACK_GUARD as usize + plan.stack_size + plan.data_size;
        let base_offset = sys::round_up_to_page(low).ok_or_else(too_large)?;
        let len = (base_offset as u64)
            .checked_add(plan.memory_capacity)
            .and_then(|len| len.checked_add(plan.guard))
            .filter(|&len| len < 1 << 47)
            .ok_or_else(too_large)?;
        let reservation = Reservation::new(len as usize).map_err(|source| AddressSpaceError {
            needed: len,
            limit: sys::address_space_limit(),
            guarded: plan.guarded,
            source,
        })?;
        let stack = STACK_GUARD as usize;
        let accessible = base_offset as u64 + plan.memory_len;
        // SAFETY: the reservation is new: no one uses it.
        unsafe { reservation.protect(stack..accessible as usize, Access::ReadWrite) }.map_err(
            |source| SystemError {
                what: "allocate",
                bytes: accessible - stack as u64,
                source: Some(source),
            },
        )?;
        let start = reservation.base().as_ptr().expose_provenance();
        let base = start + base_offset;
        let guarded = if plan.guarded {
            plan.memory_capacity + plan.guard
        } else {
            0
        };
        let region = Region {
            start,
            stack: start + stack,
            stack_top: (base - plan.data_size) & !15,
            base,
            end: base + guarded as usize,
            window: std::ptr::null(),
        };
        Ok(Slot {
            reservation,
            base_offset,
            region,
        })
    }

    /// Instance base.
    pub(crate) fn base(&self) -> usize {
        self.region.base
    }

    /// Address of what lies `distance` below the base.
    pub(crate) fn address(&self, distance: u32) -> usize {
        self.base() - distance as usize
    }

    /// Writes a value to instance data.
    ///
    /// # Safety
    ///
    /// `distance` must be that of a region of the instance data large enough for `T`, which no one
    /// refers to.
    pub(crate) unsafe fn write<T>(&self, distance: u32, value: T) {
        // SAFETY: the caller's promise; instance data is accessible.
        unsafe {
            std::ptr::with_exposed_provenance_mut::<T>(self.address(distance))
                .write_unaligned(value);
        }
    }

    /// Copies bytes to instance data.
    ///
    /// # Safety
    ///
    /// As [`Slot::write`], for as many bytes.
    pub(crate) unsafe fn write_bytes(&self, distance: u32, bytes: &[u8]) {
        let to = std::ptr::with_exposed_provenance_mut::<u8>(self.address(distance));
        // SAFETY: the caller's promise; instance data is accessible.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Reads a value of instance data.
    ///
    /// # Safety
    ///
    /// As [`Slot::write`]; any bits must be a `T`.
    pub(crate) unsafe fn read<T>(&self, distance: u32) -> T {
        // SAFETY: the caller's promise; instance data is accessible.
        unsafe { std::ptr::with_exposed_provenance::<T>(self.address(distance)).read_unaligned() }
    }

    /// Fills in the fixed part of the instance data.
    pub(crate) fn write_header(&self, header: InstanceHeader) {
        // SAFETY: layouts are at least as large as the header (checked when the object is opened).
        unsafe { self.write(InstanceHeader::SIZE, header) };
    }
}

impl Place {
    /// Why a slot of this plan cannot be made here; `None` where it can.
    pub(crate) fn refuses(&self, plan: &SlotPlan) -> Option<PoolError> {
        let low = STACK_GUARD + plan.stack_size as u64 + plan.data_size as u64;
        let page = sys::page_size() as u64;
        if low + page > self.base_offset as u64 {
            let room = (self.base_offset as u64).saturating_sub(STACK_GUARD + page);
            return Some(PoolError::InstanceData {
                needed: plan.data_size as u64,
                room: room.saturating_sub(plan.stack_size as u64),
            });
        }
        if plan.guarded && (plan.memory_capacity > self.capacity || plan.guard > self.guard) {
            return Some(PoolError::Reservation {
                needed: plan.memory_capacity + plan.guard,
                room: self.capacity + self.guard,
            });
        }
        (plan.memory_len > self.capacity).then_some(PoolError::Memory {
            needed: plan.memory_len,
            room: self.capacity,
        })
    }
}

/// The fixed part of the instance data at `base`.
///
/// # Safety
///
/// `base` must be that of a living instance.
pub(crate) unsafe fn header(base: usize) -> InstanceHeader {
    let address = base - InstanceHeader::SIZE as usize;
    // SAFETY: the header ends at the base of every instance.
    unsafe { std::ptr::with_exposed_provenance::<InstanceHeader>(address).read() }
}
