//! Reading, writing, and moving about in files.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::SeekFrom;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags};

use crate::ctx::{Capture, WasiCtx};
use crate::descriptor::{Descriptor, File, Object, Source};
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr};
use crate::iovec::{Iovecs, gather, scatter};
use crate::stop::{Stop, is_ready};
use crate::types::{FdFlags, Rights, Whence};
use crate::version::Version;

pub(crate) fn fd_read(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovecs: Iovecs,
    read: GuestPtr<u32>,
) -> Result<()> {
    let descriptor = readable(ctx.table.get_mut(fd)?)?;
    guest.check_ptr(read)?;
    let stop = guest.stop();
    let count = match &mut descriptor.object {
        Object::Null => iovecs.check(guest).map(|_| 0)?,
        Object::Source(source) => read_source(source, guest, iovecs)?,
        Object::File(file) => {
            ready(file, descriptor.flags, PollFlags::IN, stop)?;
            scatter(guest, iovecs, |pieces| {
                stop.retry(|| rustix::io::readv(&file.fd, pieces))
            })?
        }
        Object::Socket(socket) => scatter(guest, iovecs, |pieces| {
            let received = receive(socket, pieces, descriptor.flags, RecvFlags::empty(), stop);
            received.map(|(count, _)| count)
        })?,
        Object::Captured(_) | Object::Directory(_) => return Err(Errno::Badf),
    };
    guest.write(read, count as u32)
}

pub(crate) fn fd_pread(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovecs: Iovecs,
    offset: u64,
    read: GuestPtr<u32>,
) -> Result<()> {
    let descriptor = readable(ctx.table.get_mut(fd)?)?;
    let file = seekable(descriptor, Rights::FD_SEEK)?;
    guest.check_ptr(read)?;
    let stop = guest.stop();
    let count = scatter(guest, iovecs, |pieces| {
        stop.retry(|| rustix::io::preadv(&file.fd, pieces, offset))
    })?;
    guest.write(read, count as u32)
}

pub(crate) fn fd_write(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovecs: Iovecs,
    written: GuestPtr<u32>,
) -> Result<()> {
    let descriptor = writable(ctx.table.get_mut(fd)?)?;
    guest.check_ptr(written)?;
    let stop = guest.stop();
    let count = match &descriptor.object {
        Object::Null => iovecs.check(guest)? as usize,
        Object::Captured(index) => write_captured(&mut ctx.captured[*index], guest, iovecs)?,
        Object::File(file) => {
            ready(file, descriptor.flags, PollFlags::OUT, stop)?;
            let in_pieces = file.waits && !descriptor.flags.has(FdFlags::NONBLOCK);
            let count = gather(guest, iovecs, |pieces| {
                if in_pieces {
                    write_pipe(&file.fd, pieces, stop)
                } else {
                    stop.retry(|| rustix::io::writev(&file.fd, pieces))
                }
            })?;
            written_through(file, descriptor.flags, stop)?;
            count
        }
        Object::Socket(socket) => gather(guest, iovecs, |pieces| {
            send(socket, pieces, descriptor.flags, stop)
        })?,
        Object::Source(_) | Object::Directory(_) => return Err(Errno::Badf),
    };
    guest.write(written, count as u32)
}

pub(crate) fn fd_pwrite(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovecs: Iovecs,
    offset: u64,
    written: GuestPtr<u32>,
) -> Result<()> {
    let descriptor = writable(ctx.table.get_mut(fd)?)?;
    let file = seekable(descriptor, Rights::FD_SEEK)?;
    guest.check_ptr(written)?;
    let stop = guest.stop();
    let count = gather(guest, iovecs, |pieces| {
        stop.retry(|| rustix::io::pwritev(&file.fd, pieces, offset))
    })?;
    written_through(file, descriptor.flags, stop)?;
    guest.write(written, count as u32)
}

pub(crate) fn fd_seek<V: Version>(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    position: GuestPtr<u64>,
) -> Result<()> {
    let whence = V::whence(whence)?;
    let descriptor = ctx.table.get(fd)?;
    // Asking where one is needs less than going elsewhere.
    let tells = whence == Whence::Current && offset == 0 && descriptor.rights.has(Rights::FD_TELL);
    let file = seekable(
        descriptor,
        if tells {
            Rights::FD_TELL
        } else {
            Rights::FD_SEEK
        },
    )?;
    guest.check_ptr(position)?;
    let to = match whence {
        Whence::Set => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
        Whence::Current => SeekFrom::Current(offset),
        Whence::End => SeekFrom::End(offset),
    };
    guest.write(position, rustix::fs::seek(&file.fd, to)?)
}

pub(crate) fn fd_tell(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    position: GuestPtr<u64>,
) -> Result<()> {
    let file = seekable(ctx.table.get(fd)?, Rights::FD_TELL)?;
    guest.write(position, rustix::fs::tell(&file.fd)?)
}

/// A descriptor opened for reading; else EBADF as in POSIX, and EISDIR for a directory.
pub(crate) fn readable(descriptor: &mut Descriptor) -> Result<&mut Descriptor> {
    match descriptor.object {
        Object::Directory(_) => Err(Errno::Isdir),
        _ if descriptor.rights.has(Rights::FD_READ) => Ok(descriptor),
        _ => Err(Errno::Badf),
    }
}

/// A descriptor opened for writing; else EBADF as in POSIX.
pub(crate) fn writable(descriptor: &mut Descriptor) -> Result<&mut Descriptor> {
    if descriptor.rights.has(Rights::FD_WRITE) {
        Ok(descriptor)
    } else {
        Err(Errno::Badf)
    }
}

/// The file behind a descriptor that has a position. A stream never had the right to seek, which is
/// ESPIPE; a file may have given it up.
fn seekable(descriptor: &Descriptor, needed: Rights) -> Result<&File> {
    match &descriptor.object {
        Object::Directory(_) => Err(Errno::Badf),
        Object::File(file) if file.waits => Err(Errno::Spipe),
        Object::File(file) if descriptor.rights.has(needed) => Ok(file),
        Object::File(_) => Err(Errno::Notcapable),
        Object::Null | Object::Source(_) | Object::Captured(_) | Object::Socket(_) => {
            Err(Errno::Spipe)
        }
    }
}

/// Copies from bytes handed in.
fn read_source(source: &mut Source, guest: &mut Guest<'_>, iovecs: Iovecs) -> Result<usize> {
    let mut room = iovecs.check(guest)?.min(guest.most_at_once());
    let mut total = 0;
    let mut index = 0;
    while let Some(piece) = iovecs.piece(guest, index)? {
        let rest = source.rest();
        let out = guest.bytes_mut(piece.first(room.min(rest.len() as u64)))?;
        out.copy_from_slice(&rest[..out.len()]);
        let count = out.len();
        source.advance(count);
        room -= count as u64;
        total += count;
        index += 1;
    }
    Ok(total)
}

/// Appends to a buffer of the host's, as far as it may grow.
fn write_captured(capture: &mut Capture, guest: &Guest<'_>, iovecs: Iovecs) -> Result<usize> {
    let total = iovecs.check(guest)?;
    let room = capture.limit.saturating_sub(capture.bytes.len()) as u64;
    if room == 0 && total > 0 {
        return Err(Errno::Nospc);
    }
    let mut left = total.min(room).min(guest.most_at_once());
    let before = capture.bytes.len();
    for piece in iovecs.pieces(guest)? {
        let bytes = guest.bytes(piece.first(left))?;
        capture.bytes.extend_from_slice(bytes);
        left -= bytes.len() as u64;
    }
    Ok(capture.bytes.len() - before)
}

/// Waits for a pipe or terminal. EAGAIN instead for a guest that would not wait, if the file's own
/// flags are not ours to set.
fn ready(file: &File, flags: FdFlags, wanted: PollFlags, stop: Stop<'_>) -> Result<()> {
    if !file.waits {
        return Ok(());
    }
    if !flags.has(FdFlags::NONBLOCK) {
        return stop.wait_for(file.fd.as_fd(), wanted);
    }
    if file.shared && !is_ready(file.fd.as_fd(), wanted)? {
        return Err(Errno::Again);
    }
    Ok(())
}

/// As much as a pipe that is ready takes without waiting.
const PIPE_BUF: usize = 4096;

/// Writes all to a pipe, as a waiting writer does, in pieces that do not wait; so it can be cut short.
fn write_pipe(fd: &OwnedFd, pieces: &[IoSlice<'_>], stop: Stop<'_>) -> Result<usize> {
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    if total <= PIPE_BUF {
        return stop.retry(|| rustix::io::writev(fd, pieces));
    }
    let mut written = 0;
    for piece in pieces.iter().flat_map(|piece| piece.chunks(PIPE_BUF)) {
        let result = stop
            .wait_for(fd.as_fd(), PollFlags::OUT)
            .and_then(|()| stop.retry(|| rustix::io::write(fd, piece)));
        match result {
            Ok(count) => written += count,
            Err(error) if written == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(written)
}

/// Follows flags for synchronous writing. Linux sets them only when a file is opened; set later, they are ours to follow.
fn written_through(file: &File, flags: FdFlags, stop: Stop<'_>) -> Result<()> {
    let flags = flags.without(file.opened);
    if flags.meets(FdFlags::SYNC.with(FdFlags::RSYNC)) {
        stop.retry(|| rustix::fs::fsync(&file.fd))
    } else if flags.has(FdFlags::DSYNC) {
        stop.retry(|| rustix::fs::fdatasync(&file.fd))
    } else {
        Ok(())
    }
}

/// Receives from a socket, and says whether the message was longer than the buffers. It never waits
/// in the kernel, where nothing could cut it short.
pub(crate) fn receive(
    socket: &OwnedFd,
    pieces: &mut [IoSliceMut<'_>],
    flags: FdFlags,
    asked: RecvFlags,
    stop: Stop<'_>,
) -> Result<(usize, bool)> {
    let room: usize = pieces.iter().map(|piece| piece.len()).sum();
    let host_flags = asked | RecvFlags::DONTWAIT;
    loop {
        let mut control = RecvAncillaryBuffer::default();
        match stop.retry(|| rustix::net::recvmsg(socket, pieces, &mut control, host_flags)) {
            Err(Errno::Again) if !flags.has(FdFlags::NONBLOCK) => {
                stop.wait_for(socket.as_fd(), PollFlags::IN)?;
            }
            Err(error) => return Err(error),
            // The kernel can answer the whole length of a message that was cut.
            Ok(message) => {
                let truncated = message.flags.contains(ReturnFlags::TRUNC);
                return Ok((message.bytes.min(room), truncated));
            }
        }
    }
}

/// Receives from a stream until the buffers are full or it ends.
pub(crate) fn receive_all(
    socket: &OwnedFd,
    pieces: &mut [IoSliceMut<'_>],
    stop: Stop<'_>,
) -> Result<usize> {
    let mut total = 0;
    for piece in pieces {
        let mut filled = 0;
        while filled < piece.len() {
            let rest = &mut [IoSliceMut::new(&mut piece[filled..])];
            match receive(socket, rest, FdFlags::NONE, RecvFlags::empty(), stop) {
                Ok((0, _)) => return Ok(total),
                Ok((count, _)) => {
                    filled += count;
                    total += count;
                }
                Err(error) if total == 0 => return Err(error),
                Err(_) => return Ok(total),
            }
        }
    }
    Ok(total)
}

/// Sends to a socket. A closed one is EPIPE, never a signal to the host.
pub(crate) fn send(
    socket: &OwnedFd,
    pieces: &[IoSlice<'_>],
    flags: FdFlags,
    stop: Stop<'_>,
) -> Result<usize> {
    let host_flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        let mut control = SendAncillaryBuffer::default();
        match stop.retry(|| rustix::net::sendmsg(socket, pieces, &mut control, host_flags)) {
            Err(Errno::Again) if !flags.has(FdFlags::NONBLOCK) => {
                stop.wait_for(socket.as_fd(), PollFlags::OUT)?;
            }
            result => return result,
        }
    }
}
