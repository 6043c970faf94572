//! The numbers of WASI that both modules share: rights, flags, file types, clocks.

use crate::errno::{Errno, Result};

/// Declares a set of flags over an integer: constants, and the operations used here.
macro_rules! flags {
    ($(#[$doc:meta])* $name:ident: $int:ty { $($(#[$flag_doc:meta])* $flag:ident = $bit:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub(crate) struct $name($int);

        #[allow(dead_code, reason = "the whole vocabulary stands here, used or not")]
        impl $name {
            $($(#[$flag_doc])* pub(crate) const $flag: Self = Self(1 << $bit);)*
            /// Every flag that is defined.
            pub(crate) const ALL: Self = Self(0 $(| 1 << $bit)*);
            /// No flag.
            pub(crate) const NONE: Self = Self(0);

            /// Checks a guest's value: undefined flags are EINVAL.
            pub(crate) fn from_guest(bits: $int) -> Result<Self> {
                if bits & !Self::ALL.0 != 0 { Err(Errno::Inval) } else { Ok(Self(bits)) }
            }

            /// Any value, unchecked.
            pub(crate) const fn any(bits: $int) -> Self { Self(bits) }
            pub(crate) const fn bits(self) -> $int { self.0 }
            pub(crate) const fn has(self, other: Self) -> bool { self.0 & other.0 == other.0 }
            pub(crate) const fn meets(self, other: Self) -> bool { self.0 & other.0 != 0 }
            pub(crate) const fn with(self, other: Self) -> Self { Self(self.0 | other.0) }
            pub(crate) const fn without(self, other: Self) -> Self { Self(self.0 & !other.0) }
            pub(crate) const fn and(self, other: Self) -> Self { Self(self.0 & other.0) }
        }
    };
}

flags! {
    /// What may be done with a descriptor.
    Rights: u64 {
        FD_DATASYNC = 0; FD_READ = 1; FD_SEEK = 2; FD_FDSTAT_SET_FLAGS = 3; FD_SYNC = 4; FD_TELL = 5;
        FD_WRITE = 6; FD_ADVISE = 7; FD_ALLOCATE = 8; PATH_CREATE_DIRECTORY = 9; PATH_CREATE_FILE = 10;
        PATH_LINK_SOURCE = 11; PATH_LINK_TARGET = 12; PATH_OPEN = 13; FD_READDIR = 14; PATH_READLINK = 15;
        PATH_RENAME_SOURCE = 16; PATH_RENAME_TARGET = 17; PATH_FILESTAT_GET = 18; PATH_FILESTAT_SET_SIZE = 19;
        PATH_FILESTAT_SET_TIMES = 20; FD_FILESTAT_GET = 21; FD_FILESTAT_SET_SIZE = 22; FD_FILESTAT_SET_TIMES = 23;
        PATH_SYMLINK = 24; PATH_REMOVE_DIRECTORY = 25; PATH_UNLINK_FILE = 26; POLL_FD_READWRITE = 27;
        SOCK_SHUTDOWN = 28; SOCK_ACCEPT = 29;
    }
}

impl Rights {
    /// Rights that mean something on a directory.
    pub(crate) const DIRECTORY: Self = Self::ALL
        .without(Self::FD_READ)
        .without(Self::FD_WRITE)
        .without(Self::FD_SEEK)
        .without(Self::FD_TELL)
        .without(Self::FD_ALLOCATE)
        .without(Self::FD_FILESTAT_SET_SIZE)
        .without(Self::POLL_FD_READWRITE)
        .without(Self::SOCKET);
    /// Rights that mean something only on a socket.
    pub(crate) const SOCKET: Self = Self::SOCK_SHUTDOWN.with(Self::SOCK_ACCEPT);
    /// Rights that mean something on a file.
    pub(crate) const FILE: Self = Self::FD_DATASYNC
        .with(Self::FD_READ)
        .with(Self::FD_SEEK)
        .with(Self::FD_FDSTAT_SET_FLAGS)
        .with(Self::FD_SYNC)
        .with(Self::FD_TELL)
        .with(Self::FD_WRITE)
        .with(Self::FD_ADVISE)
        .with(Self::FD_ALLOCATE)
        .with(Self::FD_FILESTAT_GET)
        .with(Self::FD_FILESTAT_SET_SIZE)
        .with(Self::FD_FILESTAT_SET_TIMES)
        .with(Self::POLL_FD_READWRITE);
    /// Rights of a stream that cannot seek, before reading or writing is added.
    pub(crate) const STREAM: Self = Self::FD_FDSTAT_SET_FLAGS
        .with(Self::FD_SYNC)
        .with(Self::FD_DATASYNC)
        .with(Self::FD_FILESTAT_GET)
        .with(Self::POLL_FD_READWRITE);
}

flags! {
    /// How a descriptor behaves.
    FdFlags: u16 { APPEND = 0; DSYNC = 1; NONBLOCK = 2; RSYNC = 3; SYNC = 4; }
}

flags! {
    /// How `path_open` opens.
    OpenFlags: u16 { CREAT = 0; DIRECTORY = 1; EXCL = 2; TRUNC = 3; }
}

flags! {
    /// How a path is looked up.
    LookupFlags: u32 { SYMLINK_FOLLOW = 0; }
}

flags! {
    /// Which times to set, and to what.
    FstFlags: u16 { ATIM = 0; ATIM_NOW = 1; MTIM = 2; MTIM_NOW = 3; }
}

flags! {
    /// How a clock subscription counts.
    SubclockFlags: u16 { ABSTIME = 0; }
}

flags! {
    /// What `sock_shutdown` closes.
    SdFlags: u8 { RD = 0; WR = 1; }
}

flags! {
    /// How `sock_recv` receives.
    RiFlags: u16 { PEEK = 0; WAITALL = 1; }
}

/// The kind of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum FileType {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketDgram = 5,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<rustix::fs::FileType> for FileType {
    fn from(kind: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType as Linux;
        match kind {
            Linux::RegularFile => Self::RegularFile,
            Linux::Directory => Self::Directory,
            Linux::Symlink => Self::SymbolicLink,
            Linux::CharacterDevice => Self::CharacterDevice,
            Linux::BlockDevice => Self::BlockDevice,
            // A socket in a directory is a Unix socket; whether stream or datagram, a listing cannot say.
            Linux::Socket => Self::SocketStream,
            // WASI has no word for a pipe.
            Linux::Fifo | Linux::Unknown => Self::Unknown,
        }
    }
}

/// A clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    Realtime,
    Monotonic,
    ProcessCpu,
    ThreadCpu,
}

impl Clock {
    pub(crate) fn from_guest(id: u32) -> Result<Self> {
        match id {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            2 => Ok(Self::ProcessCpu),
            3 => Ok(Self::ThreadCpu),
            _ => Err(Errno::Inval),
        }
    }

    pub(crate) fn host(self) -> rustix::time::ClockId {
        match self {
            Self::Realtime => rustix::time::ClockId::Realtime,
            Self::Monotonic => rustix::time::ClockId::Monotonic,
            Self::ProcessCpu => rustix::time::ClockId::ProcessCPUTime,
            Self::ThreadCpu => rustix::time::ClockId::ThreadCPUTime,
        }
    }

    /// Its time now, in nanoseconds.
    pub(crate) fn now(self) -> u64 {
        nanoseconds(rustix::time::clock_gettime(self.host()))
    }
}

/// A host's time in a guest's nanoseconds: times before 1970 become 0, times after 2554 the last there is.
pub(crate) fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    from_parts(time.tv_sec, u64::try_from(time.tv_nsec).unwrap_or(0))
}

fn from_parts(seconds: i64, nanoseconds: u64) -> u64 {
    match u64::try_from(seconds) {
        Ok(seconds) => seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds),
        Err(_) => 0,
    }
}

/// A guest's nanoseconds as a host's time.
pub(crate) fn timespec(nanoseconds: u64) -> rustix::time::Timespec {
    // Both parts fit: the quotient is below 2^35, the remainder below 10^9.
    rustix::time::Timespec {
        tv_sec: (nanoseconds / 1_000_000_000) as i64,
        tv_nsec: (nanoseconds % 1_000_000_000) as i64,
    }
}

/// What `fd_filestat_get` and `path_filestat_get` tell; each module has its own layout for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Filestat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) filetype: FileType,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) accessed: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
}

impl Filestat {
    /// What is said of a stream that is no file of the host.
    pub(crate) const STREAM: Self = Self {
        device: 0,
        inode: 0,
        filetype: FileType::Unknown,
        links: 0,
        size: 0,
        accessed: 0,
        modified: 0,
        changed: 0,
    };
}

impl From<&rustix::fs::Stat> for Filestat {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "the widths of these fields differ between CPUs"
    )]
    fn from(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            filetype: rustix::fs::FileType::from_raw_mode(stat.st_mode).into(),
            links: u64::from(stat.st_nlink),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            accessed: from_parts(stat.st_atime as i64, stat.st_atime_nsec as u64),
            modified: from_parts(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: from_parts(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

/// Where `fd_seek` counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whence {
    Set,
    Current,
    End,
}

/// What a guest waits for in `poll_oneoff`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    Clock { id: u32, timeout: u64, flags: u16 },
    Read { fd: u32 },
    Write { fd: u32 },
}

/// One subscription of `poll_oneoff`; each module has its own layout for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Subscription {
    pub(crate) userdata: u64,
    /// EINVAL for a tag that is not defined.
    pub(crate) wait: Result<Wait>,
}

/// One event of `poll_oneoff`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) userdata: u64,
    /// 0 or an [`Errno`].
    pub(crate) error: u16,
    pub(crate) kind: EventType,
    pub(crate) bytes: u64,
    pub(crate) hangup: bool,
}

/// What kind of event or subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum EventType {
    Clock = 0,
    Read = 1,
    Write = 2,
}
