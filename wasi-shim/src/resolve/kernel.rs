//! Paths by `openat2`: the kernel promises that nothing beneath a directory leads out of it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

/// How often a resolution that raced with a rename is tried again.
const TRIES: usize = 4;

/// Whether the kernel has `openat2`, and lets us call it.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(CWD, ".", flags, Mode::empty(), beneath()).is_ok()
    })
}

/// Opens a path beneath a directory: EXDEV if it leads out, EAGAIN if others renamed too much meanwhile.
pub(super) fn open(
    start: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let mut result = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        result = rustix::fs::openat2(start, path, flags, mode, beneath());
        if !matches!(result, Err(Errno::AGAIN)) {
            break;
        }
    }
    result
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS
}
