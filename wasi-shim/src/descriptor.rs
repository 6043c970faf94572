//! What a guest's descriptor stands for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::errno::{Errno, Result};
use crate::types::{FdFlags, FileType, Rights};

/// One open descriptor of a guest.
///
/// A clone stands for the same open file.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor {
    pub(crate) object: Object,
    pub(crate) filetype: FileType,
    pub(crate) flags: FdFlags,
    /// What may be done with it.
    pub(crate) rights: Rights,
    /// What may at most be done with what is opened through it.
    pub(crate) inheriting: Rights,
}

/// What lies behind a descriptor.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    /// Reading ends at once, writing vanishes.
    Null,
    /// Bytes handed in by the host.
    Source(Source),
    /// A buffer of the context's that is read after the run: its index.
    Captured(usize),
    /// A file, pipe, or terminal of the host.
    File(File),
    Directory(Directory),
    Socket(Arc<OwnedFd>),
}

/// Bytes that a guest reads as its standard input.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    bytes: Arc<[u8]>,
    position: usize,
}

impl Source {
    pub(crate) fn new(bytes: Arc<[u8]>) -> Self {
        Self { bytes, position: 0 }
    }

    /// What is left to read.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    /// Moves on by `count` bytes, to the end at most.
    pub(crate) fn advance(&mut self, count: usize) {
        self.position = self.bytes.len().min(self.position.saturating_add(count));
    }
}

/// A file, pipe, or terminal of the host.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) fd: Arc<OwnedFd>,
    /// The host or other processes use the same open file: its flags are not ours to change.
    pub(crate) shared: bool,
    /// It came through a read-only directory: nothing about it may change.
    pub(crate) read_only: bool,
    /// Reading or writing it may have to wait: it is a pipe or a terminal.
    pub(crate) waits: bool,
    /// The flags it was opened with, which the kernel follows.
    pub(crate) opened: FdFlags,
}

/// A directory of the host.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// For finding paths below it. Preopened directories are shared by all contexts of one builder.
    pub(crate) fd: Arc<OwnedFd>,
    /// For listing it: an open file of our own, because the position in the listing belongs to it. Opened when first needed.
    pub(crate) listing: Option<Arc<OwnedFd>>,
    /// Its name for the guest, if it was preopened.
    pub(crate) preopen: Option<Arc<[u8]>>,
    /// Nothing below it may change.
    pub(crate) read_only: bool,
}

impl Descriptor {
    /// A stream that is no file of the host.
    pub(crate) fn stream(object: Object, direction: Rights) -> Self {
        Self {
            object,
            filetype: FileType::Unknown,
            flags: FdFlags::NONE,
            rights: Rights::STREAM.with(direction),
            inheriting: Rights::NONE,
        }
    }

    /// A host's file as standard input or output: what it can do depends on what it is.
    pub(crate) fn stdio(fd: OwnedFd, direction: Rights, shared: bool) -> std::io::Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        let filetype = filetype(fd.as_fd(), &stat);
        let waits = waits(fd.as_fd(), filetype);
        let mut rights = Rights::STREAM.with(direction);
        if !waits {
            rights = rights
                .with(Rights::FD_SEEK)
                .with(Rights::FD_TELL)
                .with(Rights::FD_ADVISE);
        }
        let flags = from_host(rustix::fs::fcntl_getfl(&fd)?);
        let read_only = !direction.has(Rights::FD_WRITE);
        let object = match filetype {
            FileType::SocketStream | FileType::SocketDgram => Object::Socket(Arc::new(fd)),
            _ => Object::File(File {
                fd: Arc::new(fd),
                shared,
                read_only,
                waits,
                opened: flags,
            }),
        };
        Ok(Self {
            object,
            filetype,
            flags,
            rights,
            inheriting: Rights::NONE,
        })
    }

    /// A preopened directory.
    pub(crate) fn preopen(fd: Arc<OwnedFd>, name: Arc<[u8]>, read_only: bool) -> Self {
        Self {
            object: Object::Directory(Directory {
                fd,
                listing: None,
                preopen: Some(name),
                read_only,
            }),
            filetype: FileType::Directory,
            flags: FdFlags::NONE,
            rights: Rights::DIRECTORY,
            inheriting: Rights::ALL.without(Rights::SOCKET),
        }
    }

    /// A socket.
    pub(crate) fn socket(fd: OwnedFd, flags: FdFlags) -> Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        let rights = Rights::STREAM
            .with(Rights::FD_READ)
            .with(Rights::FD_WRITE)
            .with(Rights::SOCKET);
        Ok(Self {
            filetype: filetype(fd.as_fd(), &stat),
            object: Object::Socket(Arc::new(fd)),
            flags,
            rights,
            inheriting: rights,
        })
    }

    /// The directory behind it, if it is one and its rights suffice.
    pub(crate) fn directory(&self, needed: Rights) -> Result<&Directory> {
        let Object::Directory(directory) = &self.object else {
            return Err(Errno::Notdir);
        };
        if !self.rights.has(needed) {
            return Err(Errno::Notcapable);
        }
        Ok(directory)
    }

    /// The directory behind it, for changing something in it.
    pub(crate) fn writable_directory(&self, needed: Rights) -> Result<&Directory> {
        let directory = self.directory(needed)?;
        if directory.read_only {
            return Err(Errno::Rofs);
        }
        Ok(directory)
    }

    /// The host's descriptor behind it, if there is one.
    pub(crate) fn host(&self) -> Option<BorrowedFd<'_>> {
        match &self.object {
            Object::Null | Object::Source(_) | Object::Captured(_) => None,
            Object::File(file) => Some(file.fd.as_fd()),
            Object::Directory(directory) => Some(directory.fd.as_fd()),
            Object::Socket(fd) => Some(fd.as_fd()),
        }
    }

    /// Whether nothing about it may change.
    pub(crate) fn read_only(&self) -> bool {
        match &self.object {
            Object::File(file) => file.read_only,
            Object::Directory(directory) => directory.read_only,
            Object::Null | Object::Source(_) | Object::Captured(_) | Object::Socket(_) => false,
        }
    }
}

/// What kind of file it is; of a socket also which.
pub(crate) fn filetype(fd: BorrowedFd<'_>, stat: &rustix::fs::Stat) -> FileType {
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode).into();
    if kind != FileType::SocketStream {
        return kind;
    }
    match rustix::net::sockopt::socket_type(fd) {
        Ok(rustix::net::SocketType::STREAM) => FileType::SocketStream,
        Ok(_) => FileType::SocketDgram,
        Err(_) => FileType::Unknown,
    }
}

/// Whether reading or writing may have to wait: for pipes, which WASI has no word for, sockets, and
/// terminals. A terminal is a character device that cannot seek: this is how wasi-libc knows one.
pub(crate) fn waits(fd: BorrowedFd<'_>, filetype: FileType) -> bool {
    match filetype {
        FileType::Unknown | FileType::SocketStream | FileType::SocketDgram => true,
        FileType::CharacterDevice => std::io::IsTerminal::is_terminal(&fd),
        _ => false,
    }
}

/// A host's open flags in a guest's words.
fn from_host(flags: OFlags) -> FdFlags {
    let pairs = [
        (OFlags::APPEND, FdFlags::APPEND),
        (OFlags::NONBLOCK, FdFlags::NONBLOCK),
        (OFlags::DSYNC, FdFlags::DSYNC),
        (OFlags::SYNC, FdFlags::SYNC),
    ];
    pairs
        .into_iter()
        .filter(|(host, _)| flags.contains(*host))
        .fold(FdFlags::NONE, |all, (_, flag)| all.with(flag))
}

/// A guest's flags in the host's words. Linux makes no difference between O_RSYNC and O_SYNC.
pub(crate) fn to_host(flags: FdFlags) -> OFlags {
    let pairs = [
        (FdFlags::APPEND, OFlags::APPEND),
        (FdFlags::NONBLOCK, OFlags::NONBLOCK),
        (FdFlags::DSYNC, OFlags::DSYNC),
        (FdFlags::SYNC, OFlags::SYNC),
        (FdFlags::RSYNC, OFlags::SYNC),
    ];
    pairs
        .into_iter()
        .filter(|(flag, _)| flags.has(*flag))
        .fold(OFlags::empty(), |all, (_, host)| all | host)
}
