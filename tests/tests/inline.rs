//! Inlining changes what code looks like, and nothing that a user can see.

use precast::{Linker, Module, Store, TrapCode};
use precast_compiler::{OptLevel, Options, Pass, Passes};
use precast_tests::guest::{module_with, trap};
use std::fmt::Write;

const WITH: Passes = Passes::ALL;
const WITHOUT: Passes = Passes::ALL
    .without(Pass::Inline)
    .without(Pass::Devirtualise);

fn options(passes: Passes) -> Options {
    Options {
        passes,
        ..Options::default()
    }
}

fn call(module: &Module, name: &str, argument: i32) -> Result<i32, precast::Error> {
    let mut store = Store::new(());
    let instance = Linker::new().instantiate(&mut store, module).unwrap();
    let func = instance.func::<i32, i32>(&store, name).unwrap();
    func.call(&mut store, argument)
}

/// Functions within functions: whatever happens in `inner`, it is two calls away from `run`.
const NESTED: &str = r#"(module $m
    (memory 1)
    (table 3 funcref)
    (elem (i32.const 1) $inner $own)
    (type $i (func (param i32) (result i32)))
    (type $o (func (param i32) (result i32 i32)))
    (func $own (type $o) (local.get 0) (call $inner (local.get 0)))
    (func $inner (type $i)
        (if (i32.eq (local.get 0) (i32.const 1)) (then unreachable))
        (if (i32.eq (local.get 0) (i32.const 2))
            (then (return (i32.load (i32.const 65536)))))
        (if (i32.eq (local.get 0) (i32.const 3))
            (then (return (i32.div_s (i32.const 1) (i32.const 0)))))
        (if (i32.eq (local.get 0) (i32.const 4))
            (then (return (i32.trunc_f32_s (f32.const nan)))))
        (if (i32.eq (local.get 0) (i32.const 5))
            (then (return (call_indirect (type $i) (i32.const 0) (i32.const 9)))))
        (if (i32.eq (local.get 0) (i32.const 6))
            (then (return (call $far (local.get 0)))))
        (i32.mul (local.get 0) (i32.const 3)))
    (func $middle (param i32) (result i32)
        (i32.add (call $inner (local.get 0)) (call $inner (i32.const 7))))
    (func $far (export "far") (param i32) (result i32)
        (loop $l (br_if $l (i32.eqz (local.get 0))))
        (call $middle (i32.const 1)))
    (func $rec (export "rec") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (call $inner (i32.const 3)))))
        (i32.add (i32.const 1) (call $rec (i32.sub (local.get 0) (i32.const 1)))))
    (func (export "run") (param i32) (result i32)
        (i32.add (call $middle (local.get 0)) (i32.const 1)))
    (func (export "only") (param i32) (result i32)
        (i32.add (call_indirect (type $o) (i32.const 1) (local.get 0))))
    (func (export "only_else") (param i32) (result i32)
        (i32.add (call_indirect (type $o) (local.get 0) (local.get 0))))
    (func $endless (export "endless") (param i32) (result i32)
        (i32.add (i32.const 1) (call $endless (i32.add (local.get 0) (i32.const 1))))))"#;

#[test]
fn backtraces_are_the_same() {
    let levels = [
        (OptLevel::Speed, WITHOUT),
        (OptLevel::Speed, WITH),
        (OptLevel::Size, WITH),
        (OptLevel::None, WITH),
    ];
    let modules = levels.map(|(opt, passes)| {
        let options = Options {
            opt,
            ..options(passes)
        };
        module_with(NESTED, &options)
    });
    let calls = [("run", 1..=6), ("rec", 0..=5), ("only", 0..=3)];
    let mut seen = 0;
    for (name, arguments) in calls {
        for argument in arguments {
            let results = modules
                .each_ref()
                .map(|module| match call(module, name, argument) {
                    Ok(value) => format!("{value}"),
                    error => {
                        let stopped = trap(error);
                        format!("{:?}\n{}", stopped.code(), stopped.backtrace())
                    }
                });
            for result in &results[1..] {
                assert_eq!(result, &results[0], "{name}({argument})");
            }
            seen += usize::from(results[0].contains("0:"));
        }
    }
    assert!(seen >= 13, "{seen} traps");
}

#[test]
fn inlined_functions_have_no_frame_but_are_named() {
    let module = module_with(NESTED, &options(WITH));
    let text = trap(call(&module, "run", 6)).backtrace().to_string();
    let names: Vec<_> = text
        .lines()
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    let expected = ["inner", "middle", "far", "inner", "middle", "run"];
    assert_eq!(names, expected.map(|name| format!("m!{name}")));
}

#[test]
fn endless_recursion_ends_in_a_trap() {
    for passes in [WITHOUT, WITH] {
        let module = module_with(NESTED, &options(passes));
        let trap = trap(call(&module, "endless", 0));
        assert_eq!(trap.code(), TrapCode::StackOverflow);
        let frames = trap.backtrace().frames();
        assert!(frames.iter().all(|frame| frame.name() == Some("endless")));
        assert!(frames.len() > 100, "{}", frames.len());
        assert!(trap.backtrace().omitted() > 1000);
    }
}

#[test]
fn fuel_is_the_same() {
    let left = |passes, name: &str, argument| {
        let options = Options {
            fuel: true,
            ..options(passes)
        };
        let module = module_with(NESTED, &options);
        let mut store = Store::new(());
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        instance.set_fuel(&mut store, 10_000).unwrap();
        let func = instance.func::<i32, i32>(&store, name).unwrap();
        let _ = func.call(&mut store, argument);
        instance.fuel(&store).unwrap()
    };
    for (name, argument) in [
        ("run", 0),
        ("run", 3),
        ("run", 6),
        ("rec", 30),
        ("endless", 0),
    ] {
        let fuel = left(WITH, name, argument);
        assert_eq!(fuel, left(WITHOUT, name, argument), "{name}({argument})");
        assert!(fuel.is_some_and(|fuel| fuel < 10_000));
    }
}

/// A module of many functions that call each other in all directions.
fn tangle(functions: u32) -> String {
    let mut text = String::from("(module (memory 1)");
    for f in 0..functions {
        let _ = write!(text, "(func $f{f} (param i32) (result i32)");
        // Callees before and behind, some of them several times.
        let callees: Vec<u32> = (1..=f % 4)
            .map(|n| (f * 7 + n * n * 13) % functions)
            .collect();
        for callee in &callees {
            let _ = write!(
                text,
                "(i32.store (local.get 0) (call $f{callee} (i32.const {f})))"
            );
        }
        for n in 0..f % 9 {
            let _ = write!(text, "(i32.store (local.get 0) (i32.const {n}))");
        }
        text.push_str("(local.get 0))");
    }
    text.push(')');
    text
}

#[test]
fn the_output_does_not_depend_on_the_number_of_threads() {
    let wasm = wat::parse_str(tangle(600)).unwrap();
    let object = |jobs| {
        let options = Options {
            jobs,
            ..Options::default()
        };
        precast_compiler::compile(&wasm, &options).unwrap().bytes
    };
    let one = object(1);
    for jobs in [2, 3, 8, 8, 8] {
        assert!(object(jobs) == one, "{jobs} threads");
    }
    let without = precast_compiler::compile(&wasm, &options(WITHOUT)).unwrap();
    assert!(without.bytes != one, "something is inlined");
}

/// Bytes of machine code.
fn text_bytes(wat: &str, passes: Passes) -> u64 {
    let wasm = wat::parse_str(wat).unwrap();
    let compiled = precast_compiler::compile(&wasm, &options(passes)).unwrap();
    compiled.summary.text_bytes
}

#[test]
fn chains_of_calls_do_not_grow_without_end() {
    // Each calls the one before twice: 2⁶⁰ copies of the first, if there were no limit.
    let mut text = String::from("(module (func $f0 (param i32) (result i32) (local.get 0))");
    for f in 1..60 {
        let inner = f - 1;
        let _ = write!(
            text,
            "(func $f{f} (param i32) (result i32)
                (i32.mul (call $f{inner} (local.get 0)) (call $f{inner} (i32.const {f}))))"
        );
    }
    text.push(')');
    let (with, without) = (text_bytes(&text, WITH), text_bytes(&text, WITHOUT));
    assert!(with < 20 * without, "{with} bytes instead of {without}");
}

#[test]
fn callers_do_not_grow_without_end() {
    let mut text = String::from("(module (memory 1) (func $f (param i32) (result i32)");
    for _ in 0..4 {
        text.push_str("(i32.store (local.get 0) (i32.load offset=8 (local.get 0)))");
    }
    text.push_str("(local.get 0)) (func (export \"run\") (param i32)");
    for n in 0..5000 {
        let _ = write!(text, "(drop (call $f (i32.const {n})))");
    }
    text.push_str("))");
    let (with, without) = (text_bytes(&text, WITH), text_bytes(&text, WITHOUT));
    assert!(with > without, "something is inlined");
    assert!(with < 3 * without, "{with} bytes instead of {without}");
}

#[test]
fn what_is_called_once_is_left_where_it_is_if_it_is_large_or_someone_else_may_call_it() {
    let body = "(i32.store (local.get 0) (i32.load offset=8 (local.get 0)))";
    let module = |attributes: &str, stores: usize| {
        format!(
            "(module (memory 1)
                (func $f {attributes} (param i32) {})
                (func (export \"run\") (param i32) (call $f (local.get 0))))",
            body.repeat(stores)
        )
    };
    let grows = |attributes: &str, stores: usize| {
        let module = module(attributes, stores);
        text_bytes(&module, WITH) != text_bytes(&module, WITHOUT)
    };
    assert!(grows("", 5));
    assert!(grows("", 20));
    assert!(!grows("", 200));
    assert!(grows("(export \"f\")", 5));
    assert!(!grows("(export \"f\")", 20));
}

/// Whatever a function may refer to must be the same thing in its callers.
const ENTITIES: &str = r#"(module
    (memory 1)
    (global $g (mut i64) (i64.const 5))
    (table $fixed 4 funcref)
    (table $open (export "t") 4 funcref)
    (elem (table $fixed) (i32.const 0) func $a $b $a)
    (elem (table $open) (i32.const 0) func $b $a $b)
    (type $i (func (param i32) (result i32)))
    (data (i32.const 0) "\01\02\03\04\05\06\07\08")
    (func $a (type $i) (i32.add (local.get 0) (i32.const 3)))
    (func $b (type $i) (i32.mul (local.get 0) (i32.const 5)))
    (func $vector (param i32) (result i32)
        (i32x4.extract_lane 1
            (i8x16.shuffle 0 1 2 3 20 21 22 23 8 9 10 11 12 13 14 15
                (i32x4.add (i32x4.splat (local.get 0)) (v128.const i32x4 1 2 3 4))
                (v128.const i32x4 50 60 70 80))))
    (func $table (param i32) (result i32)
        (block (block (block (block (br_table 0 1 2 3 (local.get 0)))
            (return (i32.const 10))) (return (i32.const 20))) (return (i32.const 30)))
        (i32.const 40))
    (func $float (param i32) (result i32)
        (i32.trunc_sat_f64_s (f64.add (f64.convert_i32_s (local.get 0)) (f64.const 1.5e3))))
    (func $global (param i32) (result i32)
        (global.set $g (i64.add (global.get $g) (i64.extend_i32_u (local.get 0))))
        (i32.wrap_i64 (global.get $g)))
    (func $fixed (param i32) (result i32)
        (call_indirect $fixed (type $i) (local.get 0) (i32.and (local.get 0) (i32.const 1))))
    (func $open (param i32) (result i32)
        (call_indirect $open (type $i) (local.get 0) (i32.and (local.get 0) (i32.const 1))))
    (func $tail (param i32) (result i32)
        (return_call_indirect $fixed (type $i) (local.get 0) (i32.const 1)))
    (func $tails (param i32) (result i32)
        (if (i32.and (local.get 0) (i32.const 1)) (then (return_call $b (local.get 0))))
        (return_call $tail (local.get 0)))
    (func $load (param i32) (result i32)
        (i32.store8 offset=3 (local.get 0) (i32.const 77))
        (i32.load (local.get 0)))
    (func $pair (param i32) (result i32 i32) (local.get 0) (i32.const 9))
    (func $none (param i32) (global.set $g (i64.const 1)))
    (func $count (param i32) (result i32) (local i32)
        (loop $l
            (local.set 1 (i32.add (local.get 1) (i32.const 3)))
            (br_if $l (local.tee 0 (i32.shr_u (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func $sum (param i32) (result i32)
        (i32.add (call $vector (local.get 0))
        (i32.add (call $table (local.get 0))
        (i32.add (call $float (local.get 0))
        (i32.add (call $global (local.get 0))
        (i32.add (call $fixed (local.get 0))
        (i32.add (call $open (local.get 0))
        (i32.add (call $tails (local.get 0))
        (i32.add (call $load (local.get 0))
        (i32.add (call $count (local.get 0))
        (i32.sub (call $pair (local.get 0))))))))))))
        (call $none (i32.const 0)))
    (func (export "run") (param i32) (result i32)
        (i32.xor (call $sum (local.get 0)) (call $sum (i32.const 2))))
    (func (export "last") (param i32) (result i32) (return_call $tails (local.get 0)))
    (func $even (export "even") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
        (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
    (func $odd (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
        (return_call $even (i32.sub (local.get 0) (i32.const 1))))
    (func $down (export "down") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 12))))
        (return_call $down (i32.sub (local.get 0) (i32.const 1)))))"#;

#[test]
fn results_are_the_same() {
    let alone = [Pass::Inline, Pass::Devirtualise].map(|pass| Passes::NONE.with(pass));
    let sets = [Passes::NONE, Passes::ALL, alone[0], alone[1]];
    let modules = sets.map(|passes| module_with(ENTITIES, &options(passes)));
    for (name, arguments) in [
        ("run", [0, 1, 3, 1000]),
        ("last", [0, 1, 4, 9]),
        ("even", [0, 1, 2, 1_000_001]),
        // Tail calls take no room, whatever is inlined.
        ("down", [0, 1, 2, 10_000_000]),
    ] {
        for argument in arguments {
            let results = modules
                .each_ref()
                .map(|module| call(module, name, argument).unwrap());
            assert_eq!(results, [results[0]; 4], "{name}({argument})");
        }
    }
}
