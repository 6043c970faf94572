//! WebAssembly modules to native shared objects, ahead of time.
//!
//! [`compile`] takes the bytes of a module and gives the bytes of an object: the same ones on
//! every host, in every run, with any number of threads.
#![forbid(unsafe_code)]

mod c_header;
mod code;
mod compile;
mod cpu;
mod encode;
mod error;
mod exception_sites;
mod helpers;
mod isa;
mod known;
mod layout;
mod levels;
mod link;
mod listing;
mod metadata;
mod module;
mod object;
mod options;
mod passes;
mod placement;
mod policy;
mod profile;
mod reloc;
mod segments;
mod strings;
mod stubs;
mod symbols;
mod translate;
mod trap;
mod unwind;

pub use compile::Progress;
pub use cpu::{Cpu, Level};
pub use error::CompileError;
pub use known::{FunctionCache, FunctionKey};
pub use options::{Collector, Emit, OptLevel, Options, Target};
pub use passes::{Pass, Passes};
pub use policy::Features;
pub use precast_abi::profile::{Profile, ProfileError};

use crate::compile::compile_module;
use crate::known::Known;
use crate::layout::Layout;
use crate::levels::Role;
use crate::link::Text;
use crate::metadata::Source;
use crate::module::ModuleInfo;
use crate::object::Parts;
use crate::profile::{Counters, ModuleProfile};
use crate::strings::Strings;
use crate::translate::Env;
use rayon::ThreadPool;
use sha2::{Digest, Sha256};

/// What a compilation made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Compiled {
    /// The object, or the text that was asked for.
    pub bytes: Vec<u8>,
    /// Figures about it.
    pub summary: Summary,
}

/// Figures about a compilation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many functions the module defines.
    pub functions: u32,
    /// Bytes of machine code; 0 where text was asked for.
    pub text_bytes: u64,
    /// Bytes of initial memory contents.
    pub image_bytes: u64,
    /// Bytes of the description of the module that the loader reads.
    pub metadata_bytes: u64,
    /// Bytes of read-only tables of code, which stand in the metadata section too.
    pub code_table_bytes: u64,
    /// Bytes of unwind tables.
    pub unwind_bytes: u64,
}

/// Compiles a module (binary format).
///
/// # Errors
///
/// See [`CompileError`].
pub fn compile(wasm: &[u8], options: &Options) -> Result<Compiled, CompileError> {
    compile_with_progress(wasm, options, &|_| {})
}

/// [`compile`], telling how far it has got, from any thread.
///
/// # Errors
///
/// See [`CompileError`].
pub fn compile_with_progress(
    wasm: &[u8],
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Compiled, CompileError> {
    compile_with_cache(wasm, options, None, progress)
}

/// [`compile_with_progress`], taking from a cache the functions that it knows. The result is the same.
///
/// # Errors
///
/// See [`CompileError`].
pub fn compile_with_cache(
    wasm: &[u8],
    options: &Options,
    cache: Option<&dyn FunctionCache>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Compiled, CompileError> {
    if options.levels.is_empty() {
        return compile_level(wasm, options, &Role::Alone, cache, progress);
    }
    let count = options.levels.len() as u64;
    levels::compile(options, |options, role, before| {
        let progress = |Progress { done, total }| {
            progress(Progress {
                done: before * total + done,
                total: count * total,
            });
        };
        compile_level(wasm, options, role, cache, &progress)
    })
}

/// Compiles for one CPU.
fn compile_level(
    wasm: &[u8],
    options: &Options,
    role: &Role,
    cache: Option<&dyn FunctionCache>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Compiled, CompileError> {
    let pool = thread_pool(options.jobs)?;
    let isa = isa::build(options)?;
    let plain = isa::build(&Options {
        opt: OptLevel::None,
        ..options.clone()
    })?;
    let lowering = isa::build_lowering(options)?;
    let mut module = pool.install(|| ModuleInfo::read_for(options, wasm))?;
    module.add_heap(options.gc_heap);
    if let Some(bytes) = options.memory_reservation {
        module.limit_memory(bytes)?;
    }
    let module = module;
    let (counters, profile) = pool.install(|| counted(&module, wasm, options))?;
    let layout = Layout::new(
        &module,
        counters.as_ref().map_or(0, |counters| counters.total),
    )?;
    let env = Env {
        module: &module,
        layout: &layout,
        isa: &*isa,
        plain: &*plain,
        lowering: &*lowering,
        fuel: options.fuel,
        collects: options.collector == options::Collector::Copying,
        passes: options.passes.at(options.opt).on(options.target.arch()),
        counters: counters.as_ref(),
        profile: profile.as_ref(),
        level: options.opt,
    };
    let stubs = stubs::unnamed(&module);
    let mut summary = Summary {
        functions: compile::own_functions(&module).count() as u32,
        ..Summary::default()
    };
    let bytes = match options.emit {
        Emit::Header => c_header::write(&module, options)?,
        Emit::Clif => listing::clif(&env, &pool, stubs)?,
        Emit::Asm => listing::asm(&env, &pool, stubs)?,
        Emit::SharedObject | Emit::Object => {
            let known = cache.map(|cache| Known::new(cache, &env));
            let pieces = compile_module(&env, &pool, known.as_ref(), stubs, progress)?;
            let arch = options.target.arch();
            let text = Text::new(arch, pieces, metadata::code_table_places(&module))?;
            let image = segments::static_image(&module, options.target.page_size());
            let source = Source {
                wasm,
                module: &module,
                layout: &layout,
                text: &text,
                image: &image,
                options,
                role,
            };
            let parts = assemble(&source, &mut summary)?;
            object::write(parts, options)?
        }
    };
    Ok(Compiled { bytes, summary })
}

/// The counters that the code gets, and the counts that it is made from.
fn counted<'a>(
    module: &ModuleInfo<'_>,
    wasm: &[u8],
    options: &'a Options,
) -> Result<(Option<Counters>, Option<ModuleProfile<'a>>), CompileError> {
    let counters = match options.instrument {
        true => Some(Counters::of(module).ok_or_else(|| CompileError::TooLarge {
            what: "the module has more than 4 billion counting points".to_owned(),
        })?),
        false => None,
    };
    let Some(profile) = &options.profile else {
        return Ok((counters, None));
    };
    let same = Sha256::digest(wasm).as_slice() == profile.module();
    let profile = same
        .then(|| ModuleProfile::new(module, profile.counts()))
        .flatten()
        .ok_or_else(|| CompileError::Options {
            message: "the profile is of another module".to_owned(),
        })?;
    Ok((counters, Some(profile)))
}

/// Everything that goes into an object file.
fn assemble<'a>(source: &Source<'a>, summary: &mut Summary) -> Result<Parts<'a>, CompileError> {
    let mut strings = Strings::new();
    let exported = symbols::exported(source.module, source.text, &mut strings)?;
    let metadata = metadata::build(source, &mut strings)?;
    let unwind = source.text.unwind();
    summary.text_bytes = u64::from(source.text.size());
    summary.image_bytes = source.image.bytes.len() as u64;
    summary.code_table_bytes = metadata.code_table_size();
    summary.metadata_bytes = metadata.bytes().len() as u64 - summary.code_table_bytes;
    summary.unwind_bytes = unwind.frame_size() + unwind.header_size();
    Ok(Parts {
        metadata,
        text: source.text,
        unwind,
        image: match source.role {
            Role::Further => &[],
            Role::Alone | Role::First(_) => &source.image.bytes,
        },
        exported,
        names: symbols::all(source.module, source.text)?,
    })
}

/// More threads than this are of no use to anyone, and take long to start.
const MAX_JOBS: usize = 256;

/// The threads of one compilation.
fn thread_pool(jobs: usize) -> Result<ThreadPool, CompileError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs.min(MAX_JOBS))
        .thread_name(|number| format!("precast-{number}"))
        // Deeply nested modules recurse in places.
        .stack_size(16 << 20)
        .build()
        .map_err(|error| CompileError::Options {
            message: format!("cannot start {jobs} threads: {error}"),
        })
}
