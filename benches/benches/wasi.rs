//! WASI calls from a loop in the guest: `cargo bench --bench wasi`.

use criterion::{Criterion, criterion_group, criterion_main};
use precast_benches::{guests, ours};

/// Calls per timed iteration.
const CALLS: i32 = 1000;

fn wasi(criterion: &mut Criterion) {
    let wasm = guests::wasi_calls().expect("the text is valid");
    let mut guest = ours::WasiGuest::new(&wasm).expect("the module runs");
    let mut group = criterion.benchmark_group("a thousand");
    for name in ["clock_time_get", "args_sizes_get", "random_get", "fd_write"] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| guest.calls(name, CALLS).expect("no errno"))
        });
    }
}

criterion_group!(all, wasi);
criterion_main!(all);
