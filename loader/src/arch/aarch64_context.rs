//! What a signal interrupts on AArch64 Linux: its registers, changed in place or kept for later.
//!
//! # Safety
//!
//! This file holds unsafe code: it reads and writes the kernel's `struct ucontext`, and the records
//! of further registers behind it, in the layout that the kernel's interface fixes. A
//! [`SignalFrame`] is filled only with what the kernel made, and handed back to it with nothing
//! changed but what belongs to a thread, and addresses within the frame.
//!
//! ```text
//! SignalFrame, aligned to 16 bytes, as `rt_sigreturn` finds it at the stack pointer
//!   0    siginfo, which nobody looks at again
//!   128  struct ucontext: flags, link, stack, mask, registers
//!   592  4096 bytes of records: vector registers, and whatever else the CPU has
//!   4688 more records, where those say so
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

    /// The signals that the interrupted code had blocked.
    pub(crate) fn signal_mask(&self) -> *const libc::sigset_t {
        &raw const self.0.uc_sigmask
    }

    pub(crate) fn pc(&self) -> usize {
        self.0.uc_mcontext.pc as usize
    }

    pub(crate) fn fp(&self) -> usize {
        self.0.uc_mcontext.regs[29] as usize
    }

    pub(crate) fn sp(&self) -> usize {
        self.0.uc_mcontext.sp as usize
    }

    /// The return address of a function that has not called another yet.
    pub(crate) fn link(&self) -> usize {
        self.0.uc_mcontext.regs[30] as usize
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
        let registers = &mut self.0.uc_mcontext;
        registers.pc = way as *const () as u64;
        registers.regs[0] = activation as u64;
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

/// Where `struct ucontext` lies.
const UCONTEXT: usize = 128;
/// Its size: to the end of the records that always have room.
const UCONTEXT_SIZE: usize = size_of::<libc::ucontext_t>();
/// Where its records begin, and how many bytes of them there are.
const RECORDS: usize = UCONTEXT_SIZE - RECORDS_SIZE;
const RECORDS_SIZE: usize = 4096;
/// The record that says where there are more of them, and how many bytes.
const EXTRA_MAGIC: u32 = 0x4558_5401;

const _: () = assert!(UCONTEXT_SIZE == 4560 && offset_of!(libc::ucontext_t, uc_mcontext) == 176);

/// Where a record says that there are more records.
struct Extra {
    /// Offset in `struct ucontext` of the address of the others.
    address_at: usize,
    /// How many bytes they are.
    size: usize,
}

/// Finds the record that says that there are more.
///
/// # Safety
///
/// `ucontext` must be the start of a `struct ucontext` that the kernel has made.
unsafe fn extra(ucontext: *const u8) -> Option<Extra> {
    let mut at = RECORDS;
    while at + 24 <= UCONTEXT_SIZE {
        // SAFETY: within the structure, as the condition of the loop says.
        let (magic, size, extra_size) = unsafe {
            let [magic, size] = ucontext.add(at).cast::<[u32; 2]>().read_unaligned();
            let extra_size = ucontext.add(at + 16).cast::<u32>().read_unaligned();
            (magic, size as usize, extra_size as usize)
        };
        match magic {
            0 => return None,
            EXTRA_MAGIC => {
                return Some(Extra {
                    address_at: at + 8,
                    size: extra_size,
                });
            }
            // Records are multiples of 16 bytes, none is empty.
            _ => at += size.max(16),
        }
    }
    None
}

impl SignalFrame {
    /// An empty one, large enough for this machine.
    pub(crate) fn new() -> SignalFrame {
        let least = UCONTEXT + UCONTEXT_SIZE;
        let size = sys::signal_frame_size().max(least).next_multiple_of(16);
        let layout = Layout::from_size_align(size, 16).expect("some kilobytes");
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        SignalFrame { memory, layout }
    }

    /// Keeps what was interrupted. `false` where there is no room for it. Fit for a signal handler.
    pub(crate) fn save(&mut self, context: &Context<'_>) -> bool {
        let from = (&raw const *context.0).cast::<u8>();
        // SAFETY: the kernel made it.
        let extra = unsafe { extra(from) };
        let extra_size = extra.as_ref().map_or(0, |extra| extra.size);
        // The kernel puts the others right behind, and wants them there when it restores.
        let others = UCONTEXT + UCONTEXT_SIZE;
        if extra_size > self.layout.size() - others {
            return false;
        }
        // SAFETY: there is room, as checked; the kernel's structure and what lies behind it are as
        // long.
        unsafe {
            let to = self.memory.as_ptr().add(UCONTEXT);
            to.copy_from_nonoverlapping(from, UCONTEXT_SIZE);
            if let Some(extra) = extra {
                let field = to.add(extra.address_at).cast::<*mut u8>();
                let there = field.read_unaligned();
                let here = self.memory.as_ptr().add(others);
                here.copy_from_nonoverlapping(there, extra.size);
                field.write_unaligned(here);
            }
        }
        true
    }

    /// Makes it fit for going on on this thread. Gives the address that `rt_sigreturn` asks for.
    pub(crate) fn prepare(&mut self) -> usize {
        const STACK: usize = UCONTEXT + offset_of!(libc::ucontext_t, uc_stack);
        const MASK: usize = UCONTEXT + offset_of!(libc::ucontext_t, uc_sigmask);
        let (stack, mask) = sys::signal_state();
        let to = self.memory.as_ptr();
        // SAFETY: the fields lie within the memory; the kernel's mask is the first 64 bits.
        unsafe {
            to.add(STACK).cast::<libc::stack_t>().write(stack);
            let mask = (&raw const mask).cast::<u64>().read();
            to.add(MASK).cast::<u64>().write(mask);
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
