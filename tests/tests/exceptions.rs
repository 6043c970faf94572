//! Exceptions: thrown and caught by guests, across instances, and through functions of the host.

use std::time::{Duration, Instant};

use precast::{
    Caller, Error, Exception, ExnRef, Extern, Func, FuncType, Global, GlobalType, Instance,
    Interruption, Linker, Progress, RefType, Store, Tag, Trap, TrapCode, Val, ValType,
};
use precast_compiler::{OptLevel, Options};
use precast_tests::guest::{instance, module, module_with, trap};

fn thrown<T: std::fmt::Debug>(result: Result<T, Error>) -> Exception {
    match result {
        Err(Error::Exception(exception)) => exception,
        other => panic!("expected an exception, not {other:?}"),
    }
}

/// The same, compiled in each way: what `check` sees must not depend on it.
fn in_every_way(text: &str, check: impl Fn(&mut Store<()>, Instance)) {
    for (opt, fuel) in [
        (OptLevel::None, false),
        (OptLevel::Speed, false),
        (OptLevel::Size, true),
    ] {
        let options = Options {
            opt,
            fuel,
            ..Options::default()
        };
        let mut store = Store::new(());
        let guest = Linker::new().instantiate(&mut store, &module_with(text, &options));
        check(&mut store, guest.unwrap());
    }
}

#[test]
fn what_is_not_caught_arrives_with_its_values() {
    let text = r#"(module
        (tag $t (export "t") (param i32 f64))
        (func (export "run") (param i32)
            (throw $t (local.get 0) (f64.const 2.5))))"#;
    in_every_way(text, |store, guest| {
        let run = guest.func::<i32, ()>(&*store, "run").unwrap();
        let exception = thrown(run.call(&mut *store, 7));
        assert_eq!(Some(exception.tag()), guest.tag(&*store, "t"));
        let [Val::I32(7), Val::F64(bits)] = exception.values() else {
            panic!("{exception:?}");
        };
        assert_eq!(f64::from_bits(*bits), 2.5);
        assert_eq!(exception.backtrace().frames().len(), 1);
        assert_eq!(exception.to_string(), "uncaught exception");
    });
}

#[test]
fn an_exception_is_caught_many_frames_up() {
    let text = r#"(module
        (tag $t (param i32 i64))
        (func $down (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (throw $t (i32.const 40) (i64.const 2))))
            (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (func (export "run") (param i32) (result i32)
            (block $h (result i32 i64)
                (try_table (catch $t $h) (drop (call $down (local.get 0))))
                (return (i32.const 0)))
            i32.wrap_i64
            i32.add))"#;
    in_every_way(text, |store, guest| {
        let run = guest.func::<i32, i32>(&*store, "run").unwrap();
        for depth in [0, 1, 10, 4_000] {
            assert_eq!(run.call(&mut *store, depth).unwrap(), 42);
        }
    });
}

/// Floats of the guest that catches, and of the host that has called it.
#[test]
fn floats_are_there_after_a_catch() {
    let text = r#"(module
        (tag $t)
        (func $throws (param f64) (result f64)
            (if (f64.lt (local.get 0) (f64.const 1e9)) (then (throw $t)))
            (local.get 0))
        (func (export "run") (param f64 f64) (result f64)
            (local f64 f64 f64 f64 f64 f64 f64 f64)
            (local.set 2 (f64.add (local.get 0) (local.get 1)))
            (local.set 3 (f64.mul (local.get 0) (local.get 1)))
            (local.set 4 (f64.sub (local.get 0) (local.get 1)))
            (local.set 5 (f64.add (local.get 2) (local.get 3)))
            (local.set 6 (f64.mul (local.get 2) (local.get 4)))
            (local.set 7 (f64.sub (local.get 5) (local.get 6)))
            (local.set 8 (f64.add (local.get 7) (local.get 2)))
            (local.set 9 (f64.mul (local.get 8) (local.get 4)))
            (block $h (try_table (catch $t $h) (drop (call $throws (local.get 0)))))
            (f64.add (local.get 2) (f64.add (local.get 3) (f64.add (local.get 4) (f64.add (local.get 5)
                (f64.add (local.get 6) (f64.add (local.get 7) (f64.add (local.get 8) (local.get 9))))))))))"#;
    in_every_way(text, |store, guest| {
        let run = guest.func::<(f64, f64), f64>(&*store, "run").unwrap();
        let mut kept = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5];
        for round in 0..20 {
            let (a, b) = (f64::from(round), 3.0);
            let [c, d, e] = [a + b, a * b, a - b];
            let [f, g] = [c + d, c * e];
            let h = f - g;
            let i = h + c;
            let expected = c + d + e + f + g + h + i + i * e;
            assert_eq!(run.call(&mut *store, (a, b)).unwrap(), expected);
            kept = kept.map(|float| float + 1.0);
        }
        assert_eq!(kept, [21.5, 22.5, 23.5, 24.5, 25.5, 26.5, 27.5, 28.5]);
    });
}

/// Ten integers, three of them in registers that a callee keeps, live across the call that throws, in
/// the function that catches and in the one around it.
#[test]
fn what_was_in_registers_is_there_after_a_catch() {
    let sum = |n: u32| {
        (0..n).fold("(i64.const 0)".to_owned(), |sum, i| {
            format!("(i64.add (i64.mul {sum} (i64.const 3)) (local.get $v{i}))")
        })
    };
    let sets = |n: u32| -> String {
        (0..n)
            .map(|i| format!("(local.set $v{i} (i64.add (local.get $x) (i64.const {i})))"))
            .collect()
    };
    let locals = |n: u32| -> String { (0..n).map(|i| format!("(local $v{i} i64)")).collect() };
    let text = format!(
        r#"(module
        (tag $t)
        (table (export "t") 1 funcref)
        (elem (i32.const 0) $throw)
        (func $throw (param i64) (result i64) {locals} (local $x i64)
            (local.set $x (local.get 0)) {sets}
            (if (i64.eqz (local.get 0)) (then (throw $t)))
            {sum})
        (func $catch (param $x i64) (param $y i64) (result i64) {locals}
            {sets}
            (block $h
                (try_table (catch $t $h)
                    (drop (call_indirect (param i64) (result i64) (local.get $y) (i32.const 0)))))
            {sum})
        (func (export "run") (param $x i64) (param $y i64) (result i64) {locals}
            {sets}
            (i64.xor (call $catch (i64.add (local.get $x) (i64.const 100)) (local.get $y)) {sum})))"#,
        locals = locals(10),
        sets = sets(10),
        sum = sum(10),
    );
    in_every_way(&text, |store, guest| {
        let run = guest.func::<(i64, i64), i64>(&*store, "run").unwrap();
        for x in [0, 5, -7, 1 << 40] {
            let quiet = run.call(&mut *store, (x, 1)).unwrap();
            assert_eq!(run.call(&mut *store, (x, 0)).unwrap(), quiet);
        }
    });
}

#[test]
fn every_kind_of_value_travels() {
    let text = r#"(module
        (type $f (func (result i32)))
        (tag $t (export "t") (param i32 i64 f32 f64 v128 funcref externref exnref (ref $f)))
        (tag $inner (param i64))
        (func $seven (export "seven") (type $f) (i32.const 7))
        (func (export "throw") (param externref) (call $throw_all (local.get 0)))
        (func $throw_all (param externref) (local $e exnref)
            (block $b (result exnref)
                (try_table (catch_all_ref $b) (throw $inner (i64.const 99)))
                (unreachable))
            (local.set $e)
            (throw $t (i32.const -1) (i64.const -2) (f32.const 1.5) (f64.const 2.5)
                (v128.const i64x2 11 22) (ref.func $seven) (local.get 0) (local.get $e)
                (ref.func $seven)))
        (func (export "catch") (param externref)
            (result i32 i64 f32 f64 v128 funcref externref exnref (ref $f))
            (block $h (result i32 i64 f32 f64 v128 funcref externref exnref (ref $f))
                (try_table (catch $t $h) (call $throw_all (local.get 0)))
                (unreachable))))"#;
    in_every_way(text, |store, guest| {
        let reference = precast::ExternRef::new(&mut *store, 5u8);
        let func = |store: &Store<()>, name| guest.export(store, name).and_then(Extern::func);
        let argument = [Val::ExternRef(Some(reference))];
        let mut results = [Val::I32(0); 9];
        let catch = func(store, "catch").unwrap();
        catch.call(&mut *store, &argument, &mut results).unwrap();
        let throw = func(store, "throw").unwrap();
        let exception = thrown(throw.call(&mut *store, &argument, &mut []));
        for values in [&results[..], exception.values()] {
            let &[
                Val::I32(-1),
                Val::I64(-2),
                Val::F32(f32),
                Val::F64(f64),
                Val::V128(v128),
                Val::FuncRef(Some(seven)),
                Val::ExternRef(Some(external)),
                Val::ExnRef(Some(inner)),
                Val::FuncRef(Some(typed)),
            ] = values
            else {
                panic!("{values:?}");
            };
            assert_eq!((f32::from_bits(f32), f64::from_bits(f64)), (1.5, 2.5));
            assert_eq!(v128, 22 << 64 | 11);
            assert_eq!((external, typed), (reference, seven));
            assert_eq!(Some(seven), func(store, "seven"));
            let inner = inner.exception(&*store).unwrap();
            assert!(matches!(inner.values(), [Val::I64(99)]), "{inner:?}");
        }
    });
}

#[test]
fn traps_are_not_exceptions() {
    let text = r#"(module
        (memory 1)
        (tag $t)
        (func $trap (param i32)
            (if (i32.eq (local.get 0) (i32.const 0)) (then (unreachable)))
            (if (i32.eq (local.get 0) (i32.const 1)) (then (drop (i32.load (i32.const 70000)))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (call $trap (local.get 0))))
            (if (i32.eq (local.get 0) (i32.const 3))
                (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
            (if (i32.eq (local.get 0) (i32.const 4)) (then (throw_ref (ref.null exn))))
            (throw $t))
        (func (export "run") (param i32)
            (block $h (try_table (catch_all $h) (call $trap (local.get 0))))))"#;
    in_every_way(text, |store, guest| {
        let run = guest.func::<i32, ()>(&*store, "run").unwrap();
        for (argument, code) in [
            (0, TrapCode::Unreachable),
            (1, TrapCode::MemoryOutOfBounds),
            (2, TrapCode::StackOverflow),
            (3, TrapCode::IntegerDivideByZero),
            (4, TrapCode::NullReference),
        ] {
            assert_eq!(trap(run.call(&mut *store, argument)).code(), code);
            run.call(&mut *store, 5).unwrap();
        }
    });
}

/// The callee takes its parameters off the stack, or puts others there for whom it calls last.
#[test]
fn parameters_on_the_stack_are_gone_after_a_catch() {
    let params = |n: usize| "(param ".to_owned() + &"i64 ".repeat(n) + ")";
    let args = |n: usize| -> String { (0..n).map(|i| format!("(local.get {i})")).collect() };
    let zeros = |n: usize| -> String { (0..n).map(|i| format!("(i64.const {i})")).collect() };
    let text = format!(
        r#"(module
        (tag $t (param i64))
        (table (export "t") 4 funcref)
        (elem (i32.const 0) $few $many $most $into)
        (func $few {few} (throw $t (local.get 1)))
        (func $many {many} (throw $t (local.get 9)))
        (func $most {most} (return_call_indirect {many} {to_many} (i32.const 1)))
        (func $into {few} (return_call_indirect {most} {to_most} (i32.const 2)))
        (func (export "run") (param $which i32) (param $x i64) (result i64)
            (local $a i64) (local $b i64)
            (local.set $a (i64.mul (local.get $x) (i64.const 3)))
            (local.set $b (i64.sub (local.get $x) (i64.const 8)))
            (block $h (result i64)
                (try_table (catch $t $h)
                    (if (i32.eq (local.get $which) (i32.const 0))
                        (then (call_indirect {few} {of_few} (i32.const 0))))
                    (if (i32.eq (local.get $which) (i32.const 1))
                        (then (call_indirect {many} {of_many} (i32.const 1))))
                    (if (i32.eq (local.get $which) (i32.const 2))
                        (then (call_indirect {most} {of_most} (i32.const 2))))
                    (call_indirect {few} {of_few} (i32.const 3)))
                (unreachable))
            (i64.add (i64.add (local.get $a) (local.get $b)))))"#,
        few = params(2),
        many = params(10),
        most = params(17),
        to_many = args(10),
        to_most = args(2) + &zeros(15),
        of_few = zeros(2),
        of_many = zeros(10),
        of_most = zeros(17),
    );
    in_every_way(&text, |store, guest| {
        let run = guest.func::<(i32, i64), i64>(&*store, "run").unwrap();
        for _ in 0..3 {
            for (which, value) in [(0, 1), (1, 9), (2, 9), (3, 7)] {
                let expected = value + 4 * 50 - 8;
                assert_eq!(run.call(&mut *store, (which, 50)).unwrap(), expected);
            }
        }
    });
}

#[test]
fn a_tail_call_leaves_the_handlers_behind() {
    let text = r#"(module
        (tag $t)
        (func $throw (result i32) (throw $t))
        (func $inner (result i32)
            (block $h (try_table (catch_all $h) (return_call $throw))) (i32.const 1))
        (func (export "run") (result i32)
            (block $h (return (try_table (result i32) (catch $t $h) (call $inner)))) (i32.const 2)))"#;
    in_every_way(text, |store, guest| {
        let run = guest.func::<(), i32>(&*store, "run").unwrap();
        assert_eq!(run.call(&mut *store, ()).unwrap(), 2);
    });
}

#[test]
fn the_innermost_handler_that_fits_is_taken() {
    let text = r#"(module
        (tag $a) (tag $b) (tag $c)
        (func $throw (param i32)
            (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a)))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b)))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $c))))
        (func (export "run") (param i32) (result i32)
            (block $all
                (block $outer_a
                    (block $b
                        (block $a
                            (try_table (catch $a $outer_a) (catch $b $b) (catch_all $all)
                                (try_table (catch $a $a)
                                    (call $throw (local.get 0))))
                            (return (i32.const 0)))
                        (return (i32.const 1)))
                    (return (i32.const 2)))
                (return (i32.const -1)))
            (i32.const 3)))"#;
    in_every_way(text, |store, guest| {
        let run = guest.func::<i32, i32>(&*store, "run").unwrap();
        for which in 0..4 {
            assert_eq!(run.call(&mut *store, which).unwrap(), which);
        }
    });
}

#[test]
fn tags_of_two_instances_are_two_tags_and_an_import_is_the_same() {
    let exporter = module(
        r#"(module (tag $t (export "t") (param i32))
            (func (export "throw") (param i32) (throw $t (local.get 0))))"#,
    );
    let catcher = module(
        r#"(module
            (import "a" "t" (tag $a (param i32)))
            (import "b" "t" (tag $b (param i32)))
            (import "a" "throw" (func $throw_a (param i32)))
            (import "b" "throw" (func $throw_b (param i32)))
            (func (export "run") (param i32) (result i32)
                (block $hb (result i32)
                    (block $ha (result i32)
                        (try_table (catch $b $hb) (catch $a $ha)
                            (if (local.get 0)
                                (then (call $throw_a (i32.const 1)))
                                (else (call $throw_b (i32.const 2)))))
                        (unreachable))
                    (return (i32.add (i32.const 10))))
                (i32.add (i32.const 20)))
            (func (export "own") (param i32) (result i32)
                (block $hb (result i32)
                    (block $ha (result i32)
                        (try_table (catch $b $hb) (catch $a $ha) (throw $a (local.get 0)))
                        (unreachable))
                    (return (i32.add (i32.const 10))))
                (i32.add (i32.const 20))))"#,
    );
    let run = |same: bool| {
        let mut store = Store::new(());
        let mut linker = Linker::new();
        let a = linker.instantiate(&mut store, &exporter).unwrap();
        let b = linker.instantiate(&mut store, &exporter).unwrap();
        assert_ne!(a.tag(&store, "t"), b.tag(&store, "t"));
        linker.instance(&store, "a", a).unwrap();
        linker
            .instance(&store, "b", if same { a } else { b })
            .unwrap();
        let guest = linker.instantiate(&mut store, &catcher).unwrap();
        let run = guest.func::<i32, i32>(&store, "run").unwrap();
        let own = guest.func::<i32, i32>(&store, "own").unwrap();
        (
            run.call(&mut store, 1).unwrap(),
            run.call(&mut store, 0).unwrap(),
            own.call(&mut store, 5).unwrap(),
        )
    };
    assert_eq!(run(false), (11, 22, 15));
    assert_eq!(run(true), (21, 22, 25));
}

#[test]
fn a_tag_of_another_type_does_not_fit() {
    let mut store = Store::new(());
    let tag = Tag::new(&mut store, FuncType::new([ValType::I64], [])).unwrap();
    assert_eq!(tag.ty(&store).unwrap().params(), [ValType::I64]);
    let wanted = module(r#"(module (import "h" "t" (tag (param i32))))"#);
    let error = Instance::new(&mut store, &wanted, &[tag.into()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "incompatible import type for `h::t`: expected tag (i32) -> (), found tag (i64) -> ()"
    );
    let error = Tag::new(&mut store, FuncType::new([], [ValType::I32])).unwrap_err();
    assert!(error.to_string().contains("no results"), "{error}");
    let other = Store::new(());
    assert!(tag.ty(&other).is_err());
    assert!(Exception::new(&other, tag, &[Val::I64(1)]).is_err());
    assert!(Exception::new(&store, tag, &[]).is_err());
    assert!(Exception::new(&store, tag, &[Val::I32(1)]).is_err());
}

/// A host function throws, whatever its type and however it is called.
#[test]
fn a_function_of_the_host_throws_to_the_guest() {
    let text = r#"(module
        (import "h" "t" (tag $t (param i32)))
        (import "h" "in_registers" (func $in_registers (param i32) (result i32)))
        (import "h" "float" (func $float (param f64) (result f64)))
        (import "h" "in_array" (func $in_array (param i64 i64 i64 i64 i64 i64) (result i32 i32)))
        (import "h" "raises" (func $raises))
        (func (export "run") (param $which i32) (result i32) (local $x i32)
            (local.set $x (i32.mul (local.get $which) (i32.const 100)))
            (block $h (result i32)
                (try_table (catch $t $h)
                    (if (i32.eq (local.get $which) (i32.const 0))
                        (then (return (call $in_registers (i32.const 5)))))
                    (if (i32.eq (local.get $which) (i32.const 1))
                        (then (drop (call $float (f64.const 5)))))
                    (if (i32.eq (local.get $which) (i32.const 2))
                        (then (drop (drop (call $in_array (i64.const 1) (i64.const 2) (i64.const 3)
                            (i64.const 4) (i64.const 5) (i64.const 6))))))
                    (call $raises))
                (unreachable))
            (i32.add (local.get $x))))"#;
    let module = module(text);
    let mut store = Store::new(());
    let mut linker = Linker::<()>::new();
    let tag = Tag::new(&mut store, FuncType::new([ValType::I32], [])).unwrap();
    let other = Tag::new(&mut store, FuncType::new([], [])).unwrap();
    linker.define(&store, "h", "t", tag).unwrap();
    let throw = move |caller: &Caller<'_, ()>, value: i32| {
        Error::from(Exception::new(caller, tag, &[Val::I32(value)]).unwrap())
    };
    linker.func(
        "h",
        "in_registers",
        move |caller: Caller<'_, ()>, x: i32| Err::<i32, _>(throw(&caller, x + 1)),
    );
    linker.func("h", "float", move |caller: Caller<'_, ()>, x: f64| {
        Err::<f64, _>(throw(&caller, x as i32 + 2))
    });
    let ty = FuncType::new([ValType::I64; 6], [ValType::I32; 2]);
    linker.func_dynamic("h", "in_array", ty, move |caller, args, _| {
        Err(throw(&caller, args.len() as i32))
    });
    linker.func("h", "raises", move |caller: Caller<'_, ()>| {
        Err::<(), Error>(Exception::new(&caller, other, &[]).unwrap().into())
    });
    let guest = linker.instantiate(&mut store, &module).unwrap();
    let run = guest.func::<i32, i32>(&store, "run").unwrap();
    for _ in 0..2 {
        assert_eq!(run.call(&mut store, 0).unwrap(), 6);
        assert_eq!(run.call(&mut store, 1).unwrap(), 107);
        assert_eq!(run.call(&mut store, 2).unwrap(), 206);
        let exception = thrown(run.call(&mut store, 3));
        assert_eq!(exception.tag(), other);
        assert_eq!(exception.backtrace().frames()[0].function_index(), 4);
    }
}

/// Guest, host, guest: what the inner guest throws is the host's to decide on.
#[test]
fn an_exception_leaves_through_frames_of_the_host() {
    let text = r#"(module
        (import "h" "between" (func $between (param i32 i32) (result i32)))
        (tag $t (export "t") (param i32))
        (func (export "throw") (param i32) (throw $t (local.get 0)))
        (func (export "run") (param $what i32) (param $x i32) (result i32) (local $a i32)
            (local.set $a (i32.add (local.get $x) (i32.const 1)))
            (block $h (result i32)
                (try_table (catch $t $h)
                    (return (call $between (local.get $what) (local.get $x))))
                (unreachable))
            (i32.add (i32.mul (i32.const 1000) (local.get $a)))))"#;
    let module = module(text);
    let mut store = Store::new(());
    let mut linker = Linker::<()>::new();
    linker.func(
        "h",
        "between",
        |mut caller: Caller<'_, ()>, what: i32, x: i32| -> Result<i32, Error> {
            let throw = caller.export("throw").and_then(Extern::func).unwrap();
            let throw = throw.typed::<i32, ()>(&caller)?;
            let error = throw.call(&mut caller, x).unwrap_err();
            match what {
                0 => Err(error),
                1 => match error {
                    Error::Exception(exception) => Ok(exception.values().len() as i32),
                    other => Err(other),
                },
                _ => Err(Error::host("another")),
            }
        },
    );
    let guest = linker.instantiate(&mut store, &module).unwrap();
    let run = guest.func::<(i32, i32), i32>(&store, "run").unwrap();
    for _ in 0..3 {
        assert_eq!(run.call(&mut store, (0, 7)).unwrap(), 8007);
        assert_eq!(run.call(&mut store, (1, 7)).unwrap(), 1);
        let error = run.call(&mut store, (2, 7)).unwrap_err();
        assert!(matches!(error, Error::Host(_)), "{error}");
    }
}

/// Called by the host, it is an error as any other.
#[test]
fn a_host_function_that_the_host_calls_throws_to_it() {
    let mut store = Store::new(());
    let tag = Tag::new(&mut store, FuncType::new([], [])).unwrap();
    let func = Func::wrap(&mut store, move |caller: Caller<'_, ()>| {
        Err::<(), Error>(Exception::new(&caller, tag, &[]).unwrap().into())
    });
    assert_eq!(thrown(func.call(&mut store, &[], &mut [])).tag(), tag);
    // The same within a host function that a guest has called: that guest goes on.
    let guest = module(
        r#"(module (import "h" "f" (func $f (result i32)))
        (func (export "run") (result i32) (block $h (try_table (catch_all $h)
            (return (call $f)))) (i32.const -1)))"#,
    );
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", move |mut caller: Caller<'_, ()>| -> i32 {
        let error = func.call(&mut caller, &[], &mut []).unwrap_err();
        i32::from(error.exception().is_some()) + 4
    });
    let guest = linker.instantiate(&mut store, &guest).unwrap();
    let run = guest.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 5);
}

#[test]
fn a_start_function_may_throw() {
    let module =
        module(r#"(module (tag $t (param i32)) (func $f (throw $t (i32.const 3))) (start $f))"#);
    let mut store = Store::new(());
    let exception = thrown(Linker::new().instantiate(&mut store, &module));
    assert!(matches!(exception.values(), [Val::I32(3)]));
}

/// A guest that throws for ever.
const ENDLESS: &str = r#"(module
    (tag $t (param i32))
    (table (export "t") 1 funcref)
    (elem (i32.const 0) $throw)
    (func $throw (param i32) (throw $t (local.get 0)))
    (func (export "endless")
        (loop $l
            (block $h (result i32)
                (try_table (catch $t $h) (call_indirect (param i32) (i32.const 1) (i32.const 0)))
                (unreachable))
            (drop) (br $l)))
    (func (export "count") (param $n i32) (result i32) (local $sum i32)
        (loop $l
            (block $h (result i32)
                (try_table (catch $t $h) (call_indirect (param i32) (local.get $n) (i32.const 0)))
                (unreachable))
            (local.set $sum (i32.add (local.get $sum)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

#[test]
fn a_guest_that_throws_can_be_stopped() {
    let mut store = Store::new(());
    let guest = instance(&mut store, ENDLESS);
    let endless = guest.func::<(), ()>(&store, "endless").unwrap();
    let count = guest.func::<i32, i32>(&store, "count").unwrap();
    for round in 0..30 {
        store.set_deadline(Some(Instant::now() + Duration::from_micros(500 * round)));
        let trap = trap(endless.call(&mut store, ()));
        assert_eq!(trap.interruption(), Some(Interruption::Deadline));
        store.set_deadline(None);
        assert_eq!(count.call(&mut store, 100).unwrap(), 5050);
    }
    let handle = store.interrupt_handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            handle.kill();
        });
        let trap = trap(endless.call(&mut store, ()));
        assert_eq!(trap.interruption(), Some(Interruption::Killed));
    });
}

/// Wherever a slice ends, in the throw or beside it, the guest goes on as if it had not.
#[test]
fn a_guest_that_throws_can_be_left_and_resumed() {
    let mut store = Store::new(());
    let guest = instance(&mut store, ENDLESS);
    let count = guest.func::<i32, i32>(&store, "count").unwrap();
    store.set_time_slice(Some(Duration::from_micros(50)));
    let mut slices = 0;
    let mut progress = count.start(&mut store, 200_000);
    let sum = loop {
        match progress {
            Progress::Done(_, result) => break result.unwrap(),
            Progress::Suspended(guest) => {
                slices += 1;
                progress = guest.resume();
            }
        }
    };
    assert_eq!(sum, (0..=200_000i32).fold(0, i32::wrapping_add));
    assert!(slices > 3, "{slices}");
}

/// Keeps what it is told to: in locals, a table, a global, or in an exception in turn.
const KEEPING: &str = r#"(module
    (tag $t (param i64))
    (tag $chain (param exnref))
    (table $table (export "table") 100 exnref)
    (global $global (mut exnref) (ref.null exn))
    (func $throw (param i64) (throw $t (local.get 0)))
    (func $make (param i64) (result exnref)
        (block $h (result exnref)
            (try_table (catch_all_ref $h) (call $throw (local.get 0))) (unreachable)))
    (func $value (param exnref) (result i64)
        (block $h (result i64)
            (try_table (catch $t $h) (throw_ref (local.get 0))) (unreachable)))
    (func $link (param exnref) (result exnref)
        (block $h (result exnref)
            (try_table (catch_all_ref $h) (throw $chain (local.get 0))) (unreachable)))
    (func $unlink (param exnref) (result exnref)
        (block $h (result exnref)
            (try_table (catch $chain $h) (throw_ref (local.get 0))) (unreachable)))
    (func $garbage (export "garbage") (param $n i32)
        (loop $l
            (drop (call $make (i64.const -1)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "in_local") (param $n i32) (result i64) (local $e exnref)
        (local.set $e (call $make (i64.const 5)))
        (call $garbage (local.get $n))
        (call $value (local.get $e)))
    (func $deep (param $e exnref) (param $depth i32) (param $n i32) (result i64)
        (if (i32.eqz (local.get $depth)) (then
            (call $garbage (local.get $n))
            (return (call $value (local.get $e)))))
        (i64.add
            (call $deep (call $make (i64.extend_i32_s (local.get $depth)))
                (i32.sub (local.get $depth) (i32.const 1)) (local.get $n))
            (call $value (local.get $e))))
    (func (export "deep") (param $n i32) (result i64)
        (call $deep (call $make (i64.const 1000)) (i32.const 10) (local.get $n)))
    (func (export "in_table") (param $n i32) (result i64) (local $i i32) (local $sum i64)
        (loop $l
            (table.set $table (local.get $i) (call $make (i64.extend_i32_s (local.get $i))))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
        (call $garbage (local.get $n))
        (loop $l
            (local.set $i (i32.sub (local.get $i) (i32.const 1)))
            (local.set $sum (i64.add (local.get $sum) (call $value (table.get $table (local.get $i)))))
            (br_if $l (local.get $i)))
        (local.get $sum))
    (func (export "in_global") (param $n i32) (result i64)
        (global.set $global (call $link (call $link (call $make (i64.const 6)))))
        (call $garbage (local.get $n))
        (call $value (call $unlink (call $unlink (global.get $global)))))
    (func (export "keep") (param $n i32) (local $i i32)
        (drop (table.grow $table (ref.null exn) (local.get $n)))
        (loop $l
            (table.set $table (local.get $i) (call $make (i64.const 1)))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))))
    (func (export "give") (result exnref) (call $make (i64.const 77)))
    (func (export "take") (param exnref) (result i64) (call $value (local.get 0))))"#;

#[test]
fn what_a_guest_refers_to_is_kept_and_the_rest_is_not() {
    in_every_way(KEEPING, |store, guest| {
        for (name, expected) in [
            ("in_local", 5),
            ("deep", 1000 + 55),
            ("in_table", 4950),
            ("in_global", 6),
        ] {
            let run = guest.func::<i32, i64>(&*store, name).unwrap();
            for garbage in [1, 300, 70_000] {
                assert_eq!(run.call(&mut *store, garbage).unwrap(), expected, "{name}");
            }
        }
    });
}

#[test]
fn more_than_there_may_be_is_a_trap_and_no_more_than_that() {
    let mut store = Store::new(());
    let guest = instance(&mut store, KEEPING);
    let keep = guest.func::<i32, ()>(&store, "keep").unwrap();
    keep.call(&mut store, 60_000).unwrap();
    let trap = trap(keep.call(&mut store, 70_000));
    assert_eq!(trap.code(), TrapCode::ExceptionsExhausted);
    assert_eq!(trap.to_string(), "exceptions exhausted");
    let local = guest.func::<i32, i64>(&store, "in_local").unwrap();
    assert!(local.call(&mut store, 10).is_err());
    let table = guest.table(&store, "table").unwrap();
    for index in 0..1000 {
        table.set(&mut store, index, Val::ExnRef(None)).unwrap();
    }
    assert_eq!(local.call(&mut store, 100_000).unwrap(), 5);
}

#[test]
fn what_the_host_was_given_lives_as_long_as_its_store() {
    let mut store = Store::new(());
    let guest = instance(&mut store, KEEPING);
    let export =
        |store: &Store<()>, name| guest.export(store, name).and_then(Extern::func).unwrap();
    let (give, take) = (export(&store, "give"), export(&store, "take"));
    let mut given = [Val::I32(0)];
    give.call(&mut store, &[], &mut given).unwrap();
    let Val::ExnRef(Some(reference)) = given[0] else {
        panic!("{given:?}");
    };
    let garbage = guest.func::<i32, ()>(&store, "garbage").unwrap();
    garbage.call(&mut store, 1000).unwrap();
    let mut value = [Val::I32(0)];
    take.call(&mut store, &given, &mut value).unwrap();
    assert_eq!(value[0].i64(), Some(77));
    let exception = reference.exception(&store).unwrap();
    assert!(matches!(exception.values(), [Val::I64(77)]));
    let other = Store::new(());
    assert!(reference.exception(&other).is_err());
    let mut other = Store::new(());
    let stranger = instance(&mut other, KEEPING);
    let take = stranger
        .export(&other, "take")
        .and_then(Extern::func)
        .unwrap();
    assert!(take.call(&mut other, &given, &mut value).is_err());
    assert!(
        take.call(&mut other, &[Val::ExternRef(None)], &mut value)
            .is_err()
    );
    let error = trap(
        take.call(&mut other, &[Val::ExnRef(None)], &mut value)
            .map(drop),
    );
    assert_eq!(error.code(), TrapCode::NullReference);
    let ty = GlobalType::new(ValType::Ref(RefType::EXNREF), true);
    let global = Global::new(&mut store, ty, given[0]).unwrap();
    assert!(matches!(
        global.get(&store).unwrap(),
        Val::ExnRef(Some(ExnRef { .. }))
    ));
}

/// The exception's home is in frames of a guest that waits for the host, which has called another.
#[test]
fn references_of_a_guest_that_waits_are_kept() {
    let text = KEEPING.replace(
        "(tag $t (param i64))",
        r#"(import "h" "again" (func $again)) (tag $t (param i64))
        (func (export "nest") (result i64) (local $e exnref)
            (local.set $e (call $make (i64.const 8))) (call $again) (call $value (local.get $e)))"#,
    );
    let module = module(&text);
    let mut store = Store::new(());
    let mut linker = Linker::<()>::new();
    linker.func(
        "h",
        "again",
        |mut caller: Caller<'_, ()>| -> Result<(), Error> {
            let garbage = caller.export("garbage").and_then(Extern::func).unwrap();
            garbage.typed::<i32, ()>(&caller)?.call(&mut caller, 5000)
        },
    );
    let guest = linker.instantiate(&mut store, &module).unwrap();
    let nest = guest.func::<(), i64>(&store, "nest").unwrap();
    assert_eq!(nest.call(&mut store, ()).unwrap(), 8);
}

#[test]
fn a_sandbox_keeps_no_exception_of_the_one_before() {
    use precast::{Pool, Tenant};
    let template = Linker::<()>::new().template(&module(KEEPING)).unwrap();
    let pool = Pool::builder().slots(1).verify(true).build().unwrap();
    let keep = template.func::<i32, ()>("keep").unwrap();
    let local = template.func::<i32, i64>("in_local").unwrap();
    for tenant in 0..4 {
        let mut sandbox = pool.instantiate(&template, Tenant(tenant), ()).unwrap();
        keep.call(&mut sandbox, 60_000).unwrap();
        assert_eq!(local.call(&mut sandbox, 100).unwrap(), 5);
        let is_trap = |result: Result<(), Error>| Trap::code(&trap(result));
        let code = is_trap(keep.call(&mut sandbox, 70_000));
        assert_eq!(code, TrapCode::ExceptionsExhausted);
        sandbox.reset().unwrap();
        keep.call(&mut sandbox, 60_000).unwrap();
    }
}
