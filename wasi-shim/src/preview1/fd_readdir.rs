//! Listing directories.
//!
//! A cookie is the kernel's own position after an entry: it stays good whatever is made or removed meanwhile, as for native programs.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RawDirEntry, SeekFrom};

use super::put;
use crate::ctx::WasiCtx;
use crate::descriptor::{Directory, Object};
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr, GuestSlice};
use crate::types::{FileType, Rights};

/// Bytes of an entry before its name.
const HEAD: usize = 24;
/// How much is fetched from the kernel at once.
const CHUNK: usize = 8 * 1024;

pub(crate) fn fd_readdir(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    buffer: GuestSlice,
    cookie: u64,
    used: GuestPtr<u32>,
) -> Result<()> {
    let descriptor = ctx.table.get_mut(fd)?;
    if !descriptor.rights.has(Rights::FD_READDIR) {
        return Err(Errno::Notcapable);
    }
    let Object::Directory(directory) = &mut descriptor.object else {
        return Err(Errno::Notdir);
    };
    guest.check_ptr(used)?;
    guest.check(buffer)?;
    let out = guest.bytes_mut(buffer.first(guest.most_at_once()))?;
    let count = list(directory, out, cookie)?;
    guest.write(used, count as u32)
}

/// Writes entries from a position until the directory or the room ends; the last may be cut off.
fn list(directory: &mut Directory, out: &mut [u8], cookie: u64) -> Result<usize> {
    let fd = listing(directory)?.as_fd();
    rustix::fs::seek(fd, SeekFrom::Start(cookie))?;
    let own_inode = rustix::fs::fstat(fd)?.st_ino;
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut entries = RawDir::new(fd, &mut chunk);
    let mut used = 0;
    while used < out.len() {
        let Some(entry) = entries.next() else { break };
        let entry = entry?;
        used += write_entry(&mut out[used..], &entry, fd, own_inode);
    }
    Ok(used)
}

/// The open file for listing, with a position of its own.
fn listing(directory: &mut Directory) -> Result<&OwnedFd> {
    let listing = match directory.listing.take() {
        Some(fd) => fd,
        None => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Arc::new(rustix::fs::openat(
                &directory.fd,
                ".",
                flags,
                Mode::empty(),
            )?)
        }
    };
    Ok(directory.listing.insert(listing))
}

/// Writes an entry, or as much of it as there is room for.
fn write_entry(
    out: &mut [u8],
    entry: &RawDirEntry<'_>,
    directory: BorrowedFd<'_>,
    own_inode: u64,
) -> usize {
    let name = entry.file_name().to_bytes();
    // The inode of what lies above a preopened directory is nobody's business.
    let inode = if name == b".." {
        own_inode
    } else {
        entry.ino()
    };
    let mut head = [0; HEAD];
    put!(head, 0: entry.next_entry_cookie(), 8: inode, 16: name.len() as u32, 20: filetype(entry, directory) as u8);
    let mut written = 0;
    for part in [&head[..], name] {
        let room = out.len() - written;
        let part = &part[..part.len().min(room)];
        out[written..written + part.len()].copy_from_slice(part);
        written += part.len();
    }
    written
}

/// Some filesystems leave the type out of their listings.
fn filetype(entry: &RawDirEntry<'_>, directory: BorrowedFd<'_>) -> FileType {
    match entry.file_type() {
        rustix::fs::FileType::Unknown => {
            let stat = rustix::fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            stat.map_or(FileType::Unknown, |stat| {
                rustix::fs::FileType::from_raw_mode(stat.st_mode).into()
            })
        }
        known => known.into(),
    }
}
