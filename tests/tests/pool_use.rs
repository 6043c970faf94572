//! Pools as their users know them: who may use what, for how long, and what is refused.

use std::time::{Duration, Instant};

use precast::pool::{Density, ResetStrategy};
use precast::{
    Caller, Error, InterruptHandle, Interruption, Linker, Pool, Sandbox, Tenant, TrapCode, Usage,
    UseError,
};
use precast_tests::guest::{module, trap};
use precast_tests::scribbler::{Host, SCRIBBLER, builder, check, template};

#[test]
fn a_kill_meant_for_the_last_user_does_not_hit_the_next() {
    let template = template();
    let pool = builder(ResetStrategy::Auto)
        .slots(1)
        .build()
        .expect("a small pool");
    let grow = template.func::<i32, i32>("grow").unwrap();
    let mut handles = Vec::new();
    for _ in 0..100 {
        let mut sandbox = pool
            .instantiate(&template, Tenant(1), Host::default())
            .unwrap();
        handles.iter().for_each(InterruptHandle::kill);
        assert_eq!(grow.call(&mut sandbox, 1).unwrap(), 4);
        let handle = sandbox.interrupt_handle();
        sandbox.reset().unwrap();
        handle.kill();
        assert_eq!(grow.call(&mut sandbox, 1).unwrap(), 4);
        handles.push(sandbox.interrupt_handle());
        assert!(!handles.last().unwrap().is_killed());
    }
    assert!(handles.iter().all(InterruptHandle::is_killed));
}

#[test]
fn limits_and_counts_start_anew_for_each_user() {
    let template = template();
    let pool = builder(ResetStrategy::Auto)
        .slots(1)
        .build()
        .expect("a small pool");
    let spin = template.func::<(), ()>("spin").unwrap();
    for _ in 0..3 {
        let mut sandbox = pool
            .instantiate(&template, Tenant(1), Host::default())
            .unwrap();
        assert_eq!(sandbox.usage(), sandbox_usage());
        sandbox.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
        let trap = trap(spin.call(&mut sandbox, ()));
        assert_eq!(trap.interruption(), Some(Interruption::Deadline));
        assert_eq!(sandbox.usage().host_calls, 1);
        drop(sandbox);
        let mut sandbox = pool
            .instantiate(&template, Tenant(2), Host::default())
            .unwrap();
        sandbox.set_cpu_budget(Some(Duration::from_millis(20)));
        let trap = precast_tests::guest::trap(spin.call(&mut sandbox, ()));
        assert_eq!(trap.interruption(), Some(Interruption::CpuBudget));
        drop(sandbox);
        let mut sandbox = pool
            .instantiate(&template, Tenant(3), Host::default())
            .unwrap();
        assert_eq!(sandbox.cpu_budget(), None);
        check(&mut sandbox, &template, "limits that were reached");
    }
}

/// What a sandbox has used that has run nothing.
fn sandbox_usage() -> Usage {
    let mut usage = Usage::default();
    usage.memory_bytes = 4 * 65_536;
    usage
}

#[test]
fn guests_may_be_suspended_and_left() {
    let template = template();
    let pool = builder(ResetStrategy::Auto)
        .slots(2)
        .build()
        .expect("a small pool");
    let call_host = template.func::<i32, ()>("call_host").unwrap();
    let start = |sandbox| {
        let started = call_host.bind(&sandbox).unwrap().start(sandbox, 4);
        started.unwrap_suspended()
    };
    for round in 0..4 {
        let make = || {
            pool.instantiate(&template, Tenant(1), Host::default())
                .unwrap()
        };
        let (left, resumed) = (start(make()), start(make()));
        let full = pool.instantiate(&template, Tenant(1), Host::default());
        assert!(full.is_err(), "suspended guests keep their slots");
        let resume = std::thread::spawn(move || resumed.resume().unwrap_done());
        let (sandbox, result) = resume.join().unwrap();
        result.unwrap();
        if round % 2 == 0 {
            left.store().interrupt_handle().kill();
        }
        drop((left, sandbox));
        check(&mut make(), &template, "a suspended guest");
    }
    assert_eq!(pool.stats().free, 2);
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
        assert!(sandbox.data().is_multiple_of(2));
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
                    touch.call(&mut sandbox, round % 60).unwrap();
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
