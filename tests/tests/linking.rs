//! Linking: which imports fit, what is said when they do not, and what linked instances share.

use precast::{
    Caller, Error, Extern, ExternType, FuncType, Global, GlobalType, Instance, Linker, Memory,
    MemoryType, Module, RefType, Store, Table, TableType, Val, ValType,
};
use precast_tests::guest::{instance, module, trap};

fn link_error(result: Result<Instance, Error>) -> String {
    match result {
        Err(Error::Link(error)) => error.to_string(),
        other => panic!("expected a link error, not {other:?}"),
    }
}

#[test]
fn all_missing_imports_are_listed_with_their_types() {
    let module = module(
        r#"(module
            (import "env" "f" (func (param i32 f64) (result i64)))
            (import "env" "m" (memory 1 2))
            (import "other" "t" (table 3 externref))
            (import "env" "g" (global (mut f32)))
            (import "env" "fine" (func)))"#,
    );
    let mut store = Store::new(());
    let mut linker = Linker::new();
    linker.func("env", "fine", |_: Caller<'_, ()>| ());
    linker.func("env", "g", |_: Caller<'_, ()>| ());
    let text = link_error(linker.instantiate(&mut store, &module));
    assert_eq!(
        text,
        "unknown import `env::f`: expected function (i32, f64) -> (i64); \
         unknown import `env::m`: expected memory of 1..=2 pages; \
         unknown import `other::t`: expected table of 3.. externref; \
         incompatible import type for `env::g`: expected mutable global f32, \
         found function () -> ()"
    );
}

/// Whether `item` can be imported as the type in `wanted`.
fn fits(store: &mut Store<()>, item: Extern, wanted: &str) -> bool {
    let module = module(&format!(r#"(module (import "m" "x" ({wanted})))"#));
    match Instance::new(store, &module, &[item]) {
        Ok(_) => true,
        Err(Error::Link(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn limits_must_be_at_least_as_narrow() {
    let mut store = Store::new(());
    let memory = Memory::new(&mut store, MemoryType::new(2, Some(4))).unwrap();
    let cases = [
        ("memory 2 4", true),
        ("memory 0", true),
        ("memory 2 5", true),
        ("memory 3", false),
        ("memory 2 3", false),
        ("memory i64 2 4", false),
    ];
    for (wanted, expected) in cases {
        assert_eq!(
            fits(&mut store, memory.into(), wanted),
            expected,
            "{wanted}"
        );
    }
    // What counts is how large it is now.
    memory.grow(&mut store, 1).unwrap().unwrap();
    assert!(fits(&mut store, memory.into(), "memory 3 4"));
    let ty = TableType::new(RefType::FUNCREF, 2, None);
    let table = Table::new(&mut store, ty, Val::FuncRef(None)).unwrap();
    for (wanted, expected) in [
        ("table 2 funcref", true),
        ("table 2 9 funcref", false),
        ("table 3 funcref", false),
        ("table 2 externref", false),
    ] {
        assert_eq!(fits(&mut store, table.into(), wanted), expected, "{wanted}");
    }
}

#[test]
fn globals_and_functions_must_be_of_the_type() {
    let mut store = Store::new(());
    let immutable = GlobalType::new(ValType::I32, false);
    let immutable = Global::new(&mut store, immutable, Val::I32(1)).unwrap();
    assert!(fits(&mut store, immutable.into(), "global i32"));
    assert!(!fits(&mut store, immutable.into(), "global (mut i32)"));
    assert!(!fits(&mut store, immutable.into(), "global i64"));
    let some_func = RefType {
        nullable: false,
        ..RefType::FUNCREF
    };
    let f = precast::Func::wrap(&mut store, |_: Caller<'_, ()>, x: i32| x);
    let ty = GlobalType::new(ValType::Ref(some_func), false);
    let global = Global::new(&mut store, ty, Val::FuncRef(Some(f))).unwrap();
    assert!(fits(&mut store, global.into(), "global funcref"));
    assert!(fits(&mut store, global.into(), "global (ref func)"));
    assert!(Global::new(&mut store, ty, Val::FuncRef(None)).is_err());
    assert!(fits(&mut store, f.into(), "func (param i32) (result i32)"));
    assert!(!fits(&mut store, f.into(), "func (param i32)"));
}

#[test]
fn functions_compare_by_the_structure_of_their_types() {
    let mut store = Store::new(());
    let exporter = instance(
        &mut store,
        r#"(module (type $a (func (param i64))) (type $b (func (param (ref null $a))))
            (func (export "f") (type $b)))"#,
    );
    let f = exporter.export(&store, "f").unwrap();
    let importer = |second: &str| {
        module(&format!(
            r#"(module (type (func)) (type $x (func (param {second}))) (type $y (func (param (ref null $x))))
                (import "m" "f" (func (type $y))))"#
        ))
    };
    assert!(Instance::new(&mut store, &importer("i64"), &[f]).is_ok());
    assert!(Instance::new(&mut store, &importer("i32"), &[f]).is_err());
}

#[test]
fn linked_instances_share_memory_tables_and_globals() {
    let mut store = Store::new(());
    let mut linker = Linker::new();
    let owner = module(
        r#"(module
            (memory (export "memory") 1 4)
            (table (export "table") 2 8 funcref)
            (global (export "global") (mut i64) (i64.const 5))
            (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
            (func (export "call") (param i32) (result i32)
                (call_indirect (result i32) (local.get 0)))
            (func (export "global_value") (result i64) (global.get 0)))"#,
    );
    let user = module(
        r#"(module
            (import "owner" "memory" (memory 1))
            (import "owner" "table" (table 2 funcref))
            (import "owner" "global" (global $g (mut i64)))
            (import "owner" "load" (func $load (param i32) (result i32)))
            (memory $own 1)
            (func $answer (result i32) (i32.add (i32.const 40) (i32.load $own (i32.const 0))))
            (elem (i32.const 1) func $answer)
            (func (export "run") (result i32)
                (i32.store $own (i32.const 0) (i32.const 2))
                (i32.store (i32.const 100) (i32.const 77))
                (global.set $g (i64.add (global.get $g) (i64.const 1)))
                (drop (memory.grow (i32.const 2)))
                (i32.store (i32.const 196600) (i32.const 1))
                (call $load (i32.const 100))))"#,
    );
    let owner = linker.instantiate(&mut store, &owner).unwrap();
    linker.instance(&store, "owner", owner).unwrap();
    let user = linker.instantiate(&mut store, &user).unwrap();
    let run = user.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 77);
    let call = owner.func::<i32, i32>(&store, "call").unwrap();
    // The table's function runs in the instance that defined it.
    assert_eq!(call.call(&mut store, 1).unwrap(), 42);
    let global = owner.func::<(), i64>(&store, "global_value").unwrap();
    assert_eq!(global.call(&mut store, ()).unwrap(), 6);
    let memory = owner.memory(&store, "memory").unwrap();
    assert_eq!(memory.size(&store).unwrap(), 3);
    assert_eq!(
        owner.table(&store, "table").unwrap().size(&store).unwrap(),
        2
    );
}

#[test]
fn handles_read_and_write_what_guests_see() {
    let mut store = Store::new(());
    let instance = instance(
        &mut store,
        r#"(module
            (memory (export "m") 1) (table (export "t") 2 4 funcref)
            (global (export "g") (mut v128) (v128.const i64x2 1 2))
            (global (export "c") f32 (f32.const 1.5))
            (func (export "f") (result i32) (i32.load (i32.const 8)))
            (func (export "call") (result i32) (call_indirect (result i32) (i32.const 3))))"#,
    );
    let memory = instance.memory(&store, "m").unwrap();
    memory.write(&mut store, 8, &7u32.to_le_bytes()).unwrap();
    let f = instance.func::<(), i32>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 7);
    assert!(memory.write(&mut store, 65_533, &[0; 4]).is_err());
    assert!(memory.read(&store, u64::MAX, &mut [0; 4]).is_err());
    assert_eq!(memory.data(&store).unwrap().len(), 65_536);

    let global = instance.global(&store, "g").unwrap();
    assert_eq!(global.get(&store).unwrap().v128(), Some(2 << 64 | 1));
    global.set(&mut store, Val::V128(9)).unwrap();
    assert_eq!(global.get(&store).unwrap().v128(), Some(9));
    assert!(global.set(&mut store, Val::I32(9)).is_err());
    let constant = instance.global(&store, "c").unwrap();
    assert_eq!(constant.get(&store).unwrap().f32(), Some(1.5));
    assert!(constant.set(&mut store, Val::F32(0)).is_err());

    let table = instance.table(&store, "t").unwrap();
    let func = instance.export(&store, "f").unwrap().func().unwrap();
    let call = instance.func::<(), i32>(&store, "call").unwrap();
    trap(call.call(&mut store, ()));
    assert_eq!(
        table.grow(&mut store, 2, Val::FuncRef(Some(func))).unwrap(),
        Some(2)
    );
    assert_eq!(table.grow(&mut store, 1, Val::FuncRef(None)).unwrap(), None);
    assert_eq!(call.call(&mut store, ()).unwrap(), 7);
    assert_eq!(table.func(&store, 3).unwrap(), Some(func));
    table.set(&mut store, 3, Val::FuncRef(None)).unwrap();
    trap(call.call(&mut store, ()));
    assert!(table.set(&mut store, 4, Val::FuncRef(None)).is_err());
    assert!(table.set(&mut store, 0, Val::ExternRef(None)).is_err());
    assert!(table.get(&store, 4).unwrap().is_none());
}

#[test]
fn modules_tell_their_imports_and_exports() {
    let module = module(
        r#"(module $named (import "a" "b" (func (param i32)))
            (func (export "z")) (memory (export "m") 1 3) (global (export "g") i32 (i32.const 0)))"#,
    );
    let imports = module.imports().unwrap();
    assert_eq!((imports[0].module, imports[0].name), ("a", "b"));
    assert_eq!(
        imports[0].ty,
        ExternType::Func(FuncType::new([ValType::I32], []))
    );
    let exports: Vec<_> = module
        .exports()
        .unwrap()
        .into_iter()
        .map(|e| (e.name.to_owned(), e.ty.to_string()))
        .collect();
    let expected = [
        ("g", "global i32"),
        ("m", "memory of 1..=3 pages"),
        ("z", "function () -> ()"),
    ];
    assert_eq!(
        exports,
        expected.map(|(name, ty)| (name.to_owned(), ty.to_owned()))
    );
    assert_eq!(module.name(), "named");
}

#[test]
fn things_of_another_store_cannot_be_linked() {
    let mut one = Store::new(());
    let mut other = Store::new(());
    let exporter = instance(&mut one, r#"(module (func (export "f")))"#);
    let importer = module(r#"(module (import "m" "f" (func)))"#);
    let mut linker = Linker::new();
    assert!(linker.instance(&other, "m", exporter).is_err());
    linker.instance(&one, "m", exporter).unwrap();
    assert!(matches!(
        linker.instantiate(&mut other, &importer),
        Err(Error::Use(_))
    ));
    assert!(linker.instantiate(&mut one, &importer).is_ok());
}

#[test]
fn an_instance_that_fails_half_way_leaves_what_it_did() {
    let mut store = Store::new(());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let failing = module(
        r#"(module (import "m" "memory" (memory 1))
            (data (i32.const 0) "a") (data (i32.const 65536) "b"))"#,
    );
    let trap = trap(Instance::new(&mut store, &failing, &[memory.into()]));
    assert_eq!(trap.code(), precast::TrapCode::MemoryOutOfBounds);
    assert_eq!(memory.data(&store).unwrap()[0], b'a');
}

#[test]
fn functions_live_as_long_as_the_store_whatever_is_dropped() {
    let mut store = Store::new(());
    let table = {
        let ty = TableType::new(RefType::FUNCREF, 1, None);
        Table::new(&mut store, ty, Val::FuncRef(None)).unwrap()
    };
    let weak: Module = module(
        r#"(module (import "m" "t" (table 1 funcref)) (memory 1) (data (i32.const 0) "*")
            (func $f (result i32) (i32.load8_u (i32.const 0)))
            (elem (i32.const 0) func $f) (func $trap unreachable) (start $trap))"#,
    );
    let mut linker = Linker::new();
    linker.define(&store, "m", "t", table).unwrap();
    trap(linker.instantiate(&mut store, &weak));
    drop((linker, weak));
    let f = table.func(&store, 0).unwrap().unwrap();
    assert_eq!(
        f.typed::<(), i32>(&store)
            .unwrap()
            .call(&mut store, ())
            .unwrap(),
        42
    );
}

#[test]
fn ten_thousand_instances_live_in_one_store() {
    let module = module(
        r#"(module (memory 1) (func (export "f") (param i32) (result i32)
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get 0)))
            (i32.load (i32.const 0))))"#,
    );
    let mut store = Store::new(());
    let linker = Linker::new();
    let instances: Vec<_> = (0..10_000)
        .map(|_| linker.instantiate(&mut store, &module).unwrap())
        .collect();
    for (i, instance) in (0..).zip(&instances).step_by(997) {
        let f = instance.func::<i32, i32>(&store, "f").unwrap();
        assert_eq!(f.call(&mut store, i).unwrap(), i);
        assert_eq!(f.call(&mut store, 1).unwrap(), i + 1);
    }
}

/// More than the address space has room for at once.
#[test]
fn what_a_store_held_is_given_back() {
    let module = module(
        r#"(module (import "h" "f" (func $f)) (memory 1) (memory $second i64 1)
            (table 1 100 funcref)
            (func (export "grow") (drop (table.grow (ref.null func) (i32.const 50))) (call $f)))"#,
    );
    let mut linker = Linker::new();
    linker.func("h", "f", |_: Caller<'_, ()>| ());
    for _ in 0..12_000 {
        let mut store = Store::new(());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let grow = instance.func::<(), ()>(&store, "grow").unwrap();
        grow.call(&mut store, ()).unwrap();
    }
}
