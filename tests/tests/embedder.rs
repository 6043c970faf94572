//! What a careless embedder may do in safe Rust: it gets errors, never undefined behaviour. (Worth
//! running with AddressSanitizer, see `docs/testing.md`.)

use std::sync::atomic::{AtomicBool, Ordering};

use precast::{
    Caller, Error, Extern, ExternRef, Func, FuncType, Global, GlobalType, Instance, LimitError,
    Limits, Linker, Memory, MemoryType, Module, RefType, Store, Table, TableType, TrapCode, Val,
    ValType,
};
use precast_compiler::{Options, compile};
use precast_tests::guest::{module, trap};

/// A guest that calls out while it holds a table, a memory and a reference.
const GUEST: &str = r#"(module
    (import "h" "f" (func $f (param i32) (result i32)))
    (memory (export "m") 1 100)
    (table $t (export "t") 1 funcref)
    (global (export "g") (mut externref) (ref.null extern))
    (elem declare func $self)
    (func $self (export "self") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func (export "run") (param i32) (result i32)
        (table.set $t (i32.const 0) (ref.func $self))
        (i32.store (i32.const 8) (i32.const 40))
        (drop (call $f (local.get 0)))
        (i32.add (i32.load (i32.const 8))
            (call_indirect $t (param i32) (result i32) (i32.const 1) (i32.const 0)))))"#;

fn instance<T: 'static>(store: &mut Store<T>, linker: &Linker<T>) -> Instance {
    linker.instantiate(store, &module(GUEST)).unwrap()
}

#[test]
fn a_host_function_may_change_everything_while_the_guest_waits() {
    let mut linker = Linker::<u32>::new();
    linker.func("h", "f", |mut caller: Caller<'_, u32>, depth: i32| {
        let own = caller.instance().unwrap();
        let table = own.table(&caller, "t").unwrap();
        let memory = own.memory(&caller, "m").unwrap();
        // Tables move when they grow, and the list of instances does too.
        table.grow(&mut caller, 1000, Val::FuncRef(None)).unwrap();
        memory.grow(&mut caller, 3).unwrap();
        for _ in 0..20 {
            let mut inner = Linker::new();
            inner.func("h", "f", |_: Caller<'_, u32>, x: i32| x);
            inner.instantiate(&mut caller, &module(GUEST)).unwrap();
        }
        *caller.data_mut() += 1;
        if depth > 0 {
            let run = own.func::<i32, i32>(&caller, "run").unwrap();
            assert_eq!(run.call(&mut caller, depth - 1).unwrap(), 42);
        }
        depth
    });
    let mut store = Store::new(0);
    let guest = instance(&mut store, &linker);
    let run = guest.func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 3).unwrap(), 42);
    assert_eq!(*store.data(), 4);
    assert_eq!(
        guest.table(&store, "t").unwrap().size(&store).unwrap(),
        4001
    );
}

#[test]
fn handles_of_another_store_are_refused_everywhere() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>, x: i32| x);
    let (mut one, mut other) = (Store::new(()), Store::new(()));
    let guest = instance(&mut one, &linker);
    let (table, memory) = (
        guest.table(&one, "t").unwrap(),
        guest.memory(&one, "m").unwrap(),
    );
    let global = guest.global(&one, "g").unwrap();
    let func = guest.export(&one, "self").unwrap().func().unwrap();
    let typed = func.typed::<i32, i32>(&one).unwrap();
    let value = ExternRef::new(&mut one, 7u8);
    assert!(guest.export(&other, "m").is_none());
    assert!(guest.exports(&other).is_err() && guest.module(&other).is_err());
    assert!(typed.call(&mut other, 1).is_err());
    assert!(
        func.call(&mut other, &[Val::I32(1)], &mut [Val::I32(0)])
            .is_err()
    );
    assert!(func.ty(&other).is_err() && func.typed::<i32, i32>(&other).is_err());
    assert!(table.get(&other, 0).is_err() && table.size(&other).is_err());
    assert!(memory.data(&other).is_err() && memory.grow(&mut other, 1).is_err());
    assert!(global.get(&other).is_err() && value.data(&other).is_err());
    // Values are looked at, too.
    let foreign = Val::FuncRef(Some(func));
    let nullable = TableType::new(RefType::FUNCREF, 1, None);
    let theirs = Table::new(&mut other, nullable, Val::FuncRef(None)).unwrap();
    assert!(theirs.set(&mut other, 0, foreign).is_err());
    assert!(theirs.grow(&mut other, 1, foreign).is_err());
    assert!(Table::new(&mut other, nullable, foreign).is_err());
    let ty = GlobalType::new(ValType::EXTERNREF, true);
    assert!(Global::new(&mut other, ty, Val::ExternRef(Some(value))).is_err());
    // And what a host function returns.
    let ty = FuncType::new([], [ValType::FUNCREF]);
    let returns = Func::new(&mut other, ty, move |_, _, results| {
        results[0] = foreign;
        Ok(())
    });
    let result = returns.call(&mut other, &[], &mut [Val::FuncRef(None)]);
    assert!(matches!(result, Err(Error::Use(_))), "{result:?}");
    // Handles of a store that is gone are no better.
    drop(one);
    assert!(typed.call(&mut other, 1).is_err());
    assert!(memory.data(&other).is_err());
}

#[test]
fn a_host_function_of_a_type_that_no_module_knows_waits_for_one_that_does() {
    let mut store = Store::new(());
    let types = [ValType::I64; 7];
    let ty = FuncType::new(types, [ValType::I64, ValType::I64]);
    let sum = Func::new(&mut store, ty, |_, args, results| {
        let sum = args.iter().filter_map(|arg| arg.i64()).sum();
        (results[0], results[1]) = (Val::I64(sum), Val::I64(-sum));
        Ok(())
    });
    let table = TableType::new(RefType::FUNCREF, 1, None);
    let table = Table::new(&mut store, table, Val::FuncRef(Some(sum))).unwrap();
    let caller = module(
        r#"(module
            (type $t (func (param i64 i64 i64 i64 i64 i64 i64) (result i64 i64)))
            (import "" "t" (table 1 funcref))
            (func (export "run") (result i64)
                (call_indirect (type $t) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
                    (i64.const 5) (i64.const 6) (i64.const 7) (i32.const 0))
                i64.sub))"#,
    );
    let guest = Instance::new(&mut store, &caller, &[table.into()]).unwrap();
    drop(caller);
    let run = guest.func::<(), i64>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 56);
}

#[test]
fn arguments_of_the_wrong_kind_or_number_are_errors() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>, x: i32| x);
    let mut store = Store::new(());
    let guest = instance(&mut store, &linker);
    let func = guest.export(&store, "self").unwrap().func().unwrap();
    let mut one = [Val::I32(0)];
    for arguments in [
        &[][..],
        &[Val::I64(1)],
        &[Val::I32(1); 2],
        &[Val::FuncRef(None)],
    ] {
        assert!(func.call(&mut store, arguments, &mut one).is_err());
    }
    assert!(func.call(&mut store, &[Val::I32(1)], &mut []).is_err());
    assert!(func.typed::<i64, i32>(&store).is_err());
    assert!(func.typed::<i32, (i32, i32)>(&store).is_err());
    assert!(func.typed::<i32, Option<Func>>(&store).is_err());
    func.call(&mut store, &[Val::I32(1)], &mut one).unwrap();
    assert_eq!(one[0].i32(), Some(2));
}

#[test]
fn no_more_instances_than_the_limit_allows() {
    let limits = Limits {
        instances: 2,
        ..Limits::default()
    };
    let mut store = Store::with_limits((), limits);
    let empty = module("(module (memory 1))");
    for _ in 0..2 {
        Linker::new().instantiate(&mut store, &empty).unwrap();
    }
    let error = Linker::new().instantiate(&mut store, &empty).unwrap_err();
    assert!(
        matches!(error, Error::Limit(LimitError::Instances { limit: 2 })),
        "{error}"
    );
    assert_eq!(store.memory_bytes(), 2 * 65_536);
}

#[test]
fn a_failed_instantiation_takes_nothing_from_the_limits() {
    let limits = Limits {
        memory_bytes: 3 * 65_536,
        table_elements: 10,
        instances: 3,
    };
    let mut store = Store::with_limits((), limits);
    let greedy = module("(module (memory 2) (table (export \"t\") 11 funcref))");
    for _ in 0..10 {
        assert!(Linker::new().instantiate(&mut store, &greedy).is_err());
    }
    assert_eq!(store.memory_bytes(), 0);
    Memory::new(&mut store, MemoryType::new(3, None)).unwrap();
}

#[test]
fn a_sealed_object_runs_whatever_becomes_of_its_file() {
    let wasm = wat::parse_str(
        r#"(module (memory 2) (data (i32.const 70000) "\07")
            (func (export "run") (result i32) (i32.load8_u (i32.const 70000))))"#,
    )
    .unwrap();
    let object = compile(&wasm, &Options::default()).unwrap().bytes;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.so");
    std::fs::write(&path, &object).unwrap();
    // SAFETY: the compiler made it a moment ago, and the copy cannot be changed.
    let module = unsafe { Module::open_sealed(&path) }.unwrap();
    // Overwritten in place and cut short: what must never be done to an object that is merely open.
    std::fs::write(&path, vec![0xcc; object.len()]).unwrap();
    std::fs::write(&path, "").unwrap();
    let mut store = Store::new(());
    let guest = Linker::new().instantiate(&mut store, &module).unwrap();
    let run = guest.func::<(), i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 7);
}

#[test]
fn a_backtrace_keeps_its_module_open_and_no_longer() {
    let wasm = wat::parse_str(r#"(module (func $f (export "run") unreachable))"#).unwrap();
    let object = compile(&wasm, &Options::default()).unwrap().bytes;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("traced.so");
    std::fs::write(&path, &object).unwrap();
    let is_mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.contains(path.to_str().unwrap())
    };
    // SAFETY: the compiler made it a moment ago, and nobody else knows the folder.
    let module = unsafe { Module::open(&path) }.unwrap();
    let mut store = Store::new(());
    let guest = Linker::new().instantiate(&mut store, &module).unwrap();
    let run = guest.func::<(), ()>(&store, "run").unwrap();
    let trap = trap(run.call(&mut store, ()));
    drop((store, module));
    assert!(is_mapped());
    let frame = trap.backtrace().frames()[0].clone();
    drop(trap);
    assert_eq!(frame.name(), Some("f"));
    drop(frame);
    assert!(!is_mapped());
}

#[test]
fn nothing_is_writable_and_executable_at_once() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |_: Caller<'_, ()>, x: i32| x);
    let mut store = Store::new(());
    let guest = instance(&mut store, &linker);
    let run = guest.func::<i32, i32>(&store, "run").unwrap();
    run.call(&mut store, 1).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let both = maps.lines().find(|line| {
        let access = line.split(' ').nth(1).unwrap_or_default();
        access.contains('w') && access.contains('x')
    });
    assert_eq!(both, None);
}

#[test]
fn traps_and_panics_on_the_way_leave_the_store_usable() {
    let mut linker = Linker::<()>::new();
    linker.func("h", "f", |mut caller: Caller<'_, ()>, what: i32| {
        let own = caller.instance().unwrap();
        let run = own.func::<i32, i32>(&caller, "run").unwrap();
        match what {
            0 => 0,
            1 => panic!("at the innermost"),
            2 => {
                // The guest below is called with a table that has lost its function.
                let table = own.table(&caller, "t").unwrap();
                table.set(&mut caller, 0, Val::FuncRef(None)).unwrap();
                0
            }
            n => {
                let inner = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    run.call(&mut caller, n - 2)
                        .map_err(|error| error.to_string())
                }));
                i32::from(inner.is_ok())
            }
        }
    });
    let mut store = Store::new(());
    let guest = instance(&mut store, &linker);
    let run = guest.func::<i32, i32>(&store, "run").unwrap();
    for _ in 0..50 {
        let code = trap(run.call(&mut store, 2)).code();
        assert_eq!(code, TrapCode::UninitializedElement);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = run.call(&mut store, 1);
        }));
        assert!(panicked.is_err());
        assert_eq!(run.call(&mut store, 3).unwrap(), 42);
        assert_eq!(
            trap(run.call(&mut store, 4)).code(),
            TrapCode::UninitializedElement
        );
        assert_eq!(run.call(&mut store, 0).unwrap(), 42);
    }
    assert!(matches!(guest.export(&store, "m"), Some(Extern::Memory(_))));
}

/// Runs a guest when it is dropped.
struct LastCall(Store<()>, precast::TypedFunc<i32, i32>);

static LAST_CALL: AtomicBool = AtomicBool::new(false);

impl Drop for LastCall {
    fn drop(&mut self) {
        let LastCall(store, deep) = self;
        trap(deep.call(store, 100_000_000));
        LAST_CALL.store(true, Ordering::SeqCst);
    }
}

thread_local! {
    static LAST: std::cell::RefCell<Option<LastCall>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn a_thread_that_has_given_back_what_guests_need_runs_none() {
    std::thread::spawn(|| {
        // Thread-local values go in the reverse order of their first use: this one after what guests
        // need of a thread, the stack for signals among it.
        LAST.with(|cell| drop(cell.borrow_mut().take()));
        let mut store = Store::new(());
        let instance = precast_tests::guest::instance(
            &mut store,
            r#"(module (func $deep (export "deep") (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
                    (else (i32.const 0)))))"#,
        );
        let deep = instance.func::<i32, i32>(&store, "deep").unwrap();
        assert_eq!(deep.call(&mut store, 10).unwrap(), 10);
        LAST.with(|cell| *cell.borrow_mut() = Some(LastCall(store, deep)));
    })
    .join()
    .unwrap();
    assert!(LAST_CALL.load(Ordering::SeqCst));
}
