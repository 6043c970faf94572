//! Which instructions code may use beyond its architecture's first ones.

use crate::error::CompileError;
use precast_abi::cpu::X86;

/// What an object requires of the CPU it runs on, as bits of [`precast_abi::cpu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cpu {
    features: u64,
}

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

/// What a feature brings along: no CPU has it without the others.
const IMPLIED: [(X86, X86); 13] = [
    (X86::Avx512vbmi, X86::Avx512f),
    (X86::Avx512bitalg, X86::Avx512f),
    (X86::Avx512dq, X86::Avx512f),
    (X86::Avx512vl, X86::Avx512f),
    (X86::Avx512f, X86::Fma),
    (X86::Avx512f, X86::Avx2),
    (X86::Fma, X86::Avx),
    (X86::Avx2, X86::Avx),
    (X86::Avx, X86::Sse42),
    (X86::Sse42, X86::Sse41),
    (X86::Sse41, X86::Ssse3),
    (X86::Ssse3, X86::Sse3),
    (X86::Avx, X86::Popcnt),
];

impl Cpu {
    /// The architecture's first CPUs.
    pub const BASELINE: Cpu = Cpu { features: 0 };
    /// About 2009 and later.
    pub const X86_64_V2: Cpu = Cpu { features: V2 };
    /// About 2015 and later (AVX2, FMA, BMI).
    pub const X86_64_V3: Cpu = Cpu { features: V3 };
    /// Those with AVX-512.
    pub const X86_64_V4: Cpu = Cpu { features: V4 };

    /// The named levels.
    pub const LEVELS: [(&'static str, Cpu); 4] = [
        ("baseline", Cpu::BASELINE),
        ("x86-64-v2", Cpu::X86_64_V2),
        ("x86-64-v3", Cpu::X86_64_V3),
        ("x86-64-v4", Cpu::X86_64_V4),
    ];

    /// The CPU that this runs on.
    pub fn native() -> Cpu {
        Cpu {
            features: native_features(),
        }
    }

    /// Parses a comma-separated list: a level or `native` first, then `+feature` or `-feature`.
    /// A list without a level starts from the default one.
    ///
    /// # Errors
    ///
    /// [`CompileError::Options`] for unknown names.
    pub fn parse(list: &str) -> Result<Cpu, CompileError> {
        let mut cpu = Cpu::default();
        for (number, item) in list.split(',').map(str::trim).enumerate() {
            let level = Cpu::LEVELS.iter().find(|(name, _)| *name == item);
            if let Some(name) = item.strip_prefix('+') {
                cpu.features |= feature(name)?.bit();
            } else if let Some(name) = item.strip_prefix('-') {
                cpu.remove(feature(name)?);
            } else if number > 0 {
                return Err(unknown(item));
            } else if item == "native" {
                cpu = Cpu::native();
            } else {
                cpu = level.ok_or_else(|| unknown(item))?.1;
            }
        }
        cpu.add_implied();
        Ok(cpu)
    }

    /// Bits of [`precast_abi::cpu::X86`].
    pub const fn features(self) -> u64 {
        self.features
    }

    /// Whether it has a feature.
    pub const fn has(self, feature: X86) -> bool {
        self.features & feature.bit() != 0
    }

    /// Adds what the features imply. (The table is in an order that needs one pass.)
    fn add_implied(&mut self) {
        for (feature, implied) in IMPLIED {
            if self.has(feature) {
                self.features |= implied.bit();
            }
        }
    }

    /// Removes a feature and all that imply it.
    fn remove(&mut self, removed: X86) {
        self.features &= !removed.bit();
        for (feature, implied) in IMPLIED.iter().rev() {
            if !self.has(*implied) {
                self.features &= !feature.bit();
            }
        }
    }
}

impl Default for Cpu {
    /// [`Cpu::X86_64_V3`]: what every CPU in a data centre has.
    fn default() -> Self {
        Cpu::X86_64_V3
    }
}

fn feature(name: &str) -> Result<X86, CompileError> {
    X86::ALL
        .into_iter()
        .find(|(_, known)| *known == name)
        .map(|(feature, _)| feature)
        .ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> CompileError {
    let levels = Cpu::LEVELS.map(|(name, _)| name).join(", ");
    let features = X86::ALL.map(|(_, name)| name).join(", ");
    CompileError::Options {
        message: format!(
            "unknown CPU {name:?}: there are {levels}, native, and +feature with {features}"
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

/// Elsewhere there is no such CPU: what every one has.
#[cfg(not(target_arch = "x86_64"))]
fn native_features() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_contain_the_lower_ones_and_what_they_imply() {
        for pair in Cpu::LEVELS.windows(2) {
            assert_eq!(pair[0].1.features & !pair[1].1.features, 0);
        }
        for (name, level) in Cpu::LEVELS {
            assert_eq!(Cpu::parse(name), Ok(level));
        }
    }

    #[test]
    fn features_bring_what_they_imply() {
        let cpu = Cpu::parse("baseline,+avx512vl").unwrap();
        assert!(
            [X86::Avx512f, X86::Avx2, X86::Fma, X86::Sse3]
                .into_iter()
                .all(|f| cpu.has(f))
        );
        assert!(!cpu.has(X86::Bmi1));
        assert_eq!(Cpu::parse("+bmi2"), Ok(Cpu::X86_64_V3));
    }

    #[test]
    fn removing_a_feature_removes_what_needs_it() {
        let cpu = Cpu::parse("x86-64-v4,-sse4.1").unwrap();
        assert!(!cpu.has(X86::Avx512vl) && !cpu.has(X86::Avx) && cpu.has(X86::Ssse3));
        assert!(cpu.has(X86::Bmi2));
    }

    #[test]
    fn unknown_names_are_refused() {
        for list in ["", "pentium", "+mmx", "+bmi2,x86-64-v2", "x86-64-v3,"] {
            let error = Cpu::parse(list).unwrap_err().to_string();
            assert!(error.contains("x86-64-v3"), "{error}");
        }
    }
}
