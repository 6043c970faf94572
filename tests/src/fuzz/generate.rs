//! Modules out of random bytes, by `wasm-smith`.

use super::rewrite;
use super::rng::Rng;
use arbitrary::{Arbitrary, Unstructured};
use wasm_smith::{Config, InstructionKind, InstructionKinds, MemoryOffsetChoices, Module};

/// How many loop iterations and calls a module may make before it stops itself. The most is
/// enough for a recursion that exhausts the stack.
const FUEL: [u32; 4] = [300, 1000, 1000, 30_000];

/// A valid module that terminates, or none. Where `imports` is a module, it imports only what that
/// one does.
pub(super) fn module(rng: &mut Rng, imports: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let shape = rng.bytes(256);
    let mut config = Config::arbitrary(&mut Unstructured::new(&shape)).ok()?;
    restrict(&mut config, rng);
    if imports.is_some() {
        config.min_imports = 1;
        config.max_imports = 20;
        // Whatever the first module may have used.
        config.simd_enabled = true;
        config.memory64_enabled = true;
        config.custom_page_sizes_enabled = true;
        config.max_memories = 10;
        config.max_tables = 10;
    }
    config.available_imports = imports;
    if rng.below(2) == 0 {
        return build(config, rng);
    }
    fix_tables(&mut config);
    let wasm = rewrite::fill_tables(&build(config, rng)?).ok()?;
    rewrite::hide_tables(&wasm).ok()
}

/// Makes modules with tables that they fill when instantiated and do not change after.
fn fix_tables(config: &mut Config) {
    let kinds = [
        InstructionKind::Vector,
        InstructionKind::Numeric,
        InstructionKind::Parametric,
        InstructionKind::Variable,
        InstructionKind::Memory,
        InstructionKind::Control,
    ];
    config.allowed_instructions = InstructionKinds::new(&kinds);
    config.disallow_traps = false;
    config.min_types = 3;
    config.max_types = 6;
    config.min_funcs = 4;
    config.min_tables = 1;
    config.max_tables = 3;
}

/// A module with relaxed SIMD, whose results depend on the CPU that it is compiled for.
pub(super) fn relaxed(rng: &mut Rng) -> Option<Vec<u8>> {
    let mut config = Config::default();
    restrict(&mut config, rng);
    config.simd_enabled = true;
    config.relaxed_simd_enabled = true;
    let kinds = [
        InstructionKind::Vector,
        InstructionKind::NumericInt,
        InstructionKind::Parametric,
        InstructionKind::Variable,
        InstructionKind::Memory,
    ];
    config.allowed_instructions = InstructionKinds::new(&kinds);
    build(config, rng)
}

/// A module with exceptions, which the interpreter does not have.
pub(super) fn throwing(rng: &mut Rng) -> Option<Vec<u8>> {
    let mut config = Config::default();
    restrict(&mut config, rng);
    config.exceptions_enabled = true;
    config.max_tags = 4;
    config.min_tags = 1;
    let kinds = [
        InstructionKind::NumericInt,
        InstructionKind::Parametric,
        InstructionKind::Variable,
        InstructionKind::Memory,
        InstructionKind::Reference,
        InstructionKind::Control,
    ];
    config.allowed_instructions = InstructionKinds::new(&kinds);
    build(config, rng)
}

/// A module with garbage-collected objects, which the interpreter does not have.
pub(super) fn collecting(rng: &mut Rng) -> Option<Vec<u8>> {
    let mut config = Config::default();
    restrict(&mut config, rng);
    config.gc_enabled = true;
    config.exceptions_enabled = rng.below(3) == 0;
    (config.min_imports, config.max_imports) = (0, 0);
    config.min_types = 4;
    let kinds = [
        InstructionKind::NumericInt,
        InstructionKind::Parametric,
        InstructionKind::Variable,
        InstructionKind::Table,
        InstructionKind::Reference,
        InstructionKind::Aggregate,
        InstructionKind::Control,
    ];
    config.allowed_instructions = InstructionKinds::new(&kinds);
    build(config, rng)
}

fn build(config: Config, rng: &mut Rng) -> Option<Vec<u8>> {
    let len = 512 << rng.pick(&[0, 1, 2, 3, 3, 4, 4, 5, 6]);
    let bytes = rng.bytes(len);
    let mut module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    module.ensure_termination(rng.pick(&FUEL)).ok()?;
    rewrite::call_near(&module.to_bytes()).ok()
}

/// Keeps to what both engines can do, with the same result.
fn restrict(config: &mut Config, rng: &mut Rng) {
    config.allow_invalid_funcs = false;
    config.canonicalize_nans = true;
    config.export_everything = true;
    config.generate_custom_sections = false;
    config.disallow_traps = rng.below(3) == 0;

    config.exceptions_enabled = false;
    config.gc_enabled = false;
    config.compact_imports_enabled = false;
    config.custom_descriptors_enabled = false;
    config.threads_enabled = false;
    config.shared_everything_threads_enabled = false;
    // Its results may differ between two engines that are both right.
    config.relaxed_simd_enabled = false;

    config.bulk_memory_enabled = true;
    config.reference_types_enabled = true;
    config.multi_value_enabled = true;
    config.saturating_float_to_int_enabled = true;
    config.sign_extension_ops_enabled = true;
    config.simd_enabled = rng.below(2) == 0;
    config.tail_call_enabled = rng.below(2) == 0;
    config.memory64_enabled = rng.below(4) == 0;
    config.custom_page_sizes_enabled = rng.below(4) == 0;
    config.wide_arithmetic_enabled = rng.below(4) == 0;
    config.extended_const_enabled = true;

    config.min_funcs = 1;
    config.max_funcs = 12;
    config.min_imports = rng.below(4);
    config.max_imports = 6;
    config.max_instructions = rng.pick(&[60, 120, 250, 500, 500, 1000, 3000]);
    config.max_memories = 1 + rng.below(3);
    config.max_tables = 1 + rng.below(3);
    config.max_memory32_bytes = 4 << 16;
    config.max_memory64_bytes = 4 << 16;
    config.max_table_elements = 40;
    config.memory_max_size_required = true;
    // Within the memory, within 32 bits, any.
    let offsets = rng.pick(&[(90, 9, 1), (60, 30, 10), (20, 40, 40)]);
    config.memory_offset_choices = MemoryOffsetChoices(offsets.0, offsets.1, offsets.2);
    config.table_max_size_required = true;
}
