//! Errors, by who is at fault.

use std::error::Error as StdError;
use std::fmt;

use crate::exception::Exception;
use crate::object::{Damage, OpenError};
use crate::suspend::Suspend;
use crate::trap::Trap;
use crate::types::{ExternType, FuncType};

/// Why a call into a guest, or an instantiation, did not go well.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The guest trapped. Not an error of the host.
    Trap(Trap),
    /// The guest threw an exception and did not catch it; or, as the error of a function of the
    /// host, one that the guest that has called it may catch. Not an error of the host.
    Exception(Exception),
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
    /// The system refused memory, or something else.
    System(SystemError),
    /// There is no address space for an instance.
    AddressSpace(AddressSpaceError),
    /// A pool has no slot for this.
    Pool(PoolError),
    /// A function of the host that cannot answer yet: see [`Suspend`].
    Suspend(Suspend),
}

/// Errors go from thread to thread, and into whatever boxes errors.
const _: () = {
    const fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Error>();
};

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

    /// The exception, where it is one.
    pub fn exception(&self) -> Option<&Exception> {
        match self {
            Error::Exception(exception) => Some(exception),
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
            Error::Exception(exception) => exception.fmt(f),
            Error::Host(error) => error.fmt(f),
            Error::Link(error) => error.fmt(f),
            Error::Limit(error) => error.fmt(f),
            Error::Use(error) => error.fmt(f),
            Error::Object(error) => error.fmt(f),
            Error::System(error) => error.fmt(f),
            Error::AddressSpace(error) => error.fmt(f),
            Error::Pool(error) => error.fmt(f),
            Error::Suspend(_) => f.write_str("a function of the host asked to wait"),
        }
    }
}

impl From<Suspend> for Error {
    fn from(suspend: Suspend) -> Error {
        Error::Suspend(suspend)
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
            Error::AddressSpace(error) => Some(&error.source),
            _ => None,
        }
    }
}

impl From<Trap> for Error {
    fn from(trap: Trap) -> Error {
        Error::Trap(trap)
    }
}

impl From<Exception> for Error {
    fn from(exception: Exception) -> Error {
        Error::Exception(exception)
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

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Error {
        Error::Pool(error)
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
    /// A function of a template was called in a sandbox of another.
    WrongTemplate,
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
    /// Threads share the memory: its bytes are copied, not borrowed.
    SharedMemory,
    /// An index or range past the end of a memory or table.
    OutOfBounds,
    /// A type that cannot be made, for instance one whose least size exceeds its greatest.
    BadType {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The function's type cannot be called from outside.
    NotCallable,
    /// A guest of the store is suspended: it must be resumed or dropped before another runs.
    GuestSuspended,
    /// A function of the host asked to wait where its guest cannot be suspended: it was called
    /// by the host, or the guest by other means than `start`, or there are entries between.
    CannotSuspend,
    /// A call that can be suspended was started by a host function that a guest of the same store
    /// has called.
    NotOutermost,
    /// The guest is not suspended any more: its store was reset or replaced.
    NotSuspended,
    /// The function of the host that asked to wait has results, and none were given.
    NoResults,
}

impl fmt::Display for UseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UseError::WrongStore => f.write_str("the handle belongs to another store"),
            UseError::WrongTemplate => f.write_str("the sandbox is of another template"),
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
            UseError::SharedMemory => {
                f.write_str("threads share the memory: its bytes can only be copied")
            }
            UseError::OutOfBounds => f.write_str("out of bounds"),
            UseError::BadType { reason } => write!(f, "not a valid type: {reason}"),
            UseError::NotCallable => f.write_str("the function cannot be called from outside"),
            UseError::GuestSuspended => f.write_str("a guest of the store is suspended"),
            UseError::CannotSuspend => f.write_str(
                "a function of the host asked to wait where its guest cannot be suspended",
            ),
            UseError::NotOutermost => f.write_str(
                "a call that can be suspended cannot be started while the store's guest waits",
            ),
            UseError::NotSuspended => f.write_str("the guest is not suspended any more"),
            UseError::NoResults => f.write_str(
                "the guest cannot go on without the results of the host function it waits for",
            ),
        }
    }
}

impl StdError for UseError {}

/// Why a pool cannot be made, or has no slot for a module. Says which limit was hit and what to set.
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// All slots are in use.
    Full {
        /// How many there are.
        slots: usize,
    },
    /// More instance data than a slot has room for.
    InstanceData {
        /// Bytes that the module needs.
        needed: u64,
        /// Bytes that a slot has.
        room: u64,
    },
    /// The module was compiled for a larger reservation of address space than a slot has.
    Reservation {
        /// Bytes, guard included, that the module's code counts on.
        needed: u64,
        /// Bytes, guard included, that a slot has.
        room: u64,
    },
    /// The module's memory begins larger than a slot's memory can be.
    Memory {
        /// Bytes that the memory has at first.
        needed: u64,
        /// Bytes that a slot has.
        room: u64,
    },
    /// A template was made of imports that belong to a store.
    ImportOfStore {
        /// Name of the module that the import comes from.
        module: String,
        /// Its name there.
        name: String,
    },
    /// A template was made of a module with a memory that threads share.
    SharedMemory,
    /// The process may not have as many mappings as the pool needs.
    Mappings {
        /// How many the pool needs.
        needed: usize,
        /// How many the process may have at all.
        max: usize,
        /// How many it has already.
        used: usize,
    },
    /// The system has no such address space.
    AddressSpace {
        /// Bytes that the pool needs.
        needed: u64,
        /// Limit of the process (`ulimit -v`) in bytes, where it has one.
        limit: Option<u64>,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Options that contradict each other.
    Options {
        /// What is wrong.
        reason: &'static str,
    },
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::Full { slots } => {
                write!(
                    f,
                    "all {slots} slots of the pool are in use: set `slots` higher"
                )
            }
            PoolError::InstanceData { needed, room } => write!(
                f,
                "the module needs {needed} bytes of instance data and the pool's slots have {room}: \
                 set `instance_data` higher"
            ),
            PoolError::Reservation { needed, room } => write!(
                f,
                "the module was compiled for {needed} bytes of address space and the pool's slots \
                 have {room}: take `Density::Guarded` or a larger one, or compile the module with \
                 --memory-reservation"
            ),
            PoolError::Memory { needed, room } => write!(
                f,
                "the module's memory begins with {needed} bytes and the pool's slots have {room}: \
                 take a larger density"
            ),
            PoolError::ImportOfStore { module, name } => write!(
                f,
                "the import `{module}::{name}` belongs to a store: templates take functions of \
                 the host only"
            ),
            PoolError::SharedMemory => f.write_str(
                "the module has a memory that threads share: such modules cannot be pooled",
            ),
            PoolError::Mappings { needed, max, used } => write!(
                f,
                "the pool needs {needed} memory mappings, and the process has {used} of at most \
                 {max}: raise vm.max_map_count (sysctl -w vm.max_map_count={}), take fewer slots, \
                 or compact ones",
                (needed + used).saturating_mul(5) / 4
            ),
            PoolError::AddressSpace {
                needed,
                limit,
                source,
            } => {
                write!(
                    f,
                    "the pool needs {needed} bytes of address space: {source}; "
                )?;
                match limit {
                    Some(limit) => write!(
                        f,
                        "the process may have {limit} (raise `ulimit -v`); or take fewer slots, or \
                         compact ones for modules compiled with --memory-reservation"
                    ),
                    None => f.write_str(
                        "take fewer slots, or compact ones for modules compiled with \
                         --memory-reservation",
                    ),
                }
            }
            PoolError::Options { reason } => f.write_str(reason),
        }
    }
}

impl StdError for PoolError {}

/// There is no address space for an instance.
#[derive(Debug)]
pub struct AddressSpaceError {
    /// Bytes that the instance needs in one piece.
    pub(crate) needed: u64,
    /// Limit of the process (`ulimit -v`) in bytes, where it has one.
    pub(crate) limit: Option<u64>,
    /// Whether most of it is for a memory that is accessed without checks.
    pub(crate) guarded: bool,
    /// What the system answered.
    pub(crate) source: std::io::Error,
}

impl AddressSpaceError {
    /// Bytes that the instance needs in one piece.
    pub fn needed(&self) -> u64 {
        self.needed
    }

    /// The limit of the process (`ulimit -v`) in bytes, where it has one.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }
}

impl fmt::Display for AddressSpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.guarded {
            true => "a memory without bounds checks and its guard pages",
            false => "an instance",
        };
        write!(
            f,
            "cannot reserve {} bytes of address space for {whose}: ",
            self.needed
        )?;
        match self.limit {
            Some(limit) => write!(f, "the process may have {limit} (raise `ulimit -v`"),
            None => write!(f, "{} (end what else takes it", self.source),
        }?;
        f.write_str(match self.guarded {
            true => ", or compile the module with --memory-reservation SIZE)",
            false => ")",
        })
    }
}

impl StdError for AddressSpaceError {}

impl From<AddressSpaceError> for Error {
    fn from(error: AddressSpaceError) -> Error {
        Error::AddressSpace(error)
    }
}

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

impl SystemError {
    /// Something that has nothing to do with bytes.
    pub(crate) fn new(what: &'static str, source: std::io::Error) -> SystemError {
        SystemError {
            what,
            bytes: 0,
            source: Some(source),
        }
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.what)?;
        if self.bytes > 0 {
            write!(f, " {} bytes", self.bytes)?;
        }
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for SystemError {}
