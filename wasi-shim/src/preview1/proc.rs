//! The process: ending, signals, yielding.

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::exit::Exit;
use crate::guest::Guest;

/// Ends the guest.
pub(crate) fn proc_exit(_: &mut WasiCtx, code: u32) -> Exit {
    Exit { code }
}

/// What a signal does to a guest, which can have no handlers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Raised {
    /// Nothing.
    Ignored,
    /// The guest ends.
    Ended(Exit),
}

/// Raises a signal in the guest itself, never in the host: the guest ends as a process would, with 128 and the signal's number.
///
/// Stopping is ENOTSUP: it would stop the host's thread, with nobody to continue it.
pub(crate) fn proc_raise(_: &mut WasiCtx, signal: u32) -> Result<Raised> {
    let linux = match signal {
        0 | SIGNAL_CHLD | SIGNAL_CONT | SIGNAL_URG | SIGNAL_WINCH => return Ok(Raised::Ignored),
        SIGNAL_STOP..=SIGNAL_TTOU => return Err(Errno::Notsup),
        _ => *LINUX.get(signal as usize).ok_or(Errno::Inval)?,
    };
    Ok(Raised::Ended(Exit { code: 128 + linux }))
}

const SIGNAL_CHLD: u32 = 16;
const SIGNAL_CONT: u32 = 17;
const SIGNAL_STOP: u32 = 18;
const SIGNAL_TTOU: u32 = 21;
const SIGNAL_URG: u32 = 22;
const SIGNAL_WINCH: u32 = 27;

/// Linux's number for each of WASI's: none hup int quit ill trap abrt bus fpe kill usr1 segv usr2 pipe alrm term chld cont
/// stop tstp ttin ttou urg xcpu xfsz vtalrm prof winch poll pwr sys.
const LINUX: [u32; 31] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31,
];

pub(crate) fn sched_yield(_: &mut WasiCtx, _: &mut Guest<'_>) -> Result<()> {
    std::thread::yield_now();
    Ok(())
}
