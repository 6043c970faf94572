//! Pools, templates and sandboxes.

use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of};

use loader::pool::{Density, Pool, PoolStats, Sandbox, Template, Tenant};

use crate::error::{self, Failure, Result, answer, given, misuse};
use crate::linker::CLinker;
use crate::module::CModule;
use crate::options::COptions;
use crate::store::{CStore, Data, Finalizer, Kind, Owned};
use crate::value::CInstance;

/// `precast_pool`
pub(crate) struct CPool(Pool<Data>);

/// `precast_template`
pub(crate) struct CTemplate(pub(crate) Template<Data>);

/// `precast_sandbox`
#[repr(C)]
pub(crate) struct CSandbox {
    store: CStore,
}

impl CSandbox {
    /// Takes the sandbox for a function of the API.
    pub(crate) fn with<R>(&self, body: impl FnOnce(&mut Sandbox<Data>) -> Result<R>) -> Result<R> {
        match self.store.enter()?.kind_mut() {
            Kind::Sandbox(sandbox) => body(sandbox),
            Kind::Own(_) | Kind::Caller(_) => Err(misuse("this is no sandbox")),
        }
    }
}

/// `precast_pool_options`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CPoolOptions {
    size: usize,
    slots: u64,
    reservation: u64,
    stack_size: u64,
    instance_data: u64,
    max_memory: u64,
    max_table_elements: u64,
    fuel: u64,
    keep_resident: u64,
    verify: u64,
}

// SAFETY: numbers only, of which zero stands for the default.
unsafe impl COptions for CPoolOptions {}

fn build(options: Option<&usize>) -> Result<Pool<Data>> {
    let given = CPoolOptions::read(options)?;
    let size = |given: u64| usize::try_from(given).unwrap_or(usize::MAX);
    let mut builder = Pool::builder().verify(given.verify != 0);
    if given.slots != 0 {
        builder = builder.slots(u32::try_from(given.slots).unwrap_or(u32::MAX));
    }
    if given.reservation != 0 {
        let reservation = given.reservation;
        builder = builder.density(Density::Compact { reservation });
    }
    if given.stack_size != 0 {
        builder = builder.stack_size(size(given.stack_size));
    }
    if given.instance_data != 0 {
        builder = builder.instance_data(size(given.instance_data));
    }
    if given.max_memory != 0 {
        builder = builder.max_memory(given.max_memory);
    }
    if given.max_table_elements != 0 {
        builder = builder.max_table_elements(given.max_table_elements);
    }
    if given.fuel != 0 {
        builder = builder.fuel(given.fuel);
    }
    if given.keep_resident != 0 {
        builder = builder.keep_resident(size(given.keep_resident));
    }
    Ok(builder.build()?)
}

/// `precast_pool_new`
#[unsafe(no_mangle)]
extern "C" fn precast_pool_new(
    options: Option<&usize>,
    out: Option<&mut MaybeUninit<*mut CPool>>,
) -> Failure {
    error::make(out, || Ok(CPool(build(options)?)))
}

/// `precast_pool_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_pool_delete(pool: Option<Box<CPool>>) {
    answer((), || {
        drop(pool);
        Some(())
    });
}

/// `precast_pool_stats`
#[repr(C)]
#[derive(Clone, Copy)]
struct CPoolStats {
    live: u64,
    free: u64,
    warm: u64,
    lost: u64,
    resets: u64,
    made: u64,
    unclean: u64,
}

/// `precast_pool_get_stats`
#[unsafe(no_mangle)]
extern "C" fn precast_pool_get_stats(
    pool: Option<&CPool>,
    out: Option<&mut MaybeUninit<CPoolStats>>,
) -> Failure {
    error::run(|| {
        let stats: PoolStats = given(pool, "the pool")?.0.stats();
        given(out, "the place for the result")?.write(CPoolStats {
            live: stats.live as u64,
            free: stats.free as u64,
            warm: stats.warm as u64,
            lost: stats.lost as u64,
            resets: stats.resets_by_window + stats.resets_by_scan + stats.resets_by_discard,
            made: stats.made,
            unclean: stats.unclean,
        });
        Ok(())
    })
}

/// `precast_template_new`
#[unsafe(no_mangle)]
extern "C" fn precast_template_new(
    linker: Option<&CLinker>,
    module: Option<&CModule>,
    out: Option<&mut MaybeUninit<*mut CTemplate>>,
) -> Failure {
    error::make(out, || {
        let linker = given(linker, "the linker")?.share();
        let module = &given(module, "the module")?.module;
        let template = linker.read()?.template(module)?;
        Ok(CTemplate(template))
    })
}

/// `precast_template_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_template_delete(template: Option<Box<CTemplate>>) {
    answer((), || {
        drop(template);
        Some(())
    });
}

/// `precast_sandbox_new`
#[unsafe(no_mangle)]
extern "C" fn precast_sandbox_new(
    pool: Option<&CPool>,
    template: Option<&CTemplate>,
    tenant: u64,
    data: *mut c_void,
    finalizer: Option<Finalizer>,
    out: Option<&mut MaybeUninit<*mut CSandbox>>,
) -> Failure {
    let data = Data::new(Owned::new(data, finalizer));
    error::make(out, || {
        // Owners of their own: the start function may call back and delete these.
        let pool = given(pool, "the pool")?.0.clone();
        let template = given(template, "the template")?.0.clone();
        let sandbox = pool.instantiate(&template, Tenant(tenant), data)?;
        Ok(CSandbox {
            store: CStore::new(Kind::Sandbox(sandbox)),
        })
    })
}

/// `precast_sandbox_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_sandbox_delete(sandbox: *mut CSandbox) {
    answer((), || {
        // SAFETY: null, or a sandbox, as the header asks.
        let found = unsafe { sandbox.as_ref() }?;
        if found.store.is_idle() {
            // SAFETY: `precast_sandbox_new` made it of a box, and no one uses it.
            drop(unsafe { Box::from_raw(sandbox) });
        }
        Some(())
    });
}

/// `precast_sandbox_reset`
#[unsafe(no_mangle)]
extern "C" fn precast_sandbox_reset(sandbox: Option<&CSandbox>) -> Failure {
    error::run(|| given(sandbox, "the sandbox")?.with(|sandbox| Ok(sandbox.reset()?)))
}

/// `precast_sandbox_instance`
#[unsafe(no_mangle)]
extern "C" fn precast_sandbox_instance(sandbox: Option<&CSandbox>) -> CInstance {
    answer(CInstance::default(), || {
        let instance = sandbox?.with(|sandbox| Ok(sandbox.instance().into()));
        instance.ok()
    })
}

/// `precast_sandbox_store`
#[unsafe(no_mangle)]
extern "C" fn precast_sandbox_store(sandbox: *mut CSandbox) -> *mut CStore {
    const { assert!(offset_of!(CSandbox, store) == 0) };
    sandbox.cast()
}
