//! Sockets that the host handed in, and connections accepted from them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, Shutdown, SocketFlags};

use super::fd_io::{readable, receive, receive_all, send, writable};
use crate::ctx::WasiCtx;
use crate::descriptor::{Descriptor, Object};
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr};
use crate::iovec::{Iovecs, gather, scatter};
use crate::types::{FdFlags, FileType, RiFlags, Rights, SdFlags};

/// Accepts a connection; the new descriptor has the rights that its listener passes on.
pub(crate) fn sock_accept(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    flags: u32,
    accepted: GuestPtr<u32>,
) -> Result<()> {
    let flags = FdFlags::from_guest(u16::try_from(flags).map_err(|_| Errno::Inval)?)?;
    if flags != flags.and(FdFlags::NONBLOCK) {
        return Err(Errno::Inval);
    }
    guest.check_ptr(accepted)?;
    let listener = ctx.table.get(fd)?;
    let socket = socket(listener)?;
    if !listener.rights.has(Rights::SOCK_ACCEPT) {
        return Err(Errno::Notcapable);
    }
    ctx.table.room()?;
    let stop = guest.stop();
    // Listeners never wait in the kernel: a caller may be gone before it is accepted.
    let host = loop {
        match stop.retry(|| rustix::net::accept_with(socket, SocketFlags::CLOEXEC)) {
            Err(Errno::Again) if !listener.flags.has(FdFlags::NONBLOCK) => {
                stop.wait_for(socket.as_fd(), PollFlags::IN)?;
            }
            result => break result?,
        }
    };
    let mut connection = Descriptor::socket(host, flags)?;
    connection.rights = connection.rights.and(listener.inheriting);
    connection.inheriting = connection.rights;
    let number = ctx.table.push(connection)?;
    guest.write(accepted, number)
}

pub(crate) fn sock_recv(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovecs: Iovecs,
    flags: u32,
    received: (GuestPtr<u32>, GuestPtr<u16>),
) -> Result<()> {
    let flags = RiFlags::from_guest(u16::try_from(flags).map_err(|_| Errno::Inval)?)?;
    let descriptor = ctx.table.get_mut(fd)?;
    socket(descriptor)?;
    let descriptor = readable(descriptor)?;
    let socket = socket(descriptor)?;
    guest.check_ptr(received.0)?;
    guest.check_ptr(received.1)?;
    let peek = flags.has(RiFlags::PEEK);
    let waits = !descriptor.flags.has(FdFlags::NONBLOCK);
    let stream = descriptor.filetype == FileType::SocketStream;
    let all = flags.has(RiFlags::WAITALL) && stream && waits && !peek;
    let host_flags = if peek {
        RecvFlags::PEEK
    } else {
        RecvFlags::empty()
    };
    let stop = guest.stop();
    let mut truncated = false;
    let count = scatter(guest, iovecs, |pieces| {
        if all {
            return receive_all(socket, pieces, stop);
        }
        let (count, cut) = receive(socket, pieces, descriptor.flags, host_flags, stop)?;
        truncated = cut;
        Ok(count)
    })?;
    guest.write(received.0, count as u32)?;
    guest.write(received.1, u16::from(truncated))
}

/// Sends; no flag is defined.
pub(crate) fn sock_send(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    iovecs: Iovecs,
    flags: u32,
    sent: GuestPtr<u32>,
) -> Result<()> {
    let descriptor = ctx.table.get_mut(fd)?;
    socket(descriptor)?;
    if flags != 0 {
        return Err(Errno::Inval);
    }
    let descriptor = writable(descriptor)?;
    let socket = socket(descriptor)?;
    guest.check_ptr(sent)?;
    let stop = guest.stop();
    let count = gather(guest, iovecs, |pieces| {
        send(socket, pieces, descriptor.flags, stop)
    })?;
    guest.write(sent, count as u32)
}

pub(crate) fn sock_shutdown(ctx: &mut WasiCtx, _: &mut Guest<'_>, fd: u32, how: u32) -> Result<()> {
    let descriptor = ctx.table.get(fd)?;
    let socket = socket(descriptor)?;
    if !descriptor.rights.has(Rights::SOCK_SHUTDOWN) {
        return Err(Errno::Notcapable);
    }
    let how = SdFlags::from_guest(u8::try_from(how).map_err(|_| Errno::Inval)?)?;
    let how = match (how.has(SdFlags::RD), how.has(SdFlags::WR)) {
        (true, true) => Shutdown::Both,
        (true, false) => Shutdown::Read,
        (false, true) => Shutdown::Write,
        (false, false) => return Err(Errno::Inval),
    };
    Ok(rustix::net::shutdown(socket, how)?)
}

fn socket(descriptor: &Descriptor) -> Result<&OwnedFd> {
    match &descriptor.object {
        Object::Socket(socket) => Ok(socket),
        _ => Err(Errno::Notsock),
    }
}
