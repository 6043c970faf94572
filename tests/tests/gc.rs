//! Garbage-collected objects: collections, hosts, linked instances, pools.

use precast::pool::{Density, ResetStrategy};
use precast::{
    AnyKind, AnyRef, Caller, Error, Extern, ExternRef, FuncType, Global, GlobalType, Instance,
    Interruption, Linker, Pool, RefType, Store, StoreOptions, Table, TableType, Template, Tenant,
    TrapCode, Val, ValType,
};
use precast_compiler::{Collector, OptLevel, Options};
use precast_tests::guest::{module_with, trap};
use precast_tests::spec::runner::run_file_in;
use precast_tests::spec::suite;
use std::time::{Duration, Instant};

fn stress() -> StoreOptions {
    StoreOptions {
        collect_always: true,
        ..StoreOptions::default()
    }
}

fn options(opt: OptLevel, collector: Collector) -> Options {
    Options {
        opt,
        collector,
        ..Options::default()
    }
}

/// Compiled in each way, with and without a collection at each object that is made.
fn in_every_way(text: &str, check: impl Fn(&mut Store<()>, Instance)) {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        for (collector, store) in [
            (Collector::Copying, stress()),
            (Collector::Copying, StoreOptions::default()),
            (Collector::Null, StoreOptions::default()),
        ] {
            let module = module_with(text, &options(opt, collector));
            let mut store = Store::with_options((), store);
            let guest = Linker::new().instantiate(&mut store, &module);
            check(&mut store, guest.unwrap());
        }
    }
}

/// Lists, and trees whose nodes have more than references in them.
const LISTS: &str = r#"(module
    (type $bytes (array (mut i8)))
    (type $node (sub (struct (field $next (mut (ref null $node))) (field $v i32))))
    (type $wide (sub final $node
        (struct (field (mut (ref null $node))) (field i32) (field $d f64) (field $a (ref null $bytes)))))
    (type $refs (array (mut (ref null $node))))
    (global $kept (mut (ref null $node)) (ref.null $node))
    (table $t 4 (ref null $node))
    (func (export "list") (param $n i32) (result i32)
        (local $head (ref null $node)) (local $s i32)
        (loop $l
            (local.set $head (struct.new $node (local.get $head) (local.get $n)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (loop $m
            (local.set $s (i32.add (local.get $s) (struct.get $node $v (local.get $head))))
            (br_if $m (i32.eqz (ref.is_null
                (local.tee $head (struct.get $node $next (local.get $head)))))))
        (local.get $s))
    (func (export "garbage") (param $n i32) (result i32)
        (local $head (ref null $node))
        (loop $l
            (local.set $head (struct.new $node (ref.null $node) (local.get $n)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (struct.get $node $v (local.get $head)))
    (func $keep (export "keep") (param $v i32)
        (global.set $kept (struct.new $node (global.get $kept) (local.get $v)))
        (table.set $t (i32.const 2) (struct.new $wide
            (global.get $kept) (i32.const 5) (f64.const 0.5)
            (array.new $bytes (i32.const 7) (i32.const 9)))))
    (func (export "kept") (result i32)
        (local $w (ref $wide))
        (local.set $w (ref.cast (ref $wide) (table.get $t (i32.const 2))))
        (i32.add
            (i32.mul (i32.const 100) (struct.get $node $v (ref.as_non_null (struct.get $node $next (local.get $w)))))
            (i32.add
                (array.get_u $bytes (struct.get $wide $a (local.get $w)) (i32.const 8))
                (i32.trunc_f64_s (f64.mul (f64.const 4) (struct.get $wide $d (local.get $w)))))))
    (func $tree (param $depth i32) (result (ref $refs))
        (local $both (ref $refs))
        (local.set $both (array.new_default $refs (i32.const 2)))
        (if (local.get $depth) (then
            (array.set $refs (local.get $both) (i32.const 0)
                (call $box (call $tree (i32.sub (local.get $depth) (i32.const 1)))))
            (array.set $refs (local.get $both) (i32.const 1)
                (call $box (call $tree (i32.sub (local.get $depth) (i32.const 1)))))))
        (local.get $both))
    (type $box (sub final $node (struct (field (mut (ref null $node))) (field i32) (field $tree (ref $refs)))))
    (func $box (param (ref $refs)) (result (ref $box))
        (struct.new $box (ref.null $node) (i32.const 1) (local.get 0)))
    (func $count (param (ref $refs)) (result i32)
        (local $i i32) (local $n i32) (local $it (ref null $node))
        (local.set $n (i32.const 1))
        (loop $l
            (local.set $it (array.get $refs (local.get 0) (local.get $i)))
            (if (ref.test (ref $box) (local.get $it)) (then
                (local.set $n (i32.add (local.get $n)
                    (call $count (struct.get $box $tree (ref.cast (ref $box) (local.get $it))))))))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2))))
        (local.get $n))
    (func (export "trees") (param $depth i32) (result i32)
        (call $count (call $tree (local.get $depth)))))"#;

#[test]
fn what_is_referred_to_stays_and_what_is_not_makes_room() {
    in_every_way(LISTS, |store, guest| {
        let call = |store: &mut Store<()>, name: &str, n: i32| {
            let func = guest.func::<i32, i32>(&*store, name).unwrap();
            func.call(store, n).unwrap()
        };
        assert_eq!(call(store, "list", 3000), 4_501_500);
        let keep = guest.func::<i32, ()>(&*store, "keep").unwrap();
        for v in 1..=30 {
            keep.call(&mut *store, v).unwrap();
        }
        assert_eq!(call(store, "garbage", 5000), 1);
        let kept = guest.func::<(), i32>(&*store, "kept").unwrap();
        assert_eq!(kept.call(&mut *store, ()).unwrap(), 30 * 100 + 7 + 2);
        assert_eq!(call(store, "trees", 7), 255);
    });
}

/// A gigabyte of objects, of which never more than one is referred to, in a heap of a mebibyte.
#[test]
fn a_program_makes_far_more_objects_than_fit() {
    let text = LISTS;
    let module = module_with(
        text,
        &Options {
            gc_heap: Some(1 << 20),
            ..Options::default()
        },
    );
    let mut store = Store::new(());
    let guest = Linker::new().instantiate(&mut store, &module).unwrap();
    let garbage = guest.func::<i32, i32>(&store, "garbage").unwrap();
    assert_eq!(garbage.call(&mut store, 60_000_000).unwrap(), 1);
    assert!(store.memory_bytes() <= 1 << 20);
    // What is referred to does not fit: a trap, and the store goes on.
    let list = guest.func::<i32, i32>(&store, "list").unwrap();
    let exhausted = trap(list.call(&mut store, 1 << 20));
    assert_eq!(exhausted.code(), TrapCode::HeapExhausted);
    assert_eq!(list.call(&mut store, 1000).unwrap(), 500_500);
    assert_eq!(garbage.call(&mut store, 1_000_000).unwrap(), 1);
}

#[test]
fn without_a_collector_objects_take_room_until_there_is_none() {
    let options = Options {
        gc_heap: Some(8 << 20),
        collector: Collector::Null,
        ..Options::default()
    };
    let module = module_with(LISTS, &options);
    let mut store = Store::new(());
    let guest = Linker::new().instantiate(&mut store, &module).unwrap();
    let garbage = guest.func::<i32, i32>(&store, "garbage").unwrap();
    assert_eq!(garbage.call(&mut store, 500_000).unwrap(), 1);
    let exhausted = trap(garbage.call(&mut store, 500_000));
    assert_eq!(exhausted.code(), TrapCode::HeapExhausted);
}

#[test]
fn the_heap_counts_as_memory() {
    let module = module_with(LISTS, &Options::default());
    let limits = precast::Limits {
        memory_bytes: 256 << 10,
        ..precast::Limits::default()
    };
    let mut store = Store::with_limits((), limits);
    let guest = Linker::new().instantiate(&mut store, &module).unwrap();
    let list = guest.func::<i32, i32>(&store, "list").unwrap();
    assert_eq!(list.call(&mut store, 1000).unwrap(), 500_500);
    let exhausted = trap(list.call(&mut store, 1 << 20));
    assert_eq!(exhausted.code(), TrapCode::HeapExhausted);
    assert!(store.memory_bytes() <= 256 << 10);
}

#[test]
fn the_suite_passes_with_a_collection_at_each_object() {
    let scripts = suite::files();
    let scripts = scripts.iter().filter(|script| {
        ["gc/", "function-references/", "exceptions/"]
            .iter()
            .any(|folder| script.name.starts_with(folder))
    });
    let mut passed = 0;
    for script in scripts {
        for opt in [OptLevel::None, OptLevel::Speed] {
            let mut options = options(opt, Collector::Copying);
            options.jobs = 1;
            let outcome = run_file_in(script, &options, stress(), &[]);
            let failures: Vec<_> = outcome.failures.iter().map(|f| &f.message).collect();
            assert!(failures.is_empty(), "{}: {failures:?}", script.name);
            passed += outcome.passed;
        }
    }
    assert!(passed > 1000, "{passed}");
}

/// References in all places that a call must leave: parameters beyond registers, results beyond
/// registers, operands below a call, blocks, selects, across `try_table`s, and inlined calls.
#[test]
fn references_are_found_wherever_a_function_holds_them() {
    let text = r#"(module
        (type $b (struct (field (mut i32))))
        (tag $e (param (ref $b) i32))
        (func $make (param i32) (result (ref $b)) (struct.new $b (local.get 0)))
        (func $get (param (ref $b)) (result i32) (struct.get $b 0 (local.get 0)))
        (func $many (param (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b))
            (result (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b) (ref $b))
            (drop (call $make (i32.const 0)))
            (local.get 9) (local.get 8) (local.get 7) (local.get 6) (local.get 5)
            (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
        (func (export "many") (result i32)
            (call $many
                (call $make (i32.const 0)) (call $make (i32.const 1)) (call $make (i32.const 2)) (call $make (i32.const 3))
                (call $make (i32.const 4)) (call $make (i32.const 5)) (call $make (i32.const 6)) (call $make (i32.const 7))
                (call $make (i32.const 8)) (call $make (i32.const 9)))
            (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop)
            (drop (call $make (i32.const 77)))
            (call $get) (i32.mul (i32.const 10)) (local.set 0) (call $get) (i32.add (local.get 0)) (local i32))
        (func (export "select") (param i32) (result i32)
            (select (result (ref $b)) (call $make (i32.const 3)) (call $make (i32.const 4)) (local.get 0))
            (drop (call $make (i32.const 9)))
            (call $get))
        (func (export "block") (param i32) (result i32)
            (block (result (ref $b))
                (call $make (i32.const 5))
                (br_if 0 (local.get 0))
                (drop)
                (call $make (i32.const 6)))
            (drop (call $make (i32.const 9)))
            (call $get))
        (func $throws (param (ref $b))
            (drop (call $make (i32.const 1)))
            (throw $e (local.get 0) (i32.const 7)))
        (func (export "catch") (result i32)
            (local $kept (ref $b))
            (local.set $kept (call $make (i32.const 100)))
            (block $h (result (ref $b) i32)
                (try_table (catch $e $h) (call $throws (call $make (i32.const 20))))
                (unreachable))
            (drop (call $make (i32.const 1)))
            (i32.add (i32.add (call $get (local.get $kept))))
            (drop) (call $get (local.get $kept)))
        (func (export "kept_exception") (result i32)
            (local $x exnref) (local $i i32)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (call $throws (call $make (i32.const 20))))
                (unreachable))
            (local.set $x)
            (loop $l
                (drop (call $make (i32.const 1)))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
            (block $h2 (result (ref $b) i32)
                (try_table (catch $e $h2) (throw_ref (local.get $x)))
                (unreachable))
            (local.set $i)
            (i32.add (call $get) (local.get $i)))
        (func (export "fixed") (result i32)
            (local $a (ref $refs))
            (local.set $a (array.new_fixed $refs 3 (call $make (i32.const 1)) (call $make (i32.const 2)) (call $make (i32.const 4))))
            (drop (array.new $refs (call $make (i32.const 5)) (i32.const 40)))
            (i32.add (call $get (array.get $refs (local.get $a) (i32.const 0)))
                (i32.add (call $get (array.get $refs (local.get $a) (i32.const 1)))
                    (call $get (array.get $refs (local.get $a) (i32.const 2))))))
        (type $refs (array (mut (ref $b)))))"#
        .replace("(i32.add (i32.add (call $get (local.get $kept))))\n            (drop) (call $get (local.get $kept)))",
            "(drop) (call $get) (i32.add (call $get (local.get $kept))))")
        .replace(
            r#"(func (export "many") (result i32)"#,
            r#"(func (export "many") (result i32) (local i32)"#,
        )
        .replace(" (local i32))\n        (func (export \"select\")", ")\n        (func (export \"select\")");
    in_every_way(&text, |store, guest| {
        let none = |store: &mut Store<()>, name: &str| {
            let func = guest.func::<(), i32>(&*store, name).unwrap();
            func.call(store, ()).unwrap()
        };
        let one = |store: &mut Store<()>, name: &str, n: i32| {
            let func = guest.func::<i32, i32>(&*store, name).unwrap();
            func.call(store, n).unwrap()
        };
        // The last two results are parameters 8 and 9, the upper one first.
        assert_eq!(none(store, "many"), 10 * 8 + 9);
        assert_eq!((one(store, "select", 1), one(store, "select", 0)), (3, 4));
        assert_eq!((one(store, "block", 1), one(store, "block", 0)), (5, 6));
        assert_eq!(none(store, "catch"), 120);
        assert_eq!(none(store, "kept_exception"), 27);
        assert_eq!(none(store, "fixed"), 7);
    });
}

/// The host looks at objects, keeps them over collections, and gives them back.
#[test]
fn hosts_hold_objects() {
    let text = r#"(module
        (type $p (struct (field i32) (field (mut anyref)) (field (mut i8))))
        (type $a (array (mut i16)))
        (import "" "see" (func $see (param anyref) (result anyref)))
        (func (export "point") (result anyref)
            (struct.new $p (i32.const 7) (ref.i31 (i32.const -3)) (i32.const 200)))
        (func (export "array") (result anyref)
            (array.new $a (i32.const 0x1234) (i32.const 5)))
        (func (export "through") (param anyref) (result i32)
            (ref.eq (ref.cast eqref (local.get 0)) (ref.cast eqref (call $see (local.get 0)))))
        (func (export "is_point") (param anyref) (result i32)
            (ref.test (ref $p) (local.get 0))))"#;
    let module = module_with(text, &Options::default());
    let mut store = Store::with_options(None::<AnyRef>, stress());
    let mut linker = Linker::new();
    let any = ValType::Ref(RefType::ANYREF);
    let ty = FuncType::new([any], [any]);
    linker.func_dynamic("", "see", ty, |mut caller: Caller<'_, _>, args, results| {
        let Val::AnyRef(Some(seen)) = args[0] else {
            return Err(Error::host(std::fmt::Error));
        };
        *caller.data_mut() = Some(seen);
        results[0] = args[0];
        Ok(())
    });
    let guest = linker.instantiate(&mut store, &module).unwrap();
    let call = |store: &mut Store<Option<AnyRef>>, name: &str, args: &[Val]| {
        let Some(Extern::Func(func)) = guest.export(&*store, name) else {
            panic!("{name}")
        };
        let mut results = [Val::I32(0)];
        func.call(store, args, &mut results).unwrap();
        results[0]
    };
    let Val::AnyRef(Some(point)) = call(&mut store, "point", &[]) else {
        panic!("no object")
    };
    // Each of these collects, and moves what there is.
    for _ in 0..5 {
        call(&mut store, "array", &[]);
    }
    assert!(matches!(point.kind(&store), Ok(AnyKind::Struct(_))));
    assert_eq!(point.get(&mut store, 0).unwrap().i32(), Some(7));
    assert_eq!(point.get(&mut store, 2).unwrap().i32(), Some(200));
    let Val::AnyRef(Some(small)) = point.get(&mut store, 1).unwrap() else {
        panic!("no reference")
    };
    assert_eq!(small.kind(&store).unwrap(), AnyKind::I31(-3));
    assert!(point.get(&mut store, 3).is_err(), "there is no such field");
    assert!(point.set(&mut store, 0, Val::I32(1)).is_err(), "immutable");
    let array = call(&mut store, "array", &[]);
    point.set(&mut store, 1, array).unwrap();
    call(&mut store, "array", &[]);
    let Val::AnyRef(Some(array)) = point.get(&mut store, 1).unwrap() else {
        panic!("no reference")
    };
    assert!(matches!(array.kind(&store), Ok(AnyKind::Array(_, 5))));
    assert_eq!(array.get(&mut store, 4).unwrap().i32(), Some(0x1234));
    assert!(array.get(&mut store, 5).is_err());
    array.set(&mut store, 4, Val::I32(-1)).unwrap();
    assert_eq!(array.get(&mut store, 4).unwrap().i32(), Some(0xffff));
    let same = call(&mut store, "through", &[Val::AnyRef(Some(point))]);
    assert_eq!(same.i32(), Some(1));
    let seen = store.data().expect("it was called");
    assert!(seen.kind(&store).is_err(), "it ended with the function");
    let is = |store: &mut _, value| call(store, "is_point", &[Val::AnyRef(Some(value))]).i32();
    assert_eq!(is(&mut store, point), Some(1));
    assert_eq!(is(&mut store, array), Some(0));
    let integer = AnyRef::from_i31(&store, 5);
    assert_eq!(is(&mut store, integer), Some(0));
    let value = ExternRef::new(&mut store, 5u8);
    let foreign = AnyRef::from_extern(&mut store, value).unwrap();
    assert_eq!(is(&mut store, foreign), Some(0));
    assert_eq!(foreign.kind(&store).unwrap(), AnyKind::Extern(value));
    let mut other = Store::new(());
    assert!(point.kind(&other).is_err());
    assert!(AnyRef::from_extern(&mut other, value).is_err());
}

/// Objects that one instance makes are another one's, in the places of either and of the host.
#[test]
fn linked_instances_share_objects() {
    let types = "(type $b (sub (struct (field (mut i32)))))";
    let maker = format!(
        r#"(module {types}
            (global (export "g") (mut (ref null $b)) (ref.null $b))
            (func (export "make") (param i32) (result (ref $b)) (struct.new $b (local.get 0))))"#
    );
    let user = format!(
        r#"(module {types}
            (type $wider (sub $b (struct (field (mut i32)) (field i64))))
            (import "m" "make" (func $make (param i32) (result (ref $b))))
            (import "m" "g" (global $g (mut (ref null $b))))
            (import "h" "g" (global $h (mut anyref)))
            (import "h" "t" (table $t 2 anyref))
            (memory 1)
            (func (export "run") (param i32) (result i32)
                (local $own (ref $b))
                (local.set $own (struct.new $wider (local.get 0) (i64.const 1)))
                (global.set $g (call $make (i32.const 20)))
                (global.set $h (call $make (i32.const 300)))
                (table.set $t (i32.const 1) (call $make (i32.const 4000)))
                (drop (call $make (i32.const 0)))
                (i32.store (i32.const 0) (i32.const -1))
                (i32.add (struct.get $b 0 (local.get $own))
                    (i32.add (struct.get $b 0 (global.get $g))
                        (i32.add (struct.get $b 0 (ref.cast (ref $b) (global.get $h)))
                            (struct.get $b 0 (ref.cast (ref $b) (table.get $t (i32.const 1)))))))))"#
    );
    for options in [
        Options::default(),
        options(OptLevel::None, Collector::Copying),
    ] {
        let mut store = Store::with_options((), stress());
        let any = RefType::ANYREF;
        let ty = GlobalType::new(ValType::Ref(any), true);
        let global = Global::new(&mut store, ty, Val::AnyRef(None)).unwrap();
        let table = TableType::new(any, 2, None);
        let table = Table::new(&mut store, table, Val::AnyRef(None)).unwrap();
        let mut linker = Linker::new();
        linker.define(&store, "h", "g", global).unwrap();
        linker.define(&store, "h", "t", table).unwrap();
        let maker = linker
            .instantiate(&mut store, &module_with(&maker, &options))
            .unwrap();
        linker.instance(&store, "m", maker).unwrap();
        let user = linker
            .instantiate(&mut store, &module_with(&user, &options))
            .unwrap();
        let run = user.func::<i32, i32>(&store, "run").unwrap();
        for n in 0..100 {
            assert_eq!(run.call(&mut store, n).unwrap(), 4320 + n);
        }
    }
}

/// References are found below a call of the host that calls the guest again, which makes objects, and
/// in element segments that were not copied yet.
#[test]
fn references_are_found_below_nested_calls_and_in_segments() {
    let text = r#"(module
        (type $b (struct (field i32)))
        (import "" "again" (func $again))
        (table $t (export "t") 2 (ref null $b))
        (elem $e (ref null $b) (item (struct.new $b (i32.const 30))) (item (struct.new $b (i32.const 400))))
        (global $g (ref $b) (struct.new $b (i32.const 5000)))
        (func (export "make") (drop (struct.new $b (i32.const 99))))
        (func $below (param (ref $b)) (result i32)
            (call $again)
            (struct.get $b 0 (local.get 0)))
        (func (export "run") (result i32)
            (local $own (ref $b))
            (local.set $own (struct.new $b (i32.const 1)))
            (drop (call $below (struct.new $b (i32.const 2))))
            (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2))
            (call $again)
            (i32.add (struct.get $b 0 (local.get $own))
                (i32.add (struct.get $b 0 (table.get $t (i32.const 0)))
                    (i32.add (struct.get $b 0 (table.get $t (i32.const 1)))
                        (struct.get $b 0 (global.get $g)))))))"#;
    for opt in [OptLevel::None, OptLevel::Speed] {
        let module = module_with(text, &options(opt, Collector::Copying));
        let mut store = Store::with_options(None::<Instance>, stress());
        let mut linker = Linker::new();
        linker.func(
            "",
            "again",
            |mut caller: Caller<'_, Option<Instance>>| -> Result<(), Error> {
                let instance = caller.data().expect("it was set");
                let make = instance.func::<(), ()>(&caller, "make")?;
                (0..10).try_for_each(|_| make.call(&mut caller, ()))
            },
        );
        let guest = linker.instantiate(&mut store, &module).unwrap();
        *store.data_mut() = Some(guest);
        let run = guest.func::<(), i32>(&store, "run").unwrap();
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, ()).unwrap(), 5431);
        }
    }
}

/// Functions of a module without a memory are given none, least of all the heap.
#[test]
fn host_functions_do_not_see_the_heap_as_a_memory() {
    let text = r#"(module
        (type $b (struct (field i32)))
        (import "" "look" (func $look (result i32)))
        (func (export "run") (result i32)
            (drop (struct.new $b (i32.const 7)))
            (call $look)))"#;
    let module = module_with(text, &Options::default());
    let mut store = Store::new(());
    let mut linker = Linker::new();
    linker.func("", "look", |mut caller: Caller<'_, ()>| -> i32 {
        i32::from(caller.local_memory_and_data().is_some())
    });
    let guest = linker.instantiate(&mut store, &module).unwrap();
    let run = guest.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 0);
}

/// A guest that has a list of `n` objects in a global, and says how long it is.
const TENANT: &str = r#"(module
    (type $node (struct (field (ref null $node)) (field i64)))
    (global $list (mut (ref null $node)) (ref.null $node))
    (func (export "add") (param $n i32) (param $secret i64)
        (loop $l
            (global.set $list (struct.new $node (global.get $list) (local.get $secret)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "spin") (param $n i32) (param $secret i64)
        (loop $l
            (global.set $list (struct.new $node (ref.null $node) (local.get $secret)))
            (br $l)))
    (func (export "len") (result i32)
        (local $it (ref null $node)) (local $n i32)
        (local.set $it (global.get $list))
        (block $end
            (loop $l
                (br_if $end (ref.is_null (local.get $it)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (local.set $it (struct.get $node 0 (local.get $it)))
                (br $l)))
        (local.get $n)))"#;

/// Slots are verified byte for byte when they are given back: nothing of the heap is left.
#[test]
fn nothing_of_a_heap_is_left_for_the_next_tenant() {
    for strategy in [
        ResetStrategy::Auto,
        ResetStrategy::Window,
        ResetStrategy::Scan,
        ResetStrategy::Discard,
    ] {
        for density in [
            Density::Guarded,
            Density::Compact {
                reservation: 16 << 20,
            },
        ] {
            nothing_is_left(TENANT, strategy, density);
        }
        // With a memory of its own, the heap lies apart.
        let with_memory = TENANT.replacen("(module", "(module (memory 1)", 1);
        nothing_is_left(&with_memory, strategy, Density::Guarded);
    }
}

fn nothing_is_left(tenant: &str, strategy: ResetStrategy, density: Density) {
    let module = module_with(tenant, &Options::default());
    let template: Template<()> = Linker::new().template(&module).unwrap();
    let pool = Pool::builder()
        .slots(1)
        .density(density)
        .reset_strategy(strategy)
        .verify(true)
        .build()
        .unwrap();
    let add = template.func::<(i32, i64), ()>("add").unwrap();
    let spin = template.func::<(i32, i64), ()>("spin").unwrap();
    let len = template.func::<(), i32>("len").unwrap();
    for round in 0..12 {
        let mut sandbox = pool.instantiate(&template, Tenant(round), ()).unwrap();
        assert_eq!(
            len.call(&mut sandbox, ()).unwrap(),
            0,
            "{strategy:?} {density:?}"
        );
        let many = [10, 5000, 40_000][round as usize % 3];
        add.call(&mut sandbox, (many, 0x5ec1_e700)).unwrap();
        assert_eq!(len.call(&mut sandbox, ()).unwrap(), many);
        if round % 4 == 3 {
            // In the midst of making objects, and of collections.
            sandbox.set_deadline(Some(Instant::now() + Duration::from_millis(10)));
            let trap = trap(spin.call(&mut sandbox, (0, 0x5ec1_e700)));
            assert_eq!(trap.interruption(), Some(Interruption::Deadline));
        }
    }
}

/// A guest makes many more `externref`s of objects than there is room for, and keeps few.
#[test]
fn externrefs_of_objects_end_when_nothing_names_them() {
    let text = r#"(module
        (type $b (struct (field i32)))
        (type $box (struct (field externref)))
        (table $t 3 externref)
        (global $g (mut externref) (ref.null extern))
        (global $o (mut (ref null $box)) (ref.null $box))
        (func $extern (param i32) (result externref)
            (extern.convert_any (struct.new $b (local.get 0))))
        (func $value (param externref) (result i32)
            (struct.get $b 0 (ref.cast (ref $b) (any.convert_extern (local.get 0)))))
        (func (export "run") (param $n i32) (result i32)
            (local $kept externref)
            (local.set $kept (call $extern (i32.const 1)))
            (table.set $t (i32.const 1) (call $extern (i32.const 20)))
            (global.set $g (call $extern (i32.const 300)))
            (global.set $o (struct.new $box (call $extern (i32.const 4000))))
            (loop $l
                (drop (call $extern (local.get $n)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (i32.add (call $value (local.get $kept))
                (i32.add (call $value (table.get $t (i32.const 1)))
                    (i32.add (call $value (global.get $g))
                        (call $value (struct.get $box 0 (global.get $o))))))))"#;
    for opt in [OptLevel::None, OptLevel::Speed] {
        let module = module_with(text, &options(opt, Collector::Copying));
        let mut store = Store::new(());
        let guest = Linker::new().instantiate(&mut store, &module).unwrap();
        let run = guest.func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 300_000).unwrap(), 4321);
    }
}

/// Types deeper than what generated code looks at by itself.
#[test]
fn deep_types_are_told_apart() {
    let mut types = String::from("(type $t0 (sub (struct)))");
    for depth in 1..30 {
        types += &format!("(type $t{depth} (sub $t{} (struct)))", depth - 1);
    }
    let text = format!(
        r#"(module {types}
            (func $make (param i32) (result anyref)
                (if (result anyref) (local.get 0)
                    (then (struct.new $t28)) (else (struct.new $t16))))
            (func (export "is_20") (param i32) (result i32) (ref.test (ref $t20) (call $make (local.get 0))))
            (func (export "is_3") (param i32) (result i32) (ref.test (ref $t3) (call $make (local.get 0))))
            (func (export "is_29") (param i32) (result i32) (ref.test (ref $t29) (call $make (local.get 0)))))"#
    );
    in_every_way(&text, |store, guest| {
        let is = |store: &mut Store<()>, name: &str, n| {
            let func = guest.func::<i32, i32>(&*store, name).unwrap();
            func.call(store, n).unwrap()
        };
        assert_eq!((is(store, "is_20", 1), is(store, "is_20", 0)), (1, 0));
        assert_eq!((is(store, "is_3", 1), is(store, "is_3", 0)), (1, 1));
        assert_eq!((is(store, "is_29", 1), is(store, "is_29", 0)), (0, 0));
    });
}
