//! Finding what a path means, never outside the directory it starts from.
//!
//! Two ways, same results: [`kernel`] asks Linux with `openat2`, [`walk`] goes by hand where that is not to be had. Both give
//! either an open file, or an open directory and the last component, on which the caller then acts with a system call that does not
//! follow links. A plain name in an open directory cannot lead out of it, whatever others rename meanwhile.

mod kernel;
mod walk;

#[cfg(test)]
mod resolve_test;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use crate::errno::{Errno, Result};

/// How many symbolic links one path may lead through, as Linux has it.
const MAX_LINKS: usize = 40;
/// The longest path, as Linux has it: 4096 with the NUL.
const MAX_PATH: usize = 4095;

/// A guest's path that was checked: relative, not empty, no NUL, not too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelativePath<'p>(&'p [u8]);

impl<'p> RelativePath<'p> {
    /// Checks a path. Absolute ones would lead out of the sandbox: EPERM.
    pub(crate) fn new(path: &'p [u8]) -> Result<Self> {
        match path {
            [] => Err(Errno::Noent),
            _ if path.contains(&0) => Err(Errno::Inval),
            [b'/', ..] => Err(Errno::Perm),
            _ if path.len() > MAX_PATH => Err(Errno::Nametoolong),
            _ => Ok(Self(path)),
        }
    }

    pub(crate) fn bytes(self) -> &'p [u8] {
        self.0
    }
}

/// Which way paths are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resolver {
    Kernel,
    Walk,
}

/// The last component of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Last {
    /// A name, with no slash in it.
    Name(Vec<u8>),
    /// `.`: the directory found is the one meant.
    Dot,
    /// `..`: the directory found is the one meant.
    DotDot,
}

/// Where a path ends: a directory, and a component in it.
#[derive(Debug)]
pub(crate) struct Place<'d> {
    directory: Handle<'d>,
    pub(crate) last: Last,
    /// It ended with a slash: only a directory can be meant.
    pub(crate) slash: bool,
}

#[derive(Debug)]
enum Handle<'d> {
    Start(BorrowedFd<'d>),
    Found(OwnedFd),
}

impl AsFd for Place<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.directory {
            Handle::Start(fd) => *fd,
            Handle::Found(fd) => fd.as_fd(),
        }
    }
}

impl Place<'_> {
    /// The last component, if it is a name.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        match &self.last {
            Last::Name(name) => Some(name),
            Last::Dot | Last::DotDot => None,
        }
    }

    /// What is there, links not followed.
    pub(crate) fn stat(&self) -> Result<Stat> {
        match self.name() {
            Some(name) => Ok(rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW)?),
            None => Ok(rustix::fs::fstat(self)?),
        }
    }

    /// Whether a directory is there, links not followed.
    pub(crate) fn is_directory(&self) -> Result<bool> {
        let stat = self.stat()?;
        Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
    }
}

impl Resolver {
    /// The kernel's way if it has one: `openat2` is there since Linux 5.6, but some sandboxes refuse it.
    pub(crate) fn detect() -> Self {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        if *AVAILABLE.get_or_init(kernel::available) {
            Self::Kernel
        } else {
            Self::Walk
        }
    }

    /// Opens what a path means. Whether a link at its end is followed is decided by `O_NOFOLLOW`.
    pub(crate) fn open(
        self,
        start: BorrowedFd<'_>,
        path: RelativePath<'_>,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd> {
        // `openat2` refuses flags that mean nothing for a mere path.
        let tty = if flags.contains(OFlags::PATH) {
            OFlags::empty()
        } else {
            OFlags::NOCTTY
        };
        let flags = flags | OFlags::CLOEXEC | tty;
        match self {
            Self::Kernel => match kernel::open(start, path.0, flags, mode) {
                Err(rustix::io::Errno::XDEV) => Err(Errno::Perm),
                // Too many renames at the same time for the kernel to be sure of `..`: by hand one can.
                Err(rustix::io::Errno::AGAIN) => walk::open(start, path.0, flags, mode),
                result => Ok(result?),
            },
            Self::Walk => walk::open(start, path.0, flags, mode),
        }
    }

    /// What a path means: one system call for a plain name that is no link.
    pub(crate) fn stat(
        self,
        start: BorrowedFd<'_>,
        path: RelativePath<'_>,
        follow: bool,
    ) -> Result<Stat> {
        if is_plain(path.0) {
            let stat = rustix::fs::statat(start, path.0, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_link = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink();
            if !follow || !is_link {
                return Ok(stat);
            }
        }
        let nofollow = if follow {
            OFlags::empty()
        } else {
            OFlags::NOFOLLOW
        };
        let found = self.open(start, path, OFlags::PATH | nofollow, Mode::empty())?;
        Ok(rustix::fs::fstat(&found)?)
    }

    /// Finds where a path ends, not following a link there.
    pub(crate) fn find<'d>(
        self,
        start: BorrowedFd<'d>,
        path: RelativePath<'_>,
    ) -> Result<Place<'d>> {
        let trimmed = trim(path.0);
        let (before, last) = split(trimmed);
        let slash = trimmed.len() < path.0.len();
        let (directory, last) = match last {
            b"." => (Some(trimmed), Last::Dot),
            b".." => (Some(trimmed), Last::DotDot),
            name => (before, Last::Name(name.to_vec())),
        };
        let directory = match directory {
            None => Handle::Start(start),
            Some(path) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                Handle::Found(self.open(start, RelativePath(path), flags, Mode::empty())?)
            }
        };
        Ok(Place {
            directory,
            last,
            slash,
        })
    }

    /// Finds where a path ends, following links there.
    pub(crate) fn find_followed<'d>(
        self,
        start: BorrowedFd<'d>,
        path: RelativePath<'_>,
    ) -> Result<Place<'d>> {
        let mut path = path.0.to_vec();
        for _ in 0..=MAX_LINKS {
            let place = self.find(start, RelativePath(&path))?;
            let Some(name) = place.name() else {
                return Ok(place);
            };
            let target = match rustix::fs::readlinkat(&place, name, Vec::new()) {
                Ok(target) => target.into_bytes(),
                // No link, or nothing there.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(place),
                Err(error) => return Err(error.into()),
            };
            // What stood before the link goes on before its target; a slash at the end goes on after it.
            let (before, _) = split(trim(&path));
            let end: &[u8] = if place.slash { b"/" } else { b"" };
            path = match before {
                Some(before) => [before, b"/", &target, end].concat(),
                None => [target.as_slice(), end].concat(),
            };
            if target.starts_with(b"/") {
                return Err(Errno::Perm);
            }
            RelativePath::new(&path)?;
        }
        Err(Errno::Loop)
    }
}

/// Whether a path is the name of something in the directory itself.
fn is_plain(path: &[u8]) -> bool {
    !path.contains(&b'/') && path != b"." && path != b".."
}

/// The path without slashes at its end.
fn trim(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|&byte| byte != b'/')
        .map_or(0, |last| last + 1);
    &path[..end]
}

/// What stands before the last component, if anything, and that component.
fn split(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (Some(&path[..slash]), &path[slash + 1..]),
        None => (None, path),
    }
}
