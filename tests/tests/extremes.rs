//! Functions at the limits of what validation allows: very many parameters, results, locals,
//! blocks, branches. They must run, or be refused in one line; nothing may panic or take forever.

use precast::{Extern, Instance, Linker, Store, Val};
use precast_compiler::{Cpu, OptLevel, Options};
use precast_tests::trusted;
use std::fmt::Write;

/// Compiles and instantiates in both ways.
fn for_each_level(wat: &str, mut check: impl FnMut(&mut Store<()>, Instance)) {
    let wasm = wat::parse_str(wat).expect("the test's own module");
    for opt in [OptLevel::None, OptLevel::Speed] {
        let options = Options {
            cpu: Cpu::BASELINE,
            opt,
            ..Options::default()
        };
        let module = trusted::open(&wasm, &options).expect("a valid module");
        let mut store = Store::new(());
        let instance = Linker::new()
            .instantiate(&mut store, &module)
            .expect("no imports");
        check(&mut store, instance);
    }
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, args: &[Val], results: &mut [Val]) {
    let Some(Extern::Func(func)) = instance.export(&*store, name) else {
        panic!("no function {name}");
    };
    func.call(store, args, results).expect("no trap");
}

#[test]
fn a_thousand_parameters_and_results_of_every_type_come_back() {
    const TYPES: [&str; 5] = ["i32", "i64", "f32", "f64", "v128"];
    let types: Vec<&str> = TYPES.into_iter().cycle().take(1000).collect();
    let list = types.join(" ");
    let gets: String = (0..1000).rev().fold(String::new(), |mut out, n| {
        let _ = write!(out, "(local.get {n})");
        out
    });
    let gets_forward: String = (0..1000).fold(String::new(), |mut out, n| {
        let _ = write!(out, "(local.get {n})");
        out
    });
    let reversed: Vec<&str> = types.iter().rev().copied().collect();
    let results = reversed.join(" ");
    let wat = format!(
        r#"(module
            (type $t (func (param {list}) (result {results})))
            (table funcref (elem $reverse))
            (func $reverse (type $t) {gets})
            (func (export "direct") (type $t) (call $reverse {gets_forward}))
            (func (export "indirect") (type $t)
                (call_indirect (type $t) {gets_forward} (i32.const 0)))
            (func (export "tail") (type $t) (return_call $reverse {gets_forward})))"#
    );
    let value = |n: u32| match n % 5 {
        0 => Val::I32(n as i32),
        1 => Val::I64(i64::from(n) << 33),
        2 => Val::F32((n as f32).to_bits()),
        3 => Val::F64(f64::from(n).to_bits()),
        _ => Val::V128(u128::from(n) << 100 | u128::from(n)),
    };
    let args: Vec<Val> = (0..1000).map(value).collect();
    for_each_level(&wat, |store, instance| {
        for name in ["direct", "indirect", "tail"] {
            let mut results: Vec<Val> = args.iter().rev().copied().collect();
            for result in &mut results {
                *result = match result {
                    Val::I32(_) => Val::I32(0),
                    Val::I64(_) => Val::I64(0),
                    Val::F32(_) => Val::F32(0),
                    Val::F64(_) => Val::F64(0),
                    _ => Val::V128(0),
                };
            }
            call(store, instance, name, &args, &mut results);
            for (n, (result, arg)) in results.iter().zip(args.iter().rev()).enumerate() {
                assert_eq!(
                    format!("{result:?}"),
                    format!("{arg:?}"),
                    "{name}: result {n}"
                );
            }
        }
    });
}

#[test]
fn as_many_locals_as_there_may_be() {
    let mut body = String::new();
    for n in (0..49_000).step_by(7) {
        let _ = write!(
            body,
            "(local.set {} (i64.add (local.get 0) (i64.const {n})))",
            n + 1
        );
    }
    let wat = format!(
        r#"(module (func (export "f") (param i64) (result i64) (local {})
            {body}
            (i64.add (local.get 1) (local.get 48994))))"#,
        "i64 ".repeat(49_999)
    );
    for_each_level(&wat, |store, instance| {
        let mut results = [Val::I64(0)];
        call(store, instance, "f", &[Val::I64(5)], &mut results);
        assert!(matches!(results[0], Val::I64(49_003)), "{results:?}");
    });
}

#[test]
fn blocks_nest_deeply() {
    const DEPTH: usize = 20_000;
    let wat = format!(
        r#"(module (func (export "f") (param i32) (result i32) (local $n i32)
            {} (br_if {} (local.get 0)) {} (local.get $n)))"#,
        "block ".repeat(DEPTH),
        DEPTH - 1,
        "(local.set $n (i32.add (local.get $n) (i32.const 1))) end ".repeat(DEPTH)
    );
    for_each_level(&wat, |store, instance| {
        for (arg, expected) in [(1, 0), (0, DEPTH as i32)] {
            let mut results = [Val::I32(-1)];
            call(store, instance, "f", &[Val::I32(arg)], &mut results);
            assert_eq!(results[0].i32(), Some(expected));
        }
    });
}

#[test]
fn a_branch_table_has_a_hundred_thousand_entries() {
    const ENTRIES: usize = 100_000;
    let mut labels = String::new();
    for n in 0..ENTRIES {
        let _ = write!(labels, "{} ", n % 3);
    }
    let wat = format!(
        r#"(module (func (export "f") (param i32) (result i32)
            (block (block (block (block (br_table {labels} 3 (local.get 0)))
                (return (i32.const 10)))
                (return (i32.const 11)))
                (return (i32.const 12)))
            (i32.const 13)))"#
    );
    for_each_level(&wat, |store, instance| {
        for index in [0, 1, 2, 3, 50_000, 99_999, 100_000, -1] {
            let mut results = [Val::I32(-1)];
            call(store, instance, "f", &[Val::I32(index)], &mut results);
            let inside = (index as u32) < ENTRIES as u32;
            let expected = if inside { 10 + index % 3 } else { 13 };
            assert_eq!(results[0].i32(), Some(expected), "entry {index}");
        }
    });
}

#[test]
fn an_expression_is_as_deep_as_a_function_is_long() {
    const DEPTH: usize = 50_000;
    let wat = format!(
        r#"(module (func (export "f") (param i64 i64) (result i64)
            {} local.get 1 {}))"#,
        "local.get 0 ".repeat(DEPTH),
        "i64.add ".repeat(DEPTH)
    );
    for_each_level(&wat, |store, instance| {
        let mut results = [Val::I64(0)];
        call(
            store,
            instance,
            "f",
            &[Val::I64(3), Val::I64(1)],
            &mut results,
        );
        assert_eq!(results[0].i64(), Some(3 * DEPTH as i64 + 1));
    });
}

#[test]
fn many_small_functions() {
    let mut wat = String::from("(module (func (export \"f\") (result i32) (call 50000))\n");
    for n in 1..=50_000 {
        let _ = writeln!(wat, "(func (result i32) (i32.const {n}))");
    }
    for_each_level(&(wat + ")"), |store, instance| {
        let mut results = [Val::I32(0)];
        call(store, instance, "f", &[], &mut results);
        assert_eq!(results[0].i32(), Some(50_000));
    });
}
