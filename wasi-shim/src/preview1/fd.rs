//! Descriptors: their state, their rights, and what is known of the files behind them.

use std::num::NonZeroU64;

use rustix::fs::{Advice, FallocateFlags, Timestamps};
use rustix::time::Timespec;

use super::put;
use crate::ctx::WasiCtx;
use crate::descriptor::{Descriptor, Object, to_host};
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr, GuestSlice, Layout};
use crate::types::{FdFlags, FileType, Filestat, FstFlags, Rights, timespec};
use crate::version::Version;

pub(crate) fn fd_close(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32) -> Result<()> {
    ctx.table.remove(fd).map(drop)
}

/// Moves a descriptor to the number of another open one, which is closed.
pub(crate) fn fd_renumber(ctx: &mut WasiCtx, _: &mut Guest<'_>, from: u32, to: u32) -> Result<()> {
    ctx.table.renumber(from, to)
}

/// What `fd_fdstat_get` tells, in 24 bytes.
pub(crate) struct Fdstat {
    filetype: FileType,
    flags: FdFlags,
    rights: Rights,
    inheriting: Rights,
}

impl Layout for Fdstat {
    const SIZE: usize = 24;

    fn decode(_: &[u8]) -> Self {
        Self {
            filetype: FileType::Unknown,
            flags: FdFlags::NONE,
            rights: Rights::NONE,
            inheriting: Rights::NONE,
        }
    }

    fn encode(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        put!(bytes, 0: self.filetype as u8, 2: self.flags.bits(), 8: self.rights.bits(), 16: self.inheriting.bits());
    }
}

pub(crate) fn fd_fdstat_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    stat: GuestPtr<Fdstat>,
) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    guest.write(
        stat,
        Fdstat {
            filetype: descriptor.filetype,
            flags: descriptor.flags,
            rights: descriptor.rights,
            inheriting: descriptor.inheriting,
        },
    )
}

/// Sets the flags. An open file that others use too keeps its own: the guest's flags are then followed by its reads and writes.
pub(crate) fn fd_fdstat_set_flags(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    flags: u32,
) -> Result<()> {
    let flags = FdFlags::from_guest(u16::try_from(flags).map_err(|_| Errno::Inval)?)?;
    let descriptor = ctx.table.capable(fd, Rights::FD_FDSTAT_SET_FLAGS)?;
    match &descriptor.object {
        // Sockets never wait in the kernel: the guest's flags are followed when they are used.
        Object::Null | Object::Source(_) | Object::Captured(_) | Object::Socket(_) => {}
        Object::Directory(_) => return Err(Errno::Badf),
        Object::File(file) if file.shared => {}
        Object::File(file) => rustix::fs::fcntl_setfl(&file.fd, to_host(flags))?,
    }
    descriptor.flags = flags;
    Ok(())
}

/// Gives rights up; none can be won.
pub(crate) fn fd_fdstat_set_rights(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    rights: u64,
    inheriting: u64,
) -> Result<()> {
    let descriptor = ctx.table.get_mut(fd)?;
    let (rights, inheriting) = (Rights::from_guest(rights)?, Rights::from_guest(inheriting)?);
    if !descriptor.rights.has(rights) || !descriptor.inheriting.has(inheriting) {
        return Err(Errno::Notcapable);
    }
    descriptor.rights = rights;
    descriptor.inheriting = inheriting;
    Ok(())
}

pub(crate) fn fd_prestat_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    prestat: GuestPtr<u64>,
) -> Result<()> {
    let name = preopen(ctx.table.get(fd)?).ok_or(Errno::Badf)?;
    let length = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
    // A tag of one byte, 0 for a directory; at 4 the length of its name.
    guest.write(prestat, u64::from(length) << 32)
}

pub(crate) fn fd_prestat_dir_name(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    buffer: GuestSlice,
) -> Result<()> {
    let name = preopen(ctx.table.get(fd)?).ok_or(Errno::Notdir)?;
    if (name.len() as u64) > buffer.len() {
        return Err(Errno::Nametoolong);
    }
    guest
        .bytes_mut(buffer.first(name.len() as u64))?
        .copy_from_slice(name);
    Ok(())
}

fn preopen(descriptor: &Descriptor) -> Option<&[u8]> {
    match &descriptor.object {
        Object::Directory(directory) => directory.preopen.as_deref(),
        _ => None,
    }
}

pub(crate) fn fd_sync(ctx: &mut WasiCtx, guest: &mut Guest<'_>, fd: u32) -> Result<()> {
    let descriptor = ctx.table.capable(fd, Rights::FD_SYNC)?;
    let host = descriptor.host().ok_or(Errno::Inval)?;
    guest.stop().retry(|| rustix::fs::fsync(host))
}

pub(crate) fn fd_datasync(ctx: &mut WasiCtx, guest: &mut Guest<'_>, fd: u32) -> Result<()> {
    let descriptor = ctx.table.capable(fd, Rights::FD_DATASYNC)?;
    let host = descriptor.host().ok_or(Errno::Inval)?;
    guest.stop().retry(|| rustix::fs::fdatasync(host))
}

pub(crate) fn fd_advise(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    offset: u64,
    length: u64,
    advice: u32,
) -> Result<()> {
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::Inval),
    };
    let descriptor = ctx.table.get(fd)?;
    let host = file(descriptor)?;
    if !descriptor.rights.has(Rights::FD_ADVISE) {
        return Err(Errno::Notcapable);
    }
    if i64::try_from(offset).is_err() || i64::try_from(length).is_err() {
        return Err(Errno::Inval);
    }
    Ok(rustix::fs::fadvise(
        host,
        offset,
        NonZeroU64::new(length),
        advice,
    )?)
}

/// Makes sure that a range of a file has its space on the disk, and that the file reaches to its end.
pub(crate) fn fd_allocate(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    offset: u64,
    length: u64,
) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    let host = file(descriptor)?;
    changeable(descriptor, Rights::FD_ALLOCATE, Errno::Badf)?;
    let end = offset.checked_add(length).ok_or(Errno::Fbig)?;
    if length == 0 {
        return Err(Errno::Inval);
    }
    if i64::try_from(end).is_err() {
        return Err(Errno::Fbig);
    }
    let allocated = guest
        .stop()
        .retry(|| rustix::fs::fallocate(host, FallocateFlags::empty(), offset, length));
    match allocated {
        // The filesystem has no such operation: the size at least can be had.
        Err(Errno::Notsup) => {
            let size = u64::try_from(rustix::fs::fstat(host)?.st_size).unwrap_or(0);
            if size < end {
                Ok(rustix::fs::ftruncate(host, end)?)
            } else {
                Ok(())
            }
        }
        result => result,
    }
}

pub(crate) fn fd_filestat_get<V: Version>(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    out: GuestPtr<V::Filestat>,
) -> Result<()> {
    let descriptor = ctx.table.capable(fd, Rights::FD_FILESTAT_GET)?;
    let stat = match descriptor.host() {
        Some(host) => {
            let mut stat = Filestat::from(&rustix::fs::fstat(host)?);
            stat.filetype = descriptor.filetype;
            stat
        }
        None => Filestat::STREAM,
    };
    guest.write(out, stat.into())
}

pub(crate) fn fd_filestat_set_size(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    size: u64,
) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    let host = file(descriptor)?;
    changeable(descriptor, Rights::FD_FILESTAT_SET_SIZE, Errno::Inval)?;
    if i64::try_from(size).is_err() {
        return Err(Errno::Fbig);
    }
    guest.stop().retry(|| rustix::fs::ftruncate(host, size))
}

pub(crate) fn fd_filestat_set_times(
    ctx: &mut WasiCtx,
    _: &mut Guest<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Result<()> {
    let times = times(accessed, modified, flags)?;
    let descriptor = ctx.table.get(fd)?;
    changeable(descriptor, Rights::FD_FILESTAT_SET_TIMES, Errno::Notcapable)?;
    let host = descriptor.host().ok_or(Errno::Badf)?;
    Ok(rustix::fs::futimens(host, &times)?)
}

/// The host's file behind a descriptor that is no directory, socket or stream.
fn file(descriptor: &Descriptor) -> Result<std::os::fd::BorrowedFd<'_>> {
    match &descriptor.object {
        Object::File(file) => Ok(std::os::fd::AsFd::as_fd(&file.fd)),
        Object::Directory(_) => Err(Errno::Badf),
        Object::Null | Object::Source(_) | Object::Captured(_) | Object::Socket(_) => {
            Err(Errno::Spipe)
        }
    }
}

/// Whether a file may be changed: its rights suffice, and it did not come through a read-only
/// directory. What POSIX says of a file that was not opened for writing is said here too.
fn changeable(descriptor: &Descriptor, needed: Rights, not_writable: Errno) -> Result<()> {
    if descriptor.read_only() {
        return Err(Errno::Rofs);
    }
    if descriptor.rights.has(needed) {
        return Ok(());
    }
    if descriptor.rights.has(Rights::FD_WRITE) {
        Err(Errno::Notcapable)
    } else {
        Err(not_writable)
    }
}

/// The times to set: given, now, or as they are.
pub(crate) fn times(accessed: u64, modified: u64, flags: u32) -> Result<Timestamps> {
    let flags = FstFlags::from_guest(u16::try_from(flags).map_err(|_| Errno::Inval)?)?;
    Ok(Timestamps {
        last_access: time(
            accessed,
            flags.has(FstFlags::ATIM),
            flags.has(FstFlags::ATIM_NOW),
        )?,
        last_modification: time(
            modified,
            flags.has(FstFlags::MTIM),
            flags.has(FstFlags::MTIM_NOW),
        )?,
    })
}

fn time(given: u64, set: bool, now: bool) -> Result<Timespec> {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    match (set, now) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(timespec(given)),
        (false, true) => Ok(special(rustix::fs::UTIME_NOW)),
        (false, false) => Ok(special(rustix::fs::UTIME_OMIT)),
    }
}
