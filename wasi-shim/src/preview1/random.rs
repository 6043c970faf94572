//! Random bytes: ChaCha20 with keys from the kernel.
//!
//! The kernel itself makes them too slowly for programs that ask often: 50 ns for 8 bytes, without
//! the system call. The scheme is *fast key erasure* (D. J. Bernstein, 2017): each key makes one
//! batch of bytes, of which the first become the next key, so that nothing in memory tells what was
//! handed out before. Each context has a key of its own: tenants share nothing.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use rustix::rand::GetRandomFlags;

use crate::ctx::WasiCtx;
use crate::errno::Result;
use crate::guest::{Guest, GuestSlice};
use crate::stop::Stop;

/// Bytes of a key.
const KEY: usize = 32;
/// Bytes of a batch without the next key: with it, two calls of the cipher.
const BATCH: usize = 512 - KEY;
/// How many bytes may be asked for of a batch; more are made for themselves.
const SMALL: usize = BATCH / 4;
/// How many batches until the kernel is asked for a new key.
const BATCHES: u32 = 4096;
/// How many bytes are made at once; between pieces it is asked whether to stop.
const PIECE: usize = 1 << 20;

/// Makes random bytes, and keeps some for later.
pub(crate) struct Pool {
    key: [u8; KEY],
    bytes: [u8; BATCH],
    /// Where the bytes begin that were not yet handed out. Those before are zero.
    next: usize,
    /// How many keys may still follow before the kernel is asked for one.
    left: u32,
    /// The process that the key is for: after a fork there are two.
    process: u32,
}

impl std::fmt::Debug for Pool {
    /// Says nothing about the bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) const EMPTY: Self = Self {
        key: [0; KEY],
        bytes: [0; BATCH],
        next: BATCH,
        left: 0,
        process: 0,
    };

    #[inline]
    fn fill(&mut self, out: &mut [u8], stop: Stop<'_>) -> Result<()> {
        if out.len() > SMALL {
            return self.fill_large(out, stop);
        }
        if BATCH - self.next < out.len() {
            self.refill(stop)?;
        }
        let end = self.next + out.len();
        let taken = &mut self.bytes[self.next..end];
        self.next = end;
        // The two sizes that programs ask for most, without a loop.
        match out.len() {
            8 => hand_out::<8>(taken, out),
            16 => hand_out::<16>(taken, out),
            _ => {
                out.copy_from_slice(taken);
                taken.fill(0);
            }
        }
        Ok(())
    }

    #[cold]
    fn refill(&mut self, stop: Stop<'_>) -> Result<()> {
        let mut cipher = self.cipher(stop)?;
        cipher.fill_bytes(&mut self.bytes);
        self.next = 0;
        Ok(())
    }

    fn fill_large(&mut self, out: &mut [u8], stop: Stop<'_>) -> Result<()> {
        let mut cipher = self.cipher(stop)?;
        for piece in out.chunks_mut(PIECE) {
            cipher.fill_bytes(piece);
            if stop.asked() {
                break;
            }
        }
        Ok(())
    }

    /// The cipher under the current key, which is replaced by its first bytes.
    fn cipher(&mut self, stop: Stop<'_>) -> Result<ChaCha20Rng> {
        let process = std::process::id();
        if self.left == 0 || self.process != process {
            let asked =
                stop.retry(|| rustix::rand::getrandom(&mut self.key, GetRandomFlags::empty()));
            // The kernel gives so few bytes all or not at all.
            asked?;
            self.left = BATCHES;
            self.process = process;
        }
        self.left -= 1;
        let mut cipher = ChaCha20Rng::from_seed(self.key);
        cipher.fill_bytes(&mut self.key);
        Ok(cipher)
    }
}

/// Moves `N` bytes from the one to the other, which both have as many; zeroes stay behind.
#[inline]
fn hand_out<const N: usize>(from: &mut [u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk_mut::<N>(), to.first_chunk_mut::<N>()) {
        *to = std::mem::replace(from, [0; N]);
    }
}

pub(crate) fn random_get(
    ctx: &mut WasiCtx,
    guest: &mut Guest<'_>,
    buffer: GuestSlice,
) -> Result<()> {
    let stop = guest.stop();
    if buffer.len() <= guest.most_at_once() {
        return ctx.random.fill(guest.bytes_mut(buffer)?, stop);
    }
    guest.check(buffer)?;
    for piece in buffer.pieces(guest.most_at_once()) {
        ctx.random.fill(guest.bytes_mut(piece)?, stop)?;
        if stop.asked() {
            break;
        }
    }
    Ok(())
}
