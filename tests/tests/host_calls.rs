//! Guests that call the host: values of every type, errors, panics, memory, backtraces.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use precast::{
    Caller, Error, ExternRef, Func, FuncType, Linker, RawCaller, Store, TrapCode, Val, ValType,
};
use precast_tests::guest::{module, trap};

#[test]
fn closures_see_the_hosts_state_and_the_guests_memory() {
    let mut linker = Linker::new();
    linker.func(
        "host",
        "log",
        |mut caller: Caller<'_, Vec<String>>, at: u32, len: u32| {
            let (memory, log) = caller.memory_and_data().expect("the guest has a memory");
            let bytes = &memory[at as usize..][..len as usize];
            log.push(String::from_utf8_lossy(bytes).into_owned());
            log.len() as i32
        },
    );
    let module = module(
        r#"(module (import "host" "log" (func $log (param i32 i32) (result i32)))
            (memory 1) (data (i32.const 16) "hello world")
            (func (export "run") (result i32)
                (drop (call $log (i32.const 16) (i32.const 5)))
                (call $log (i32.const 22) (i32.const 5))))"#,
    );
    let mut store = Store::new(Vec::new());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 2);
    assert_eq!(store.data(), &["hello", "world"]);
}

#[test]
fn every_shape_of_signature_arrives_whole() {
    let mut linker = Linker::<()>::new();
    linker
        .func("h", "none", |_: Caller<'_, ()>| ())
        .func("h", "float", |_: Caller<'_, ()>, a: f32, b: f64| {
            f64::from(a) - b
        })
        .func("h", "single", |_: Caller<'_, ()>, a: f32| -a)
        .func(
            "h",
            "mixed",
            |_: Caller<'_, ()>, a: i32, b: f32, c: i64, d: f64, e: i32| {
                i64::from(a) + b as i64 + c + d as i64 + i64::from(e)
            },
        )
        .func(
            "h",
            "many",
            |_: Caller<'_, ()>, a: i64, b: i64, c: i64, d: i64, e: i64, f: i64, g: i64| {
                (
                    g,
                    a + 10 * b + 100 * c + 1000 * d + 10_000 * e + 100_000 * f,
                )
            },
        )
        .func("h", "vector", |_: Caller<'_, ()>, a: u128, b: i32| {
            a + u128::from(b as u32)
        });
    let module = module(
        r#"(module
            (import "h" "none" (func $none))
            (import "h" "float" (func $float (param f32 f64) (result f64)))
            (import "h" "single" (func $single (param f32) (result f32)))
            (import "h" "mixed" (func $mixed (param i32 f32 i64 f64 i32) (result i64)))
            (import "h" "many" (func $many (param i64 i64 i64 i64 i64 i64 i64) (result i64 i64)))
            (import "h" "vector" (func $vector (param v128 i32) (result v128)))
            (func (export "run") (result f64 f32 i64 i64 i64 v128)
                call $none
                (call $float (f32.const 1.5) (f64.const 0.25))
                (call $single (f32.const 2))
                (call $mixed (i32.const -1) (f32.const 20) (i64.const 300) (f64.const 4000) (i32.const 50000))
                (call $many (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7))
                (call $vector (v128.const i64x2 5 6) (i32.const 2))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance
        .func::<(), (f64, f32, i64, i64, i64, u128)>(&store, "run")
        .unwrap();
    let results = run.call(&mut store, ()).unwrap();
    assert_eq!(results, (1.25, -2.0, 54_319, 7, 654_321, 6 << 64 | 7));
}

#[test]
fn dynamic_functions_take_any_type() {
    let mut linker = Linker::<()>::new();
    let in_registers = FuncType::new([ValType::F32, ValType::I32, ValType::F64], [ValType::F32]);
    linker.func_dynamic("h", "f", in_registers, |_, arguments, results| {
        let sum = arguments[0].f32().unwrap() + arguments[1].i32().unwrap() as f32;
        results[0] = Val::F32((sum + arguments[2].f64().unwrap() as f32).to_bits());
        Ok(())
    });
    let in_memory = FuncType::new([ValType::I64; 8], [ValType::I32, ValType::I64]);
    linker.func_dynamic("h", "g", in_memory, |_, arguments, results| {
        results[0] = Val::I32(arguments.len() as i32);
        results[1] = arguments[7];
        Ok(())
    });
    linker.func_dynamic(
        "h",
        "bad",
        FuncType::new([], [ValType::I32]),
        |_, _, results| {
            results[0] = Val::I64(1);
            Ok(())
        },
    );
    let module = module(
        r#"(module
            (import "h" "f" (func $f (param f32 i32 f64) (result f32)))
            (import "h" "g" (func $g (param i64 i64 i64 i64 i64 i64 i64 i64) (result i32 i64)))
            (import "h" "bad" (func $bad (result i32)))
            (func (export "f") (result f32) (call $f (f32.const 1) (i32.const 2) (f64.const 4)))
            (func (export "g") (result i32 i64)
                (call $g (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
                         (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8)))
            (func (export "bad") (result i32) (call $bad)))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let f = instance.func::<(), f32>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 7.0);
    let g = instance.func::<(), (i32, i64)>(&store, "g").unwrap();
    assert_eq!(g.call(&mut store, ()).unwrap(), (8, 8));
    let bad = instance.func::<(), i32>(&store, "bad").unwrap();
    let error = bad.call(&mut store, ()).unwrap_err();
    assert_eq!(error.to_string(), "expected a value of type i32, found i64");
}

extern "C" fn plain(mut caller: RawCaller<'_>, a: i32, b: f64) -> i32 {
    let first = caller.memory().map_or(0, |memory| memory[0]);
    a + b as i32 + i32::from(first)
}

#[test]
fn plain_functions_are_called_with_nothing_between() {
    let mut linker = Linker::<()>::new();
    linker.func_raw(
        "h",
        "plain",
        plain as extern "C" fn(RawCaller<'_>, i32, f64) -> i32,
    );
    let module = module(
        r#"(module (import "h" "plain" (func $plain (param i32 f64) (result i32)))
            (memory 1) (data (i32.const 0) "\07")
            (func (export "run") (result i32) (call $plain (i32.const 10) (f64.const 100))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 117);
}

#[derive(Debug, PartialEq)]
struct Exit(i32);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}", self.0)
    }
}

impl std::error::Error for Exit {}

const CALLS: &str = r#"(module (import "h" "f" (func $f (param i32) (result i32)))
    (func (export "run") (param i32) (result i32)
        (i32.add (call $f (local.get 0)) (i32.const 1))))"#;

#[test]
fn errors_of_the_host_reach_the_caller_unchanged() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>, code: i32| match code {
        0 => Ok(0),
        code => Err(Error::host(Exit(code))),
    });
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module(CALLS)).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    for _ in 0..3 {
        let error = run.call(&mut store, 7).unwrap_err();
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(7));
        assert_eq!(run.call(&mut store, 0).unwrap(), 1);
    }
}

#[test]
fn panics_of_the_host_resume_at_the_call() {
    let dropped = Arc::new(Mutex::new(0));
    struct Count(Arc<Mutex<i32>>);
    impl Drop for Count {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let mut linker = Linker::<()>::new();
    let count = Arc::clone(&dropped);
    linker.func("h", "f", move |_: Caller<'_, ()>, code: i32| {
        let _guard = Count(Arc::clone(&count));
        assert!(code == 0, "code {code}");
        code
    });
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module(CALLS)).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    for round in 1..4 {
        let payload =
            catch_unwind(AssertUnwindSafe(|| run.call(&mut store, 5))).expect_err("it panics");
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "code 5");
        assert_eq!(*dropped.lock().unwrap(), round * 2 - 1);
        assert_eq!(run.call(&mut store, 0).unwrap(), 1);
    }
}

#[test]
fn a_panic_with_six_parameters_resumes_too() {
    let mut linker = Linker::<()>::new();
    linker.func(
        "h",
        "f",
        |_: Caller<'_, ()>, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32| -> i32 {
            panic!("six")
        },
    );
    let module = module(
        r#"(module (import "h" "f" (func $f (param i32 i32 i32 i32 i32 i32) (result i32)))
            (func (export "run") (result i32) (call $f (i32.const 1) (i32.const 1) (i32.const 1)
                (i32.const 1) (i32.const 1) (i32.const 1))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), i32>(&store, "run").unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| run.call(&mut store, ()))).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"six"));
}

#[test]
fn references_cross_the_border() {
    let mut linker = Linker::<()>::new();
    linker
        .func("h", "make", |mut caller: Caller<'_, ()>, value: i32| {
            Some(ExternRef::new(&mut caller, value))
        })
        .func(
            "h",
            "read",
            |caller: Caller<'_, ()>, value: Option<ExternRef>| -> Result<i32, Error> {
                let Some(value) = value else { return Ok(-1) };
                Ok(*value.data(&caller)?.downcast_ref().expect("an i32"))
            },
        )
        .func(
            "h",
            "call",
            |mut caller: Caller<'_, ()>, f: Option<Func>| -> Result<i32, Error> {
                f.expect("a function")
                    .typed::<(), i32>(&caller)?
                    .call(&mut caller, ())
            },
        );
    let module = module(
        r#"(module
            (import "h" "make" (func $make (param i32) (result externref)))
            (import "h" "read" (func $read (param externref) (result i32)))
            (import "h" "call" (func $call (param funcref) (result i32)))
            (func $seven (result i32) (i32.const 7))
            (elem declare func $seven)
            (func (export "refs") (result i32)
                (i32.add (call $read (call $make (i32.const 41))) (call $read (ref.null extern))))
            (func (export "funcs") (result i32) (call $call (ref.func $seven))))"#,
    );
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let refs = instance.func::<(), i32>(&store, "refs").unwrap();
    assert_eq!(refs.call(&mut store, ()).unwrap(), 40);
    let funcs = instance.func::<(), i32>(&store, "funcs").unwrap();
    assert_eq!(funcs.call(&mut store, ()).unwrap(), 7);
}

#[test]
fn host_functions_can_stand_in_tables() {
    let mut store = Store::new(());
    let ty = precast::TableType::new(precast::RefType::FUNCREF, 4, None);
    let table = precast::Table::new(&mut store, ty, Val::FuncRef(None)).unwrap();
    let narrow = Func::wrap(&mut store, |_: Caller<'_, ()>, x: i32| x * 2);
    // Made before any module knows the type: its stub comes with the module.
    let wide = FuncType::new([ValType::I64; 7], [ValType::I64]);
    let wide = Func::new(&mut store, wide, |_, arguments, results| {
        results[0] = arguments[6];
        Ok(())
    });
    table
        .set(&mut store, 0, Val::FuncRef(Some(narrow)))
        .unwrap();
    table.set(&mut store, 1, Val::FuncRef(Some(wide))).unwrap();
    let mut linker = Linker::new();
    linker.define(&store, "h", "table", table).unwrap();
    let module = module(
        r#"(module (import "h" "table" (table $t 4 funcref))
            (func (export "narrow") (param i32) (result i32)
                (call_indirect $t (param i32) (result i32) (local.get 0) (i32.const 0)))
            (func (export "wide") (result i64)
                (call_indirect $t (param i64 i64 i64 i64 i64 i64 i64) (result i64)
                    (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)
                    (i64.const 1) (i64.const 1) (i64.const 9) (i32.const 1))))"#,
    );
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let narrow = instance.func::<i32, i32>(&store, "narrow").unwrap();
    assert_eq!(narrow.call(&mut store, 21).unwrap(), 42);
    let wide = instance.func::<(), i64>(&store, "wide").unwrap();
    assert_eq!(wide.call(&mut store, ()).unwrap(), 9);
}

#[inline(never)]
fn outermost_host_function(
    run: precast::TypedFunc<i32, i32>,
    store: &mut Store<String>,
) -> Result<i32, Error> {
    let result = run.call(store, 1);
    std::hint::black_box(&result);
    result
}

#[test]
fn a_backtrace_of_the_host_through_a_guest_is_whole() {
    let mut linker = Linker::<String>::new();
    linker.func("h", "f", |mut caller: Caller<'_, String>, x: i32| {
        *caller.data_mut() = std::backtrace::Backtrace::force_capture().to_string();
        let names: Vec<_> = caller
            .backtrace()
            .frames()
            .iter()
            .map(|frame| frame.name().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names, ["run"]);
        x
    });
    let mut store = Store::new(String::new());
    let instance = linker.instantiate(&mut store, &module(CALLS)).unwrap();
    let run = instance.func::<i32, i32>(&store, "run").unwrap();
    outermost_host_function(run, &mut store).unwrap();
    let text = store.data();
    let inner = text.find("a_backtrace_of_the_host_through_a_guest_is_whole::{");
    let outer = text.find("outermost_host_function");
    assert!(inner.is_some() && inner < outer, "{text}");
    assert!(
        text.contains("precast_enter") && text.contains("precast_host_registers"),
        "{text}"
    );
}

#[test]
fn a_trap_after_a_host_call_is_reported_where_it_is() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>| ());
    let module =
        module(r#"(module (import "h" "f" (func $f)) (func (export "run") call $f unreachable))"#);
    let mut store = Store::new(());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.func::<(), ()>(&store, "run").unwrap();
    let trap = trap(run.call(&mut store, ()));
    assert_eq!(trap.code(), TrapCode::Unreachable);
    assert_eq!(trap.backtrace().frames().len(), 1);
}
