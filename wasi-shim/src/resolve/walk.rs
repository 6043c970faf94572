//! Paths by hand: one component after the other, links never followed by the kernel.
//!
//! The directories passed through stay open on a stack, and `..` takes the top one off it. So `..` leads to where we came from even
//! if the directory was moved meanwhile, and below the start there is nothing to go back to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as Linux;

use super::MAX_LINKS;
use crate::errno::{Errno, Result};

/// Opens a path beneath a directory.
pub(super) fn open(
    start: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let mut walk = Walk {
        start,
        passed: Vec::new(),
        ahead: Vec::new(),
        links: 0,
    };
    walk.expect(path)?;
    while let Some(component) = walk.ahead.pop() {
        if component == b"." {
            continue;
        }
        if component == b".." {
            walk.passed.pop().ok_or(Errno::Perm)?;
        } else if !walk.ahead.is_empty() {
            walk.enter(&component)?;
        } else if let Some(fd) = walk.open_last(&component, flags, mode)? {
            return Ok(fd);
        }
    }
    // It ended with `.` or `..`: the directory itself.
    if flags.contains(OFlags::CREATE) {
        let exclusive = flags.contains(OFlags::EXCL);
        return Err(if exclusive {
            Errno::Exist
        } else {
            Errno::Isdir
        });
    }
    Ok(rustix::fs::openat(walk.here(), ".", flags, mode)?)
}

struct Walk<'d> {
    start: BorrowedFd<'d>,
    /// The directories entered, the innermost last.
    passed: Vec<OwnedFd>,
    /// The components to come, the next one last.
    ahead: Vec<Vec<u8>>,
    /// How many links were followed.
    links: usize,
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.passed.last().map_or(self.start, AsFd::as_fd)
    }

    /// Puts a path before what is still ahead. A slash at its end counts as a component `.`: a directory must be there.
    fn expect(&mut self, path: &[u8]) -> Result<()> {
        match path {
            [] => return Err(Errno::Noent),
            [b'/', ..] => return Err(Errno::Perm),
            _ => {}
        }
        if path.ends_with(b"/") {
            self.ahead.push(b".".to_vec());
        }
        let components = path
            .rsplit(|&byte| byte == b'/')
            .filter(|part| !part.is_empty());
        self.ahead.extend(components.map(<[u8]>::to_vec));
        Ok(())
    }

    /// Goes into a directory, or along a link.
    fn enter(&mut self, name: &[u8]) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(self.here(), name, flags, Mode::empty()) {
            Ok(fd) => {
                self.passed.push(fd);
                Ok(())
            }
            Err(Linux::NOTDIR | Linux::LOOP) => {
                if self.follow(name)? {
                    Ok(())
                } else {
                    Err(Errno::Notdir)
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts the target of a link ahead; false if there is no link.
    fn follow(&mut self, name: &[u8]) -> Result<bool> {
        let target = match rustix::fs::readlinkat(self.here(), name, Vec::new()) {
            Ok(target) => target,
            Err(Linux::INVAL) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::Loop);
        }
        self.expect(target.as_bytes())?;
        Ok(true)
    }

    /// Opens the last component, or goes along it if it is a link to be followed.
    fn open_last(&mut self, name: &[u8], flags: OFlags, mode: Mode) -> Result<Option<OwnedFd>> {
        let exclusive = flags.contains(OFlags::CREATE | OFlags::EXCL);
        let follows = !flags.contains(OFlags::NOFOLLOW) && !exclusive;
        // A link opened as a path would be the link itself, so it is read first.
        if follows && flags.contains(OFlags::PATH) {
            match self.follow(name) {
                Ok(true) => return Ok(None),
                Ok(false) | Err(Errno::Noent) => {}
                Err(error) => return Err(error),
            }
        }
        match rustix::fs::openat(self.here(), name, flags | OFlags::NOFOLLOW, mode) {
            Ok(fd) => Ok(Some(fd)),
            Err(error @ (Linux::LOOP | Linux::NOTDIR)) if follows => {
                if self.follow(name)? {
                    Ok(None)
                } else {
                    Err(error.into())
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}
