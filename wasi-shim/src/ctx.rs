//! What WASI knows about one guest.

use std::sync::Arc;

use crate::preview1::random::Pool;
use crate::resolve::Resolver;
use crate::table::Table;

/// The world of one guest: its descriptors, arguments, environment, and what it wrote to captured streams.
///
/// Made by [`WasiCtxBuilder`](crate::WasiCtxBuilder); lives in the data of the guest's store.
#[derive(Debug)]
pub struct WasiCtx {
    pub(crate) table: Table,
    pub(crate) captured: [Capture; 2],
    pub(crate) args: Arc<Strings>,
    pub(crate) environment: Arc<Strings>,
    pub(crate) random: Pool,
    pub(crate) resolver: Resolver,
}

impl WasiCtx {
    /// What the guest wrote to its standard output so far, if that is captured; else nothing.
    pub fn stdout(&self) -> &[u8] {
        &self.captured[STDOUT].bytes
    }

    /// What the guest wrote to its standard error so far, if that is captured; else nothing.
    pub fn stderr(&self) -> &[u8] {
        &self.captured[STDERR].bytes
    }

    /// The same descriptors, for a call that waits while other threads use the context.
    ///
    /// What such calls change of a context is nothing: they read and write what descriptors stand for.
    #[cfg(feature = "threads")]
    pub(crate) fn aside(&self) -> WasiCtx {
        WasiCtx {
            table: self.table.clone(),
            captured: [const {
                Capture {
                    bytes: Vec::new(),
                    limit: 0,
                }
            }; 2],
            args: Arc::clone(&self.args),
            environment: Arc::clone(&self.environment),
            random: Pool::EMPTY,
            resolver: self.resolver,
        }
    }

    /// Takes what the guest wrote to its standard output; what it writes from now on is captured anew.
    pub fn take_stdout(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.captured[STDOUT].bytes)
    }

    /// Takes what the guest wrote to its standard error; what it writes from now on is captured anew.
    pub fn take_stderr(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.captured[STDERR].bytes)
    }
}

/// The index of captured standard output.
pub(crate) const STDOUT: usize = 0;
/// The index of captured standard error.
pub(crate) const STDERR: usize = 1;

/// A buffer that a guest writes to.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) bytes: Vec<u8>,
    /// How many bytes it may hold.
    pub(crate) limit: usize,
}

/// Strings as a guest gets them: ended by NUL, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    /// Where each begins.
    offsets: Vec<u32>,
}

impl Strings {
    /// Joins strings that hold no NUL; nothing if they are too much for a guest's 32 bits.
    pub(crate) fn join(strings: &[Vec<u8>]) -> Option<Self> {
        let mut joined = Self::default();
        for string in strings {
            joined.offsets.push(u32::try_from(joined.bytes.len()).ok()?);
            joined.bytes.extend_from_slice(string);
            joined.bytes.push(0);
        }
        u32::try_from(joined.bytes.len()).ok()?;
        Some(joined)
    }

    /// How many. Both numbers fit: `join` saw to it.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// How many bytes with their NULs.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        self.bytes.len() as u32
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn offsets(&self) -> impl Iterator<Item = u32> {
        self.offsets.iter().copied()
    }
}
