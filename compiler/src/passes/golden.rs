//! What each pass does to the modules in the folder of its name under `tests/golden/passes`:
//! `.before` is the CLIF with no pass at all, `.after` the CLIF with this pass alone.
//!
//! `BLESS=1 cargo test -p precast-compiler golden` rewrites the expectations.

use super::{Pass, Passes};
use crate::{Emit, Options, Target};
use std::fs;
use std::path::{Path, PathBuf};

fn clif(wat: &str, passes: Passes) -> String {
    let options = Options {
        target: Target::parse("x86_64-linux").expect("a target"),
        emit: Emit::Clif,
        passes,
        ..Options::default()
    };
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
    // What comes out must be fit to be compiled.
    let object = Options {
        emit: Emit::Object,
        ..options.clone()
    };
    crate::compile(&wasm, &object).unwrap_or_else(|error| panic!("{error}"));
    let compiled = crate::compile(&wasm, &options).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(compiled.bytes).expect("text")
}

/// The modules of a pass.
fn modules(pass: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/passes");
    let entries =
        fs::read_dir(folder.join(pass)).unwrap_or_else(|_| panic!("{pass} has no golden files"));
    let paths = entries.map(|entry| entry.expect("a file").path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "wat"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn golden_passes() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = Vec::new();
    for (pass, name) in Pass::ALL {
        let modules = modules(name);
        assert!(!modules.is_empty(), "{name} has no golden module");
        for path in modules {
            let wat = fs::read_to_string(&path).expect("a readable file");
            let before = clif(&wat, Passes::NONE);
            let after = clif(&wat, Passes::NONE.with(pass));
            assert_ne!(before, after, "{} shows nothing", path.display());
            for (ending, found) in [("before", before), ("after", after)] {
                let path = path.with_extension(ending);
                if bless {
                    fs::write(&path, &found).expect("a writable file");
                } else if fs::read_to_string(&path).unwrap_or_default() != found {
                    failures.push(format!("{}:\n{found}", path.display()));
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{}\nBLESS=1 cargo test -p precast-compiler golden accepts the new text",
        failures.join("\n")
    );
}
