//! Which instructions code may use beyond its architecture's first ones.

use crate::error::CompileError;
use crate::options::Target;
use precast_abi::cpu::{Arm, Riscv, X86, features};
use precast_abi::object::Arch;

/// What an object requires of the CPU it runs on, as bits of [`precast_abi::cpu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cpu {
    /// Whose features they are; `None` where there are none.
    arch: Option<Arch>,
    features: u64,
}

/// A level of a CPU, by its name.
pub type Level = (&'static str, Cpu);

/// The features that the levels of the x86-64 psABI have in common with what code can use.
const V2: u64 = X86::Sse3.bit()
    | X86::Ssse3.bit()
    | X86::Sse41.bit()
    | X86::Sse42.bit()
    | X86::Popcnt.bit()
    | X86::Cmpxchg16b.bit();
const V3: u64 = V2
    | X86::Avx.bit()
    | X86::Avx2.bit()
    | X86::Fma.bit()
    | X86::Bmi1.bit()
    | X86::Bmi2.bit()
    | X86::Lzcnt.bit();
const V4: u64 = V3 | X86::Avx512f.bit() | X86::Avx512dq.bit() | X86::Avx512vl.bit();

const X86_64_LEVELS: [Level; 4] = [
    ("baseline", Cpu::BASELINE),
    ("x86-64-v2", Cpu::X86_64_V2),
    ("x86-64-v3", Cpu::X86_64_V3),
    ("x86-64-v4", Cpu::X86_64_V4),
];

/// The versions of the Arm architecture that bring something that code can use.
const AARCH64_LEVELS: [Level; 4] = [
    ("baseline", Cpu::BASELINE),
    ("armv8.1-a", arm(Arm::Lse.bit())),
    ("armv8.4-a", arm(Arm::Lse.bit() | Arm::Dotprod.bit())),
    (
        "armv8.6-a",
        arm(Arm::Lse.bit() | Arm::Dotprod.bit() | Arm::I8mm.bit()),
    ),
];

/// What the RISC-V profiles have in common with what code can use.
const RVA22: u64 = Riscv::Zba.bit() | Riscv::Zbb.bit() | Riscv::Zbs.bit() | Riscv::Zfhmin.bit();
const RVA23: u64 = RVA22
    | Riscv::V.bit()
    | Riscv::Zicond.bit()
    | Riscv::Zfa.bit()
    | Riscv::Zcb.bit()
    | Riscv::Zvbb.bit();

const RISCV64_LEVELS: [Level; 3] = [
    ("baseline", Cpu::BASELINE),
    ("rva22u64", riscv(RVA22)),
    ("rva23u64", riscv(RVA23)),
];

/// What a feature brings along: no CPU has it without the others. In an order in which one pass
/// finds all.
const X86_64_IMPLIED: [(u64, u64); 13] = [
    (X86::Avx512vbmi.bit(), X86::Avx512f.bit()),
    (X86::Avx512bitalg.bit(), X86::Avx512f.bit()),
    (X86::Avx512dq.bit(), X86::Avx512f.bit()),
    (X86::Avx512vl.bit(), X86::Avx512f.bit()),
    (X86::Avx512f.bit(), X86::Fma.bit()),
    (X86::Avx512f.bit(), X86::Avx2.bit()),
    (X86::Fma.bit(), X86::Avx.bit()),
    (X86::Avx2.bit(), X86::Avx.bit()),
    (X86::Avx.bit(), X86::Sse42.bit()),
    (X86::Sse42.bit(), X86::Sse41.bit()),
    (X86::Sse41.bit(), X86::Ssse3.bit()),
    (X86::Ssse3.bit(), X86::Sse3.bit()),
    (X86::Avx.bit(), X86::Popcnt.bit()),
];
const RISCV64_IMPLIED: [(u64, u64); 2] = [
    (Riscv::Zvbb.bit(), Riscv::V.bit()),
    (Riscv::Zfh.bit(), Riscv::Zfhmin.bit()),
];

const fn arm(features: u64) -> Cpu {
    Cpu {
        arch: Some(Arch::Aarch64),
        features,
    }
}

const fn riscv(features: u64) -> Cpu {
    Cpu {
        arch: Some(Arch::Riscv64),
        features,
    }
}

const fn x86_64(features: u64) -> Cpu {
    Cpu {
        arch: Some(Arch::X86_64),
        features,
    }
}

const fn implied(arch: Arch) -> &'static [(u64, u64)] {
    match arch {
        Arch::X86_64 => &X86_64_IMPLIED,
        Arch::Aarch64 => &[],
        Arch::Riscv64 => &RISCV64_IMPLIED,
    }
}

impl Cpu {
    /// The first CPUs of whatever architecture: x86-64 with SSE2, Armv8-A, RV64GC.
    pub const BASELINE: Cpu = Cpu {
        arch: None,
        features: 0,
    };
    /// About 2009 and later.
    pub const X86_64_V2: Cpu = x86_64(V2);
    /// About 2015 and later (AVX2, FMA, BMI).
    pub const X86_64_V3: Cpu = x86_64(V3);
    /// Those with AVX-512.
    pub const X86_64_V4: Cpu = x86_64(V4);

    /// The named levels of a target's CPUs, each with what the one before has.
    pub const fn levels(target: Target) -> &'static [Level] {
        match target.arch() {
            Arch::X86_64 => &X86_64_LEVELS,
            Arch::Aarch64 => &AARCH64_LEVELS,
            Arch::Riscv64 => &RISCV64_LEVELS,
        }
    }

    /// What code for a target is made for where nobody says anything: x86-64-v3, which every CPU
    /// in a data centre has, and the first CPUs of all others.
    pub const fn default_for(target: Target) -> Cpu {
        match target.arch() {
            Arch::X86_64 => Cpu::X86_64_V3,
            Arch::Aarch64 | Arch::Riscv64 => Cpu::BASELINE,
        }
    }

    /// The CPU that this runs on.
    pub fn native() -> Cpu {
        Cpu {
            arch: Some(Target::host().arch()),
            features: native_features(),
        }
    }

    /// [`Cpu::parse_for`] for the machine that this runs on.
    ///
    /// # Errors
    ///
    /// As [`Cpu::parse_for`].
    pub fn parse(list: &str) -> Result<Cpu, CompileError> {
        Cpu::parse_for(Target::host(), list)
    }

    /// Parses a comma-separated list: a level or `native` first, then `+feature` or `-feature`.
    /// A list without a level starts from the default one.
    ///
    /// # Errors
    ///
    /// [`CompileError::Options`] for names that CPUs of the target do not have.
    pub fn parse_for(target: Target, list: &str) -> Result<Cpu, CompileError> {
        let mut cpu = Cpu::default_for(target);
        let unknown = |name: &str| unknown(target, name);
        let feature = |name: &str| {
            let mut known = features(target.arch()).iter();
            let found = known.find(|(_, known)| *known == name);
            found.map(|(bit, _)| *bit).ok_or_else(|| unknown(name))
        };
        for (number, item) in list.split(',').map(str::trim).enumerate() {
            let level = Cpu::levels(target).iter().find(|(name, _)| *name == item);
            if let Some(name) = item.strip_prefix('+') {
                cpu.features |= feature(name)?;
            } else if let Some(name) = item.strip_prefix('-') {
                cpu.remove(target.arch(), feature(name)?);
            } else if number > 0 {
                return Err(unknown(item));
            } else if item == "native" && target.arch() == Target::host().arch() {
                cpu = Cpu::native();
            } else {
                cpu = level.ok_or_else(|| unknown(item))?.1;
            }
        }
        cpu.add_implied(target.arch());
        cpu.arch = (cpu.features != 0).then_some(target.arch());
        Ok(cpu)
    }

    /// Bits of [`precast_abi::cpu`].
    pub const fn features(self) -> u64 {
        self.features
    }

    /// Whether it can be a CPU of `target`.
    pub(crate) fn suits(self, target: Target) -> bool {
        self.features == 0 || self.arch == Some(target.arch())
    }

    /// Adds what the features imply.
    fn add_implied(&mut self, arch: Arch) {
        for (feature, implied) in implied(arch) {
            if self.features & feature != 0 {
                self.features |= implied;
            }
        }
    }

    /// Removes a feature and all that imply it.
    fn remove(&mut self, arch: Arch, removed: u64) {
        self.features &= !removed;
        for (feature, implied) in implied(arch).iter().rev() {
            if self.features & implied == 0 {
                self.features &= !feature;
            }
        }
    }
}

impl Default for Cpu {
    /// [`Cpu::default_for`] the machine that this runs on.
    fn default() -> Self {
        Cpu::default_for(Target::host())
    }
}

fn unknown(target: Target, name: &str) -> CompileError {
    fn list<T>(names: &[(T, &'static str)]) -> String {
        let names: Vec<_> = names.iter().map(|(_, name)| *name).collect();
        names.join(", ")
    }
    let levels = Cpu::levels(target).iter().map(|(name, cpu)| (cpu, *name));
    let levels = list(&levels.collect::<Vec<_>>());
    let features = list(features(target.arch()));
    CompileError::Options {
        message: format!(
            "unknown CPU {name:?} of {target}: there are {levels}, native on one of them, \
             and +feature with {features}"
        ),
    }
}

#[cfg(target_arch = "x86_64")]
fn native_features() -> u64 {
    macro_rules! detect {
        ($($feature:ident $name:tt)*) => {
            0 $(| if std::arch::is_x86_feature_detected!($name) { X86::$feature.bit() } else { 0 })*
        };
    }
    detect! {
        Sse3 "sse3" Ssse3 "ssse3" Sse41 "sse4.1" Sse42 "sse4.2" Popcnt "popcnt"
        Cmpxchg16b "cmpxchg16b" Avx "avx" Avx2 "avx2" Fma "fma" Bmi1 "bmi1" Bmi2 "bmi2"
        Lzcnt "lzcnt" Avx512f "avx512f" Avx512dq "avx512dq" Avx512vl "avx512vl"
        Avx512vbmi "avx512vbmi" Avx512bitalg "avx512bitalg"
    }
}

#[cfg(target_arch = "aarch64")]
fn native_features() -> u64 {
    macro_rules! detect {
        ($($feature:ident $name:tt)*) => {
            0 $(| if std::arch::is_aarch64_feature_detected!($name) { Arm::$feature.bit() } else { 0 })*
        };
    }
    detect! { Lse "lse" Fp16 "fp16" Dotprod "dotprod" I8mm "i8mm" }
}

/// Elsewhere nobody tells: what every one has.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn native_features() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Target = Target::X86_64_LINUX;

    #[test]
    fn levels_contain_the_lower_ones_and_what_they_imply() {
        for (target, _) in Target::ALL {
            for pair in Cpu::levels(target).windows(2) {
                assert_eq!(pair[0].1.features & !pair[1].1.features, 0);
            }
            for (name, level) in Cpu::levels(target) {
                assert_eq!(Cpu::parse_for(target, name), Ok(*level));
            }
            let known = features(target.arch()).iter();
            let known = known.fold(0, |bits, (bit, _)| bits | bit);
            for (feature, implied) in implied(target.arch()) {
                assert_eq!((feature | implied) & !known, 0);
            }
        }
    }

    #[test]
    fn features_bring_what_they_imply() {
        let cpu = Cpu::parse_for(LINUX, "baseline,+avx512vl").unwrap();
        for feature in [X86::Avx512f, X86::Avx2, X86::Fma, X86::Sse3] {
            assert_ne!(cpu.features & feature.bit(), 0);
        }
        assert_eq!(cpu.features & X86::Bmi1.bit(), 0);
        assert_eq!(Cpu::parse_for(LINUX, "+bmi2"), Ok(Cpu::X86_64_V3));
        let riscv = Target::parse("riscv64-linux").unwrap();
        let cpu = Cpu::parse_for(riscv, "+zvbb").unwrap();
        assert_eq!(cpu.features, Riscv::Zvbb.bit() | Riscv::V.bit());
    }

    #[test]
    fn removing_a_feature_removes_what_needs_it() {
        let cpu = Cpu::parse_for(LINUX, "x86-64-v4,-sse4.1").unwrap();
        let has = |feature: X86| cpu.features & feature.bit() != 0;
        assert!(!has(X86::Avx512vl) && !has(X86::Avx) && has(X86::Ssse3));
        assert!(has(X86::Bmi2));
    }

    #[test]
    fn unknown_names_are_refused() {
        for list in ["", "pentium", "+mmx", "+bmi2,x86-64-v2", "x86-64-v3,"] {
            let error = Cpu::parse_for(LINUX, list).unwrap_err().to_string();
            assert!(error.contains("x86-64-v3"), "{error}");
        }
        let arm = Target::parse("aarch64-linux").unwrap();
        for list in ["x86-64-v3", "+sse3", "v"] {
            let error = Cpu::parse_for(arm, list).unwrap_err().to_string();
            assert!(
                error.contains("armv8.1-a") && error.contains("+feature with lse"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_cpu_of_one_architecture_is_none_of_another() {
        let arm = Target::parse("aarch64-linux").unwrap();
        let lse = Cpu::parse_for(arm, "+lse").unwrap();
        assert!(lse.suits(arm) && !lse.suits(LINUX) && !Cpu::X86_64_V2.suits(arm));
        assert!(
            Target::ALL
                .iter()
                .all(|(target, _)| Cpu::BASELINE.suits(*target))
        );
    }
}
