//! Signals in each window of entry and exit: a call is stepped through, instruction by instruction,
//! and at each instruction of the crossings in turn the guest is killed, its deadline passes, or
//! its time slice ends.
//!
//! # Safety
//!
//! The handler of SIGTRAP, which the CPU raises after each instruction while the trap flag is set,
//! reads atomics, waits for a signal to be pending, and changes the trap flag of what it
//! interrupted. The border of the crossings is taken from the loader's own symbols.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use precast::{
    Caller, Error, Instance, InterruptHandle, Linker, Module, Progress, Store, Suspend, TypedFunc,
    Val,
};
use precast_tests::guest::{module, trap};

unsafe extern "C" {
    safe static precast_crossings_start: u8;
    safe static precast_crossings_end: u8;
}

const TRAP_FLAG: i64 = 0x100;

/// Whether to go on stepping.
static STEPPING: AtomicBool = AtomicBool::new(false);
/// Instructions of crossings so far.
static SEEN: AtomicUsize = AtomicUsize::new(0);
/// After how many of them to wait for the signal.
static AT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Set when that moment has come.
static NOW: AtomicBool = AtomicBool::new(false);

/// Set when the signal had come before.
static TOO_LATE: AtomicBool = AtomicBool::new(false);

extern "C" fn step(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's argument of a handler that is running.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    if !STEPPING.load(Ordering::Relaxed) {
        registers[libc::REG_EFL as usize] &= !TRAP_FLAG;
        return;
    }
    let pc = registers[libc::REG_RIP as usize] as usize;
    let start = &raw const precast_crossings_start as usize;
    let end = &raw const precast_crossings_end as usize;
    if !(start..end).contains(&pc) {
        return;
    }
    if SEEN.fetch_add(1, Ordering::Relaxed) != AT.load(Ordering::Relaxed) {
        return;
    }
    NOW.store(true, Ordering::SeqCst);
    // What comes after is not stepped through: that takes long.
    registers[libc::REG_EFL as usize] &= !TRAP_FLAG;
    // It is blocked here, and is delivered at this very instruction when the handler returns.
    for _ in 0..TRIES {
        // SAFETY: fit for a signal handler; the set is filled in by the call.
        let pending = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigpending(&mut set);
            libc::sigismember(&set, libc::SIGURG) == 1
        };
        if pending {
            return;
        }
        std::hint::spin_loop();
    }
    TOO_LATE.store(true, Ordering::SeqCst);
}

/// How often to look for the signal: for some hundred times as long as it should take.
const TRIES: usize = 300_000;

fn set_trap_flag() {
    // SAFETY: from the next instruction on the handler runs after each.
    unsafe {
        std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq",);
    }
}

/// Asks for a halt at the crossings' instruction number `at`, counted from [`begin`] on.
fn arrange(at: usize) {
    SEEN.store(0, Ordering::SeqCst);
    AT.store(at, Ordering::SeqCst);
    NOW.store(false, Ordering::SeqCst);
    TOO_LATE.store(false, Ordering::SeqCst);
}

/// Begins to step.
fn begin() {
    STEPPING.store(true, Ordering::SeqCst);
    set_trap_flag();
}

/// Ends it. Says whether there was an instruction of that number.
fn end() -> bool {
    STEPPING.store(false, Ordering::SeqCst);
    AT.store(usize::MAX, Ordering::SeqCst);
    NOW.load(Ordering::SeqCst)
}

/// The handler counts for one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the protocol of the C library; the handler is fit for its signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = step as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaddset(&mut action.sa_mask, libc::SIGURG);
        assert_eq!(
            libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()),
            0
        );
    }
    guard
}

/// What the host function does.
#[derive(Clone, Copy, PartialEq)]
enum Host {
    Answers,
    /// Begins to step, and answers.
    Begins,
    AnswersLater,
}

/// Goes in, out, in, out again, in, and out.
fn guest() -> (Linker<Host>, Module) {
    let mut linker = Linker::<Host>::new();
    linker.func("h", "f", |caller: Caller<'_, Host>, x: i32| {
        match *caller.data() {
            Host::Answers => {}
            Host::Begins => begin(),
            Host::AnswersLater => return Err(Error::from(Suspend::new())),
        }
        Ok(x + 1)
    });
    let module = module(
        r#"(module (import "h" "f" (func $f (param i32) (result i32)))
            (memory 1)
            (func (export "run") (param i32) (result i32)
                (i32.add (call $f (local.get 0)) (memory.grow (i32.const 0)))))"#,
    );
    (linker, module)
}

fn new(linker: &Linker<Host>, module: &Module, host: Host) -> (Store<Host>, Run) {
    let mut store = Store::new(host);
    let instance: Instance = linker.instantiate(&mut store, module).unwrap();
    let run = instance.func(&store, "run").unwrap();
    (store, run)
}

type Run = TypedFunc<i32, i32>;

/// Kills the guest at the instruction number `at` of `call`. `None` where there is none of that
/// number.
fn killed_at<R>(at: usize, handle: &InterruptHandle, call: impl FnOnce() -> R) -> Option<R> {
    arrange(at);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            while AT.load(Ordering::SeqCst) != usize::MAX {
                if NOW.load(Ordering::SeqCst) {
                    handle.kill();
                    break;
                }
                std::hint::spin_loop();
            }
        });
        begin();
        let result = call();
        let reached = end();
        killer.join().unwrap();
        reached.then_some(result)
    })
}

#[test]
fn a_kill_in_any_window() {
    let _alone = alone();
    let (linker, module) = guest();
    let mut interrupted = 0;
    for at in 0.. {
        let (mut store, run) = new(&linker, &module, Host::Answers);
        assert_eq!(run.call(&mut store, 4).unwrap(), 6);
        let handle = store.interrupt_handle();
        match killed_at(at, &handle, || run.call(&mut store, 4)) {
            None => break,
            // It came when the guest had returned.
            Some(Ok(result)) => assert_eq!(result, 6),
            Some(result) => {
                trap(result);
                interrupted += 1;
            }
        }
        trap(run.call(&mut store, 4));
    }
    assert!(interrupted > 30, "only {interrupted} windows");
}

#[test]
fn a_kill_in_any_window_of_the_way_back_into_a_suspended_guest() {
    let _alone = alone();
    let (linker, module) = guest();
    let mut interrupted = 0;
    for at in 0.. {
        let (mut store, run) = new(&linker, &module, Host::AnswersLater);
        let handle = store.interrupt_handle();
        let mut guest = run.start(&mut store, 4).unwrap_suspended();
        guest.give(&[Val::I32(5)]).unwrap();
        match killed_at(at, &handle, || guest.resume().unwrap_done().1) {
            None => break,
            Some(Ok(result)) => assert_eq!(result, 6),
            Some(result) => {
                trap(result);
                interrupted += 1;
            }
        }
        trap(run.call(&mut store, 4));
    }
    assert!(interrupted > 20, "only {interrupted} windows");
}

/// Time enough to get to the first windows, on most machines.
const SOON: Duration = Duration::from_millis(5);

/// Not while stepping: a new thread would begin with the trap flag.
fn start_the_watchdog(store: &mut Store<Host>, run: &Run) {
    store.set_deadline(Some(Instant::now() + Duration::from_secs(60)));
    *store.data_mut() = Host::Answers;
    run.call(&mut *store, 4).unwrap();
    *store.data_mut() = Host::Begins;
    store.set_deadline(None);
}

#[test]
fn a_deadline_in_any_window_on_the_way_out() {
    let _alone = alone();
    let (linker, module) = guest();
    let (mut store, run) = new(&linker, &module, Host::Begins);
    start_the_watchdog(&mut store, &run);
    let (mut at, mut interrupted, mut soon) = (0, 0, SOON);
    loop {
        arrange(at);
        store.set_deadline(Some(Instant::now() + soon));
        let result = run.call(&mut store, 4);
        let reached = end();
        match result {
            // It passed before the window was reached.
            _ if TOO_LATE.load(Ordering::SeqCst) => soon *= 2,
            Err(_) if !reached => soon *= 2,
            Ok(result) if reached => {
                assert_eq!(result, 6);
                at += 1;
            }
            Ok(_) => break,
            result => {
                trap(result);
                interrupted += 1;
                at += 1;
            }
        }
    }
    assert!(interrupted > 10, "only {interrupted} windows");
}

#[test]
fn a_time_slice_that_ends_in_any_window() {
    let _alone = alone();
    let (linker, module) = guest();
    let (mut store, run) = new(&linker, &module, Host::Begins);
    start_the_watchdog(&mut store, &run);
    let (mut at, mut suspended, mut soon) = (0, 0, SOON);
    loop {
        arrange(at);
        store.set_time_slice(Some(soon));
        let progress = run.start(&mut store, 4);
        let reached = end();
        let result = match progress {
            Progress::Suspended(mut guest) => {
                suspended += usize::from(reached);
                if !reached || TOO_LATE.load(Ordering::SeqCst) {
                    soon *= 2;
                }
                guest.store_mut().set_time_slice(None);
                guest.resume().unwrap_done().1
            }
            Progress::Done(..) if !reached => break,
            Progress::Done(_, result) => result,
        };
        assert_eq!(result.unwrap(), 6);
        at += usize::from(reached && !TOO_LATE.load(Ordering::SeqCst));
    }
    assert!(suspended > 10, "only {suspended} windows");
}
