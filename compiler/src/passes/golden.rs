//! What each pass does to the modules in the folder of its name under `tests/golden/passes`:
//! `.before` is the CLIF with no pass at all, `.after` the CLIF with this pass alone; both behind
//! Cranelift's optimiser where the pass is one of those in `late`.
//!
//! `BLESS=1 cargo test -p precast-compiler golden` rewrites the expectations.

use super::{Pass, Passes, late};
use crate::compile::{Unit, Worker};
use crate::layout::Layout;
use crate::module::ModuleInfo;
use crate::translate::Env;
use crate::{Emit, Options, Target};
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::verify_function;
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

/// What a late pass works on, and what it makes of that.
pub(super) fn optimised_clif(wat: &str, passes: Passes) -> String {
    let options = Options {
        target: Target::parse("x86_64-linux").expect("a target"),
        ..Options::default()
    };
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
    let module = ModuleInfo::read(&wasm).unwrap_or_else(|error| panic!("{error}"));
    let layout = Layout::new(&module, 0).expect("a small module");
    let isa = crate::isa::build(&options).expect("a code generator");
    let env = Env {
        module: &module,
        layout: &layout,
        isa: &*isa,
        plain: &*isa,
        lowering: &*isa,
        fuel: false,
        collects: true,
        passes: Passes::NONE,
        counters: None,
        profile: None,
        level: crate::OptLevel::Speed,
    };
    let mut worker = Worker::new();
    let mut text = String::new();
    for index in module
        .functions
        .keys()
        .filter(|index| module.functions[*index].body.is_some())
    {
        let (context, _) = worker
            .translate(&env, None, Unit::Function(index))
            .expect("a valid function");
        context
            .optimize(&*isa, &mut ControlPlane::default())
            .expect("a valid function");
        late::run(passes, &mut context.func);
        if let Err(errors) = verify_function(&context.func, &*isa) {
            panic!("{errors}\n{}", context.func.display());
        }
        text += &context.func.display().to_string();
        text += "\n";
    }
    text
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
            let clif = if late::is_late(pass) {
                optimised_clif
            } else {
                clif
            };
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
