//! `wasi_snapshot_preview1`: one file per family. Its layouts are here; where `wasi_unstable` has others, the functions are
//! generic over [`Version`].

pub(crate) mod args;
pub(crate) mod clock;
pub(crate) mod fd;
pub(crate) mod fd_io;
pub(crate) mod fd_readdir;
pub(crate) mod path;
pub(crate) mod path_open;
pub(crate) mod poll;
pub(crate) mod proc;
pub(crate) mod random;
pub(crate) mod sock;

#[cfg(test)]
mod args_test;
#[cfg(test)]
mod clock_test;
#[cfg(test)]
mod fd_io_test;
#[cfg(test)]
mod fd_readdir_test;
#[cfg(test)]
mod fd_test;
#[cfg(test)]
mod path_open_test;
#[cfg(test)]
mod path_test;
#[cfg(test)]
mod poll_test;
#[cfg(test)]
mod proc_test;
#[cfg(test)]
mod random_test;
#[cfg(test)]
mod sock_test;

use crate::errno::{Errno, Result};
use crate::guest::Layout;
use crate::types::{Event, EventType, Filestat, Subscription, Wait, Whence};
use crate::version::Version;

/// The final version of preview 1.
#[derive(Debug)]
pub(crate) struct Preview1;

impl Version for Preview1 {
    const MODULE: &'static str = "wasi_snapshot_preview1";
    type Filestat = FilestatLayout;
    type Subscription = SubscriptionLayout;

    fn whence(number: u32) -> Result<Whence> {
        match number {
            0 => Ok(Whence::Set),
            1 => Ok(Whence::Current),
            2 => Ok(Whence::End),
            _ => Err(Errno::Inval),
        }
    }
}

/// Writes integers at their offsets.
macro_rules! put {
    ($bytes:expr, $($offset:literal: $value:expr),* $(,)?) => {
        $( $crate::guest::Layout::encode(&$value, &mut $bytes[$offset..$offset + std::mem::size_of_val(&$value)]); )*
    };
}
pub(crate) use put;

/// Reads the integer of type `T` at an offset.
pub(crate) fn get<T: Layout>(bytes: &[u8], offset: usize) -> T {
    T::decode(&bytes[offset..offset + T::SIZE])
}

/// A filestat of 64 bytes.
pub(crate) struct FilestatLayout(Filestat);

impl From<Filestat> for FilestatLayout {
    fn from(stat: Filestat) -> Self {
        Self(stat)
    }
}

impl Layout for FilestatLayout {
    const SIZE: usize = 64;

    fn decode(_: &[u8]) -> Self {
        Self(Filestat::STREAM)
    }

    fn encode(&self, bytes: &mut [u8]) {
        let stat = &self.0;
        bytes.fill(0);
        put!(bytes, 0: stat.device, 8: stat.inode, 16: stat.filetype as u8, 24: stat.links, 32: stat.size,
            40: stat.accessed, 48: stat.modified, 56: stat.changed);
    }
}

/// A subscription of 48 bytes.
pub(crate) struct SubscriptionLayout(Subscription);

impl From<SubscriptionLayout> for Subscription {
    fn from(layout: SubscriptionLayout) -> Self {
        layout.0
    }
}

impl Layout for SubscriptionLayout {
    const SIZE: usize = 48;

    fn decode(bytes: &[u8]) -> Self {
        let wait = match bytes[8] {
            0 => Ok(Wait::Clock {
                id: get(bytes, 16),
                timeout: get(bytes, 24),
                flags: get(bytes, 40),
            }),
            1 => Ok(Wait::Read { fd: get(bytes, 16) }),
            2 => Ok(Wait::Write { fd: get(bytes, 16) }),
            _ => Err(Errno::Inval),
        };
        Self(Subscription {
            userdata: get(bytes, 0),
            wait,
        })
    }

    fn encode(&self, _: &mut [u8]) {}
}

/// An event of 32 bytes, the same in both modules.
impl Layout for Event {
    const SIZE: usize = 32;

    fn decode(bytes: &[u8]) -> Self {
        Self {
            userdata: get(bytes, 0),
            error: get(bytes, 8),
            kind: match bytes[10] {
                0 => EventType::Clock,
                1 => EventType::Read,
                _ => EventType::Write,
            },
            bytes: get(bytes, 16),
            hangup: get::<u16>(bytes, 24) & 1 != 0,
        }
    }

    fn encode(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        put!(bytes, 0: self.userdata, 8: self.error, 10: self.kind as u8, 16: self.bytes, 24: u16::from(self.hangup));
    }
}
