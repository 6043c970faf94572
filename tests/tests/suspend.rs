//! Guests that wait: for a host function that answers later, or for another time slice.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use precast::{
    Caller, Error, Func, FuncType, Instance, Interruption, Linker, Progress, Store, Suspend,
    TrapCode, TypedFunc, UseError, Val, ValType, Why,
};
use precast_tests::guest::{module, trap};

/// A guest that asks the host for numbers, and keeps much in registers meanwhile.
const ASKING: &str = r#"(module
    (import "h" "int" (func $int (param i32) (result i32)))
    (import "h" "float" (func $float (param f64) (result f64)))
    (import "h" "many" (func $many (param i64 i64) (result i64 f32 v128)))
    (import "h" "nothing" (func $nothing))
    (memory (export "memory") 1)
    (func (export "sum") (param $n i32) (result i32)
        (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $e i32)
        (local.set $a (i32.const 1)) (local.set $b (i32.const 2))
        (local.set $c (i32.const 3)) (local.set $d (i32.const 4))
        (loop $l
            (local.set $e (i32.add (local.get $e) (call $int (local.get $n))))
            (local.set $a (i32.add (local.get $a) (local.get $n)))
            (local.set $b (i32.xor (local.get $b) (local.get $a)))
            (local.set $c (i32.mul (local.get $c) (i32.const 5)))
            (local.set $d (i32.sub (local.get $d) (local.get $c)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i32.add (local.get $e) (i32.xor (local.get $a)
            (i32.xor (local.get $b) (i32.xor (local.get $c) (local.get $d))))))
    (func (export "float") (param f64) (result f64)
        (f64.mul (f64.const 2) (call $float (local.get 0))))
    (func (export "many") (param i64) (result i64 f32 v128)
        (call $many (local.get 0) (i64.const 7)))
    (func (export "nothing") (result i32) (call $nothing) (i32.const 9))
    (func (export "fine") (result i32) (i32.const 1)))"#;

/// Whether the host answers at once.
#[derive(Clone, Copy, PartialEq)]
enum Host {
    AtOnce,
    Later,
}

fn asking(host: Host) -> (Store<Host>, Instance) {
    let mut linker = Linker::<Host>::new();
    linker.func(
        "h",
        "int",
        |caller: Caller<'_, Host>, x: i32| match caller.data() {
            Host::AtOnce => Ok(x * 10),
            Host::Later => Err(Error::from(Suspend::with_note(x))),
        },
    );
    linker.func(
        "h",
        "float",
        |caller: Caller<'_, Host>, x: f64| match caller.data() {
            Host::AtOnce => Ok(x + 0.5),
            Host::Later => Err(Error::from(Suspend::new())),
        },
    );
    let many = FuncType::new(
        [ValType::I64, ValType::I64],
        [ValType::I64, ValType::F32, ValType::V128],
    );
    linker.func_dynamic("h", "many", many, |_, _, _| Err(Suspend::new().into()));
    linker.func("h", "nothing", |_: Caller<'_, Host>| {
        Err::<(), _>(Error::from(Suspend::new()))
    });
    let mut store = Store::new(host);
    let instance = linker.instantiate(&mut store, &module(ASKING)).unwrap();
    (store, instance)
}

fn sum(store: &Store<Host>, instance: &Instance) -> TypedFunc<i32, i32> {
    instance.func(store, "sum").unwrap()
}

/// What the host would have answered.
fn answer<S: precast::AsStoreMut, R>(guest: &mut precast::Suspended<S, R>) {
    let note = guest.take_note().expect("there is one");
    let asked = note.downcast::<i32>().expect("of this type");
    guest.give(&[Val::I32(*asked * 10)]).unwrap();
}

#[test]
fn a_host_function_may_answer_later() {
    let (mut store, instance) = asking(Host::AtOnce);
    let expected = sum(&store, &instance).call(&mut store, 20).unwrap();
    let (mut store, instance) = asking(Host::Later);
    let mut progress = sum(&store, &instance).start(&mut store, 20);
    let mut waits = 0;
    let result = loop {
        match progress {
            Progress::Done(_, result) => break result.unwrap(),
            Progress::Suspended(mut guest) => {
                waits += 1;
                assert_eq!(guest.why(), Why::HostCall);
                assert_eq!(guest.needs(), [ValType::I32]);
                assert_eq!(guest.backtrace().frames()[0].name(), Some("sum"));
                answer(&mut guest);
                progress = guest.resume();
            }
        }
    };
    assert_eq!((result, waits), (expected, 20));
}

#[test]
fn answers_of_every_kind_arrive() {
    let (mut store, instance) = asking(Host::Later);
    let float = instance.func::<f64, f64>(&store, "float").unwrap();
    let mut guest = float.start(&mut store, 1.0).unwrap_suspended();
    guest.give(&[Val::F64(1.25f64.to_bits())]).unwrap();
    assert_eq!(guest.resume().unwrap_done().1.unwrap(), 2.5);

    let many = instance
        .func::<i64, (i64, f32, u128)>(&store, "many")
        .unwrap();
    let mut guest = many.start(&mut store, 1).unwrap_suspended();
    let vector = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
    let results = [Val::I64(-3), Val::F32(0.5f32.to_bits()), Val::V128(vector)];
    guest.give(&results).unwrap();
    let result = guest.resume().unwrap_done().1.unwrap();
    assert_eq!(result, (-3, 0.5, vector));

    let nothing = instance.func::<(), i32>(&store, "nothing").unwrap();
    let guest = nothing.start(&mut store, ()).unwrap_suspended();
    assert_eq!(guest.resume().unwrap_done().1.unwrap(), 9);

    let float: Func = instance.export(&store, "float").unwrap().func().unwrap();
    let arguments = [Val::F64(1.0f64.to_bits())];
    let mut guest = float.start(&mut store, &arguments).unwrap_suspended();
    guest.give(&[Val::F64(2.0f64.to_bits())]).unwrap();
    let results = guest.resume().unwrap_done().1.unwrap();
    assert!(matches!(results[..], [Val::F64(bits)] if bits == 4.0f64.to_bits()));
}

#[test]
fn wrong_answers_are_refused_and_right_ones_still_taken() {
    let (mut store, instance) = asking(Host::Later);
    let sum = sum(&store, &instance);
    let mut guest = sum.start(&mut store, 1).unwrap_suspended();
    assert!(guest.give(&[]).is_err());
    assert!(guest.give(&[Val::I64(1)]).is_err());
    guest.give(&[Val::I32(10)]).unwrap();
    guest.resume().unwrap_done().1.unwrap();
    // Without an answer the guest is given up.
    let guest = sum.start(&mut store, 1).unwrap_suspended();
    let error = guest.resume().unwrap_done().1.unwrap_err();
    assert!(
        matches!(error, Error::Use(UseError::NoResults)),
        "{error:?}"
    );
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
}

#[test]
fn a_guest_moves_between_threads_with_its_store() {
    let (mut store, instance) = asking(Host::AtOnce);
    let expected = sum(&store, &instance).call(&mut store, 50).unwrap();
    let (store, instance) = asking(Host::Later);
    let sum = sum(&store, &instance);
    let mut progress = sum.start(store, 50);
    let result = loop {
        match progress {
            Progress::Done(_, result) => break result.unwrap(),
            Progress::Suspended(mut guest) => {
                let resume = move || {
                    answer(&mut guest);
                    guest.resume()
                };
                progress = std::thread::spawn(resume).join().unwrap();
            }
        }
    };
    assert_eq!(result, expected);
}

#[test]
fn a_suspended_store_refuses_entry_until_the_guest_is_given_up() {
    let (mut store, instance) = asking(Host::Later);
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    let sum = sum(&store, &instance);
    let mut guest = sum.start(&mut store, 1).unwrap_suspended();
    let refused = |error: Error| {
        assert!(
            matches!(error, Error::Use(UseError::GuestSuspended)),
            "{error:?}"
        );
    };
    refused(fine.call(guest.store_mut(), ()).unwrap_err());
    refused(sum.start(guest.store_mut(), 1).unwrap_done().1.unwrap_err());
    drop(guest);
    assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
    let guest = sum.start(store, 1).unwrap_suspended();
    let mut store = guest.abandon();
    assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
}

#[test]
fn a_suspended_guest_can_be_killed() {
    let (mut store, instance) = asking(Host::Later);
    let handle = store.interrupt_handle();
    let sum = sum(&store, &instance);
    let mut guest = sum.start(&mut store, 3).unwrap_suspended();
    handle.kill();
    guest.give(&[Val::I32(1)]).unwrap();
    let trap = trap(guest.resume().unwrap_done().1);
    assert_eq!(trap.interruption(), Some(Interruption::Killed));
    assert_eq!(trap.backtrace().frames()[0].name(), Some("sum"));
}

#[test]
fn another_store_cannot_take_its_place() {
    let (store, instance) = asking(Host::Later);
    let mut guest = sum(&store, &instance).start(store, 1).unwrap_suspended();
    let kept = std::mem::replace(guest.store_mut(), asking(Host::Later).0);
    let error = guest.give(&[Val::I32(1)]).unwrap_err();
    assert!(
        matches!(error, Error::Use(UseError::NotSuspended)),
        "{error:?}"
    );
    drop(kept);
    drop(guest);
}

type Entered = Option<TypedFunc<(), ()>>;

#[test]
fn suspension_is_refused_where_a_host_frame_lies_below() {
    let text = r#"(module
        (import "h" "enter" (func $enter)) (import "h" "wait" (func $wait))
        (func (export "outer") (call $enter))
        (func (export "inner") (call $wait)))"#;
    let refused = |result: Result<(), Error>, expected: UseError| {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, Error::Use(error) if *error == expected),
            "{error:?}"
        );
    };
    let mut linker = Linker::<Entered>::new();
    linker.func("h", "enter", move |mut caller: Caller<'_, Entered>| {
        let inner = caller.data().unwrap();
        refused(inner.call(&mut caller, ()), UseError::CannotSuspend);
        let started = inner.start(&mut caller, ()).unwrap_done().1;
        refused(started, UseError::NotOutermost);
    });
    let wait = |_: Caller<'_, Entered>| Err::<(), _>(Error::from(Suspend::new()));
    linker.func("h", "wait", wait);
    let mut store = Store::new(None);
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    let inner = instance.func::<(), ()>(&store, "inner").unwrap();
    *store.data_mut() = Some(inner);
    let outer = instance.func::<(), ()>(&store, "outer").unwrap();
    outer.start(&mut store, ()).unwrap_done().1.unwrap();
    outer.call(&mut store, ()).unwrap();
    refused(inner.call(&mut store, ()), UseError::CannotSuspend);
    // A host function that is called by the host.
    let wait = Func::wrap(&mut store, wait);
    let wait = wait.typed::<(), ()>(&store).unwrap();
    refused(wait.call(&mut store, ()), UseError::CannotSuspend);
    let started = wait.start(&mut store, ()).unwrap_done().1;
    refused(started, UseError::CannotSuspend);
    // Started, the guest can wait.
    inner.start(&mut store, ()).unwrap_suspended();
}

#[test]
fn errors_panics_and_traps_end_a_call_that_was_resumed() {
    let text = r#"(module
        (import "h" "f" (func $f (param i32) (result i32)))
        (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))
        (func (export "run") (result i32)
            (drop (call $deep (i32.const 0)))
            (drop (call $deep (i32.const 1)))
            unreachable))"#;
    let mut linker = Linker::<u32>::new();
    linker.func("h", "f", |caller: Caller<'_, u32>, x: i32| {
        match (x, *caller.data()) {
            (0, _) => Err(Error::from(Suspend::new())),
            (_, 0) => Err(Error::host("no")),
            (_, 1) => panic!("out of order"),
            (_, _) => Ok(1),
        }
    });
    let module = module(text);
    for case in 0..3 {
        let mut store = Store::new(case);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.func::<(), i32>(&store, "run").unwrap();
        for _ in 0..2 {
            let mut guest = run.start(&mut store, ()).unwrap_suspended();
            guest.give(&[Val::I32(5)]).unwrap();
            let resume = || guest.resume().unwrap_done().1;
            match (case, catch_unwind(AssertUnwindSafe(resume))) {
                (0, Ok(result)) => assert_eq!(result.unwrap_err().to_string(), "no"),
                (1, Err(payload)) => {
                    assert_eq!(payload.downcast_ref(), Some(&"out of order"));
                }
                (2, Ok(result)) => {
                    let trap = trap(result);
                    assert_eq!(trap.code(), TrapCode::Unreachable);
                    assert_eq!(trap.backtrace().frames()[0].name(), Some("run"));
                }
                (_, other) => panic!("{other:?}"),
            }
        }
    }
}

/// A computation that uses every kind of register, with a call to the host now and then.
const BUSY: &str = r#"(module
    (import "h" "tick" (func $tick (param i32) (result i32)))
    (memory 1)
    (func $mix (param i64 i64) (result i64)
        (i64.xor (i64.rotl (i64.mul (local.get 0) (i64.const 0x9E3779B97F4A7C15)) (i64.const 23))
            (local.get 1)))
    (func (export "run") (param $n i32) (result i64)
        (local $a i64) (local $b i64) (local $c i64) (local $d i64)
        (local $x f64) (local $y f64) (local $u v128) (local $v v128)
        (local.set $a (i64.const 1)) (local.set $b (i64.const 2))
        (local.set $c (i64.const 3)) (local.set $d (i64.const 4))
        (local.set $x (f64.const 1.5)) (local.set $y (f64.const 0.25))
        (local.set $u (v128.const i32x4 1 2 3 4)) (local.set $v (v128.const i32x4 5 6 7 8))
        (loop $l
            (local.set $a (call $mix (local.get $a) (local.get $d)))
            (local.set $b (i64.add (local.get $b) (local.get $a)))
            (local.set $c (i64.xor (local.get $c)
                (i64.extend_i32_u (i64.lt_u (local.get $a) (local.get $b)))))
            (local.set $d (i64.rotl (i64.add (local.get $d) (local.get $b)) (i64.const 7)))
            (local.set $x (f64.div (f64.add (local.get $x) (local.get $y)) (f64.const 1.0001)))
            (local.set $y (f64.sqrt (f64.add (local.get $y) (f64.const 0.001))))
            (local.set $u (i32x4.add (i32x4.mul (local.get $u) (local.get $v))
                (i32x4.splat (i32.wrap_i64 (local.get $a)))))
            (local.set $v (v128.xor (local.get $v) (i8x16.shuffle
                4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 (local.get $u) (local.get $u))))
            (v128.store (i32.and (i32.wrap_i64 (local.get $b)) (i32.const 0xfff0)) (local.get $u))
            (local.set $c (i64.add (local.get $c)
                (i64.load (i32.and (i32.wrap_i64 (local.get $d)) (i32.const 0xfff0)))))
            (if (i32.eqz (i32.and (local.get $n) (i32.const 1023)))
                (then (local.set $c (i64.add (local.get $c)
                    (i64.extend_i32_u (call $tick (local.get $n)))))))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i64.xor
            (i64.xor
                (i64.xor (local.get $a) (local.get $b))
                (i64.xor (local.get $c) (local.get $d)))
            (i64.xor
                (i64.xor (i64.reinterpret_f64 (local.get $x)) (i64.reinterpret_f64 (local.get $y)))
                (i64.xor (i64x2.extract_lane 0 (local.get $u))
                    (i64x2.extract_lane 1 (local.get $v)))))))"#;

fn busy() -> (Store<u32>, TypedFunc<i32, i64>) {
    let mut linker = Linker::<u32>::new();
    linker.func("h", "tick", |mut caller: Caller<'_, u32>, x: i32| {
        *caller.data_mut() += 1;
        x ^ 0x55
    });
    let mut store = Store::new(0);
    let instance = linker.instantiate(&mut store, &module(BUSY)).unwrap();
    let run = instance.func(&store, "run").unwrap();
    (store, run)
}

/// Thousands of points wherever they happen to be, now and then on another thread.
#[test]
fn a_preempted_guest_goes_on_with_every_register_intact() {
    const N: i32 = 4_000_000;
    let (mut store, run) = busy();
    let expected = run.call(&mut store, N).unwrap();
    let mut points = 0;
    // How many there are in one run depends on how fast the machine is and what else it does.
    for _ in 0..1000 {
        points = preempted(N, expected, points);
        if points >= 2000 {
            return;
        }
    }
    panic!("only {points} times");
}

/// Runs the guest once, with pauses. Returns how many there have been, `points` of them before.
fn preempted(n: i32, expected: i64, mut points: u64) -> u64 {
    let (mut store, run) = busy();
    store.set_time_slice(Some(Duration::from_micros(40)));
    let mut progress = run.start(store, n);
    loop {
        match progress {
            Progress::Done(store, result) => {
                assert_eq!(*store.data(), (n / 1024) as u32);
                assert_eq!(result.unwrap(), expected);
                return points;
            }
            Progress::Suspended(mut guest) => {
                points += 1;
                assert_eq!(guest.why(), Why::TimeSlice);
                let slice = Duration::from_nanos(10_000 + points * 7919 % 50_000);
                guest.store_mut().set_time_slice(Some(slice));
                let elsewhere = move || {
                    // Other values in the registers of that thread.
                    std::hint::black_box([1.5f64; 64].map(|x| x * 3.25));
                    guest.resume()
                };
                progress = match points % 64 {
                    0 => std::thread::spawn(elsewhere).join().unwrap(),
                    _ => elsewhere(),
                };
            }
        }
    }
}

/// What a thread keeps for itself is not among the registers of the guest.
#[test]
fn functions_of_the_host_see_the_thread_that_a_preempted_guest_goes_on_on() {
    thread_local! {
        static HERE: Cell<u64> = const { Cell::new(0) };
    }
    let mut linker = Linker::<u64>::new();
    linker.func("h", "look", |caller: Caller<'_, u64>| {
        assert_eq!(HERE.get(), *caller.data());
    });
    let text = r#"(module (import "h" "look" (func $look))
        (func (export "run") (param $n i32)
            (loop $l
                (if (i32.eqz (i32.and (local.get $n) (i32.const 255))) (then (call $look)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let mut store = Store::new(0);
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    let run = instance.func::<i32, ()>(&store, "run").unwrap();
    store.set_time_slice(Some(Duration::from_micros(100)));
    let mut progress = run.start(store, i32::MAX);
    for thread in 1..100 {
        let mut guest = progress.unwrap_suspended();
        *guest.store_mut().data_mut() = thread;
        let elsewhere = move || {
            HERE.set(thread);
            guest.resume()
        };
        progress = std::thread::spawn(elsewhere).join().unwrap();
    }
    progress.unwrap_suspended();
}

#[test]
fn a_preempted_guest_can_be_looked_at_dropped_and_killed() {
    let (mut store, run) = busy();
    store.set_time_slice(Some(Duration::from_millis(1)));
    let in_run = |backtrace: &precast::Backtrace| {
        let frames = backtrace.frames();
        assert!(frames.iter().any(|frame| frame.name() == Some("run")));
    };
    let guest = run.start(&mut store, i32::MAX).unwrap_suspended();
    in_run(&guest.backtrace());
    drop(guest);
    store.set_time_slice(None);
    run.call(&mut store, 5000).unwrap();
    store.set_time_slice(Some(Duration::from_millis(1)));
    let handle = store.interrupt_handle();
    let guest = run.start(&mut store, i32::MAX).unwrap_suspended();
    handle.kill();
    let trap = trap(guest.resume().unwrap_done().1);
    assert_eq!(trap.interruption(), Some(Interruption::Killed));
    in_run(trap.backtrace());
}

type Spin = Option<TypedFunc<i32, i32>>;

/// The slice ends in a host function, or in a guest that this has entered: the outer guest is
/// suspended when the function returns.
#[test]
fn a_slice_that_ends_in_a_host_call_counts_when_that_returns() {
    let text = r#"(module
        (import "h" "f" (func $f (result i64)))
        (func (export "spin") (param i32) (result i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (i32.const 3))
        (func (export "run") (result i64) (i64.add (i64.const 1) (call $f))))"#;
    let mut linker = Linker::<Spin>::new();
    linker.func("h", "f", |mut caller: Caller<'_, Spin>| {
        match *caller.data() {
            Some(spin) => assert_eq!(spin.call(&mut caller, 50_000_000).unwrap(), 3),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        41i64
    });
    let mut store = Store::new(None);
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    let spin = instance.func::<i32, i32>(&store, "spin").unwrap();
    let run = instance.func::<(), i64>(&store, "run").unwrap();
    for nested in [false, true] {
        *store.data_mut() = nested.then_some(spin);
        store.set_time_slice(Some(Duration::from_millis(1)));
        let mut guest = run.start(&mut store, ()).unwrap_suspended();
        assert_eq!(guest.why(), Why::TimeSlice);
        guest.store_mut().set_time_slice(None);
        assert_eq!(guest.resume().unwrap_done().1.unwrap(), 42);
    }
}

#[inline(never)]
fn resumed_from_here(guest: precast::Suspended<&mut Store<String>, i32>) -> Result<i32, Error> {
    let result = guest.resume().unwrap_done().1;
    std::hint::black_box(&result);
    result
}

/// The frames that an unwinder finds below the guest are those that resumed it.
#[test]
fn a_backtrace_of_the_host_through_a_resumed_guest_is_whole() {
    let text = r#"(module
        (import "h" "f" (func $f (param i32) (result i32)))
        (func (export "run") (result i32)
            (i32.add (call $f (i32.const 0)) (call $f (i32.const 1)))))"#;
    let mut linker = Linker::<String>::new();
    linker.func("h", "f", |mut caller: Caller<'_, String>, x: i32| {
        if x == 0 {
            return Err(Error::from(Suspend::new()));
        }
        *caller.data_mut() = std::backtrace::Backtrace::force_capture().to_string();
        Ok(x)
    });
    let mut store = Store::new(String::new());
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    let mut guest = run.start(&mut store, ()).unwrap_suspended();
    guest.give(&[Val::I32(4)]).unwrap();
    assert_eq!(resumed_from_here(guest).unwrap(), 5);
    let text = store.data();
    let inner = text.find("a_backtrace_of_the_host_through_a_resumed_guest_is_whole::{{closure}}");
    let outer = text.find("resumed_from_here");
    assert!(inner.is_some() && inner < outer, "{text}");
    assert!(!text.contains("entry::start"), "{text}");
}

/// Gives access to one of two stores, to the other every time.
struct Fickle {
    stores: [Store<Host>; 2],
    turn: std::cell::Cell<usize>,
}

impl Fickle {
    fn next(&self) -> usize {
        self.turn.set(self.turn.get() + 1);
        self.turn.get() % 2
    }
}

impl precast::AsStore for Fickle {
    type Data = Host;

    fn as_store(&self) -> precast::StoreRef<'_, Host> {
        self.stores[self.next()].as_store()
    }
}

impl precast::AsStoreMut for Fickle {
    fn as_store_mut(&mut self) -> precast::StoreMut<'_, Host> {
        let next = self.next();
        self.stores[next].as_store_mut()
    }
}

#[test]
fn access_that_changes_its_store_is_an_error_and_no_more() {
    for turn in 0..2 {
        let (first, instance) = asking(Host::Later);
        let (second, _) = asking(Host::Later);
        let many = sum(&first, &instance);
        let stores = Fickle {
            stores: [first, second],
            turn: std::cell::Cell::new(turn),
        };
        match many.start(stores, 3) {
            Progress::Done(_, result) => assert!(result.is_err()),
            Progress::Suspended(mut guest) => {
                let _ = guest.give(&[Val::I32(1)]);
                let _ = guest.backtrace();
                assert!(guest.resume().unwrap_done().1.is_err());
            }
        }
    }
}
