//! Fuel: exact counts, the same however a module is compiled, and an end to what never ends.

use precast::{Caller, Error, Instance, Linker, Module, Store, StoreOptions, TrapCode};
use precast_compiler::{Cpu, OptLevel, Options};
use precast_tests::guest::{self, trap};
use precast_tests::trusted;

const PLENTY: u64 = 1 << 40;

fn module_with(text: &str, opt: OptLevel, cpu: &str) -> Module {
    let wasm = wat::parse_str(text).expect("the test's own module");
    let options = Options {
        opt,
        cpu: Cpu::parse(cpu).expect("a CPU"),
        fuel: true,
        ..Options::default()
    };
    trusted::open(&wasm, &options).expect("it compiles and opens")
}

fn module(text: &str) -> Module {
    module_with(text, OptLevel::Speed, "x86-64-v2")
}

fn instance(store: &mut Store<()>, module: &Module) -> Instance {
    let linker = Linker::new();
    linker.instantiate(store, module).expect("it can be made")
}

/// What `run` with this argument costs, however the module is compiled; with one unit less
/// it traps.
fn cost(text: &str, argument: i32) -> u64 {
    let mut costs = Vec::new();
    for (opt, cpu) in [
        (OptLevel::None, "baseline"),
        (OptLevel::Speed, "x86-64-v2"),
        (OptLevel::Size, "native"),
    ] {
        let mut store = Store::new(());
        let instance = instance(&mut store, &module_with(text, opt, cpu));
        let run = instance.func::<i32, i32>(&store, "run").unwrap();
        instance.set_fuel(&mut store, PLENTY).unwrap();
        run.call(&mut store, argument).expect("there is plenty");
        let cost = PLENTY - instance.fuel(&store).unwrap().expect("it is counted");
        instance.set_fuel(&mut store, cost).unwrap();
        run.call(&mut store, argument).expect("just enough");
        assert_eq!(instance.fuel(&store).unwrap(), Some(0));
        instance.set_fuel(&mut store, cost - 1).unwrap();
        let code = trap(run.call(&mut store, argument)).code();
        assert_eq!(code, TrapCode::OutOfFuel);
        assert!(instance.fuel(&store).unwrap() < Some(cost));
        costs.push(cost);
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
    costs[0]
}

/// Work that depends on an operand is paid for, wherever it is done; and branches by a type end a run as
/// all others.
#[test]
fn arrays_cost_by_their_size_and_casts_end_runs() {
    let array = |code: &str| {
        format!(
            r#"(module (type $a (array (mut i32))) (type $f (array funcref)) (elem $e func $g $g $g) (data $d "0123456789ab")
                (func $g)
                (func (export "run") (param i32) (result i32) {code} (i32.const 0)))"#
        )
    };
    let new = array("(drop (array.new_default $a (local.get 0)))");
    // 16 elements of 4 bytes are a unit.
    assert_eq!(cost(&new, 1600) - cost(&new, 0), 100);
    let fill = array(
        "(array.fill $a (array.new_default $a (i32.const 1600)) (i32.const 0) (i32.const 7) (local.get 0))",
    );
    assert_eq!(cost(&fill, 1600) - cost(&fill, 0), 100);
    let items = array("(drop (array.new_elem $f $e (i32.const 0) (local.get 0)))");
    assert_eq!(cost(&items, 3) - cost(&items, 0), 3);
    let branch = array(
        "(block (result anyref) (br_on_cast 0 anyref i31ref (ref.i31 (local.get 0))) (nop)
            (drop (i32.add (i32.const 1) (i32.const 2)))) (drop)",
    );
    let without = array(
        "(block (result anyref) (br_on_cast 0 anyref i31ref (ref.i31 (local.get 0))) (nop)) (drop)",
    );
    assert_eq!(
        cost(&branch, 1),
        cost(&without, 1),
        "what is jumped over costs nothing"
    );
}

#[test]
fn operators_cost_one_unit_each() {
    let body = |body: &str| {
        format!(
            r#"(module (memory 2) (table $t 9 externref) (table $f 3 funcref)
            (type $nullary (func (result i32)))
            (elem (table $f) (i32.const 0) func $three)
            (func $three (result i32) (i32.const 3))
            (func (export "run") (param i32) (result i32) {body}))"#
        )
    };
    let cost = |text: &str, argument| cost(&body(text), argument);
    assert_eq!(cost("local.get 0", 0), 1);
    assert_eq!(cost("(i32.add (local.get 0) (i32.const 1))", 0), 3);
    // What gives structure alone costs nothing.
    assert_eq!(cost("nop (block (block nop)) (local.get 0)", 0), 1);
    let choice = "(if (result i32) (local.get 0)
        (then (i32.const 1)) (else (i32.add (i32.const 1) (i32.const 2))))";
    assert_eq!(cost(choice, 1), 2 + 1);
    assert_eq!(cost(choice, 0), 2 + 3);
    let branch = "(block (br_if 0 (local.get 0)) (drop (i32.const 1))) (i32.const 2)";
    assert_eq!(cost(branch, 1), 2 + 1);
    assert_eq!(cost(branch, 0), 2 + 2 + 1);
    let count = "(loop $next (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 0)";
    assert_eq!(cost(count, 1), 5 + 1);
    assert_eq!(cost(count, 1000), 5000 + 1);
    let table = "(block (block (block (br_table 0 1 2 (local.get 0))) (drop (i32.const 1)))
        (drop (i32.const 1))) (i32.const 5)";
    assert_eq!([0, 1, 2].map(|case| cost(table, case)), [7, 5, 3]);
    let call = "(i32.add (call $three) (call_indirect $f (type $nullary) (local.get 0)))";
    assert_eq!(cost(call, 0), 1 + 1 + 2 + 1 + 1);
    assert_eq!(cost("(return_call $three)", 0), 1 + 1);
    assert_eq!(cost("(return (i32.const 1)) (drop (i32.const 1))", 0), 2);
    // Bulk operations cost what they move: 64 bytes, or an element.
    let fill = "(memory.fill (i32.const 0) (i32.const 1) (local.get 0)) (i32.const 0)";
    assert_eq!(cost(fill, 63), 5);
    assert_eq!(cost(fill, 65536), 5 + 1024);
    let copy = "(memory.copy (i32.const 0) (i32.const 9) (local.get 0)) (i32.const 0)";
    assert_eq!(cost(copy, 640), 5 + 10);
    let fill = "(table.fill $t (i32.const 0) (ref.null extern) (local.get 0)) (i32.const 0)";
    assert_eq!(cost(fill, 9), 5 + 9);
    let grow = "(table.grow $t (ref.null extern) (local.get 0))";
    assert_eq!(cost(grow, 20), 3);
    assert_eq!(cost(grow, -1), 3);
}

#[test]
fn what_never_ends_stops() {
    for endless in [
        "(loop (br 0))",
        "(loop (br_if 0 (i32.const 1)))",
        "(loop (br_table 0 0 (local.get 0)))",
        "(loop (block (br_on_null 0 (ref.null func)) drop) (br 0))",
        "(drop (call $run (local.get 0)))",
        "(return_call $run (local.get 0))",
        "(return_call_indirect (type $t) (local.get 0) (i32.const 0))",
        "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0))",
    ] {
        let text = format!(
            r#"(module (memory 1) (type $t (func (param i32) (result i32)))
            (table 1 funcref) (elem (i32.const 0) $run)
            (func $run (export "run") (type $t) {endless} (i32.const 0)))"#
        );
        let mut store = Store::new(());
        let instance = instance(&mut store, &module(&text));
        let run = instance.func::<i32, i32>(&store, "run").unwrap();
        for _ in 0..3 {
            instance.set_fuel(&mut store, 10_000).unwrap();
            let trap = trap(run.call(&mut store, 0));
            assert_eq!(trap.code(), TrapCode::OutOfFuel, "{endless}");
            assert_eq!(trap.backtrace().frames()[0].name(), Some("run"));
            assert!(instance.fuel(&store).unwrap() < Some(2000), "{endless}");
        }
    }
}

#[test]
fn fuel_can_be_added() {
    let text = r#"(module (func (export "run") (result i32) (i32.const 7)))"#;
    let mut store = Store::new(());
    let instance = instance(&mut store, &module(text));
    assert_eq!(instance.fuel(&store).unwrap(), Some(u64::MAX));
    assert_eq!(instance.add_fuel(&mut store, 5).unwrap(), u64::MAX);
    instance.set_fuel(&mut store, 0).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(trap(run.call(&mut store, ())).code(), TrapCode::OutOfFuel);
    assert_eq!(instance.add_fuel(&mut store, 3).unwrap(), 3);
    assert_eq!(run.call(&mut store, ()).unwrap(), 7);
    assert_eq!(instance.fuel(&store).unwrap(), Some(2));
    let mut other = Store::new(());
    assert!(instance.fuel(&other).is_err());
    assert!(instance.set_fuel(&mut other, 1).is_err());
}

#[test]
fn objects_that_do_not_count_say_so() {
    let mut store = Store::new(());
    let instance = guest::instance(&mut store, "(module)");
    assert_eq!(instance.fuel(&store).unwrap(), None);
    let error = instance.set_fuel(&mut store, 1).unwrap_err();
    assert!(error.to_string().contains("--fuel"), "{error}");
    assert!(instance.add_fuel(&mut store, 1).is_err());
}

#[test]
fn start_functions_run_on_what_the_store_gives() {
    let text = "(module (func $start (loop (br 0))) (start $start))";
    let options = StoreOptions {
        fuel: 1000,
        ..StoreOptions::default()
    };
    let mut store = Store::with_options((), options);
    let error = Linker::new()
        .instantiate(&mut store, &module(text))
        .unwrap_err();
    assert_eq!(trap(Err::<(), Error>(error)).code(), TrapCode::OutOfFuel);
}

#[test]
fn hosts_see_what_was_executed_before_their_call() {
    let text = r#"(module (import "" "look" (func $look))
        (func (export "run")
            (drop (i32.const 1)) (call $look) (drop (i32.const 1)) (call $look)))"#;
    let mut store = Store::new((None::<Instance>, Vec::new()));
    let mut linker = Linker::new();
    linker.func(
        "",
        "look",
        |mut caller: Caller<'_, (Option<Instance>, Vec<u64>)>| {
            let instance = caller.data().0.expect("it was told");
            let left = instance
                .fuel(&caller)
                .ok()
                .flatten()
                .expect("it is counted");
            caller.data_mut().1.push(left);
        },
    );
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    store.data_mut().0 = Some(instance);
    instance.set_fuel(&mut store, 100).unwrap();
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
    assert_eq!(store.data().1, [97, 94]);
}

#[test]
fn linked_instances_have_fuel_of_their_own() {
    let mut store = Store::new(());
    let text = r#"(module (func (export "f") (result i32) (i32.const 1)))"#;
    let callee = instance(&mut store, &module(text));
    let mut linker = Linker::new();
    let f = callee.export(&store, "f").expect("an export");
    linker.define(&store, "", "f", f).unwrap();
    let text = r#"(module (import "" "f" (func $f (result i32)))
        (func (export "run") (result i32) (i32.add (call $f) (call $f))))"#;
    let caller = linker.instantiate(&mut store, &module(text)).unwrap();
    caller.set_fuel(&mut store, 10).unwrap();
    callee.set_fuel(&mut store, 3).unwrap();
    let run = caller.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 2);
    assert_eq!(caller.fuel(&store).unwrap(), Some(7));
    assert_eq!(callee.fuel(&store).unwrap(), Some(1));
    let trap = trap(run.call(&mut store, ()));
    assert_eq!(trap.code(), TrapCode::OutOfFuel);
    assert_eq!(trap.backtrace().frames().len(), 2);
}
