//! `wasi_unstable`, the predecessor that programs of 2019 import from.
//!
//! It is preview 1 with other layouts and constants: its filestat counts links in 32 bits, its clock subscriptions have an
//! identifier more, its `fd_seek` numbers its origins in another order, and it has no `sock_accept`.

#[cfg(test)]
mod unstable_test;

use crate::errno::{Errno, Result};
use crate::guest::Layout;
use crate::preview1::{get, put};
use crate::types::{Filestat, Subscription, Wait, Whence};
use crate::version::Version;

/// The version before preview 1 was final.
#[derive(Debug)]
pub(crate) struct Unstable;

impl Version for Unstable {
    const MODULE: &'static str = "wasi_unstable";
    type Filestat = FilestatLayout;
    type Subscription = SubscriptionLayout;

    fn whence(number: u32) -> Result<Whence> {
        match number {
            0 => Ok(Whence::Current),
            1 => Ok(Whence::End),
            2 => Ok(Whence::Set),
            _ => Err(Errno::Inval),
        }
    }
}

/// A filestat of 56 bytes.
pub(crate) struct FilestatLayout(Filestat);

impl From<Filestat> for FilestatLayout {
    fn from(stat: Filestat) -> Self {
        Self(stat)
    }
}

impl Layout for FilestatLayout {
    const SIZE: usize = 56;

    fn decode(_: &[u8]) -> Self {
        Self(Filestat::STREAM)
    }

    fn encode(&self, bytes: &mut [u8]) {
        let stat = &self.0;
        let links = u32::try_from(stat.links).unwrap_or(u32::MAX);
        bytes.fill(0);
        put!(bytes, 0: stat.device, 8: stat.inode, 16: stat.filetype as u8, 20: links, 24: stat.size,
            32: stat.accessed, 40: stat.modified, 48: stat.changed);
    }
}

/// A subscription of 56 bytes.
pub(crate) struct SubscriptionLayout(Subscription);

impl From<SubscriptionLayout> for Subscription {
    fn from(layout: SubscriptionLayout) -> Self {
        layout.0
    }
}

impl Layout for SubscriptionLayout {
    const SIZE: usize = 56;

    fn decode(bytes: &[u8]) -> Self {
        let wait = match bytes[8] {
            // At 16 stands an identifier that nothing is done with.
            0 => Ok(Wait::Clock {
                id: get(bytes, 24),
                timeout: get(bytes, 32),
                flags: get(bytes, 48),
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
