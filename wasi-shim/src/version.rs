//! What differs between the two modules of WASI.

use crate::errno::Result;
use crate::guest::Layout;
use crate::types::{Filestat, Subscription, Whence};

/// One of the two: `wasi_snapshot_preview1` or `wasi_unstable`. Everything else they share.
pub(crate) trait Version {
    /// The name of the module that guests import from.
    const MODULE: &'static str;
    /// The layout of a filestat.
    type Filestat: Layout + From<Filestat>;
    /// The layout of a subscription.
    type Subscription: Layout + Into<Subscription>;
    /// What the numbers of `fd_seek` mean.
    fn whence(number: u32) -> Result<Whence>;
}
