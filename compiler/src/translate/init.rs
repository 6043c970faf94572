//! The function that finishes instantiation.

use super::env::Env;
use crate::error::CompileError;
use cranelift_codegen::ir;
use cranelift_frontend::FunctionBuilderContext;

/// Whether a module needs the function at all.
pub(crate) fn needs_init(env: &Env<'_>) -> bool {
    let _ = env;
    true
}

/// Makes the function that finishes instantiation: `fn(base)`, C calling convention.
pub(crate) fn translate_init(
    env: &Env<'_>,
    fctx: &mut FunctionBuilderContext,
    out: &mut ir::Function,
) -> Result<(), CompileError> {
    let _ = (env, fctx, out);
    Ok(())
}
