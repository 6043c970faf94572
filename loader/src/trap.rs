//! Traps and where they happened.

use std::fmt;

use precast_abi::trap::TrapCode;

/// A guest that was stopped: why, and where.
pub struct Trap {
    inner: Box<TrapInner>,
}

struct TrapInner {
    code: TrapCode,
    interruption: Option<Interruption>,
    backtrace: Backtrace,
}

/// Who or what interrupted a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interruption {
    /// [`crate::InterruptHandle::kill`].
    Killed,
    /// Its deadline, see [`crate::Store::set_deadline`].
    Deadline,
    /// Its CPU time is spent, see [`crate::Store::set_cpu_budget`].
    CpuBudget,
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Interruption::Killed => "killed",
            Interruption::Deadline => "the deadline passed",
            Interruption::CpuBudget => "the CPU time is spent",
        })
    }
}

impl Trap {
    pub(crate) fn new(code: TrapCode, backtrace: Backtrace) -> Trap {
        Trap {
            inner: Box::new(TrapInner {
                code,
                interruption: None,
                backtrace,
            }),
        }
    }

    /// A guest that was interrupted.
    pub(crate) fn interrupted(by: Interruption, backtrace: Backtrace) -> Trap {
        Trap {
            inner: Box::new(TrapInner {
                code: TrapCode::Interrupted,
                interruption: Some(by),
                backtrace,
            }),
        }
    }

    /// Why the guest was stopped.
    pub fn code(&self) -> TrapCode {
        self.inner.code
    }

    /// Who or what interrupted the guest, where the code is [`TrapCode::Interrupted`].
    pub fn interruption(&self) -> Option<Interruption> {
        self.inner.interruption
    }

    /// The calls that led to the trap.
    pub fn backtrace(&self) -> &Backtrace {
        &self.inner.backtrace
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner.interruption {
            // What stands for an interruption of any kind says enough of a kill.
            None | Some(Interruption::Killed) => self.inner.code.fmt(f),
            Some(by) => write!(f, "{}: {by}", self.inner.code),
        }
    }
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trap")
            .field("code", &self.inner.code)
            .field("backtrace", &self.inner.backtrace)
            .finish()
    }
}

impl std::error::Error for Trap {}

/// Calls between guest functions, innermost first. Its text has one line per frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backtrace {
    pub(crate) frames: Vec<Frame>,
    pub(crate) omitted: usize,
    /// Whether more than that were omitted.
    pub(crate) is_cut: bool,
}

impl Backtrace {
    /// The frames, innermost first. Of a very deep stack only the ends are kept.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// How many frames were left out between the two ends; at least so many if that is thousands.
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

/// One call of a guest function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub(crate) module: String,
    pub(crate) function: u32,
    pub(crate) name: Option<String>,
    pub(crate) wasm_offset: Option<u32>,
}

impl Frame {
    /// Name of the module; may be empty.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Index of the function in the module's function index space.
    pub fn function_index(&self) -> u32 {
        self.function
    }

    /// Name of the function, where the module names it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Offset in the module's file of the instruction that was being executed.
    pub fn wasm_offset(&self) -> Option<u32> {
        self.wasm_offset
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.module.is_empty() {
            write!(f, "{}!", Printable(&self.module))?;
        }
        match &self.name {
            Some(name) => Printable(name).fmt(f)?,
            None => write!(f, "wasm-function[{}]", self.function)?,
        }
        match self.wasm_offset {
            Some(offset) => write!(f, " at {offset:#x}"),
            None => Ok(()),
        }
    }
}

/// A name that a module gives, in one line: whatever is in it, it must not drive a terminal, nor look
/// like more than one frame.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => write!(f, "{c}"),
        })
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let innermost = self.frames.len() - self.frames.len() / 2;
        for (i, frame) in self.frames.iter().enumerate() {
            if self.omitted > 0 && i == innermost {
                let more = if self.is_cut { "more than " } else { "" };
                writeln!(f, "     … {more}{} frames …", self.omitted)?;
            }
            match (i < innermost, self.is_cut) {
                (true, _) => writeln!(f, "{i:4}: {frame}")?,
                (false, false) => writeln!(f, "{:4}: {frame}", i + self.omitted)?,
                (false, true) => writeln!(f, "      {frame}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are the module's own words.
    #[test]
    fn names_in_backtraces_cannot_drive_a_terminal_or_forge_frames() {
        let frame = Frame {
            module: "m\r".to_owned(),
            function: 3,
            name: Some("f\n   1: forged\u{1b}[31mé".to_owned()),
            wasm_offset: Some(16),
        };
        assert_eq!(
            frame.to_string(),
            "m\\r!f\\n   1: forged\\u{1b}[31mé at 0x10"
        );
    }
}
