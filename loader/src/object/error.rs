//! Why an object cannot be opened: who is at fault, and what to do about it.

use precast_abi::cpu::features;
use precast_abi::object::{Arch, Os};
use std::fmt;

use crate::sys;

/// Why an object was refused. Every message is one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// These bytes are something else.
    NotAnObject(Looks),
    /// The end is missing: written incompletely, or cut short on the way.
    CutShort {
        /// Bytes that the object says it has.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A check failed: the object was altered, or made by a faulty compiler.
    Damaged(Damage),
    /// Made for another instruction set.
    OtherArch(Foreign),
    /// Made for another operating system.
    OtherOs(Foreign),
    /// This CPU lacks what the code needs.
    CpuFeatures(MissingFeatures),
    /// Made for a version of the ABI that this loader does not know.
    OtherVersion {
        /// The object's version, major and minor.
        found: (u16, u16),
    },
    /// Not signed by a key that is trusted.
    #[cfg(feature = "signatures")]
    Untrusted(crate::signature::SignatureError),
    /// The operating system refused.
    Io {
        /// What was being done, as in "cannot … the object".
        doing: &'static str,
        /// Its answer.
        error: std::io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NotAnObject(looks) => looks.fmt(f),
            OpenError::CutShort { needed, found } => write!(
                f,
                "the object is cut short: {found} of at least {needed} bytes are there; copy or compile it again"
            ),
            OpenError::Damaged(damage) => {
                write!(
                    f,
                    "the object is damaged: {damage}; copy or compile it again"
                )
            }
            OpenError::OtherArch(foreign) => write!(
                f,
                "the object is for another CPU: {foreign}, but this one is {}; compile it for this target",
                std::env::consts::ARCH
            ),
            OpenError::OtherOs(foreign) => write!(
                f,
                "the object is for another operating system: {foreign}, but this one is {}; compile it for this target",
                system(crate::sys::host().os)
            ),
            OpenError::CpuFeatures(missing) => write!(
                f,
                "the object needs CPU features that this CPU lacks: {missing}; compile it with a lesser --cpu"
            ),
            OpenError::OtherVersion {
                found: (major, minor),
            } => {
                let ours = precast_abi::VERSION;
                let remedy = if (*major, *minor) < (ours.major, ours.minor) {
                    "compile it again"
                } else {
                    "a newer loader is needed"
                };
                write!(
                    f,
                    "the object is for ABI {major}.{minor}, but this loader knows ABI {}.{}; {remedy}",
                    ours.major, ours.minor
                )
            }
            #[cfg(feature = "signatures")]
            OpenError::Untrusted(error) => error.fmt(f),
            OpenError::Io { doing, error } => write!(f, "cannot {doing} the object: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io { error, .. } => Some(error),
            #[cfg(feature = "signatures")]
            OpenError::Untrusted(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(feature = "signatures")]
impl From<crate::signature::SignatureError> for OpenError {
    fn from(error: crate::signature::SignatureError) -> OpenError {
        OpenError::Untrusted(error)
    }
}

impl From<Damage> for OpenError {
    fn from(damage: Damage) -> OpenError {
        OpenError::Damaged(damage)
    }
}

/// What bytes that are no object look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Looks {
    /// Nothing at all.
    Empty,
    /// A WebAssembly module.
    Wasm,
    /// A WebAssembly component.
    Component,
    /// WebAssembly text.
    Wat,
    /// A relocatable object, as `--emit obj` makes.
    Relocatable,
    /// An ELF file that Precast did not make.
    OtherElf,
    /// A Mach-O file that Precast did not make.
    MachO,
    /// A Windows executable or library.
    Pe,
    /// Anything else.
    Unknown,
}

impl Looks {
    /// Guesses from the first bytes.
    pub(crate) fn guess(bytes: &[u8]) -> Looks {
        const MACH_O: [[u8; 4]; 3] = [
            [0xcf, 0xfa, 0xed, 0xfe],
            [0xce, 0xfa, 0xed, 0xfe],
            [0xca, 0xfe, 0xba, 0xbe],
        ];
        let text = bytes.trim_ascii_start();
        match bytes {
            [] => Looks::Empty,
            [0, b'a', b's', b'm', _, _, 1, ..] => Looks::Component,
            [0, b'a', b's', b'm', ..] => Looks::Wasm,
            [0x7f, b'E', b'L', b'F', ..] => Looks::OtherElf,
            [b'M', b'Z', ..] => Looks::Pe,
            [a, b, c, d, ..] if MACH_O.contains(&[*a, *b, *c, *d]) => Looks::MachO,
            _ if text.starts_with(b"(module") || text.starts_with(b";;") => Looks::Wat,
            _ => Looks::Unknown,
        }
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Looks::Empty => "this is no object but an empty file",
            Looks::Wasm => "this is no object but a WebAssembly module; compile it first (`precast compile`)",
            Looks::Component => "this is no object but a WebAssembly component, which Precast cannot compile yet",
            Looks::Wat => "this is no object but WebAssembly text; compile it first (`precast compile`)",
            Looks::Relocatable => {
                "this is a relocatable object for a linker; compile the module with `--emit so` to load it"
            }
            Looks::OtherElf => "this is an ELF file, but not one that Precast made",
            Looks::MachO => "this is a Mach-O file, but not one that Precast made",
            Looks::Pe => "this is a Windows file, which this loader does not read",
            Looks::Unknown => "this is no object that Precast made",
        })
    }
}

/// Whom an object was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// An instruction set that Precast knows.
    Arch(Arch),
    /// An operating system that Precast knows.
    Os(Os),
    /// A number of ELF's (`e_machine`) that Precast does not know.
    ElfMachine(u16),
    /// A number of Mach-O's (`cputype`) that Precast does not know.
    MachOCpu(u32),
    /// A number in the object that Precast does not know.
    Unknown(u16),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Foreign::Arch(Arch::X86_64) => f.write_str("x86_64"),
            Foreign::Arch(Arch::Aarch64) => f.write_str("aarch64"),
            Foreign::Arch(Arch::Riscv64) => f.write_str("riscv64"),
            Foreign::Os(os) => f.write_str(system(*os)),
            Foreign::ElfMachine(number) => write!(f, "ELF machine {number}"),
            Foreign::MachOCpu(number) => write!(f, "Mach-O CPU {number:#x}"),
            Foreign::Unknown(number) => write!(f, "number {number}, which is unknown"),
        }
    }
}

/// A system, and the format of its objects.
fn system(os: Os) -> &'static str {
    match os {
        Os::Linux => "linux (ELF)",
        Os::Macos => "macos (Mach-O)",
    }
}

/// CPU features that an object needs and this CPU lacks: bits of [`precast_abi::cpu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingFeatures(pub u64);

impl fmt::Display for MissingFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut comma = "";
        for (feature, name) in features(sys::host().arch) {
            if self.0 & feature != 0 {
                rest &= !feature;
                write!(f, "{comma}{name}")?;
                comma = ", ";
            }
        }
        if rest != 0 {
            write!(f, "{comma}unknown ones (bits {rest:#x})")?;
        }
        Ok(())
    }
}

/// A check that an object failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What was looked at.
    pub part: Part,
    /// Which one of them, where there are several.
    pub index: Option<u32>,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Damage {
    /// A fault of something there is one of.
    pub(crate) const fn of(part: Part, fault: Fault) -> Damage {
        Damage {
            part,
            index: None,
            fault,
        }
    }

    /// A fault of one of several.
    pub(crate) const fn at(part: Part, index: u32, fault: Fault) -> Damage {
        Damage {
            part,
            index: Some(index),
            fault,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{} {index} {}", self.part.as_str(), self.fault.as_str()),
            None => write!(f, "{} {}", self.part.as_str(), self.fault.as_str()),
        }
    }
}

impl std::error::Error for Damage {}

/// Lists variants with their words once.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $words:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $words] $variant,)*
        }

        impl $name {
            /// In words, as they stand in messages.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $words,)* }
            }
        }
    };
}

words! {
    /// A part of an object, for [`Damage`].
    Part {
        Headers => "the place of the headers",
        ElfHeader => "the ELF header",
        ProgramHeader => "program header",
        LoadCommand => "load command",
        CodeSignature => "the code signature",
        Metadata => "the metadata header",
        MetadataSize => "the size of the metadata",
        Text => "the text segment",
        Image => "the image segment",
        Layout => "the layout of instance data",
        Init => "the init function",
        ImportCounts => "the number of imports",
        Types => "the list of types",
        ValTypes => "the list of value types",
        Functions => "the list of functions",
        FuncRefs => "the list of functions that can be referred to",
        Tables => "the list of tables",
        Memories => "the list of memories",
        Globals => "the list of globals",
        Imports => "the list of imports",
        Exports => "the list of exports",
        Elements => "the list of element segments",
        DataSegments => "the list of data segments",
        ImageRuns => "the list of image runs",
        TrapOffsets => "the list of trap offsets",
        TrapCodes => "the list of trap codes",
        Customs => "the list of custom sections",
        GlobalsImage => "the image of globals",
        Strings => "the string pool",
        ModuleName => "the module name",
        Producer => "the producer",
        CodeTables => "the code tables",
        CodeTableRecords => "the list of code tables",
        Levels => "the list of levels",
        Tags => "the list of tags",
        ExceptionSites => "the list of exception sites",
        ExceptionFrames => "the list of exception frames",
        ExceptionHandlers => "the list of exception handlers",
        SubTypes => "the list of types' places in their hierarchy",
        Fields => "the list of fields",
        StackMapSites => "the list of calls with stack maps",
        StackMaps => "the stack maps",
        SubType => "place of a type in the hierarchy",
        Field => "field",
        TrapStub => "trap stub",
        Type => "type",
        ValType => "value type",
        Function => "function",
        FuncRef => "entry of the list of functions that can be referred to",
        Table => "table",
        Memory => "memory",
        Global => "global",
        Import => "import",
        Export => "export",
        Element => "element segment",
        Data => "data segment",
        ImageRun => "image run",
        TrapSite => "trap site",
        Custom => "custom section",
        AddressMap => "the address map of function",
        CodeTable => "code table",
        Level => "level",
        Tag => "tag",
        ExceptionSite => "exception site",
        ExceptionHandler => "exception handler",
        Region => "region of instance data",
        Name => "the name of function",
    }
}

words! {
    /// What can be wrong with a [`Part`].
    Fault {
        OutOfBounds => "lies out of bounds",
        Misaligned => "is not aligned",
        Overlaps => "overlaps another",
        Unordered => "is out of order",
        NotUtf8 => "is not UTF-8",
        NotZero => "is not zero where it must be",
        BadMagic => "has a wrong mark",
        BadSize => "has a wrong size",
        BadCount => "has a wrong number of entries",
        BadValue => "has a value that means nothing",
        BadIndex => "has an index past the end",
        BadPermissions => "has wrong permissions",
        BadType => "has a wrong type",
        Missing => "is missing",
        Contradiction => "contradicts another part",
        OutsideText => "lies outside the text",
        OutsideFunction => "lies outside every function",
        Malformed => "is malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_recognised() {
        assert_eq!(Looks::guess(b""), Looks::Empty);
        assert_eq!(Looks::guess(b"\0asm\x01\0\0\0"), Looks::Wasm);
        assert_eq!(Looks::guess(b"\0asm\x0d\0\x01\0"), Looks::Component);
        assert_eq!(Looks::guess(b"\n (module)"), Looks::Wat);
        assert_eq!(Looks::guess(b"MZ\x90"), Looks::Pe);
        assert_eq!(Looks::guess(&[0xcf, 0xfa, 0xed, 0xfe, 0]), Looks::MachO);
        assert_eq!(Looks::guess(b"hello"), Looks::Unknown);
    }

    #[test]
    fn messages_are_one_line_and_say_what_to_do() {
        let (first, name) = features(sys::host().arch)[0];
        let missing = MissingFeatures(first | 1 << 60);
        let text = OpenError::CpuFeatures(missing).to_string();
        assert!(text.contains(&format!("{name}, unknown ones")), "{text}");
        let text = OpenError::NotAnObject(Looks::Wasm).to_string();
        assert!(text.contains("compile it first"), "{text}");
        let damage = Damage::at(Part::Function, 17, Fault::OutsideText);
        let text = OpenError::from(damage).to_string();
        assert!(text.contains("function 17 lies outside the text"), "{text}");
        assert!(!text.contains('\n'));
    }
}
