//! Describing a guest's world before it runs.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::ctx::{Capture, STDERR, STDOUT, Strings, WasiCtx};
use crate::descriptor::{Descriptor, Object, Source};
use crate::preview1::random::Pool;
use crate::resolve::Resolver;
use crate::table::Table;
use crate::types::{FdFlags, Rights};

/// What a guest may do below a preopened directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Perms {
    /// Read, list, and look at everything; every change is EROFS.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// Where a guest's standard input comes from.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// It is empty.
    #[default]
    Null,
    /// The host's own standard input.
    Inherit,
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// A file, pipe or socket of the host.
    File(Arc<OwnedFd>),
}

/// Where a guest's standard output or error goes.
#[derive(Clone, Debug, Default)]
pub enum Output {
    /// Nowhere.
    #[default]
    Null,
    /// The host's own.
    Inherit,
    /// A buffer, read with [`WasiCtx::stdout`] or [`WasiCtx::stderr`].
    Capture,
    /// A file, pipe or socket of the host.
    ///
    /// Where the reader of a pipe may go away, the process must ignore SIGPIPE, as Rust programs do
    /// unless they ask for the contrary; a program in another language that loads this one must ask
    /// for it. Else writing ends the process, as in any program. (Sockets that the guest knows as such
    /// never raise it.)
    File(Arc<OwnedFd>),
}

impl Input {
    /// A file, pipe or socket of the host.
    pub fn file(file: impl Into<OwnedFd>) -> Self {
        Self::File(Arc::new(file.into()))
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl Output {
    /// A file, pipe or socket of the host.
    pub fn file(file: impl Into<OwnedFd>) -> Self {
        Self::File(Arc::new(file.into()))
    }
}

/// Why a [`WasiCtx`] could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// An argument or environment variable holds a NUL byte, which no guest could see.
    Nul {
        /// The argument, or the name of the variable.
        string: String,
    },
    /// The name of an environment variable is empty or holds `=`.
    VariableName {
        /// The name.
        name: String,
    },
    /// Arguments or environment are larger than a guest's 32 bits can say.
    TooLarge,
    /// A directory to preopen could not be opened.
    Preopen {
        /// Its path on the host.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A standard stream or socket could not be duplicated or looked at.
    Stream {
        /// Which one.
        name: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// Streams, directories and sockets are more than the guest may have open.
    TooManyDescriptors {
        /// The limit.
        limit: usize,
    },
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nul { string } => write!(
                f,
                "{string:?} holds a NUL byte, which a guest cannot be given"
            ),
            Self::VariableName { name } => {
                write!(f, "{name:?} cannot be the name of an environment variable")
            }
            Self::TooLarge => f.write_str("arguments or environment are larger than 4 GiB"),
            Self::Preopen { path, error } => {
                write!(f, "cannot open directory {}: {error}", path.display())
            }
            Self::Stream { name, error } => write!(f, "cannot use {name}: {error}"),
            Self::TooManyDescriptors { limit } => write!(f, "more than {limit} descriptors"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Preopen { error, .. } | Self::Stream { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Describes a guest's world. At first it is empty: no arguments, no variables, no files; input is empty and output vanishes.
///
/// One builder can make any number of contexts; directories are opened once, when they are named.
///
/// ```no_run
/// use precast_wasi::{Output, Perms, WasiCtxBuilder};
///
/// let mut builder = WasiCtxBuilder::new();
/// builder.args(["tool", "--help"]).env("LANG", "C").stdout(Output::Capture);
/// builder.preopen_dir("/srv/data", "/data", Perms::ReadOnly)?;
/// let ctx = builder.build()?;
/// # Ok::<(), precast_wasi::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WasiCtxBuilder {
    args: Vec<Vec<u8>>,
    environment: Vec<(Vec<u8>, Vec<u8>)>,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    preopens: Vec<Preopen>,
    sockets: Vec<Socket>,
    resolver: Resolver,
    max_descriptors: usize,
    max_capture: usize,
}

#[derive(Clone, Debug)]
struct Preopen {
    fd: Arc<OwnedFd>,
    name: Arc<[u8]>,
    perms: Perms,
}

#[derive(Clone, Debug)]
struct Socket {
    fd: Arc<OwnedFd>,
    /// As it was handed in.
    nonblocking: bool,
}

impl Default for WasiCtxBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl WasiCtxBuilder {
    /// An empty world.
    pub fn new() -> Self {
        Self {
            args: Vec::new(),
            environment: Vec::new(),
            stdin: Input::Null,
            stdout: Output::Null,
            stderr: Output::Null,
            preopens: Vec::new(),
            sockets: Vec::new(),
            resolver: Resolver::detect(),
            max_descriptors: 1024,
            max_capture: 64 << 20,
        }
    }

    /// Adds an argument. The first is the program's name.
    pub fn arg(&mut self, arg: impl AsRef<[u8]>) -> &mut Self {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<[u8]>>) -> &mut Self {
        for arg in args {
            self.arg(arg);
        }
        self
    }

    /// Sets an environment variable, in place of one of the same name.
    pub fn env(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        let (name, value) = (name.as_ref(), value.as_ref().to_vec());
        match self.environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.environment.push((name.to_vec(), value)),
        }
        self
    }

    /// Sets where standard input comes from.
    pub fn stdin(&mut self, input: Input) -> &mut Self {
        self.stdin = input;
        self
    }

    /// Sets where standard output goes.
    pub fn stdout(&mut self, output: Output) -> &mut Self {
        self.stdout = output;
        self
    }

    /// Sets where standard error goes.
    pub fn stderr(&mut self, output: Output) -> &mut Self {
        self.stderr = output;
        self
    }

    /// Gives the guest the host's standard input, output and error.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.stdin(Input::Inherit)
            .stdout(Output::Inherit)
            .stderr(Output::Inherit)
    }

    /// Gives the guest a directory of the host under a name, as the next descriptor after 2 and those named before.
    ///
    /// # Errors
    ///
    /// When the directory cannot be opened.
    pub fn preopen_dir(
        &mut self,
        host: impl AsRef<Path>,
        guest: impl AsRef<[u8]>,
        perms: Perms,
    ) -> Result<&mut Self, BuildError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(host.as_ref(), flags, Mode::empty()).map_err(|error| {
            BuildError::Preopen {
                path: host.as_ref().to_path_buf(),
                error: error.into(),
            }
        })?;
        self.preopens.push(Preopen {
            fd: Arc::new(fd),
            name: guest.as_ref().into(),
            perms,
        });
        Ok(self)
    }

    /// Gives the guest a socket (a listener or a connection), as the next descriptor after all directories.
    pub fn socket(&mut self, socket: impl Into<OwnedFd>) -> &mut Self {
        let fd = Arc::new(socket.into());
        let flags = rustix::fs::fcntl_getfl(&fd);
        self.sockets.push(Socket {
            nonblocking: flags.is_ok_and(|flags| flags.contains(OFlags::NONBLOCK)),
            fd,
        });
        self
    }

    /// Sets how many descriptors the guest may have open at once; 1024 at first. One more is EMFILE.
    pub fn max_descriptors(&mut self, limit: usize) -> &mut Self {
        self.max_descriptors = limit;
        self
    }

    /// Sets how many bytes each captured stream may hold; 64 MiB at first. Writing more is ENOSPC.
    pub fn max_capture(&mut self, bytes: usize) -> &mut Self {
        self.max_capture = bytes;
        self
    }

    /// Finds paths without the kernel's `openat2`, as on kernels before Linux 5.6. Only tests need this.
    #[doc(hidden)]
    pub fn walk_paths(&mut self) -> &mut Self {
        self.resolver = Resolver::Walk;
        self
    }

    /// Makes a context.
    ///
    /// # Errors
    ///
    /// When a string cannot be given to a guest, a stream cannot be used, or there are too many descriptors.
    pub fn build(&self) -> Result<WasiCtx, BuildError> {
        Ok(WasiCtx {
            table: self.build_table()?,
            captured: [(), ()].map(|()| Capture {
                bytes: Vec::new(),
                limit: self.max_capture,
            }),
            args: build_args(&self.args)?,
            environment: build_environment(&self.environment)?,
            random: Pool::EMPTY,
            resolver: self.resolver,
        })
    }

    fn build_table(&self) -> Result<Table, BuildError> {
        let mut table = Table::new(self.max_descriptors);
        let mut push = |descriptor| {
            let pushed = table.push(descriptor);
            pushed.map_err(|_| BuildError::TooManyDescriptors {
                limit: self.max_descriptors,
            })
        };
        push(build_input(&self.stdin)?)?;
        push(build_output(&self.stdout, STDOUT)?)?;
        push(build_output(&self.stderr, STDERR)?)?;
        for preopen in &self.preopens {
            let read_only = preopen.perms == Perms::ReadOnly;
            push(Descriptor::preopen(
                preopen.fd.clone(),
                preopen.name.clone(),
                read_only,
            ))?;
        }
        for socket in &self.sockets {
            push(build_socket(socket)?)?;
        }
        Ok(table)
    }
}

fn build_args(args: &[Vec<u8>]) -> Result<Arc<Strings>, BuildError> {
    for arg in args {
        no_nul(arg, arg)?;
    }
    Strings::join(args)
        .map(Arc::new)
        .ok_or(BuildError::TooLarge)
}

fn build_environment(variables: &[(Vec<u8>, Vec<u8>)]) -> Result<Arc<Strings>, BuildError> {
    let mut strings = Vec::new();
    for (name, value) in variables {
        if name.is_empty() || name.contains(&b'=') {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(BuildError::VariableName { name });
        }
        no_nul(name, name)?;
        no_nul(value, name)?;
        strings.push([name.as_slice(), b"=", value].concat());
    }
    Strings::join(&strings)
        .map(Arc::new)
        .ok_or(BuildError::TooLarge)
}

fn no_nul(string: &[u8], name: &[u8]) -> Result<(), BuildError> {
    if string.contains(&0) {
        let string = String::from_utf8_lossy(name).into_owned();
        return Err(BuildError::Nul { string });
    }
    Ok(())
}

fn build_input(input: &Input) -> Result<Descriptor, BuildError> {
    let failed = |error| BuildError::Stream {
        name: "standard input",
        error,
    };
    match input {
        Input::Null => Ok(Descriptor::stream(Object::Null, Rights::FD_READ)),
        Input::Bytes(bytes) => {
            let source = Object::Source(Source::new(bytes.clone()));
            Ok(Descriptor::stream(source, Rights::FD_READ))
        }
        Input::Inherit => shared(std::io::stdin(), Rights::FD_READ).map_err(failed),
        Input::File(fd) => shared(fd, Rights::FD_READ).map_err(failed),
    }
}

fn build_output(output: &Output, index: usize) -> Result<Descriptor, BuildError> {
    let name = if index == STDOUT {
        "standard output"
    } else {
        "standard error"
    };
    let failed = |error| BuildError::Stream { name, error };
    match output {
        Output::Null => Ok(Descriptor::stream(Object::Null, Rights::FD_WRITE)),
        Output::Capture => Ok(Descriptor::stream(
            Object::Captured(index),
            Rights::FD_WRITE,
        )),
        Output::Inherit if index == STDOUT => {
            shared(std::io::stdout(), Rights::FD_WRITE).map_err(failed)
        }
        Output::Inherit => shared(std::io::stderr(), Rights::FD_WRITE).map_err(failed),
        Output::File(fd) => shared(fd, Rights::FD_WRITE).map_err(failed),
    }
}

/// A stream that the host keeps using. A closed one is an empty one.
fn shared(fd: impl AsFd, direction: Rights) -> std::io::Result<Descriptor> {
    match fd.as_fd().try_clone_to_owned() {
        Ok(fd) => Descriptor::stdio(fd, direction, true),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
            Ok(Descriptor::stream(Object::Null, direction))
        }
        Err(error) => Err(error),
    }
}

fn build_socket(socket: &Socket) -> Result<Descriptor, BuildError> {
    let failed = |error| BuildError::Stream {
        name: "a socket",
        error,
    };
    let fd = socket.fd.try_clone().map_err(failed)?;
    let flags = if socket.nonblocking {
        FdFlags::NONBLOCK
    } else {
        FdFlags::NONE
    };
    if rustix::net::sockopt::socket_acceptconn(&fd).unwrap_or(false) {
        // A wait for callers is made by polling, so that it can be cut short.
        rustix::io::ioctl_fionbio(&fd, true).map_err(|error| failed(error.into()))?;
    }
    let descriptor = Descriptor::socket(fd, flags);
    descriptor.map_err(|errno| failed(std::io::Error::other(errno)))
}
