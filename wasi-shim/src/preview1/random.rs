//! Random bytes, from the kernel.

use rustix::rand::GetRandomFlags;

use crate::ctx::WasiCtx;
use crate::errno::Result;
use crate::guest::{Guest, GuestSlice};
use crate::stop::Stop;

/// How many bytes are fetched at once for small requests. The kernel gives up to 256 without being interrupted.
const POOL: usize = 256;
/// How many bytes are fetched at once for large requests; between pieces it is asked whether to stop.
const PIECE: usize = 64 * 1024;

/// Bytes fetched from the kernel in advance: one system call for many small requests.
///
/// Each context has its own, and a byte is erased when it is handed out, so that no guest can learn what another got.
#[derive(Clone)]
pub(crate) struct Pool {
    bytes: [u8; POOL],
    /// Where the bytes begin that were not yet handed out.
    next: usize,
}

impl std::fmt::Debug for Pool {
    /// Says nothing about the bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; POOL],
        next: POOL,
    };

    fn fill(&mut self, out: &mut [u8], stop: Stop<'_>) -> Result<()> {
        if out.len() > POOL / 2 {
            return fetch(out, stop);
        }
        if POOL - self.next < out.len() {
            fetch(&mut self.bytes, stop)?;
            self.next = 0;
        }
        let taken = &mut self.bytes[self.next..self.next + out.len()];
        out.copy_from_slice(taken);
        taken.fill(0);
        self.next += out.len();
        Ok(())
    }
}

/// Fills all of `out` from the kernel.
fn fetch(out: &mut [u8], stop: Stop<'_>) -> Result<()> {
    for piece in out.chunks_mut(PIECE) {
        let mut done = 0;
        while done < piece.len() {
            done += stop
                .retry(|| rustix::rand::getrandom(&mut piece[done..], GetRandomFlags::empty()))?;
        }
    }
    Ok(())
}

pub(crate) fn random_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    buffer: GuestSlice,
) -> Result<()> {
    let stop = guest.stop();
    ctx.random.fill(guest.bytes_mut(buffer)?, stop)
}
