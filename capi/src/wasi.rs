//! WASI: the world of a guest.

use std::ffi::{c_char, c_int};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use loader::{AsStore, AsStoreMut};
use precast_wasi::{Input, Output, Perms, WasiCtxBuilder};

use crate::error::{self, Error, Failure, Kind, Result, answer, given, misuse};
use crate::store::{self, CStore};
use crate::text;
use crate::value::CInstance;

/// `precast_wasi`
pub(crate) struct CWasi(WasiCtxBuilder);

/// `precast_wasi_new`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_new(out: Option<&mut MaybeUninit<*mut CWasi>>) -> Failure {
    error::make(out, || Ok(CWasi(WasiCtxBuilder::new())))
}

/// `precast_wasi_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_delete(wasi: Option<Box<CWasi>>) {
    answer((), || {
        drop(wasi);
        Some(())
    });
}

/// Changes a description.
fn change(
    wasi: Option<&mut CWasi>,
    change: impl FnOnce(&mut WasiCtxBuilder) -> Result<()>,
) -> Failure {
    error::run(|| change(&mut given(wasi, "the WASI description")?.0))
}

/// `precast_wasi_arg`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_arg(wasi: Option<&mut CWasi>, arg: *const c_char) -> Failure {
    change(wasi, |builder| {
        builder.arg(text::bytes(arg, "the argument")?);
        Ok(())
    })
}

/// `precast_wasi_env`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_env(
    wasi: Option<&mut CWasi>,
    name: *const c_char,
    value: *const c_char,
) -> Failure {
    change(wasi, |builder| {
        let name = text::bytes(name, "the name")?;
        builder.env(name, text::bytes(value, "the value")?);
        Ok(())
    })
}

/// `precast_wasi_inherit_stdio`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_inherit_stdio(wasi: Option<&mut CWasi>) -> Failure {
    change(wasi, |builder| {
        builder.inherit_stdio();
        Ok(())
    })
}

/// `precast_wasi_preopen_dir`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_preopen_dir(
    wasi: Option<&mut CWasi>,
    host: *const c_char,
    guest: *const c_char,
    read_only: bool,
) -> Failure {
    change(wasi, |builder| {
        let host = text::path(host, "the directory")?;
        let guest = text::bytes(guest, "its name for the guest")?;
        let perms = if read_only {
            Perms::ReadOnly
        } else {
            Perms::ReadWrite
        };
        builder.preopen_dir(host, guest, perms)?;
        Ok(())
    })
}

/// `precast_wasi_stdin_bytes`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_stdin_bytes(
    wasi: Option<&mut CWasi>,
    bytes: *const u8,
    len: usize,
) -> Failure {
    change(wasi, |builder| {
        builder.stdin(Input::bytes(text::array(bytes, len, "the bytes")?));
        Ok(())
    })
}

/// `precast_wasi_stdin_fd`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_stdin_fd(wasi: Option<&mut CWasi>, fd: c_int) -> Failure {
    change(wasi, |builder| {
        builder.stdin(Input::file(duplicate(fd)?));
        Ok(())
    })
}

/// `precast_wasi_stdin_file`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_stdin_file(wasi: Option<&mut CWasi>, path: *const c_char) -> Failure {
    change(wasi, |builder| {
        let path = text::path(path, "the path")?;
        let file = File::open(path);
        builder.stdin(Input::file(
            file.map_err(|error| cannot_open(path, &error))?,
        ));
        Ok(())
    })
}

/// `precast_wasi_stream`: 1 is standard output, 2 is standard error.
fn set_output(builder: &mut WasiCtxBuilder, stream: c_int, output: Output) -> Result<()> {
    match stream {
        1 => builder.stdout(output),
        2 => builder.stderr(output),
        _ => {
            return Err(misuse(
                "the stream is neither standard output nor standard error",
            ));
        }
    };
    Ok(())
}

/// `precast_wasi_capture`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_capture(
    wasi: Option<&mut CWasi>,
    stream: c_int,
    max_bytes: usize,
) -> Failure {
    change(wasi, |builder| {
        if max_bytes != 0 {
            builder.max_capture(max_bytes);
        }
        set_output(builder, stream, Output::Capture)
    })
}

/// `precast_wasi_output_fd`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_output_fd(
    wasi: Option<&mut CWasi>,
    stream: c_int,
    fd: c_int,
) -> Failure {
    change(wasi, |builder| {
        set_output(builder, stream, Output::file(duplicate(fd)?))
    })
}

/// `precast_wasi_output_file`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_output_file(
    wasi: Option<&mut CWasi>,
    stream: c_int,
    path: *const c_char,
) -> Failure {
    change(wasi, |builder| {
        let path = text::path(path, "the path")?;
        let file = File::create(path).map_err(|error| cannot_open(path, &error))?;
        set_output(builder, stream, Output::file(file))
    })
}

/// `precast_wasi_max_descriptors`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_max_descriptors(wasi: Option<&mut CWasi>, limit: usize) -> Failure {
    change(wasi, |builder| {
        builder.max_descriptors(limit);
        Ok(())
    })
}

fn cannot_open(path: &std::path::Path, error: &std::io::Error) -> Box<Error> {
    Error::new(Kind::Wasi, &format!("{}: {error}", path.display()))
}

/// A descriptor of the library's own for what one of the program's stands for.
fn duplicate(fd: c_int) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(misuse(format!("{fd} is not a descriptor")));
    }
    // SAFETY: not -1, and only duplicated here and now; one that is not open is an error then.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed
        .try_clone_to_owned()
        .map_err(|error| Error::new(Kind::Wasi, &format!("descriptor {fd}: {error}")))
}

/// `precast_store_set_wasi`
#[unsafe(no_mangle)]
extern "C" fn precast_store_set_wasi(store: Option<&CStore>, wasi: Option<&CWasi>) -> Failure {
    error::run(|| {
        let world = given(wasi, "the WASI description")?.0.build()?;
        let mut store = store::enter(store)?;
        let before = store.as_store_mut().data_mut().wasi.replace(world);
        drop(before);
        Ok(())
    })
}

/// `precast_store_captured`
#[unsafe(no_mangle)]
extern "C" fn precast_store_captured(
    store: Option<&CStore>,
    stream: c_int,
    data: Option<&mut MaybeUninit<*const u8>>,
    len: Option<&mut MaybeUninit<usize>>,
) -> Failure {
    error::run(|| {
        let data = given(data, "the place for the address")?;
        let len = given(len, "the place for the length")?;
        let store = store::enter(store)?;
        let world = store.as_store().data().wasi.as_ref();
        let bytes = match (world, stream) {
            (None, 1 | 2) => &[],
            (Some(world), 1) => world.stdout(),
            (Some(world), 2) => world.stderr(),
            _ => {
                return Err(misuse(
                    "the stream is neither standard output nor standard error",
                ));
            }
        };
        data.write(bytes.as_ptr());
        len.write(bytes.len());
        Ok(())
    })
}

/// `precast_wasi_start`
#[unsafe(no_mangle)]
extern "C" fn precast_wasi_start(
    store: Option<&CStore>,
    instance: CInstance,
    exit_code: Option<&mut MaybeUninit<u32>>,
) -> Failure {
    error::run(|| {
        let exit_code = given(exit_code, "the place for the exit code")?;
        exit_code.write(0);
        let instance = instance.get()?;
        let mut store = store::enter(store)?;
        let start = instance.func::<(), ()>(store.as_store(), "_start")?;
        match start.call(store.as_store_mut(), ()) {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = Box::<Error>::from(error);
                match error.exit_code() {
                    Some(code) => {
                        exit_code.write(code);
                        Ok(())
                    }
                    None => Err(error),
                }
            }
        }
    })
}
