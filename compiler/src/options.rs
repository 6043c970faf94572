//! What to compile for, and how.

use crate::cpu::Cpu;
use crate::error::CompileError;
use crate::passes::Passes;
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TargetOs {
    Linux,
}

impl Target {
    /// x86-64 Linux.
    pub const X86_64_LINUX: Target = Target {
        arch: TargetArch::X86_64,
        os: TargetOs::Linux,
    };

    /// Every target there is, with its short name.
    pub const ALL: [(Target, &'static str); 1] = [(Target::X86_64_LINUX, "x86_64-linux")];

    /// The target that this compiler itself runs on; x86-64 Linux where that is not one of
    /// [`Target::ALL`].
    pub const fn host() -> Target {
        Target::X86_64_LINUX
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
            _ => None,
        };
        let os = parts.find_map(|part| (part == "linux").then_some(TargetOs::Linux));
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
        }
    }

    /// Its operating system, as objects name it.
    pub const fn os(self) -> Os {
        match self.os {
            TargetOs::Linux => Os::Linux,
        }
    }

    /// The largest page size that it may have, in bytes.
    pub(crate) const fn page_size(self) -> u64 {
        match self.arch {
            TargetArch::X86_64 => 4096,
        }
    }

    pub(crate) const fn elf_machine(self) -> object::elf::Machine {
        match self.arch {
            TargetArch::X86_64 => object::elf::EM_X86_64,
        }
    }

    pub(crate) const fn architecture(self) -> object::Architecture {
        match self.arch {
            TargetArch::X86_64 => object::Architecture::X86_64,
        }
    }

    /// The triple, as Cranelift wants it.
    pub(crate) fn triple(self) -> target_lexicon::Triple {
        use target_lexicon as lexicon;
        lexicon::Triple {
            architecture: match self.arch {
                TargetArch::X86_64 => lexicon::Architecture::X86_64,
            },
            vendor: lexicon::Vendor::Unknown,
            operating_system: match self.os {
                TargetOs::Linux => lexicon::OperatingSystem::Linux,
            },
            environment: lexicon::Environment::Gnu,
            binary_format: lexicon::BinaryFormat::Elf,
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
