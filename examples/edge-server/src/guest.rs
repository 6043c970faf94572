//! Running a program for a request.
#![allow(unsafe_code, reason = "opening an object is trusting it")]

use std::path::Path;
use std::time::{Duration, Instant};

use precast::{
    Error, Linker, Module, Pool, PoolError, Progress, Sandbox, Template, TemplateFunc, Tenant,
    TrapCode,
};
use precast_wasi::{Exit, WasiCtx, WasiCtxBuilder};

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
    /// It did not begin: the request holds what cannot be told.
    Untold,
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

    /// A sandbox of its own, whose time runs from now.
    ///
    /// # Errors
    ///
    /// How it ended before it began.
    pub(crate) fn sandbox(
        &self,
        pool: &Pool<WasiCtx>,
        tenant: Tenant,
        world: WasiCtx,
        time: Duration,
    ) -> Result<Sandbox<WasiCtx>, Outcome> {
        match pool.instantiate(&self.template, tenant, world) {
            Ok(mut sandbox) => {
                sandbox.set_deadline(Some(Instant::now() + time));
                Ok(sandbox)
            }
            Err(Error::Pool(PoolError::Full { .. })) => Err(Outcome::Full),
            // A start function that traps is the program's.
            Err(Error::Trap(trap)) => Err(Outcome::Trapped(trap.code())),
            Err(error) => Err(Outcome::Broken(error)),
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, mut sandbox: Sandbox<WasiCtx>) -> Outcome {
        let result = self.start.call(&mut sandbox, ());
        conclude(sandbox, result)
    }

    /// Runs it in slices: between them others of the runtime have their turn.
    pub(crate) async fn run_in_slices(
        &self,
        mut sandbox: Sandbox<WasiCtx>,
        slice: Duration,
    ) -> Outcome {
        sandbox.set_time_slice(Some(slice));
        let start = match self.start.bind(&sandbox) {
            Ok(start) => start,
            Err(error) => return Outcome::Broken(error),
        };
        let mut progress = start.start(sandbox, ());
        loop {
            match progress {
                Progress::Done(sandbox, result) => return conclude(sandbox, result),
                Progress::Suspended(guest) => {
                    tokio::task::yield_now().await;
                    progress = guest.resume();
                }
            }
        }
    }
}

/// What has become of a program.
fn conclude(mut sandbox: Sandbox<WasiCtx>, result: Result<(), Error>) -> Outcome {
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

/// The program's world before the request is described: nothing but a place to answer.
pub(crate) fn world(max_answer: usize) -> WasiCtxBuilder {
    let mut world = WasiCtxBuilder::new();
    world
        .stdout(precast_wasi::Output::Capture)
        .max_capture(max_answer);
    world
}
