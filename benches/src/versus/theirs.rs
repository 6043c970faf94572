//! Wasmtime at its best: pooling allocator, copy-on-write images, `InstancePre`, exports looked up
//! once per module, and whichever of these settings is fastest for the measure at hand.

use wasmtime::{
    Caller, Config, Enabled, Engine, Instance, InstanceAllocationStrategy, InstancePre, Linker,
    Module, ModuleExport, PoolingAllocationConfig, Store, TypedFunc, WasmParams, WasmResults,
};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use crate::Result;

/// What can be set about the pooling allocator and may pay.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of memory that are cleared by hand rather than given back.
    pub keep_memory: usize,
    /// The same for tables.
    pub keep_table: usize,
    /// Whether only written pages are cleared.
    pub scan: bool,
    /// How many slots wait for the module that they had last.
    pub warm: u32,
    /// Whether memories begin as copy-on-write images.
    pub cow: bool,
    /// How many memories are given back at a time.
    pub batch: usize,
    /// Address space of a memory in bytes.
    pub reservation: u64,
    /// Guard behind a memory in bytes.
    pub guard: u64,
}

impl Settings {
    /// The crate's own.
    pub const DEFAULT: Self = Self {
        keep_memory: 0,
        keep_table: 0,
        scan: false,
        warm: 100,
        cow: true,
        batch: 1,
        reservation: 4 << 30,
        guard: 32 << 20,
    };

    /// Settings to choose from.
    pub fn candidates() -> Vec<Self> {
        let keep = |keep_memory, scan| Self {
            keep_memory,
            keep_table: 64 << 10,
            scan,
            ..Self::DEFAULT
        };
        vec![
            Self::DEFAULT,
            keep(0, false),
            keep(16 << 10, false),
            keep(64 << 10, false),
            keep(2 << 20, false),
            keep(64 << 10, true),
            keep(2 << 20, true),
            keep(16 << 20, true),
            Self {
                warm: 0,
                ..keep(64 << 10, true)
            },
            Self {
                batch: 32,
                ..keep(0, false)
            },
            Self {
                cow: false,
                ..keep(64 << 10, false)
            },
        ]
    }

    /// An engine with room for `slots` instances.
    ///
    /// # Errors
    ///
    /// If the system has no such room.
    pub fn engine(&self, slots: u32, epochs: bool) -> Result<Engine> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(slots)
            .total_memories(slots)
            .total_tables(slots)
            .table_elements(1000)
            .max_unused_warm_slots(self.warm)
            .decommit_batch_size(self.batch)
            .linear_memory_keep_resident(self.keep_memory)
            .table_keep_resident(self.keep_table)
            .max_memory_size(self.reservation.min(4 << 30) as usize);
        if self.scan {
            pool.pagemap_scan(Enabled::Yes);
        }
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .memory_init_cow(self.cow)
            .memory_reservation(self.reservation)
            .memory_guard_size(self.guard)
            .epoch_interruption(epochs);
        Ok(Engine::new(&config)?)
    }
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "keeps {} KiB of memory and {} of tables, {} warm slots, batches of {}{}{}",
            self.keep_memory >> 10,
            self.keep_table >> 10,
            self.warm,
            self.batch,
            if self.scan { ", PAGEMAP_SCAN" } else { "" },
            if self.cow { ", copy-on-write" } else { "" },
        )
    }
}

/// Slots of the pools in which instances die as soon as they were called.
const FEW: u32 = 100;

/// A module with its imports resolved, its function `f`, and an engine with a pool.
pub struct Rig {
    engine: Engine,
    prepared: InstancePre<()>,
    function: ModuleExport,
}

impl Rig {
    /// Compiles and links once, in a small pool.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn new(settings: &Settings, wasm: &[u8]) -> Result<Self> {
        Self::with(settings.engine(FEW, false)?, wasm)
    }

    /// Compiles and links once.
    ///
    /// # Errors
    ///
    /// If the module does not compile.
    pub fn with(engine: Engine, wasm: &[u8]) -> Result<Self> {
        let module = Module::new(&engine, wasm)?;
        Ok(Self {
            prepared: Linker::new(&engine).instantiate_pre(&module)?,
            function: module.get_export_index("f").ok_or("no export f")?,
            engine,
        })
    }

    fn call<R: WasmResults>(&self, store: &mut Store<()>, x: i32) -> Result<R> {
        let instance = self.prepared.instantiate(&mut *store)?;
        let function = instance.get_module_export(&mut *store, &self.function);
        let function = function
            .and_then(|item| item.into_func())
            .ok_or("no function")?;
        Ok(function.typed::<i32, R>(&*store)?.call(store, x)?)
    }

    /// An instance, a call of `f`, and away with it.
    ///
    /// # Errors
    ///
    /// If the pool or the guest fails.
    #[inline]
    pub fn once<R: WasmResults>(&self, x: i32) -> Result<R> {
        self.call(&mut Store::new(&self.engine, ()), x)
    }

    /// The same, with the function looked up by its name.
    ///
    /// # Errors
    ///
    /// If the pool or the guest fails.
    #[inline]
    pub fn once_by_name<R: WasmResults>(&self, x: i32) -> Result<R> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.prepared.instantiate(&mut store)?;
        let function = instance.get_typed_func::<i32, R>(&mut store, "f")?;
        Ok(function.call(&mut store, x)?)
    }

    /// An instance that was called once and lives on.
    ///
    /// # Errors
    ///
    /// If the pool or the guest fails.
    pub fn live<R: WasmResults>(&self, x: i32) -> Result<(Store<()>, R)> {
        let mut store = Store::new(&self.engine, ());
        let result = self.call(&mut store, x)?;
        Ok((store, result))
    }
}

/// A WASI program in a pool.
pub struct WasiRig {
    engine: Engine,
    prepared: InstancePre<WasiP1Ctx>,
    start: ModuleExport,
}

impl WasiRig {
    /// Compiles and links once.
    ///
    /// # Errors
    ///
    /// If the module does not compile or the pool cannot be had.
    pub fn new(settings: &Settings, wasm: &[u8]) -> Result<Self> {
        let engine = settings.engine(FEW, false)?;
        let module = Module::new(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        p1::add_to_linker_sync(&mut linker, |context: &mut WasiP1Ctx| context)?;
        Ok(Self {
            prepared: linker.instantiate_pre(&module)?,
            start: module
                .get_export_index("_start")
                .ok_or("no export _start")?,
            engine,
        })
    }

    /// A world of its own, an instance, a run of the program, and what it wrote.
    ///
    /// # Errors
    ///
    /// If anything fails.
    pub fn once(&self) -> Result<Vec<u8>> {
        let output = MemoryOutputPipe::new(4096);
        let world = wasmtime_wasi::WasiCtxBuilder::new()
            .args(&["hello", "world"])
            .env("PLACE", "here")
            .stdout(output.clone())
            // The fastest that it has: no hand-over to another thread where a call might wait.
            .allow_blocking_current_thread(true)
            .build_p1();
        let mut store = Store::new(&self.engine, world);
        let instance = self.prepared.instantiate(&mut store)?;
        let start = instance.get_module_export(&mut store, &self.start);
        let start = start
            .and_then(|item| item.into_func())
            .ok_or("no function")?;
        start.typed::<(), ()>(&store)?.call(&mut store, ())?;
        drop(store);
        Ok(output.contents().to_vec())
    }
}

/// A module that makes objects, in a store for each call, from the pooling allocator.
pub struct Objects {
    engine: Engine,
    instance: InstancePre<()>,
}

impl Objects {
    /// Compiles the module, whose function is `run`.
    ///
    /// # Errors
    ///
    /// If the module does not compile.
    pub fn new(wasm: &[u8], collector: wasmtime::Collector, stack_size: usize) -> Result<Self> {
        let mut config = Config::new();
        config
            .max_wasm_stack(stack_size)
            .wasm_function_references(true)
            .wasm_gc(true)
            .collector(collector);
        let mut pool = PoolingAllocationConfig::default();
        pool.total_core_instances(10)
            .total_gc_heaps(10)
            .total_memories(10)
            .total_tables(10)
            .total_stacks(10)
            .linear_memory_keep_resident(2 << 20);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, wasm)?;
        let instance = Linker::new(&engine).instantiate_pre(&module)?;
        Ok(Self { engine, instance })
    }

    /// An instance, and a call of the function.
    ///
    /// # Errors
    ///
    /// If the guest fails.
    pub fn run(&self, n: i32) -> Result<i32> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.instance.instantiate(&mut store)?;
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
        Ok(run.call(&mut store, n)?)
    }
}

/// One instance to call and be called from.
pub struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    /// Compiles and instantiates; the import `host.f` answers its argument plus one.
    ///
    /// # Errors
    ///
    /// If the module does not compile.
    pub fn new(wasm: &[u8], stack_size: usize) -> Result<Self> {
        let mut config = Config::new();
        config.max_wasm_stack(stack_size);
        Self::in_engine(&Engine::new(&config)?, wasm)
    }

    /// The same for modules with exceptions.
    ///
    /// # Errors
    ///
    /// If the module does not compile.
    pub fn with_exceptions(wasm: &[u8], stack_size: usize) -> Result<Self> {
        let mut config = Config::new();
        config.max_wasm_stack(stack_size).wasm_exceptions(true);
        Self::in_engine(&Engine::new(&config)?, wasm)
    }

    /// The same in an engine that is there. Its epoch never comes.
    ///
    /// # Errors
    ///
    /// If the module does not compile.
    pub fn in_engine(engine: &Engine, wasm: &[u8]) -> Result<Self> {
        let module = Module::new(engine, wasm)?;
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(1 << 40);
        let mut linker = Linker::new(engine);
        linker.func_wrap("host", "f", |_: Caller<'_, ()>, x: i32| x.wrapping_add(1))?;
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance })
    }

    /// A typed export and the store to call it with.
    ///
    /// # Errors
    ///
    /// If there is no such export.
    pub fn export<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
    ) -> Result<(&mut Store<()>, TypedFunc<P, R>)> {
        let function = self.instance.get_typed_func(&mut self.store, name)?;
        Ok((&mut self.store, function))
    }
}

/// The largest engine that the system allows.
///
/// # Errors
///
/// If not even a small one can be had.
pub fn largest_engine(settings: &Settings, most: u32) -> Result<(u32, Engine)> {
    let (mut possible, mut too_many) = (0, most + 1);
    while too_many - possible > (most / 1000).max(1) {
        let middle = possible.midpoint(too_many);
        match settings.engine(middle, false) {
            Ok(_) => possible = middle,
            Err(_) => too_many = middle,
        }
    }
    Ok((possible, settings.engine(possible.max(1), false)?))
}
