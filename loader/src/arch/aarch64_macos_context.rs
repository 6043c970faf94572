//! What a signal interrupts on AArch64 macOS: its registers, changed in place. Never run: see
//! `docs/porting.md`.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads and writes the kernel's `ucontext_t` and the registers that
//! it points to.
#![allow(
    unsafe_code,
    reason = "contexts of signals are the kernel's structures"
)]

use super::WayOut;
use super::crossings::{precast_leave, precast_preempt};
use crate::activation::Activation;

/// The registers of interrupted code, as the signal handler may read and change them.
pub(crate) struct Context<'a> {
    signals: &'a libc::sigset_t,
    registers: &'a mut libc::__darwin_arm_thread_state64,
}

impl<'a> Context<'a> {
    /// # Safety
    ///
    /// `context` must be the third argument of a signal handler that is running.
    pub(crate) unsafe fn from_raw(context: *mut libc::c_void) -> Context<'a> {
        // SAFETY: the kernel made both, and they live until the handler returns.
        unsafe {
            let context = context.cast::<libc::ucontext_t>();
            Context {
                signals: &(*context).uc_sigmask,
                registers: &mut (*(*context).uc_mcontext).__ss,
            }
        }
    }

    /// The signals that the interrupted code had blocked.
    pub(crate) fn signal_mask(&self) -> *const libc::sigset_t {
        &raw const *self.signals
    }

    pub(crate) fn pc(&self) -> usize {
        self.registers.__pc as usize
    }

    pub(crate) fn fp(&self) -> usize {
        self.registers.__fp as usize
    }

    pub(crate) fn sp(&self) -> usize {
        self.registers.__sp as usize
    }

    /// The return address of a function that has not called another yet.
    pub(crate) fn link(&self) -> usize {
        self.registers.__lr as usize
    }

    /// There are no keys here.
    pub(crate) fn rights(&self) -> Option<u32> {
        None
    }

    /// Makes the thread go on in the exit path of `activation`.
    pub(crate) fn divert(&mut self, activation: *const Activation, way: WayOut) {
        let way = match way {
            WayOut::Trap => precast_leave,
            WayOut::Preempt => precast_preempt,
        };
        self.registers.__pc = way as *const () as u64;
        self.registers.__x[0] = activation as u64;
    }
}

/// There is no way to give a thread all registers of a signal's frame later, or on another thread:
/// a guest whose time slice is over goes on to its next call of the host.
#[derive(Debug)]
pub(crate) struct SignalFrame;

impl SignalFrame {
    pub(crate) fn new() -> SignalFrame {
        SignalFrame
    }

    /// `false`: nothing is kept.
    pub(crate) fn save(&mut self, _context: &Context<'_>) -> bool {
        false
    }

    /// The address of nothing, which nobody asks for as nothing was kept.
    pub(crate) fn prepare(&mut self) -> usize {
        0
    }

    pub(crate) fn wipe(&mut self) {}
}
