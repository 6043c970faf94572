//! Arguments and environment.

use crate::ctx::{Strings, WasiCtx};
use crate::errno::Result;
use crate::guest::{Guest, GuestPtr};

pub(crate) fn args_sizes_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    count: GuestPtr<u32>,
    size: GuestPtr<u32>,
) -> Result<()> {
    sizes(&ctx.args, guest, count, size)
}

pub(crate) fn args_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    pointers: GuestPtr<u32>,
    bytes: GuestPtr<u8>,
) -> Result<()> {
    copy(&ctx.args, guest, pointers, bytes)
}

pub(crate) fn environ_sizes_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    count: GuestPtr<u32>,
    size: GuestPtr<u32>,
) -> Result<()> {
    sizes(&ctx.environment, guest, count, size)
}

pub(crate) fn environ_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    pointers: GuestPtr<u32>,
    bytes: GuestPtr<u8>,
) -> Result<()> {
    copy(&ctx.environment, guest, pointers, bytes)
}

fn sizes(
    strings: &Strings,
    guest: &mut Guest<'_>,
    count: GuestPtr<u32>,
    size: GuestPtr<u32>,
) -> Result<()> {
    guest.check_ptr(size)?;
    guest.write(count, strings.count())?;
    guest.write(size, strings.size())
}

/// Writes the strings one after the other, and a pointer to each.
fn copy(
    strings: &Strings,
    guest: &mut Guest<'_>,
    pointers: GuestPtr<u32>,
    bytes: GuestPtr<u8>,
) -> Result<()> {
    guest.check(pointers.array(strings.count()))?;
    guest
        .bytes_mut(bytes.array(strings.size()))?
        .copy_from_slice(strings.bytes());
    for (index, offset) in (0..).zip(strings.offsets()) {
        guest.write(pointers.at(index)?, bytes.at(offset)?.address())?;
    }
    Ok(())
}
