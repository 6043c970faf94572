//! A guest's world without a guest: what the tests of the families call the functions in.

use std::path::PathBuf;

use precast::GuestMemory;

use crate::ctx::WasiCtx;
use crate::errno::Result;
use crate::guest::{Guest, GuestPtr, GuestSlice, Layout};
use crate::iovec::Iovecs;
use crate::preview1::path_open::{Request, path_open};
use crate::preview1::{fd, fd_io};
use crate::stop::Stop;
use crate::types::Rights;
use crate::{Perms, WasiCtxBuilder};

/// Bytes of memory.
pub(crate) const SIZE: usize = 64 * 1024;
/// Where results go.
pub(crate) const OUT: u32 = 0;
/// Where tests may put what they like.
pub(crate) const FREE: u32 = 1024;
/// Where iovecs stand.
const IOVECS: u32 = 512;
/// Where data to be read or written stands.
pub(crate) const DATA: u32 = 16 * 1024;
/// The preopened directory.
pub(crate) const DIR: u32 = 3;

pub(crate) const CREAT: u32 = 1;
pub(crate) const DIRECTORY: u32 = 2;
pub(crate) const EXCL: u32 = 4;
pub(crate) const TRUNC: u32 = 8;
pub(crate) const FOLLOW: u32 = 1;
pub(crate) const READ: u64 = Rights::FD_READ.bits();
pub(crate) const READ_WRITE: u64 = Rights::FILE.bits();
pub(crate) const APPEND: u32 = 1;
pub(crate) const NONBLOCK: u32 = 4;

/// A context, a memory, and perhaps a directory on the host.
pub(crate) struct World {
    pub(crate) ctx: WasiCtx,
    pub(crate) memory: Vec<u8>,
    directory: tempfile::TempDir,
    next: u32,
}

impl World {
    /// A world as `describe` says, with an empty directory at 3 that may be written to.
    pub(crate) fn new(describe: impl FnOnce(&mut WasiCtxBuilder)) -> Self {
        Self::with_perms(Perms::ReadWrite, describe)
    }

    pub(crate) fn with_perms(perms: Perms, describe: impl FnOnce(&mut WasiCtxBuilder)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = WasiCtxBuilder::new();
        builder.preopen_dir(directory.path(), "/", perms).unwrap();
        describe(&mut builder);
        Self {
            ctx: builder.build().unwrap(),
            memory: vec![0; SIZE],
            directory,
            next: FREE,
        }
    }

    /// Runs a test with each way of finding paths.
    pub(crate) fn each_resolver(perms: Perms, test: impl Fn(&mut World)) {
        test(&mut World::with_perms(perms, |_| {}));
        test(&mut World::with_perms(perms, |builder| {
            builder.walk_paths();
        }));
    }

    /// A path on the host below the directory.
    pub(crate) fn host(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn call<R>(
        &mut self,
        function: impl FnOnce(&mut WasiCtx, &mut Guest<'_>) -> R,
    ) -> R {
        self.call_stoppable(Stop::NEVER, function)
    }

    pub(crate) fn call_stoppable<R>(
        &mut self,
        stop: Stop<'_>,
        function: impl FnOnce(&mut WasiCtx, &mut Guest<'_>) -> R,
    ) -> R {
        let memory = GuestMemory::of_host(&mut self.memory);
        function(&mut self.ctx, &mut Guest::new(memory, stop))
    }

    /// Puts bytes where nothing else stands.
    pub(crate) fn put(&mut self, bytes: impl AsRef<[u8]>) -> GuestSlice {
        let bytes = bytes.as_ref();
        let at = self.next;
        self.next += bytes.len() as u32;
        self.memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
        GuestSlice::new(at, bytes.len() as u32)
    }

    pub(crate) fn iovecs(&mut self, pieces: &[(u32, u32)]) -> Iovecs {
        for (piece, place) in pieces
            .iter()
            .zip(self.memory[IOVECS as usize..].chunks_exact_mut(8))
        {
            GuestSlice::new(piece.0, piece.1).encode(place);
        }
        Iovecs::new(IOVECS, pieces.len() as u32)
    }

    pub(crate) fn get<T: Layout>(&self, at: u32) -> T {
        T::decode(&self.memory[at as usize..][..T::SIZE])
    }

    pub(crate) fn bytes(&self, at: u32, len: u32) -> &[u8] {
        &self.memory[at as usize..][..len as usize]
    }

    /// Opens following links, with every right inherited.
    pub(crate) fn open(&mut self, path: impl AsRef<[u8]>, oflags: u32, rights: u64) -> Result<u32> {
        self.open_with(DIR, FOLLOW, path, oflags, rights, 0)
    }

    pub(crate) fn open_with(
        &mut self,
        fd: u32,
        lookup: u32,
        path: impl AsRef<[u8]>,
        oflags: u32,
        rights: u64,
        flags: u32,
    ) -> Result<u32> {
        let path = self.put(path);
        let inheriting = Rights::ALL.without(Rights::SOCKET).bits();
        self.call(|ctx, guest| {
            let request = Request::new(lookup, oflags, rights, inheriting, flags)?;
            path_open(ctx, guest, fd, path, request, GuestPtr::new(OUT))
        })?;
        Ok(self.get(OUT))
    }

    pub(crate) fn close(&mut self, fd: u32) -> Result<()> {
        self.call(|ctx, guest| fd::fd_close(ctx, guest, fd))
    }

    pub(crate) fn write(&mut self, fd: u32, bytes: impl AsRef<[u8]>) -> Result<u32> {
        let bytes = bytes.as_ref();
        self.memory[DATA as usize..][..bytes.len()].copy_from_slice(bytes);
        let iovecs = self.iovecs(&[(DATA, bytes.len() as u32)]);
        self.call(|ctx, guest| fd_io::fd_write(ctx, guest, fd, iovecs, GuestPtr::new(OUT)))?;
        Ok(self.get(OUT))
    }

    pub(crate) fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>> {
        self.read_stoppable(Stop::NEVER, fd, len)
    }

    pub(crate) fn read_stoppable(&mut self, stop: Stop<'_>, fd: u32, len: u32) -> Result<Vec<u8>> {
        let iovecs = self.iovecs(&[(DATA, len)]);
        self.call_stoppable(stop, |ctx, guest| {
            fd_io::fd_read(ctx, guest, fd, iovecs, GuestPtr::new(OUT))
        })?;
        let count: u32 = self.get(OUT);
        Ok(self.bytes(DATA, count).to_vec())
    }
}

/// A stop that another thread asks for after a while.
pub(crate) struct Later {
    asked: std::sync::atomic::AtomicBool,
    event: std::os::fd::OwnedFd,
}

impl Later {
    /// Runs `body` and asks it to stop after some milliseconds.
    pub(crate) fn run<R>(milliseconds: u64, body: impl FnOnce(Stop<'_>) -> R) -> R {
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let later = Self {
            asked: false.into(),
            event,
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(milliseconds));
                later.asked.store(true, std::sync::atomic::Ordering::SeqCst);
                rustix::io::write(&later.event, &1u64.to_ne_bytes()).unwrap();
            });
            body(Stop::new(&later))
        })
    }
}

impl crate::stop::Interrupt for Later {
    fn asked(&self) -> bool {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd(&self.event))
    }
}
