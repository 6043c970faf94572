//! The signal handlers: they classify and redirect, nothing else.
//!
//! # Safety
//!
//! This file holds unsafe code. Handlers run in the middle of any code, so they take no lock,
//! allocate nothing, log nothing and cannot panic. They look in this order: is the interrupted
//! instruction in a registered range (or in a crossing); which activation runs on this thread; is
//! the address in a guard of its store; is the instruction in the object's trap table. Only then
//! is the interrupted context changed. What is not ours goes to the handler that was there before.
#![allow(unsafe_code, reason = "signal handlers are what this file is for")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use precast_abi::trap::TrapCode;

use crate::activation::{Activation, Landing, Reason};
use crate::arch::{self, Context, WayOut};
use crate::interrupt;
use crate::limits;
use crate::registry::{self, CodeRange};
use crate::sys::{self, Refused};
use crate::thread;

/// Signals that faults of guest code raise.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Explicit checks of bounds send bad accesses to an address below this.
const NULL_PAGE: usize = 4096;

type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// What was installed before us.
struct Previous(UnsafeCell<[MaybeUninit<libc::sigaction>; FAULTS.len() + 1]>);

// SAFETY: written by `install` before our handler for the signal is in place, read by handlers.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new([const { MaybeUninit::uninit() }; 5]));

/// Whether a handler that wanted one signal only has had it.
static USED: [AtomicBool; FAULTS.len() + 1] = [const { AtomicBool::new(false) }; 5];

/// Installs the handlers, once.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        sys::keys::detect_once();
        for (slot, &signal) in FAULTS.iter().enumerate() {
            // Blocks nothing, so that leaving it needs no system call.
            install_one(slot, signal, arch::precast_fault, libc::SA_NODEFER);
        }
        install_one(FAULTS.len(), sys::INTERRUPT, on_interrupt, 0);
        // SAFETY: the function is fit for a child that has only this thread.
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    });
}

fn install_one(slot: usize, signal: libc::c_int, handler: Handler, flags: libc::c_int) {
    // SAFETY: plain data, filled in below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART | flags;
    // SAFETY: the protocol of the C library; `PREVIOUS` is filled before the handler is in place.
    unsafe {
        libc::sigemptyset(&mut action.sa_mask);
        let previous = (*PREVIOUS.0.get())[slot].as_mut_ptr();
        libc::sigaction(signal, std::ptr::null(), previous);
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

extern "C" fn after_fork() {
    thread::after_fork();
}

/// What a fault means.
enum Verdict {
    /// The guest trapped.
    Trap(*const Activation, TrapCode),
    /// A write outside of a pooled slot's window, which is wider now: it may go on.
    Resume,
    /// Guest code did what it never should.
    Escape { address: usize },
    /// It is none of our business.
    NotOurs,
}

/// Who has called a handler of ours.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "assembly makes these")]
pub(crate) enum By {
    /// A handler of somebody else's, whose mask is in force.
    Handler = 0,
    /// The kernel, which has blocked nothing.
    Kernel = 1,
}

/// A request to leave the guest may come at any point in here: it finds that the interrupted code is no
/// guest's, and is sent again.
///
/// # Safety
///
/// As a signal handler's; called by way of `precast_fault`.
pub(crate) unsafe extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    raw: *mut libc::c_void,
    by: By,
) {
    // SAFETY: the kernel's arguments of a handler that is running.
    let (mut context, info_ref) = unsafe { (Context::from_raw(raw), &*info) };
    match classify(signal, info_ref, &context) {
        Verdict::Trap(activation, code) => leave_at_once(&mut context, activation, code, by),
        Verdict::Resume => {}
        Verdict::Escape { address } => {
            report_escape(signal, context.pc(), address);
            die(signal);
        }
        Verdict::NotOurs => pass_on(signal, info, raw),
    }
}

fn classify(signal: libc::c_int, info: &libc::siginfo_t, context: &Context<'_>) -> Verdict {
    let pc = context.pc();
    if sys::was_sent(info) {
        return Verdict::NotOurs;
    }
    let range = registry::find(pc);
    let is_guest = range.is_some() || arch::is_crossing(pc);
    let refused = sys::refused_access(signal, info.si_code);
    if !is_guest && refused.is_none() {
        return Verdict::NotOurs;
    }
    let current = thread::record().current.load(Ordering::Relaxed);
    // SAFETY: an activation that is current on this thread is entered, so it lives.
    let Some(activation) = (unsafe { current.as_ref() }) else {
        return Verdict::NotOurs;
    };
    // SAFETY: faults have an address; for others the field is not used.
    let address = unsafe { info.si_addr() } as usize;
    if refused == Some(Refused::Forbidden) && widen(activation, address) {
        return Verdict::Resume;
    }
    if !is_guest {
        return Verdict::NotOurs;
    }
    let code = match signal {
        _ if refused.is_some() => access_trap(activation, range, pc, address),
        libc::SIGILL | libc::SIGFPE => range.and_then(|range| table_trap(range, pc)),
        _ => None,
    };
    match (code, range) {
        (Some(code), _) => Verdict::Trap(activation, code),
        (None, Some(_)) => Verdict::Escape { address },
        // A crossing touched the host's own stack, and it was used up.
        (None, None) => Verdict::NotOurs,
    }
}

/// Whether the address lies in a pooled slot and could not be accessed only because its window was
/// too narrow: then it can be now. Host code that writes to a guest's memory may fault so, too.
fn widen(activation: &Activation, address: usize) -> bool {
    let region = activation.region_of(address);
    region.is_some_and(|region| region.window().is_some_and(|window| window.widen(address)))
}

fn access_trap(
    activation: &Activation,
    range: Option<CodeRange>,
    pc: usize,
    address: usize,
) -> Option<TrapCode> {
    if let Some(region) = activation.region_of(address) {
        if address < region.stack {
            return Some(TrapCode::StackOverflow);
        }
        let beyond_base = address >= region.base && range.is_some();
        return beyond_base.then_some(TrapCode::MemoryOutOfBounds);
    }
    if address < NULL_PAGE {
        table_trap(range?, pc)
    } else {
        None
    }
}

fn table_trap(range: CodeRange, pc: usize) -> Option<TrapCode> {
    // SAFETY: guest code of the object is what was interrupted, so its store holds it.
    let metadata = unsafe { range.object() }.metadata();
    metadata.trap_at(u32::try_from(pc - range.start).ok()?)
}

/// Redirects the guest to the way out.
fn leave(context: &mut Context<'_>, activation: *const Activation, code: TrapCode) {
    land(context, activation, code);
    context.divert(activation, WayOut::Trap);
}

/// Leaves the guest, and this handler with it: as [`leave`] and returning to the kernel, which would
/// restore registers that nobody needs any more.
fn leave_at_once(
    context: &mut Context<'_>,
    activation: *const Activation,
    code: TrapCode,
    by: By,
) -> ! {
    land(context, activation, code);
    // SAFETY: the mask, and the rights to protection keys, that the kernel will have no occasion to
    // restore. What was interrupted is guest
    // code of the activation, or a crossing of it, on this thread; nothing here is to be dropped.
    unsafe {
        if by == By::Handler {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                context.signal_mask(),
                std::ptr::null_mut(),
            );
        }
        if let Some(rights) = context.rights() {
            sys::keys::set_all_rights(rights);
        }
        arch::leave(activation)
    }
}

fn land(context: &Context<'_>, activation: *const Activation, code: TrapCode) {
    let landing = Landing {
        pc: context.pc(),
        fp: context.fp(),
        sp: context.sp(),
        code: code as u32,
        link: context.link(),
    };
    // SAFETY: the activation is current on this thread and what was interrupted is its guest or a
    // crossing of it, so nobody else uses the field.
    unsafe { &*activation }.landing.set(landing);
}

extern "C" fn on_interrupt(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    raw: *mut libc::c_void,
) {
    // SAFETY: the kernel's arguments of a handler that is running.
    let (mut context, info_ref) = unsafe { (Context::from_raw(raw), &*info) };
    let Some(ticket) = sys::ticket(info_ref) else {
        return pass_on(signal, info, raw);
    };
    let thread = thread::record();
    let next = limits::expire(thread);
    if settle(&mut context, thread.current.load(Ordering::Relaxed)) {
        // Otherwise the moment stays where it is, in the past: the watchdog asks again.
        if let Some(next) = next {
            thread.wake.store(next, Ordering::Relaxed);
        }
        if ticket != limits::TICKET {
            interrupt::answer(ticket);
        }
    }
}

/// Does what the exit word of the activation asks for. `false` where that cannot be done here: then
/// whoever sent the signal has to ask again.
fn settle(context: &mut Context<'_>, current: *const Activation) -> bool {
    // SAFETY: an activation that is current on this thread is entered, so it lives.
    let Some(activation) = (unsafe { current.as_ref() }) else {
        return true;
    };
    if activation.guest_fp.load(Ordering::Relaxed) != 0 {
        // In the host, and the word is looked at before guest code goes on.
        return true;
    }
    if registry::find(context.pc()).is_none() {
        // Between guest and host, or in someone's handler above the guest.
        return false;
    }
    if activation.must_stop() {
        leave(context, activation, TrapCode::Interrupted);
    } else if activation.exit.has(Reason::SLICE) {
        preempt(context, activation);
    }
    true
}

/// Redirects the guest to the way out, so that it can go on later.
fn preempt(context: &mut Context<'_>, activation: &Activation) {
    // SAFETY: guest code of the activation is what was interrupted: no one else uses the field.
    let registers = unsafe { &mut *activation.registers.get() };
    let saved = registers.as_mut().is_some_and(|frame| frame.save(context));
    if !saved {
        // It goes on to its next call of the host.
        return;
    }
    activation.landing.set(Landing {
        pc: context.pc(),
        fp: context.fp(),
        sp: context.sp(),
        code: 0,
        link: context.link(),
    });
    context.divert(activation, WayOut::Preempt);
}

/// Gives the signal to whoever had it before us.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, raw: *mut libc::c_void) {
    let Some(slot) = FAULTS
        .iter()
        .position(|&s| s == signal)
        .or((signal == sys::INTERRUPT).then_some(FAULTS.len()))
    else {
        return;
    };
    // SAFETY: `install` filled the slot before this handler could run.
    let previous = unsafe { (*PREVIOUS.0.get())[slot].assume_init_ref() };
    // SAFETY: the caller's arguments are the kernel's.
    let (sent, context) = unsafe { (sys::was_sent(&*info), Context::from_raw(raw)) };
    let is_for_once = previous.sa_flags & libc::SA_RESETHAND != 0;
    let was_used = is_for_once && USED[slot].swap(true, Ordering::Relaxed);
    let handler = match was_used {
        true => libc::SIG_DFL,
        false => previous.sa_sigaction,
    };
    if ![libc::SIG_DFL, libc::SIG_IGN].contains(&handler) {
        block_as_asked(signal, previous, &context);
    }
    match handler {
        libc::SIG_DFL | libc::SIG_IGN if signal == sys::INTERRUPT => {}
        libc::SIG_IGN if sent => {}
        libc::SIG_DFL if sent => {
            die(signal);
            // SAFETY: sends the signal to this thread; it is delivered when the handler returns.
            unsafe { libc::raise(signal) };
        }
        // The instruction will fault again, and then the system's default applies.
        libc::SIG_DFL | libc::SIG_IGN => die(signal),
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed it said that it takes these three arguments, which are the
            // kernel's.
            unsafe {
                let handler: Handler = std::mem::transmute(handler);
                handler(signal, info, raw);
            }
        }
        handler => {
            // SAFETY: whoever installed it said that it takes the signal alone.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

/// Blocks the signals that the kernel would have blocked for the handler that was there before: those
/// that were, its mask, and the signal itself unless it wants that. The kernel gives the thread its
/// mask back when our handler returns.
///
/// What cannot be as asked for: which stack it runs on, and whether system calls are started again.
fn block_as_asked(signal: libc::c_int, previous: &libc::sigaction, context: &Context<'_>) {
    // SAFETY: sets of signals of the kernel's and of `install`'s; the former is as long as all that the
    // kernel looks at of a set.
    unsafe {
        let interrupted = context.signal_mask().cast::<sys::SignalMask>().read();
        let wanted = (&raw const previous.sa_mask)
            .cast::<sys::SignalMask>()
            .read();
        let itself = match previous.sa_flags & libc::SA_NODEFER {
            0 => 1 << (signal - 1),
            _ => 0,
        };
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut mask);
        (&raw mut mask)
            .cast::<sys::SignalMask>()
            .write(interrupted | wanted | itself);
        libc::pthread_sigmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut());
    }
}

/// Lets the next such signal have the system's default effect.
fn die(signal: libc::c_int) {
    // SAFETY: plain data; the default action needs nothing else.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

/// Says on standard error why the process is about to die.
fn report_escape(signal: libc::c_int, pc: usize, address: usize) {
    let mut line = Line::default();
    line.push(b"precast: guest code faulted where it never may (signal ");
    line.push_hex(signal as usize);
    line.push(b", instruction ");
    line.push_hex(pc);
    line.push(b", address ");
    line.push_hex(address);
    line.push(b"): a faulty compiler or a damaged object; ending the process\n");
    // SAFETY: the buffer is ours. Nothing can be done if it cannot be written.
    unsafe { libc::write(2, line.bytes.as_ptr().cast(), line.len) };
}

/// Text built without allocating; what does not fit is left out.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Default for Line {
    fn default() -> Line {
        Line {
            bytes: [0; 256],
            len: 0,
        }
    }
}

impl Line {
    fn push(&mut self, text: &[u8]) {
        for (to, &from) in self.bytes.iter_mut().skip(self.len).zip(text) {
            *to = from;
        }
        self.len = (self.len + text.len()).min(self.bytes.len());
    }

    fn push_hex(&mut self, value: usize) {
        self.push(b"0x");
        let digits = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            let digit = (value >> (digit * 4)) as u8 & 0xf;
            self.push(&[if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            }]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_built_without_allocating() {
        let mut line = Line::default();
        line.push(b"at ");
        line.push_hex(0xdead_beef);
        line.push_hex(0);
        assert_eq!(&line.bytes[..line.len], b"at 0xdeadbeef0x0");
        line.push(&[b'x'; 300]);
        assert_eq!(line.len, 256);
    }
}
