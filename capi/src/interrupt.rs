//! Stopping guests from any thread.

use std::mem::MaybeUninit;

use loader::InterruptHandle;

use crate::error::{self, Failure, answer};
use crate::store::{self, CStore};

/// `precast_interrupt`
pub(crate) struct CInterrupt(InterruptHandle);

/// `precast_interrupt_new`
#[unsafe(no_mangle)]
extern "C" fn precast_interrupt_new(
    store: Option<&CStore>,
    out: Option<&mut MaybeUninit<*mut CInterrupt>>,
) -> Failure {
    error::make(out, || Ok(CInterrupt(store::interrupt_handle(store)?)))
}

/// `precast_interrupt_kill`
#[unsafe(no_mangle)]
extern "C" fn precast_interrupt_kill(interrupt: Option<&CInterrupt>) {
    answer((), || {
        interrupt?.0.kill();
        Some(())
    });
}

/// `precast_interrupt_is_killed`
#[unsafe(no_mangle)]
extern "C" fn precast_interrupt_is_killed(interrupt: Option<&CInterrupt>) -> bool {
    answer(false, || Some(interrupt?.0.is_killed()))
}

/// `precast_interrupt_delete`
#[unsafe(no_mangle)]
extern "C" fn precast_interrupt_delete(interrupt: Option<Box<CInterrupt>>) {
    answer((), || {
        drop(interrupt);
        Some(())
    });
}
