//! Exceptions: thrown and caught by guests, across instances, and through functions of the host.

use precast::{Error, Exception, Linker, Store, Val};
use precast_tests::guest::instance;

fn thrown<T: std::fmt::Debug>(result: Result<T, Error>) -> Exception {
    match result {
        Err(Error::Exception(exception)) => exception,
        other => panic!("expected an exception, not {other:?}"),
    }
}

#[test]
fn what_is_not_caught_arrives_with_its_values() {
    let mut store = Store::new(());
    let guest = instance(
        &mut store,
        r#"(module
            (tag $t (export "t") (param i32 f64))
            (func (export "run") (param i32)
                (throw $t (local.get 0) (f64.const 2.5))))"#,
    );
    let run = guest.func::<i32, ()>(&store, "run").unwrap();
    let exception = thrown(run.call(&mut store, 7));
    assert_eq!(Some(exception.tag()), guest.tag(&store, "t"));
    let [Val::I32(7), Val::F64(bits)] = exception.values() else {
        panic!("{exception:?}");
    };
    assert_eq!(f64::from_bits(*bits), 2.5);
    assert_eq!(exception.backtrace().frames().len(), 1);
}

#[test]
fn an_exception_is_caught_ten_frames_up() {
    let mut store = Store::new(());
    let guest = instance(
        &mut store,
        r#"(module
            (tag $t (param i32 i64))
            (func $down (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then (throw $t (i32.const 40) (i64.const 2))))
                (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
            (func (export "run") (param i32) (result i32)
                (block $h (result i32 i64)
                    (try_table (catch $t $h) (drop (call $down (local.get 0))))
                    (return (i32.const 0)))
                i32.wrap_i64
                i32.add))"#,
    );
    let run = guest.func::<i32, i32>(&store, "run").unwrap();
    for depth in [0, 1, 10, 1000] {
        assert_eq!(run.call(&mut store, depth).unwrap(), 42);
    }
    let _ = Linker::<()>::new();
}
