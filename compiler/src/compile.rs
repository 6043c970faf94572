//! From wasm functions to machine code, in parallel.
//!
//! Workers take the largest function that is left; finished code goes to the place of its
//! function, so that the result is the same however many workers there are. A worker keeps one
//! function at a time in the compiler's own form: memory use is that of the machine code.

use crate::code::Code;
use crate::error::CompileError;
use crate::helpers::Helper;
use crate::known::Known;
use crate::module::{FuncIndex, ModuleInfo};
use crate::passes::{self, Inliner, Positions};
use crate::stubs::Stub;
use crate::translate::{self, Env, Namespace};
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{UserExternalName, UserFuncName};
use cranelift_codegen::{CodegenError, Context};
use cranelift_frontend::FunctionBuilderContext;
use rayon::ThreadPool;
use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Something that becomes one piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// A function of the module.
    Function(FuncIndex),
    /// The function that finishes instantiation.
    Init,
    /// A stub.
    Stub(Stub),
    /// What the CPU lacks.
    Helper(Helper),
}

impl Unit {
    /// Its symbol in generated code.
    pub(crate) fn symbol(self) -> UserExternalName {
        match self {
            Unit::Function(index) => Namespace::Function.name(index.as_u32()),
            Unit::Init => Namespace::Init.name(0),
            Unit::Stub(stub) => stub.symbol(),
            Unit::Helper(helper) => Namespace::Helper.name(helper as u32),
        }
    }

    /// The unit with this symbol; `None` for code tables.
    pub(crate) fn from_symbol(name: &UserExternalName) -> Option<Unit> {
        let number = |namespace: Namespace| name.namespace == namespace as u32;
        if number(Namespace::Function) {
            Some(Unit::Function(FuncIndex::new(name.index as usize)))
        } else if number(Namespace::Init) {
            Some(Unit::Init)
        } else if number(Namespace::Helper) {
            Helper::ALL
                .get(name.index as usize)
                .map(|helper| Unit::Helper(*helper))
        } else {
            Stub::from_symbol(name).map(Unit::Stub)
        }
    }
}

/// How far a compilation has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of function bodies that are compiled.
    pub done: u64,
    /// Bytes of all function bodies.
    pub total: u64,
}

/// What a worker keeps from one function to the next, for the sake of its allocations.
pub(crate) struct Worker {
    builder: FunctionBuilderContext,
    context: Context,
    /// Where the code of the current function comes from.
    positions: Positions,
}

/// CLIF instructions of a function whose allocations are not worth keeping.
const MANY_INSTRUCTIONS: usize = 50_000;

impl Worker {
    pub(crate) fn new() -> Worker {
        Worker {
            builder: FunctionBuilderContext::new(),
            context: Context::new(),
            positions: Positions::default(),
        }
    }

    /// Translates a unit, and inlines in it.
    pub(crate) fn translate(
        &mut self,
        env: &Env<'_>,
        inliner: Option<&Inliner<'_>>,
        unit: Unit,
    ) -> Result<(&mut Context, &Positions), CompileError> {
        if self.context.func.dfg.num_insts() > MANY_INSTRUCTIONS {
            *self = Worker::new();
        }
        self.context.clear();
        self.positions = Positions::default();
        if let (Unit::Function(index), Some(inliner)) = (unit, inliner) {
            self.positions = inliner.translate(index, &mut self.builder, &mut self.context)?;
            passes::run(env, &mut self.context.func);
            return Ok((&mut self.context, &self.positions));
        }
        let out = &mut self.context.func;
        match unit {
            Unit::Function(index) => {
                translate::translate_function(env, index, &mut self.builder, out)?;
                passes::run(env, out);
            }
            Unit::Init => translate::translate_init(env, &mut self.builder, out)?,
            Unit::Stub(stub) => {
                stub.build(env.module, env.layout, env.isa, &mut self.builder, out);
            }
            Unit::Helper(helper) => {
                *out = helper.build(env.isa, UserFuncName::User(unit.symbol()));
            }
        }
        Ok((&mut self.context, &self.positions))
    }

    /// Translates and compiles a unit.
    fn compile(
        &mut self,
        env: &Env<'_>,
        inliner: Option<&Inliner<'_>>,
        known: Option<&Known<'_>>,
        unit: Unit,
    ) -> Result<Code, CompileError> {
        let (context, positions) = self.translate(env, inliner, unit)?;
        let generate =
            |context: &mut Context, positions: &Positions| generate(env, unit, context, positions);
        match (unit, known) {
            (Unit::Function(_), Some(known)) => known.compile(context, positions, generate),
            _ => generate(context, positions),
        }
    }
}

/// Makes the machine code of a translated unit.
fn generate(
    env: &Env<'_>,
    unit: Unit,
    context: &mut Context,
    positions: &Positions,
) -> Result<Code, CompileError> {
    let isa =
        passes::optimize(env, context).map_err(|error| codegen_error(env.module, unit, &error))?;
    context
        .compile(isa, &mut ControlPlane::default())
        .map_err(|error| codegen_error(env.module, unit, &error.inner))?;
    let compiled = context.take_compiled_code();
    let compiled = compiled.as_ref().ok_or_else(|| CompileError::Internal {
        message: "the code generator made nothing".to_owned(),
    })?;
    Code::new(isa, &context.func, compiled, positions)
}

/// The error for a unit that cannot be compiled.
pub(crate) fn codegen_error(
    module: &ModuleInfo<'_>,
    unit: Unit,
    error: &CodegenError,
) -> CompileError {
    match (unit, error) {
        (Unit::Function(index), CodegenError::CodeTooLarge | CodegenError::ImplLimitExceeded) => {
            CompileError::Function {
                index: index.as_u32(),
                name: module.function_name(index).map(str::to_owned),
                message: "it is larger than the code generator can handle".to_owned(),
            }
        }
        (Unit::Init, CodegenError::CodeTooLarge | CodegenError::ImplLimitExceeded) => {
            CompileError::init_too_large()
        }
        (_, CodegenError::Verifier(errors)) => {
            let first = errors.0.first().map(ToString::to_string);
            let first = first.unwrap_or_default();
            CompileError::Internal {
                message: format!("{unit:?}: {}", first.lines().next().unwrap_or_default()),
            }
        }
        _ => CompileError::Internal {
            message: format!("{unit:?}: {error}"),
        },
    }
}

/// The error for a unit that the code generator panicked at: a bug, but not one that the
/// embedder should die of.
fn panicked(module: &ModuleInfo<'_>, unit: Unit, panic: &(dyn Any + Send)) -> CompileError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let name = match unit {
        Unit::Function(index) => match module.function_name(index) {
            Some(name) => format!("function {} ({name})", index.as_u32()),
            None => format!("function {}", index.as_u32()),
        },
        other => format!("{other:?}"),
    };
    let text = text.unwrap_or("no message").lines().next().unwrap_or("");
    CompileError::Internal {
        message: format!("{name}: {text}"),
    }
}

/// Compiles everything that a module's object consists of, in the order of its text: the
/// functions by their indices, then the rest. What is `known` is not compiled again.
pub(crate) fn compile_module(
    env: &Env<'_>,
    pool: &ThreadPool,
    known: Option<&Known<'_>>,
    unnamed_stubs: BTreeSet<Stub>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<(UserExternalName, Code)>, CompileError> {
    let inliner = Inliner::new(env);
    let may_vanish = |index| {
        let inliner = inliner.as_ref();
        inliner.is_some_and(|inliner| inliner.may_vanish(index))
    };
    let functions = own_functions(env.module).filter(|index| !may_vanish(*index));
    let functions: Vec<Unit> = functions.map(Unit::Function).collect();
    let make = |units, progress| compile_units(env, inliner.as_ref(), known, pool, units, progress);
    let mut pieces = make(functions, progress)?;
    let mut wanted: BTreeSet<Unit> = unnamed_stubs.into_iter().map(Unit::Stub).collect();
    if translate::needs_init(env) {
        wanted.insert(Unit::Init);
    }
    let mut made: BTreeSet<Unit> = BTreeSet::new();
    let mut seen = 0;
    // What stubs refer to may in turn be stubs, and so with functions that are not inlined
    // everywhere.
    loop {
        let named = pieces[seen..].iter().flat_map(|(_, code)| code.symbols());
        wanted.extend(named.filter_map(|name| Unit::from_symbol(&name)));
        let is_new = |unit: &&Unit| match unit {
            Unit::Function(index) => may_vanish(*index) && !made.contains(unit),
            _ => !made.contains(unit),
        };
        let new: Vec<Unit> = wanted.iter().filter(is_new).copied().collect();
        if new.is_empty() {
            pieces.sort_by_key(|(name, _)| match Unit::from_symbol(name) {
                Some(Unit::Function(index)) => index.as_u32(),
                _ => u32::MAX,
            });
            return Ok(pieces);
        }
        seen = pieces.len();
        made.extend(&new);
        pieces.extend(make(new, &|_| {})?);
    }
}

/// The functions that have bodies.
pub(crate) fn own_functions(module: &ModuleInfo<'_>) -> impl Iterator<Item = FuncIndex> {
    let first = module.imported.functions as usize;
    (first..module.functions.len()).map(FuncIndex::new)
}

/// Compiles units, in parallel.
fn compile_units(
    env: &Env<'_>,
    inliner: Option<&Inliner<'_>>,
    known: Option<&Known<'_>>,
    pool: &ThreadPool,
    units: Vec<Unit>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<(UserExternalName, Code)>, CompileError> {
    let compile = |worker: &mut Worker, unit| worker.compile(env, inliner, known, unit);
    let codes = for_each_unit(env.module, pool, &units, progress, compile)?;
    let symbols = units.into_iter().map(Unit::symbol);
    Ok(symbols.zip(codes).collect())
}

/// Makes something of each unit, in parallel, the largest first. The results stand in the order
/// of the units.
pub(crate) fn for_each_unit<T: Send + Sync>(
    module: &ModuleInfo<'_>,
    pool: &ThreadPool,
    units: &[Unit],
    progress: &(dyn Fn(Progress) + Sync),
    make: impl Fn(&mut Worker, Unit) -> Result<T, CompileError> + Sync,
) -> Result<Vec<T>, CompileError> {
    let size = |unit: Unit| match unit {
        Unit::Function(index) => {
            let range = module.functions[index].body_range();
            range.end - range.start
        }
        _ => 0,
    };
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(size(units[place])));
    let total = units.iter().map(|unit| size(*unit)).sum();
    let done = AtomicU64::new(0);
    let next = AtomicUsize::new(0);
    let places: Vec<OnceLock<Result<T, CompileError>>> =
        units.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        let mut worker = Worker::new();
        while let Some(&place) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let unit = units[place];
            let result = catch_unwind(AssertUnwindSafe(|| make(&mut worker, unit)));
            let result = result.unwrap_or_else(|panic| {
                // What the panic left behind is of no use to the next function.
                worker = Worker::new();
                Err(panicked(module, unit, &*panic))
            });
            // Each place is taken once, so that it is still empty.
            let _ = places[place].set(result);
            let done = done.fetch_add(size(unit), Ordering::Relaxed) + size(unit);
            progress(Progress { done, total });
        }
    };
    if units.len() < 2 {
        work();
    } else {
        pool.broadcast(|_| work());
    }
    // The first error in the module's order, whichever was met first.
    let left_out = || CompileError::Internal {
        message: "a function was left out".to_owned(),
    };
    let results = places.into_iter().map(OnceLock::into_inner);
    results
        .map(|result| result.unwrap_or_else(|| Err(left_out())))
        .collect()
}
