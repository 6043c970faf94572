//! Sandboxes from pools: `cargo bench --bench pool`.

use criterion::{Criterion, criterion_group, criterion_main};
use precast::pool::ResetStrategy;
use precast::{Linker, Pool, Tenant};
use precast_benches::versus::ours::{Rig, WasiRig};
use precast_benches::{guests, ours};

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("instantiate, call, drop");
    let trivial = Rig::<i32>::new(&guests::trivial().expect("valid")).expect("it fits");
    group.bench_function("no memory", |bencher| {
        bencher.iter(|| trivial.once(1).expect("it answers"));
    });
    for (name, shape) in [("64 KiB", guests::FRESH_64K), ("16 MiB", guests::FRESH_16M)] {
        let wasm = guests::fresh(shape).expect("valid");
        for (how, strategy) in [
            ("", ResetStrategy::Auto),
            (", window", ResetStrategy::Window),
            (", scan", ResetStrategy::Scan),
            (", discard", ResetStrategy::Discard),
        ] {
            let builder = Pool::builder().slots(10).reset_strategy(strategy);
            let rig = Rig::<i64>::with(&wasm, builder).expect("it fits");
            group.bench_function(format!("{name}{how}"), |bencher| {
                bencher.iter(|| assert_eq!(rig.once(1).expect("it answers"), guests::FRESH));
            });
        }
    }
    let wasi = WasiRig::new(include_bytes!("../hello/request.wasm")).expect("it fits");
    group.bench_function("WASI hello", |bencher| {
        bencher.iter(|| wasi.once().expect("it ends well"));
    });
}

fn resets(criterion: &mut Criterion) {
    let wasm = guests::fresh(guests::FRESH_64K).expect("valid");
    let module = ours::module(&wasm).expect("it compiles");
    let template = Linker::new().template(&module).expect("it imports nothing");
    let function = template.func::<i32, i64>("f").expect("exported");
    let pool = Pool::builder().slots(1).build().expect("a small pool");
    let mut sandbox = pool.instantiate(&template, Tenant(1), ()).expect("it fits");
    criterion.bench_function("call, reset", |bencher| {
        bencher.iter(|| {
            assert_eq!(
                function.call(&mut sandbox, 1).expect("it answers"),
                guests::FRESH
            );
            sandbox.reset().expect("nothing is refused");
        });
    });
}

criterion_group!(all, requests, resets);
criterion_main!(all);
