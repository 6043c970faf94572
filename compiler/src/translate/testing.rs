//! What the tests of translation share: from text to verified CLIF.

use super::{Env, needs_init, translate_function, translate_init};
use crate::error::CompileError;
use crate::layout::Layout;
use crate::module::ModuleInfo;
use crate::passes::Passes;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, verify_function};
use cranelift_frontend::FunctionBuilderContext;

/// x86-64 with all that the operators may want.
pub(super) fn isa() -> OwnedTargetIsa {
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", "speed"),
        ("enable_multi_ret_implicit_sret", "true"),
        ("use_colocated_libcalls", "true"),
        ("preserve_frame_pointers", "true"),
    ] {
        flags.set(name, value).expect("a setting of Cranelift");
    }
    let mut builder = isa::lookup_by_name("x86_64-unknown-linux-gnu").expect("x86-64 is built in");
    for feature in [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_popcnt",
    ] {
        builder.enable(feature).expect("a feature of x86-64");
    }
    builder
        .finish(settings::Flags::new(flags))
        .expect("settings fit")
}

/// Translates a module whole: defined functions in their order, then `init` if it has one.
/// Every function is verified.
pub(super) fn try_translate(wasm: &[u8]) -> Result<Vec<Function>, CompileError> {
    translate_module(&ModuleInfo::read(wasm)?)
}

/// The same from text that is known to be fine, with so much address space for memory 0.
pub(super) fn translate_compact(wat: &str, reservation: u64) -> Vec<Function> {
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
    let mut module = ModuleInfo::read(&wasm).unwrap_or_else(|error| panic!("{error}"));
    let limited = module.limit_memory(reservation);
    limited
        .and_then(|()| translate_module(&module))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn translate_module(module: &ModuleInfo<'_>) -> Result<Vec<Function>, CompileError> {
    let layout = Layout::new(module, 0)?;
    let isa = isa();
    let env = Env {
        module,
        layout: &layout,
        isa: &*isa,
        plain: &*isa,
        lowering: &*isa,
        fuel: false,
        collects: true,
        counters: None,
        profile: None,
        passes: Passes::NONE,
        level: crate::OptLevel::Speed,
    };
    let mut fctx = FunctionBuilderContext::new();
    let mut functions = Vec::new();
    for (index, function) in module.functions.iter() {
        if function.body.is_none() {
            continue;
        }
        let mut out = Function::new();
        translate_function(&env, index, &mut fctx, &mut out)?;
        functions.push(out);
    }
    if needs_init(&env) {
        let mut out = Function::new();
        translate_init(&env, &mut fctx, &mut out)?;
        functions.push(out);
    }
    for function in &functions {
        if let Err(errors) = verify_function(function, &*isa) {
            panic!("{errors}\n{}", function.display());
        }
    }
    Ok(functions)
}

/// The same from text that is known to be fine.
pub(crate) fn translate(wat: &str) -> Vec<Function> {
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
    try_translate(&wasm).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes machine code of functions, which must be possible.
pub(super) fn compile(functions: Vec<Function>) {
    let isa = isa();
    for function in functions {
        let mut context = Context::for_function(function);
        if let Err(error) = context.compile(&*isa, &mut Default::default()) {
            panic!("{}", error.inner);
        }
    }
}
