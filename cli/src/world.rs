//! What a guest is given of the world: WASI.

use std::os::unix::ffi::OsStrExt;

use precast::{Error, Linker};
use precast_wasi::{Exit, Perms, WasiCtx, WasiCtxBuilder};

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::units::DirArg;

/// What the host keeps for a guest.
pub(crate) type World = WasiCtx;

/// What `precast run` provides, for messages.
#[cfg(feature = "threads")]
pub(crate) const PROVIDED: &str = "`precast run` provides WASI preview 1 and threads only";
/// The same.
#[cfg(not(feature = "threads"))]
pub(crate) const PROVIDED: &str = "this build of precast provides WASI preview 1 only";

/// What the guest is given of the world.
pub(crate) fn new(args: &RunArgs) -> Result<World, Failure> {
    let mut builder = WasiCtxBuilder::new();
    builder.inherit_stdio();
    // The name, without the place: a guest learns nothing about the host's directories.
    builder.arg(args.file.file_name().unwrap_or_default().as_bytes());
    if args.invoke.is_none() {
        builder.args(args.args.iter().map(|arg| arg.as_bytes()));
    }
    for (name, value) in &args.env {
        builder.env(name, value);
    }
    for DirArg {
        host,
        guest,
        read_only,
    } in &args.dir
    {
        let perms = if *read_only {
            Perms::ReadOnly
        } else {
            Perms::ReadWrite
        };
        builder
            .preopen_dir(host, guest, perms)
            .map_err(|error| Failure::new("--dir", error))?;
    }
    builder
        .build()
        .map_err(|error| Failure::new("the guest's world", error))
}

/// What the guest may import.
pub(crate) fn linker() -> Linker<World> {
    let mut linker = Linker::new();
    precast_wasi::add_to_linker(&mut linker, |ctx: &mut WasiCtx| ctx);
    linker
}

/// The exit code, if the guest ended by giving one.
pub(crate) fn exit_code(error: &Error) -> Option<i32> {
    error.downcast_ref::<Exit>().map(|exit| exit.code as i32)
}
