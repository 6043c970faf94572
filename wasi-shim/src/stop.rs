//! Waiting so that it can be cut short: a guest may be stopped from outside while it waits.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::time::Timespec;

use crate::errno::{Errno, Result};
use crate::types::timespec;

/// Something that knows whether the guest is to stop.
pub(crate) trait Interrupt {
    /// Whether it is.
    fn asked(&self) -> bool;
    /// A descriptor that becomes readable when it is; nothing if none can be had.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// Whether the guest is to stop, for one call.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'a>(Option<&'a dyn Interrupt>);

impl<'a> Stop<'a> {
    /// For calls that never wait.
    pub(crate) const NEVER: Stop<'static> = Stop(None);

    pub(crate) const fn new(interrupt: &'a dyn Interrupt) -> Self {
        Self(Some(interrupt))
    }

    /// Whether the guest is to stop.
    pub(crate) fn asked(self) -> bool {
        self.0.is_some_and(Interrupt::asked)
    }

    /// A descriptor to wait for beside others: it becomes readable when the guest is to stop.
    pub(crate) fn descriptor(self) -> Option<BorrowedFd<'a>> {
        self.0.and_then(Interrupt::descriptor)
    }

    /// Makes a system call again as long as signals interrupt it that are not meant for the guest.
    pub(crate) fn retry<T>(self, mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
        loop {
            match call() {
                Err(rustix::io::Errno::INTR) if !self.asked() => {}
                result => return Ok(result?),
            }
        }
    }

    /// Sleeps for some nanoseconds; EINTR if the guest is to stop.
    pub(crate) fn pause(self, nanoseconds: u64) -> Result<()> {
        let watched = self.descriptor();
        let watched = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = watched.into_iter().collect();
        match rustix::event::poll(&mut fds, Some(&timespec(nanoseconds))) {
            Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
            _ if self.asked() => Err(Errno::Intr),
            _ => Ok(()),
        }
    }

    /// Waits until a descriptor is ready; EINTR if the guest is to stop.
    ///
    /// Waiting for both is what makes it certain: a signal that comes just before a system call does not interrupt that.
    pub(crate) fn wait_for(self, fd: BorrowedFd<'_>, wanted: PollFlags) -> Result<()> {
        if is_ready(fd, wanted)? {
            return Ok(());
        }
        let watched = PollFd::from_borrowed_fd(fd, wanted);
        // Where no second descriptor can be had, there are only signals.
        let mut fds = match self.descriptor() {
            Some(stopped) => vec![watched, PollFd::from_borrowed_fd(stopped, PollFlags::IN)],
            None => vec![watched],
        };
        loop {
            self.retry(|| rustix::event::poll(&mut fds, None))?;
            if self.asked() {
                return Err(Errno::Intr);
            }
            if !fds[0].revents().is_empty() {
                return Ok(());
            }
        }
    }
}

/// Whether a descriptor is ready now, or in error, which the next call on it will tell.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, wanted: PollFlags) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match rustix::event::poll(&mut fds, Some(&now)) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        result => Ok(result? > 0),
    }
}
