//! `precast run`.

use std::path::Path;
#[cfg(feature = "signatures")]
use std::path::PathBuf;
use std::time::Instant;

use precast::{Error, Extern, Instance, LimitError, Limits, Module, Store, TrapCode};

use crate::args::RunArgs;
use crate::failure::{Failure, TRAPPED, complain, name_of, remark};
use crate::input::{self, Found, Kind};
use crate::invoke;
use crate::output::Destination;
use crate::threads;
#[cfg(feature = "signatures")]
use crate::trust;
use crate::world::{self, World};

/// Runs a guest; its exit code.
pub(crate) fn run(args: &RunArgs) -> Result<i32, Failure> {
    let found = input::look(&args.file)?;
    #[cfg(feature = "signatures")]
    if !args.trusted_key.is_empty() {
        let module = signed(&args.trusted_key, &args.file, found)?;
        return run_module(args, module);
    }
    let module = any(&args.file, found)?;
    run_module(args, module)
}

/// Runs a module; the guest's exit code.
pub(crate) fn run_module(args: &RunArgs, module: Module) -> Result<i32, Failure> {
    // One too far away to be told as a moment is as good as none.
    let deadline = |timeout| Instant::now().checked_add(timeout);
    let deadline = args.timeout.and_then(deadline);
    if threads::suits(&module) && args.invoke.is_none() {
        let outcome = threads::run(args, &module, limits(args), deadline)?;
        return conclude(args, outcome.map_err(End::Guest));
    }
    let mut store = Store::with_limits(world::new(args)?, limits(args));
    store.set_deadline(deadline);
    let outcome = run_in(&mut store, &module, args);
    // The process ends: the system takes all of it back at once.
    std::mem::forget((store, module));
    conclude(args, outcome)
}

/// Opens what the user names, which is trusting it.
fn any(path: &Path, found: Found) -> Result<Module, Failure> {
    match found {
        Found::ObjectFile => open(path),
        Found::Bytes(bytes) => match input::kind_of(&bytes) {
            Kind::Object => load(path, &bytes),
            Kind::Module => compiled(path, bytes),
        },
    }
}

/// Opens what is signed by one of these keys.
#[cfg(feature = "signatures")]
fn signed(keys: &[PathBuf], path: &Path, found: Found) -> Result<Module, Failure> {
    let trust = trust::read(keys)?;
    match found {
        Found::ObjectFile => Module::open_trusted(path, &trust),
        Found::Bytes(bytes) => Module::from_trusted_bytes(&bytes, &trust),
    }
    .map_err(|error| Failure::at(path, error))
}

/// Opens an object that the user names.
fn open(path: &Path) -> Result<Module, Failure> {
    // SAFETY: the user asks for this object's code to be run, which the help says is trusting it.
    // Whoever replaces it meanwhile is expected to do so by rename, as `precast compile` does.
    unsafe { Module::open(path) }.map_err(|error| Failure::at(path, error))
}

/// Opens an object that came through a pipe.
fn load(path: &Path, bytes: &[u8]) -> Result<Module, Failure> {
    // SAFETY: as for a file: the user asks for this object's code to be run.
    unsafe { Module::from_bytes(bytes) }.map_err(|error| Failure::at(path, error))
}

/// Compiles a module, or finds it compiled.
#[cfg(feature = "compile")]
fn compiled(path: &Path, bytes: Vec<u8>) -> Result<Module, Failure> {
    crate::cached::module(path, bytes)
}

/// Says that there is no compiler here.
#[cfg(not(feature = "compile"))]
fn compiled(path: &Path, _: Vec<u8>) -> Result<Module, Failure> {
    let problem = "is not an object, and this build of precast has no compiler: \
                   compile it elsewhere with `precast compile`";
    Err(Failure::at(path, problem))
}

fn limits(args: &RunArgs) -> Limits {
    let mut limits = Limits::default();
    if let Some(bytes) = args.max_memory {
        limits.memory_bytes = bytes;
    }
    limits
}

/// Why a run ended that did not end well.
enum End {
    /// The guest, or its instantiation, failed.
    Guest(Error),
    /// The user asked for what cannot be done.
    Usage(String),
    /// Something else failed.
    Failed(Failure),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Guest(error)
    }
}

/// Instantiates and calls what is to be called.
fn run_in(store: &mut Store<World>, module: &Module, args: &RunArgs) -> Result<(), End> {
    let instance = world::linker().instantiate(&mut *store, module)?;
    let outcome = call(store, instance, args);
    // However it ended: guests end by `proc_exit`.
    if let Some(path) = &args.profile {
        write_profile(store, instance, path)?;
    }
    outcome
}

/// Calls what is to be called.
fn call(store: &mut Store<World>, instance: Instance, args: &RunArgs) -> Result<(), End> {
    match &args.invoke {
        Some(name) => {
            initialize(store, instance)?;
            invoke::invoke(store, instance, name, &args.args).map_err(|problem| match problem {
                invoke::Problem::Guest(error) => End::Guest(error),
                invoke::Problem::Usage(message) => End::Usage(message),
            })
        }
        None => {
            if instance.export(&*store, "_start").is_none() {
                return Err(End::Usage(no_start(store, instance)));
            }
            Ok(instance
                .func::<(), ()>(&*store, "_start")?
                .call(store, ())?)
        }
    }
}

/// Writes what was counted, together with what had been counted before.
fn write_profile(store: &Store<World>, instance: Instance, path: &Path) -> Result<(), End> {
    let Some(mut profile) = instance.profile(store)? else {
        let message = "counts nothing: compile it with --instrument to make a profile";
        return Err(End::Usage(message.to_owned()));
    };
    if path.exists() {
        let before = input::read_profile(path).map_err(End::Failed)?;
        let merged = profile.merge(&before);
        merged.map_err(|error| End::Failed(Failure::at(path, error)))?;
    }
    let destination = Destination::new(path).map_err(End::Failed)?;
    let written = destination.write(profile.to_string().as_bytes());
    written.map_err(End::Failed)
}

/// A reactor wants to be told before anything else is called.
fn initialize(store: &mut Store<World>, instance: Instance) -> Result<(), Error> {
    match instance.export(&*store, "_initialize") {
        Some(Extern::Func(_)) => instance
            .func::<(), ()>(&*store, "_initialize")?
            .call(store, ()),
        _ => Ok(()),
    }
}

fn no_start(store: &Store<World>, instance: Instance) -> String {
    let functions = invoke::functions(store, instance);
    if functions.is_empty() {
        return "exports neither `_start` nor any other function: there is nothing to run"
            .to_owned();
    }
    format!("exports no `_start`; call one of its functions with --invoke: {functions}")
}

/// The exit code, once the user knows what happened.
fn conclude(args: &RunArgs, outcome: Result<(), End>) -> Result<i32, Failure> {
    let error = match outcome {
        Ok(()) => return Ok(0),
        Err(End::Usage(message)) => return Err(Failure::at(&args.file, message)),
        Err(End::Failed(failure)) => return Err(failure),
        Err(End::Guest(error)) => error,
    };
    if let Some(code) = world::exit_code(&error) {
        return Ok(code);
    }
    let Some(trap) = error.trap() else {
        return Err(Failure::at(&args.file, explain(&error)));
    };
    let file = name_of(&args.file);
    match (trap.code(), args.timeout) {
        (TrapCode::Interrupted, Some(timeout)) => {
            complain(&format!("{file}: stopped after {timeout:?} (--timeout)"));
        }
        (code, _) => complain(&format!("{file}: trap: {code}")),
    }
    remark(&trap.backtrace().to_string());
    Ok(TRAPPED)
}

/// Some errors are about what this command provides.
fn explain(error: &Error) -> String {
    match error {
        Error::Link(_) => format!("{error}; {}", world::PROVIDED),
        Error::Limit(LimitError::MemoryBytes { .. }) => format!("{error} (--max-memory)"),
        _ => error.to_string(),
    }
}
