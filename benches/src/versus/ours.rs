//! Precast: sandboxes from a pool.

use std::time::{Duration, Instant};

use precast::pool::{Density, PoolBuilder};
use precast::{Caller, Linker, Module, Pool, Sandbox, Template, TemplateFunc, Tenant};
use precast::{WasmParams, WasmResults};
use precast_wasi::{Output, WasiCtx, WasiCtxBuilder};

use crate::Result;
use crate::ours::{compact_module, module, module_with};
use precast_compiler::Options;

/// Whose sandboxes they are: always the same one's, as the other runtime does not ask.
const TENANT: Tenant = Tenant(1);

/// A template, its function `f`, and a pool.
pub struct Rig<R> {
    /// The pool.
    pub pool: Pool<()>,
    template: Template<()>,
    function: TemplateFunc<i32, R>,
}

impl<R: WasmResults> Rig<R> {
    /// A rig in a pool with the defaults.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        Self::with(wasm, Pool::builder())
    }

    /// A rig in a pool made to measure.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn with(wasm: &[u8], builder: PoolBuilder) -> Result<Self> {
        Self::of(&module(wasm)?, builder)
    }

    fn of(module: &Module, builder: PoolBuilder) -> Result<Self> {
        let template = Linker::new().template(module)?;
        Ok(Self {
            function: template.func("f")?,
            template,
            pool: builder.build()?,
        })
    }

    /// A rig of compact sandboxes, whose memories have `reservation` bytes of address space.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn compact(wasm: &[u8], builder: PoolBuilder, reservation: u64) -> Result<Self> {
        Self::of(&compact_module(wasm, reservation)?, builder)
    }

    /// A sandbox, a call of `f`, and away with it.
    ///
    /// # Errors
    ///
    /// If the pool or the guest fails.
    #[inline]
    pub fn once(&self, x: i32) -> Result<R> {
        let mut sandbox = self.pool.instantiate(&self.template, TENANT, ())?;
        Ok(self.function.call(&mut sandbox, x)?)
    }

    /// A sandbox that was called once and lives on.
    ///
    /// # Errors
    ///
    /// If the pool or the guest fails.
    pub fn live(&self, x: i32) -> Result<(Sandbox<()>, R)> {
        let mut sandbox = self.pool.instantiate(&self.template, TENANT, ())?;
        let result = self.function.call(&mut sandbox, x)?;
        Ok((sandbox, result))
    }
}

/// A WASI program in a pool.
pub struct WasiRig {
    pool: Pool<WasiCtx>,
    template: Template<WasiCtx>,
    start: TemplateFunc<(), ()>,
}

impl WasiRig {
    /// Compiles and links once.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        let mut linker = Linker::new();
        precast_wasi::add_to_linker(&mut linker, |context: &mut WasiCtx| context);
        let template = linker.template(&module(wasm)?)?;
        Ok(Self {
            start: template.func("_start")?,
            template,
            pool: Pool::builder().build()?,
        })
    }

    /// A world of its own, a sandbox, a run of the program, and what it wrote.
    ///
    /// # Errors
    ///
    /// If anything fails.
    pub fn once(&self) -> Result<Vec<u8>> {
        let mut world = WasiCtxBuilder::new();
        world
            .args(["hello", "world"])
            .env("PLACE", "here")
            .stdout(Output::Capture);
        let mut sandbox = self
            .pool
            .instantiate(&self.template, TENANT, world.build()?)?;
        self.start.call(&mut sandbox, ())?;
        Ok(sandbox.data_mut().take_stdout())
    }
}

/// A module that makes objects, in a pool.
pub struct Objects {
    pool: Pool<()>,
    template: Template<()>,
    function: TemplateFunc<i32, i32>,
}

impl Objects {
    /// Compiles the module, whose function is `run`.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn new(wasm: &[u8], options: &Options, stack_size: usize) -> Result<Self> {
        let template = Linker::new().template(&module_with(wasm, options)?)?;
        Ok(Self {
            function: template.func("run")?,
            template,
            pool: Pool::builder().slots(2).stack_size(stack_size).build()?,
        })
    }

    /// A sandbox, and a call of the function.
    ///
    /// # Errors
    ///
    /// If the pool or the guest fails.
    pub fn run(&self, n: i32) -> Result<i32> {
        let mut sandbox = self.pool.instantiate(&self.template, TENANT, ())?;
        Ok(self.function.call(&mut sandbox, n)?)
    }
}

/// One sandbox to call and be called from.
pub struct Guest {
    sandbox: Sandbox<()>,
    template: Template<()>,
    _pool: Pool<()>,
}

impl Guest {
    /// Compiles and instantiates; the import `host.f` answers its argument plus one.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn new(wasm: &[u8], stack_size: usize) -> Result<Self> {
        let mut linker = Linker::new();
        linker.func("host", "f", |_: Caller<'_, ()>, x: i32| x.wrapping_add(1));
        let template = linker.template(&module(wasm)?)?;
        let pool = Pool::builder().slots(2).stack_size(stack_size).build()?;
        Ok(Self {
            sandbox: pool.instantiate(&template, TENANT, ())?,
            template,
            _pool: pool,
        })
    }

    /// A typed export and the sandbox to call it in.
    ///
    /// # Errors
    ///
    /// If there is no such export.
    pub fn export<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
    ) -> Result<(&mut Sandbox<()>, precast::TypedFunc<P, R>)> {
        let function = self.template.func(name)?.bind(&self.sandbox)?;
        Ok((&mut self.sandbox, function))
    }
}

/// As many as the system allows: with guard pages, or compact.
///
/// # Errors
///
/// If not even a few can be had.
pub fn largest_pool(density: Density, most: u32) -> Result<(u32, PoolBuilder)> {
    let builder = |slots| {
        // What the guest needs, and no more: all of it is address space.
        let builder = Pool::builder().slots(slots).density(density);
        builder.stack_size(64 << 10).instance_data(64 << 10)
    };
    let possible = builder(1).most_slots()?.min(most);
    // The compiler and its threads need a few mappings, too.
    let slots = possible - (possible / 500).min(64);
    Ok((slots, builder(slots)))
}

/// Sets a time at which the guest is stopped, far away; or none.
pub fn set_deadline(sandbox: &mut Sandbox<()>, is_wanted: bool) {
    let hour = Duration::from_secs(3600);
    sandbox.set_deadline(is_wanted.then(|| Instant::now() + hour));
}
