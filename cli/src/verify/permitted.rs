//! Which instructions compiled code may consist of.
//!
//! A list of what is allowed, not of what is forbidden: an instruction that nobody thought of is
//! refused.

use super::report::Problem;
use iced_x86::{ConditionCode, CpuidFeature, Instruction, Mnemonic, OpKind};
use precast_abi::cpu::X86;

/// Refuses an instruction that is not on the list, or that needs a CPU feature which is not among
/// these bits of [`precast_abi::cpu`].
pub(super) fn check(instruction: &Instruction, cpu_features: u64) -> Result<(), Problem> {
    for feature in instruction.cpuid_features() {
        match required(*feature) {
            Some(Need::Base) if is_plain(instruction) => {}
            Some(Need::Simd) if is_plain_simd(instruction) => {}
            Some(Need::Feature(bit)) if cpu_features & bit.bit() != 0 => {}
            Some(Need::Feature(_)) => return Err(Problem::UndeclaredFeature),
            _ => return Err(Problem::ForbiddenInstruction),
        }
    }
    let pops_flags = instruction.is_stack_instruction()
        && !matches!(
            instruction.mnemonic(),
            Mnemonic::Push | Mnemonic::Pop | Mnemonic::Call | Mnemonic::Ret
        );
    let segments = (0..instruction.op_count())
        .any(|operand| instruction.op_register(operand).is_segment_register());
    if pops_flags || segments || instruction.is_privileged() || instruction.is_string_instruction()
    {
        return Err(Problem::ForbiddenInstruction);
    }
    Ok(())
}

enum Need {
    /// What every x86-64 CPU has for integers.
    Base,
    /// What every x86-64 CPU has for floats and vectors.
    Simd,
    /// One of the features that objects declare.
    Feature(X86),
}

fn required(feature: CpuidFeature) -> Option<Need> {
    use CpuidFeature as C;
    Some(match feature {
        C::INTEL8086 | C::INTEL186 | C::INTEL286 | C::INTEL386 | C::INTEL486 | C::X64 | C::CMOV => {
            Need::Base
        }
        C::MULTIBYTENOP | C::PAUSE => Need::Base,
        C::SSE | C::SSE2 => Need::Simd,
        C::SSE3 => Need::Feature(X86::Sse3),
        C::SSSE3 => Need::Feature(X86::Ssse3),
        C::SSE4_1 => Need::Feature(X86::Sse41),
        C::SSE4_2 => Need::Feature(X86::Sse42),
        C::POPCNT => Need::Feature(X86::Popcnt),
        C::CMPXCHG16B => Need::Feature(X86::Cmpxchg16b),
        C::AVX => Need::Feature(X86::Avx),
        C::AVX2 => Need::Feature(X86::Avx2),
        C::FMA => Need::Feature(X86::Fma),
        C::BMI1 => Need::Feature(X86::Bmi1),
        C::BMI2 => Need::Feature(X86::Bmi2),
        C::LZCNT => Need::Feature(X86::Lzcnt),
        C::AVX512F => Need::Feature(X86::Avx512f),
        C::AVX512DQ => Need::Feature(X86::Avx512dq),
        C::AVX512VL => Need::Feature(X86::Avx512vl),
        C::AVX512_VBMI => Need::Feature(X86::Avx512vbmi),
        C::AVX512_BITALG => Need::Feature(X86::Avx512bitalg),
        _ => return None,
    })
}

/// Integer instructions that a code generator has a use for.
fn is_plain(instruction: &Instruction) -> bool {
    use Mnemonic as M;
    let listed = matches!(
        instruction.mnemonic(),
        M::Mov
            | M::Movzx
            | M::Movsx
            | M::Movsxd
            | M::Lea
            | M::Xchg
            | M::Bswap
            | M::Push
            | M::Pop
            | M::Add
            | M::Adc
            | M::Sub
            | M::Sbb
            | M::Neg
            | M::Inc
            | M::Dec
            | M::Cmp
            | M::And
            | M::Or
            | M::Xor
            | M::Not
            | M::Test
            | M::Imul
            | M::Mul
            | M::Idiv
            | M::Div
            | M::Cbw
            | M::Cwde
            | M::Cdqe
            | M::Cwd
            | M::Cdq
            | M::Cqo
            | M::Shl
            | M::Shr
            | M::Sar
            | M::Sal
            | M::Rol
            | M::Ror
            | M::Shld
            | M::Shrd
            | M::Bt
            | M::Bts
            | M::Btr
            | M::Btc
            | M::Bsf
            | M::Bsr
            | M::Xadd
            | M::Cmpxchg
            | M::Nop
            | M::Pause
            | M::Jmp
            | M::Call
            | M::Ret
            | M::Ud2
    );
    let far = instruction.is_jmp_far()
        || instruction.is_jmp_far_indirect()
        || instruction.is_call_far()
        || instruction.is_call_far_indirect();
    !far && (listed
        || is_conditional_move(instruction)
        || is_set(instruction)
        || instruction.is_jcc_short_or_near())
}

/// `cmovcc`: a condition and two operands.
pub(super) fn is_conditional_move(instruction: &Instruction) -> bool {
    instruction.condition_code() != ConditionCode::None && instruction.op_count() == 2
}

/// `setcc`: a condition and a place for the answer.
fn is_set(instruction: &Instruction) -> bool {
    instruction.condition_code() != ConditionCode::None
        && instruction.op_count() == 1
        && matches!(instruction.op0_kind(), OpKind::Register | OpKind::Memory)
}

/// Everything for floats and vectors but what changes their mode or goes past the cache.
fn is_plain_simd(instruction: &Instruction) -> bool {
    use Mnemonic as M;
    !matches!(
        instruction.mnemonic(),
        M::Ldmxcsr
            | M::Stmxcsr
            | M::Maskmovdqu
            | M::Maskmovq
            | M::Clflush
            | M::Movnti
            | M::Movntdq
            | M::Movntpd
            | M::Movntps
            | M::Movntq
            | M::Prefetcht0
            | M::Prefetcht1
            | M::Prefetcht2
            | M::Prefetchnta
    )
}
