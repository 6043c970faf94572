//! Objects that older versions made load and run: one folder of `tests/abi/` for each version.
//!
//! An object has its source beside it, whose lines `;; name arguments = results` say what to call;
//! `;; stdout text` says what a program writes. `KEEP_ABI=1 cargo test --test kept` (`make keep-abi`)
//! compiles `tests/abi/sources` into the folder of this version.
//!
//! # Safety
//!
//! Opens objects that are part of this repository.

use precast::{Caller, Func, Linker, Module, Store, Val, ValType};
use precast_compiler::{Cpu, Options, compile};
use precast_tests::wasi;
use precast_wasi::{WasiCtx, WasiCtxBuilder};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

fn abi_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("abi")
}

/// The files in `dir` with this ending, in order.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    found.sort();
    found
}

/// Once, before any test looks at them.
fn keep_if_asked() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| {
        if std::env::var_os("KEEP_ABI").is_some() {
            keep();
        }
    });
}

/// Compiles the sources for this version.
fn keep() {
    let dir = abi_dir().join(env!("CARGO_PKG_VERSION"));
    fs::create_dir_all(&dir).expect("a directory");
    let options = Options {
        cpu: Cpu::parse("baseline").expect("a CPU"),
        ..Options::default()
    };
    for source in files(&abi_dir().join("sources"), "wat") {
        let text = fs::read_to_string(&source).expect("text");
        let wasm = wat::parse_str(&text).expect("a module");
        let object = compile(&wasm, &options).expect("it compiles").bytes;
        let to = dir.join(source.file_name().expect("a name"));
        fs::write(to.with_extension("so"), object).expect("written");
        fs::write(to, text).expect("written");
    }
}

#[test]
fn objects_of_every_version_run() {
    keep_if_asked();
    let mut count = 0;
    for entry in fs::read_dir(abi_dir()).expect("tests/abi").flatten() {
        for object in files(&entry.path(), "so") {
            let text = fs::read_to_string(object.with_extension("wat")).expect("its source");
            check(&object, &text);
            count += 1;
        }
    }
    assert!(count > 0, "there are no objects: make keep-abi");
}

#[test]
fn this_version_has_its_objects() {
    keep_if_asked();
    let names = |dir: &str| {
        let files = files(&abi_dir().join(dir), "wat");
        files
            .iter()
            .map(|path| path.file_name().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    let ours = env!("CARGO_PKG_VERSION");
    assert_eq!(names(ours), names("sources"), "make keep-abi");
}

/// Does what the source says, and compares.
fn check(object: &Path, text: &str) {
    // SAFETY: our compiler made it, and it came with these tests.
    let module = unsafe { Module::open(object) };
    let module = module.unwrap_or_else(|error| panic!("{}: {error}", object.display()));
    let asked = |line: &str| line.strip_prefix(";; ").map(str::to_owned);
    let lines: Vec<String> = text.lines().filter_map(asked).collect();
    let program = lines.iter().find_map(|line| line.strip_prefix("stdout "));
    if let Some(expected) = program {
        let ran = wasi::run(&module, &mut WasiCtxBuilder::new());
        assert_eq!(ran.stdout.trim_end(), expected, "{}", object.display());
        return;
    }
    let mut store = Store::new(world());
    let instance = linker()
        .instantiate(&mut store, &module)
        .expect("all imports");
    let mut calls = 0;
    for line in lines.iter().filter(|line| line.contains(" = ")) {
        let (call, expected) = line.split_once(" = ").expect("just looked for");
        let mut words = call.split_whitespace();
        let name = words.next().expect("a name");
        let func = match instance.export(&store, name) {
            Some(precast::Extern::Func(func)) => func,
            other => panic!("{}: {name} is {other:?}", object.display()),
        };
        let actual = call_with(&mut store, func, words);
        assert_eq!(actual, expected, "{}: {call}", object.display());
        calls += 1;
    }
    assert!(calls > 0, "{} is not called", object.display());
}

fn call_with<'a>(
    store: &mut Store<WasiCtx>,
    func: Func,
    words: impl Iterator<Item = &'a str>,
) -> String {
    let ty = func.ty(&*store).expect("its type");
    let args: Vec<Val> = words
        .zip(ty.params())
        .map(|(word, ty)| match ty {
            ValType::I32 => Val::I32(word.parse().expect("a number")),
            ValType::I64 => Val::I64(word.parse().expect("a number")),
            ValType::F64 => Val::F64(word.parse::<f64>().expect("a number").to_bits()),
            other => panic!("no word for {other:?}"),
        })
        .collect();
    let mut results = vec![Val::I32(0); ty.results().len()];
    match func.call(store, &args, &mut results) {
        Ok(()) => results.iter().map(word).collect::<Vec<_>>().join(" "),
        Err(error) => format!("trap: {}", error.trap().expect("a trap").code()),
    }
}

fn word(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        other => panic!("no word for {other:?}"),
    }
}

fn world() -> WasiCtx {
    WasiCtxBuilder::new().build().expect("a world")
}

/// What the objects may import.
fn linker() -> Linker<WasiCtx> {
    let mut linker = wasi::linker();
    linker.func("host", "double", |_: Caller<'_, WasiCtx>, value: i32| {
        value * 2
    });
    linker.func(
        "host",
        "many",
        |_: Caller<'_, WasiCtx>, a: i64, b: f64, c: i32, d: i64, e: i64, f: i64, g: i64| {
            a + b as i64 + i64::from(c) + d + e + f + g
        },
    );
    linker
}
