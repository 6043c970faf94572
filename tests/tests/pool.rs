//! Pools: slots that are used again hold nothing of their last user, whatever it did and however it
//! ended, and however they are restored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use precast::pool::{Density, PoolBuilder, ResetStrategy};
use precast::{Caller, Error, Linker, Pool, Sandbox, Template, Tenant, TrapCode, UseError, Val};
use precast_tests::guest::{module, trap};

/// Writes a pattern everywhere it can, or looks for anything that is not as it was instantiated.
const SCRIBBLER: &str = r#"(module
  (import "host" "call" (func $host (param i32)))
  (memory (export "memory") 4 64)
  (table $t (export "table") 8 64 funcref)
  (table $e (export "externs") 4 externref)
  (global $a (export "a") (mut i64) (i64.const 7))
  (global $b (mut v128) (v128.const i64x2 1 2))
  (data (i32.const 8) "initial data")
  (data (i32.const 131072) "more of it")
  (data $passive "passive")
  (elem $passive_elem func $recurse)
  (elem (table $t) (i32.const 1) func $recurse)
  (func $recurse (export "recurse") (param i32) (result i32)
    (local i64 v128)
    (local.set 1 (i64.const 0x5ec12e7a5ec12e7a))
    (if (result i32) (local.get 0)
      (then (i32.add (call $recurse (i32.sub (local.get 0) (i32.const 1)))
                     (i32.wrap_i64 (local.get 1))))
      (else (i32.const 0))))
  ;; Fills pages [from, to) of the memory with a pattern, and everything else it has.
  (func (export "scribble") (param $from i32) (param $to i32)
    (memory.fill (i32.shl (local.get $from) (i32.const 12)) (i32.const 0x5e)
      (i32.shl (i32.sub (local.get $to) (local.get $from)) (i32.const 12)))
    (global.set $a (i64.const 0x5ec12e7a5ec12e7a))
    (global.set $b (v128.const i64x2 0x5ec12e7a 0x5ec12e7a))
    (table.set $t (i32.const 3) (ref.func $recurse))
    (drop (table.grow $t (ref.func $recurse) (i32.const 5)))
    (table.set $e (i32.const 0) (table.get $e (i32.const 1)))
    (data.drop $passive)
    (elem.drop $passive_elem)
    (drop (call $recurse (i32.const 100))))
  ;; One byte at a time, so that faults find every page of the window.
  (func (export "touch") (param $page i32)
    (i32.store8 (i32.shl (local.get $page) (i32.const 12)) (i32.const 0x5e)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "trap") (drop (call $recurse (i32.const 10))) (unreachable))
  (func (export "overflow") (drop (call $recurse (i32.const 100000000))))
  (func (export "spin") (call $host (i32.const 1)) (loop (br 0)))
  (func (export "call_host") (param i32) (call $host (local.get 0)))
  (func (export "past_end") (result i32) (i32.load (i32.shl (memory.size) (i32.const 16))))
  ;; 0, or what is not as it should be.
  (func (export "check") (result i32)
    (local $at i32)
    (if (i32.ne (memory.size) (i32.const 4)) (then (return (i32.const 1))))
    (if (i64.ne (global.get $a) (i64.const 7)) (then (return (i32.const 2))))
    (if (i32.ne (i64x2.bitmask (i64x2.eq (global.get $b) (v128.const i64x2 1 2))) (i32.const 3))
      (then (return (i32.const 3))))
    (if (i32.ne (table.size $t) (i32.const 8)) (then (return (i32.const 4))))
    (if (i32.eqz (ref.is_null (table.get $t (i32.const 3)))) (then (return (i32.const 5))))
    (if (ref.is_null (table.get $t (i32.const 1))) (then (return (i32.const 6))))
    (if (i32.eqz (ref.is_null (table.get $e (i32.const 0)))) (then (return (i32.const 7))))
    (if (i64.ne (i64.load (i32.const 8)) (i64.const 0x206c616974696e69)) (then (return (i32.const 8))))
    (if (i64.ne (i64.load (i32.const 131072)) (i64.const 0x20666f2065726f6d))
      (then (return (i32.const 9))))
    ;; Neither segment is dropped.
    (memory.init $passive (i32.const 1024) (i32.const 0) (i32.const 7))
    (memory.fill (i32.const 1024) (i32.const 0) (i32.const 7))
    (table.init $t $passive_elem (i32.const 2) (i32.const 0) (i32.const 1))
    (table.set $t (i32.const 2) (ref.null func))
    ;; Everything else is zero.
    (loop $next
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
        (then
          (if (i32.gt_u (local.get $at) (i32.const 16))
            (then
              (if (i32.eqz (i32.or (i32.eq (local.get $at) (i32.const 131072))
                                   (i32.eq (local.get $at) (i32.const 131080))))
                (then (return (i32.or (local.get $at) (i32.const 0x40000000)))))))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 262144))))
    (i32.const 0)))"#;

/// What the guest's calls of the host do.
#[derive(Debug, Default)]
struct Host {
    entered: Arc<AtomicBool>,
}

impl Host {
    fn was_entered(&self) -> bool {
        self.entered.load(Ordering::SeqCst)
    }
}

fn template() -> Template<Host> {
    let mut linker = Linker::new();
    linker.func(
        "host",
        "call",
        |mut caller: Caller<'_, Host>, what: i32| -> Result<(), Error> {
            caller.data().entered.store(true, Ordering::SeqCst);
            match what {
                0 => {
                    let (mut memory, _) = caller.memory_and_data().expect("it has a memory");
                    memory.write(50_000, &[0x5e; 9000]).expect("within");
                    Ok(())
                }
                1 => Ok(()),
                2 => Err(Error::host("as asked")),
                3 => panic!("as asked"),
                _ => {
                    let (memory, _) = caller.memory_and_data().expect("it has a memory");
                    memory.all_mut().expect("writable").fill(0x5e);
                    Ok(())
                }
            }
        },
    );
    linker
        .template(&module(SCRIBBLER))
        .expect("its imports fit")
}

fn builder(strategy: ResetStrategy) -> PoolBuilder {
    Pool::builder()
        .slots(2)
        .reset_strategy(strategy)
        .verify(true)
}

fn check(sandbox: &mut Sandbox<Host>, template: &Template<Host>, after: &str) {
    let check = template.func::<(), i32>("check").expect("it exports it");
    let found = check.call(sandbox, ()).expect("it does not trap");
    assert_eq!(found, 0, "{found:#x} after {after}");
    let past_end = template.func::<(), i32>("past_end").expect("it exports it");
    let code = trap(past_end.call(sandbox, ())).code();
    assert_eq!(code, TrapCode::MemoryOutOfBounds, "after {after}");
}

/// Something that a tenant does.
type Deed = fn(&mut Sandbox<Host>, &Template<Host>);

/// Everything a tenant can do, with a name.
fn deeds() -> Vec<(&'static str, Deed)> {
    fn call(sandbox: &mut Sandbox<Host>, name: &str, params: &[Val]) -> Result<(), Error> {
        let instance = sandbox.instance();
        let func = instance
            .export(&*sandbox, name)
            .and_then(|item| item.func());
        let func = func.expect("it exports it");
        let results = func.ty(&*sandbox)?.results().len();
        func.call(sandbox, params, &mut vec![Val::I32(0); results])
    }
    fn i32s<const N: usize>(values: [i32; N]) -> [Val; N] {
        values.map(Val::I32)
    }
    vec![
        ("nothing", |_, _| {}),
        ("little", |s, _| call(s, "touch", &i32s([3])).unwrap()),
        ("far apart", |s, _| {
            for page in [0, 20, 40, 60, 63, 31, 10] {
                call(s, "touch", &i32s([page])).unwrap();
            }
        }),
        ("in a row", |s, _| {
            (5..60).for_each(|page| call(s, "touch", &i32s([page])).unwrap())
        }),
        ("a page", |s, _| call(s, "scribble", &i32s([2, 3])).unwrap()),
        ("all", |s, _| call(s, "scribble", &i32s([0, 64])).unwrap()),
        ("growing", |s, _| {
            call(s, "grow", &i32s([3])).unwrap();
            call(s, "scribble", &i32s([60, 112])).unwrap();
        }),
        ("growing and touching", |s, _| {
            call(s, "grow", &i32s([60])).unwrap();
            call(s, "touch", &i32s([64])).unwrap();
            call(s, "touch", &i32s([1000])).unwrap();
        }),
        ("a trap", |s, _| {
            call(s, "scribble", &i32s([8, 16])).unwrap();
            trap(call(s, "trap", &[]));
        }),
        ("a stack overflow", |s, _| {
            assert_eq!(
                trap(call(s, "overflow", &[])).code(),
                TrapCode::StackOverflow
            );
        }),
        ("deep recursion", |s, _| {
            call(s, "recurse", &i32s([3000])).unwrap()
        }),
        ("the host writing", |s, _| {
            call(s, "call_host", &i32s([0])).unwrap()
        }),
        ("the host writing everywhere", |s, _| {
            call(s, "call_host", &i32s([9])).unwrap()
        }),
        ("the host writing from outside", |s, _| {
            let memory = s.instance().memory(&*s, "memory").unwrap();
            memory.write(&mut *s, 200_000, &[0x5e; 100]).unwrap();
            memory.slice_mut(s, 100_000..100_010).unwrap().fill(0x5e);
        }),
        ("the host failing", |s, _| {
            call(s, "call_host", &i32s([2])).unwrap_err();
        }),
        ("the host panicking", |s, _| {
            call(s, "touch", &i32s([7])).unwrap();
            let call = std::panic::AssertUnwindSafe(|| call(s, "call_host", &i32s([3])));
            std::panic::catch_unwind(call).expect_err("it panics");
        }),
        ("a kill", |s, _| {
            let handle = s.interrupt_handle();
            let entered = Arc::clone(&s.data().entered);
            entered.store(false, Ordering::SeqCst);
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    while !entered.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    handle.kill();
                });
                call(s, "touch", &i32s([9])).unwrap();
                let code = trap(call(s, "spin", &[])).code();
                assert_eq!(code, TrapCode::Interrupted);
            });
        }),
        ("more instances and values", |s, t| {
            let other = Linker::new()
                .instantiate(
                    &mut *s,
                    &module(
                        r#"(module (memory 1 2)
                (func (export "f") (i32.store (i32.const 0) (i32.const 1))))"#,
                    ),
                )
                .unwrap();
            other
                .func::<(), ()>(&*s, "f")
                .unwrap()
                .call(&mut *s, ())
                .unwrap();
            let table = s.instance().table(&*s, "externs").unwrap();
            let secret = precast::ExternRef::new(&mut *s, 42u64);
            table.set(&mut *s, 2, Val::ExternRef(Some(secret))).unwrap();
            check(s, t, "an externref elsewhere");
        }),
    ]
}

/// Does `first`, resets, does `second`, and gives the slot to another tenant.
fn in_turn(
    pool: &Pool<Host>,
    template: &Template<Host>,
    first: (&'static str, Deed),
    second: (&'static str, Deed),
) {
    let mut sandbox = pool
        .instantiate(template, Tenant(1), Host::default())
        .unwrap();
    (first.1)(&mut sandbox, template);
    sandbox.reset().expect("nothing is refused");
    check(&mut sandbox, template, first.0);
    (second.1)(&mut sandbox, template);
    drop(sandbox);
    let mut sandbox = pool
        .instantiate(template, Tenant(2), Host::default())
        .unwrap();
    assert!(!sandbox.data().was_entered());
    assert_eq!(sandbox.tenant(), Tenant(2));
    check(&mut sandbox, template, second.0);
}

fn isolation(strategy: ResetStrategy) {
    let template = template();
    let pool = builder(strategy).build().expect("a small pool");
    // Windows learned from one deed meet the others.
    let deeds = deeds();
    for step in 0..deeds.len() {
        for (index, &deed) in deeds.iter().enumerate().step_by(3) {
            in_turn(&pool, &template, deed, deeds[(index + step) % deeds.len()]);
        }
    }
    let stats = pool.stats();
    assert_eq!(
        (stats.live, stats.unclean, stats.lost),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(stats.made, 1, "one slot is used over and over: {stats:?}");
    let (window, scan, discard) = match strategy {
        ResetStrategy::Scan => (false, true, false),
        ResetStrategy::Discard => (false, false, true),
        _ => (true, true, false),
    };
    assert_eq!(stats.resets_by_window > 0, window, "{stats:?}");
    assert_eq!(stats.resets_by_scan > 0, scan, "{stats:?}");
    assert_eq!(stats.resets_by_discard > 0, discard, "{stats:?}");
}

#[test]
fn nothing_is_left_whatever_restores_it() {
    isolation(ResetStrategy::Auto);
}

#[test]
fn nothing_is_left_by_window() {
    isolation(ResetStrategy::Window);
}

#[test]
fn nothing_is_left_by_scan() {
    isolation(ResetStrategy::Scan);
}

#[test]
fn nothing_is_left_by_discard() {
    isolation(ResetStrategy::Discard);
}

#[test]
fn a_slot_goes_to_one_template_after_the_other() {
    let pool = builder(ResetStrategy::Auto)
        .slots(1)
        .build()
        .expect("a small pool");
    let (first, second) = (template(), template());
    for round in 0..5 {
        for template in [&first, &second] {
            let mut sandbox = pool
                .instantiate(template, Tenant(round), Host::default())
                .unwrap();
            check(&mut sandbox, template, "another template");
            let scribble = template.func::<(i32, i32), ()>("scribble").unwrap();
            scribble.call(&mut sandbox, (0, 64)).unwrap();
        }
    }
    let stats = pool.stats();
    assert_eq!((stats.made, stats.lost, stats.free), (10, 0, 1));
}

#[test]
fn functions_of_another_template_are_refused() {
    let pool = builder(ResetStrategy::Auto).build().expect("a small pool");
    let (first, second) = (template(), template());
    let grow = first.func::<i32, i32>("grow").unwrap();
    let mut sandbox = pool
        .instantiate(&second, Tenant(0), Host::default())
        .unwrap();
    let error = grow.call(&mut sandbox, 1).unwrap_err();
    assert!(
        matches!(error, Error::Use(UseError::WrongTemplate)),
        "{error}"
    );
    assert!(second.func::<i64, i32>("grow").is_err());
    assert!(second.func::<i32, i32>("memory").is_err());
    assert!(second.func::<i32, i32>("nothing").is_err());
}

#[test]
fn handles_of_the_last_user_are_of_no_use() {
    let template = template();
    let pool = builder(ResetStrategy::Auto)
        .slots(1)
        .build()
        .expect("a small pool");
    let sandbox = pool
        .instantiate(&template, Tenant(1), Host::default())
        .unwrap();
    let instance = sandbox.instance();
    let memory = instance.memory(&sandbox, "memory").unwrap();
    let grow = instance.func::<i32, i32>(&sandbox, "grow").unwrap();
    drop(sandbox);
    let mut sandbox = pool
        .instantiate(&template, Tenant(2), Host::default())
        .unwrap();
    assert!(memory.data(&sandbox).is_err());
    assert!(memory.write(&mut sandbox, 0, b"x").is_err());
    assert!(grow.call(&mut sandbox, 1).is_err());
    assert!(instance.exports(&sandbox).is_err());
    sandbox.reset().unwrap();
    check(&mut sandbox, &template, "handles that were refused");
}

#[test]
fn everything_may_be_dropped_in_any_order() {
    for order in 0..6 {
        let template = template();
        let pool = builder(ResetStrategy::Auto).build().expect("a small pool");
        let unused = pool
            .instantiate(&template, Tenant(1), Host::default())
            .unwrap();
        drop(unused);
        let sandbox = pool
            .instantiate(&template, Tenant(1), Host::default())
            .unwrap();
        let grow = template.func::<i32, i32>("grow").unwrap();
        let (mut template, mut pool, mut sandbox) = (Some(template), Some(pool), Some(sandbox));
        for step in 0..3 {
            match (order + step * (1 + order / 3)) % 3 {
                0 => drop(template.take()),
                1 => drop(pool.take()),
                _ => drop(sandbox.take()),
            }
            if let Some(sandbox) = &mut sandbox {
                assert!(grow.call(sandbox, 1).unwrap() >= 4);
            }
            if let (Some(pool), Some(template)) = (&pool, &template) {
                drop(
                    pool.instantiate(template, Tenant(3), Host::default())
                        .unwrap(),
                );
            }
        }
    }
}

#[test]
fn a_template_that_is_gone_leaves_its_slots_to_others() {
    let pool = builder(ResetStrategy::Auto).build().expect("a small pool");
    let first = template();
    let live = pool
        .instantiate(&first, Tenant(1), Host::default())
        .unwrap();
    drop(
        pool.instantiate(&first, Tenant(1), Host::default())
            .unwrap(),
    );
    assert_eq!((pool.stats().warm, pool.stats().live), (1, 1));
    drop(first);
    assert_eq!((pool.stats().warm, pool.stats().live), (0, 1));
    drop(live);
    let stats = pool.stats();
    assert_eq!(
        (stats.warm, stats.live, stats.free, stats.lost),
        (0, 0, 2, 0)
    );
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let template = template();
    let pool = builder(ResetStrategy::Auto)
        .slots(1)
        .build()
        .expect("a small pool");
    let sandbox = pool
        .instantiate(&template, Tenant(1), Host::default())
        .unwrap();
    let error = pool
        .instantiate(&template, Tenant(1), Host::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "all 1 slots of the pool are in use: set `slots` higher"
    );
    drop(sandbox);
    drop(
        pool.instantiate(&template, Tenant(1), Host::default())
            .unwrap(),
    );

    let mut store = precast::Store::new(Host::default());
    let mut linker = Linker::<Host>::new();
    let func = precast::Func::wrap(&mut store, |_: Caller<'_, Host>, _: i32| {});
    linker.define(&store, "host", "call", func).unwrap();
    let error = linker.template(&module(SCRIBBLER)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`host::call` belongs to a store"),
        "{error}"
    );
    let error = Linker::<Host>::new()
        .template(&module(SCRIBBLER))
        .unwrap_err();
    assert!(
        error.to_string().contains("unknown import `host::call`"),
        "{error}"
    );

    let large = Linker::<Host>::new()
        .template(&module(
            "(module (table 2000 funcref) (table (export \"t\") 2000 funcref))",
        ))
        .unwrap();
    let pool = builder(ResetStrategy::Auto)
        .instance_data(4096)
        .build()
        .unwrap();
    let error = pool
        .instantiate(&large, Tenant(1), Host::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("set `instance_data` higher"),
        "{error}"
    );
    let pool = Pool::builder()
        .density(Density::Compact {
            reservation: 1 << 20,
        })
        .build()
        .unwrap();
    let error = pool
        .instantiate(&template, Tenant(1), Host::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("--memory-reservation"),
        "{error}"
    );
    let stats = pool.stats();
    assert_eq!((stats.live, stats.free, stats.lost), (0, 1000, 0));

    let limited = Linker::<Host>::new()
        .template(&module("(module (memory 20))"))
        .unwrap();
    let pool = builder(ResetStrategy::Auto)
        .max_memory(1 << 20)
        .build()
        .unwrap();
    let error = pool
        .instantiate(&limited, Tenant(1), Host::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("exceeds the limit of 1048576"),
        "{error}"
    );
    let error = Pool::builder()
        .slots(40_000_000)
        .build::<Host>()
        .unwrap_err();
    assert!(
        error.to_string().contains("bytes of address space"),
        "{error}"
    );
    let error = Pool::builder().slots(0).build::<Host>().unwrap_err();
    assert!(error.to_string().contains("between 1 and"), "{error}");
}

#[test]
fn start_functions_run_for_each_user() {
    let mut linker = Linker::<u32>::new();
    linker.func("host", "started", |mut caller: Caller<'_, u32>| {
        *caller.data_mut() += 1
    });
    let with_host = linker
        .template(&module(
            r#"(module (import "host" "started" (func $started)) (memory 1)
                (global $g (mut i32) (i32.const 0))
                (func $start (i32.store (i32.const 8) (i32.const 9)) (call $started)
                    (global.set $g (i32.const 5)))
                (start $start)
                (func (export "get") (result i32)
                    (i32.add (i32.load (i32.const 8)) (global.get $g))
                    (i32.store (i32.const 8) (i32.const 77)) (global.set $g (i32.const 77))))"#,
        ))
        .unwrap();
    let without = linker
        .template(&module(
            r#"(module (memory 1) (global $g (mut i32) (i32.const 0))
                (func $start (global.set $g (i32.add (global.get $g) (i32.const 14))))
                (start $start)
                (func (export "get") (result i32)
                    (global.get $g) (global.set $g (i32.const 77))))"#,
        ))
        .unwrap();
    let pool = Pool::builder().slots(1).build().unwrap();
    for template in [with_host, without] {
        let get = template.func::<(), i32>("get").unwrap();
        for _ in 0..4 {
            let mut sandbox = pool.instantiate(&template, Tenant(0), 0).unwrap();
            assert_eq!(get.call(&mut sandbox, ()).unwrap(), 14);
            assert_eq!(get.call(&mut sandbox, ()).unwrap() % 77, 0);
            sandbox.reset().unwrap();
            assert_eq!(get.call(&mut sandbox, ()).unwrap(), 14);
        }
        let mut sandbox = pool.instantiate(&template, Tenant(0), 0).unwrap();
        let started = sandbox.into_data();
        sandbox = pool.instantiate(&template, Tenant(0), started).unwrap();
        assert!(*sandbox.data() % 2 == 0);
    }
}

#[test]
fn a_start_function_that_traps_gives_the_slot_back() {
    let template = Linker::<()>::new()
        .template(&module("(module (memory 1) (func $s (i32.store (i32.const 0) (i32.const 1)) unreachable) (start $s))"))
        .unwrap();
    let pool = Pool::builder().slots(1).verify(true).build().unwrap();
    for _ in 0..10 {
        let error = pool.instantiate(&template, Tenant(0), ()).unwrap_err();
        assert_eq!(
            error.trap().map(|trap| trap.code()),
            Some(TrapCode::Unreachable)
        );
    }
    assert_eq!(pool.stats().free, 1);
}

#[test]
fn several_memories_and_large_tables_are_restored() {
    let template = Linker::<()>::new()
        .template(&module(
            r#"(module (memory 1) (memory $second 1 8) (data (memory $second) (i32.const 4) "abcd")
                (table $t 10000 20000 funcref) (elem (table $t) (i32.const 9999) func $f)
                (func $f)
                (func (export "use") (result i32)
                    (i32.or
                        (i32.ne (i32.load $second (i32.const 4)) (i32.const 0x64636261))
                        (i32.or (i32.load $second (i32.const 40000))
                        (i32.or (i32.ne (memory.size $second) (i32.const 1))
                        (i32.or (i32.ne (table.size $t) (i32.const 10000))
                        (i32.or (ref.is_null (table.get $t (i32.const 9999)))
                                (i32.eqz (ref.is_null (table.get $t (i32.const 5)))))))))
                    (i64.store $second (i32.const 0) (i64.const -1))
                    (i64.store $second (i32.const 40000) (i64.const -1))
                    (drop (memory.grow $second (i32.const 2)))
                    (i64.store $second (i32.const 100000) (i64.const -1))
                    (table.set $t (i32.const 5) (ref.func $f))
                    (table.set $t (i32.const 9999) (ref.null func)))
                (func (export "grow") (drop (table.grow $t (ref.func $f) (i32.const 100)))))"#,
        ))
        .unwrap();
    let pool = Pool::builder().slots(1).verify(true).build().unwrap();
    let work = template.func::<(), i32>("use").unwrap();
    let grow = template.func::<(), ()>("grow").unwrap();
    for round in 0..6 {
        let mut sandbox = pool.instantiate(&template, Tenant(0), ()).unwrap();
        assert_eq!(work.call(&mut sandbox, ()).unwrap(), 0, "round {round}");
        if round % 2 == 0 {
            grow.call(&mut sandbox, ()).unwrap();
        }
    }
    assert_eq!(pool.stats().made, 1);
}

#[test]
fn threads_share_a_pool() {
    let template = template();
    let pool = builder(ResetStrategy::Auto)
        .slots(8)
        .build()
        .expect("a small pool");
    let grow = template.func::<i32, i32>("grow").unwrap();
    let touch = template.func::<i32, ()>("touch").unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Sandbox<Host>>(3);
    std::thread::scope(|scope| {
        // Sandboxes made on one thread end on another.
        let template = &template;
        scope.spawn(move || {
            for mut sandbox in receiver {
                touch.call(&mut sandbox, 3).unwrap();
            }
        });
        for thread in 0..3u64 {
            let (pool, sender) = (&pool, sender.clone());
            scope.spawn(move || {
                for round in 0..300 {
                    let made = pool.instantiate(template, Tenant(thread), Host::default());
                    let Ok(mut sandbox) = made else {
                        std::thread::yield_now();
                        continue;
                    };
                    assert_eq!(grow.call(&mut sandbox, 1).unwrap(), 4);
                    touch.call(&mut sandbox, (round % 60) as i32).unwrap();
                    if round % 3 == 0 {
                        sender.send(sandbox).unwrap();
                    }
                }
            });
        }
        drop(sender);
    });
    let stats = pool.stats();
    assert_eq!(
        (stats.live, stats.unclean, stats.lost),
        (0, 0, 0),
        "{stats:?}"
    );
}
