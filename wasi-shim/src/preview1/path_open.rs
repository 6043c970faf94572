//! Opening files and directories.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::ctx::WasiCtx;
use crate::descriptor::{Descriptor, Directory, File, Object, filetype, to_host, waits};
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr, GuestSlice};
use crate::resolve::{RelativePath, Resolver};
use crate::stop::Stop;
use crate::types::{FdFlags, FileType, LookupFlags, OpenFlags, Rights};

/// What a guest asks of `path_open` beside the path, checked.
pub(crate) struct Request {
    follow: bool,
    open: OpenFlags,
    rights: Rights,
    inheriting: Rights,
    flags: FdFlags,
}

impl Request {
    /// Checks the numbers that a guest gave.
    pub(crate) fn new(
        lookup: u32,
        open: u32,
        rights: u64,
        inheriting: u64,
        flags: u32,
    ) -> Result<Self> {
        let request = Self {
            follow: LookupFlags::from_guest(lookup)?.has(LookupFlags::SYMLINK_FOLLOW),
            open: OpenFlags::from_guest(u16::try_from(open).map_err(|_| Errno::Inval)?)?,
            // Programs ask for all bits, also those that mean nothing.
            rights: Rights::ALL.and(Rights::any(rights)),
            inheriting: Rights::ALL.and(Rights::any(inheriting)),
            flags: FdFlags::from_guest(u16::try_from(flags).map_err(|_| Errno::Inval)?)?,
        };
        let makes = OpenFlags::CREAT
            .with(OpenFlags::EXCL)
            .with(OpenFlags::TRUNC);
        if request.open.has(OpenFlags::DIRECTORY) && request.open.meets(makes) {
            return Err(Errno::Inval);
        }
        Ok(request)
    }

    /// Whether the rights of the directory suffice for it.
    fn allowed_by(&self, directory: &Descriptor) -> Result<()> {
        let mut needed = Rights::PATH_OPEN;
        if self.open.has(OpenFlags::CREAT) {
            needed = needed.with(Rights::PATH_CREATE_FILE);
        }
        if self.open.has(OpenFlags::TRUNC) {
            needed = needed.with(Rights::PATH_FILESTAT_SET_SIZE);
        }
        // Rights to sockets cannot be asked of a directory, and mean nothing there.
        let passed_on = self.rights.with(self.inheriting).without(Rights::SOCKET);
        if !directory.rights.has(needed) || !directory.inheriting.has(passed_on) {
            return Err(Errno::Notcapable);
        }
        Ok(())
    }

    /// Whether it would change an existing file: empty it or write to it.
    fn changes(&self) -> bool {
        self.open.has(OpenFlags::TRUNC) || self.rights.has(Rights::FD_WRITE)
    }

    fn host_flags(&self, read_only: bool) -> OFlags {
        let access = match (
            self.rights.has(Rights::FD_READ),
            self.rights.has(Rights::FD_WRITE),
        ) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        let pairs = [
            (OpenFlags::CREAT, OFlags::CREATE),
            (OpenFlags::DIRECTORY, OFlags::DIRECTORY),
            (OpenFlags::EXCL, OFlags::EXCL),
            (OpenFlags::TRUNC, OFlags::TRUNC),
        ];
        let flags = pairs
            .into_iter()
            .filter(|(flag, _)| self.open.has(*flag))
            .fold(access | to_host(self.flags), |all, (_, host)| all | host);
        let flags = if self.follow {
            flags
        } else {
            flags | OFlags::NOFOLLOW
        };
        // Whatever became of the file since it was looked at: it is not made here.
        if read_only {
            flags - OFlags::CREATE - OFlags::EXCL
        } else {
            flags
        }
    }

    /// Makes a descriptor of what was opened. Rights that mean nothing for its kind are left out.
    fn descriptor(&self, fd: OwnedFd, read_only: bool) -> Result<Descriptor> {
        let stat = rustix::fs::fstat(&fd)?;
        let filetype = filetype(fd.as_fd(), &stat);
        let (object, meaningful) = if filetype == FileType::Directory {
            let directory = Directory {
                fd: Arc::new(fd),
                listing: None,
                preopen: None,
                read_only,
            };
            (Object::Directory(directory), Rights::DIRECTORY)
        } else {
            let waits = waits(fd.as_fd(), filetype);
            if filetype != FileType::RegularFile && !self.flags.has(FdFlags::NONBLOCK) {
                rustix::fs::fcntl_setfl(&fd, to_host(self.flags))?;
            }
            let file = File {
                fd: Arc::new(fd),
                shared: false,
                read_only,
                waits,
                opened: self.flags,
            };
            let positioned = Rights::FD_SEEK.with(Rights::FD_TELL);
            let meaningful = if waits {
                Rights::FILE.without(positioned)
            } else {
                Rights::FILE
            };
            (Object::File(file), meaningful)
        };
        Ok(Descriptor {
            object,
            filetype,
            flags: if filetype == FileType::Directory {
                FdFlags::NONE
            } else {
                self.flags
            },
            rights: self.rights.and(meaningful),
            inheriting: self.inheriting,
        })
    }
}

pub(crate) fn path_open(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    fd: u32,
    path: GuestSlice,
    request: Request,
    opened: GuestPtr<u32>,
) -> Result<()> {
    guest.check_ptr(opened)?;
    let path = RelativePath::new(guest.bytes(path)?)?;
    let start = ctx.table.get(fd)?;
    let directory = start.directory(Rights::NONE)?;
    request.allowed_by(start)?;
    if directory.read_only {
        refuse(ctx.resolver, directory, path, &request)?;
    }
    ctx.table.room()?;
    let read_only = directory.read_only;
    let host = open(ctx.resolver, directory, path, &request, guest.stop())?;
    let descriptor = request.descriptor(host, read_only)?;
    let number = ctx.table.push(descriptor)?;
    guest.write(opened, number)
}

/// How long a writer to a named pipe sleeps before it looks again for a reader, in nanoseconds.
const PAUSE: u64 = 10_000_000;

/// Opens without ever waiting in the kernel, where nothing could cut it short. A named pipe then
/// waits for its other end here, if it is to be written to, or else when it is first read.
fn open(
    resolver: Resolver,
    directory: &Directory,
    path: RelativePath<'_>,
    request: &Request,
    stop: Stop<'_>,
) -> Result<OwnedFd> {
    let start = directory.fd.as_fd();
    let flags = request.host_flags(directory.read_only) | OFlags::NONBLOCK;
    let mode = if flags.contains(OFlags::CREATE) {
        Mode::from_raw_mode(0o666)
    } else {
        Mode::empty()
    };
    loop {
        match resolver.open(start, path, flags, mode) {
            Err(Errno::Intr) if !stop.asked() => {}
            Err(Errno::Nxio) if !request.flags.has(FdFlags::NONBLOCK) => {
                let stat = resolver.stat(start, path, request.follow)?;
                if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo() {
                    return Err(Errno::Nxio);
                }
                stop.pause(PAUSE)?;
            }
            result => return result,
        }
    }
}

/// Refuses what would change something in a read-only directory, as Linux would of a read-only filesystem: what lies outside, is not
/// there, is there although it was to be new, or is a directory, says so first. An existing file may be opened with `creat`.
fn refuse(
    resolver: Resolver,
    directory: &Directory,
    path: RelativePath<'_>,
    request: &Request,
) -> Result<()> {
    let creates = request.open.has(OpenFlags::CREAT);
    if !creates && !request.changes() {
        return Ok(());
    }
    let nofollow = if request.follow {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    match resolver.open(
        directory.fd.as_fd(),
        path,
        OFlags::PATH | nofollow,
        Mode::empty(),
    ) {
        Err(Errno::Noent) if creates => Err(Errno::Rofs),
        Err(error) => Err(error),
        Ok(_) if creates && request.open.has(OpenFlags::EXCL) => Err(Errno::Exist),
        Ok(_) if !request.changes() => Ok(()),
        Ok(fd) => {
            let stat = rustix::fs::fstat(&fd)?;
            let is_directory = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
            Err(if is_directory {
                Errno::Isdir
            } else {
                Errno::Rofs
            })
        }
    }
}
