//! Calls in and out of a guest, traps, and a fresh instance: `cargo bench --bench crossings`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use precast_benches::{guests, ours};

/// Calls per timed iteration of the guest's own loop.
const CALLS_OUT: i32 = 1000;

fn calls(criterion: &mut Criterion) {
    let wasm = guests::crossings().expect("the text is valid");
    let mut guest = ours::Guest::new(&wasm).expect("the module runs");
    let (store, add) = guest.export::<(i32, i32), i32>("add").expect("exported");
    criterion.bench_function("host to guest", |bencher| {
        bencher.iter(|| add.call(&mut *store, black_box((1, 2))).expect("it adds"));
    });
    let (store, out) = guest.export::<i32, i32>("out").expect("exported");
    criterion.bench_function("guest to host, a thousand", |bencher| {
        bencher.iter(|| out.call(&mut *store, CALLS_OUT).expect("it returns"));
    });
}

fn traps(criterion: &mut Criterion) {
    let wasm = guests::crossings().expect("the text is valid");
    let mut guest = ours::Guest::new(&wasm).expect("the module runs");
    let (store, unreachable) = guest.export::<i32, i32>("trap").expect("exported");
    criterion.bench_function("trap, unreachable", |bencher| {
        bencher.iter(|| unreachable.call(&mut *store, 1).expect_err("it traps"));
    });
    let (store, beyond) = guest.export::<i32, i32>("out_of_bounds").expect("exported");
    criterion.bench_function("trap, out of bounds", |bencher| {
        bencher.iter(|| beyond.call(&mut *store, 1).expect_err("it traps"));
    });
}

fn instances(criterion: &mut Criterion) {
    let wasm = guests::small_instance().expect("the text is valid");
    let instantiator = ours::Instantiator::new(&wasm).expect("the module compiles");
    criterion.bench_function("instantiate, call, drop", |bencher| {
        bencher.iter(|| instantiator.once().expect("it runs"));
    });
}

criterion_group!(all, calls, traps, instances);
criterion_main!(all);
