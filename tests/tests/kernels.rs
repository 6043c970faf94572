//! The kernels of the benchmarks: each has its source beside it and computes what is recorded.

use precast::{Linker, Store};
use precast_compiler::Options;
use precast_tests::trusted;
use std::collections::BTreeSet;
use std::path::Path;

#[path = "../../benches/src/kernels.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is a part of the benchmarks, which use all of it"
)]
mod kernels;
use kernels::KERNELS;

#[test]
fn every_kernel_has_its_source_and_every_source_its_kernel() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/kernels");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the folder of kernels") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("a plain name").to_owned();
        if !name.ends_with(".h") && name != "build.sh" {
            found.insert(name);
        }
    }
    let modules = KERNELS.iter().map(|kernel| format!("{}.wasm", kernel.name));
    let sources = KERNELS.iter().map(|kernel| kernel.source.to_owned());
    let expected: BTreeSet<String> = modules.chain(sources).collect();
    assert_eq!(found, expected);
    assert!(KERNELS.len() >= 24, "the benchmarks promise 24 kernels");
}

#[test]
fn every_kernel_computes_what_is_recorded() {
    for kernel in KERNELS {
        let run = || -> Result<i64, Box<dyn std::error::Error>> {
            let module = trusted::open(kernel.wasm, &Options::default())?;
            let mut store = Store::new(());
            let instance = Linker::new().instantiate(&mut store, &module)?;
            let run = instance.func::<i32, i64>(&store, "run")?;
            Ok(run.call(&mut store, kernel.size)?)
        };
        let found = run().unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
        assert_eq!(found, kernel.checksum, "{}", kernel.name);
    }
}
