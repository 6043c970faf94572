//! WASI error numbers, and what Linux's become.

/// Declares [`Errno`]: one line per error with its number, its Linux name in rustix, and its meaning.
macro_rules! errnos {
    ($($number:literal $name:ident $(= $linux:ident)? $text:literal;)*) => {
        /// An error number of WASI preview 1 (the same in `wasi_unstable`).
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u16)]
        pub enum Errno {
            $(#[doc = $text] $name = $number,)*
        }

        impl Errno {
            /// The meaning in words.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl From<rustix::io::Errno> for Errno {
            fn from(error: rustix::io::Errno) -> Self {
                match error {
                    $($(rustix::io::Errno::$linux => Self::$name,)?)*
                    rustix::io::Errno::TIME => Self::Timedout,
                    // Linux has some sixty more, of streams, keys and drivers: none says more to a guest than this.
                    _ => Self::Io,
                }
            }
        }
    };
}

errnos! {
    1 TooBig = TOOBIG "argument list too long";
    2 Acces = ACCESS "permission denied";
    3 Addrinuse = ADDRINUSE "address in use";
    4 Addrnotavail = ADDRNOTAVAIL "address not available";
    5 Afnosupport = AFNOSUPPORT "address family not supported";
    6 Again = AGAIN "resource unavailable, or the operation would block";
    7 Already = ALREADY "connection already in progress";
    8 Badf = BADF "bad file descriptor";
    9 Badmsg = BADMSG "bad message";
    10 Busy = BUSY "device or resource busy";
    11 Canceled = CANCELED "operation canceled";
    12 Child = CHILD "no child processes";
    13 Connaborted = CONNABORTED "connection aborted";
    14 Connrefused = CONNREFUSED "connection refused";
    15 Connreset = CONNRESET "connection reset";
    16 Deadlk = DEADLK "resource deadlock would occur";
    17 Destaddrreq = DESTADDRREQ "destination address required";
    18 Dom = DOM "argument out of the function's domain";
    19 Dquot = DQUOT "disk quota exceeded";
    20 Exist = EXIST "file exists";
    21 Fault = FAULT "bad address";
    22 Fbig = FBIG "file too large";
    23 Hostunreach = HOSTUNREACH "host unreachable";
    24 Idrm = IDRM "identifier removed";
    25 Ilseq = ILSEQ "illegal byte sequence";
    26 Inprogress = INPROGRESS "operation in progress";
    27 Intr = INTR "interrupted function";
    28 Inval = INVAL "invalid argument";
    29 Io = IO "input/output error";
    30 Isconn = ISCONN "socket is connected";
    31 Isdir = ISDIR "is a directory";
    32 Loop = LOOP "too many levels of symbolic links";
    33 Mfile = MFILE "too many open descriptors";
    34 Mlink = MLINK "too many links";
    35 Msgsize = MSGSIZE "message too large";
    36 Multihop = MULTIHOP "multihop attempted";
    37 Nametoolong = NAMETOOLONG "file name too long";
    38 Netdown = NETDOWN "network is down";
    39 Netreset = NETRESET "connection aborted by network";
    40 Netunreach = NETUNREACH "network unreachable";
    41 Nfile = NFILE "too many files open in the system";
    42 Nobufs = NOBUFS "no buffer space available";
    43 Nodev = NODEV "no such device";
    44 Noent = NOENT "no such file or directory";
    45 Noexec = NOEXEC "executable file format error";
    46 Nolck = NOLCK "no locks available";
    47 Nolink = NOLINK "link has been severed";
    48 Nomem = NOMEM "not enough memory";
    49 Nomsg = NOMSG "no message of the desired type";
    50 Noprotoopt = NOPROTOOPT "protocol not available";
    51 Nospc = NOSPC "no space left on device";
    52 Nosys = NOSYS "function not supported";
    53 Notconn = NOTCONN "socket is not connected";
    54 Notdir = NOTDIR "not a directory";
    55 Notempty = NOTEMPTY "directory not empty";
    56 Notrecoverable = NOTRECOVERABLE "state not recoverable";
    57 Notsock = NOTSOCK "not a socket";
    58 Notsup = OPNOTSUPP "not supported";
    59 Notty = NOTTY "inappropriate I/O control operation";
    60 Nxio = NXIO "no such device or address";
    61 Overflow = OVERFLOW "value too large";
    62 Ownerdead = OWNERDEAD "previous owner died";
    63 Perm = PERM "operation not permitted";
    64 Pipe = PIPE "broken pipe";
    65 Proto = PROTO "protocol error";
    66 Protonosupport = PROTONOSUPPORT "protocol not supported";
    67 Prototype = PROTOTYPE "protocol of the wrong type for the socket";
    68 Range = RANGE "result too large";
    69 Rofs = ROFS "read-only file system";
    70 Spipe = SPIPE "invalid seek";
    71 Srch = SRCH "no such process";
    72 Stale = STALE "stale file handle";
    73 Timedout = TIMEDOUT "connection timed out";
    74 Txtbsy = TXTBSY "text file busy";
    75 Xdev = XDEV "cross-device link";
    76 Notcapable "capabilities insufficient";
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Errno {}

/// What the core of every WASI function gives.
pub(crate) type Result<T> = std::result::Result<T, Errno>;
