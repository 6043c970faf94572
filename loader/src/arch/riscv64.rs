//! Entering and leaving guest code on RISC-V (LP64D).
//!
//! # Safety
//!
//! This file holds unsafe code: assembly that switches stacks. Invariants:
//! - Every way in saves what its caller wants back on the host's stack, and leaves the stack pointer
//!   in `Activation::host_sp`; every way out restores from there. (The guest's registers say nothing:
//!   it may have been entered from another frame, or given up; and it does not keep `fs1`.)
//! - The guest's return finds the host's frame in the two words that `enter` leaves at the top of the guest's stack,
//!   and by nothing else: who resumes a guest from another frame writes that frame there.
//! - While guest code runs, `guest_fp` is 0. It is cleared *before* the exit word is read, and set
//!   *before* the host's stack is taken: so a signal that finds it not 0 knows that the word will
//!   be read before guest code goes on.
//! - In every crossing `s0` points to the caller's `s0`, with the return address above it, on
//!   whichever stack: unwinders pass through with `CFA = s0 + 16`. So does guest code. (In functions
//!   of C compilers `s0` is the CFA itself; these are never looked at from here.)
//!
//! ```text
//! host stack, in `enter` and below           guest stack                      in a crossing
//!   s1 … s11, fs0 … fs11                       activation                       return address into guest code
//!   return address                             frame        ◄── s0              guest's s0  ◄── s0, guest_fp
//!   s0           ◄── frame, host_sp            return address into `enter`
//!   activation, in a crossing                  … the guest's frames …
//! ```
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
    /// `s1` to `s11`.
    ints: [u64; 11],
    /// `fs0` to `fs11`.
    floats: [u64; 12],
    /// An integer or reference.
    int: u64,
    /// A float: an `f32` in the lowest bits, and all others set.
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
    ".option push",
    ".option arch, +d",
    section!("precast_crossings"),
    ".p2align 5",
    mark!("precast_crossings_start"),

    // Stores or loads all that a function of C keeps, but for s0: s1 to s11, fs0 to fs11.
    ".macro precast_each int, float, ints, floats, base",
    "\\int s1, \\ints(\\base)",
    "\\int s2, \\ints+8(\\base)",
    "\\int s3, \\ints+16(\\base)",
    "\\int s4, \\ints+24(\\base)",
    "\\int s5, \\ints+32(\\base)",
    "\\int s6, \\ints+40(\\base)",
    "\\int s7, \\ints+48(\\base)",
    "\\int s8, \\ints+56(\\base)",
    "\\int s9, \\ints+64(\\base)",
    "\\int s10, \\ints+72(\\base)",
    "\\int s11, \\ints+80(\\base)",
    "\\float fs0, \\floats(\\base)",
    "\\float fs1, \\floats+8(\\base)",
    "\\float fs2, \\floats+16(\\base)",
    "\\float fs3, \\floats+24(\\base)",
    "\\float fs4, \\floats+32(\\base)",
    "\\float fs5, \\floats+40(\\base)",
    "\\float fs6, \\floats+48(\\base)",
    "\\float fs7, \\floats+56(\\base)",
    "\\float fs8, \\floats+64(\\base)",
    "\\float fs9, \\floats+72(\\base)",
    "\\float fs10, \\floats+80(\\base)",
    "\\float fs11, \\floats+88(\\base)",
    ".endm",

    // Makes a frame of 208 bytes that holds what the caller wants back.
    ".macro precast_save",
    "addi sp, sp, -208",
    ".cfi_def_cfa_offset 208",
    "sd s0, 0(sp)",
    "sd ra, 8(sp)",
    ".cfi_offset s0, -208",
    ".cfi_offset ra, -200",
    "mv s0, sp",
    ".cfi_def_cfa_register s0",
    "precast_each sd, fsd, 16, 104, sp",
    ".cfi_offset s1, -192",
    ".cfi_offset s2, -184",
    ".cfi_offset s3, -176",
    ".cfi_offset s4, -168",
    ".cfi_offset s5, -160",
    ".cfi_offset s6, -152",
    ".cfi_offset s7, -144",
    ".cfi_offset s8, -136",
    ".cfi_offset s9, -128",
    ".cfi_offset s10, -120",
    ".cfi_offset s11, -112",
    ".endm",

    // enter(activation, stub, context, code, values, stack_top) -> status. The guest's result is in
    // `values` then.
    begin!("precast_enter"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    "precast_save",
    "sd s0, {host_sp}(a0)",
    "sd zero, {guest_fp}(a0)",
    "lbu t0, {exit}(a0)",
    "bnez t0, 3f",
    "addi sp, a5, -16",
    "sd s0, 0(sp)",
    "sd a0, 8(sp)",
    "mv s0, sp",
    ".cfi_remember_state",
    // CFA = *s0 + 208
    ".cfi_escape 0x0f, 6, 0x78, 0, 0x06, 0x23, 0xd0, 0x01",
    "mv t0, a1",
    "mv a0, a2",
    "mv a1, a3",
    "mv a2, a4",
    "jalr t0",
    "ld s0, 0(sp)",
    "ld a0, 8(sp)",
    ".cfi_restore_state",
    "mv sp, s0",
    "li a1, {returned}",
    "j precast_land",
    // Killed before it began: there is no frame of a guest to report. Activation in a0.
    "3:",
    "sd zero, {landing_pc}(a0)",
    "sd zero, {landing_fp}(a0)",
    "li a1, {barred}",
    // Every way out ends here, with the activation in a0, the status in a1 and sp as host_sp says.
    mark!("precast_land"),
    ".cfi_def_cfa sp, 208",
    "li t0, {idle}",
    "sd t0, {guest_fp}(a0)",
    "mv a0, a1",
    "precast_each ld, fld, 16, 104, sp",
    "ld s0, 0(sp)",
    "ld ra, 8(sp)",
    "addi sp, sp, 208",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_endproc",
    end!("precast_enter"),

    // As `enter`, of a function whose parameters are integers in registers: those as the function
    // takes them, the others in t1 (stack_top), t2 (code) and t3 (activation). The status comes in
    // a0, the result in a1 or where floats are returned.
    begin!("precast_enter_direct"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    "precast_save",
    "sd s0, {host_sp}(t3)",
    "sd zero, {guest_fp}(t3)",
    "lbu t0, {exit}(t3)",
    "bnez t0, 4f",
    "addi sp, t1, -16",
    "sd s0, 0(sp)",
    "sd t3, 8(sp)",
    "mv s0, sp",
    ".cfi_remember_state",
    ".cfi_escape 0x0f, 6, 0x78, 0, 0x06, 0x23, 0xd0, 0x01",
    "jalr t2",
    "ld s0, 0(sp)",
    "ld t3, 8(sp)",
    ".cfi_restore_state",
    "mv sp, s0",
    "li t0, {idle}",
    "sd t0, {guest_fp}(t3)",
    "mv a1, a0",
    "li a0, {returned}",
    // It has returned from where it was entered, so it has kept all registers but this.
    "fld fs1, 112(sp)",
    "ld s0, 0(sp)",
    "ld ra, 8(sp)",
    "addi sp, sp, 208",
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 0",
    "ret",
    ".cfi_restore_state",
    "4:",
    "mv a0, t3",
    "j 3b",
    ".cfi_endproc",
    end!("precast_enter_direct"),

    // resume(activation, frame_word, context) -> status: goes on where the guest was left, which is
    // the crossing that landing.fp is the frame of, or, if `context` is not 0, what a signal
    // interrupted. `frame_word` is the lower of the two words at the top of the guest's stack.
    begin!("precast_resume"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    "precast_save",
    "sd s0, {host_sp}(a0)",
    "sd zero, {guest_fp}(a0)",
    "lbu t0, {exit}(a0)",
    "bnez t0, 5f",
    "sd s0, 0(a1)",
    "bnez a2, 6f",
    "precast_each ld, fld, {saved_ints}, {saved_floats}, a0",
    "fld fa0, {saved_float}(a0)",
    "ld sp, {landing_fp}(a0)",
    "ld a0, {saved_int}(a0)",
    "ld s0, 0(sp)",
    "ld ra, 8(sp)",
    "addi sp, sp, 16",
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 0",
    ".cfi_same_value s0",
    ".cfi_same_value ra",
    "ret",
    ".cfi_restore_state",
    "6:",
    "mv sp, a2",
    "li a7, {sigreturn}",
    "ecall",
    "unimp",
    // Stopped meanwhile: the landing still says where the guest was.
    "5:",
    "li a1, {barred}",
    "j precast_land",
    ".cfi_endproc",
    end!("precast_resume"),

    // What signal handlers divert to when the guest is to go on later: activation in a0.
    begin!("precast_preempt"),
    ".cfi_startproc",
    "ld sp, {host_sp}(a0)",
    "li a1, {preempted}",
    "j precast_land",
    ".cfi_endproc",
    end!("precast_preempt"),

    // What signal handlers divert to: activation in a0, status TRAPPED.
    begin!("precast_leave"),
    ".cfi_startproc",
    "ld sp, {host_sp}(a0)",
    "li a1, {trapped}",
    "j precast_land",
    ".cfi_endproc",
    end!("precast_leave"),

    // trap(base, code): called by the object's trap stubs.
    begin!("precast_trap"),
    ".cfi_startproc",
    "ld a0, -{activation}(a0)",
    "sd zero, {landing_pc}(a0)",
    "sd s0, {landing_fp}(a0)",
    "sw a1, {landing_code}(a0)",
    "ld sp, {host_sp}(a0)",
    "li a1, {trapped}",
    "j precast_land",
    ".cfi_endproc",
    end!("precast_trap"),

    // A crossing from guest to host. The hidden parameter, in a0, leads to the activation.
    ".macro precast_to_host activation",
    ".cfi_signal_frame",
    "addi sp, sp, -16",
    ".cfi_def_cfa_offset 16",
    "sd s0, 0(sp)",
    "sd ra, 8(sp)",
    ".cfi_offset s0, -16",
    ".cfi_offset ra, -8",
    "mv s0, sp",
    ".cfi_def_cfa_register s0",
    "ld t0, \\activation(a0)",
    "sd s0, {guest_fp}(t0)",
    "ld sp, {host_sp}(t0)",
    "addi sp, sp, -16",
    "sd t0, 0(sp)",
    ".endm",

    // The second half.
    ".macro precast_to_guest",
    "ld t0, 0(sp)",
    "sd zero, {guest_fp}(t0)",
    "lbu t1, {exit}(t0)",
    "beqz t1, 7f",
    "j precast_left",
    "7:",
    "mv sp, s0",
    "ld s0, 0(sp)",
    "ld ra, 8(sp)",
    "addi sp, sp, 16",
    ".cfi_def_cfa sp, 0",
    "ret",
    ".endm",

    // The next host call is counted.
    ".macro precast_count",
    "ld t1, {host_calls}(t0)",
    "addi t1, t1, 1",
    "sd t1, {host_calls}(t0)",
    ".endm",

    begin!("precast_host_registers"),
    ".cfi_startproc",
    "precast_to_host {host_activation}",
    "precast_count",
    "ld t0, {call_registers}(a0)",
    "jalr t0",
    "precast_to_guest",
    ".cfi_endproc",
    end!("precast_host_registers"),

    begin!("precast_host_array"),
    ".cfi_startproc",
    "precast_to_host {host_activation}",
    "precast_count",
    "ld t0, {call_array}(a0)",
    "jalr t0",
    "precast_to_guest",
    ".cfi_endproc",
    end!("precast_host_array"),

    ".macro precast_crossing target",
    ".cfi_startproc",
    "precast_to_host -{activation}",
    "call \\target",
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

    // The same for functions that throw: they give the frame to return through, and what the
    // handler finds in a0.
    ".macro precast_throwing target",
    ".cfi_startproc",
    "precast_to_host -{activation}",
    "call \\target",
    "mv s0, a1",
    "precast_to_guest",
    ".cfi_endproc",
    ".endm",

    begin!("precast_rt_throw"),
    "precast_throwing {throw}",
    begin!("precast_rt_throw_ref"),
    "precast_throwing {throw_ref}",

    // The exit word was not 0 when a crossing came back: activation in t0.
    begin!("precast_left"),
    ".cfi_startproc",
    ".cfi_signal_frame",
    ".cfi_def_cfa s0, 16",
    ".cfi_offset s0, -16",
    ".cfi_offset ra, -8",
    "lbu t1, {exit}(t0)",
    "andi t1, t1, {thrown}",
    "beqz t1, 1f",
    // A host function has thrown.
    "sd s0, {guest_fp}(t0)",
    "mv a0, t0",
    "call {throw_from_host}",
    "mv s0, a1",
    "precast_to_guest",
    ".cfi_def_cfa s0, 16",
    "1:",
    "sd zero, {landing_pc}(t0)",
    "sd s0, {landing_fp}(t0)",
    // If the guest is to go on later: what the host function has kept for it, and its result.
    "precast_each sd, fsd, {saved_ints}, {saved_floats}, t0",
    "sd a0, {saved_int}(t0)",
    "fsd fa0, {saved_float}(t0)",
    "mv a0, t0",
    "ld sp, {host_sp}(a0)",
    "li a1, {left}",
    "j precast_land",
    ".cfi_endproc",
    end!("precast_left"),

    mark!("precast_crossings_end"),
    ".popsection",

    // Handler of faults: as `signals::on_fault`, and whether the kernel has called it. Then what it
    // says of the fault lies where the stack begins.
    section!("precast_fault"),
    begin!("precast_fault"),
    ".cfi_startproc",
    "xor a3, sp, a1",
    "seqz a3, a3",
    "tail {on_fault}",
    ".cfi_endproc",
    end!("precast_fault"),
    ".popsection",
    ".option pop",
    saved_ints = const SAVED + offset_of!(Saved, ints),
    saved_floats = const SAVED + offset_of!(Saved, floats),
    sigreturn = const libc::SYS_rt_sigreturn,
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
            "call {enter}",
            enter = sym precast_enter_direct,
            inlateout("a0") entry.context => status,
            inlateout("a1") ints[0] => int,
            inlateout("a2") ints[1] => _,
            inlateout("a3") ints[2] => _,
            inlateout("a4") ints[3] => _,
            inlateout("a5") ints[4] => _,
            inlateout("t1") entry.stack_top => _,
            inlateout("t2") entry.code => _,
            inlateout("t3") activation as *const Activation => _,
            lateout("fa0") float,
            clobber_abi("C"),
        );
    }
    Returned { status, int, float }
}

/// The system's counter, which runs at the same pace on all CPUs.
#[inline(always)]
pub(crate) fn cycles() -> u64 {
    let count;
    // SAFETY: reads a counter that systems let programs read.
    unsafe {
        std::arch::asm!("rdtime {}", out(reg) count, options(nomem, nostack, preserves_flags));
    }
    count
}

/// The current stack pointer, about.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mv {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
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
            "tail {leave}",
            leave = sym precast_leave,
            in("a0") activation,
            options(noreturn),
        )
    }
}

/// Distance of the frame of the outermost guest function from the upper end of its stack: two words
/// of the entry, the return address, and the caller's frame pointer.
pub(crate) const OUTERMOST_FRAME: usize = 32;

/// Offset in a function at which its frame is set up: four short instructions.
const FRAME_READY: usize = 8;

/// Where the return address is, `offset` bytes into a function, before its frame is set up.
pub(crate) fn frameless_return(offset: usize, landing: &Landing) -> Option<ReturnAddress> {
    (offset < FRAME_READY).then_some(ReturnAddress::Is(landing.link))
}
