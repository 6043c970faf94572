//! Files and directories by their paths, except opening them.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode};

use super::fd::times;
use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr, GuestSlice};
use crate::resolve::{Last, Place, RelativePath};
use crate::types::{Filestat, LookupFlags, Rights};
use crate::version::Version;

pub(crate) fn path_create_directory(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: GuestSlice,
) -> Result<()> {
    let path = RelativePath::new(guest.bytes(path)?)?;
    let directory = ctx
        .table
        .get(fd)?
        .writable_directory(Rights::PATH_CREATE_DIRECTORY)?;
    let place = ctx.resolver.find(directory.fd.as_fd(), path)?;
    let name = place.name().ok_or(Errno::Exist)?;
    // The host's umask has its say, as for a native program.
    Ok(rustix::fs::mkdirat(
        &place,
        name,
        Mode::from_raw_mode(0o777),
    )?)
}

pub(crate) fn path_filestat_get<V: Version>(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    flags: u32,
    path: GuestSlice,
    out: GuestPtr<V::Filestat>,
) -> Result<()> {
    let follow = LookupFlags::from_guest(flags)?.has(LookupFlags::SYMLINK_FOLLOW);
    guest.check_ptr(out)?;
    let path = RelativePath::new(guest.bytes(path)?)?;
    let directory = ctx.table.get(fd)?.directory(Rights::PATH_FILESTAT_GET)?;
    let stat = ctx.resolver.stat(directory.fd.as_fd(), path, follow)?;
    let stat = Filestat::from(&stat);
    guest.write(out, stat.into())
}

#[allow(
    clippy::too_many_arguments,
    reason = "the function of WASI has that many"
)]
pub(crate) fn path_filestat_set_times(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    flags: u32,
    path: GuestSlice,
    accessed: u64,
    modified: u64,
    which: u32,
) -> Result<()> {
    let follow = LookupFlags::from_guest(flags)?.has(LookupFlags::SYMLINK_FOLLOW);
    let times = times(accessed, modified, which)?;
    let path = RelativePath::new(guest.bytes(path)?)?;
    let directory = ctx
        .table
        .get(fd)?
        .writable_directory(Rights::PATH_FILESTAT_SET_TIMES)?;
    let place = find(ctx, directory.fd.as_fd(), path, follow)?;
    require_directory(&place)?;
    match place.name() {
        Some(name) => rustix::fs::utimensat(&place, name, &times, AtFlags::SYMLINK_NOFOLLOW)?,
        None => rustix::fs::utimensat(&place, ".", &times, AtFlags::SYMLINK_NOFOLLOW)?,
    }
    Ok(())
}

/// Makes a hard link. Both directories must be writable: through the new name the old file could be changed.
pub(crate) fn path_link(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: GuestSlice,
    new_fd: u32,
    new_path: GuestSlice,
) -> Result<()> {
    let follow = LookupFlags::from_guest(old_flags)?.has(LookupFlags::SYMLINK_FOLLOW);
    let old_path = RelativePath::new(guest.bytes(old_path)?)?;
    let new_path = RelativePath::new(guest.bytes(new_path)?)?;
    let old = ctx
        .table
        .get(old_fd)?
        .writable_directory(Rights::PATH_LINK_SOURCE)?;
    let new = ctx
        .table
        .get(new_fd)?
        .writable_directory(Rights::PATH_LINK_TARGET)?;
    let old = find(ctx, old.fd.as_fd(), old_path, follow)?;
    require_directory(&old)?;
    let new = ctx.resolver.find(new.fd.as_fd(), new_path)?;
    let new_name = new_name(&new)?;
    let old_name = old.name().ok_or(Errno::Perm)?;
    Ok(rustix::fs::linkat(
        &old,
        old_name,
        &new,
        new_name,
        AtFlags::empty(),
    )?)
}

/// Reads what a link says, as much of it as there is room for.
pub(crate) fn path_readlink(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: GuestSlice,
    buffer: GuestSlice,
    used: GuestPtr<u32>,
) -> Result<()> {
    guest.check_ptr(used)?;
    guest.check(buffer)?;
    let path = RelativePath::new(guest.bytes(path)?)?;
    let directory = ctx.table.get(fd)?.directory(Rights::PATH_READLINK)?;
    let place = ctx.resolver.find(directory.fd.as_fd(), path)?;
    let name = place.name().ok_or(Errno::Inval)?;
    if place.slash {
        return Err(if place.is_directory()? {
            Errno::Inval
        } else {
            Errno::Notdir
        });
    }
    let target = rustix::fs::readlinkat(&place, name, Vec::new())?.into_bytes();
    let out = guest.bytes_mut(buffer.first(target.len() as u64))?;
    out.copy_from_slice(&target[..out.len()]);
    let count = out.len();
    guest.write(used, count as u32)
}

pub(crate) fn path_remove_directory(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: GuestSlice,
) -> Result<()> {
    let path = RelativePath::new(guest.bytes(path)?)?;
    let directory = ctx
        .table
        .get(fd)?
        .writable_directory(Rights::PATH_REMOVE_DIRECTORY)?;
    let place = ctx.resolver.find(directory.fd.as_fd(), path)?;
    match &place.last {
        Last::Name(name) => Ok(rustix::fs::unlinkat(&place, name, AtFlags::REMOVEDIR)?),
        Last::Dot => Err(Errno::Inval),
        Last::DotDot => Err(Errno::Notempty),
    }
}

pub(crate) fn path_rename(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    old_fd: u32,
    old_path: GuestSlice,
    new_fd: u32,
    new_path: GuestSlice,
) -> Result<()> {
    let old_path = RelativePath::new(guest.bytes(old_path)?)?;
    let new_path = RelativePath::new(guest.bytes(new_path)?)?;
    let old = ctx
        .table
        .get(old_fd)?
        .writable_directory(Rights::PATH_RENAME_SOURCE)?;
    let new = ctx
        .table
        .get(new_fd)?
        .writable_directory(Rights::PATH_RENAME_TARGET)?;
    let old = ctx.resolver.find(old.fd.as_fd(), old_path)?;
    let new = ctx.resolver.find(new.fd.as_fd(), new_path)?;
    let (Some(old_name), Some(new_name)) = (old.name(), new.name()) else {
        return Err(Errno::Busy);
    };
    if (old.slash || new.slash) && !old.is_directory()? {
        return Err(Errno::Notdir);
    }
    Ok(rustix::fs::renameat(&old, old_name, &new, new_name)?)
}

/// Makes a link. Its target may be any relative path: where it leads is decided when it is followed. An absolute one could only
/// mislead the host, and is refused.
pub(crate) fn path_symlink(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    target: GuestSlice,
    fd: u32,
    path: GuestSlice,
) -> Result<()> {
    let target = RelativePath::new(guest.bytes(target)?)?;
    let path = RelativePath::new(guest.bytes(path)?)?;
    let directory = ctx
        .table
        .get(fd)?
        .writable_directory(Rights::PATH_SYMLINK)?;
    let place = ctx.resolver.find(directory.fd.as_fd(), path)?;
    let name = new_name(&place)?;
    Ok(rustix::fs::symlinkat(target.bytes(), &place, name)?)
}

pub(crate) fn path_unlink_file(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: GuestSlice,
) -> Result<()> {
    let path = RelativePath::new(guest.bytes(path)?)?;
    let directory = ctx
        .table
        .get(fd)?
        .writable_directory(Rights::PATH_UNLINK_FILE)?;
    let place = ctx.resolver.find(directory.fd.as_fd(), path)?;
    let name = place.name().ok_or(Errno::Isdir)?;
    if place.slash {
        return Err(if place.is_directory()? {
            Errno::Isdir
        } else {
            Errno::Notdir
        });
    }
    Ok(rustix::fs::unlinkat(&place, name, AtFlags::empty())?)
}

/// Where a path ends, a link there followed or not. A slash at the end follows it always.
fn find<'d>(
    ctx: &WasiCtx,
    start: std::os::fd::BorrowedFd<'d>,
    path: RelativePath<'_>,
    follow: bool,
) -> Result<Place<'d>> {
    if follow || path.bytes().ends_with(b"/") {
        ctx.resolver.find_followed(start, path)
    } else {
        ctx.resolver.find(start, path)
    }
}

/// ENOTDIR if the path ended with a slash and no directory is there.
fn require_directory(place: &Place<'_>) -> Result<()> {
    if place.slash && !place.is_directory()? {
        return Err(Errno::Notdir);
    }
    Ok(())
}

/// The name for something new that is no directory: what the kernel would say if it ends with a slash, is said here.
fn new_name<'p>(place: &'p Place<'_>) -> Result<&'p [u8]> {
    let name = place.name().ok_or(Errno::Exist)?;
    if place.slash {
        return Err(if place.is_directory()? {
            Errno::Exist
        } else {
            Errno::Notdir
        });
    }
    Ok(name)
}
