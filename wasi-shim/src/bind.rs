//! Giving WASI's functions to guests: one line each.

use std::os::fd::BorrowedFd;

use precast::{Caller, Error, GuestMemory, InterruptHandle, Linker};

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::guest::{Guest, GuestPtr, GuestSlice, Layout};
use crate::iovec::Iovecs;
use crate::preview1::path_open::Request;
use crate::preview1::proc::Raised;
use crate::preview1::{
    Preview1, args, clock, fd, fd_io, fd_readdir, path, path_open, poll, proc, random, sock,
};
use crate::stop::{Interrupt, Stop};
use crate::types::FdFlags;
use crate::unstable::Unstable;
use crate::version::Version;

/// Adds `wasi_snapshot_preview1` and `wasi_unstable` to a linker. `ctx` finds the guest's context
/// in the data of its store.
///
/// A guest that ends itself comes out of the call into it as a host error that holds an
/// [`Exit`](crate::Exit).
pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, ctx: fn(&mut T) -> &mut WasiCtx) {
    add(linker, ctx);
}

/// The same for contexts that are found in whichever way.
pub(crate) fn add<T: 'static, F: Find<T>>(linker: &mut Linker<T>, ctx: F) {
    add_version::<T, Preview1, F>(linker, ctx);
    add_sock_accept(linker, ctx);
    add_version::<T, Unstable, F>(linker, ctx);
}

/// A way from the data of a store to the context.
pub(crate) trait Find<T>: Copy + Send + Sync + 'static {
    /// For a call that does not wait.
    fn with<R>(self, data: &mut T, call: impl FnOnce(&mut WasiCtx) -> R) -> R;

    /// For one that may, and changes nothing of the context: others may use it meanwhile.
    fn aside<R>(self, data: &mut T, call: impl FnOnce(&mut WasiCtx) -> R) -> R;

    /// Waits for a caller of a listening socket, where that cannot be done with the context in hand.
    fn await_caller(self, data: &mut T, fd: u32, stop: Stop<'_>) -> Result<Waits>;
}

/// Whether a call may wait with the context in its hands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// It may.
    There,
    /// It must come back instead, to wait elsewhere.
    Elsewhere,
}

impl<T: 'static> Find<T> for fn(&mut T) -> &mut WasiCtx {
    #[inline]
    fn with<R>(self, data: &mut T, call: impl FnOnce(&mut WasiCtx) -> R) -> R {
        call(self(data))
    }

    #[inline]
    fn aside<R>(self, data: &mut T, call: impl FnOnce(&mut WasiCtx) -> R) -> R {
        call(self(data))
    }

    fn await_caller(self, _: &mut T, _: u32, _: Stop<'_>) -> Result<Waits> {
        Ok(Waits::There)
    }
}

/// Registers functions. A line says how the function is called ([`now`], [`waiting`],
/// [`waiting_for`] a descriptor, or [`lasting`] for many bytes), its name and parameters as the guest sees them, and the function
/// behind it with checked types.
macro_rules! functions {
    ($linker:ident, $ctx:ident, $version:ty;
     $($how:ident $(($on:ident))? $name:ident($($arg:ident: $ty:ident),*)
       = $family:ident::$function:ident$(::<$param:ty>)?($($value:expr),*);)*) => {
        $($linker.func(
            <$version>::MODULE,
            stringify!($name),
            move |mut caller: Caller<'_, T>, $($arg: $ty),*| -> u32 {
                $how(&mut caller, $ctx, ($($on)?), |ctx, guest| {
                    $family::$function$(::<$param>)?(ctx, guest, $($value),*)
                })
            },
        );)*
    };
}

fn add_version<T: 'static, V: Version + 'static, F: Find<T>>(linker: &mut Linker<T>, ctx: F) {
    functions! { linker, ctx, V;
        now args_get(argv: u32, buf: u32) = args::args_get(ptr(argv), ptr(buf));
        now args_sizes_get(count: u32, size: u32) = args::args_sizes_get(ptr(count), ptr(size));
        now environ_get(environ: u32, buf: u32) = args::environ_get(ptr(environ), ptr(buf));
        now environ_sizes_get(count: u32, size: u32) = args::environ_sizes_get(ptr(count), ptr(size));
        now clock_res_get(id: u32, out: u32) = clock::clock_res_get(id, ptr(out));
        now clock_time_get(id: u32, precision: u64, out: u32) = clock::clock_time_get(id, precision, ptr(out));
        now fd_advise(fd: u32, offset: u64, len: u64, advice: u32) = fd::fd_advise(fd, offset, len, advice);
        now fd_allocate(fd: u32, offset: u64, len: u64) = fd::fd_allocate(fd, offset, len);
        now fd_close(fd: u32) = fd::fd_close(fd);
        now fd_datasync(fd: u32) = fd::fd_datasync(fd);
        now fd_fdstat_get(fd: u32, out: u32) = fd::fd_fdstat_get(fd, ptr(out));
        now fd_fdstat_set_flags(fd: u32, flags: u32) = fd::fd_fdstat_set_flags(fd, flags);
        now fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) = fd::fd_fdstat_set_rights(fd, base, inheriting);
        now fd_filestat_get(fd: u32, out: u32) = fd::fd_filestat_get::<V>(fd, ptr(out));
        now fd_filestat_set_size(fd: u32, size: u64) = fd::fd_filestat_set_size(fd, size);
        now fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32) = fd::fd_filestat_set_times(fd, atim, mtim, flags);
        now fd_pread(fd: u32, iovs: u32, count: u32, offset: u64, out: u32) = fd_io::fd_pread(fd, Iovecs::new(iovs, count), offset, ptr(out));
        now fd_prestat_get(fd: u32, out: u32) = fd::fd_prestat_get(fd, ptr(out));
        now fd_prestat_dir_name(fd: u32, path: u32, len: u32) = fd::fd_prestat_dir_name(fd, slice(path, len));
        now fd_pwrite(fd: u32, iovs: u32, count: u32, offset: u64, out: u32) = fd_io::fd_pwrite(fd, Iovecs::new(iovs, count), offset, ptr(out));
        waiting_for(fd) fd_read(fd: u32, iovs: u32, count: u32, out: u32) = fd_io::fd_read(fd, Iovecs::new(iovs, count), ptr(out));
        now fd_readdir(fd: u32, buf: u32, len: u32, cookie: u64, out: u32) = fd_readdir::fd_readdir(fd, slice(buf, len), cookie, ptr(out));
        now fd_renumber(fd: u32, to: u32) = fd::fd_renumber(fd, to);
        now fd_seek(fd: u32, offset: i64, whence: u32, out: u32) = fd_io::fd_seek::<V>(fd, offset, whence, ptr(out));
        now fd_sync(fd: u32) = fd::fd_sync(fd);
        now fd_tell(fd: u32, out: u32) = fd_io::fd_tell(fd, ptr(out));
        waiting_for(fd) fd_write(fd: u32, iovs: u32, count: u32, out: u32) = fd_io::fd_write(fd, Iovecs::new(iovs, count), ptr(out));
        now path_create_directory(fd: u32, path: u32, len: u32) = path::path_create_directory(fd, slice(path, len));
        now path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, out: u32) = path::path_filestat_get::<V>(fd, flags, slice(path, len), ptr(out));
        now path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, atim: u64, mtim: u64, which: u32)
            = path::path_filestat_set_times(fd, flags, slice(path, len), atim, mtim, which);
        now path_link(old_fd: u32, flags: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32)
            = path::path_link(old_fd, flags, slice(old, old_len), new_fd, slice(new, new_len));
        opening path_open(fd: u32, lookup: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64, flags: u32, out: u32)
            = path_open::path_open(fd, slice(path, len), Request::new(lookup, oflags, base, inheriting, flags)?, ptr(out));
        now path_readlink(fd: u32, path: u32, len: u32, buf: u32, buf_len: u32, out: u32)
            = path::path_readlink(fd, slice(path, len), slice(buf, buf_len), ptr(out));
        now path_remove_directory(fd: u32, path: u32, len: u32) = path::path_remove_directory(fd, slice(path, len));
        now path_rename(old_fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32)
            = path::path_rename(old_fd, slice(old, old_len), new_fd, slice(new, new_len));
        now path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32) = path::path_symlink(slice(target, target_len), fd, slice(path, len));
        now path_unlink_file(fd: u32, path: u32, len: u32) = path::path_unlink_file(fd, slice(path, len));
        waiting poll_oneoff(subs: u32, events: u32, count: u32, out: u32) = poll::poll_oneoff::<V>(ptr(subs), ptr(events), count, ptr(out));
        lasting(len) random_get(buf: u32, len: u32) = random::random_get(slice(buf, len));
        now sched_yield() = proc::sched_yield();
        waiting_for(fd) sock_recv(fd: u32, iovs: u32, count: u32, flags: u32, out: u32, out_flags: u32)
            = sock::sock_recv(fd, Iovecs::new(iovs, count), flags, (ptr(out), ptr(out_flags)));
        waiting_for(fd) sock_send(fd: u32, iovs: u32, count: u32, flags: u32, out: u32) = sock::sock_send(fd, Iovecs::new(iovs, count), flags, ptr(out));
        now sock_shutdown(fd: u32, how: u32) = sock::sock_shutdown(fd, how);
    }
    add_ends::<T, V, F>(linker, ctx);
}

/// The one function that only preview 1 has.
fn add_sock_accept<T: 'static, F: Find<T>>(linker: &mut Linker<T>, ctx: F) {
    functions! { linker, ctx, Preview1;
        accepting(fd) sock_accept(fd: u32, flags: u32, out: u32) = sock::sock_accept(fd, flags, ptr(out));
    }
}

/// The functions that do not answer with an error number: they may end the guest.
fn add_ends<T: 'static, V: Version, F: Find<T>>(linker: &mut Linker<T>, ctx: F) {
    linker.func(
        V::MODULE,
        "proc_exit",
        move |mut caller: Caller<'_, T>, code: u32| -> std::result::Result<(), Error> {
            let exit = ctx.with(caller.data_mut(), |ctx| proc::proc_exit(ctx, code));
            Err(Error::host(exit))
        },
    );
    linker.func(
        V::MODULE,
        "proc_raise",
        move |mut caller: Caller<'_, T>, signal: u32| -> std::result::Result<u32, Error> {
            match ctx.with(caller.data_mut(), |ctx| proc::proc_raise(ctx, signal)) {
                Ok(Raised::Ignored) => Ok(0),
                Ok(Raised::Ended(exit)) => Err(Error::host(exit)),
                Err(errno) => Ok(errno as u32),
            }
        },
    );
}

/// Calls a function that does not wait.
#[inline]
fn now<T: 'static, F: Find<T>>(
    caller: &mut Caller<'_, T>,
    ctx: F,
    (): (),
    function: impl FnOnce(&mut WasiCtx, &mut Guest<'_>) -> Result<()>,
) -> u32 {
    answer(call(caller, Stop::NEVER, |data, guest| {
        ctx.with(data, |ctx| function(ctx, guest))
    }))
}

/// Calls a function that may wait for a descriptor, if it is of a kind that lets one wait.
#[inline]
fn waiting_for<T: 'static, F: Find<T>>(
    caller: &mut Caller<'_, T>,
    ctx: F,
    fd: u32,
    function: impl FnOnce(&mut WasiCtx, &mut Guest<'_>) -> Result<()>,
) -> u32 {
    if ctx.with(caller.data_mut(), |ctx| ctx.table.may_wait(fd)) {
        waiting(caller, ctx, (), function)
    } else {
        now(caller, ctx, (), function)
    }
}

/// Calls a function that takes long for many bytes.
#[inline]
fn lasting<T: 'static, F: Find<T>>(
    caller: &mut Caller<'_, T>,
    ctx: F,
    len: u32,
    function: impl FnOnce(&mut WasiCtx, &mut Guest<'_>) -> Result<()>,
) -> u32 {
    if len > 1 << 20 {
        waiting(caller, ctx, (), function)
    } else {
        now(caller, ctx, (), function)
    }
}

/// Calls a function that may wait until the guest is stopped from outside.
fn waiting<T: 'static, F: Find<T>>(
    caller: &mut Caller<'_, T>,
    ctx: F,
    (): (),
    function: impl FnOnce(&mut WasiCtx, &mut Guest<'_>) -> Result<()>,
) -> u32 {
    let interrupt = caller.interrupt_handle();
    answer(call(caller, Stop::new(&interrupt), |data, guest| {
        ctx.aside(data, |ctx| function(ctx, guest))
    }))
}

/// Calls a function that may wait, and puts what it gets in the context.
fn opening<T: 'static, F: Find<T>>(
    caller: &mut Caller<'_, T>,
    ctx: F,
    (): (),
    function: impl FnOnce(&mut WasiCtx, &mut Guest<'_>) -> Result<()>,
) -> u32 {
    let interrupt = caller.interrupt_handle();
    answer(call(caller, Stop::new(&interrupt), |data, guest| {
        ctx.with(data, |ctx| function(ctx, guest))
    }))
}

/// The same for a descriptor whose wait others should not have to share.
fn accepting<T: 'static, F: Find<T>>(
    caller: &mut Caller<'_, T>,
    ctx: F,
    fd: u32,
    function: impl Fn(&mut WasiCtx, &mut Guest<'_>) -> Result<()>,
) -> u32 {
    let interrupt = caller.interrupt_handle();
    let stop = Stop::new(&interrupt);
    answer(call(caller, stop, |data, guest| {
        loop {
            let waits = ctx.await_caller(data, fd, stop)?;
            let result = ctx.with(data, |ctx| match waits {
                Waits::There => function(ctx, guest),
                Waits::Elsewhere => {
                    let flags = ctx.table.get_mut(fd)?.flags;
                    ctx.table.get_mut(fd)?.flags = flags.with(FdFlags::NONBLOCK);
                    let result = function(ctx, guest);
                    ctx.table.get_mut(fd)?.flags = flags;
                    result
                }
            });
            match result {
                Err(Errno::Again) if waits == Waits::Elsewhere => {}
                result => return result,
            }
        }
    }))
}

/// Calls a function with the memory of the guest and the data of its store. A guest without a memory
/// has one of no bytes.
#[inline]
fn call<T: 'static>(
    caller: &mut Caller<'_, T>,
    stop: Stop<'_>,
    function: impl FnOnce(&mut T, &mut Guest<'_>) -> Result<()>,
) -> Result<()> {
    match caller.local_memory_and_data() {
        Some((memory, data)) => function(data, &mut Guest::new(memory, stop)),
        None => call_without_own(caller, stop, function),
    }
}

#[cold]
fn call_without_own<T: 'static>(
    caller: &mut Caller<'_, T>,
    stop: Stop<'_>,
    function: impl FnOnce(&mut T, &mut Guest<'_>) -> Result<()>,
) -> Result<()> {
    let mut guest = match caller.shared_memory() {
        Some(memory) => Guest::sharing(memory, stop),
        None => Guest::new(GuestMemory::of_host(&mut []), stop),
    };
    function(caller.data_mut(), &mut guest)
}

fn answer(result: Result<()>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(errno) => errno as u32,
    }
}

impl Interrupt for InterruptHandle {
    fn asked(&self) -> bool {
        self.asks_to_stop()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        InterruptHandle::descriptor(self).ok()
    }
}

fn ptr<T: Layout>(address: u32) -> GuestPtr<T> {
    GuestPtr::new(address)
}

fn slice(address: u32, len: u32) -> GuestSlice {
    GuestSlice::new(address, len)
}
