//! What to compile for, and how.

use crate::cpu::Cpu;
use crate::error::CompileError;
use crate::passes::Passes;
use crate::policy::Features;
use precast_abi::cpu::Riscv;
use precast_abi::object::{Arch, Os};
use precast_abi::profile::Profile;
use std::fmt;

/// How to compile a module. [`Options::default`] makes a shared object for this machine's kind
/// of system and any CPU of the last ten years.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the object is for.
    pub target: Target,
    /// What its CPU must have.
    pub cpu: Cpu,
    /// Code for each of these CPUs in one shared object, from the least to the best, each with all
    /// that the one before has: the loader takes the best that the machine can execute. `cpu` does
    /// not count then.
    pub levels: Vec<Cpu>,
    /// What the code should be good at.
    pub opt: OptLevel,
    /// What to make.
    pub emit: Emit,
    /// The most address space that memory 0 may take, in bytes, rounded up to 64 KiB: it cannot grow
    /// beyond. Less than 4 GiB leaves no room for guard pages: every access is then checked, and
    /// far more instances fit in a process. `None` reserves what guard pages need.
    pub memory_reservation: Option<u64>,
    /// The proposals that the module may use: others are refused, though they could be translated.
    pub features: Features,
    /// What becomes of garbage-collected objects that nothing refers to any more.
    pub collector: Collector,
    /// The most bytes that the heap for garbage-collected objects may take, of which a copying collector
    /// has half for objects; `None` for 4 GiB less 64 KiB.
    pub gc_heap: Option<u64>,
    /// Whether the code counts what it executes and stops when its fuel is used up.
    pub fuel: bool,
    /// The name of the one global symbol of a relocatable object, an identifier of C;
    /// `precast_object` where it is `None`. Modules that are linked into one program need different
    /// ones.
    pub symbol: Option<String>,
    /// The optimisations that may run, for finding out what one of them does.
    pub passes: Passes,
    /// Whether the code counts what it executes, for a profile.
    pub instrument: bool,
    /// What instrumented code of the same module has counted: the code is made for what was
    /// executed often.
    pub profile: Option<Profile>,
    /// How many threads work at once, at most 256; 0 stands for one per CPU. The output does not
    /// depend on it.
    pub jobs: usize,
}

/// What the code should be good at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OptLevel {
    /// Being there soon: no optimisation, and the fastest register allocator.
    None,
    /// Running fast.
    #[default]
    Speed,
    /// Running fast, where that does not make it larger.
    Size,
}

/// What becomes of garbage-collected objects that nothing refers to any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Collector {
    /// Those that something refers to are copied when the room for objects is used up.
    #[default]
    Copying,
    /// Nothing: objects take room until there is none. What a guest that runs for a moment needs, and
    /// the fastest.
    Null,
}

/// What to make of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Emit {
    /// A shared object, for the loader.
    #[default]
    SharedObject,
    /// A relocatable object, for linking into a program.
    Object,
    /// Cranelift's intermediate representation before optimisation, as text.
    Clif,
    /// The machine code with its virtual registers assigned, as text.
    Asm,
    /// A C header for a program that a relocatable object is linked with.
    Header,
}

/// What the symbol of an object must not be, in C or in C++.
const KEYWORDS: &str = " alignas alignof and asm auto bitand bitor bool break case catch char class compl const \
    constexpr continue decltype default delete do double else enum explicit export extern false \
    float for friend goto if inline int long main mutable namespace new noexcept not nullptr \
    operator or private protected public register restrict return short signed sizeof static \
    struct switch template this throw true try typedef typeid typename union unsigned using \
    virtual void volatile while xor ";

impl Options {
    /// Whether the CPU has vector registers: all but the first RISC-V CPUs.
    pub(crate) fn has_vectors(&self) -> bool {
        self.target.arch() != Arch::Riscv64 || self.cpu.features() & Riscv::V.bit() != 0
    }

    /// The default options for a target, and CPUs of it.
    pub fn for_target(target: Target) -> Options {
        Options {
            target,
            cpu: Cpu::default_for(target),
            ..Options::default()
        }
    }

    /// The symbol of a relocatable object.
    pub(crate) fn object_symbol(&self) -> Result<&str, CompileError> {
        let symbol = self.symbol.as_deref().unwrap_or("precast_object");
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_identifier = symbol.chars().all(is_part)
            && symbol.starts_with(|c: char| !c.is_ascii_digit())
            && symbol.len() <= 120
            && KEYWORDS.split_whitespace().all(|word| word != symbol);
        if is_identifier {
            return Ok(symbol);
        }
        Err(CompileError::Options {
            message: format!("{symbol:?} is not an identifier of C, as a symbol must be"),
        })
    }
}

/// An instruction set and an operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    arch: TargetArch,
    os: TargetOs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TargetArch {
    X86_64,
    Aarch64,
    Riscv64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TargetOs {
    Linux,
    Macos,
}

impl TargetOs {
    /// The system that a part of a triple names: `linux`, `macos`, `darwin`, with a version or
    /// without.
    fn parse(part: &str) -> Option<TargetOs> {
        match part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
            "linux" => Some(TargetOs::Linux),
            "macos" | "macosx" | "darwin" => Some(TargetOs::Macos),
            _ => None,
        }
    }
}

impl Target {
    /// x86-64 Linux.
    pub const X86_64_LINUX: Target = Target {
        arch: TargetArch::X86_64,
        os: TargetOs::Linux,
    };

    /// AArch64 Linux.
    pub const AARCH64_LINUX: Target = Target {
        arch: TargetArch::Aarch64,
        os: TargetOs::Linux,
    };
    /// RISC-V Linux, 64 bits wide.
    pub const RISCV64_LINUX: Target = Target {
        arch: TargetArch::Riscv64,
        os: TargetOs::Linux,
    };
    /// x86-64 macOS.
    pub const X86_64_MACOS: Target = Target {
        arch: TargetArch::X86_64,
        os: TargetOs::Macos,
    };
    /// AArch64 macOS.
    pub const AARCH64_MACOS: Target = Target {
        arch: TargetArch::Aarch64,
        os: TargetOs::Macos,
    };

    /// Every target there is, with its short name.
    pub const ALL: [(Target, &'static str); 5] = [
        (Target::X86_64_LINUX, "x86_64-linux"),
        (Target::AARCH64_LINUX, "aarch64-linux"),
        (Target::RISCV64_LINUX, "riscv64-linux"),
        (Target::X86_64_MACOS, "x86_64-macos"),
        (Target::AARCH64_MACOS, "aarch64-macos"),
    ];

    /// The target that this compiler itself runs on; x86-64 Linux where that is not one of
    /// [`Target::ALL`].
    pub const fn host() -> Target {
        if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
            Target::AARCH64_MACOS
        } else if cfg!(target_os = "macos") {
            Target::X86_64_MACOS
        } else if cfg!(target_arch = "aarch64") {
            Target::AARCH64_LINUX
        } else if cfg!(target_arch = "riscv64") {
            Target::RISCV64_LINUX
        } else {
            Target::X86_64_LINUX
        }
    }

    /// The target with this short name (`x86_64-linux`) or triple (`x86_64-unknown-linux-gnu`).
    ///
    /// # Errors
    ///
    /// [`CompileError::Options`] for anything else; the message lists the targets.
    pub fn parse(name: &str) -> Result<Target, CompileError> {
        let mut parts = name.split('-');
        let arch = match parts.next() {
            Some("x86_64" | "x86-64" | "amd64") => Some(TargetArch::X86_64),
            Some("aarch64" | "arm64") => Some(TargetArch::Aarch64),
            Some("riscv64" | "riscv64gc") => Some(TargetArch::Riscv64),
            _ => None,
        };
        let os = parts.find_map(TargetOs::parse);
        match (arch, os) {
            (Some(arch), Some(os)) => Ok(Target { arch, os }),
            _ => Err(CompileError::Options {
                message: format!(
                    "unknown target {name:?}: this compiler has {}",
                    Target::ALL.map(|(_, name)| name).join(", ")
                ),
            }),
        }
    }

    /// Its instruction set, as objects name it.
    pub const fn arch(self) -> Arch {
        match self.arch {
            TargetArch::X86_64 => Arch::X86_64,
            TargetArch::Aarch64 => Arch::Aarch64,
            TargetArch::Riscv64 => Arch::Riscv64,
        }
    }

    /// Its operating system, as objects name it.
    pub const fn os(self) -> Os {
        match self.os {
            TargetOs::Linux => Os::Linux,
            TargetOs::Macos => Os::Macos,
        }
    }

    /// The largest page size that it may have, in bytes.
    pub(crate) const fn page_size(self) -> u64 {
        match (self.os, self.arch) {
            (TargetOs::Macos, _) => 16384,
            (TargetOs::Linux, TargetArch::X86_64 | TargetArch::Riscv64) => 4096,
            (TargetOs::Linux, TargetArch::Aarch64) => 65536,
        }
    }

    /// Results that travel in registers whatever they are made of. Where there are more, a caller
    /// may pass the address of room for them before the hidden parameter.
    pub(crate) const fn register_results(self) -> usize {
        match self.arch {
            // On AArch64 that address has a register of its own.
            TargetArch::X86_64 | TargetArch::Aarch64 => 8,
            TargetArch::Riscv64 => 2,
        }
    }

    /// The flags of an ELF file.
    pub(crate) const fn elf_flags(self) -> object::elf::FileFlags {
        use object::elf;
        elf::FileFlags(match self.arch {
            TargetArch::X86_64 | TargetArch::Aarch64 => 0,
            // Floats travel in registers, and some instructions are short.
            TargetArch::Riscv64 => elf::EF_RISCV_FLOAT_ABI_DOUBLE.0 | elf::EF_RISCV_RVC.0,
        })
    }

    /// The note that tells what all of the code is fit for, if there is anything to tell: on AArch64,
    /// that indirect branches find landing pads (`GNU_PROPERTY_AARCH64_FEATURE_1_AND`).
    pub(crate) fn elf_property(self) -> Option<[u8; 32]> {
        use object::elf;
        if self.arch != TargetArch::Aarch64 {
            return None;
        }
        let words = [
            4,
            16,
            elf::NT_GNU_PROPERTY_TYPE_0.0,
            u32::from_le_bytes(*b"GNU\0"),
            elf::GNU_PROPERTY_AARCH64_FEATURE_1_AND.0,
            4,
            elf::GNU_PROPERTY_AARCH64_FEATURE_1_BTI,
            0,
        ];
        let mut note = [0; 32];
        for (to, word) in note.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&u32::to_le_bytes(word));
        }
        Some(note)
    }

    pub(crate) const fn elf_machine(self) -> object::elf::Machine {
        match self.arch {
            TargetArch::X86_64 => object::elf::EM_X86_64,
            TargetArch::Aarch64 => object::elf::EM_AARCH64,
            TargetArch::Riscv64 => object::elf::EM_RISCV,
        }
    }

    pub(crate) const fn architecture(self) -> object::Architecture {
        match self.arch {
            TargetArch::X86_64 => object::Architecture::X86_64,
            TargetArch::Aarch64 => object::Architecture::Aarch64,
            TargetArch::Riscv64 => object::Architecture::Riscv64,
        }
    }

    /// The triple, as Cranelift wants it.
    pub(crate) fn triple(self) -> target_lexicon::Triple {
        use target_lexicon as lexicon;
        let (vendor, operating_system, environment, binary_format) = match self.os {
            TargetOs::Linux => (
                lexicon::Vendor::Unknown,
                lexicon::OperatingSystem::Linux,
                lexicon::Environment::Gnu,
                lexicon::BinaryFormat::Elf,
            ),
            TargetOs::Macos => (
                lexicon::Vendor::Apple,
                lexicon::OperatingSystem::Darwin(None),
                lexicon::Environment::Unknown,
                lexicon::BinaryFormat::Macho,
            ),
        };
        lexicon::Triple {
            architecture: match self.arch {
                TargetArch::X86_64 => lexicon::Architecture::X86_64,
                TargetArch::Aarch64 => {
                    lexicon::Architecture::Aarch64(lexicon::Aarch64Architecture::Aarch64)
                }
                TargetArch::Riscv64 => {
                    lexicon::Architecture::Riscv64(lexicon::Riscv64Architecture::Riscv64gc)
                }
            },
            vendor,
            operating_system,
            environment,
            binary_format,
        }
    }
}

impl Default for Target {
    fn default() -> Self {
        Target::host()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Target::ALL.iter().find(|(target, _)| target == self);
        f.write_str(known.map_or("unknown", |(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_short_names_and_triples() {
        for name in [
            "x86_64-linux",
            "x86_64-unknown-linux-gnu",
            "x86_64-linux-musl",
        ] {
            assert_eq!(Target::parse(name), Ok(Target::X86_64_LINUX), "{name}");
        }
        for (name, target) in [
            ("aarch64-unknown-linux-gnu", Target::AARCH64_LINUX),
            ("arm64-linux", Target::AARCH64_LINUX),
            ("riscv64gc-unknown-linux-gnu", Target::RISCV64_LINUX),
            ("x86_64-apple-darwin", Target::X86_64_MACOS),
            ("x86_64-apple-macosx10.15", Target::X86_64_MACOS),
            ("arm64-macos", Target::AARCH64_MACOS),
            ("aarch64-apple-darwin23", Target::AARCH64_MACOS),
        ] {
            assert_eq!(Target::parse(name), Ok(target), "{name}");
        }
        for (target, name) in Target::ALL {
            assert_eq!(target.to_string(), name);
        }
    }

    #[test]
    fn unknown_targets_are_refused_with_what_there_is() {
        for name in ["", "x86_64", "m68k-linux", "x86_64-windows"] {
            let error = Target::parse(name).unwrap_err().to_string();
            assert!(error.contains("x86_64-linux"), "{error}");
        }
    }
}
