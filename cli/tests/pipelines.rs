//! Many files, the cache that a pipeline names, reports, and the recipes in docs/pipelines.md.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use support::{Place, names_in};

fn answer(number: i32) -> String {
    format!(r#"(module (func (export "answer") (result i32) (i32.const {number})))"#)
}

fn report(text: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(text).unwrap();
    report["files"].as_array().unwrap().clone()
}

#[test]
fn many_files_are_compiled_at_once() {
    let place = Place::new();
    let mut line = "compile -q -o out/".to_owned();
    for number in 0..9 {
        place.write(&format!("m{number}.wat"), answer(number));
        line += &format!(" m{number}.wat");
    }
    place.run(&line).ok();
    for number in 0..9 {
        let ran = place.run(&format!("run --invoke answer out/m{number}.so"));
        assert_eq!(ran.ok().stdout(), format!("{number}\n"));
    }
    // The same bytes as one by one.
    place.run("compile -q m3.wat").ok();
    assert_eq!(place.read("m3.so"), place.read("out/m3.so"));
}

#[test]
fn one_that_fails_does_not_stop_the_others() {
    let place = Place::new();
    place.write("a.wat", answer(1));
    place.write("bad.wat", "(module (func (result i32)))");
    place.write("z.wat", answer(2));
    let ran = place.run("compile -q --json a.wat bad.wat gone.wat z.wat");
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
    let files = report(&ran.stdout());
    assert_eq!(files[0]["output"], "a.so");
    assert_eq!(files[0]["error"], Value::Null);
    assert_eq!(files[0]["functions"], 1);
    assert_eq!(files[0]["output_bytes"], place.read("a.so").len());
    assert!(files[1]["error"].as_str().unwrap().starts_with("bad.wat: "));
    assert!(files[2]["error"].as_str().unwrap().contains("no such file"));
    assert_eq!(files[3]["output"], "z.so");
    assert!(!place.path("bad.so").exists());
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let place = Place::new();
    fs::create_dir(place.path("sub")).unwrap();
    place.write("a.wat", answer(1));
    place.write("sub/a.wat", answer(2));
    place.write("b.wat", answer(3));
    for (line, message) in [
        (
            "compile a.wat sub/a.wat",
            "would be made of a.wat and of this",
        ),
        ("compile a.wat b.wat -o c.so", "is not a directory"),
        ("compile a.wat - -o sub", "has no name"),
        ("compile --json a.wat -o -", "not both"),
    ] {
        let told = place.run(line).one_error_line();
        assert!(told.contains(message), "{line}: {told}");
    }
    assert_eq!(place.names(), ["a.wat", "b.wat", "sub"]);
}

#[test]
fn nothing_is_compiled_twice() {
    let place = Place::new();
    place.write("a.wat", answer(1));
    let cached = |line: &str| {
        let files = report(&place.run(&format!("compile --json {line}")).ok().stdout());
        (
            files[0]["cached"].as_bool().unwrap(),
            files[0]["functions"].clone(),
        )
    };
    assert_eq!(cached("--cache c a.wat"), (false, 1.into()));
    let object = place.read("a.so");
    fs::remove_file(place.path("a.so")).unwrap();
    assert_eq!(cached("--cache c a.wat"), (true, 1.into()));
    assert_eq!(place.read("a.so"), object);
    // How many threads compile does not matter; every other option does, and so does the module.
    assert!(cached("--cache c -j 1 a.wat").0);
    for other in [
        "--fuel",
        "--opt size",
        "--cpu baseline",
        "--emit obj",
        "--without inline",
    ] {
        let line = format!("--cache c {other} a.wat");
        assert!(!cached(&line).0, "{other}");
    }
    // Two profiles of one module differ in their counts alone.
    place
        .run("compile --instrument a.wat -o counting.so --cache c")
        .ok();
    for (name, times) in [("once", 1), ("twice", 2)] {
        for _ in 0..times {
            let run = format!("run --profile {name} --invoke answer counting.so");
            place.run(&run).ok();
        }
        assert!(!cached(&format!("--cache c --profile {name} a.wat")).0);
    }
    place.write("a.wat", answer(2));
    assert!(!cached("--cache c a.wat").0);
    // A damaged entry is made again.
    for name in names_in(&place.path("c")) {
        let path = place.path(&format!("c/{name}"));
        if path.is_dir() {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert!(!cached("--cache c a.wat").0);
    assert!(cached("--cache c a.wat").0);
    assert_eq!(place.run("run --invoke answer a.so").ok().stdout(), "2\n");
}

/// Ten functions that are not small; one of them has this number in it.
fn ten_functions(number: i32) -> String {
    let function = |index: i32| {
        let number = if index == 4 { number } else { index };
        let step = format!("(local.set 0 (i32.xor (local.get 0) (i32.const {number})))");
        let more = "(i32.store8 (local.get 0) (i32.load (local.get 0)))".repeat(9);
        format!("(func (export \"f{index}\") (param i32) (result i32) {step} {more} (local.get 0))")
    };
    let functions: String = (0..10).map(function).collect();
    format!("(module (memory 1) {functions})")
}

#[test]
fn of_a_module_that_changed_only_what_changed_is_compiled() {
    let place = Place::new();
    let known = |line: &str| {
        let ran = place.run(&format!("compile --json {line}")).ok();
        let files = report(&ran.stdout());
        assert_eq!(files[0]["cached"], false);
        files[0]["functions_cached"].as_u64().unwrap()
    };
    place.write("a.wat", ten_functions(100));
    assert_eq!(known("--cache c a.wat"), 0);
    place.write("a.wat", ten_functions(1_000_000));
    assert_eq!(known("--cache c a.wat"), 9);
    let cached = place.read("a.so");
    place.run("compile -q a.wat -o plain.so").ok();
    assert!(cached == place.read("plain.so"), "other bytes with a cache");
    assert_eq!(known("--cache c --opt size a.wat"), 0);
    let told = place
        .run("compile --cache c --cpu baseline a.wat")
        .ok()
        .stderr;
    assert!(!told.contains("from the cache"), "{told}");
    place.write("a.wat", ten_functions(55));
    let told = place
        .run("compile --cache c --cpu baseline a.wat")
        .ok()
        .stderr;
    assert!(told.contains("9 functions from the cache"), "{told}");
    // Damaged entries, and those that others may write to, are compiled again.
    let entries = names_in(&place.path("c/functions"));
    assert!(entries.len() >= 30 && entries.iter().all(|name| name.ends_with(".fn")));
    for (number, name) in entries.iter().enumerate() {
        let path = place.path(&format!("c/functions/{name}"));
        let mut bytes = fs::read(&path).unwrap();
        match number % 3 {
            0 => bytes[40] ^= 1,
            1 => bytes.truncate(bytes.len() / 2),
            _ => fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap(),
        }
        fs::write(&path, bytes).unwrap();
    }
    place.write("a.wat", ten_functions(77));
    assert_eq!(known("--cache c a.wat"), 0);
    place.run("compile -q a.wat -o plain.so").ok();
    assert!(
        place.read("a.so") == place.read("plain.so"),
        "other bytes with a cache"
    );
    // A directory within that is not ours alone is refused, as the cache is.
    let functions = place.path("c/functions");
    fs::set_permissions(functions, fs::Permissions::from_mode(0o777)).unwrap();
    let line = place.run("compile --cache c a.wat --fuel").one_error_line();
    assert!(line.contains("may be written by others"), "{line}");
}

#[test]
fn one_object_has_code_for_several_levels() {
    let place = Place::new();
    place.write("a.wat", ten_functions(100));
    place
        .run("compile -q --levels baseline,x86-64-v2,x86-64-v3 a.wat")
        .ok();
    let ran = place.run("run --invoke f4 a.so 3").ok();
    place
        .run("compile -q --cpu baseline a.wat -o plain.so")
        .ok();
    assert_eq!(
        ran.stdout(),
        place.run("run --invoke f4 plain.so 3").ok().stdout()
    );
    let told = place.run("inspect --verify a.so").ok().stdout();
    assert!(told.contains("cpu features  none beyond"), "{told}");
    assert_eq!(told.matches("better level").count(), 2, "{told}");
    let told: Value =
        serde_json::from_str(&place.run("inspect --json a.so").ok().stdout()).unwrap();
    let levels = told["levels"].as_array().unwrap();
    assert!(
        levels[1]["cpu_features"]
            .as_array()
            .unwrap()
            .contains(&"avx2".into())
    );
    // Everything is signed.
    place.run("keygen --no-password -s k.key -p k.pub").ok();
    place.run("sign -s k.key a.so").ok();
    place.run("run --trusted-key k.pub --invoke f4 a.so 3").ok();
    let signed = place.read("a.so");
    for at in [signed.len() / 2, signed.len() * 3 / 4] {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        place.write("changed.so", changed);
        let ran = place.run("run --trusted-key k.pub --invoke f4 changed.so 3");
        assert!(ran.one_error_line().contains("changed after it was signed"));
    }
    for (line, message) in [
        ("--levels x86-64-v3,baseline", "from the least CPU"),
        ("--levels baseline,pentium", "unknown CPU"),
        (
            "--levels baseline,x86-64-v3 --emit obj",
            "shared objects only",
        ),
    ] {
        let told = place.run(&format!("compile a.wat {line}")).one_error_line();
        assert!(told.contains(message), "{line}: {told}");
    }
    let both = place.run("compile a.wat --cpu baseline --levels baseline");
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn a_cache_that_others_may_write_is_refused() {
    let place = Place::new();
    place.write("a.wat", answer(1));
    fs::create_dir(place.path("c")).unwrap();
    fs::set_permissions(place.path("c"), fs::Permissions::from_mode(0o777)).unwrap();
    let line = place.run("compile --cache c a.wat").one_error_line();
    assert!(line.contains("may be written by others"), "{line}");
    assert!(!place.path("a.so").exists());
}

/// The block of docs/pipelines.md that starts with `first`.
fn recipe(first: &str) -> String {
    let page = include_str!("../../docs/pipelines.md");
    let block = page.split("```").find(|block| {
        let body = block.split_once('\n').map_or("", |(_, body)| body);
        body.starts_with(first)
    });
    let block = block.unwrap_or_else(|| panic!("a recipe that starts with {first}"));
    block.split_once('\n').unwrap().1.to_owned()
}

/// Runs a program with our command in its path.
fn run(place: &Place, program: &str, args: &[&str]) -> String {
    let ours = std::path::Path::new(env!("CARGO_BIN_EXE_precast"));
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(args)
        .current_dir(place.path(""))
        .env(
            "PATH",
            format!("{}:{path}", ours.parent().unwrap().display()),
        )
        .env("OUT_DIR", place.path("build"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn the_recipe_for_make_works() {
    let place = Place::new();
    fs::create_dir(place.path("wasm")).unwrap();
    place.write("wasm/a.wasm", wat::parse_str(answer(1)).unwrap());
    place.write("wasm/b.wasm", wat::parse_str(answer(2)).unwrap());
    place.write("Makefile", recipe("# Makefile"));
    run(&place, "make", &[]);
    assert_eq!(names_in(&place.path("build")), ["a.so", "b.so"]);
    assert!(run(&place, "make", &[]).contains("Nothing to be done"));
}

#[test]
fn the_recipe_for_cargo_works() {
    let place = Place::new();
    fs::create_dir(place.path("build")).unwrap();
    fs::create_dir(place.path("guests")).unwrap();
    place.write("guests/app.wasm", wat::parse_str(answer(1)).unwrap());
    place.write("build.rs", recipe("// build.rs"));
    run(
        &place,
        "rustc",
        &["--edition", "2024", "build.rs", "-o", "build-script"],
    );
    let script = place.path("build-script");
    let said = run(&place, script.to_str().unwrap(), &[]);
    assert!(
        said.contains("cargo::rerun-if-changed=guests/app.wasm"),
        "{said}"
    );
    assert!(place.path("build/app.so").exists());
}
