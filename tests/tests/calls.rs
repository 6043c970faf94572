//! Calls from the host into guests: values of every type, typed and not.

use precast::{Error, Func, FuncType, Linker, Store, UseError, Val, ValType};
use precast_tests::guest::{instance, module};

const ADD: &str = r#"(module
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"#;

#[test]
fn a_typed_call_takes_and_gives_numbers() {
    let mut store = Store::new(());
    let add = instance(&mut store, ADD)
        .func::<(i32, i32), i32>(&store, "add")
        .unwrap();
    assert_eq!(add.call(&mut store, (2, 40)).unwrap(), 42);
    assert_eq!(add.call(&mut store, (i32::MAX, 1)).unwrap(), i32::MIN);
}

#[test]
fn every_type_crosses_both_ways() {
    let text = r#"(module
        (func (export "all") (param i32 i64 f32 f64 v128 funcref externref)
            (result externref funcref v128 f64 f32 i64 i32)
            local.get 6 local.get 5 local.get 4 local.get 3 local.get 2 local.get 1 local.get 0))"#;
    let mut store = Store::new(());
    let instance = instance(&mut store, text);
    let all = instance.export(&store, "all").unwrap().func().unwrap();
    let something = precast::ExternRef::new(&mut store, "something");
    let arguments = [
        Val::I32(-5),
        Val::I64(i64::MIN),
        Val::F32(0x7fa0_0001),
        Val::F64(0x7ff4_0000_0000_0001),
        Val::V128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210),
        Val::FuncRef(Some(all)),
        Val::ExternRef(Some(something)),
    ];
    let mut results = [Val::I32(0); 7];
    all.call(&mut store, &arguments, &mut results).unwrap();
    results.reverse();
    assert_eq!(format!("{results:?}"), format!("{arguments:?}"));
    let Val::ExternRef(Some(back)) = results[6] else {
        panic!("{results:?}")
    };
    assert_eq!(
        back.data(&store).unwrap().downcast_ref::<&str>(),
        Some(&"something")
    );
}

#[test]
fn many_results_come_in_order() {
    let text = r#"(module (func (export "f") (param i32) (result i32 i64 f32 f64 i32 i32 i32 i64)
        local.get 0 i64.const 2 f32.const 3 f64.const 4 i32.const 5 i32.const 6 i32.const 7 i64.const 8))"#;
    let mut store = Store::new(());
    type Results = (i32, i64, f32, f64, i32, i32, i32, i64);
    let f = instance(&mut store, text)
        .func::<i32, Results>(&store, "f")
        .unwrap();
    assert_eq!(f.call(&mut store, 1).unwrap(), (1, 2, 3.0, 4.0, 5, 6, 7, 8));
}

#[test]
fn a_function_of_another_type_is_an_error() {
    let mut store = Store::new(());
    let instance = instance(&mut store, ADD);
    for error in [
        instance
            .func::<(i32, i64), i32>(&store, "add")
            .map(|_| ())
            .unwrap_err(),
        instance
            .func::<(i32, i32), ()>(&store, "add")
            .map(|_| ())
            .unwrap_err(),
        instance
            .func::<i32, i32>(&store, "add")
            .map(|_| ())
            .unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::Use(UseError::FuncType { .. })),
            "{error}"
        );
    }
    let missing = instance.func::<(), ()>(&store, "sub").unwrap_err();
    assert_eq!(missing.to_string(), "there is no export `sub`");
    let add = instance.export(&store, "add").unwrap().func().unwrap();
    let mut result = [Val::I64(0)];
    let bad = add
        .call(&mut store, &[Val::I32(1), Val::I64(1)], &mut result)
        .unwrap_err();
    assert_eq!(bad.to_string(), "expected a value of type i32, found i64");
    let bad = add
        .call(&mut store, &[Val::I32(1)], &mut result)
        .unwrap_err();
    assert_eq!(bad.to_string(), "expected 2 parameters, found 1");
    let bad = add
        .call(&mut store, &[Val::I32(1); 2], &mut [])
        .unwrap_err();
    assert_eq!(bad.to_string(), "expected 1 results, found 0");
}

#[test]
fn handles_of_another_store_are_refused() {
    let mut one = Store::new(());
    let mut other = Store::new(());
    let instance = instance(&mut one, ADD);
    let add = instance.func::<(i32, i32), i32>(&one, "add").unwrap();
    let func = instance.export(&one, "add").unwrap().func().unwrap();
    let wrong = |error: Error| assert!(matches!(error, Error::Use(UseError::WrongStore)));
    wrong(add.call(&mut other, (1, 2)).unwrap_err());
    wrong(func.call(&mut other, &[], &mut []).unwrap_err());
    wrong(func.ty(&other).unwrap_err());
    wrong(instance.exports(&other).unwrap_err());
    assert!(instance.export(&other, "add").is_none());
    let text = r#"(module (func (export "f") (param funcref)))"#;
    let takes = precast_tests::guest::instance(&mut other, text);
    let takes = takes.func::<Option<Func>, ()>(&other, "f").unwrap();
    wrong(takes.call(&mut other, Some(func)).unwrap_err());
    drop(one);
    wrong(add.call(&mut other, (1, 2)).unwrap_err());
}

#[test]
fn functions_of_the_host_can_be_called_by_the_host() {
    let mut store = Store::new(5);
    let wrapped = Func::wrap(&mut store, |caller: precast::Caller<'_, i32>, x: i32| {
        caller.data() + x
    });
    let typed = wrapped.typed::<i32, i32>(&store).unwrap();
    assert_eq!(typed.call(&mut store, 37).unwrap(), 42);
    let ty = FuncType::new([ValType::F64; 10], [ValType::F32, ValType::V128]);
    let dynamic = Func::new(&mut store, ty, |_, arguments, results| {
        results[0] = Val::F32((arguments[9].f64().unwrap() as f32).to_bits());
        results[1] = Val::V128(9);
        Ok(())
    });
    let mut results = [Val::I32(0); 2];
    dynamic
        .call(&mut store, &[Val::F64(2.5f64.to_bits()); 10], &mut results)
        .unwrap();
    assert_eq!((results[0].f32(), results[1].v128()), (Some(2.5), Some(9)));
    assert_eq!(dynamic.ty(&store).unwrap(), ty);
}

#[test]
fn a_store_may_move_between_threads_between_calls() {
    let mut store = Store::new(());
    let add = instance(&mut store, ADD)
        .func::<(i32, i32), i32>(&store, "add")
        .unwrap();
    for i in 0..20 {
        store = std::thread::spawn(move || {
            assert_eq!(add.call(&mut store, (i, 1)).unwrap(), i + 1);
            store
        })
        .join()
        .unwrap();
    }
}

#[test]
fn modules_outlive_their_handles_and_stores_their_modules() {
    let module = module(ADD);
    let mut store = Store::new("state");
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    let add = instance.func::<(i32, i32), i32>(&store, "add").unwrap();
    drop(module);
    assert_eq!(add.call(&mut store, (1, 1)).unwrap(), 2);
    assert_eq!(store.into_data(), "state");
    assert!(add.call(&mut Store::new(()), (1, 1)).is_err());
}
