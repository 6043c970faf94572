//! Clocks. Reading one is a call into the kernel's page of code (vdso), no system call, except for the two of CPU time.

use crate::ctx::WasiCtx;
use crate::errno::Result;
use crate::guest::{Guest, GuestPtr};
use crate::types::{Clock, nanoseconds};

pub(crate) fn clock_res_get(
    _: &mut WasiCtx,
    guest: &mut Guest<'_>,
    id: u32,
    resolution: GuestPtr<u64>,
) -> Result<()> {
    let clock = Clock::from_guest(id)?;
    guest.write(
        resolution,
        nanoseconds(rustix::time::clock_getres(clock.host())),
    )
}

/// The precision asked for is ignored: this is as precise as it gets, and costs the same.
pub(crate) fn clock_time_get(
    _: &mut WasiCtx,
    guest: &mut Guest<'_>,
    id: u32,
    _precision: u64,
    time: GuestPtr<u64>,
) -> Result<()> {
    let clock = Clock::from_guest(id)?;
    guest.write(time, clock.now())
}
