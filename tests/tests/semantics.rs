//! What generated code must do where it is easiest to get wrong: calls of every kind and size,
//! tables, bounds of every kind of memory, instantiation in its order.

use precast::{Error, Func, Instance, Linker, Store, Val};
use precast_abi::trap::TrapCode;
use precast_compiler::{OptLevel, Options};
use precast_tests::trusted;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A store with the instances of a test.
struct World {
    store: Store<()>,
    linker: Linker<()>,
    options: Options,
}

impl World {
    fn new(opt: OptLevel) -> World {
        let options = Options {
            opt,
            ..Options::default()
        };
        let mut linker = Linker::new();
        linker.func("host", "double", |_: precast::Caller<'_, ()>, x: i32| x * 2);
        World {
            store: Store::new(()),
            linker,
            options,
        }
    }

    fn try_instantiate(&mut self, wat: &str) -> Result<Instance, Error> {
        let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
        let module = trusted::open(&wasm, &self.options).unwrap_or_else(|error| panic!("{error}"));
        self.linker.instantiate(&mut self.store, &module)
    }

    #[track_caller]
    fn instantiate(&mut self, wat: &str) -> Instance {
        let instance = self.try_instantiate(wat);
        instance.unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn func(&self, instance: Instance, name: &str) -> Func {
        match instance.export(&self.store, name) {
            Some(precast::Extern::Func(func)) => func,
            _ => panic!("no function {name}"),
        }
    }

    fn call(&mut self, instance: Instance, name: &str, args: &[Val]) -> Result<Vec<Val>, Error> {
        let func = self.func(instance, name);
        let count = func.ty(&self.store)?.results().len();
        let mut results = vec![Val::I32(0); count];
        func.call(&mut self.store, args, &mut results)?;
        Ok(results)
    }

    /// Calls a function of integers.
    #[track_caller]
    fn ints(&mut self, instance: Instance, name: &str, args: &[Val]) -> Vec<i64> {
        let results = self.call(instance, name, args);
        let results = results.unwrap_or_else(|error| panic!("{name}: {error}"));
        results.iter().map(int).collect()
    }

    #[track_caller]
    fn traps(&mut self, instance: Instance, name: &str, args: &[Val], code: TrapCode) {
        match self.call(instance, name, args) {
            Err(Error::Trap(trap)) => assert_eq!(trap.code(), code, "{name} {args:?}"),
            Err(error) => panic!("{name}: {error}"),
            Ok(results) => panic!("{name} {args:?} returned {results:?}"),
        }
    }
}

fn int(value: &Val) -> i64 {
    match value {
        Val::I32(value) => i64::from(*value),
        Val::I64(value) => *value,
        other => panic!("{other:?}"),
    }
}

/// Runs a test at every optimisation level.
fn at_every_level(test: impl Fn(&mut World)) {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        test(&mut World::new(opt));
    }
}

/// Functions of 20 parameters and 20 results that call each other, and tail calls between
/// functions whose parameters need more and less room on the stack.
#[test]
fn many_parameters_and_results_survive_every_kind_of_call() {
    let types = "i32 i64 ".repeat(10);
    let gets: String = (0..20).rev().map(|n| format!("(local.get {n})")).collect();
    let types_back = "i64 i32 ".repeat(10);
    let args: String = (0..20)
        .map(|n| {
            format!(
                "({}.const {})",
                if n % 2 == 0 { "i32" } else { "i64" },
                n + 100
            )
        })
        .collect();
    let wat = format!(
        r#"(module
            (import "host" "double" (func $double (param i32) (result i32)))
            (type $many (func (param {types}) (result {types_back})))
            (type $none (func (result {types_back})))
            (table $fixed 2 funcref) (elem (table $fixed) (i32.const 0) func $many $none)
            (table $open (export "open") 2 funcref) (elem (table $open) (i32.const 0) func $many $none)
            (elem declare func $many)
            (func $many (type $many) {gets})
            (func $none (type $none) (return_call $many {args}))
            (func (export "direct") (type $none) (call $many {args}))
            (func (export "tail") (type $none) (return_call $many {args}))
            (func (export "tail_of_tail") (type $none) (return_call $none))
            (func (export "fixed") (type $none) (call_indirect $fixed (type $many) {args} (i32.const 0)))
            (func (export "open_table") (type $none) (call_indirect $open (type $many) {args} (i32.const 0)))
            (func (export "tail_fixed") (type $none) (return_call_indirect $fixed (type $many) {args} (i32.const 0)))
            (func (export "tail_open") (type $none) (return_call_indirect $open (type $many) {args} (i32.const 0)))
            (func (export "ref") (type $none) (call_ref $many {args} (ref.func $many)))
            (func (export "tail_ref") (type $none) (return_call_ref $many {args} (ref.func $many)))
            (func $three (param i32 i32 i32) (result i32)
                (i32.add (local.get 0) (i32.add (local.get 1) (local.get 2))))
            (func $shrinks (param {types}) (result i32)
                (return_call $three (local.get 0) (local.get 2) (local.get 18)))
            (func (export "shrinks") (result i32) (call $shrinks {args}))
            (func $to_host (param {types}) (result i32) (return_call $double (local.get 18)))
            (func (export "to_host") (result i32) (call $to_host {args})))"#
    );
    at_every_level(|world| {
        let instance = world.instantiate(&wat);
        let expected: Vec<i64> = (100..120).rev().collect();
        for name in [
            "direct",
            "tail",
            "tail_of_tail",
            "fixed",
            "open_table",
            "tail_fixed",
            "tail_open",
            "ref",
            "tail_ref",
        ] {
            assert_eq!(world.ints(instance, name, &[]), expected, "{name}");
        }
        assert_eq!(world.ints(instance, "shrinks", &[]), [100 + 102 + 118]);
        assert_eq!(world.ints(instance, "to_host", &[]), [236]);
    });
}

/// A million tail calls of each kind need no stack, also back and forth between instances.
#[test]
fn tail_calls_do_not_use_up_the_stack() {
    let wat = r#"(module
        (type $count (func (param i64 i64) (result i64)))
        (import "other" "step" (func $step (param i64 i64) (result i64)))
        (table $open (export "open") 3 funcref)
        (elem (table $open) (i32.const 0) func $direct $indirect $ref)
        (elem declare func $ref)
        (func $direct (export "direct") (type $count)
            (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))
                (else (return_call $direct (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 1))))))
        (func $indirect (export "indirect") (type $count)
            (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))
                (else (return_call_indirect $open (type $count)
                    (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 1)) (i32.const 1)))))
        (func $ref (export "ref") (type $count)
            (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))
                (else (return_call_ref $count
                    (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 1)) (ref.func $ref)))))
        (func (export "other") (type $count) (return_call $step (local.get 0) (local.get 1))))"#;
    let other = r#"(module
        (type $count (func (param i64 i64) (result i64)))
        (table (export "table") 1 funcref)
        (func (export "step") (type $count)
            (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))
                (else (return_call_indirect (type $count)
                    (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 1)) (i32.const 0))))))"#;
    at_every_level(|world| {
        let other = world.instantiate(other);
        let World { store, linker, .. } = world;
        linker
            .instance(&*store, "other", other)
            .expect("names are free");
        let instance = world.instantiate(wat);
        let back = world.func(instance, "other");
        let table = other.table(&world.store, "table").expect("it is exported");
        table
            .set(&mut world.store, 0, Val::FuncRef(Some(back)))
            .expect("there is room");
        for name in ["direct", "indirect", "ref", "other"] {
            let args = [Val::I64(1_000_000), Val::I64(0)];
            assert_eq!(world.ints(instance, name, &args), [1_000_000], "{name}");
        }
    });
}

/// Tables that no one can change and tables that anyone can trap alike, in calls and in tail
/// calls, entered from the host directly or not.
#[test]
fn indirect_calls_trap_by_kind() {
    let wat = |table: &str, ty: &str| {
        format!(
            r#"(module
                (type $t (func (result i32)))
                (type $far (func (param i64 i64 i64 i64 i64 i64 i64 i64) (result i32)))
                (table {table} {ty} 4 funcref)
                (elem (table 0) ({index}.const 0) func $f $g $far)
                (func $f (result i32) (i32.const 7))
                (func $g (param i32) (result i32) (i32.const 8))
                (func $far (type $far) (i32.const 9))
                (func (export "call") (param {index}) (result i32) (call_indirect (type $t) (local.get 0)))
                (func (export "tail") (param {index}) (result i32) (return_call_indirect (type $t) (local.get 0)))
                (func (export "tail_far") (param {index}) (result i32)
                    (return_call_indirect (type $far)
                        (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)
                        (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (local.get 0)))
                (func $nested (param {index}) (result i32) (i32.add (i32.const 1) (call_indirect (type $t) (local.get 0))))
                (func (export "nested") (param {index}) (result i32) (return_call $nested (local.get 0))))"#,
            index = if ty == "i64" { "i64" } else { "i32" },
        )
    };
    at_every_level(|world| {
        for (table, ty) in [
            ("", ""),
            ("(export \"t\")", ""),
            ("", "i64"),
            ("(export \"t\")", "i64"),
        ] {
            let instance = world.instantiate(&wat(table, ty));
            let wide = ty == "i64";
            let index = |n: i64| {
                if wide {
                    Val::I64(n)
                } else {
                    Val::I32(n as i32)
                }
            };
            assert_eq!(world.ints(instance, "call", &[index(0)]), [7]);
            assert_eq!(world.ints(instance, "tail", &[index(0)]), [7]);
            assert_eq!(world.ints(instance, "tail_far", &[index(2)]), [9]);
            assert_eq!(world.ints(instance, "nested", &[index(0)]), [8]);
            let mut out = vec![4, 5, -1, i64::from(i32::MAX), i64::from(i32::MIN)];
            if wide {
                out.extend([1 << 32, 1 << 62, i64::MIN, -4]);
            }
            for name in ["call", "tail", "nested"] {
                world.traps(
                    instance,
                    name,
                    &[index(1)],
                    TrapCode::IndirectCallTypeMismatch,
                );
                world.traps(
                    instance,
                    name,
                    &[index(2)],
                    TrapCode::IndirectCallTypeMismatch,
                );
                world.traps(instance, name, &[index(3)], TrapCode::UninitializedElement);
                for n in &out {
                    world.traps(instance, name, &[index(*n)], TrapCode::UndefinedElement);
                }
            }
            world.traps(
                instance,
                "tail_far",
                &[index(0)],
                TrapCode::IndirectCallTypeMismatch,
            );
            world.traps(
                instance,
                "tail_far",
                &[index(9)],
                TrapCode::UndefinedElement,
            );
            assert_eq!(
                world.ints(instance, "call", &[index(0)]),
                [7],
                "it lives on"
            );
        }
    });
}

/// Functions of other instances keep their own memory and globals, however they are called.
#[test]
fn functions_of_others_run_in_their_own_instance() {
    let lib = r#"(module
        (global $g (mut i32) (i32.const 40))
        (memory 1) (data (i32.const 0) "\02")
        (func (export "f") (param i32) (result i32)
            (global.set $g (i32.add (global.get $g) (i32.const 1)))
            (i32.add (i32.add (global.get $g) (i32.load8_u (i32.const 0))) (local.get 0))))"#;
    let app = r#"(module
        (type $t (func (param i32) (result i32)))
        (import "lib" "f" (func $f (type $t)))
        (memory 1) (data (i32.const 0) "\63")
        (global $g (mut i32) (i32.const 1000))
        (table $fixed 1 funcref) (elem (table $fixed) (i32.const 0) func $f)
        (table $open (export "open") 1 funcref) (elem (table $open) (i32.const 0) func $f)
        (elem declare func $f)
        (func (export "mine") (result i32) (i32.add (global.get $g) (i32.load8_u (i32.const 0))))
        (func (export "set") (global.set $g (i32.const 1000)))
        (func (export "direct") (result i32) (call $f (i32.const 100)))
        (func (export "fixed") (result i32) (call_indirect $fixed (type $t) (i32.const 100) (i32.const 0)))
        (func (export "open_table") (result i32) (call_indirect $open (type $t) (i32.const 100) (i32.const 0)))
        (func (export "ref") (result i32) (call_ref $t (i32.const 100) (ref.func $f)))
        (func (export "tail") (result i32) (return_call $f (i32.const 100)))
        (func (export "tail_fixed") (result i32) (return_call_indirect $fixed (type $t) (i32.const 100) (i32.const 0)))
        (func (export "tail_open") (result i32) (return_call_indirect $open (type $t) (i32.const 100) (i32.const 0)))
        (func (export "tail_ref") (result i32) (return_call_ref $t (i32.const 100) (ref.func $f)))
        (func (export "same") (result i32)
            (table.set $open (i32.const 0) (ref.func $f))
            (call_indirect $open (type $t) (i32.const 100) (i32.const 0))))"#;
    at_every_level(|world| {
        let lib = world.instantiate(lib);
        let World { store, linker, .. } = world;
        linker
            .instance(&*store, "lib", lib)
            .expect("names are free");
        let app = world.instantiate(app);
        let mut expected = 142;
        for name in [
            "direct",
            "fixed",
            "open_table",
            "ref",
            "tail",
            "tail_fixed",
            "tail_open",
            "tail_ref",
            "same",
        ] {
            expected += 1;
            assert_eq!(world.ints(app, name, &[]), [expected], "{name}");
            assert_eq!(world.ints(app, "mine", &[]), [1099], "{name}");
        }
    });
}

/// Every kind of memory at its edges: a load traps exactly where its last byte is out of bounds.
#[test]
fn loads_trap_where_the_memory_ends() {
    let kinds = [
        ("(memory 1)", "i32", 65536u64),
        ("(memory 0 1)", "i32", 0),
        ("(memory 1 1)", "i32", 65536),
        ("(memory i64 1)", "i64", 65536),
        ("(memory i64 0)", "i64", 0),
        ("(memory 100 (pagesize 1))", "i32", 100),
        ("(memory i64 100 (pagesize 1))", "i64", 100),
        ("(memory 5) (memory $m 1)", "i32", 65536),
        ("(memory 5) (memory $m i64 1)", "i64", 65536),
    ];
    let offsets = [
        0u64,
        1,
        92,
        4088,
        4096,
        65528,
        65536,
        1 << 25,
        (1 << 25) - 8,
        u32::MAX.into(),
    ];
    at_every_level(|world| {
        for (memory, index, len) in kinds {
            let m = if memory.contains("$m") { "$m" } else { "0" };
            let mut all = offsets.to_vec();
            if index == "i64" {
                all.extend([1 << 32, 1 << 47, 1 << 63, u64::MAX - 8, u64::MAX]);
            }
            let funcs: String = all
                .iter()
                .map(|offset| format!(
                    r#"(func (export "load{offset}") (param {index}) (drop (i64.load {m} offset={offset} (local.get 0))))
                       (func (export "byte{offset}") (param {index}) (result i32) (i32.load8_u {m} offset={offset} (local.get 0)))
                       (func (export "store{offset}") (param {index}) (i64.store {m} offset={offset} (local.get 0) (i64.const 0)))"#
                ))
                .collect();
            let instance = world.instantiate(&format!("(module {memory} {funcs})"));
            for offset in all {
                let mut indices = vec![0, 1, 64, 100, 4096, 65536, 1 << 31, u64::from(u32::MAX)];
                indices.extend([len, len + 1].map(|end| end.wrapping_sub(offset).wrapping_sub(8)));
                indices.extend([len, len + 1].map(|end| end.wrapping_sub(offset).wrapping_sub(1)));
                if index == "i64" {
                    indices.extend([1 << 32, 1 << 47, 1 << 63, u64::MAX]);
                } else {
                    indices.retain(|index| *index <= u64::from(u32::MAX));
                }
                for i in indices {
                    let arg = if index == "i64" {
                        Val::I64(i as i64)
                    } else {
                        Val::I32(i as i32)
                    };
                    for (name, size) in [("load", 8), ("byte", 1), ("store", 8)] {
                        let end = u128::from(i) + u128::from(offset) + size;
                        let name = format!("{name}{offset}");
                        if end > u128::from(len) {
                            world.traps(instance, &name, &[arg], TrapCode::MemoryOutOfBounds);
                        } else if let Err(error) = world.call(instance, &name, &[arg]) {
                            panic!("{memory} {name}({i}): {error}");
                        }
                    }
                }
            }
        }
    });
}

/// Memory that has just grown is there at once, for loads that were compiled with the old length.
#[test]
fn grown_memory_is_there_at_once() {
    for memory in [
        "(memory 1 3)",
        "(memory i64 1 3)",
        "(memory 9) (memory $m 1 3)",
        "(memory 9) (memory $m i64 1 3)",
    ] {
        let m = if memory.contains("$m") { "$m" } else { "0" };
        let i = if memory.contains("i64") { "i64" } else { "i32" };
        let wat = format!(
            r#"(module {memory}
                (func (export "f") (result {i} {i} {i} i32)
                    (i32.store8 {m} ({i}.const 65535) (i32.const 5))
                    (memory.grow {m} ({i}.const 1))
                    (memory.grow {m} ({i}.const 2))
                    (memory.size {m})
                    (i32.store8 {m} ({i}.const 131071) (i32.const 6))
                    (i32.add (i32.load8_u {m} ({i}.const 131071)) (i32.load8_u {m} ({i}.const 65535)))))"#
        );
        at_every_level(|world| {
            let instance = world.instantiate(&wat);
            assert_eq!(world.ints(instance, "f", &[]), [1, -1, 2, 11], "{memory}");
        });
    }
}

/// Instantiation goes in the specification's order and stops where it traps: what was done
/// before stays done in what others own.
#[test]
fn instantiation_stops_where_it_traps() {
    let owner = r#"(module
        (memory (export "memory") 1) (table (export "table") 3 funcref)
        (func (export "byte") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#;
    let failing = r#"(module
        (import "owner" "memory" (memory 1)) (import "owner" "table" (table 3 funcref))
        (memory $own 1) (data (memory $own) (i32.const 0) "own")
        (func $f (result i32) (i32.load8_u $own (i32.const 0)))
        (elem (i32.const 0) $f)
        (data (i32.const 0) "a") (data (i32.const 65536) "b") (data (i32.const 1) "c"))"#;
    at_every_level(|world| {
        let owner = world.instantiate(owner);
        let World { store, linker, .. } = world;
        linker
            .instance(&*store, "owner", owner)
            .expect("names are free");
        match world.try_instantiate(failing) {
            Err(Error::Trap(trap)) => assert_eq!(trap.code(), TrapCode::MemoryOutOfBounds),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.ints(owner, "byte", &[Val::I32(0)]), [i64::from(b'a')]);
        assert_eq!(world.ints(owner, "byte", &[Val::I32(1)]), [0]);
        // The function of the instance that failed can still be called, and has its memory.
        assert_eq!(world.ints(owner, "call", &[Val::I32(0)]), [i64::from(b'o')]);
    });
}

/// The start function sees everything in place, and passive segments are still there.
#[test]
fn start_runs_last() {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = calls.clone();
    at_every_level(move |world| {
        let seen = seen.clone();
        seen.store(0, Ordering::Relaxed);
        world
            .linker
            .func("host", "see", move |_: precast::Caller<'_, ()>, x: i32| {
                seen.store(x as u32, Ordering::Relaxed);
            });
        world.instantiate(
            r#"(module
                (import "host" "see" (func $see (param i32)))
                (memory 1) (data (i32.const 3) "\05") (data $p "\07")
                (table (export "t") 2 funcref) (elem (i32.const 1) $f)
                (global $g (mut i32) (i32.const 11))
                (func $f (result i32) (i32.const 13))
                (func $start
                    (memory.init $p (i32.const 4) (i32.const 0) (i32.const 1))
                    (call $see (i32.mul (i32.mul (i32.load8_u (i32.const 3)) (i32.load8_u (i32.const 4)))
                        (i32.mul (global.get $g) (call_indirect (result i32) (i32.const 1))))))
                (start $start))"#,
        );
        assert_eq!(calls.load(Ordering::Relaxed), 5 * 7 * 11 * 13);
    });
}

/// Segments that were put in place when compiling are dropped, as far as the guest can tell.
#[test]
fn active_and_declared_segments_are_dropped() {
    let wat = r#"(module
        (memory 1) (table $t (export "t") 2 funcref) (func $f)
        (data $active (i32.const 0) "x") (data $passive "y")
        (elem $filled (table $t) (i32.const 0) func $f) (elem $declared declare func $f) (elem $later func $f)
        (func (export "active") (param i32) (memory.init $active (i32.const 0) (i32.const 0) (local.get 0)))
        (func (export "passive") (param i32) (memory.init $passive (i32.const 0) (i32.const 0) (local.get 0)))
        (func (export "drop") (data.drop $passive) (elem.drop $later))
        (func (export "filled") (param i32) (table.init $t $filled (i32.const 0) (i32.const 0) (local.get 0)))
        (func (export "declared") (param i32) (table.init $t $declared (i32.const 0) (i32.const 0) (local.get 0)))
        (func (export "later") (param i32) (table.init $t $later (i32.const 0) (i32.const 0) (local.get 0))))"#;
    at_every_level(|world| {
        let instance = world.instantiate(wat);
        for (name, code) in [
            ("active", TrapCode::MemoryOutOfBounds),
            ("filled", TrapCode::TableOutOfBounds),
            ("declared", TrapCode::TableOutOfBounds),
        ] {
            world.ints(instance, name, &[Val::I32(0)]);
            world.traps(instance, name, &[Val::I32(1)], code);
        }
        world.ints(instance, "passive", &[Val::I32(1)]);
        world.ints(instance, "later", &[Val::I32(1)]);
        world.ints(instance, "drop", &[]);
        world.ints(instance, "drop", &[]);
        world.traps(
            instance,
            "passive",
            &[Val::I32(1)],
            TrapCode::MemoryOutOfBounds,
        );
        world.traps(
            instance,
            "later",
            &[Val::I32(1)],
            TrapCode::TableOutOfBounds,
        );
    });
}

/// Recursion without end is a trap, whatever the size of the frames.
#[test]
fn endless_recursion_exhausts_the_stack_only() {
    let locals = "i64 ".repeat(20_000);
    let uses: String = (0..20_000)
        .map(|n| format!("(local.set {n} (i64.load (i32.const {n})))"))
        .collect();
    let sums: String = (0..20_000)
        .map(|n| format!("(i64.add (local.get {n}))"))
        .collect();
    let wat = format!(
        r#"(module (memory 1) (table $t (export "t") 1 funcref) (elem (i32.const 0) $indirect)
            (func $small (export "small") (result i64) (i64.add (i64.const 1) (call $small)))
            (func $indirect (export "indirect") (result i64)
                (i64.add (i64.const 1) (call_indirect (result i64) (i32.const 0))))
            (func $large (export "large") (result i64) (local {locals})
                {uses} (call $large) {sums})
            (func (export "fine") (result i64) (i64.const 3)))"#
    );
    let mut world = World::new(OptLevel::Speed);
    let instance = world.instantiate(&wat);
    for _ in 0..3 {
        for name in ["small", "indirect", "large"] {
            world.traps(instance, name, &[], TrapCode::StackOverflow);
            assert_eq!(world.ints(instance, "fine", &[]), [3]);
        }
    }
}
