//! What a signal interrupts on RISC-V Linux: its registers, changed in place or kept for later.
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
//!   1080 records of the kernel's: type, size, and what they hold; the first with type 0 is the last
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

/// Where registers lie in the context: the program counter in the place of `x0`, the others by
/// their numbers.
const PC: usize = 0;
const RA: usize = 1;
const SP: usize = 2;
const TP: usize = 4;
const S0: usize = 8;
const A0: usize = 10;

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
        self.0.uc_mcontext.__gregs[PC] as usize
    }

    pub(crate) fn fp(&self) -> usize {
        self.0.uc_mcontext.__gregs[S0] as usize
    }

    pub(crate) fn sp(&self) -> usize {
        self.0.uc_mcontext.__gregs[SP] as usize
    }

    /// The return address of a function that has not called another yet.
    pub(crate) fn link(&self) -> usize {
        self.0.uc_mcontext.__gregs[RA] as usize
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
        let registers = &mut self.0.uc_mcontext.__gregs;
        registers[PC] = way as *const () as u64;
        registers[A0] = activation as u64;
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
/// Its size, with the start of the first record.
const UCONTEXT_SIZE: usize = size_of::<libc::ucontext_t>();
/// Where its records begin.
const RECORDS: usize = UCONTEXT_SIZE - HEADER;
/// Type and size of a record, 4 bytes each.
const HEADER: usize = 8;
/// The record of the vector registers: five words of state, and the address of the registers, which
/// follow.
const VECTORS: u32 = 0x5346_5457;
const VECTOR_STATE: usize = 48;
const VECTOR_ADDRESS: usize = HEADER + VECTOR_STATE - 8;

const _: () = assert!(UCONTEXT_SIZE == 960 && offset_of!(libc::ucontext_t, uc_mcontext) == 176);

/// Size of the record of the vector registers in `struct ucontext`, 0 where there is none.
///
/// # Safety
///
/// `ucontext` must be the start of such a structure of `len` bytes that the kernel has made.
unsafe fn vectors(ucontext: *const u8, len: usize) -> usize {
    if len < UCONTEXT_SIZE {
        return 0;
    }
    // SAFETY: within the structure.
    let [kind, size] = unsafe { ucontext.add(RECORDS).cast::<[u32; 2]>().read_unaligned() };
    match kind {
        VECTORS if size as usize >= HEADER + VECTOR_STATE => size as usize,
        _ => 0,
    }
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
        // Not all that deliver signals write what nothing was kept in: there may be no more than the
        // stack that the handler runs on.
        let stack = &context.0.uc_stack;
        let left = (stack.ss_sp.addr() + stack.ss_size).wrapping_sub(from.addr());
        let room = match left <= stack.ss_size {
            true => left,
            false => usize::MAX,
        };
        let len = UCONTEXT_SIZE.min(room);
        // SAFETY: the kernel made it, and so much of it is there.
        let vectors = unsafe { vectors(from, len) };
        let all = RECORDS + vectors + HEADER;
        if UCONTEXT + all > self.layout.size() || (vectors > 0 && all > room) {
            return false;
        }
        // SAFETY: there is room, as checked; what the kernel has made is as long. The address is that
        // of what follows it, here as there.
        unsafe {
            let to = self.memory.as_ptr().add(UCONTEXT);
            to.copy_from_nonoverlapping(from, len.min(RECORDS) + vectors);
            if vectors > 0 {
                let registers = to.add(RECORDS + HEADER + VECTOR_STATE);
                let field = to.add(RECORDS + VECTOR_ADDRESS).cast::<*mut u8>();
                field.write_unaligned(registers);
            }
            // No more records.
            to.add(RECORDS + vectors).write_bytes(0, HEADER);
        }
        true
    }

    /// Makes it fit for going on on this thread. Gives the address that `rt_sigreturn` asks for.
    pub(crate) fn prepare(&mut self) -> usize {
        const STACK: usize = UCONTEXT + offset_of!(libc::ucontext_t, uc_stack);
        const MASK: usize = UCONTEXT + offset_of!(libc::ucontext_t, uc_sigmask);
        const THREAD: usize = UCONTEXT + offset_of!(libc::ucontext_t, uc_mcontext) + TP * 8;
        let (stack, mask) = sys::signal_state();
        let to = self.memory.as_ptr();
        let thread: u64;
        // SAFETY: reads a register; the fields lie within the memory; the kernel's mask is the first
        // 64 bits.
        unsafe {
            // The thread pointer is one of the registers: by that of the thread that was stopped, host
            // functions would use that thread's variables.
            std::arch::asm!("mv {}, tp", out(reg) thread, options(nomem, nostack, preserves_flags));
            to.add(THREAD).cast::<u64>().write(thread);
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
