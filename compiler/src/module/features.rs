//! Which proposals are supported, and the names of those that are not.

use crate::error::CompileError;
use crate::options::Options;
use crate::policy::Features;
use wasmparser::{Operator, Validator, WasmFeatures};

/// What validation allows: WebAssembly 2.0 and the proposals that the compiler translates.
pub(crate) const SUPPORTED: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::GC)
    .union(EXCEPTIONS);

/// What validation allows, for the CPU that the code is for.
pub(super) fn supported(options: &Options) -> WasmFeatures {
    let mut features = SUPPORTED;
    if !options.has_vectors() {
        features.remove(VECTORS);
    }
    features
}

/// Exceptions, in both forms.
const EXCEPTIONS: WasmFeatures = WasmFeatures::EXCEPTIONS.union(WasmFeatures::LEGACY_EXCEPTIONS);

/// What needs vector registers.
const VECTORS: WasmFeatures = WasmFeatures::SIMD.union(WasmFeatures::RELAXED_SIMD);

/// The proposals that modules may use and the compiler refuses, by the names their users know.
const REFUSED: [(WasmFeatures, &str); 9] = [
    // Refused for CPUs without vector registers alone.
    (
        VECTORS,
        "SIMD on a RISC-V CPU without vectors (see --cpu +v)",
    ),
    (
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        "shared-everything threads",
    ),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
    (WasmFeatures::MEMORY_CONTROL, "memory control"),
    (WasmFeatures::CUSTOM_DESCRIPTORS, "custom descriptors"),
    (WasmFeatures::COMPACT_IMPORTS, "compact imports"),
    (
        WasmFeatures::ACQUIRE_RELEASE_ATOMICS,
        "acquire-release atomics",
    ),
    (
        WasmFeatures::MULTIBYTE_ARRAY_ACCESS,
        "multibyte array access",
    ),
    (WasmFeatures::COMPONENT_MODEL, "the component model"),
];

/// The name of a proposal that is not supported.
fn name(feature: WasmFeatures) -> Option<&'static str> {
    let mut refused = REFUSED.iter();
    let (_, name) = refused.find(|(refused, _)| feature.intersects(*refused))?;
    Some(name)
}

/// Components have a version of their own in the header, and nothing else in common with
/// modules.
pub(super) fn refuse_component(wasm: &[u8]) -> Result<(), CompileError> {
    match wasm.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Err(CompileError::Unsupported {
            feature: "the component model",
            offset: 4,
        }),
        _ => Ok(()),
    }
}

/// The error for a module that is fine, but for a proposal that the policy leaves out.
pub(super) fn exclude(
    wasm: &[u8],
    supported: WasmFeatures,
    policy: Features,
    error: &wasmparser::Error,
) -> Option<CompileError> {
    if policy == Features::default() || validate(wasm, supported).is_err() {
        return None;
    }
    let says = error.missing_wasm_feature();
    let without = |own| validate(wasm, supported.difference(own)).is_err();
    let feature = policy
        .missing(|own| says.is_some_and(|feature| own.intersects(feature)))
        .or_else(|| policy.missing(without))
        .unwrap_or("a proposal");
    Some(CompileError::Excluded {
        feature,
        offset: error.offset(),
    })
}

/// Finds out who is to blame for an error of validation: a module that is valid with every
/// proposal there is is not invalid, but uses one that is not supported.
pub(super) fn blame(wasm: &[u8], error: wasmparser::Error) -> CompileError {
    let missing = error.missing_wasm_feature();
    match validate(wasm, WasmFeatures::all()) {
        Ok(()) => CompileError::Unsupported {
            feature: missing
                .and_then(name)
                .or_else(|| sufficient(wasm))
                .unwrap_or("a proposal that is not supported"),
            offset: error.offset(),
        },
        Err(real) => {
            // Where only a proposal was missing, the fault is elsewhere.
            let error = if missing.is_some() { real } else { error };
            CompileError::invalid(&error)
        }
    }
}

/// The name of the one proposal that makes the module valid; where it needs several, of the first
/// that it cannot do without.
fn sufficient(wasm: &[u8]) -> Option<&'static str> {
    let with = |feature: WasmFeatures| validate(wasm, SUPPORTED.union(feature)).is_ok();
    let without = |feature| validate(wasm, WasmFeatures::all().difference(feature)).is_ok();
    let one = REFUSED.iter().find(|(feature, _)| with(*feature));
    let several = || REFUSED.iter().find(|(feature, _)| !without(*feature));
    let (_, name) = one.or_else(several)?;
    Some(name)
}

fn validate(wasm: &[u8], features: WasmFeatures) -> wasmparser::Result<()> {
    let mut validator = Validator::new_with_features(features);
    validator.validate_all(wasm).map(drop)
}

macro_rules! operator_features {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// The name of the proposal that an operator belongs to.
        pub(crate) fn of_operator(op: &Operator<'_>) -> &'static str {
            match op {
                $(Operator::$op { .. } => operator_features!(@name $proposal),)*
                _ => "an operator that is not supported",
            }
        }
    };
    (@name threads) => { "threads" };
    (@name shared_everything_threads) => { "shared-everything threads" };
    (@name stack_switching) => { "stack switching" };
    (@name memory_control) => { "memory control" };
    (@name custom_descriptors) => { "custom descriptors" };
    (@name $other:ident) => { stringify!($other) };
}
wasmparser::for_each_operator!(operator_features);

macro_rules! operators_of_objects {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// Whether an operator belongs to garbage collection.
        pub(super) fn is_of_objects(op: &Operator<'_>) -> bool {
            match op {
                $(Operator::$op { .. } => operators_of_objects!(@is $proposal),)*
                _ => false,
            }
        }
    };
    (@is gc) => { true };
    (@is $other:ident) => { false };
}
wasmparser::for_each_operator!(operators_of_objects);
