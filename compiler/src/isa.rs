//! Options as Cranelift's settings.

use crate::cpu::Cpu;
use crate::error::CompileError;
use crate::options::{OptLevel, Options};
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable, SetError};
use precast_abi::cpu::{Arm, Riscv, X86};
use precast_abi::instance::STACK_GUARD;
use precast_abi::object::Arch;
use target_lexicon::Architecture;

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
    if !options.cpu.suits(options.target) {
        return Err(CompileError::Options {
            message: format!("the CPU is none of {}", options.target),
        });
    }
    let flags = settings::Flags::new(flags);
    let mut builder = isa::lookup(options.target.triple()).map_err(internal)?;
    for setting in arch_settings(options.target.arch(), options.cpu) {
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

/// The instruction set of a code generator.
pub(crate) fn arch(isa: &dyn TargetIsa) -> Arch {
    match isa.triple().architecture {
        Architecture::Aarch64(_) => Arch::Aarch64,
        Architecture::Riscv64(_) => Arch::Riscv64,
        // There is no other.
        _ => Arch::X86_64,
    }
}

/// Whether a code generator has vector registers.
pub(crate) fn has_vectors(isa: &dyn TargetIsa) -> bool {
    let mut flags = isa.isa_flags().into_iter();
    arch(isa) != Arch::Riscv64
        || flags.any(|flag| flag.name == "has_v" && flag.as_bool() == Some(true))
}

/// Cranelift's names of a CPU's features, in the order of the ABI's.
const X86_64: [&str; X86::ALL.len()] = [
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_cmpxchg16b",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
    "has_avx512f",
    "has_avx512dq",
    "has_avx512vl",
    "has_avx512vbmi",
    "has_avx512bitalg",
];
const AARCH64: [&str; Arm::ALL.len()] = ["has_lse", "has_fp16", "has_dotprod", "has_i8mm"];
const RISCV64: [&str; Riscv::ALL.len()] = [
    "has_v",
    "has_zba",
    "has_zbb",
    "has_zbc",
    "has_zbs",
    "has_zbkb",
    "has_zicond",
    "has_zfa",
    "has_zfhmin",
    "has_zfh",
    "has_zcb",
    "has_zvbb",
];

/// What is switched on in the code generator of an architecture: what every CPU has or ignores, and
/// the CPU's features.
fn arch_settings(arch: Arch, cpu: Cpu) -> impl Iterator<Item = &'static str> {
    let (names, always): (&[_], &[_]) = match arch {
        Arch::X86_64 => (&X86_64, &[]),
        // Landing pads for indirect branches: instructions that older CPUs take for no-ops.
        Arch::Aarch64 => (&AARCH64, &["use_bti"]),
        Arch::Riscv64 => (&RISCV64, &["has_zca", "has_zcd"]),
    };
    let has = move |(number, _): &(usize, _)| cpu.features() >> number & 1 == 1;
    let names = names.iter().enumerate().filter(has).map(|(_, name)| *name);
    // A vector register of the V extension has 128 bits at the least.
    let vectors = arch == Arch::Riscv64 && cpu.features() & Riscv::V.bit() != 0;
    let vectors = vectors.then_some("has_zvl128b");
    always.iter().copied().chain(names).chain(vectors)
}

fn internal(error: impl std::fmt::Display) -> CompileError {
    CompileError::Internal {
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Target;

    #[test]
    fn every_level_of_cpu_and_optimisation_has_a_code_generator() {
        for (target, _) in Target::ALL {
            for (_, cpu) in Cpu::levels(target) {
                for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
                    let options = Options {
                        cpu: *cpu,
                        opt,
                        ..Options::for_target(target)
                    };
                    assert!(build(&options).is_ok());
                }
            }
        }
    }

    #[test]
    fn each_feature_has_its_setting() {
        for (target, _) in Target::ALL {
            for (_, name) in precast_abi::cpu::features(target.arch()) {
                let cpu = Cpu::parse_for(target, &format!("baseline,+{name}")).unwrap();
                let setting = format!("has_{}", name.replace('.', ""));
                let mut settings = arch_settings(target.arch(), cpu);
                assert!(settings.any(|known| known == setting), "{name}");
            }
        }
    }

    #[test]
    fn a_cpu_of_another_architecture_is_refused() {
        let options = Options {
            target: Target::AARCH64_LINUX,
            cpu: Cpu::X86_64_V2,
            ..Options::default()
        };
        assert!(matches!(build(&options), Err(CompileError::Options { .. })));
    }
}
