//! Running a program for a request.
#![allow(unsafe_code, reason = "opening an object is trusting it")]

use std::path::Path;

use precast::{Error, Linker, Module, Pool, PoolError, Template, TemplateFunc, Tenant, TrapCode};
use precast_wasi::{Exit, WasiCtx, WasiCtxBuilder};

use crate::deadline::Watchdog;

/// A program that is ready to run.
pub(crate) struct Program {
    template: Template<WasiCtx>,
    start: TemplateFunc<(), ()>,
}

/// How a program ended.
pub(crate) enum Outcome {
    /// What it wrote to standard output.
    Ended(Vec<u8>),
    /// With an exit code that means failure.
    Failed(u32),
    /// It trapped, or called itself too deeply.
    Trapped(TrapCode),
    /// Its time was over.
    Late,
    /// There was no slot for it.
    Full,
    /// The server could not run it.
    Broken(Error),
}

impl Program {
    /// Opens an object and looks for what it imports.
    pub(crate) fn open(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        // SAFETY: who starts the server names the objects, and trusts them as programs.
        let module = unsafe { Module::open(path) }?;
        let mut linker = Linker::new();
        precast_wasi::add_to_linker(&mut linker, |context: &mut WasiCtx| context);
        let template = linker.template(&module)?;
        Ok(Self {
            start: template.func("_start")?,
            template,
        })
    }

    /// Runs it in a sandbox of its own.
    pub(crate) fn run(
        &self,
        pool: &Pool<WasiCtx>,
        watchdog: &Watchdog,
        tenant: Tenant,
        world: WasiCtx,
    ) -> Outcome {
        let mut sandbox = match pool.instantiate(&self.template, tenant, world) {
            Ok(sandbox) => sandbox,
            Err(Error::Pool(PoolError::Full { .. })) => return Outcome::Full,
            // A start function that traps is the program's.
            Err(Error::Trap(trap)) => return Outcome::Trapped(trap.code()),
            Err(error) => return Outcome::Broken(error),
        };
        let result = watchdog.call(&mut sandbox, self.start);
        let output = sandbox.data_mut().take_stdout();
        match result {
            Ok(()) => Outcome::Ended(output),
            Err(Error::Trap(trap)) if trap.code() == TrapCode::Interrupted => Outcome::Late,
            Err(Error::Trap(trap)) => Outcome::Trapped(trap.code()),
            Err(error) => match error.downcast_ref::<Exit>() {
                Some(Exit { code: 0 }) => Outcome::Ended(output),
                Some(Exit { code }) => Outcome::Failed(*code),
                None => Outcome::Broken(error),
            },
        }
    }
}

/// The program's world before the request is described: nothing but a place to answer.
pub(crate) fn world(max_answer: usize) -> WasiCtxBuilder {
    let mut world = WasiCtxBuilder::new();
    world
        .stdout(precast_wasi::Output::Capture)
        .max_capture(max_answer);
    world
}
