//! Calls that nest: guest to host to guest, in the same store and in others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use precast::{Caller, Error, Linker, Module, Store, StoreOptions, TrapCode, TypedFunc};
use precast_tests::guest::{module, trap};

/// A guest that counts down through the host, and then does what `bottom` says.
fn countdown(bottom: &str) -> Module {
    module(&format!(
        r#"(module (import "h" "again" (func $again (param i32) (result i32)))
            (func $bottom (result i32) {bottom})
            (func $run (export "run") (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (i32.const 1) (call $again (i32.sub (local.get 0) (i32.const 1)))))
                    (else (call $bottom)))))"#
    ))
}

type Run = TypedFunc<i32, i32>;

fn start(module: &Module, options: StoreOptions) -> (Store<Option<Run>>, Run) {
    let mut linker = Linker::new();
    linker.func(
        "h",
        "again",
        |mut caller: Caller<'_, Option<Run>>, n: i32| {
            let run = caller.data().expect("set below");
            run.call(&mut caller, n)
        },
    );
    let mut store = Store::with_options(None, options);
    let instance = linker.instantiate(&mut store, module).unwrap();
    let run = instance.func(&store, "run").unwrap();
    *store.data_mut() = Some(run);
    (store, run)
}

#[test]
fn guests_and_hosts_call_each_other_many_levels_deep() {
    let (mut store, run) = start(&countdown("(i32.const 1000)"), StoreOptions::default());
    assert_eq!(run.call(&mut store, 200).unwrap(), 1200);
    assert_eq!(run.call(&mut store, 0).unwrap(), 1000);
}

#[test]
fn a_trap_passes_every_level_and_names_all_of_them() {
    let (mut store, run) = start(&countdown("unreachable"), StoreOptions::default());
    for _ in 0..3 {
        let trap = trap(run.call(&mut store, 5));
        assert_eq!(trap.code(), TrapCode::Unreachable);
        let names: Vec<_> = trap
            .backtrace()
            .frames()
            .iter()
            .map(|f| f.name().unwrap())
            .collect();
        assert_eq!(names, ["bottom", "run", "run", "run", "run", "run", "run"]);
    }
}

#[test]
fn endless_nesting_is_a_stack_overflow() {
    let (mut store, run) = start(&countdown("(i32.const 0)"), StoreOptions::default());
    for _ in 0..2 {
        assert_eq!(
            trap(run.call(&mut store, -1)).code(),
            TrapCode::StackOverflow
        );
        assert_eq!(run.call(&mut store, 3).unwrap(), 3);
    }
    // Small host stacks are used up sooner, and large limits do not change that.
    let options = StoreOptions {
        max_nesting: u32::MAX,
        stack_size: 1 << 26,
        ..StoreOptions::default()
    };
    let (mut store, run) = start(&countdown("(i32.const 0)"), options);
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let thread = small
        .spawn(move || trap(run.call(&mut store, -1)).code())
        .unwrap();
    assert_eq!(thread.join().unwrap(), TrapCode::StackOverflow);
}

#[test]
fn a_host_may_handle_a_nested_trap_and_go_on() {
    let mut linker = Linker::<()>::new();
    linker.func(
        "h",
        "try",
        |mut caller: Caller<'_, ()>| -> Result<i32, Error> {
            let inner = caller.export("inner").unwrap().func().unwrap();
            let inner = inner.typed::<(), i32>(&caller)?;
            let trap = trap(inner.call(&mut caller, ()));
            assert_eq!(trap.code(), TrapCode::MemoryOutOfBounds);
            let names: Vec<_> = trap
                .backtrace()
                .frames()
                .iter()
                .map(|f| f.name().unwrap())
                .collect();
            assert_eq!(names, ["inner", "outer"]);
            Ok(5)
        },
    );
    let module = module(
        r#"(module (import "h" "try" (func $try (result i32))) (memory 1)
            (func (export "inner") (result i32) (i32.load (i32.const -1)))
            (func (export "outer") (result i32) (local i32)
                (local.set 0 (i32.const 37)) (i32.add (call $try) (local.get 0))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let outer = instance.func::<(), i32>(&store, "outer").unwrap();
    for _ in 0..3 {
        assert_eq!(outer.call(&mut store, ()).unwrap(), 42);
    }
}

#[test]
fn panics_and_errors_pass_nested_guests() {
    let mut linker = Linker::<()>::new();
    linker.func(
        "h",
        "f",
        |mut caller: Caller<'_, ()>, n: i32| -> Result<i32, Error> {
            match n {
                0 => panic!("at the bottom"),
                1 => Err(Error::host("an error at the bottom")),
                n => {
                    let run = caller.export("run").unwrap().func().unwrap();
                    run.typed::<i32, i32>(&caller)?.call(&mut caller, n - 2)
                }
            }
        },
    );
    let module = module(
        r#"(module (import "h" "f" (func $f (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (call $f (local.get 0))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    for _ in 0..3 {
        let panic = catch_unwind(AssertUnwindSafe(|| run.call(&mut store, 10))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"at the bottom"));
        let error = run.call(&mut store, 11).unwrap_err();
        assert_eq!(error.to_string(), "an error at the bottom");
    }
}

#[test]
fn a_host_function_may_run_another_store() {
    let inner_module = module(
        r#"(module (memory 1) (func (export "f") (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then unreachable))
            (i32.load (local.get 0))))"#,
    );
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", move |caller: Caller<'_, ()>, n: i32| {
        let mut store = Store::new(());
        let instance = Linker::new()
            .instantiate(&mut store, &inner_module)
            .unwrap();
        let f = instance.func::<i32, i32>(&store, "f").unwrap();
        assert_eq!(caller.backtrace().frames().len(), 1);
        match f.call(&mut store, n) {
            Ok(value) => value,
            Err(Error::Trap(trap)) => trap.code() as i32,
            Err(other) => panic!("{other}"),
        }
    });
    let outer = module(
        r#"(module (import "h" "f" (func $f (param i32) (result i32))) (memory 1)
            (func (export "run") (param i32) (result i32) (call $f (local.get 0)))
            (func (export "oob") (result i32)
                (drop (call $f (i32.const 0))) (i32.load (i32.const -1))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &outer).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 4).unwrap(), 0);
    assert_eq!(
        run.call(&mut store, 0).unwrap(),
        TrapCode::Unreachable as i32
    );
    assert_eq!(
        run.call(&mut store, -1).unwrap(),
        TrapCode::MemoryOutOfBounds as i32
    );
    let oob = instance.func::<(), i32>(&store, "oob").unwrap();
    assert_eq!(
        trap(oob.call(&mut store, ())).code(),
        TrapCode::MemoryOutOfBounds
    );
}

#[test]
fn a_host_function_may_instantiate_into_the_running_store() {
    let part = module(
        r#"(module (memory 1) (func (export "f") (param i32) (result i32) (i32.load (local.get 0))))"#,
    );
    let mut linker = Linker::<()>::new();
    linker.func(
        "h",
        "f",
        move |mut caller: Caller<'_, ()>, n: i32| -> Result<i32, Error> {
            let instance = Linker::new().instantiate(&mut caller, &part)?;
            instance
                .func::<i32, i32>(&caller, "f")?
                .call(&mut caller, n)
        },
    );
    let outer = module(
        r#"(module (import "h" "f" (func $f (param i32) (result i32))) (memory 1)
            (func (export "run") (param i32) (result i32) (local $i i32)
                (loop $l (drop (call $f (local.get 0)))
                    (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
                (i32.load (local.get 0))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &outer).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 8).unwrap(), 0);
    let trap = trap(run.call(&mut store, 65_536));
    assert_eq!(trap.code(), TrapCode::MemoryOutOfBounds);
}
