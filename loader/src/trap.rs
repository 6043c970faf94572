//! Traps and where they happened.

use std::fmt;
use std::sync::OnceLock;

use precast_abi::trap::TrapCode;

use crate::calls::{Calls, Frames};
use crate::module::Module;

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
///
/// To take one is cheap: what the calls are is looked up when they are first asked for. Until it is
/// dropped, the modules that it leads through stay open.
#[derive(Clone, Default)]
pub struct Backtrace {
    calls: Calls,
    frames: OnceLock<Frames>,
}

impl Backtrace {
    pub(crate) fn of(calls: Calls) -> Backtrace {
        Backtrace {
            calls,
            frames: OnceLock::new(),
        }
    }

    fn resolved(&self) -> &Frames {
        self.frames.get_or_init(|| self.calls.frames())
    }

    /// The frames, innermost first. Of a very deep stack only the ends are kept.
    pub fn frames(&self) -> &[Frame] {
        &self.resolved().frames
    }

    /// How many frames were left out between the two ends; at least so many if that is thousands.
    pub fn omitted(&self) -> usize {
        self.resolved().omitted
    }
}

impl PartialEq for Backtrace {
    fn eq(&self, other: &Backtrace) -> bool {
        let (this, other) = (self.resolved(), other.resolved());
        this.frames == other.frames && (this.omitted, this.is_cut) == (other.omitted, other.is_cut)
    }
}

impl Eq for Backtrace {}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backtrace")
            .field("frames", &self.frames())
            .field("omitted", &self.omitted())
            .finish()
    }
}

/// One call of a guest function.
#[derive(Clone)]
pub struct Frame {
    pub(crate) module: Module,
    pub(crate) function: u32,
    pub(crate) wasm_offset: Option<u32>,
}

impl Frame {
    /// Name of the module; may be empty.
    pub fn module(&self) -> &str {
        self.module.name()
    }

    /// Index of the function in the module's function index space.
    pub fn function_index(&self) -> u32 {
        self.function
    }

    /// Name of the function, where the module names it.
    pub fn name(&self) -> Option<&str> {
        let name = self.module.metadata().function_name(self.function);
        name.ok().filter(|name| !name.is_empty())
    }

    /// Offset in the module's file of the instruction that was being executed.
    pub fn wasm_offset(&self) -> Option<u32> {
        self.wasm_offset
    }

    /// All that it tells.
    fn told(&self) -> (&str, u32, Option<&str>, Option<u32>) {
        (self.module(), self.function, self.name(), self.wasm_offset)
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Frame) -> bool {
        self.told() == other.told()
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("module", &self.module())
            .field("function", &self.function)
            .field("name", &self.name())
            .field("wasm_offset", &self.wasm_offset)
            .finish()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.module().is_empty() {
            write!(f, "{}!", Printable(self.module()))?;
        }
        match self.name() {
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
        let Frames {
            frames,
            omitted,
            is_cut,
        } = self.resolved();
        let innermost = frames.len() - frames.len() / 2;
        for (i, frame) in frames.iter().enumerate() {
            if *omitted > 0 && i == innermost {
                let more = if *is_cut { "more than " } else { "" };
                writeln!(f, "     … {more}{omitted} frames …")?;
            }
            match (i < innermost, is_cut) {
                (true, _) => writeln!(f, "{i:4}: {frame}")?,
                (false, false) => writeln!(f, "{:4}: {frame}", i + omitted)?,
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
        let name = "f\n   1: forged\u{1b}[31mé\r";
        assert_eq!(
            Printable(name).to_string(),
            "f\\n   1: forged\\u{1b}[31mé\\r"
        );
    }
}
