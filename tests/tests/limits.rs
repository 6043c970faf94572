//! Limits of a store, and memories and tables of unusual sizes.

use precast::{
    Error, LimitError, Limits, Linker, Memory, MemoryType, Store, StoreOptions, TrapCode,
};
use precast_tests::guest::{module, trap};

const GROW: &str = r#"(module (memory (export "m") 1) (table $t (export "t") 1 funcref)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    (func (export "touch") (param i32) (result i32)
        (i32.store (local.get 0) (i32.const 1)) (i32.load (local.get 0)))
    (func (export "grow_table") (param i32) (result i32)
        (table.grow $t (ref.null func) (local.get 0))))"#;

#[test]
fn memories_do_not_grow_beyond_the_limit() {
    let limits = Limits {
        memory_bytes: 10 * 65_536,
        ..Limits::default()
    };
    let mut store = Store::with_limits((), limits);
    let instance = Linker::new()
        .instantiate(&mut store, &module(GROW))
        .unwrap();
    let grow = instance.func::<i32, i32>(&store, "grow").unwrap();
    let touch = instance.func::<i32, i32>(&store, "touch").unwrap();
    assert_eq!(grow.call(&mut store, 4).unwrap(), 1);
    assert_eq!(grow.call(&mut store, 6).unwrap(), -1);
    assert_eq!(grow.call(&mut store, 5).unwrap(), 5);
    assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
    assert_eq!(grow.call(&mut store, 0).unwrap(), 10);
    assert_eq!(touch.call(&mut store, 655_356).unwrap(), 1);
    let code = trap(touch.call(&mut store, 655_357)).code();
    assert_eq!(code, TrapCode::MemoryOutOfBounds);
    assert_eq!(store.memory_bytes(), 655_360);
    // The limit counts all memories of the store.
    let error = Linker::new()
        .instantiate(&mut store, &module(GROW))
        .unwrap_err();
    assert!(
        matches!(error, Error::Limit(LimitError::MemoryBytes { .. })),
        "{error}"
    );
    assert!(Memory::new(&mut store, MemoryType::new(1, None)).is_err());
    assert_eq!(store.memory_bytes(), 655_360);
}

#[test]
fn tables_do_not_grow_beyond_the_limit() {
    let limits = Limits {
        table_elements: 100,
        ..Limits::default()
    };
    let mut store = Store::with_limits((), limits);
    let instance = Linker::new()
        .instantiate(&mut store, &module(GROW))
        .unwrap();
    let grow = instance.func::<i32, i32>(&store, "grow_table").unwrap();
    assert_eq!(grow.call(&mut store, 50).unwrap(), 1);
    assert_eq!(grow.call(&mut store, 50).unwrap(), -1);
    assert_eq!(grow.call(&mut store, 49).unwrap(), 51);
    assert_eq!(grow.call(&mut store, -1).unwrap(), -1);
}

#[test]
fn instances_are_counted() {
    let limits = Limits {
        instances: 2,
        ..Limits::default()
    };
    let mut store = Store::with_limits((), limits);
    let module = module("(module)");
    let linker = Linker::new();
    linker.instantiate(&mut store, &module).unwrap();
    linker.instantiate(&mut store, &module).unwrap();
    let error = linker.instantiate(&mut store, &module).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store may hold no more than 2 instances"
    );
}

#[test]
fn a_memory_grows_to_all_but_the_last_page_of_four_gibibytes() {
    let mut store = Store::new(());
    let instance = Linker::new()
        .instantiate(&mut store, &module(GROW))
        .unwrap();
    let grow = instance.func::<i32, i32>(&store, "grow").unwrap();
    let touch = instance.func::<i32, i32>(&store, "touch").unwrap();
    assert_eq!(grow.call(&mut store, 65_535).unwrap(), -1);
    assert_eq!(grow.call(&mut store, 65_534).unwrap(), 1);
    assert_eq!(touch.call(&mut store, -65_540).unwrap(), 1);
    assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
    assert_eq!(
        trap(touch.call(&mut store, -65_539)).code(),
        TrapCode::MemoryOutOfBounds
    );
}

#[test]
fn a_memory_of_no_pages_has_no_bytes() {
    let text = GROW.replace("(memory (export \"m\") 1)", "(memory (export \"m\") 0)");
    let mut store = Store::new(());
    let instance = Linker::new()
        .instantiate(&mut store, &module(&text))
        .unwrap();
    let touch = instance.func::<i32, i32>(&store, "touch").unwrap();
    let grow = instance.func::<i32, i32>(&store, "grow").unwrap();
    assert_eq!(
        trap(touch.call(&mut store, 0)).code(),
        TrapCode::MemoryOutOfBounds
    );
    assert_eq!(grow.call(&mut store, 1).unwrap(), 0);
    assert_eq!(touch.call(&mut store, 0).unwrap(), 1);
}

#[test]
fn memories_with_wide_addresses_and_small_pages_grow_and_trap() {
    let text = r#"(module
        (memory $wide i64 1) (memory $bytes 10 20 (pagesize 1))
        (func (export "wide") (param i64) (result i64)
            (i64.store $wide (local.get 0) (i64.const 5)) (i64.load $wide (local.get 0)))
        (func (export "grow_wide") (param i64) (result i64) (memory.grow $wide (local.get 0)))
        (func (export "byte") (param i32) (result i32)
            (i32.store8 $bytes (local.get 0) (i32.const 6)) (i32.load8_u $bytes (local.get 0)))
        (func (export "grow_bytes") (param i32) (result i32) (memory.grow $bytes (local.get 0))))"#;
    let mut store = Store::new(());
    let instance = Linker::new()
        .instantiate(&mut store, &module(text))
        .unwrap();
    let wide = instance.func::<i64, i64>(&store, "wide").unwrap();
    let grow_wide = instance.func::<i64, i64>(&store, "grow_wide").unwrap();
    let byte = instance.func::<i32, i32>(&store, "byte").unwrap();
    let grow_bytes = instance.func::<i32, i32>(&store, "grow_bytes").unwrap();
    let oob = TrapCode::MemoryOutOfBounds;
    assert_eq!(wide.call(&mut store, 65_528).unwrap(), 5);
    for at in [65_529, 1 << 32, i64::MAX, -1, -8] {
        assert_eq!(trap(wide.call(&mut store, at)).code(), oob, "{at}");
    }
    assert_eq!(grow_wide.call(&mut store, 70_000).unwrap(), 1);
    assert_eq!(wide.call(&mut store, 1 << 32).unwrap(), 5);
    assert_eq!(grow_wide.call(&mut store, 1 << 47).unwrap(), -1);
    assert_eq!(byte.call(&mut store, 9).unwrap(), 6);
    assert_eq!(trap(byte.call(&mut store, 10)).code(), oob);
    assert_eq!(grow_bytes.call(&mut store, 10).unwrap(), 10);
    assert_eq!(byte.call(&mut store, 19).unwrap(), 6);
    assert_eq!(trap(byte.call(&mut store, 20)).code(), oob);
    assert_eq!(grow_bytes.call(&mut store, 1).unwrap(), -1);
}

#[test]
fn the_size_of_the_stack_decides_how_deep_a_guest_goes() {
    let text = r#"(module (global $depth (export "depth") (mut i32) (i32.const 0))
        (func $down (export "down")
            (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
            (call $down) (global.set $depth (global.get $depth))))"#;
    let module = module(text);
    let depth = |stack_size| {
        let options = StoreOptions {
            stack_size,
            ..StoreOptions::default()
        };
        let mut store = Store::with_options((), options);
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        let down = instance.func::<(), ()>(&store, "down").unwrap();
        assert_eq!(
            trap(down.call(&mut store, ())).code(),
            TrapCode::StackOverflow
        );
        instance
            .global(&store, "depth")
            .unwrap()
            .get(&store)
            .unwrap()
            .i32()
            .unwrap()
    };
    let (small, large) = (depth(64 << 10), depth(4 << 20));
    assert!(small > 100 && large > small * 50, "{small} {large}");
}

#[test]
fn impossible_types_are_refused() {
    let mut store = Store::new(());
    for ty in [
        MemoryType::new(2, Some(1)),
        MemoryType::new(65_537, None),
        MemoryType {
            shared: true,
            ..MemoryType::new(1, Some(1))
        },
        MemoryType {
            page_size_log2: 12,
            ..MemoryType::new(1, None)
        },
    ] {
        assert!(Memory::new(&mut store, ty).is_err(), "{ty}");
    }
    let unreachable = MemoryType {
        is_64: true,
        ..MemoryType::new(1 << 47, None)
    };
    assert!(matches!(
        Memory::new(&mut store, unreachable),
        Err(Error::System(_))
    ));
    assert_eq!(store.memory_bytes(), 0);
}

#[test]
fn a_memory_type_that_makes_no_sense_is_an_error() {
    let mut store = Store::new(());
    for page_size_log2 in [1, 15, 17, 33, 64, 65, u32::MAX] {
        for is_64 in [false, true] {
            let ty = MemoryType {
                page_size_log2,
                is_64,
                ..MemoryType::new(1, None)
            };
            let error = Memory::new(&mut store, ty).unwrap_err();
            assert!(matches!(error, Error::Use(_)), "{error}");
            assert!(!ty.to_string().is_empty());
        }
    }
    assert_eq!(store.memory_bytes(), 0);
}
