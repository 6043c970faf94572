//! What the look at the machine code has found.

use std::fmt;

/// What was looked at, and how sure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeReport {
    /// Functions, all of whose reachable instructions were looked at.
    pub(crate) functions: u64,
    /// Instructions.
    pub(crate) instructions: u64,
    /// Bytes of text that belong to no function: stubs and helpers, which are not looked at.
    pub(crate) other_text_bytes: u64,
    /// Accesses to the frame and to parameters. Proven.
    pub(crate) stack_accesses: u64,
    /// Accesses to instance data by constant distance. Proven.
    pub(crate) instance_accesses: u64,
    /// Accesses to memory 0 that end within its guard. Proven.
    pub(crate) memory_accesses: u64,
    /// Reads of constants and code tables. Proven.
    pub(crate) constant_accesses: u64,
    /// Accesses to memories whose address went through a comparison. Not proven: the form is.
    pub(crate) compared_accesses: u64,
    /// Accesses to elements of tables, imported globals and records. Not proven: the form is.
    pub(crate) indirect_accesses: u64,
    /// Reads through function references. Not proven: that they are references is not looked at.
    pub(crate) reference_accesses: u64,
    /// Calls and jumps to functions, imports and entries of code tables. Proven.
    pub(crate) calls: u64,
    /// Calls through function references and elements of tables. Not proven.
    pub(crate) reference_calls: u64,
}

impl CodeReport {
    /// The counts, each with its name.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 12] {
        [
            ("functions followed", self.functions),
            ("instructions", self.instructions),
            (
                "memory accesses within the guard: proven",
                self.memory_accesses,
            ),
            ("instance data accesses: proven", self.instance_accesses),
            ("stack accesses: proven", self.stack_accesses),
            ("constant accesses: proven", self.constant_accesses),
            ("calls to entry points: proven", self.calls),
            (
                "compared memory accesses: form only",
                self.compared_accesses,
            ),
            (
                "table and record accesses: form only",
                self.indirect_accesses,
            ),
            (
                "reads through references: counted only",
                self.reference_accesses,
            ),
            ("calls through references: form only", self.reference_calls),
            (
                "bytes of stubs and padding: not looked at",
                self.other_text_bytes,
            ),
        ]
    }

    /// Counts what another has counted, too.
    pub(crate) fn add(&mut self, other: &CodeReport) {
        self.functions += other.functions;
        self.instructions += other.instructions;
        self.other_text_bytes += other.other_text_bytes;
        self.stack_accesses += other.stack_accesses;
        self.instance_accesses += other.instance_accesses;
        self.memory_accesses += other.memory_accesses;
        self.constant_accesses += other.constant_accesses;
        self.compared_accesses += other.compared_accesses;
        self.indirect_accesses += other.indirect_accesses;
        self.reference_accesses += other.reference_accesses;
        self.calls += other.calls;
        self.reference_calls += other.reference_calls;
    }
}

/// Code that does what no compiled function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Index of the function.
    pub(crate) function: u32,
    /// Text offset of the instruction.
    pub(crate) text_offset: u32,
    /// What it does.
    pub(crate) problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            function,
            text_offset,
            problem,
        } = self;
        write!(
            f,
            "function {function}, code at {text_offset:#x}: {}",
            problem.as_str()
        )
    }
}

/// What code may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Bytes that are no instruction, or run out of the function.
    NotCode,
    /// System calls, privileged, string and segment instructions, and whatever else compiled code
    /// has no use for.
    ForbiddenInstruction,
    /// An instruction of a CPU feature that the object does not ask for.
    UndeclaredFeature,
    /// An access at an address that nothing is known of.
    WildAccess,
    /// An access to memory 0 beyond its guard, or across the instance base.
    PastGuard,
    /// An access to instance data where there is none, or at no constant distance.
    BadInstanceAccess,
    /// A write to instance data that only the loader writes.
    WriteToInstance,
    /// A write to code or constants.
    WriteToCode,
    /// A read beyond an array of code or constants.
    PastCode,
    /// An access outside of the frame and the parameters.
    PastFrame,
    /// A compared access that the trap table does not have.
    NotInTrapTable,
    /// A call or jump to what is no entry point.
    BadTarget,
    /// A call or jump to an address that nothing is known of.
    WildCall,
    /// A call with a context that is not the callee's.
    BadContext,
    /// A call whose handlers of exceptions would not find the frame that they count on.
    BadHandler,
    /// A return, or a tail call, that does not restore what the caller left.
    NotRestored,
}

impl Problem {
    /// In words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Problem::NotCode => "no instruction, or past the end of the function",
            Problem::ForbiddenInstruction => "an instruction that compiled code has no use for",
            Problem::UndeclaredFeature => {
                "an instruction of a CPU feature that the object does not ask for"
            }
            Problem::WildAccess => "an access at an address that nothing is known of",
            Problem::PastGuard => "an access to memory that may end beyond the guard",
            Problem::BadInstanceAccess => "an access to instance data where there is none",
            Problem::WriteToInstance => "a write to instance data that only the loader writes",
            Problem::WriteToCode => "a write to code or constants",
            Problem::PastCode => "a read beyond constants",
            Problem::PastFrame => "an access outside of the stack frame",
            Problem::NotInTrapTable => "a compared access that the trap table does not have",
            Problem::BadTarget => "a call or jump to what is no entry point",
            Problem::WildCall => "a call or jump to an address that nothing is known of",
            Problem::BadContext => "a call with a context that is not the callee's",
            Problem::BadHandler => "a handler of exceptions that does not suit its call",
            Problem::NotRestored => "a return that does not restore what the caller left",
        }
    }
}
