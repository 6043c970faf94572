//! Measures crossings between host and guest: `cargo run --release -p precast --example crossings`.
//!
//! # Safety
//!
//! Opening an object is unsafe: this one was compiled a moment before, by our own compiler.
#![allow(unsafe_code, reason = "objects are opened on trust in who made them")]

use std::hint::black_box;
use std::time::Instant;

use precast::{Caller, Linker, Module, RawCaller, Store};
use precast_compiler::{Options, compile};

const GUEST: &str = r#"(module
    (import "h" "typed" (func $typed (param i32) (result i32)))
    (import "h" "raw" (func $raw (param i32) (result i32)))
    (memory 1)
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "typed") (param i32) (loop $l
        (drop (call $typed (local.get 0)))
        (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "raw") (param i32) (loop $l
        (drop (call $raw (local.get 0)))
        (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "empty") (param i32) (loop $l
        (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func $c (export "trap") unreachable)
    (func $b (call $c)) (func $a (export "trap3") (call $b))
    (func (export "oob") (result i32) (i32.load (i32.const -1)))
    (func (export "memgrow") (param i32) (loop $l
        (drop (memory.grow (i32.const 0)))
        (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func $down (export "down") (call $down) (call $down)))"#;

extern "C" fn raw(_: RawCaller<'_>, x: i32) -> i32 {
    x
}

/// Nanoseconds per call, the best of several rounds.
fn measure(name: &str, count: u32, mut f: impl FnMut(u32)) {
    let best = (0..9)
        .map(|_| {
            let start = Instant::now();
            f(count);
            start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:28} {best:10.2} ns");
}

fn main() {
    let wasm = wat::parse_str(GUEST).expect("a module");
    let object = compile(&wasm, &Options::default()).expect("it compiles");
    // SAFETY: made by our own compiler a moment ago.
    let module = unsafe { Module::from_bytes(&object.bytes) }.expect("it opens");
    let mut linker = Linker::<u64>::new();
    linker.func("h", "typed", |mut caller: Caller<'_, u64>, x: i32| {
        *caller.data_mut() += 1;
        x
    });
    linker.func_raw("h", "raw", raw as extern "C" fn(RawCaller<'_>, i32) -> i32);
    let mut store = Store::new(0);
    let instance = linker.instantiate(&mut store, &module).expect("it links");
    let add = instance
        .func::<(i32, i32), i32>(&store, "add")
        .expect("it is there");
    measure("call in (i32, i32) -> i32", 1_000_000, |n| {
        for i in 0..n {
            black_box(add.call(&mut store, (i as i32, 1)).expect("it returns"));
        }
    });
    for (name, count) in [
        ("empty", 10_000_000),
        ("typed", 1_000_000),
        ("raw", 1_000_000),
        ("memgrow", 1_000_000),
    ] {
        let f = instance.func::<i32, ()>(&store, name).expect("it is there");
        measure(&format!("call out: {name}"), count, |n| {
            f.call(&mut store, n as i32).expect("it returns");
        });
    }
    for (name, count) in [("trap", 10_000), ("trap3", 10_000), ("down", 100)] {
        let f = instance.func::<(), ()>(&store, name).expect("it is there");
        measure(&format!("trap: {name}"), count, |n| {
            for _ in 0..n {
                black_box(f.call(&mut store, ()).expect_err("it traps"));
            }
        });
    }
    let oob = instance
        .func::<(), i32>(&store, "oob")
        .expect("it is there");
    measure("trap: oob", 10_000, |n| {
        for _ in 0..n {
            black_box(oob.call(&mut store, ()).expect_err("it traps"));
        }
    });
    measure("store, instance, call, drop", 1000, |n| {
        for _ in 0..n {
            let mut store = Store::new(0);
            let instance = linker.instantiate(&mut store, &module).expect("it links");
            let add = instance
                .func::<(i32, i32), i32>(&store, "add")
                .expect("it is there");
            black_box(add.call(&mut store, (1, 1)).expect("it returns"));
        }
    });
}
