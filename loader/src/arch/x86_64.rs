//! Entering and leaving guest code on x86-64 (System V).
//!
//! # Safety
//!
//! This file holds unsafe code: assembly that switches stacks. Invariants:
//! - `enter` saves `rbp` and `rbx` on the host's stack and leaves the stack pointer in
//!   `Activation::host_sp`; a trap restores from there. Other callee-saved registers hold anything
//!   after a trap: the inline assembly that calls `enter` says so.
//! - The guest's return finds the host's frame in the two words that `enter` leaves at the top of the guest's stack,
//!   and by nothing else: who resumes a guest from another frame writes that frame there.
//! - While guest code runs, `guest_fp` is 0. It is cleared *before* the exit word is read, and set
//!   *before* the host's stack is taken: so a signal that finds it not 0 knows that the word will
//!   be read before guest code goes on.
//! - In every crossing `rbp` is that of a frame that holds the caller's `rbp` and return address,
//!   on whichever stack: unwinders pass through with `CFA = rbp + 16`.
//!
//! ```text
//! host stack, in `enter` and below           guest stack                      in a crossing
//!   return address                             activation                       return address into guest code
//!   rbp          ◄── frame                     frame        ◄── rbp             guest's rbp  ◄── rbp, guest_fp
//!   rbx          ◄── host_sp                   return address into `enter`
//!   activation, in a crossing                  … the guest's frames …
//! ```
#![allow(
    unsafe_code,
    reason = "entering and leaving guest code is what this file is for"
)]

use std::mem::offset_of;

use super::crossings::{precast_enter_direct, precast_leave};
use super::{DIRECT_PARAMS, ReturnAddress, Returned};
use crate::activation::{Activation, Landing};
use crate::entry::Entry;
use crate::value;

/// What a guest needs to go on after a host function: the registers that the function has kept for
/// it, and the result of the function, in whichever register it travels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Saved {
    rbx: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    /// An integer or reference.
    int: u64,
    /// A float: an `f32` in the lowest bits.
    float: [u64; 2],
}

impl Saved {
    /// The same with another result, of whatever class.
    pub(crate) fn with_result(self, bits: u64) -> Saved {
        Saved {
            int: bits,
            float: [bits, 0],
            ..self
        }
    }
}

const SAVED: usize = offset_of!(Activation, saved);

crossings_asm!(
    ".pushsection .text.precast_crossings, \"ax\", @progbits",
    ".p2align 5",
    ".hidden precast_crossings_start",
    ".globl precast_crossings_start",
    "precast_crossings_start:",

    // enter(activation, stub, context, code, values, stack_top) -> status. The guest's result is in
    // `values` then.
    ".hidden precast_enter",
    ".globl precast_enter",
    ".type precast_enter, @function",
    "precast_enter:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    ".cfi_offset rbx, -24",
    "mov [rdi + {host_sp}], rsp",
    "mov qword ptr [rdi + {guest_fp}], 0",
    "cmp byte ptr [rdi + {exit}], 0",
    "jne 3f",
    "mov rsp, r9",
    "push rdi",
    "push rbp",
    "mov rbp, rsp",
    ".cfi_remember_state",
    // CFA = *rbp + 16
    ".cfi_escape 0x0f, 5, 0x76, 0, 0x06, 0x23, 16",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "mov rdx, r8",
    "call rax",
    "pop rbp",
    ".cfi_restore_state",
    "pop r11",
    "mov rbx, [rbp - 8]",
    "mov qword ptr [r11 + {guest_fp}], {idle}",
    "mov eax, {returned}",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_remember_state",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_restore_state",
    // Killed before it began: there is no frame of a guest to report.
    "4:",
    "mov rdi, r11",
    "3:",
    "mov qword ptr [rdi + {landing_pc}], 0",
    "mov qword ptr [rdi + {landing_fp}], 0",
    "mov eax, {barred}",
    // Every way out but the return of the guest function ends here, with the activation in rdi, the
    // status in eax and rsp as host_sp says.
    ".hidden precast_land",
    "precast_land:",
    ".cfi_def_cfa rsp, 24",
    "mov edx, eax",
    "mov qword ptr [rdi + {guest_fp}], {idle}",
    "pop rbx",
    ".cfi_def_cfa_offset 16",
    "pop rbp",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".size precast_enter, . - precast_enter",

    // As `enter`, of a function whose parameters are integers in registers: those as the function
    // takes them, the others in rax (stack_top), r10 (code) and r11 (activation). The result stays
    // where it is; the status comes in rdx.
    ".hidden precast_enter_direct",
    ".globl precast_enter_direct",
    ".type precast_enter_direct, @function",
    ".p2align 5",
    "precast_enter_direct:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    ".cfi_offset rbx, -24",
    "mov [r11 + {host_sp}], rsp",
    "mov qword ptr [r11 + {guest_fp}], 0",
    "cmp byte ptr [r11 + {exit}], 0",
    "jne 4b",
    "mov rsp, rax",
    "push r11",
    "push rbp",
    "mov rbp, rsp",
    ".cfi_remember_state",
    ".cfi_escape 0x0f, 5, 0x76, 0, 0x06, 0x23, 16",
    "call r10",
    "pop rbp",
    ".cfi_restore_state",
    "pop r11",
    "mov qword ptr [r11 + {guest_fp}], {idle}",
    "mov edx, {returned}",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size precast_enter_direct, . - precast_enter_direct",

    // resume(activation, frame_word, context) -> status: goes on where the guest was left, which is
    // the crossing that landing.fp is the frame of, or, if `context` is not 0, what a signal
    // interrupted. `frame_word` is the lower of the two words at the top of the guest's stack.
    ".hidden precast_resume",
    ".globl precast_resume",
    ".type precast_resume, @function",
    "precast_resume:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    ".cfi_offset rbx, -24",
    "mov [rdi + {host_sp}], rsp",
    "mov qword ptr [rdi + {guest_fp}], 0",
    "cmp byte ptr [rdi + {exit}], 0",
    "jne 5f",
    "mov [rsi], rbp",
    "test rdx, rdx",
    "jne 6f",
    "mov rbx, [rdi + {saved_rbx}]",
    "mov r12, [rdi + {saved_r12}]",
    "mov r13, [rdi + {saved_r13}]",
    "mov r14, [rdi + {saved_r14}]",
    "mov r15, [rdi + {saved_r15}]",
    "mov rax, [rdi + {saved_int}]",
    "movups xmm0, [rdi + {saved_float}]",
    "mov rsp, [rdi + {landing_fp}]",
    "mov rbp, rsp",
    "pop rbp",
    ".cfi_remember_state",
    ".cfi_def_cfa rsp, 8",
    ".cfi_restore rbx",
    ".cfi_same_value rbp",
    "ret",
    ".cfi_restore_state",
    "6:",
    "mov rsp, rdx",
    "mov eax, {sigreturn}",
    "syscall",
    "ud2",
    // Stopped meanwhile: the landing still says where the guest was.
    "5:",
    "mov eax, {barred}",
    "jmp precast_land",
    ".cfi_endproc",
    ".size precast_resume, . - precast_resume",

    // What signal handlers divert to when the guest is to go on later: activation in rdi.
    ".hidden precast_preempt",
    ".globl precast_preempt",
    ".type precast_preempt, @function",
    "precast_preempt:",
    ".cfi_startproc",
    "mov rsp, [rdi + {host_sp}]",
    "mov eax, {preempted}",
    "jmp precast_land",
    ".cfi_endproc",
    ".size precast_preempt, . - precast_preempt",

    // What signal handlers divert to: activation in rdi, status TRAPPED.
    ".hidden precast_leave",
    ".globl precast_leave",
    ".type precast_leave, @function",
    "precast_leave:",
    ".cfi_startproc",
    "mov rsp, [rdi + {host_sp}]",
    "mov eax, {trapped}",
    "jmp precast_land",
    ".cfi_endproc",
    ".size precast_leave, . - precast_leave",

    // trap(base, code): called by the object's trap stubs.
    ".hidden precast_trap",
    ".globl precast_trap",
    ".type precast_trap, @function",
    "precast_trap:",
    ".cfi_startproc",
    "mov rdi, [rdi - {activation}]",
    "mov qword ptr [rdi + {landing_pc}], 0",
    "mov [rdi + {landing_fp}], rbp",
    "mov [rdi + {landing_code}], esi",
    "mov rsp, [rdi + {host_sp}]",
    "mov eax, {trapped}",
    "jmp precast_land",
    ".cfi_endproc",
    ".size precast_trap, . - precast_trap",

    // A crossing from guest to host. The hidden parameter, in rdi, leads to the activation.
    ".macro precast_crossing name, activation, calls, target:vararg",
    ".hidden \\name",
    ".globl \\name",
    ".type \\name, @function",
    ".p2align 5",
    "\\name:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov r11, [rdi + \\activation]",
    "mov [r11 + {guest_fp}], rbp",
    ".if \\calls",
    "add qword ptr [r11 + {host_calls}], \\calls",
    ".endif",
    "mov rsp, [r11 + {host_sp}]",
    "push r11",
    "call \\target",
    "pop r11",
    "mov qword ptr [r11 + {guest_fp}], 0",
    "cmp byte ptr [r11 + {exit}], 0",
    "jne precast_left",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size \\name, . - \\name",
    ".endm",

    "precast_crossing precast_host_registers, {host_activation}, 1, qword ptr [rdi + {call_registers}]",
    "precast_crossing precast_host_array, {host_activation}, 1, qword ptr [rdi + {call_array}]",
    "precast_crossing precast_rt_memory_grow, -{activation}, 0, {memory_grow}",
    "precast_crossing precast_rt_memory_copy, -{activation}, 0, {memory_copy}",
    "precast_crossing precast_rt_memory_fill, -{activation}, 0, {memory_fill}",
    "precast_crossing precast_rt_memory_init, -{activation}, 0, {memory_init}",
    "precast_crossing precast_rt_data_drop, -{activation}, 0, {data_drop}",
    "precast_crossing precast_rt_table_grow, -{activation}, 0, {table_grow}",
    "precast_crossing precast_rt_table_fill, -{activation}, 0, {table_fill}",
    "precast_crossing precast_rt_table_copy, -{activation}, 0, {table_copy}",
    "precast_crossing precast_rt_table_init, -{activation}, 0, {table_init}",
    "precast_crossing precast_rt_elem_drop, -{activation}, 0, {elem_drop}",
    "precast_crossing precast_rt_atomic_wait32, -{activation}, 0, {atomic_wait32}",
    "precast_crossing precast_rt_atomic_wait64, -{activation}, 0, {atomic_wait64}",
    "precast_crossing precast_rt_atomic_notify, -{activation}, 0, {atomic_notify}",
    "precast_crossing precast_rt_heap_alloc, -{activation}, 0, {heap_alloc}",
    "precast_crossing precast_rt_array_new, -{activation}, 0, {array_new}",
    "precast_crossing precast_rt_array_copy, -{activation}, 0, {array_copy}",
    "precast_crossing precast_rt_array_init_data, -{activation}, 0, {array_init_data}",
    "precast_crossing precast_rt_array_init_elem, -{activation}, 0, {array_init_elem}",
    "precast_crossing precast_rt_array_new_data, -{activation}, 0, {array_new_data}",
    "precast_crossing precast_rt_array_new_elem, -{activation}, 0, {array_new_elem}",
    "precast_crossing precast_rt_any_from_extern, -{activation}, 0, {any_from_extern}",
    "precast_crossing precast_rt_extern_from_any, -{activation}, 0, {extern_from_any}",
    "precast_crossing precast_rt_is_subtype, -{activation}, 0, {is_subtype}",

    // The same for functions that throw: they give the frame to return through, and what the
    // handler finds in rax.
    ".macro precast_throwing name, target:vararg",
    ".hidden \\name",
    ".globl \\name",
    ".type \\name, @function",
    ".p2align 5",
    "\\name:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov r11, [rdi - {activation}]",
    "mov [r11 + {guest_fp}], rbp",
    "mov rsp, [r11 + {host_sp}]",
    "push r11",
    "call \\target",
    "jmp precast_thrown",
    ".cfi_endproc",
    ".size \\name, . - \\name",
    ".endm",

    "precast_throwing precast_rt_throw, {throw}",
    "precast_throwing precast_rt_throw_ref, {throw_ref}",

    // A host function has thrown: activation in r11, whose frame is rbp.
    "8:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    ".cfi_def_cfa rbp, 16",
    ".cfi_offset rbp, -16",
    "mov [r11 + {guest_fp}], rbp",
    "push r11",
    "mov rdi, r11",
    "call {throw_from_host}",
    "precast_thrown:",
    "pop r11",
    "mov rbp, rdx",
    "mov qword ptr [r11 + {guest_fp}], 0",
    "cmp byte ptr [r11 + {exit}], 0",
    "jne precast_left",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",

    // The exit word was not 0 when a crossing came back: activation in r11.
    "precast_left:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    ".cfi_def_cfa rbp, 16",
    ".cfi_offset rbp, -16",
    "test byte ptr [r11 + {exit}], {thrown}",
    "jne 8b",
    "mov qword ptr [r11 + {landing_pc}], 0",
    "mov [r11 + {landing_fp}], rbp",
    // If the guest is to go on later: what the host function has kept for it, and its result.
    "mov [r11 + {saved_rbx}], rbx",
    "mov [r11 + {saved_r12}], r12",
    "mov [r11 + {saved_r13}], r13",
    "mov [r11 + {saved_r14}], r14",
    "mov [r11 + {saved_r15}], r15",
    "mov [r11 + {saved_int}], rax",
    "movups [r11 + {saved_float}], xmm0",
    "mov rdi, r11",
    "mov rsp, [r11 + {host_sp}]",
    "mov eax, {left}",
    "jmp precast_land",
    ".cfi_endproc",

    ".hidden precast_crossings_end",
    ".globl precast_crossings_end",
    "precast_crossings_end:",
    ".popsection",

    // Handler of faults: as `signals::on_fault`, and whether the kernel has called it. Then what the
    // kernel says of the interrupted code lies right above the return address.
    ".pushsection .text.precast_fault, \"ax\", @progbits",
    ".hidden precast_fault",
    ".globl precast_fault",
    ".type precast_fault, @function",
    "precast_fault:",
    ".cfi_startproc",
    "lea rax, [rsp + 8]",
    "xor ecx, ecx",
    "cmp rax, rdx",
    "sete cl",
    "jmp {on_fault}",
    ".cfi_endproc",
    ".size precast_fault, . - precast_fault",
    ".popsection",
    saved_rbx = const SAVED + offset_of!(Saved, rbx),
    saved_r12 = const SAVED + offset_of!(Saved, r12),
    saved_r13 = const SAVED + offset_of!(Saved, r13),
    saved_r14 = const SAVED + offset_of!(Saved, r14),
    saved_r15 = const SAVED + offset_of!(Saved, r15),
    sigreturn = const libc::SYS_rt_sigreturn,
);

unsafe extern "C" {
    fn precast_enter();
    fn precast_resume();
}

/// Enters the guest. Returns [`RETURNED`], [`TRAPPED`], [`LEFT`], [`BARRED`], or
/// [`PREEMPTED`] if the activation is resumable.
///
/// # Safety
///
/// `entry` must be of a function in the activation's store, with an entry stub for its type, both
/// in mapped objects; `values` must hold its arguments and have room for its results; `stack_top`
/// must be aligned to 16 bytes and end an accessible guest stack that is not in use above it. The
/// activation must be current on this thread.
#[inline(always)]
pub(crate) unsafe fn enter(
    activation: &Activation,
    entry: &Entry,
    stack_top: usize,
    values: *mut value::Cell,
) -> u64 {
    let status;
    // SAFETY: the caller's promise is what the assembly asks for. It keeps rbx and rbp; guest code
    // and host functions called by it keep or change all others.
    unsafe {
        std::arch::asm!(
            "call {enter}",
            enter = sym precast_enter,
            inlateout("rdi") activation as *const Activation => _,
            inlateout("rsi") entry.stub => _,
            inlateout("rdx") entry.context => _,
            inlateout("rcx") entry.code => _,
            inlateout("r8") values => _,
            inlateout("r9") stack_top => _,
            lateout("rax") status,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    status
}

/// Enters the guest by its function itself, whose parameters are integers or references.
///
/// # Safety
///
/// As [`enter`], but that the activation must be idle, and `ints` begin with the arguments.
#[inline(always)]
pub(crate) unsafe fn enter_direct(
    activation: &Activation,
    entry: &Entry,
    ints: [u64; DIRECT_PARAMS],
) -> Returned {
    let (status, int, float);
    // SAFETY: the caller's promise is what the assembly asks for; registers as in `enter`.
    unsafe {
        std::arch::asm!(
            "call {enter}",
            enter = sym precast_enter_direct,
            inlateout("rdi") entry.context => _,
            inlateout("rsi") ints[0] => _,
            inlateout("rdx") ints[1] => status,
            inlateout("rcx") ints[2] => _,
            inlateout("r8") ints[3] => _,
            inlateout("r9") ints[4] => _,
            inlateout("rax") entry.stack_top => int,
            inlateout("r10") entry.code => _,
            inlateout("r11") activation as *const Activation => _,
            lateout("xmm0") float,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    Returned { status, int, float }
}

/// Lets a suspended guest go on. Returns as [`enter`] does; a guest that was entered by that leaves
/// its results where it was told to then.
///
/// # Safety
///
/// A guest of the activation must have been left with all of its frames in place, by a crossing or
/// by a signal: then `context` is what [`super::SignalFrame::prepare`] gave, else 0. `stack_top`
/// must be that of its entry, which was by [`enter`], and not nested. The activation must be current on this thread.
#[inline(always)]
pub(crate) unsafe fn resume(activation: &Activation, stack_top: usize, context: usize) -> u64 {
    let status;
    // SAFETY: the caller's promise is what the assembly asks for; registers as in `enter`.
    unsafe {
        std::arch::asm!(
            "call {resume}",
            resume = sym precast_resume,
            inlateout("rdi") activation as *const Activation => _,
            inlateout("rsi") stack_top - 16 => _,
            inlateout("rdx") context => _,
            lateout("rax") status,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    status
}

/// The CPU's time stamp counter.
#[inline(always)]
pub(crate) fn cycles() -> u64 {
    // SAFETY: every x86-64 CPU has it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The current stack pointer, about.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags));
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
            "jmp {leave}",
            leave = sym precast_leave,
            in("rdi") activation,
            options(noreturn),
        )
    }
}

/// Distance of the frame of the outermost guest function from the upper end of its stack: two words
/// of the entry, the return address, and the caller's frame pointer.
pub(crate) const OUTERMOST_FRAME: usize = 32;

/// Offset in a function at which its frame is set up (`push rbp; mov rbp, rsp`).
const FRAME_READY: usize = 4;

/// Where the return address is, `offset` bytes into a function, before its frame is set up.
pub(crate) fn frameless_return(offset: usize, landing: &Landing) -> Option<ReturnAddress> {
    match offset {
        0 => Some(ReturnAddress::At(landing.sp)),
        // The caller's frame pointer lies above it by then.
        1..FRAME_READY => Some(ReturnAddress::At(landing.sp + 8)),
        _ => None,
    }
}
