//! Tests of `errno`.

use rustix::io::Errno as Linux;

use crate::errno::Errno;

#[test]
fn errors_of_linux_become_those_of_wasi() {
    for (linux, number) in [
        (Linux::TOOBIG, 1),
        (Linux::ACCESS, 2),
        (Linux::AGAIN, 6),
        (Linux::WOULDBLOCK, 6),
        (Linux::BADF, 8),
        (Linux::EXIST, 20),
        (Linux::FAULT, 21),
        (Linux::INVAL, 28),
        (Linux::IO, 29),
        (Linux::NOENT, 44),
        (Linux::NOSPC, 51),
        (Linux::NOTDIR, 54),
        (Linux::NOTEMPTY, 55),
        (Linux::NOTSUP, 58),
        (Linux::OPNOTSUPP, 58),
        (Linux::PERM, 63),
        (Linux::ROFS, 69),
        (Linux::SPIPE, 70),
        (Linux::XDEV, 75),
        // WASI has no word for these.
        (Linux::HWPOISON, 29),
        (Linux::NOKEY, 29),
    ] {
        assert_eq!(Errno::from(linux) as u16, number, "{linux:?}");
    }
}

/// A context can be handed to another thread with its store.
#[test]
fn contexts_can_be_sent() {
    fn sendable<T: Send>() {}
    sendable::<crate::WasiCtx>();
    sendable::<crate::WasiCtxBuilder>();
    sendable::<crate::BuildError>();
}
