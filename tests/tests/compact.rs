//! Memories with less address space than guard pages need: every access is checked, and they do
//! not grow beyond it.

use precast::{Linker, Module, Store, TrapCode};
use precast_compiler::{CompileError, OptLevel, Options};
use precast_tests::guest::trap;
use precast_tests::spec::runner::run_file;
use precast_tests::spec::skip::SkipList;
use precast_tests::spec::suite;
use precast_tests::trusted::{self, Refusal};

const PAGE: u32 = 65_536;

fn try_module(text: &str, reservation: u64, opt: OptLevel) -> Result<Module, Refusal> {
    let wasm = wat::parse_str(text).expect("the test's own module");
    let options = Options {
        memory_reservation: Some(reservation),
        opt,
        ..Options::default()
    };
    trusted::open(&wasm, &options)
}

const MODULE: &str = r#"(module (memory (export "m") 1)
    (data (i32.const 65530) "abcdef")
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "load4") (param i32) (result i32) (i32.load offset=4 (local.get 0)))
    (func (export "far") (param i32) (result i32) (i32.load8_u offset=4294967295 (local.get 0)))
    (func (export "store") (param i32) (result i32)
        (i64.store offset=8 (local.get 0) (i64.const -1)) (i32.const 1))
    (func (export "wide") (param i32) (result i32)
        (i32x4.extract_lane 0 (v128.load (local.get 0))))
    (func (export "fill") (param i32) (result i32)
        (memory.fill (local.get 0) (i32.const 7) (i32.const 9)) (i32.const 1)))"#;

#[test]
fn every_access_is_checked_against_the_length() {
    for opt in [OptLevel::None, OptLevel::Speed] {
        let module = try_module(MODULE, 4 * u64::from(PAGE), opt).expect("it compiles");
        let mut store = Store::new(());
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        let mut call = |name: &str, index: u32| {
            let func = instance.func::<i32, i32>(&store, name).unwrap();
            match func.call(&mut store, index as i32) {
                Ok(value) => Some(value),
                error => {
                    assert_eq!(trap(error).code(), TrapCode::MemoryOutOfBounds);
                    None
                }
            }
        };
        let ends = |call: &mut dyn FnMut(&str, u32) -> Option<i32>, len: u32| {
            for (name, reach) in [("load", 1), ("load4", 8), ("store", 16), ("wide", 16)] {
                assert!(call(name, len - reach).is_some(), "{name} at the end");
                for index in [
                    len - reach + 1,
                    len,
                    4 * PAGE - 1,
                    4 * PAGE,
                    8 * PAGE,
                    1 << 31,
                    u32::MAX - 15,
                    u32::MAX,
                ] {
                    if index > len - reach {
                        assert_eq!(call(name, index), None, "{name} {index:#x} of {len:#x}");
                    }
                }
            }
            for index in [0, 1, len, u32::MAX] {
                assert_eq!(call("far", index), None);
            }
            assert!(call("fill", len - 9).is_some());
            assert_eq!(call("fill", len - 8), None);
        };
        assert_eq!(call("load", PAGE - 1), Some(i32::from(b'f')));
        ends(&mut call, PAGE);
        assert_eq!(call("grow", 1), Some(1));
        ends(&mut call, 2 * PAGE);
        assert_eq!(
            call("grow", 3),
            Some(-1),
            "that would be more than there is"
        );
        assert_eq!(call("grow", 2), Some(2));
        ends(&mut call, 4 * PAGE);
        assert_eq!(call("grow", 1), Some(-1));
        assert_eq!(call("grow", 0), Some(4));
    }
}

#[test]
fn objects_say_what_they_reserve() {
    let record = |text: &str, reservation: u64| {
        let module = try_module(text, reservation, OptLevel::Speed).expect("it compiles");
        let record = module.metadata().memory(0).expect("it has a memory");
        (record.reservation, record.capacity)
    };
    assert_eq!(record(MODULE, 100_000), (0, 2 * u64::from(PAGE)));
    assert_eq!(record(MODULE, (4 << 30) - 1), (1 << 32, 0));
    assert_eq!(record(MODULE, 4 << 30), (1 << 32, 0));
    assert_eq!(record("(module (memory i64 1))", 8 << 30), (0, 8 << 30));
    let imported = r#"(module (import "" "" (memory 1)))"#;
    assert_eq!(record(imported, 1 << 20), (0, 0));
}

#[test]
fn a_memory_that_starts_larger_is_refused() {
    for reservation in [0, u64::from(PAGE), u64::MAX] {
        match try_module("(module (memory i64 2))", reservation, OptLevel::Speed) {
            Err(Refusal::Compile(CompileError::Options { message })) => {
                assert!(message.contains("131072"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    try_module("(module)", 0, OptLevel::Speed).expect("there is nothing to reserve");
}

/// The scripts of the specification that are about memories.
#[test]
fn the_specification_holds() {
    let skips = SkipList::parse(include_str!("spec/skip.txt")).expect("a list");
    let options = Options {
        memory_reservation: Some((4 << 30) - u64::from(PAGE)),
        jobs: 1,
        ..Options::default()
    };
    let about = [
        "address",
        "align",
        "bulk",
        "data",
        "endianness",
        "float_memory",
        "load",
    ];
    let more = ["memory", "store", "simd_load", "simd_store", "traps"];
    let mut passed = 0;
    for script in suite::files() {
        if !about
            .iter()
            .chain(&more)
            .any(|name| script.name.contains(name))
        {
            continue;
        }
        let mut outcome = run_file(&script, &options, skips.proposals(&script.name));
        // Some memories are larger from the start.
        let unsuited = |message: &str| message.contains("does not suit the module");
        outcome
            .failures
            .retain(|failure| !unsuited(&failure.message));
        assert!(
            outcome.failures.is_empty(),
            "{}: {:?}",
            script.name,
            outcome.failures
        );
        passed += outcome.passed;
    }
    assert!(passed > 5000, "{passed}");
}
