//! What a signal interrupts on x86-64 Linux: its registers, changed in place or kept for later.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads and writes the kernel's `struct ucontext`, and the state of
//! vector registers beside it, in the layout that the kernel's interface fixes. A [`SignalFrame`]
//! is filled only with what the kernel made, and handed back to it with nothing changed but what
//! belongs to a thread.
//!
//! ```text
//! SignalFrame, aligned to 64 bytes
//!   0    struct ucontext, as the kernel sees it: flags, link, stack, registers, mask
//!   512  vector registers (XSAVE format), which the registers' `fpregs` points to
//! ```
#![allow(
    unsafe_code,
    reason = "contexts of signals are the kernel's structures"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::offset_of;
use std::ptr::NonNull;

use super::WayOut;
use super::crossings::{precast_leave, precast_preempt};
use crate::activation::Activation;
use crate::sys;

/// The registers of interrupted code, as the signal handler may read and change them.
pub(crate) struct Context<'a>(&'a mut libc::ucontext_t);

impl<'a> Context<'a> {
    /// # Safety
    ///
    /// `context` must be the third argument of a signal handler that is running.
    pub(crate) unsafe fn from_raw(context: *mut libc::c_void) -> Context<'a> {
        // SAFETY: the kernel made it, and it lives until the handler returns.
        Context(unsafe { &mut *context.cast() })
    }

    fn register(&self, index: libc::c_int) -> usize {
        self.0.uc_mcontext.gregs[index as usize] as usize
    }

    /// The signals that the interrupted code had blocked.
    pub(crate) fn signal_mask(&self) -> *const libc::sigset_t {
        &raw const self.0.uc_sigmask
    }

    pub(crate) fn pc(&self) -> usize {
        self.register(libc::REG_RIP)
    }

    pub(crate) fn fp(&self) -> usize {
        self.register(libc::REG_RBP)
    }

    pub(crate) fn sp(&self) -> usize {
        self.register(libc::REG_RSP)
    }

    /// The return address of a function that has not called another yet: on the stack.
    pub(crate) fn link(&self) -> usize {
        0
    }

    /// The thread's rights to pages behind protection keys, which the handler does not have; `None`
    /// where there are no keys.
    pub(crate) fn rights(&self) -> Option<u32> {
        let rights = Rights::in_frame(self.0.uc_mcontext.fpregs.cast())?;
        Some(rights.get())
    }

    /// Makes the thread go on in the exit path of `activation`.
    pub(crate) fn divert(&mut self, activation: *const Activation, way: WayOut) {
        let way = match way {
            WayOut::Trap => precast_leave,
            WayOut::Preempt => precast_preempt,
        };
        let registers = &mut self.0.uc_mcontext.gregs;
        registers[libc::REG_RIP as usize] = way as *const () as i64;
        registers[libc::REG_RDI as usize] = activation as i64;
    }
}

/// Where the rights to protection keys lie in the vector state of a signal's frame.
struct Rights {
    /// Which parts of the state are not as the CPU has them at first: `XSTATE_BV`.
    parts: *mut u64,
    rights: *mut u32,
}

impl Rights {
    /// The part of the state that holds them.
    const PART: u64 = 1 << 9;

    /// `None` where there are no keys. `vectors` is null or vector state as the kernel writes it.
    fn in_frame(vectors: *mut u8) -> Option<Rights> {
        let offset = sys::keys::place_in_frame()?;
        if vectors.is_null() {
            return None;
        }
        // SAFETY: the kernel has put at least the old part there, which says how long all of it is
        // and which parts it has.
        let (magic, len, parts) = unsafe {
            let [magic, len] = vectors.add(SW_BYTES).cast::<[u32; 2]>().read_unaligned();
            let parts = vectors.add(SW_BYTES + 8).cast::<u64>().read_unaligned();
            (magic, len as usize, parts)
        };
        let is_there = magic == XSTATE_MAGIC && parts & Self::PART != 0 && offset + 4 <= len;
        is_there.then(|| Rights {
            parts: vectors.wrapping_add(FXSAVE).cast(),
            rights: vectors.wrapping_add(offset).cast(),
        })
    }

    fn get(&self) -> u32 {
        // SAFETY: both lie within the state, as `in_frame` has checked.
        unsafe {
            match self.parts.read_unaligned() & Self::PART {
                0 => 0,
                _ => self.rights.read_unaligned(),
            }
        }
    }

    fn set(&self, rights: u32) {
        // SAFETY: both lie within the state, as `in_frame` has checked.
        unsafe {
            let parts = self.parts.read_unaligned();
            self.parts.write_unaligned(parts | Self::PART);
            self.rights.write_unaligned(rights);
        }
    }
}

/// All registers of guest code that a signal has interrupted.
#[derive(Debug)]
pub(crate) struct SignalFrame {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its memory.
unsafe impl Send for SignalFrame {}

/// Where the vector registers are.
const VECTORS: usize = 512;
/// Bytes of `struct ucontext` that the kernel reads and writes: to the end of its 64-bit mask.
const UCONTEXT: usize = offset_of!(libc::ucontext_t, uc_sigmask) + 8;
const FPREGS: usize =
    offset_of!(libc::ucontext_t, uc_mcontext) + offset_of!(libc::mcontext_t, fpregs);
/// Where the old part of the vector state says how long all of it is: `struct _fpx_sw_bytes`.
const SW_BYTES: usize = 464;
const XSTATE_MAGIC: u32 = 0x4650_5853;
/// Length of the old part.
const FXSAVE: usize = 512;

const _: () = assert!(UCONTEXT == 304 && FPREGS == 224 && UCONTEXT <= VECTORS);

impl SignalFrame {
    /// An empty one, large enough for this machine.
    pub(crate) fn new() -> SignalFrame {
        let size = (VECTORS + sys::signal_frame_size()).next_multiple_of(64);
        let layout = Layout::from_size_align(size, 64).expect("some kilobytes");
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        SignalFrame { memory, layout }
    }

    /// Keeps what was interrupted. `false` where there is no room for it. Fit for a signal handler.
    pub(crate) fn save(&mut self, context: &Context<'_>) -> bool {
        let vectors: *const u8 = context.0.uc_mcontext.fpregs.cast_const().cast();
        if vectors.is_null() {
            return false;
        }
        // SAFETY: the kernel has put at least the old part there, which says how long all of it is.
        let len = unsafe {
            let words = vectors.add(SW_BYTES).cast::<[u32; 2]>().read_unaligned();
            match words {
                [XSTATE_MAGIC, len] => len as usize,
                _ => FXSAVE,
            }
        };
        if VECTORS + len > self.layout.size() {
            return false;
        }
        let to = self.memory.as_ptr();
        // SAFETY: there is room, as checked; the kernel's structures are `UCONTEXT` and `len` long.
        unsafe {
            let from = (&raw const *context.0).cast::<u8>();
            to.copy_from_nonoverlapping(from, UCONTEXT);
            to.add(VECTORS).copy_from_nonoverlapping(vectors, len);
            to.add(FPREGS).cast::<*mut u8>().write(to.add(VECTORS));
        }
        true
    }

    /// Makes it fit for going on on this thread, with the rights that the thread has now. Gives the address that `rt_sigreturn` asks for.
    pub(crate) fn prepare(&mut self) -> usize {
        const STACK: usize = offset_of!(libc::ucontext_t, uc_stack);
        const MASK: usize = offset_of!(libc::ucontext_t, uc_sigmask);
        let (stack, mask) = sys::signal_state();
        let to = self.memory.as_ptr();
        // SAFETY: the fields lie within the memory; the kernel's mask is the first 64 bits.
        unsafe {
            to.add(STACK).cast::<libc::stack_t>().write(stack);
            let mask = (&raw const mask).cast::<u64>().read();
            to.add(MASK).cast::<u64>().write(mask);
        }
        // The copy was as long as it says, and begins with what the kernel writes, or is all zeros.
        if let Some(rights) = Rights::in_frame(to.wrapping_add(VECTORS))
            && let Some(now) = sys::keys::all_rights()
        {
            rights.set(now);
        }
        to.expose_provenance()
    }

    /// Forgets the registers.
    pub(crate) fn wipe(&mut self) {
        // SAFETY: the memory is ours and as long.
        unsafe { self.memory.as_ptr().write_bytes(0, self.layout.size()) };
    }
}

impl Drop for SignalFrame {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}
