//! Limits of time: deadlines and budgets of CPU time, in loops, in host calls, in nested calls, and
//! at the edges of entry and exit.

use std::time::{Duration, Instant};

use precast::{
    Caller, Error, Func, Interruption, Linker, Progress, Store, Suspend, Trap, TrapCode, TypedFunc,
    UseError, Val, ValType,
};
use precast_tests::guest::{instance, module, trap};

const SPIN: &str = r#"(module (memory 1)
    (func (export "spin") (loop $l (br $l)))
    (func (export "copy") (loop $l
        (memory.copy (i32.const 0) (i32.const 1) (i32.const 60000)) (br $l)))
    (func (export "count") (param i32) (result i32)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 7))
    (func (export "fine") (result i32) (i32.const 1)))"#;

/// Other tests run beside this one, on few cores.
const MUCH_LATER: Duration = Duration::from_secs(5);

fn after(milliseconds: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(milliseconds))
}

fn assert_stopped(trap: &Trap, by: Interruption) {
    assert_eq!(trap.code(), TrapCode::Interrupted);
    assert_eq!(trap.interruption(), Some(by));
}

#[test]
fn a_deadline_ends_the_call_and_only_that() {
    let mut store = Store::new(());
    let instance = instance(&mut store, SPIN);
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    for name in ["spin", "copy"] {
        let spin = instance.func::<(), ()>(&store, name).unwrap();
        let deadline = after(20);
        store.set_deadline(deadline);
        let trap = trap(spin.call(&mut store, ()));
        let now = Instant::now();
        assert_stopped(&trap, Interruption::Deadline);
        assert_eq!(trap.to_string(), "interrupted: the deadline passed");
        assert_eq!(trap.backtrace().frames()[0].name(), Some(name));
        assert!(Some(now) > deadline && now < deadline.unwrap() + MUCH_LATER);
        store.set_deadline(after(60_000));
        assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
        store.set_deadline(None);
        assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
    }
}

#[test]
fn a_deadline_that_is_over_fails_at_once() {
    let mut store = Store::new(());
    let instance = instance(&mut store, SPIN);
    let spin = instance.func::<(), ()>(&store, "spin").unwrap();
    for _ in 0..100 {
        store.set_deadline(Some(Instant::now()));
        let trap = trap(spin.call(&mut store, ()));
        assert_stopped(&trap, Interruption::Deadline);
        assert!(trap.backtrace().frames().is_empty());
    }
}

#[test]
fn a_deadline_may_be_given_with_the_call() {
    let mut store = Store::new(());
    let instance = instance(&mut store, SPIN);
    let spin = instance.func::<(), ()>(&store, "spin").unwrap();
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    let soon = || Instant::now() + Duration::from_millis(5);
    let first = trap(spin.call_with_deadline(&mut store, (), soon()));
    assert_stopped(&first, Interruption::Deadline);
    let spin: Func = instance.export(&store, "spin").unwrap().func().unwrap();
    let second = trap(spin.call_with_deadline(&mut store, &[], &mut [], soon()));
    assert_stopped(&second, Interruption::Deadline);
    // No later call has it.
    std::thread::sleep(Duration::from_millis(6));
    assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
    // One that was set before holds again.
    store.set_deadline(Some(Instant::now()));
    let hour = Instant::now() + Duration::from_secs(3600);
    assert_eq!(fine.call_with_deadline(&mut store, (), hour).unwrap(), 1);
    assert_stopped(&trap(fine.call(&mut store, ())), Interruption::Deadline);
}

#[test]
fn a_deadline_of_a_call_within_a_call_is_refused() {
    let text = r#"(module (import "h" "f" (func $f)) (func (export "spin"))
        (func (export "run") (call $f)))"#;
    let mut linker = Linker::<Inner>::new();
    linker.func("h", "f", |mut caller: Caller<'_, Inner>| {
        let spin = caller.data().unwrap();
        let error = spin.call_with_deadline(&mut caller, (), Instant::now());
        assert!(matches!(error, Err(Error::Use(UseError::NotOutermost))));
    });
    let mut store = Store::new(None);
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    *store.data_mut() = Some(instance.func::<(), ()>(&store, "spin").unwrap());
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
}

/// Short deadlines: they pass on entry, in the guest, in crossings, on the way out.
#[test]
fn a_deadline_at_any_moment_is_not_lost() {
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
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    let one = instance.func::<i32, i32>(&store, "one").unwrap();
    for round in 0..2000u64 {
        let deadline = Instant::now() + Duration::from_nanos(round * 37 % 60_000);
        store.set_deadline(Some(deadline));
        let trap = match round % 2 {
            0 => trap(run.call(&mut store, 0)),
            _ => loop {
                if let Err(error) = one.call(&mut store, 0) {
                    break match error {
                        Error::Trap(trap) => trap,
                        error => panic!("{error:?}"),
                    };
                }
            },
        };
        assert_stopped(&trap, Interruption::Deadline);
        assert!(deadline.elapsed() < MUCH_LATER);
    }
    store.set_deadline(None);
    assert_eq!(one.call(&mut store, 1).unwrap(), 2);
}

#[test]
fn a_deadline_cuts_waiting_host_functions_short() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "wait", |caller: Caller<'_, ()>| {
        let descriptor = caller.interrupt_descriptor().unwrap();
        let mut fds = [libc::pollfd {
            fd: std::os::fd::AsRawFd::as_raw_fd(&descriptor),
            events: libc::POLLIN,
            revents: 0,
        }];
        // SAFETY: one descriptor, which lives.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), 1, 20_000) };
        // The signal may interrupt the call; the descriptor is ready then all the same.
        assert!(ready != 0 && caller.interrupted());
    });
    let module = module(
        r#"(module (import "h" "wait" (func $wait))
            (func (export "run") (call $wait)) (func (export "fine")))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    let fine = instance.func::<(), ()>(&store, "fine").unwrap();
    for _ in 0..5 {
        let deadline = after(10);
        store.set_deadline(deadline);
        let trap = trap(run.call(&mut store, ()));
        assert_stopped(&trap, Interruption::Deadline);
        assert_eq!(trap.backtrace().frames()[0].name(), Some("run"));
        assert!(deadline.unwrap().elapsed() < MUCH_LATER);
        // The next call finds nothing raised.
        store.set_deadline(after(60_000));
        fine.call(&mut store, ()).unwrap();
    }
}

type Inner = Option<TypedFunc<(), ()>>;

#[test]
fn a_deadline_ends_nested_calls_of_the_store_too() {
    let text = r#"(module (import "h" "f" (func $f))
        (func (export "spin") (loop $l (br $l)))
        (func (export "run") (call $f)))"#;
    let mut linker = Linker::<Inner>::new();
    linker.func("h", "f", |mut caller: Caller<'_, Inner>| {
        let spin = caller.data().unwrap();
        let trap = trap(spin.call(&mut caller, ()));
        assert_stopped(&trap, Interruption::Deadline);
        let names: Vec<_> = trap.backtrace().frames().iter().map(|f| f.name()).collect();
        assert_eq!(names, [Some("spin"), Some("run")]);
        // The time does not come back within the same call from outside.
        assert!(spin.call(&mut caller, ()).is_err());
    });
    let mut store = Store::new(None);
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    *store.data_mut() = Some(instance.func::<(), ()>(&store, "spin").unwrap());
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    store.set_deadline(after(10));
    assert_stopped(&trap(run.call(&mut store, ())), Interruption::Deadline);
}

/// Each store has its own, also where one runs within a host function of another.
#[test]
fn deadlines_of_stores_that_nest_are_their_own() {
    let spin = module(SPIN);
    let mut linker = Linker::<u64>::new();
    linker.func("h", "f", move |caller: Caller<'_, u64>| {
        let mut inner = Store::new(());
        let instance = Linker::new().instantiate(&mut inner, &spin).unwrap();
        let spin = instance.func::<(), ()>(&inner, "spin").unwrap();
        inner.set_deadline(after(*caller.data()));
        let trap = trap(spin.call(&mut inner, ()));
        assert_stopped(&trap, Interruption::Deadline);
    });
    let text = r#"(module (import "h" "f" (func $f))
        (func (export "run") (result i32) (call $f) (i32.const 5)))"#;
    let module = module(text);
    // The inner one first, and the outer one first.
    for (inner, outer) in [(5, 60_000), (30, 5)] {
        let mut store = Store::new(inner);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.func::<(), i32>(&store, "run").unwrap();
        store.set_deadline(after(outer));
        match run.call(&mut store, ()) {
            Ok(result) => assert_eq!((result, outer), (5, 60_000)),
            result => {
                assert_eq!(outer, 5);
                assert_stopped(&trap(result), Interruption::Deadline);
            }
        }
    }
}

#[test]
fn a_kill_counts_for_more_than_a_deadline() {
    let mut store = Store::new(());
    let instance = instance(&mut store, SPIN);
    let spin = instance.func::<(), ()>(&store, "spin").unwrap();
    store.set_deadline(after(30));
    store.interrupt_handle().kill();
    let trap = trap(spin.call(&mut store, ()));
    assert_stopped(&trap, Interruption::Killed);
}

#[test]
fn threads_have_deadlines_of_their_own() {
    let module = module(SPIN);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let module = &module;
            scope.spawn(move || {
                let mut store = Store::new(());
                let instance = Linker::new().instantiate(&mut store, module).unwrap();
                let spin = instance.func::<(), ()>(&store, "spin").unwrap();
                let count = instance.func::<i32, i32>(&store, "count").unwrap();
                for round in 0..40 {
                    let deadline = after(1 + (thread + round) % 5);
                    store.set_deadline(deadline);
                    let trap = trap(spin.call(&mut store, ()));
                    assert_stopped(&trap, Interruption::Deadline);
                    assert!(Some(Instant::now()) > deadline);
                    assert!(deadline.unwrap().elapsed() < MUCH_LATER);
                    store.set_deadline(after(60_000));
                    assert_eq!(count.call(&mut store, 1000).unwrap(), 7);
                }
            });
        }
    });
}

#[test]
fn a_budget_of_cpu_time_lasts_for_several_calls() {
    let mut store = Store::new(());
    let instance = instance(&mut store, SPIN);
    let count = instance.func::<i32, i32>(&store, "count").unwrap();
    let spin = instance.func::<(), ()>(&store, "spin").unwrap();
    store.set_cpu_budget(Some(Duration::from_secs(60)));
    assert_eq!(count.call(&mut store, 1_000_000).unwrap(), 7);
    let left = store.cpu_budget().unwrap();
    assert!(left < Duration::from_secs(60), "{left:?}");
    store.set_cpu_budget(Some(Duration::from_millis(30)));
    let begun = Instant::now();
    // More than a hundred times as much in all.
    let trap = trap((0..100_000).try_for_each(|_| count.call(&mut store, 1_000_000).map(drop)));
    assert_stopped(&trap, Interruption::CpuBudget);
    assert!(begun.elapsed() > Duration::from_millis(29));
    assert_eq!(store.cpu_budget(), Some(Duration::ZERO));
    let again = precast_tests::guest::trap(spin.call(&mut store, ()));
    assert_stopped(&again, Interruption::CpuBudget);
    store.set_cpu_budget(None);
    assert_eq!(count.call(&mut store, 10).unwrap(), 7);
}

#[test]
fn time_that_a_host_function_sleeps_is_not_cpu_time() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "sleep", |_: Caller<'_, ()>| {
        std::thread::sleep(Duration::from_millis(60));
    });
    let module = module(
        r#"(module (import "h" "sleep" (func $sleep))
            (func (export "run") (result i32) (call $sleep) (i32.const 2)))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    store.set_cpu_budget(Some(Duration::from_millis(30)));
    assert_eq!(run.call(&mut store, ()).unwrap(), 2);
    assert!(store.cpu_budget().unwrap() > Duration::ZERO);
}

#[test]
fn a_deadline_holds_while_a_guest_is_suspended() {
    let mut store = Store::new(());
    let wait = Func::new(
        &mut store,
        precast::FuncType::new([], [ValType::I32]),
        |_, _, _| Err(Suspend::new().into()),
    );
    let mut linker = Linker::new();
    linker.define(&store, "h", "wait", wait).unwrap();
    let module = module(
        r#"(module (import "h" "wait" (func $wait (result i32)))
            (func (export "run") (result i32) (call $wait))
            (func (export "fine") (result i32) (i32.const 1)))"#,
    );
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    store.set_deadline(after(60_000));
    let mut guest = run.start(&mut store, ()).unwrap_suspended();
    guest.store_mut().set_deadline(Some(Instant::now()));
    guest.give(&[Val::I32(3)]).unwrap();
    let Progress::Done(store, result) = guest.resume() else {
        panic!("the time is over");
    };
    let trap = trap(result);
    assert_stopped(&trap, Interruption::Deadline);
    assert_eq!(trap.backtrace().frames()[0].name(), Some("run"));
    store.set_deadline(None);
    assert_eq!(fine.call(&mut *store, ()).unwrap(), 1);
}

#[test]
fn usage_is_counted() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>, x: i32| x + 1);
    let module = module(
        r#"(module (import "h" "f" (func $f (param i32) (result i32)))
            (memory 1)
            (func (export "run") (param i32) (result i32)
                (drop (memory.grow (i32.const 0)))
                (call $f (call $f (call $f (local.get 0))))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 0).unwrap(), 3);
    assert_eq!(store.usage().host_calls, 3);
    assert_eq!(store.usage().cycles, 0);
    store.count_cycles(true);
    assert_eq!(run.call(&mut store, 0).unwrap(), 3);
    let once = store.usage();
    assert_eq!(once.host_calls, 6);
    assert!(once.cycles > 0);
    assert_eq!(run.call(&mut store, 0).unwrap(), 3);
    assert!(store.usage().cycles > once.cycles);
}
