//! Entering and leaving guest code on AArch64 (AAPCS64).
//!
//! # Safety
//!
//! This file holds unsafe code: assembly that switches stacks. Invariants:
//! - Every way in saves what its caller wants back on the host's stack, and leaves the stack pointer
//!   in `Activation::host_sp`; every way out restores from there. (The guest's registers say nothing:
//!   it may have been entered from another frame, or given up.)
//! - The guest's return finds the host's frame in the two words that `enter` leaves at the top of the guest's stack,
//!   and by nothing else: who resumes a guest from another frame writes that frame there.
//! - While guest code runs, `guest_fp` is 0. It is cleared *before* the exit word is read, and set
//!   *before* the host's stack is taken: so a signal that finds it not 0 knows that the word will
//!   be read before guest code goes on.
//! - In every crossing `x29` points to a frame record, the caller's `x29` and return address, on
//!   whichever stack: unwinders pass through with `CFA = x29 + 16`.
//! - `x18` is nobody's: it is the system's where it is used.
//!
//! ```text
//! host stack, in `enter` and below           guest stack                      in a crossing
//!   x19 … x28, d8 … d15                        activation                       return address into guest code
//!   return address                             frame        ◄── x29             guest's x29  ◄── x29, guest_fp
//!   x29          ◄── frame, host_sp            return address into `enter`
//!   activation, in a crossing                  … the guest's frames …
//! ```
//!
//! Guest functions take the hidden parameter in `x2` and the others from `x3` on, and return in
//! `x2` (see `docs/abi.md`): crossings to functions that C compilers made move them.
#![allow(
    unsafe_code,
    reason = "entering and leaving guest code is what this file is for"
)]

use std::mem::offset_of;

use super::crossings::{precast_enter_direct, precast_leave};
use super::{ReturnAddress, Returned};
use crate::activation::{Activation, Landing};
use crate::entry::Entry;

/// What a guest needs to go on after a host function: the registers that the function has kept for
/// it, and the result of the function, in whichever register it travels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Saved {
    /// `x19` to `x28`.
    ints: [u64; 10],
    /// The lower halves of `v8` to `v15`.
    floats: [u64; 8],
    /// An integer or reference.
    int: u64,
    /// A float: an `f32` in the lowest bits.
    float: u64,
}

impl Saved {
    /// The same with another result, of whatever class.
    pub(crate) fn with_result(self, bits: u64) -> Saved {
        Saved {
            int: bits,
            float: bits,
            ..self
        }
    }
}

const SAVED: usize = offset_of!(Activation, saved);

crossings_asm!(
    section!("precast_crossings"),
    ".p2align 5",
    first!("precast_crossings_start"),

    // Makes a frame of 160 bytes that holds what the caller wants back.
    ".macro precast_save",
    "hint #34", // bti c
    "stp x29, x30, [sp, #-160]!",
    ".cfi_def_cfa_offset 160",
    ".cfi_offset x29, -160",
    ".cfi_offset x30, -152",
    "mov x29, sp",
    ".cfi_def_cfa_register x29",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    ".cfi_offset x19, -144",
    ".cfi_offset x20, -136",
    ".cfi_offset x21, -128",
    ".cfi_offset x22, -120",
    ".cfi_offset x23, -112",
    ".cfi_offset x24, -104",
    ".cfi_offset x25, -96",
    ".cfi_offset x26, -88",
    ".cfi_offset x27, -80",
    ".cfi_offset x28, -72",
    ".endm",

    // enter(activation, stub, context, code, values, stack_top) -> status. The guest's result is in
    // `values` then.
    begin!("precast_enter"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    "precast_save",
    "str x29, [x0, #{host_sp}]",
    "str xzr, [x0, #{guest_fp}]",
    "ldrb w9, [x0, #{exit}]",
    "cbnz w9, 3f",
    "stp x29, x0, [x5, #-16]!",
    "mov sp, x5",
    "mov x29, sp",
    ".cfi_remember_state",
    // CFA = *x29 + 160
    ".cfi_escape 0x0f, 6, 0x8d, 0, 0x06, 0x23, 0xa0, 0x01",
    "mov x9, x1",
    "mov x0, x2",
    "mov x1, x3",
    "mov x2, x4",
    "blr x9",
    "ldp x29, x0, [sp]",
    ".cfi_restore_state",
    "mov sp, x29",
    "mov w1, #{returned}",
    concat!("b ", there!("precast_land")),
    // Killed before it began: there is no frame of a guest to report. Activation in x0.
    "3:",
    "str xzr, [x0, #{landing_pc}]",
    "str xzr, [x0, #{landing_fp}]",
    "mov w1, #{barred}",
    // Every way out but the return of a function that was entered directly ends here, with the
    // activation in x0, the status in w1 and sp as host_sp says.
    place!("precast_land"),
    ".cfi_def_cfa sp, 160",
    "mov w9, #{idle}",
    "str x9, [x0, #{guest_fp}]",
    "mov w0, w1",
    "ldp x19, x20, [sp, #16]",
    "ldp x21, x22, [sp, #32]",
    "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",
    "ldp x27, x28, [sp, #80]",
    "ldp d8, d9, [sp, #96]",
    "ldp d10, d11, [sp, #112]",
    "ldp d12, d13, [sp, #128]",
    "ldp d14, d15, [sp, #144]",
    "ldp x29, x30, [sp], #160",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_endproc",
    end!("precast_enter"),

    // As `enter`, of a function whose parameters are integers in registers: those as the function
    // takes them, from x2 on; the others in x9 (stack_top), x10 (code) and x11 (activation). The
    // result stays where it is; the status comes in x0.
    begin!("precast_enter_direct"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    "precast_save",
    "str x29, [x11, #{host_sp}]",
    "str xzr, [x11, #{guest_fp}]",
    "ldrb w12, [x11, #{exit}]",
    "cbnz w12, 4f",
    "stp x29, x11, [x9, #-16]!",
    "mov sp, x9",
    "mov x29, sp",
    ".cfi_remember_state",
    ".cfi_escape 0x0f, 6, 0x8d, 0, 0x06, 0x23, 0xa0, 0x01",
    "blr x10",
    "ldp x29, x11, [sp]",
    ".cfi_restore_state",
    "mov w9, #{idle}",
    "str x9, [x11, #{guest_fp}]",
    "mov sp, x29",
    "mov w0, #{returned}",
    // It has returned from where it was entered, so it has kept all other registers.
    "ldp x29, x30, [sp], #160",
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 0",
    "ret",
    ".cfi_restore_state",
    "4:",
    "mov x0, x11",
    "b 3b",
    ".cfi_endproc",
    end!("precast_enter_direct"),

    // resume(activation, frame_word, context) -> status: goes on where the guest was left, which is
    // the crossing that landing.fp is the frame of, or, if `context` is not 0, what a signal
    // interrupted. `frame_word` is the lower of the two words at the top of the guest's stack.
    begin!("precast_resume"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    "precast_save",
    "str x29, [x0, #{host_sp}]",
    "str xzr, [x0, #{guest_fp}]",
    "ldrb w9, [x0, #{exit}]",
    "cbnz w9, 5f",
    "str x29, [x1]",
    "cbnz x2, 6f",
    "ldp x19, x20, [x0, #{saved_ints}]",
    "ldp x21, x22, [x0, #{saved_ints} + 16]",
    "ldp x23, x24, [x0, #{saved_ints} + 32]",
    "ldp x25, x26, [x0, #{saved_ints} + 48]",
    "ldp x27, x28, [x0, #{saved_ints} + 64]",
    "ldp d8, d9, [x0, #{saved_floats}]",
    "ldp d10, d11, [x0, #{saved_floats} + 16]",
    "ldp d12, d13, [x0, #{saved_floats} + 32]",
    "ldp d14, d15, [x0, #{saved_floats} + 48]",
    "ldr d0, [x0, #{saved_float}]",
    "ldr x2, [x0, #{saved_int}]",
    "ldr x9, [x0, #{landing_fp}]",
    // Where C compilers look for it, and where guest code does.
    "mov x0, x2",
    "mov sp, x9",
    "ldp x29, x30, [sp], #16",
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 0",
    ".cfi_same_value x29",
    ".cfi_same_value x30",
    "ret",
    ".cfi_restore_state",
    "6:",
    sigreturn_from_x2!(),
    "udf #0",
    // Stopped meanwhile: the landing still says where the guest was.
    "5:",
    "mov w1, #{barred}",
    concat!("b ", there!("precast_land")),
    ".cfi_endproc",
    end!("precast_resume"),

    // What signal handlers divert to when the guest is to go on later: activation in x0.
    begin!("precast_preempt"),
    ".cfi_startproc",
    "hint #38", // bti jc
    "ldr x9, [x0, #{host_sp}]",
    "mov sp, x9",
    "mov w1, #{preempted}",
    concat!("b ", there!("precast_land")),
    ".cfi_endproc",
    end!("precast_preempt"),

    // What signal handlers divert to: activation in x0, status TRAPPED.
    begin!("precast_leave"),
    ".cfi_startproc",
    "hint #38", // bti jc
    "ldr x9, [x0, #{host_sp}]",
    "mov sp, x9",
    "mov w1, #{trapped}",
    concat!("b ", there!("precast_land")),
    ".cfi_endproc",
    end!("precast_leave"),

    // trap(base, code): called by the object's trap stubs.
    begin!("precast_trap"),
    ".cfi_startproc",
    "hint #34", // bti c
    "ldr x9, [x0, #-{activation}]",
    "str xzr, [x9, #{landing_pc}]",
    "str x29, [x9, #{landing_fp}]",
    "str w1, [x9, #{landing_code}]",
    "mov x0, x9",
    "ldr x9, [x0, #{host_sp}]",
    "mov sp, x9",
    "mov w1, #{trapped}",
    concat!("b ", there!("precast_land")),
    ".cfi_endproc",
    end!("precast_trap"),

    // The first half of a crossing from guest to host. The hidden parameter, in x0, leads to the
    // activation.
    ".macro precast_to_host activation",
    "ldr x9, [x0, #\\activation]",
    "str x29, [x9, #{guest_fp}]",
    "ldr x10, [x9, #{host_sp}]",
    "mov sp, x10",
    "str x9, [sp, #-16]!",
    ".endm",

    // The second half.
    ".macro precast_to_guest",
    "ldr x9, [sp]",
    "str xzr, [x9, #{guest_fp}]",
    "ldrb w10, [x9, #{exit}]",
    concat!("cbnz w10, ", there!("precast_left")),
    "mov sp, x29",
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa sp, 0",
    "ret",
    ".endm",

    ".macro precast_frame",
    ".cfi_signal_frame",
    "hint #34", // bti c
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    ".cfi_def_cfa_register x29",
    ".endm",

    // The next host call is counted.
    ".macro precast_count",
    "ldr x10, [x9, #{host_calls}]",
    "add x10, x10, #1",
    "str x10, [x9, #{host_calls}]",
    ".endm",

    // Called as guest functions are.
    begin!("precast_host_registers"),
    ".cfi_startproc",
    "precast_frame",
    "mov x0, x2",
    "mov x1, x3",
    "mov x2, x4",
    "mov x3, x5",
    "mov x4, x6",
    "mov x5, x7",
    "precast_to_host {host_activation}",
    "precast_count",
    "ldr x16, [x0, #{call_registers}]",
    "blr x16",
    "mov x2, x0",
    "precast_to_guest",
    ".cfi_endproc",
    end!("precast_host_registers"),

    // Called as C functions are.
    begin!("precast_host_array"),
    ".cfi_startproc",
    "precast_frame",
    "precast_to_host {host_activation}",
    "precast_count",
    "ldr x16, [x0, #{call_array}]",
    "blr x16",
    "precast_to_guest",
    ".cfi_endproc",
    end!("precast_host_array"),

    ".macro precast_crossing target",
    ".cfi_startproc",
    "precast_frame",
    "precast_to_host -{activation}",
    "bl \\target",
    "precast_to_guest",
    ".cfi_endproc",
    ".endm",

    begin!("precast_rt_memory_grow"),
    "precast_crossing {memory_grow}",
    begin!("precast_rt_memory_copy"),
    "precast_crossing {memory_copy}",
    begin!("precast_rt_memory_fill"),
    "precast_crossing {memory_fill}",
    begin!("precast_rt_memory_init"),
    "precast_crossing {memory_init}",
    begin!("precast_rt_data_drop"),
    "precast_crossing {data_drop}",
    begin!("precast_rt_table_grow"),
    "precast_crossing {table_grow}",
    begin!("precast_rt_table_fill"),
    "precast_crossing {table_fill}",
    begin!("precast_rt_table_copy"),
    "precast_crossing {table_copy}",
    begin!("precast_rt_table_init"),
    "precast_crossing {table_init}",
    begin!("precast_rt_elem_drop"),
    "precast_crossing {elem_drop}",
    begin!("precast_rt_atomic_wait32"),
    "precast_crossing {atomic_wait32}",
    begin!("precast_rt_atomic_wait64"),
    "precast_crossing {atomic_wait64}",
    begin!("precast_rt_atomic_notify"),
    "precast_crossing {atomic_notify}",
    begin!("precast_rt_heap_alloc"),
    "precast_crossing {heap_alloc}",
    begin!("precast_rt_array_new"),
    "precast_crossing {array_new}",
    begin!("precast_rt_array_copy"),
    "precast_crossing {array_copy}",
    begin!("precast_rt_array_init_data"),
    "precast_crossing {array_init_data}",
    begin!("precast_rt_array_init_elem"),
    "precast_crossing {array_init_elem}",
    begin!("precast_rt_array_new_data"),
    "precast_crossing {array_new_data}",
    begin!("precast_rt_array_new_elem"),
    "precast_crossing {array_new_elem}",
    begin!("precast_rt_any_from_extern"),
    "precast_crossing {any_from_extern}",
    begin!("precast_rt_extern_from_any"),
    "precast_crossing {extern_from_any}",
    begin!("precast_rt_is_subtype"),
    "precast_crossing {is_subtype}",

    // The same for functions that throw, which are called as guest functions are: they give the
    // frame to return through, and what the handler finds in x0.
    ".macro precast_throwing target",
    ".cfi_startproc",
    "precast_frame",
    "mov x0, x2",
    "mov x1, x3",
    "mov x2, x4",
    "precast_to_host -{activation}",
    "bl \\target",
    "mov x29, x1",
    "precast_to_guest",
    ".cfi_endproc",
    ".endm",

    begin!("precast_rt_throw"),
    "precast_throwing {throw}",
    begin!("precast_rt_throw_ref"),
    "precast_throwing {throw_ref}",

    // The exit word was not 0 when a crossing came back: activation in x9.
    begin!("precast_left"),
    place!("precast_left"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    ".cfi_def_cfa x29, 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "ldrb w10, [x9, #{exit}]",
    "tst w10, #{thrown}",
    "b.eq 1f",
    // A host function has thrown.
    "str x29, [x9, #{guest_fp}]",
    "mov x0, x9",
    "bl {throw_from_host}",
    "mov x29, x1",
    "precast_to_guest",
    ".cfi_def_cfa x29, 16",
    "1:",
    "str xzr, [x9, #{landing_pc}]",
    "str x29, [x9, #{landing_fp}]",
    // If the guest is to go on later: what the host function has kept for it, and its result.
    "stp x19, x20, [x9, #{saved_ints}]",
    "stp x21, x22, [x9, #{saved_ints} + 16]",
    "stp x23, x24, [x9, #{saved_ints} + 32]",
    "stp x25, x26, [x9, #{saved_ints} + 48]",
    "stp x27, x28, [x9, #{saved_ints} + 64]",
    "stp d8, d9, [x9, #{saved_floats}]",
    "stp d10, d11, [x9, #{saved_floats} + 16]",
    "stp d12, d13, [x9, #{saved_floats} + 32]",
    "stp d14, d15, [x9, #{saved_floats} + 48]",
    "str x0, [x9, #{saved_int}]",
    "str d0, [x9, #{saved_float}]",
    "mov x0, x9",
    "ldr x9, [x0, #{host_sp}]",
    "mov sp, x9",
    "mov w1, #{left}",
    concat!("b ", there!("precast_land")),
    ".cfi_endproc",
    end!("precast_left"),

    mark!("precast_crossings_end"),
    ".popsection",

    // Handler of faults: as `signals::on_fault`, and whether the kernel has called it. Then what it
    // says of the fault lies where the stack begins.
    section!("precast_fault"),
    ".p2align 4",
    first!("precast_fault"),
    ".cfi_startproc",
    "hint #34", // bti c
    "mov x9, sp",
    "cmp x9, x1",
    "cset w3, eq",
    "b {on_fault}",
    ".cfi_endproc",
    end!("precast_fault"),
    ".popsection",
    saved_ints = const SAVED + offset_of!(Saved, ints),
    saved_floats = const SAVED + offset_of!(Saved, floats),
);

/// Enters the guest by its function itself, whose parameters are integers or references.
///
/// # Safety
///
/// As [`super::enter`], but that the activation must be idle, and `ints` begin with the arguments.
#[inline(always)]
pub(crate) unsafe fn enter_direct(
    activation: &Activation,
    entry: &Entry,
    ints: [u64; super::DIRECT_PARAMS],
) -> Returned {
    let (status, int, float);
    // SAFETY: the caller's promise is what the assembly asks for. It keeps what a function of C
    // keeps.
    unsafe {
        std::arch::asm!(
            "bl {enter}",
            enter = sym precast_enter_direct,
            inlateout("x2") entry.context => int,
            inlateout("x3") ints[0] => _,
            inlateout("x4") ints[1] => _,
            inlateout("x5") ints[2] => _,
            inlateout("x6") ints[3] => _,
            inlateout("x7") ints[4] => _,
            inlateout("x9") entry.stack_top => _,
            inlateout("x10") entry.code => _,
            inlateout("x11") activation as *const Activation => _,
            lateout("x0") status,
            lateout("v0") float,
            clobber_abi("C"),
        );
    }
    Returned { status, int, float }
}

/// The system's counter, which runs at the same pace on all CPUs.
#[inline(always)]
pub(crate) fn cycles() -> u64 {
    let count;
    // SAFETY: reads a register that systems let programs read.
    unsafe {
        std::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack, preserves_flags));
    }
    count
}

/// The current stack pointer, about.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    sp
}

/// Leaves the guest by the way out for traps, from wherever the thread is.
///
/// # Safety
///
/// The activation must be current on this thread and its landing set; its guest, or a crossing of it,
/// was interrupted by the signal handler that calls this. No frame of the handler may need dropping.
pub(crate) unsafe fn leave(activation: *const Activation) -> ! {
    // SAFETY: the caller's promise is what the assembly asks for: it takes the host's stack from the
    // activation.
    unsafe {
        std::arch::asm!(
            "b {leave}",
            leave = sym precast_leave,
            in("x0") activation,
            options(noreturn),
        )
    }
}

/// Distance of the frame of the outermost guest function from the upper end of its stack: two words
/// of the entry, the return address, and the caller's frame pointer.
pub(crate) const OUTERMOST_FRAME: usize = 32;

/// Offset in a function at which its frame is set up (`bti; stp x29, x30, [sp, #-16]!; mov x29, sp`).
const FRAME_READY: usize = 12;

/// Where the return address is, `offset` bytes into a function, before its frame is set up.
pub(crate) fn frameless_return(offset: usize, landing: &Landing) -> Option<ReturnAddress> {
    (offset < FRAME_READY).then_some(ReturnAddress::Is(landing.link))
}
