//! A guest that writes a pattern everywhere it can and looks for anything that is not as it was
//! instantiated; and everything that a tenant can do with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use precast::pool::{PoolBuilder, ResetStrategy};
use precast::{Caller, Error, Linker, Pool, Sandbox, Suspend, Template, TrapCode, Val};
use precast_compiler::Options;

use crate::guest::{module, module_with, trap};

/// Writes a pattern everywhere it can, or looks for anything that is not as it was instantiated.
pub const SCRIBBLER: &str = r#"(module
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
pub struct Host {
    entered: Arc<AtomicBool>,
}

impl Host {
    /// Whether the guest has called the host.
    pub fn was_entered(&self) -> bool {
        self.entered.load(Ordering::SeqCst)
    }
}

/// The guest with its imports.
///
/// # Panics
///
/// If it cannot be made, as with the others here.
pub fn template() -> Template<Host> {
    linker()
        .template(&module(SCRIBBLER))
        .expect("its imports fit")
}

/// The same, compiled for slots with 16 MiB of address space for the memory.
pub fn compact_template() -> Template<Host> {
    let options = Options {
        memory_reservation: Some(COMPACT),
        ..Options::default()
    };
    linker()
        .template(&module_with(SCRIBBLER, &options))
        .expect("its imports fit")
}

/// Bytes of address space that the memory of [`compact_template`] may take.
pub const COMPACT: u64 = 16 << 20;

/// What the guest imports.
pub fn linker() -> Linker<Host> {
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
                4 => Err(Suspend::new().into()),
                _ => {
                    let (memory, _) = caller.memory_and_data().expect("it has a memory");
                    memory.all_mut().expect("writable").fill(0x5e);
                    Ok(())
                }
            }
        },
    );
    linker
}

/// A pool of two slots, each looked through after its use.
pub fn builder(strategy: ResetStrategy) -> PoolBuilder {
    Pool::builder()
        .slots(2)
        .reset_strategy(strategy)
        .verify(true)
}

/// Looks for anything that is not as it was instantiated.
///
/// # Panics
///
/// If there is something.
pub fn check(sandbox: &mut Sandbox<Host>, template: &Template<Host>, after: &str) {
    let check = template.func::<(), i32>("check").expect("it exports it");
    let found = check.call(sandbox, ()).expect("it does not trap");
    assert_eq!(found, 0, "{found:#x} after {after}");
    let past_end = template.func::<(), i32>("past_end").expect("it exports it");
    let code = trap(past_end.call(sandbox, ())).code();
    assert_eq!(code, TrapCode::MemoryOutOfBounds, "after {after}");
}

/// Something that a tenant does.
pub type Deed = fn(&mut Sandbox<Host>, &Template<Host>);

/// Everything a tenant can do, with a name.
pub fn deeds() -> Vec<(&'static str, Deed)> {
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
