//! Errors: one type for all that can go wrong, and the way out of every function.

use std::any::Any;
use std::ffi::{CString, c_char, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use loader::{Backtrace, Interruption, TrapCode};
use precast_wasi::Exit;

use crate::text;

/// `precast_error_kind`
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Trap = 1,
    Host = 2,
    Exit = 3,
    Link = 4,
    Limit = 5,
    Use = 6,
    Object = 7,
    System = 8,
    Pool = 9,
    Wasi = 10,
    Internal = 11,
    Exception = 12,
}

/// `precast_error`
#[derive(Debug)]
pub(crate) struct Error {
    kind: Kind,
    message: CString,
    trap: Option<TrapCode>,
    interruption: Option<Interruption>,
    exit: Option<u32>,
    /// The guest is to wait, and this is for whoever goes on with it.
    suspend: Option<Pointer>,
    frames: Vec<FrameText>,
    omitted: usize,
    /// The message with the frames below it.
    report: CString,
}

/// What `precast_frame` points to.
#[derive(Debug)]
struct FrameText {
    module: CString,
    name: Option<CString>,
    function: u32,
    offset: Option<u32>,
}

/// `precast_frame`
#[repr(C)]
struct Frame {
    module: *const c_char,
    function: *const c_char,
    function_index: u32,
    has_offset: bool,
    wasm_offset: u32,
}

/// A pointer of the program's.
#[derive(Clone, Copy, Debug)]
struct Pointer(*mut c_void);

// SAFETY: the library never looks at what it points to.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

/// What functions within this crate return.
pub(crate) type Result<T> = std::result::Result<T, Box<Error>>;

/// What functions of the API return: an error that C owns, or null.
pub(crate) type Failure = Option<Box<Error>>;

/// Runs the body of a function of the API.
pub(crate) fn run(body: impl FnOnce() -> Result<()>) -> Failure {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(payload) => Some(internal(&*payload)),
    }
}

/// Runs the body of a function of the API that cannot fail; `default` is its answer to nonsense.
pub(crate) fn answer<T>(default: T, body: impl FnOnce() -> Option<T>) -> T {
    catch_unwind(AssertUnwindSafe(body))
        .ok()
        .flatten()
        .unwrap_or(default)
}

/// Runs the body of a function of the API that makes something which C owns: null where it fails.
pub(crate) fn make<T>(
    out: Option<&mut MaybeUninit<*mut T>>,
    body: impl FnOnce() -> Result<T>,
) -> Failure {
    run(|| {
        let out = given(out, "the place for the result")?;
        out.write(ptr::null_mut());
        let made = body()?;
        out.write(Box::into_raw(Box::new(made)));
        Ok(())
    })
}

/// What a pointer points to.
pub(crate) fn given<T>(pointer: Option<T>, what: &str) -> Result<T> {
    pointer.ok_or_else(|| misuse(format!("{what} is null")))
}

/// The program uses the API in a way that it does not allow.
pub(crate) fn misuse(message: impl Into<String>) -> Box<Error> {
    Error::new(Kind::Use, &message.into())
}

fn internal(payload: &(dyn Any + Send)) -> Box<Error> {
    let words = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = format!(
        "a bug of Precast, or a handle that is none of its: {}",
        words.unwrap_or("it panicked")
    );
    Error::new(Kind::Internal, &message)
}

impl Error {
    /// An error with nothing but a kind and a message.
    pub(crate) fn new(kind: Kind, message: &str) -> Box<Error> {
        let message = text::owned(message);
        Box::new(Error {
            kind,
            report: message.clone(),
            message,
            trap: None,
            interruption: None,
            exit: None,
            suspend: None,
            frames: Vec::new(),
            omitted: 0,
        })
    }

    /// Adds where in the guest it happened, unless that is known.
    pub(crate) fn locate(&mut self, backtrace: &Backtrace) {
        if !self.frames.is_empty() || backtrace.frames().is_empty() {
            return;
        }
        let frames = backtrace.frames().iter().map(|frame| FrameText {
            module: text::owned(frame.module()),
            name: frame.name().map(text::owned),
            function: frame.function_index(),
            offset: frame.wasm_offset(),
        });
        self.frames = frames.collect();
        self.omitted = backtrace.omitted();
        let message = self.message.to_string_lossy();
        self.report = text::owned(&format!("{message}\n{backtrace}"));
    }

    /// What the guest's caller gets: the wish to wait, or the error, which happened at `backtrace`.
    pub(crate) fn into_loader(
        mut self: Box<Self>,
        backtrace: impl FnOnce() -> Backtrace,
    ) -> loader::Error {
        match self.suspend {
            Some(Pointer(note)) => crate::call::suspend(note),
            None => {
                self.locate(&backtrace());
                loader::Error::host(FromHost(self))
            }
        }
    }

    /// What a guest's `proc_exit` gave, where that is what ended it.
    pub(crate) fn exit_code(&self) -> Option<u32> {
        self.exit
    }

    fn of_trap(code: TrapCode, message: &str) -> Box<Error> {
        let mut error = Error::new(Kind::Trap, message);
        error.trap = Some(code);
        error
    }
}

/// An error that a host function in C returned, on its way through the guest.
#[derive(Debug)]
pub(crate) struct FromHost(pub(crate) Box<Error>);

impl fmt::Display for FromHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message.to_string_lossy())
    }
}

impl std::error::Error for FromHost {}

impl From<loader::Error> for Box<Error> {
    fn from(error: loader::Error) -> Box<Error> {
        let error = match error.downcast::<FromHost>() {
            Ok(FromHost(error)) => return error,
            Err(error) => error,
        };
        if let Some(exit) = error.downcast_ref::<Exit>() {
            let mut made = Error::new(Kind::Exit, &exit.to_string());
            made.exit = Some(exit.code);
            return made;
        }
        let message = error.to_string();
        if let Some(trap) = error.trap() {
            let mut made = Error::of_trap(trap.code(), &message);
            made.interruption = trap.interruption();
            made.locate(trap.backtrace());
            return made;
        }
        if let Some(exception) = error.exception() {
            let mut made = Error::new(Kind::Exception, &message);
            made.locate(exception.backtrace());
            return made;
        }
        let kind = match error {
            loader::Error::Link(_) => Kind::Link,
            loader::Error::Limit(_) => Kind::Limit,
            loader::Error::Object(_) => Kind::Object,
            loader::Error::System(_) | loader::Error::AddressSpace(_) => Kind::System,
            loader::Error::Pool(_) => Kind::Pool,
            loader::Error::Host(_) => Kind::Host,
            _ => Kind::Use,
        };
        Error::new(kind, &message)
    }
}

impl From<loader::OpenError> for Box<Error> {
    fn from(error: loader::OpenError) -> Box<Error> {
        Error::new(Kind::Object, &error.to_string())
    }
}

impl From<precast_wasi::BuildError> for Box<Error> {
    fn from(error: precast_wasi::BuildError) -> Box<Error> {
        Error::new(Kind::Wasi, &error.to_string())
    }
}

/// `precast_error_new`
#[unsafe(no_mangle)]
extern "C" fn precast_error_new(message: *const c_char) -> Failure {
    let made = answer(None, || {
        let message = text::given(message, "the message").ok()?;
        Some(Some(Error::new(Kind::Host, message)))
    });
    made.or_else(|| Some(Error::new(Kind::Host, "a function of the host failed")))
}

/// `precast_error_new_trap`
#[unsafe(no_mangle)]
extern "C" fn precast_error_new_trap(code: u32) -> Failure {
    let code = u8::try_from(code).ok().and_then(TrapCode::from_u8);
    let code = code.unwrap_or(TrapCode::Unreachable);
    Some(Error::of_trap(code, code.message()))
}

/// `precast_error_new_suspend`
#[unsafe(no_mangle)]
extern "C" fn precast_error_new_suspend(note: *mut c_void) -> Failure {
    let message = "a function of the host cannot answer yet, and the guest cannot wait for it: \
                   start it with precast_call_start";
    let mut error = Error::new(Kind::Use, message);
    error.suspend = Some(Pointer(note));
    Some(error)
}

/// `precast_error_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_error_delete(error: Option<Box<Error>>) {
    drop(error);
}

/// `precast_error_get_kind`
#[unsafe(no_mangle)]
extern "C" fn precast_error_get_kind(error: Option<&Error>) -> u32 {
    error.map_or(0, |error| error.kind as u32)
}

/// `precast_error_message`
#[unsafe(no_mangle)]
extern "C" fn precast_error_message(error: Option<&Error>) -> *const c_char {
    error.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// `precast_error_report`
#[unsafe(no_mangle)]
extern "C" fn precast_error_report(error: Option<&Error>) -> *const c_char {
    error.map_or(c"".as_ptr(), |error| error.report.as_ptr())
}

/// `precast_error_get_trap`
#[unsafe(no_mangle)]
extern "C" fn precast_error_get_trap(error: Option<&Error>) -> u32 {
    error
        .and_then(|error| error.trap)
        .map_or(0, |code| code as u32)
}

/// `precast_error_get_interruption`
#[unsafe(no_mangle)]
extern "C" fn precast_error_get_interruption(error: Option<&Error>) -> u32 {
    match error.and_then(|error| error.interruption) {
        None => 0,
        Some(Interruption::Killed) => 1,
        Some(Interruption::Deadline) => 2,
        Some(Interruption::CpuBudget) => 3,
        // What this version has no name for.
        Some(_) => u32::MAX,
    }
}

/// `precast_error_get_exit`
#[unsafe(no_mangle)]
extern "C" fn precast_error_get_exit(
    error: Option<&Error>,
    code: Option<&mut MaybeUninit<u32>>,
) -> bool {
    let exit = error.and_then(Error::exit_code);
    if let (Some(exit), Some(code)) = (exit, code) {
        code.write(exit);
    }
    exit.is_some()
}

/// `precast_error_frame_count`
#[unsafe(no_mangle)]
extern "C" fn precast_error_frame_count(error: Option<&Error>) -> usize {
    error.map_or(0, |error| error.frames.len())
}

/// `precast_error_frames_omitted`
#[unsafe(no_mangle)]
extern "C" fn precast_error_frames_omitted(error: Option<&Error>) -> usize {
    error.map_or(0, |error| error.omitted)
}

/// `precast_error_frame`
#[unsafe(no_mangle)]
extern "C" fn precast_error_frame(
    error: Option<&Error>,
    index: usize,
    frame: Option<&mut MaybeUninit<Frame>>,
) -> bool {
    let found = error.and_then(|error| error.frames.get(index));
    let (Some(found), Some(frame)) = (found, frame) else {
        return false;
    };
    frame.write(Frame {
        module: found.module.as_ptr(),
        function: found
            .name
            .as_ref()
            .map_or(ptr::null(), |name| name.as_ptr()),
        function_index: found.function,
        has_offset: found.offset.is_some(),
        wasm_offset: found.offset.unwrap_or(0),
    });
    true
}
