//! Errors, by who is at fault.

use std::error::Error as StdError;
use std::fmt;

use crate::object::{Damage, OpenError};
use crate::trap::Trap;
use crate::types::{ExternType, FuncType};

/// Why a call into a guest, or an instantiation, did not go well.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The guest trapped. Not an error of the host.
    Trap(Trap),
    /// A function of the host failed: what it returned, unchanged.
    Host(Box<dyn StdError + Send + Sync>),
    /// Imports do not fit what the module asks for.
    Link(LinkError),
    /// A limit of the store was reached.
    Limit(LimitError),
    /// The embedder used a value or handle in a way its type does not allow.
    Use(UseError),
    /// The object contradicts itself: it is damaged.
    Object(OpenError),
    /// The system refused memory or address space.
    System(SystemError),
}

impl Error {
    /// The error of a function of the host, which reaches the caller of the guest unchanged.
    pub fn host(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::Host(error.into())
    }

    /// The trap, where it is one.
    pub fn trap(&self) -> Option<&Trap> {
        match self {
            Error::Trap(trap) => Some(trap),
            _ => None,
        }
    }

    /// The error of type `E` that a function of the host returned, if that is what it is.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Error::Host(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// As [`Error::downcast_ref`], by value.
    ///
    /// # Errors
    ///
    /// The error itself where it is another.
    pub fn downcast<E: StdError + 'static>(self) -> Result<E, Error> {
        match self {
            Error::Host(error) => error.downcast().map(|error| *error).map_err(Error::Host),
            other => Err(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Trap(trap) => trap.fmt(f),
            Error::Host(error) => error.fmt(f),
            Error::Link(error) => error.fmt(f),
            Error::Limit(error) => error.fmt(f),
            Error::Use(error) => error.fmt(f),
            Error::Object(error) => error.fmt(f),
            Error::System(error) => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Host(error) => error.source(),
            Error::System(error) => error
                .source
                .as_ref()
                .map(|e| e as &(dyn StdError + 'static)),
            _ => None,
        }
    }
}

impl From<Trap> for Error {
    fn from(trap: Trap) -> Error {
        Error::Trap(trap)
    }
}

impl From<UseError> for Error {
    fn from(error: UseError) -> Error {
        Error::Use(error)
    }
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Error {
        Error::Link(error)
    }
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Error {
        Error::Limit(error)
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Error {
        Error::Object(error)
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Error {
        Error::Object(damage.into())
    }
}

impl From<SystemError> for Error {
    fn from(error: SystemError) -> Error {
        Error::System(error)
    }
}

/// Imports that are missing or of the wrong type: all of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkError {
    /// One entry per import that does not fit, in the module's order. Never empty.
    pub imports: Vec<UnfitImport>,
}

/// One import that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitImport {
    /// Name of the module it was to come from.
    pub module: String,
    /// Its name there.
    pub name: String,
    /// What the importing module asks for.
    pub expected: ExternType,
    /// What there was instead; `None` where there was nothing of that name.
    pub found: Option<ExternType>,
}

impl fmt::Display for UnfitImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnfitImport {
            module,
            name,
            expected,
            found,
        } = self;
        match found {
            None => write!(f, "unknown import `{module}::{name}`: expected {expected}"),
            Some(found) => write!(
                f,
                "incompatible import type for `{module}::{name}`: expected {expected}, found {found}"
            ),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, import) in self.imports.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            import.fmt(f)?;
        }
        Ok(())
    }
}

impl StdError for LinkError {}

/// A limit of the store that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// More bytes of linear memory than the store allows.
    MemoryBytes {
        /// How many were asked for.
        requested: u64,
        /// How many there may be.
        limit: u64,
    },
    /// More table elements than the store allows.
    TableElements {
        /// How many were asked for.
        requested: u64,
        /// How many there may be.
        limit: u64,
    },
    /// More instances than the store allows.
    Instances {
        /// How many there may be.
        limit: usize,
    },
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitError::MemoryBytes { requested, limit } => {
                write!(
                    f,
                    "a memory of {requested} bytes exceeds the limit of {limit}"
                )
            }
            LimitError::TableElements { requested, limit } => {
                write!(
                    f,
                    "a table of {requested} elements exceeds the limit of {limit}"
                )
            }
            LimitError::Instances { limit } => {
                write!(f, "the store may hold no more than {limit} instances")
            }
        }
    }
}

impl StdError for LimitError {}

/// A value or handle that was used in a way its type does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UseError {
    /// A handle was used with another store than the one it belongs to.
    WrongStore,
    /// The instance has no export of that name.
    NoExport {
        /// The name.
        name: String,
    },
    /// The export is something else.
    NotA {
        /// What was asked for: `function`, `memory`, `table` or `global`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The function has another type.
    FuncType {
        /// The type it was asked for by.
        asked: FuncType,
        /// The type it has.
        actual: FuncType,
    },
    /// A call with the wrong number of values.
    ValueCount {
        /// How many the type asks for.
        expected: usize,
        /// How many there were.
        found: usize,
        /// `parameters` or `results`.
        of: &'static str,
    },
    /// A value of the wrong type.
    ValueType {
        /// The type that was needed.
        expected: crate::types::ValType,
        /// What was wrong with the value: its type, in words.
        found: &'static str,
    },
    /// The global cannot be set.
    Immutable,
    /// The object was not compiled to count what it executes.
    NoFuel,
    /// An index or range past the end of a memory or table.
    OutOfBounds,
    /// A type that cannot be made, for instance one whose least size exceeds its greatest.
    BadType {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The function's type cannot be called from outside.
    NotCallable,
}

impl fmt::Display for UseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UseError::WrongStore => f.write_str("the handle belongs to another store"),
            UseError::NoExport { name } => write!(f, "there is no export `{name}`"),
            UseError::NotA { kind, name } => write!(f, "the export `{name}` is not a {kind}"),
            UseError::FuncType { asked, actual } => {
                write!(f, "the function has type {actual}, not {asked}")
            }
            UseError::ValueCount {
                expected,
                found,
                of,
            } => {
                write!(f, "expected {expected} {of}, found {found}")
            }
            UseError::ValueType { expected, found } => {
                write!(f, "expected a value of type {expected}, found {found}")
            }
            UseError::Immutable => f.write_str("the global is immutable"),
            UseError::NoFuel => {
                f.write_str("the object does not count fuel; compile it with --fuel")
            }
            UseError::OutOfBounds => f.write_str("out of bounds"),
            UseError::BadType { reason } => write!(f, "not a valid type: {reason}"),
            UseError::NotCallable => f.write_str("the function cannot be called from outside"),
        }
    }
}

impl StdError for UseError {}

/// The system refused something.
#[derive(Debug)]
pub struct SystemError {
    /// What was tried.
    pub(crate) what: &'static str,
    /// How many bytes of it.
    pub(crate) bytes: u64,
    /// What the system answered.
    pub(crate) source: Option<std::io::Error>,
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {} bytes", self.what, self.bytes)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for SystemError {}
