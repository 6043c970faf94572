//! Compilations that end as text: `--emit clif` and `--emit asm`.

use crate::compile::{self, Unit, Worker};
use crate::error::CompileError;
use crate::passes::{self, Inliner};
use crate::stubs::Stub;
use crate::symbols;
use crate::translate::{self, Env};
use cranelift_codegen::control::ControlPlane;
use rayon::ThreadPool;
use std::collections::BTreeSet;

/// Cranelift's intermediate representation of everything, before its own optimisations.
pub(crate) fn clif(
    env: &Env<'_>,
    pool: &ThreadPool,
    stubs: BTreeSet<Stub>,
) -> Result<Vec<u8>, CompileError> {
    list(env, pool, stubs, |worker, inliner, unit| {
        let (context, _) = worker.translate(env, inliner, unit)?;
        Ok(context.func.display().to_string())
    })
}

/// The machine code of everything, as Cranelift prints it.
pub(crate) fn asm(
    env: &Env<'_>,
    pool: &ThreadPool,
    stubs: BTreeSet<Stub>,
) -> Result<Vec<u8>, CompileError> {
    list(env, pool, stubs, |worker, inliner, unit| {
        let (context, _) = worker.translate(env, inliner, unit)?;
        context.set_disasm(true);
        let isa = passes::optimize(env, context)
            .map_err(|error| compile::codegen_error(env.module, unit, &error))?;
        let compiled = context
            .compile(isa, &mut ControlPlane::default())
            .map_err(|error| compile::codegen_error(env.module, unit, &error.inner))?;
        Ok(compiled.vcode.clone().unwrap_or_default())
    })
}

/// Lists the functions, `init`, and the stubs that the loader may need.
fn list(
    env: &Env<'_>,
    pool: &ThreadPool,
    stubs: BTreeSet<Stub>,
    print: impl Fn(&mut Worker, Option<&Inliner<'_>>, Unit) -> Result<String, CompileError> + Sync,
) -> Result<Vec<u8>, CompileError> {
    let mut units: Vec<Unit> = compile::own_functions(env.module)
        .map(Unit::Function)
        .collect();
    if translate::needs_init(env) {
        units.push(Unit::Init);
    }
    units.extend(stubs.into_iter().map(Unit::Stub));
    let inliner = Inliner::new(env);
    let print = |worker: &mut Worker, unit| print(worker, inliner.as_ref(), unit);
    let texts = compile::for_each_unit(env.module, pool, &units, &|_| {}, print)?;
    let mut out = Vec::new();
    for (unit, text) in units.into_iter().zip(texts) {
        let mut title = symbols::generic_name(Some(unit));
        if let Unit::Function(index) = unit
            && let Some(name) = env.module.function_name(index)
        {
            title = format!("{title} {name:?}");
        }
        out.extend_from_slice(format!("; {title}\n{}\n", text.trim_end()).as_bytes());
        out.push(b'\n');
    }
    Ok(out)
}
