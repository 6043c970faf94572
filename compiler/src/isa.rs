//! Options as Cranelift's settings.

use crate::cpu::Cpu;
use crate::error::CompileError;
use crate::options::{OptLevel, Options};
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable, SetError};
use precast_abi::cpu::X86;
use precast_abi::instance::STACK_GUARD;

/// The code generator for these options.
pub(crate) fn build(options: &Options) -> Result<OwnedTargetIsa, CompileError> {
    let flags = shared_flags(options.opt).map_err(internal)?;
    with_flags(options, flags)
}

/// The same code generator for functions that Cranelift's own optimiser has seen: it does not run
/// again. (Cranelift 0.135 reads the level nowhere else.)
pub(crate) fn build_lowering(options: &Options) -> Result<OwnedTargetIsa, CompileError> {
    let mut flags = shared_flags(options.opt).map_err(internal)?;
    flags.set("opt_level", "none").map_err(internal)?;
    with_flags(options, flags)
}

fn with_flags(options: &Options, flags: settings::Builder) -> Result<OwnedTargetIsa, CompileError> {
    let flags = settings::Flags::new(flags);
    let mut builder = isa::lookup(options.target.triple()).map_err(internal)?;
    for setting in x86_settings(options.cpu) {
        builder.enable(setting).map_err(internal)?;
    }
    builder.finish(flags).map_err(internal)
}

fn shared_flags(opt: OptLevel) -> Result<settings::Builder, SetError> {
    let mut flags = settings::builder();
    let (level, allocator) = match opt {
        OptLevel::None => ("none", "single_pass"),
        OptLevel::Speed => ("speed", "backtracking"),
        OptLevel::Size => ("speed_and_size", "backtracking"),
    };
    flags.set("opt_level", level)?;
    flags.set("regalloc_algorithm", allocator)?;
    flags.set("enable_verifier", bool_name(cfg!(debug_assertions)))?;
    // Where functions are placed depends on where their loops are.
    flags.set("machine_code_cfg_info", bool_name(opt == OptLevel::Speed))?;
    // Backtraces and `return_call` rest on frame pointers.
    flags.set("preserve_frame_pointers", "true")?;
    flags.set("unwind_info", "true")?;
    // Functions of many results return them through memory.
    flags.set("enable_multi_ret_implicit_sret", "true")?;
    flags.set("enable_llvm_abi_extensions", "false")?;
    // Everything that code names is in the object itself, in reach. (What Cranelift calls
    // position-independent code would look for it in a global offset table.)
    flags.set("use_colocated_libcalls", "true")?;
    flags.set("is_pic", "false")?;
    // A frame that could step over the guard below the stack touches each part of it in order.
    flags.set("enable_probestack", "true")?;
    flags.set("probestack_strategy", "inline")?;
    let guard_log2 = STACK_GUARD.trailing_zeros().to_string();
    flags.set("probestack_size_log2", &guard_log2)?;
    Ok(flags)
}

fn bool_name(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Cranelift's names of a CPU's features.
fn x86_settings(cpu: Cpu) -> impl Iterator<Item = &'static str> {
    const NAMES: [(X86, &str); 17] = [
        (X86::Sse3, "has_sse3"),
        (X86::Ssse3, "has_ssse3"),
        (X86::Sse41, "has_sse41"),
        (X86::Sse42, "has_sse42"),
        (X86::Popcnt, "has_popcnt"),
        (X86::Cmpxchg16b, "has_cmpxchg16b"),
        (X86::Avx, "has_avx"),
        (X86::Avx2, "has_avx2"),
        (X86::Fma, "has_fma"),
        (X86::Bmi1, "has_bmi1"),
        (X86::Bmi2, "has_bmi2"),
        (X86::Lzcnt, "has_lzcnt"),
        (X86::Avx512f, "has_avx512f"),
        (X86::Avx512dq, "has_avx512dq"),
        (X86::Avx512vl, "has_avx512vl"),
        (X86::Avx512vbmi, "has_avx512vbmi"),
        (X86::Avx512bitalg, "has_avx512bitalg"),
    ];
    NAMES
        .into_iter()
        .filter(move |(feature, _)| cpu.has(*feature))
        .map(|(_, name)| name)
}

fn internal(error: impl std::fmt::Display) -> CompileError {
    CompileError::Internal {
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_cpu_and_optimisation_has_a_code_generator() {
        for (_, cpu) in Cpu::LEVELS {
            for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
                let options = Options {
                    cpu,
                    opt,
                    ..Options::default()
                };
                assert!(build(&options).is_ok());
            }
        }
    }
}
