//! Signals beside a host's own: faults that are not a guest's go where they would have gone.
//!
//! Each test runs a scenario in a process of its own: this program again, told by a variable of
//! the environment which one.
//!
//! # Safety
//!
//! Handlers installed here only write, exit, or call the handler that was there before. Bad
//! addresses are touched in processes that are meant to die of it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use precast::{Caller, Linker, Store, TrapCode};
use precast_tests::guest::{instance, module, trap};

const SCENARIO: &str = "PRECAST_TEST_SCENARIO";

const GUEST: &str = r#"(module (memory 1)
    (func (export "oob") (result i32) (i32.load (i32.const -1)))
    (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
    (func $down (export "down") (call $down) (call $down))
    (func (export "spin") (loop $l (br $l))))"#;

/// Every trap that comes by a signal is still ours.
fn guests_trap() {
    let mut store = Store::new(());
    let instance = instance(&mut store, GUEST);
    let oob = instance.func::<(), i32>(&store, "oob").unwrap();
    let div = instance.func::<i32, i32>(&store, "div").unwrap();
    let down = instance.func::<(), ()>(&store, "down").unwrap();
    assert_eq!(
        trap(oob.call(&mut store, ())).code(),
        TrapCode::MemoryOutOfBounds
    );
    assert_eq!(
        trap(div.call(&mut store, 0)).code(),
        TrapCode::IntegerDivideByZero
    );
    assert_eq!(
        trap(down.call(&mut store, ())).code(),
        TrapCode::StackOverflow
    );
}

fn null_dereference() {
    let null = std::hint::black_box(std::ptr::null::<u8>());
    // SAFETY: none: the process is meant to fault here.
    std::hint::black_box(unsafe { null.read_volatile() });
}

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs a handler and returns the address of the one before.
fn install(signal: libc::c_int, handler: Handler) -> usize {
    // SAFETY: the protocol of the C library.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut previous: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(signal, &action, &mut previous), 0);
        previous.sa_sigaction
    }
}

/// The host's handler: says that it was called, and ends the process.
extern "C" fn exit_seven(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: fit for a signal handler.
    unsafe { libc::_exit(7) };
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The host's handler: knows its own fault, and passes all others on.
extern "C" fn exit_seven_at_null(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel's arguments; `NEXT` is a handler that takes three.
    unsafe {
        if (*info).si_addr().is_null() {
            libc::_exit(7);
        }
        let next: Handler = std::mem::transmute(NEXT.load(Ordering::SeqCst));
        next(signal, info, context);
    }
}

fn handler_installed_before() {
    install(libc::SIGSEGV, exit_seven);
    guests_trap();
    null_dereference();
}

fn handler_installed_after() {
    guests_trap();
    NEXT.store(install(libc::SIGSEGV, exit_seven_at_null), Ordering::SeqCst);
    guests_trap();
    null_dereference();
}

fn no_handler() {
    guests_trap();
    null_dereference();
}

fn null_dereference_in_a_host_function() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>| null_dereference());
    let module = module(r#"(module (import "h" "f" (func $f)) (func (export "run") (call $f)))"#);
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    let _ = run.call(&mut store, ());
}

fn sent_by_a_process() {
    guests_trap();
    // The handler of Rust's own library lets the first one pass and expects a second.
    for _ in 0..2 {
        // SAFETY: sends a signal to ourselves.
        unsafe { libc::kill(libc::getpid(), libc::SIGSEGV) };
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[allow(unconditional_recursion, reason = "what it is for")]
fn use_up_the_stack(n: u64) -> u64 {
    let here = std::hint::black_box([n; 64]);
    use_up_the_stack(n + 1) + here[(n % 64) as usize]
}

fn the_hosts_stack_is_used_up() {
    guests_trap();
    let thread = std::thread::spawn(|| {
        guests_trap();
        use_up_the_stack(0)
    });
    let _ = thread.join();
}

static URGENT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_urgent(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    URGENT.fetch_add(1, Ordering::SeqCst);
}

/// The signal that interrupts guests is still the host's for its own uses.
fn urgent_signals_of_the_host() {
    install(libc::SIGURG, count_urgent);
    stop_a_guest();
    assert_eq!(URGENT.load(Ordering::SeqCst), 0);
    // SAFETY: sends a signal to this thread.
    unsafe { libc::raise(libc::SIGURG) };
    assert_eq!(URGENT.load(Ordering::SeqCst), 1);
    std::process::exit(7);
}

/// Whether SIGUSR1, SIGUSR2 and SIGURG are blocked on this thread.
fn blocked() -> [bool; 3] {
    // SAFETY: asks for the thread's mask.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        [libc::SIGUSR1, libc::SIGUSR2, libc::SIGURG]
            .map(|signal| libc::sigismember(&mask, signal) == 1)
    }
}

extern "C" fn note_what_is_blocked(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let bits = blocked().map(usize::from);
    URGENT.store(
        1000 + bits[0] * 100 + bits[1] * 10 + bits[2],
        Ordering::SeqCst,
    );
}

/// A handler that was there before finds blocked what it asked for, and nothing else, and is called
/// once if it wants that.
fn masks_and_flags_of_a_handler() {
    install(libc::SIGURG, note_what_is_blocked);
    // SAFETY: the protocol of the C library.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note_what_is_blocked as *const () as usize;
        action.sa_flags =
            libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESETHAND;
        libc::sigaddset(&mut action.sa_mask, libc::SIGUSR2);
        assert_eq!(
            libc::sigaction(libc::SIGURG, &action, std::ptr::null_mut()),
            0
        );
    }
    stop_a_guest();
    assert_eq!(URGENT.load(Ordering::SeqCst), 0);
    // SAFETY: sends a signal to this thread.
    unsafe { libc::raise(libc::SIGURG) };
    assert_eq!(URGENT.swap(0, Ordering::SeqCst), 1010);
    assert_eq!(blocked(), [false; 3], "it has its mask again");
    // SAFETY: sends a signal to this thread.
    unsafe { libc::raise(libc::SIGURG) };
    assert_eq!(URGENT.load(Ordering::SeqCst), 0, "it wanted one only");
    stop_a_guest();
    std::process::exit(7);
}

fn stop_a_guest() {
    let mut store = Store::new(());
    let spin = instance(&mut store, GUEST)
        .func::<(), ()>(&store, "spin")
        .unwrap();
    let handle = store.interrupt_handle();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(10));
        handle.kill();
    });
    assert_eq!(
        trap(spin.call(&mut store, ())).code(),
        TrapCode::Interrupted
    );
    killer.join().unwrap();
}

/// The child of a fork runs, traps and is interrupted like its parent.
fn after_a_fork() {
    stop_a_guest();
    // SAFETY: the child runs ordinary code; this program's other threads hold no lock for long.
    let child = unsafe { libc::fork() };
    if child == 0 {
        guests_trap();
        stop_a_guest();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(7) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    std::process::exit(ExitStatus::from_raw(status).code().unwrap_or(1));
}

/// Threads come and go, with signal stacks of their own before ours.
fn threads_come_and_go() {
    for _ in 0..100 {
        std::thread::spawn(guests_trap).join().unwrap();
    }
    std::process::exit(7);
}

const SCENARIOS: [(&str, fn()); 10] = [
    ("handler_installed_before", handler_installed_before),
    ("handler_installed_after", handler_installed_after),
    ("no_handler", no_handler),
    (
        "null_dereference_in_a_host_function",
        null_dereference_in_a_host_function,
    ),
    ("sent_by_a_process", sent_by_a_process),
    ("the_hosts_stack_is_used_up", the_hosts_stack_is_used_up),
    ("urgent_signals_of_the_host", urgent_signals_of_the_host),
    ("masks_and_flags_of_a_handler", masks_and_flags_of_a_handler),
    ("after_a_fork", after_a_fork),
    ("threads_come_and_go", threads_come_and_go),
];

/// Not a test of its own: where the scenarios run.
#[test]
fn scenario() {
    let Ok(wanted) = std::env::var(SCENARIO) else {
        return;
    };
    let (_, run) = SCENARIOS
        .iter()
        .find(|(name, _)| *name == wanted)
        .expect("a scenario");
    run();
}

/// Runs a scenario in a process of its own.
fn run(name: &str) -> (ExitStatus, String) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", "scenario", "--nocapture"])
        .env(SCENARIO, name)
        .output()
        .unwrap();
    (
        output.status,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn exits_with_seven(name: &str) {
    let (status, stderr) = run(name);
    assert_eq!(status.code(), Some(7), "{status}: {stderr}");
}

fn dies_of(name: &str, signal: i32) {
    let (status, stderr) = run(name);
    assert_eq!(status.signal(), Some(signal), "{status}: {stderr}");
    assert!(
        !stderr.contains("precast:"),
        "the fault is not a guest's: {stderr}"
    );
}

#[test]
fn a_handler_that_was_there_before_gets_the_hosts_faults() {
    exits_with_seven("handler_installed_before");
}

#[test]
fn a_handler_installed_later_may_pass_guests_faults_on() {
    exits_with_seven("handler_installed_after");
}

#[test]
fn a_null_dereference_of_the_host_kills_as_ever() {
    dies_of("no_handler", libc::SIGSEGV);
    dies_of("null_dereference_in_a_host_function", libc::SIGSEGV);
}

#[test]
fn a_signal_that_someone_sent_has_its_usual_effect() {
    dies_of("sent_by_a_process", libc::SIGSEGV);
}

#[test]
fn a_stack_overflow_of_the_host_is_reported_as_ever() {
    let (status, stderr) = run("the_hosts_stack_is_used_up");
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}: {stderr}");
    assert!(stderr.contains("has overflowed its stack"), "{stderr}");
}

#[test]
fn urgent_signals_stay_the_hosts() {
    exits_with_seven("urgent_signals_of_the_host");
}

#[test]
fn a_handler_that_was_there_before_runs_as_it_asked() {
    exits_with_seven("masks_and_flags_of_a_handler");
}

#[test]
fn guests_run_in_the_child_of_a_fork() {
    exits_with_seven("after_a_fork");
}

#[test]
fn signal_stacks_come_and_go_with_threads() {
    exits_with_seven("threads_come_and_go");
}
