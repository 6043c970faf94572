//! Which proposals are supported, and the names of those that are not.

use wasmparser::{Operator, WasmFeatures};

/// What validation allows: WebAssembly 2.0 and the proposals that the compiler translates.
pub(crate) const SUPPORTED: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::WIDE_ARITHMETIC);

/// The proposals that modules may use and the compiler refuses, by the names their users know.
const REFUSED: [(WasmFeatures, &str); 12] = [
    (WasmFeatures::EXCEPTIONS, "exception handling"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "legacy exception handling"),
    (WasmFeatures::GC, "garbage collection"),
    (WasmFeatures::THREADS, "threads"),
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
pub(super) fn name(feature: WasmFeatures) -> &'static str {
    REFUSED
        .iter()
        .find(|(refused, _)| feature.intersects(*refused))
        .map_or("a proposal that is not supported", |(_, name)| name)
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
    (@name exceptions) => { "exception handling" };
    (@name legacy_exceptions) => { "legacy exception handling" };
    (@name gc) => { "garbage collection" };
    (@name threads) => { "threads" };
    (@name shared_everything_threads) => { "shared-everything threads" };
    (@name stack_switching) => { "stack switching" };
    (@name memory_control) => { "memory control" };
    (@name custom_descriptors) => { "custom descriptors" };
    (@name $other:ident) => { stringify!($other) };
}
wasmparser::for_each_operator!(operator_features);
