//! Every way to trap: what the trap says, and that the process and the instance live on.

use precast::{Caller, Linker, Store, TrapCode};
use precast_tests::guest::{instance, module, trap};

/// A function `name` whose body must trap with `code`, in a module with a memory and a table.
fn check(code: TrapCode, body: &str) {
    let text = format!(
        r#"(module $m
            (memory (export "memory") 1)
            (table $t 4 funcref)
            (type $other (func (param f64)))
            (elem (table $t) (i32.const 0) func $fine $other)
            (func $fine (export "fine") (result i32) i32.const 42)
            (func $other (type $other))
            (func $culprit (param i32) (result i32) {body})
            (func $middle (param i32) (result i32) local.get 0 call $culprit i32.const 1 i32.add)
            (func (export "grow") (table.set $t (i32.const 3) (ref.func $fine)))
            (func (export "run") (param i32) (result i32) local.get 0 call $middle))"#
    );
    let mut store = Store::new(());
    let instance = instance(&mut store, &text);
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    for _ in 0..3 {
        let trap = trap(run.call(&mut store, 0));
        assert_eq!(trap.code(), code, "{body}");
        assert_eq!(trap.to_string(), code.message());
        let names: Vec<_> = trap
            .backtrace()
            .frames()
            .iter()
            .map(|frame| frame.name())
            .collect();
        assert_eq!(
            names,
            [Some("culprit"), Some("middle"), Some("run")],
            "{body}"
        );
        let frame = &trap.backtrace().frames()[0];
        assert_eq!(frame.module(), "m");
        assert!(frame.wasm_offset().is_some(), "{body}: {frame:?}");
        assert_eq!(fine.call(&mut store, ()).unwrap(), 42);
    }
}

#[test]
fn unreachable() {
    check(TrapCode::Unreachable, "unreachable");
}

#[test]
fn memory_out_of_bounds() {
    for body in [
        "(i32.load (i32.const 65536))",
        "(i32.load (i32.const 65533))",
        "(i32.load offset=4294967295 (i32.const -1))",
        "(i32.load8_u offset=65535 (i32.const 1))",
        "(i32.load (i32.const -1))",
        "(i32.store (i32.const 65535) (i32.const 1)) (i32.const 0)",
        "(i64.store8 offset=65536 (local.get 0) (i64.const 1)) (i32.const 0)",
        "(v128.store (i32.const 65530) (v128.const i64x2 0 0)) (i32.const 0)",
        // A load whose result nobody wants traps all the same.
        "(drop (i32.load (i32.const 65536))) (i32.const 0)",
        "(memory.fill (i32.const 65530) (i32.const 0) (i32.const 7)) (i32.const 0)",
        "(memory.copy (i32.const 0) (i32.const 65530) (i32.const 7)) (i32.const 0)",
        "(memory.copy (i32.const -1) (i32.const 0) (i32.const -1)) (i32.const 0)",
    ] {
        check(TrapCode::MemoryOutOfBounds, body);
    }
}

#[test]
fn table_out_of_bounds() {
    for body in [
        "(drop (table.get $t (i32.const 4))) (i32.const 0)",
        "(table.set $t (i32.const -1) (ref.null func)) (i32.const 0)",
        "(table.fill $t (i32.const 3) (ref.null func) (i32.const 2)) (i32.const 0)",
        "(table.copy $t $t (i32.const 3) (i32.const 0) (i32.const 2)) (i32.const 0)",
    ] {
        check(TrapCode::TableOutOfBounds, body);
    }
}

#[test]
fn indirect_calls() {
    let call = |index: &str| format!("(call_indirect $t (result i32) (i32.const {index}))");
    check(TrapCode::UndefinedElement, &call("4"));
    check(TrapCode::UndefinedElement, &call("-1"));
    check(TrapCode::UninitializedElement, &call("2"));
    check(TrapCode::IndirectCallTypeMismatch, &call("1"));
}

#[test]
fn arithmetic() {
    for op in ["div_s", "div_u", "rem_s", "rem_u"] {
        let body = format!("(i32.{op} (i32.const 1) (local.get 0))");
        check(TrapCode::IntegerDivideByZero, &body);
        let body =
            format!("(i32.wrap_i64 (i64.{op} (i64.const 1) (i64.extend_i32_u (local.get 0))))");
        check(TrapCode::IntegerDivideByZero, &body);
    }
    let body = "(i32.div_s (i32.const 0x80000000) (i32.sub (local.get 0) (i32.const 1)))";
    check(TrapCode::IntegerOverflow, body);
    for body in [
        "(i32.trunc_f32_s (f32.const nan))",
        "(i32.trunc_f64_u (f64.div (f64.const 0) (f64.convert_i32_s (local.get 0))))",
    ] {
        check(TrapCode::InvalidConversionToInteger, body);
    }
    check(
        TrapCode::IntegerOverflow,
        "(i32.trunc_f64_s (f64.const 1e10))",
    );
}

#[test]
fn null_references() {
    let body = "(call_ref $r (ref.null $r))";
    let body = body.replace("$r", "$other");
    check(
        TrapCode::NullReference,
        &format!("(f64.const 0) {body} (i32.const 0)"),
    );
}

#[test]
fn stack_exhaustion_by_recursion() {
    let text = r#"(module
        (func $down (export "down") (param i32) (result i32)
            (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
        (func (export "from") (result i32) (i32.add (call $down (i32.const 0)) (i32.const 1)))
        (func (export "fine") (result i32) (i32.const 1)))"#;
    let mut store = Store::new(());
    let instance = instance(&mut store, text);
    let down = instance.func::<i32, i32>(&store, "down").unwrap();
    let from = instance.func::<(), i32>(&store, "from").unwrap();
    let fine = instance.func::<(), i32>(&store, "fine").unwrap();
    for _ in 0..10 {
        let trap = trap(down.call(&mut store, 0));
        assert_eq!(trap.code(), TrapCode::StackOverflow);
        let backtrace = trap.backtrace();
        assert!(backtrace.frames().len() > 90, "the two ends are kept");
        assert!(backtrace.omitted() > 1000, "{}", backtrace.omitted());
        assert!(
            backtrace
                .frames()
                .iter()
                .all(|frame| frame.name() == Some("down"))
        );
        // Whoever began it is found at the other end, however deep the stack is.
        let trap = precast_tests::guest::trap(from.call(&mut store, ()));
        let frames = trap.backtrace().frames();
        let last = frames.last().and_then(|frame| frame.name());
        assert_eq!(last, Some("from"));
        let others = &frames[..frames.len() - 1];
        assert!(others.len() > 90 && others.iter().all(|frame| frame.name() == Some("down")));
        assert_eq!(fine.call(&mut store, ()).unwrap(), 1);
    }
}

/// A function with `count` values alive across a call has a frame of 16 bytes for each.
fn huge_frame(count: usize) -> String {
    let locals = "(local v128)".repeat(count);
    let set: String = (1..=count)
        .map(|i| format!("(local.set {i} (i32x4.splat (i32.add (local.get 0) (i32.const {i}))))"))
        .collect();
    let sum: String = (1..=count)
        .map(|i| format!("(i32x4.extract_lane 0 (local.get {i})) i32.add "))
        .collect();
    format!(
        r#"(module (func $f (export "f") (param i32) (result i32) {locals}
            {set} (call $f (i32.add (local.get 0) (i32.const 1))) {sum}))"#
    )
}

#[test]
fn stack_exhaustion_by_huge_frames() {
    for count in [100, 1000, 6000] {
        let mut store = Store::new(());
        let f = instance(&mut store, &huge_frame(count))
            .func::<i32, i32>(&store, "f")
            .unwrap();
        for _ in 0..2 {
            assert_eq!(trap(f.call(&mut store, 0)).code(), TrapCode::StackOverflow);
        }
    }
}

#[test]
fn a_deep_but_finite_recursion_is_fine() {
    let text = r#"(module (func $f (export "f") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (call $f (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
            (else (i32.const 0)))))"#;
    let mut store = Store::new(());
    let f = instance(&mut store, text)
        .func::<i32, i32>(&store, "f")
        .unwrap();
    assert_eq!(f.call(&mut store, 10_000).unwrap(), 10_000);
}

#[test]
fn a_start_function_that_traps_says_so() {
    let module = precast_tests::guest::module(r#"(module (func $init unreachable) (start $init))"#);
    let mut store = Store::new(());
    let trap = trap(precast::Linker::new().instantiate(&mut store, &module));
    assert_eq!(trap.code(), TrapCode::Unreachable);
    assert_eq!(trap.backtrace().frames()[0].name(), Some("init"));
}

#[test]
fn backtraces_read_well() {
    let text = r#"(module $app (func $inner unreachable) (func (export "run") (call $inner)))"#;
    let mut store = Store::new(());
    let run = instance(&mut store, text)
        .func::<(), ()>(&store, "run")
        .unwrap();
    let trap = trap(run.call(&mut store, ()));
    let text = trap.backtrace().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("   0: app!inner at 0x"), "{text}");
    assert!(lines[1].starts_with("   1: app!run at 0x"), "{text}");
    assert_eq!(lines.len(), 2);
}

/// What the frames are is looked up when somebody asks, maybe long after.
#[test]
fn backtraces_are_read_when_everything_else_is_gone() {
    let trap_of = |n: u32| {
        let text = format!(
            r#"(module $lost{n} (func $inner{n} unreachable) (func (export "run") (call $inner{n})))"#
        );
        let mut store = Store::new(());
        let run = instance(&mut store, &text).func::<(), ()>(&store, "run");
        trap(run.unwrap().call(&mut store, ()))
    };
    // Later modules take the place of earlier ones, unless those are kept.
    let traps: Vec<_> = (0..20).map(trap_of).collect();
    for (n, trap) in traps.iter().enumerate() {
        let frames = trap.backtrace().clone();
        let frames = std::thread::scope(|scope| {
            let read = scope.spawn(|| frames.frames().to_vec());
            read.join().unwrap()
        });
        assert_eq!(frames[0].module(), format!("lost{n}"));
        assert_eq!(frames[0].name(), Some(&*format!("inner{n}")));
        assert_eq!(frames[1].name(), Some("run"));
        assert_eq!(frames.len(), 2);
        assert_eq!(trap.backtrace().frames(), frames);
    }
}

#[test]
fn traps_on_many_threads_at_once() {
    let module = precast_tests::guest::module(
        r#"(module (memory 1)
            (func (export "oob") (result i32) (i32.load (i32.const -1)))
            (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))"#,
    );
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let mut store = Store::new(());
                    let instance = precast::Linker::new()
                        .instantiate(&mut store, &module)
                        .unwrap();
                    let oob = instance.func::<(), i32>(&store, "oob").unwrap();
                    let div = instance.func::<i32, i32>(&store, "div").unwrap();
                    assert_eq!(
                        trap(oob.call(&mut store, ())).code(),
                        TrapCode::MemoryOutOfBounds
                    );
                    let code = trap(div.call(&mut store, 0)).code();
                    assert_eq!(code, TrapCode::IntegerDivideByZero);
                    assert_eq!(div.call(&mut store, 1).unwrap(), 1);
                }
            });
        }
    });
}

/// Calls through a table that is too large for an array of code for each type: as through any.
#[test]
fn calls_through_large_tables() {
    let text = r#"(module
        (type $unary (func (param i32) (result i32)))
        (type $nullary (func (result i32)))
        (type $nobody (func (param f64)))
        (import "host" "triple" (func $triple (type $unary)))
        (table 9000 funcref)
        (elem (i32.const 3) $double $seven $triple)
        (elem (i32.const 8999) $double)
        (func $double (type $unary) (i32.mul (local.get 0) (i32.const 2)))
        (func $seven (type $nullary) (i32.const 7))
        (func (export "unary") (param i32) (result i32)
            (call_indirect (type $unary) (i32.const 21) (local.get 0)))
        (func (export "tail") (param i32) (result i32)
            (return_call_indirect (type $nullary) (local.get 0)))
        (func (export "nobody") (param i32) (result i32)
            (call_indirect (type $nobody) (f64.const 0) (local.get 0)) (i32.const 0)))"#;
    let mut store = Store::new(());
    let mut linker = Linker::new();
    linker.func("host", "triple", |_: Caller<'_, ()>, x: i32| x * 3);
    let instance = linker.instantiate(&mut store, &module(text)).unwrap();
    let mut call = |name: &str, index: i32| {
        let func = instance.func::<i32, i32>(&store, name).unwrap();
        match func.call(&mut store, index) {
            Ok(value) => Ok(value),
            error => Err(trap(error).code()),
        }
    };
    let (mismatch, null) = (
        TrapCode::IndirectCallTypeMismatch,
        TrapCode::UninitializedElement,
    );
    assert_eq!(call("unary", 3), Ok(42));
    assert_eq!(call("unary", 5), Ok(63));
    assert_eq!(call("unary", 8999), Ok(42));
    assert_eq!(call("tail", 4), Ok(7));
    for (name, index, code) in [
        ("unary", 4, mismatch),
        ("tail", 3, mismatch),
        ("tail", 5, mismatch),
        ("nobody", 3, mismatch),
        ("unary", 0, null),
        ("tail", 8998, null),
        ("nobody", 2, null),
        ("unary", 9000, TrapCode::UndefinedElement),
        ("tail", -1, TrapCode::UndefinedElement),
        ("nobody", i32::MIN, TrapCode::UndefinedElement),
    ] {
        assert_eq!(call(name, index), Err(code), "{name} {index}");
    }
}
