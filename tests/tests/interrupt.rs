//! Stopping guests from other threads: in loops, in host calls, before they start, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use precast::{Caller, Linker, Store, TrapCode};
use precast_tests::guest::{instance, module, trap};

const SPIN: &str = r#"(module (memory 1)
    (global $running (export "running") (mut i32) (i32.const 0))
    (func (export "spin") (loop $l (global.set $running (i32.const 1)) (br $l)))
    (func (export "copy") (loop $l
        (memory.copy (i32.const 0) (i32.const 1) (i32.const 60000)) (br $l)))
    (func (export "fine") (result i32) (i32.const 1)))"#;

#[test]
fn an_endless_loop_is_stopped() {
    for name in ["spin", "copy"] {
        let mut store = Store::new(());
        let instance = instance(&mut store, SPIN);
        let spin = instance.func::<(), ()>(&store, name).unwrap();
        let handle = store.interrupt_handle();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            handle.kill();
        });
        let trap = trap(spin.call(&mut store, ()));
        assert_eq!(trap.code(), TrapCode::Interrupted);
        assert_eq!(trap.backtrace().frames()[0].name(), Some(name));
        killer.join().unwrap();
    }
}

#[test]
fn a_kill_is_for_good() {
    let mut store = Store::new(());
    let instance = instance(&mut store, SPIN);
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
    let handle = store.interrupt_handle();
    handle.clone().kill();
    assert!(handle.is_killed());
    for _ in 0..3 {
        assert_eq!(
            trap(fine.call(&mut store, ())).code(),
            TrapCode::Interrupted
        );
    }
    // Another store on the same thread is not concerned.
    let mut other = Store::new(());
    let fine = precast_tests::guest::instance(&mut other, SPIN)
        .func::<(), i32>(&other, "fine")
        .unwrap();
    assert_eq!(fine.call(&mut other, ()).unwrap(), 1);
    drop(store);
    handle.kill();
}

#[test]
fn a_kill_during_a_host_call_takes_effect_when_it_returns() {
    let mut linker = Linker::<Arc<AtomicI32>>::new();
    linker.func("h", "f", |caller: Caller<'_, Arc<AtomicI32>>| {
        let steps = Arc::clone(caller.data());
        steps.fetch_add(1, Ordering::SeqCst);
        while !caller.interrupted() {
            std::thread::yield_now();
        }
        steps.fetch_add(1, Ordering::SeqCst);
    });
    let module = module(
        r#"(module (import "h" "f" (func $f)) (func (export "run") (loop $l (call $f) (br $l))))"#,
    );
    let steps = Arc::new(AtomicI32::new(0));
    let mut store = Store::new(Arc::clone(&steps));
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    let handle = store.interrupt_handle();
    let watched = Arc::clone(&steps);
    let killer = std::thread::spawn(move || {
        while watched.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        handle.kill();
    });
    let trap = trap(run.call(&mut store, ()));
    assert_eq!(trap.code(), TrapCode::Interrupted);
    assert_eq!(trap.backtrace().frames()[0].name(), Some("run"));
    assert_eq!(steps.load(Ordering::SeqCst), 2);
    killer.join().unwrap();
}

#[test]
fn a_host_function_may_kill_its_own_guest() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |caller: Caller<'_, ()>| {
        caller.interrupt_handle().kill()
    });
    let module = module(r#"(module (import "h" "f" (func $f)) (func (export "run") (call $f)))"#);
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    assert_eq!(trap(run.call(&mut store, ())).code(), TrapCode::Interrupted);
}

#[test]
fn blocking_host_functions_can_wait_for_the_kill() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |caller: Caller<'_, ()>| {
        use std::io::Read;
        let descriptor = caller
            .interrupt_descriptor()
            .unwrap()
            .try_clone_to_owned()
            .unwrap();
        let mut event = std::fs::File::from(descriptor);
        let started = Instant::now();
        while event.read(&mut [0; 8]).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let module = module(r#"(module (import "h" "f" (func $f)) (func (export "run") (call $f)))"#);
    for early in [false, true] {
        let mut store = Store::new(());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.func::<(), ()>(&store, "run").unwrap();
        let handle = store.interrupt_handle();
        let killer = std::thread::spawn(move || {
            if !early {
                std::thread::sleep(Duration::from_millis(20));
            }
            handle.kill();
        });
        assert_eq!(trap(run.call(&mut store, ())).code(), TrapCode::Interrupted);
        killer.join().unwrap();
    }
}

/// Kills at thousands of moments: on entry, in the guest, in crossings, on the way out.
#[test]
fn a_kill_at_any_moment_is_not_lost() {
    let module = module(
        r#"(module (import "h" "f" (func $f (param i32) (result i32)))
            (func (export "run") (param i32) (result i32)
                (loop $l (result i32)
                    (local.set 0 (call $f (local.get 0)))
                    (br_if $l (i32.const 1)) (local.get 0)))
            (func (export "one") (param i32) (result i32) (call $f (local.get 0))))"#,
    );
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>, x: i32| x.wrapping_add(1));
    for round in 0..400u64 {
        let mut store = Store::new(());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.func::<i32, i32>(&store, "run").unwrap();
        let one = instance.func::<i32, i32>(&store, "one").unwrap();
        let handle = store.interrupt_handle();
        let go = Arc::new(AtomicBool::new(false));
        let started = Arc::clone(&go);
        let killer = std::thread::spawn(move || {
            while !started.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
            for _ in 0..round * 7 % 300 {
                std::hint::spin_loop();
            }
            let begun = Instant::now();
            handle.kill();
            begun.elapsed()
        });
        go.store(true, Ordering::SeqCst);
        let code = if round % 2 == 0 {
            trap(run.call(&mut store, 0)).code()
        } else {
            loop {
                if let Err(error) = one.call(&mut store, 0) {
                    break error.trap().unwrap().code();
                }
            }
        };
        assert_eq!(code, TrapCode::Interrupted);
        let took = killer.join().unwrap();
        assert!(took < Duration::from_millis(900), "{took:?}");
    }
}

#[test]
fn killing_one_store_leaves_the_others_on_the_thread_alone() {
    let inner = module(SPIN);
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", move |caller: Caller<'_, ()>| {
        // The outer guest is killed while the inner one runs above it.
        let handle = caller.interrupt_handle();
        let killer = std::thread::spawn(move || handle.kill());
        let mut store = Store::new(());
        let instance = Linker::new().instantiate(&mut store, &inner).unwrap();
        let fine = instance.func::<(), i32>(&store, "fine").unwrap();
        for _ in 0..10_000 {
            assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
        }
        killer.join().unwrap();
    });
    let outer = module(r#"(module (import "h" "f" (func $f)) (func (export "run") (call $f)))"#);
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &outer).unwrap();
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    assert_eq!(trap(run.call(&mut store, ())).code(), TrapCode::Interrupted);
}
