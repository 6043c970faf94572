//! Threads: instances on several threads over one shared memory, and programs that start them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use precast::{
    Error, Instance, Interruption, Limits, Linker, Memory, MemoryType, Module, PoolError,
    SharedMemory, Store, StoreOptions, TrapCode, UseError,
};
use precast_tests::guest::{module, trap};
use precast_wasi::{Exit, Output, Program, WasiCtxBuilder};

/// Other tests run beside this one, on few cores.
const MUCH_LATER: Duration = Duration::from_secs(20);

fn memory_type(min: u64, max: u64) -> MemoryType {
    MemoryType {
        shared: true,
        ..MemoryType::new(min, Some(max))
    }
}

fn memory(min: u64, max: u64) -> SharedMemory {
    SharedMemory::new(memory_type(min, max)).expect("a memory")
}

const WORKER: &str = r#"(module
    (import "env" "memory" (memory 1 100 shared))
    (func (export "add") (param i32 i32)
        (loop $next
            (drop (i32.atomic.rmw.add (local.get 0) (i32.const 1)))
            (br_if $next (local.tee 1 (i32.sub (local.get 1) (i32.const 1))))))
    ;; By way of comparing, with a used result.
    (func (export "compare") (param i32 i32) (local i64)
        (loop $next
            (loop $again
                (local.set 2 (i64.atomic.load (local.get 0)))
                (br_if $again (i64.ne (local.get 2)
                    (i64.atomic.rmw.cmpxchg (local.get 0) (local.get 2) (i64.add (local.get 2) (i64.const 1))))))
            (br_if $next (local.tee 1 (i32.sub (local.get 1) (i32.const 1))))))
    (func (export "flip") (param i32 i32) (result i32) (i32.atomic.rmw8.xor_u (local.get 0) (local.get 1)))
    (func (export "wait") (param i32 i32 i64) (result i32)
        (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
    (func (export "notify") (param i32 i32) (result i32)
        (memory.atomic.notify (local.get 0) (local.get 1)))
    (func (export "set") (param i32 i32) (i32.atomic.store (local.get 0) (local.get 1)))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
    (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    ;; Waits until the word is `own`, and sets it to `other`, `times` times.
    (func (export "pong") (param $at i32) (param $own i32) (param $other i32) (param $times i32) (local $seen i32)
        (loop $next
            (block $mine (loop $wait
                (br_if $mine (i32.eq (local.tee $seen (i32.atomic.load (local.get $at))) (local.get $own)))
                (drop (memory.atomic.wait32 (local.get $at) (local.get $seen) (i64.const -1)))
                (br $wait)))
            (i32.atomic.store (local.get $at) (local.get $other))
            (drop (memory.atomic.notify (local.get $at) (i32.const 1)))
            (br_if $next (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))"#;

fn instantiate(module: &Module, memory: &SharedMemory) -> (Store<()>, Instance) {
    let mut store = Store::new(());
    let mut linker = Linker::new();
    linker.define_shared("env", "memory", memory);
    let instance = linker.instantiate(&mut store, module).expect("it fits");
    (store, instance)
}

fn word(memory: &SharedMemory, at: u64) -> u64 {
    let mut bytes = [0; 8];
    memory.read(at, &mut bytes).expect("within");
    u64::from_le_bytes(bytes)
}

/// Until someone waits at address 0 and was woken.
fn wake_one(memory: &SharedMemory) {
    let late = Instant::now() + MUCH_LATER;
    while memory.notify(0, 1) == 0 {
        assert!(Instant::now() < late, "nobody waits");
        thread::yield_now();
    }
}

#[test]
fn increments_of_many_threads_add_up() {
    const EACH: i32 = 20_000;
    let (module, memory) = (module(WORKER), memory(1, 100));
    thread::scope(|scope| {
        for number in 0..6 {
            let (module, memory) = (&module, &memory);
            scope.spawn(move || {
                let (mut store, instance) = instantiate(module, memory);
                let name = ["add", "compare"][number % 2];
                let at = [8, 16][number % 2];
                let add = instance.func::<(i32, i32), ()>(&store, name).unwrap();
                add.call(&mut store, (at, EACH)).unwrap();
                let flip = instance.func::<(i32, i32), i32>(&store, "flip").unwrap();
                for _ in 0..1001 {
                    flip.call(&mut store, (24, 1 << number)).unwrap();
                }
            });
        }
    });
    assert_eq!((word(&memory, 8), word(&memory, 16)), (60_000, 60_000));
    assert_eq!(word(&memory, 24), 0b11_1111);
}

#[test]
fn two_threads_wake_each_other() {
    const TIMES: i32 = 2000;
    let (module, memory) = (module(WORKER), memory(1, 100));
    thread::scope(|scope| {
        for (own, other) in [(0, 1), (1, 0)] {
            let (module, memory) = (&module, &memory);
            scope.spawn(move || {
                let (mut store, instance) = instantiate(module, memory);
                let pong = instance
                    .func::<(i32, i32, i32, i32), ()>(&store, "pong")
                    .unwrap();
                pong.call(&mut store, (0, own, other, TIMES)).unwrap();
            });
        }
    });
    assert_eq!(word(&memory, 0), 0);
    assert_eq!(memory.notify(0, 1), 0, "nobody is left");
}

#[test]
fn wait_answers_what_happened() {
    let (module, memory) = (module(WORKER), memory(1, 100));
    let (mut store, instance) = instantiate(&module, &memory);
    let wait = instance
        .func::<(i32, i32, i64), i32>(&store, "wait")
        .unwrap();
    assert_eq!(wait.call(&mut store, (0, 1, -1)).unwrap(), 1);
    assert_eq!(wait.call(&mut store, (0, 0, 0)).unwrap(), 2);
    let begun = Instant::now();
    assert_eq!(wait.call(&mut store, (0, 0, 3_000_000)).unwrap(), 2);
    assert!(begun.elapsed() >= Duration::from_millis(3));
    thread::scope(|scope| {
        scope.spawn(|| wake_one(&memory));
        assert_eq!(wait.call(&mut store, (0, 0, i64::MAX)).unwrap(), 0);
    });
    let code = trap(wait.call(&mut store, (2, 0, -1))).code();
    assert_eq!(code, TrapCode::UnalignedAtomic);
    let code = trap(wait.call(&mut store, (65536, 0, -1))).code();
    assert_eq!(code, TrapCode::MemoryOutOfBounds);
}

#[test]
fn a_wait_ends_by_a_kill_and_by_a_deadline() {
    let (module, memory) = (module(WORKER), memory(1, 100));
    for round in 0..20 {
        let (mut store, instance) = instantiate(&module, &memory);
        let wait = instance
            .func::<(i32, i32, i64), i32>(&store, "wait")
            .unwrap();
        let begun = Instant::now();
        store.set_deadline(Some(begun + Duration::from_millis(round)));
        let trap_of_deadline = trap(wait.call(&mut store, (0, 0, -1)));
        assert_eq!(
            trap_of_deadline.interruption(),
            Some(Interruption::Deadline)
        );
        store.set_deadline(None);
        let kill = store.interrupt_handle();
        let killed = thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_micros(100 * round));
                kill.kill();
            });
            trap(wait.call(&mut store, (0, 0, -1)))
        });
        assert_eq!(killed.interruption(), Some(Interruption::Killed));
        assert!(begun.elapsed() < MUCH_LATER);
        assert_eq!(memory.notify(0, u32::MAX), 0, "nobody is left");
    }
}

#[test]
fn what_one_thread_grows_all_can_use() {
    let (module, memory) = (module(WORKER), memory(1, 100));
    let mut seen: Vec<i32> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut store, instance) = instantiate(&module, &memory);
                    let grow = instance.func::<i32, i32>(&store, "grow").unwrap();
                    let load = instance.func::<i32, i32>(&store, "load").unwrap();
                    let size = instance.func::<(), i32>(&store, "size").unwrap();
                    let mut grown = Vec::new();
                    for _ in 0..30 {
                        let old = grow.call(&mut store, 1).unwrap();
                        if old >= 0 {
                            grown.push(old);
                            assert!(size.call(&mut store, ()).unwrap() > old);
                            assert_eq!(load.call(&mut store, old << 16 | 0xfffc).unwrap(), 0);
                        }
                    }
                    grown
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..100).collect::<Vec<i32>>());
    assert_eq!(memory.size(), 100);
    let (mut store, instance) = instantiate(&module, &memory);
    let load = instance.func::<i32, i32>(&store, "load").unwrap();
    let code = trap(load.call(&mut store, 100 << 16)).code();
    assert_eq!(code, TrapCode::MemoryOutOfBounds);
}

#[test]
fn copies_and_fills_race_without_harm() {
    let (module, memory) = (module(WORKER), memory(4, 100));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for byte in [1, 2] {
            let (module, memory, stop) = (&module, &memory, &stop);
            scope.spawn(move || {
                let (mut store, instance) = instantiate(module, memory);
                let fill = instance
                    .func::<(i32, i32, i32), ()>(&store, "fill")
                    .unwrap();
                let copy = instance
                    .func::<(i32, i32, i32), ()>(&store, "copy")
                    .unwrap();
                while !stop.load(Ordering::Relaxed) {
                    fill.call(&mut store, (3, byte, 5000)).unwrap();
                    copy.call(&mut store, (65536, 3, 5000)).unwrap();
                    copy.call(&mut store, (5, 3, 4998)).unwrap();
                }
            });
        }
        let mut bytes = vec![0; 5000];
        for _ in 0..300 {
            memory.read(65536, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte <= 2));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut after = [9; 2];
    memory.read(65536 + 5000, &mut after).unwrap();
    assert_eq!(after, [0, 0]);
}

const OWNER: &str = r#"(module
    (memory (export "memory") 1 4 shared)
    (data (i32.const 5) "data of its own")
    (func (export "read") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;

#[test]
fn a_memory_outlives_the_instance_that_defined_it() {
    let mut store = Store::new(());
    let owner = Linker::new()
        .instantiate(&mut store, &module(OWNER))
        .unwrap();
    let exported = owner.export(&store, "memory").unwrap().memory().unwrap();
    let shared = exported.shared(&store).unwrap().expect("a shared one");
    assert_eq!(store.memory_bytes(), 4 << 16, "all that it may become");
    drop(store);
    let mut bytes = [0; 15];
    shared.read(5, &mut bytes).unwrap();
    assert_eq!(&bytes, b"data of its own");
    let (mut store, instance) = instantiate(
        &module(
            r#"(module (import "env" "memory" (memory 1 4 shared))
                (func (export "read") (param i32) (result i32) (i32.load8_u (local.get 0))))"#,
        ),
        &shared,
    );
    let read = instance.func::<i32, i32>(&store, "read").unwrap();
    assert_eq!(read.call(&mut store, 5).unwrap(), i32::from(b'd'));
}

#[test]
fn a_store_s_limit_holds_for_what_its_instances_share() {
    let limits = |pages: u64| Limits {
        memory_bytes: pages << 16,
        ..Limits::default()
    };
    let module = module(OWNER);
    let mut store = Store::with_limits((), limits(2));
    let owner = Linker::new().instantiate(&mut store, &module).unwrap();
    let memory = owner.export(&store, "memory").unwrap().memory().unwrap();
    assert_eq!(memory.grow(&mut store, 1).unwrap(), Some(1));
    assert_eq!(memory.grow(&mut store, 1).unwrap(), None);
    let mut store = Store::with_limits((), limits(0));
    let error = Linker::new().instantiate(&mut store, &module).unwrap_err();
    assert!(matches!(error, Error::Limit(_)), "{error}");
}

#[test]
fn bytes_that_threads_share_are_not_borrowed() {
    let shared = memory(1, 2);
    let mut store = Store::new(());
    let memory = shared.adopt(&mut store);
    assert_eq!(shared.adopt(&mut store), memory, "it is known by then");
    let refused = |error: Error| assert!(matches!(error, Error::Use(UseError::SharedMemory)));
    refused(memory.data(&store).unwrap_err());
    refused(memory.data_mut(&mut store).unwrap_err());
    refused(memory.slice_mut(&mut store, 0..1).unwrap_err());
    memory.write(&mut store, 1, b"abc").unwrap();
    let mut bytes = [0; 3];
    memory.read(&store, 1, &mut bytes).unwrap();
    assert_eq!(&bytes, b"abc");
    assert!(memory.ty(&store).unwrap().shared);
    assert!(Memory::new(&mut store, memory_type(1, 2)).is_err());
}

#[test]
fn modules_with_shared_memories_are_not_pooled() {
    let error = Linker::<()>::new().template(&module(OWNER)).unwrap_err();
    assert!(
        matches!(error, Error::Pool(PoolError::SharedMemory)),
        "{error}"
    );
    let mut linker = Linker::<()>::new();
    linker.define_shared("env", "memory", &memory(1, 100));
    assert!(linker.template(&module(WORKER)).is_err());
}

#[test]
fn what_atomic_operators_write_in_a_pool_is_gone_for_the_next() {
    let text = r#"(module (memory 2)
        (func (export "touch") (param i32) (result i32)
            (drop (i32.atomic.rmw.or (local.get 0) (i32.const 6)))
            (i64.atomic.store offset=8 (local.get 0) (i64.const 1))
            (drop (i32.atomic.rmw8.cmpxchg_u offset=16 (local.get 0) (i32.const 0) (i32.const 1)))
            (i32.add (i32.atomic.rmw.xor (local.get 0) (i32.const 1))
                (i32.atomic.rmw16.add_u offset=8 (local.get 0) (i32.const 1)))))"#;
    let reservation = |bytes| precast_compiler::Options {
        memory_reservation: bytes,
        ..Default::default()
    };
    for bytes in [None, Some(2 << 16)] {
        let module = precast_tests::guest::module_with(text, &reservation(bytes));
        let template = Linker::<()>::new().template(&module).unwrap();
        let pool = precast::Pool::builder().slots(1).build().unwrap();
        let touch = template.func::<i32, i32>("touch").unwrap();
        for round in 0..100 {
            let tenant = precast::Tenant(round % 3);
            let mut sandbox = pool.instantiate(&template, tenant, ()).unwrap();
            let at = 65536 + 4096 * (round as i32 % 16);
            assert_eq!(touch.call(&mut sandbox, at).unwrap(), 7);
            assert_eq!(touch.call(&mut sandbox, at).unwrap(), 8);
        }
    }
}

/// A program whose threads do what their argument says; the first one starts them.
fn program(start: &str) -> Module {
    module(&format!(
        r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "env" "memory" (memory 1 16 shared))
        (export "memory" (memory 0))
        (func $wait (param i32 i32) (drop (memory.atomic.wait32 (local.get 0) (local.get 1) (i64.const -1))))
        (func $done
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
            (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))
        ;; Until word 0 is the number.
        (func $await (param $number i32) (local $seen i32)
            (block $there (loop $again
                (br_if $there (i32.eq (local.tee $seen (i32.atomic.load (i32.const 0))) (local.get $number)))
                (call $wait (i32.const 0) (local.get $seen))
                (br $again))))
        (func $say (param $at i32) (param $byte i32)
            (i32.store8 (i32.add (local.get $at) (i32.const 16)) (local.get $byte))
            (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 16)))
            (i32.store offset=4 (local.get $at) (i32.const 1))
            (if (call $write (i32.const 1) (local.get $at) (i32.const 1) (i32.add (local.get $at) (i32.const 8)))
                (then unreachable))
            (if (i32.ne (i32.load offset=8 (local.get $at)) (i32.const 1)) (then unreachable)))
        ;; A subscription to the clock, in so many nanoseconds.
        (func $sleep (param $at i32) (param i64)
            (i32.store8 offset=8 (local.get $at) (i32.const 0))
            (i32.store offset=16 (local.get $at) (i32.const 1))
            (i64.store offset=24 (local.get $at) (local.get 1))
            (if (call $poll (local.get $at) (i32.add (local.get $at) (i32.const 64)) (i32.const 1)
                    (i32.add (local.get $at) (i32.const 128)))
                (then unreachable)))
        (func (export "wasi_thread_start") (param $number i32) (param $what i32) (local $at i32)
            (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $number) (i32.const 1024))))
            (if (i32.eq (local.get $what) (i32.const 1)) (then
                (call $say (local.get $at) (i32.add (i32.const 48) (local.get $number)))
                (call $done)))
            (if (i32.eq (local.get $what) (i32.const 2)) (then (call $wait (i32.const 8) (i32.const 0))))
            (if (i32.eq (local.get $what) (i32.const 3)) (then unreachable))
            (if (i32.eq (local.get $what) (i32.const 4)) (then (call $exit (i32.const 42))))
            (if (i32.eq (local.get $what) (i32.const 5)) (then (loop $spin (br $spin))))
            (if (i32.eq (local.get $what) (i32.const 6)) (then
                (call $sleep (local.get $at) (i64.const 60000000000)))))
        (func (export "_start") {start}))"#
    ))
}

struct Ran {
    outcome: Result<(), Error>,
    stdout: String,
    took: Duration,
}

fn run(module: &Module, set: impl FnOnce(&mut Program)) -> Ran {
    let mut builder = WasiCtxBuilder::new();
    let ctx = builder.stdout(Output::Capture).build().expect("a world");
    let mut program = Program::new(module, ctx);
    set(&mut program);
    let begun = Instant::now();
    let (outcome, mut ctx) = program.run();
    Ran {
        outcome,
        stdout: String::from_utf8(ctx.take_stdout()).expect("text"),
        took: begun.elapsed(),
    }
}

#[test]
fn a_program_starts_threads_and_sees_what_they_did() {
    let module = program(
        "(local $i i32)
        (loop $next
            (if (i32.le_s (call $spawn (i32.const 1)) (i32.const 0)) (then unreachable))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5))))
        (call $await (i32.const 5))
        (call $say (i32.const 32) (i32.const 33))",
    );
    assert!(Program::suits(&module).unwrap());
    let ran = run(&module, |_| {});
    ran.outcome.unwrap();
    let mut letters: Vec<char> = ran.stdout.chars().collect();
    assert_eq!(letters.pop(), Some('!'));
    letters.sort_unstable();
    assert_eq!(letters, ['1', '2', '3', '4', '5']);
}

/// `threads/primes.c` says how it is compiled.
#[test]
fn a_threaded_program_in_c_runs() {
    let wasm = include_bytes!("threads/primes.wasm");
    let module = precast_tests::wasi::compile(wasm);
    for most in [1, 2, 5] {
        let ran = run(&module, |program| {
            program.max_threads(most);
        });
        ran.outcome.unwrap();
        assert_eq!(ran.stdout, "9592\n99991\n");
    }
}

#[test]
fn there_are_no_more_threads_than_allowed() {
    // All that were started wait; the return of the first one ends them.
    let module = program(
        "(local $count i32) (local $last i32)
        (block $full (loop $next
            (br_if $full (i32.le_s (local.tee $last (call $spawn (i32.const 2))) (i32.const 0)))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br $next)))
        (if (i32.ne (local.get $last) (i32.const -6)) (then unreachable))
        (call $say (i32.const 32) (i32.add (local.get $count) (i32.const 48)))",
    );
    for most in [1, 2, 5] {
        let ran = run(&module, |program| {
            program.max_threads(most);
        });
        ran.outcome.unwrap();
        assert_eq!(ran.stdout, (most - 1).to_string());
        assert!(ran.took < MUCH_LATER);
    }
}

/// Threads that wait in all ways there are, and one that is about to end them.
fn with_waiters(last: &str) -> Module {
    program(&format!(
        "(drop (call $spawn (i32.const 2)))
         (drop (call $spawn (i32.const 5)))
         (drop (call $spawn (i32.const 6)))
         {last}"
    ))
}

#[test]
fn whoever_ends_first_ends_all() {
    let forever = "(call $wait (i32.const 8) (i32.const 0))";
    let trapping = with_waiters(&format!("(drop (call $spawn (i32.const 3))) {forever}"));
    let exiting = with_waiters(&format!("(drop (call $spawn (i32.const 4))) {forever}"));
    let own_trap = with_waiters("unreachable");
    let own_exit = with_waiters("(call $exit (i32.const 42))");
    let returning = with_waiters("");
    for _ in 0..5 {
        for module in [&trapping, &own_trap] {
            let ran = run(module, |_| {});
            assert_eq!(trap(ran.outcome).code(), TrapCode::Unreachable);
            assert!(ran.took < MUCH_LATER);
        }
        for module in [&exiting, &own_exit] {
            let ran = run(module, |_| {});
            let error = ran.outcome.unwrap_err();
            assert_eq!(error.downcast_ref::<Exit>(), Some(&Exit { code: 42 }));
            assert!(ran.took < MUCH_LATER);
        }
        let ran = run(&returning, |_| {});
        ran.outcome.unwrap();
        assert!(ran.took < MUCH_LATER);
    }
}

#[test]
fn a_deadline_and_a_kill_reach_all_threads() {
    let module = with_waiters("(loop $spin (br $spin))");
    let ran = run(&module, |program| {
        program.deadline(Some(Instant::now() + Duration::from_millis(50)));
    });
    let by = trap(ran.outcome).interruption();
    assert_eq!(by, Some(Interruption::Deadline));
    assert!(ran.took >= Duration::from_millis(50) && ran.took < MUCH_LATER);
    let mut killer = None;
    let ran = run(&module, |program| {
        let kill = program.kill_handle();
        killer = Some(thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            kill.kill();
        }));
    });
    assert_eq!(trap(ran.outcome).interruption(), Some(Interruption::Killed));
    assert!(ran.took < MUCH_LATER);
    killer.unwrap().join().unwrap();
}

#[test]
fn a_thread_that_sleeps_keeps_nobody_from_writing() {
    let module = program(
        "(drop (call $spawn (i32.const 6)))
         (drop (call $spawn (i32.const 1)))
         (call $await (i32.const 1))
         (call $say (i32.const 32) (i32.const 33))",
    );
    let ran = run(&module, |_| {});
    ran.outcome.unwrap();
    assert_eq!(ran.stdout, "2!");
    assert!(ran.took < MUCH_LATER);
}

#[test]
fn a_host_function_that_panics_on_a_thread_ends_the_program_with_its_panic() {
    let module = module(
        r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "host" "panic" (func $panic))
        (import "env" "memory" (memory 1 1 shared))
        (func (export "wasi_thread_start") (param i32 i32) (call $panic))
        (func (export "_start") (drop (call $spawn (i32.const 0))) (loop $spin (br $spin))))"#,
    );
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&numbers);
    let mut program = Program::new(&module, WasiCtxBuilder::new().build().unwrap());
    program.linker_mut().func(
        "host",
        "panic",
        move |caller: precast::Caller<'_, precast_wasi::Thread>| {
            seen.lock().unwrap().push(caller.data().number());
            if true {
                std::panic::panic_any("on purpose");
            }
        },
    );
    let run = std::panic::AssertUnwindSafe(|| program.run().0);
    let panic = std::panic::catch_unwind(run).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(*numbers.lock().unwrap(), [1]);
}

#[test]
fn atomic_operators_work_in_memories_of_all_kinds() {
    let options = StoreOptions::default();
    let kinds = [
        ("(memory 1 2)", "i32"),
        ("(memory 1 2 shared)", "i32"),
        ("(memory i64 1 2)", "i64"),
        ("(memory i64 1 2 shared)", "i64"),
        ("(memory 0) (memory 1 2 shared)", "i32"),
    ];
    for (memory, index) in kinds {
        let second = if memory.starts_with("(memory 0)") {
            "1"
        } else {
            ""
        };
        let text = format!(
            r#"(module {memory}
            (func (export "add") (param {index} i32) (result i32)
                (i32.atomic.rmw.add {second} offset=4 (local.get 0) (local.get 1)))
            (func (export "or") (param {index} i64) (result i64)
                (i64.atomic.rmw16.or_u {second} (local.get 0) (local.get 1)))
            (func (export "wait") (param {index}) (result i32)
                (memory.atomic.wait32 {second} (local.get 0) (i32.const 1) (i64.const 0))))"#
        );
        let module = module(&text);
        let mut store = Store::with_options((), options);
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        let mut call = |name: &str, at: u64, value: precast::Val| {
            let at = match index {
                "i32" => precast::Val::I32(at as i32),
                _ => precast::Val::I64(at as i64),
            };
            let func = instance.export(&store, name).unwrap().func().unwrap();
            let mut results = [precast::Val::I32(0)];
            let arguments = [at, value];
            let count = if name == "wait" { 1 } else { 2 };
            func.call(&mut store, &arguments[..count], &mut results)
                .map(|()| match results[0] {
                    precast::Val::I32(value) => i64::from(value),
                    precast::Val::I64(value) => value,
                    _ => unreachable!(),
                })
        };
        let (one, many) = (precast::Val::I32(1), precast::Val::I64(0x7_0006));
        assert_eq!(call("add", 0, one).unwrap(), 0);
        assert_eq!(call("add", 0, one).unwrap(), 1);
        assert_eq!(call("or", 4, many).unwrap(), 2);
        assert_eq!(call("or", 4, many).unwrap(), 6);
        let code = |result: Result<i64, Error>| trap(result).code();
        assert_eq!(
            code(call("add", 1, one)),
            TrapCode::UnalignedAtomic,
            "{memory}"
        );
        assert_eq!(code(call("or", 65535, many)), TrapCode::UnalignedAtomic);
        assert_eq!(code(call("add", 65532, one)), TrapCode::MemoryOutOfBounds);
        assert_eq!(code(call("or", 65536, many)), TrapCode::MemoryOutOfBounds);
        assert_eq!(
            code(call("add", 0xffff_fffc, one)),
            TrapCode::MemoryOutOfBounds
        );
        match memory.contains("shared") {
            true => assert_eq!(call("wait", 0, one).unwrap(), 1),
            false => assert_eq!(code(call("wait", 0, one)), TrapCode::ExpectedSharedMemory),
        }
    }
}
