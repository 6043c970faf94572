//! Opening an object by the size of its module: `cargo bench --bench opening`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use precast_benches::{guests, ours};

fn opening(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut group = criterion.benchmark_group("open and close");
    for kilobytes in [20, 200, 2000] {
        let path = folder.path().join(format!("{kilobytes}.so"));
        let compiled =
            ours::compile(&guests::sized(kilobytes * 1000), 0).expect("the module compiles");
        std::fs::write(&path, compiled.bytes).expect("the disk has room");
        group.bench_function(
            BenchmarkId::from_parameter(format!("{kilobytes} KB")),
            |bencher| {
                bencher.iter(|| ours::open(&path).expect("our own object"));
            },
        );
    }
}

criterion_group!(all, opening);
criterion_main!(all);
