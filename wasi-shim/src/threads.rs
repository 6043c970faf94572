//! Programs of many threads: [wasi-threads](https://github.com/WebAssembly/wasi-threads).
//!
//! ```text
//!  Program ──► Group: module, linker, shared memory, context (locked), who runs
//!                ├── main thread: a store, an instance, `_start`
//!                └── `thread-spawn`: a thread of the host, a store, an instance of the same module
//!                    over the same memory, `wasi_thread_start`
//! ```
//!
//! The threads of a program are one guest: whichever exits or traps first ends them all, the end of
//! `_start` does too, and so does a deadline or a kill. [`Program::run`] returns when the last of
//! them is gone.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use precast::{
    Caller, Error, ExternType, InterruptHandle, Limits, Linker, Module, SharedMemory, Store,
    StoreOptions,
};
use rustix::event::PollFlags;

use crate::bind::{self, Find, Waits};
use crate::ctx::WasiCtx;
use crate::descriptor::Object;
use crate::errno::{Errno, Result as WasiResult};
use crate::stop::Stop;
use crate::types::FdFlags;

/// How many threads a program may have at once, the first one included, unless told otherwise.
const MAX_THREADS: usize = 16;
/// Bytes of stack of a thread of the host: WASI's functions run on it.
const HOST_STACK: usize = 512 << 10;
/// The greatest number of a thread: the upper bits are the program's.
const LAST_NUMBER: i32 = (1 << 29) - 1;
/// What `thread-spawn` answers where there can be no more.
const REFUSED: i32 = -(Errno::Again as i32);

/// A program that may start threads, ready to run.
///
/// Its module imports a shared memory, which is made for it, and `wasi` `thread-spawn`; programs
/// without these run as well.
pub struct Program {
    module: Module,
    linker: Linker<Thread>,
    ctx: WasiCtx,
    max_threads: usize,
    options: StoreOptions,
    deadline: Option<Instant>,
    running: Arc<Running>,
}

/// What the host keeps for a thread of a program: the data of its store.
pub struct Thread {
    group: Arc<Group>,
    number: i32,
}

impl Thread {
    /// Its number: 0 for the first one, else as the guest knows it.
    pub fn number(&self) -> i32 {
        self.number
    }
}

/// What the threads of a program have in common.
struct Group {
    module: Module,
    linker: Linker<Thread>,
    ctx: Mutex<WasiCtx>,
    max_threads: usize,
    options: StoreOptions,
    deadline: Option<Instant>,
    running: Arc<Running>,
}

/// Which threads run, and how it ended.
#[derive(Default)]
struct Running {
    state: Mutex<State>,
    /// A thread has ended.
    left: Condvar,
}

#[derive(Default)]
struct State {
    /// The number given out last.
    last: i32,
    /// Threads that were started and have not ended, the first one included.
    count: usize,
    /// Those that have a store, by number.
    handles: BTreeMap<i32, InterruptHandle>,
    /// Nothing is started any more, and all that runs is to end.
    over: bool,
    /// Why, if a thread said so.
    outcome: Option<Result<(), Error>>,
    /// A host function's.
    panic: Option<Box<dyn Any + Send>>,
}

/// Stops a program, from any thread.
#[derive(Clone)]
pub struct Kill {
    running: Arc<Running>,
}

impl Kill {
    /// Ends all threads of the program, for good. The run ends as that of a store whose guests were
    /// killed.
    pub fn kill(&self) {
        self.running.end(None);
    }
}

impl Program {
    /// A program of `module`, with what `ctx` names of the world. All its threads share it.
    pub fn new(module: &Module, ctx: WasiCtx) -> Program {
        let mut linker = Linker::new();
        bind::add(&mut linker, Locked);
        linker.func(
            "wasi",
            "thread-spawn",
            |caller: Caller<'_, Thread>, argument: i32| caller.data().group.spawn(argument),
        );
        Program {
            module: module.clone(),
            linker,
            ctx,
            max_threads: MAX_THREADS,
            options: StoreOptions::default(),
            deadline: None,
            running: Arc::default(),
        }
    }

    /// Whether `module` needs this to run: it imports `thread-spawn`, or a shared memory.
    ///
    /// # Errors
    ///
    /// If the object is damaged.
    pub fn suits(module: &Module) -> Result<bool, Error> {
        Ok(module.imports()?.iter().any(|import| match import.ty {
            ExternType::Memory(ty) => ty.shared,
            _ => (import.module, import.name) == ("wasi", "thread-spawn"),
        }))
    }

    /// The linker that finds imports of every thread, to define more of them.
    pub fn linker_mut(&mut self) -> &mut Linker<Thread> {
        &mut self.linker
    }

    /// How many threads there may be at once, the first one included: 16 unless told otherwise.
    /// `thread-spawn` answers -6 (EAGAIN) beyond.
    pub fn max_threads(&mut self, count: usize) -> &mut Program {
        self.max_threads = count.max(1);
        self
    }

    /// What the store of each thread may use. The shared memory may become `memory_bytes` large; what a
    /// thread has of its own is counted for itself.
    pub fn limits(&mut self, limits: Limits) -> &mut Program {
        self.options.limits = limits;
        self
    }

    /// Bytes of guest stack of each thread that hold what is not in the shared memory.
    pub fn stack_size(&mut self, bytes: usize) -> &mut Program {
        self.options.stack_size = bytes;
        self
    }

    /// When all of its threads end.
    pub fn deadline(&mut self, deadline: Option<Instant>) -> &mut Program {
        self.deadline = deadline;
        self
    }

    /// What stops it from another thread.
    pub fn kill_handle(&self) -> Kill {
        Kill {
            running: Arc::clone(&self.running),
        }
    }

    /// Runs it from `_start` to its end: until that returns, or a thread exits or traps.
    ///
    /// Gives the context back, for what was captured.
    ///
    /// # Errors
    ///
    /// What ended it: the error of the first thread that failed. An exit is an
    /// [`Exit`](crate::Exit), as for programs of one thread.
    ///
    /// # Panics
    ///
    /// If a host function did, on whichever thread: with the same panic.
    pub fn run(self) -> (Result<(), Error>, WasiCtx) {
        let group = match self.into_group() {
            Ok(group) => group,
            Err((error, ctx)) => return (Err(error), *ctx),
        };
        group.running.lock().count = 1;
        let running = Arc::clone(&group.running);
        let result = running.catch(|| {
            group.run_thread(0, |store, instance| {
                instance.func::<(), ()>(&*store, "_start")?.call(store, ())
            })
        });
        running.end(Some(result));
        running.leave(0);
        let outcome = running.wait_for_all();
        // The last thread may still be about to let go of it.
        let mut group = group;
        let group = loop {
            match Arc::try_unwrap(group) {
                Ok(group) => break group,
                Err(shared) => group = shared,
            }
            std::thread::yield_now();
        };
        let ctx = group.ctx.into_inner();
        (outcome, ctx.unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the memories that the module wants to share.
    fn into_group(mut self) -> Result<Arc<Group>, (Error, Box<WasiCtx>)> {
        if let Err(error) = self.define_memories() {
            return Err((error, Box::new(self.ctx)));
        }
        Ok(Arc::new(Group {
            module: self.module,
            linker: self.linker,
            ctx: Mutex::new(self.ctx),
            max_threads: self.max_threads,
            options: self.options,
            deadline: self.deadline,
            running: self.running,
        }))
    }

    fn define_memories(&mut self) -> Result<(), Error> {
        for import in self.module.imports()? {
            if let ExternType::Memory(ty) = import.ty
                && ty.shared
                && !self.linker.contains(import.module, import.name)
            {
                let most = self.options.limits.memory_bytes;
                let memory = SharedMemory::with_limit(ty, most)?;
                (self.linker).define_shared(import.module, import.name, &memory);
            }
        }
        Ok(())
    }
}

impl Group {
    /// `thread-spawn`: the new thread's number, or a negative error.
    fn spawn(self: &Arc<Group>, argument: i32) -> i32 {
        let Some(number) = self.running.enter(self.max_threads) else {
            return REFUSED;
        };
        let group = Arc::clone(self);
        let thread = std::thread::Builder::new().stack_size(HOST_STACK);
        let started = thread.spawn(move || {
            let running = Arc::clone(&group.running);
            let result = running.catch(|| {
                group.run_thread(number, |store, instance| {
                    let start = instance.func::<(i32, i32), ()>(&*store, "wasi_thread_start")?;
                    start.call(store, (number, argument))
                })
            });
            drop(group);
            if result.is_err() {
                running.end(Some(result));
            }
            running.leave(number);
        });
        match started {
            Ok(_) => number,
            Err(_) => {
                self.running.leave(number);
                REFUSED
            }
        }
    }

    /// A store and an instance for a thread, in which `body` runs.
    fn run_thread(
        self: &Arc<Group>,
        number: i32,
        body: impl FnOnce(&mut Store<Thread>, precast::Instance) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let group = Arc::clone(self);
        let thread = Thread { group, number };
        let mut store = Store::with_options(thread, self.options);
        store.set_deadline(self.deadline);
        self.running.add(number, store.interrupt_handle());
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        body(&mut store, instance)
    }
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for one more thread, if there may be one.
    fn enter(&self, max_threads: usize) -> Option<i32> {
        let mut state = self.lock();
        if state.over || state.count >= max_threads || state.last == LAST_NUMBER {
            return None;
        }
        state.count += 1;
        state.last += 1;
        Some(state.last)
    }

    /// The thread has a store now, which ends at once if all is over.
    fn add(&self, number: i32, handle: InterruptHandle) {
        let mut state = self.lock();
        if state.over {
            drop(state);
            return handle.kill();
        }
        state.handles.insert(number, handle);
    }

    /// The thread has ended.
    fn leave(&self, number: i32) {
        let mut state = self.lock();
        state.handles.remove(&number);
        state.count -= 1;
        self.left.notify_all();
    }

    /// Runs the body of a thread. A host function's panic ends the program, and goes on in who runs it.
    fn catch(&self, body: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        // What the body has changed belongs to its store, which is gone.
        catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
            self.lock().panic.get_or_insert(panic);
            Err(Error::host(Errno::Canceled))
        })
    }

    /// Ends all threads; `outcome` counts if it is the first.
    fn end(&self, outcome: Option<Result<(), Error>>) {
        let mut state = self.lock();
        if !state.over || (state.outcome.is_none() && outcome.is_some()) {
            state.outcome = outcome;
        }
        state.over = true;
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        // Without the lock: each waits until its thread has taken notice.
        for handle in handles.values() {
            handle.kill();
        }
    }

    /// Waits until no thread is left, and says how it ended.
    fn wait_for_all(&self) -> Result<(), Error> {
        let mut state = self.lock();
        while state.count > 0 {
            let waited = self.left.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(panic) = state.panic.take() {
            drop(state);
            resume_unwind(panic);
        }
        state.outcome.take().unwrap_or(Ok(()))
    }
}

/// The way to the context of a program: by a lock, that nobody holds who waits.
#[derive(Clone, Copy)]
struct Locked;

impl Locked {
    fn lock(data: &Thread) -> MutexGuard<'_, WasiCtx> {
        (data.group.ctx.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Find<Thread> for Locked {
    fn with<R>(self, data: &mut Thread, call: impl FnOnce(&mut WasiCtx) -> R) -> R {
        call(&mut Locked::lock(data))
    }

    fn aside<R>(self, data: &mut Thread, call: impl FnOnce(&mut WasiCtx) -> R) -> R {
        let mut aside = Locked::lock(data).aside();
        call(&mut aside)
    }

    fn await_caller(self, data: &mut Thread, fd: u32, stop: Stop<'_>) -> WasiResult<Waits> {
        let listener = match Locked::lock(data).table.get(fd) {
            Ok(descriptor) if !descriptor.flags.has(FdFlags::NONBLOCK) => descriptor.clone(),
            // What is wrong, the call itself says; and this one does not wait.
            _ => return Ok(Waits::There),
        };
        let Object::Socket(socket) = &listener.object else {
            return Ok(Waits::There);
        };
        stop.wait_for(std::os::fd::AsFd::as_fd(socket), PollFlags::IN)?;
        Ok(Waits::Elsewhere)
    }
}
