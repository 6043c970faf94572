//! The programs in `examples/c`: compiled without a warning, run, and held to what they print. Then
//! once more with AddressSanitizer.

mod support;

use std::path::{Path, PathBuf};

use support::{C, CPP, Compiler, linked, object, root, run};

fn example(name: &str) -> PathBuf {
    root().join("examples/c").join(name)
}

/// Builds an example and runs it with an object; what it prints.
fn print_of(compiler: Compiler, source: &str, args: &[&Path]) -> Option<String> {
    let dir = tempfile::tempdir().expect("a directory");
    if !compiler.is_there(dir.path()) {
        return None;
    }
    let program = compiler.build(dir.path(), &example(source), &[]);
    Some(run(&program, args))
}

fn hello(compiler: Compiler) {
    let dir = tempfile::tempdir().expect("a directory");
    let object = object(dir.path(), &example("hello.wat"));
    if let Some(printed) = print_of(compiler, "hello.c", &[&object]) {
        let said = "guest: hello from the guest\n";
        assert_eq!(printed, format!("{said}{said}it said so 2 times\n"));
    }
}

fn pool(compiler: Compiler) {
    let dir = tempfile::tempdir().expect("a directory");
    let object = object(dir.path(), &example("pool.wat"));
    if let Some(printed) = print_of(compiler, "pool.c", &[&object, Path::new("1000")]) {
        assert_eq!(printed, "1000 requests, 1 slots made\n");
    }
}

fn deadline(compiler: Compiler) {
    let dir = tempfile::tempdir().expect("a directory");
    let object = object(dir.path(), &example("deadline.wat"));
    if let Some(printed) = print_of(compiler, "deadline.c", &[&object]) {
        assert_eq!(
            printed,
            "timeout: interrupted: the deadline passed, in spin!forever\n\
             kill: interrupted, in spin!forever\n"
        );
    }
}

fn wasi(compiler: Compiler) {
    let dir = tempfile::tempdir().expect("a directory");
    let files = root().join("examples/wordfreq");
    let object = object(dir.path(), &files.join("wordfreq.wasm"));
    if let Some(printed) = print_of(compiler, "wasi.c", &[&object, &files]) {
        let lines: Vec<&str> = printed.lines().collect();
        assert!(lines[0].starts_with("exit code 0, "), "{printed}");
        assert!(lines.len() > 3, "{printed}");
    }
}

fn statically(compiler: Compiler) {
    let dir = tempfile::tempdir().expect("a directory");
    if !compiler.is_there(dir.path()) {
        return;
    }
    let objects = [
        linked(dir.path(), &example("hello.wat"), "hello"),
        linked(dir.path(), &example("pool.wat"), "counter"),
    ];
    let program = compiler.build(dir.path(), &example("static.c"), &objects);
    assert_eq!(
        run(&program, &[]),
        "hello: 3 times, 60 bytes\ncounter: 42\n"
    );
}

#[test]
fn a_guest_calls_the_host() {
    hello(C);
}

#[test]
fn requests_from_a_pool() {
    pool(C);
}

#[test]
fn guests_are_stopped() {
    deadline(C);
}

#[test]
fn a_wasi_program() {
    wasi(C);
}

#[test]
fn modules_in_the_program() {
    statically(C);
}

#[test]
fn from_cpp() {
    let dir = tempfile::tempdir().expect("a directory");
    let object = object(dir.path(), &example("hello.wat"));
    if let Some(printed) = print_of(CPP, "hello.cpp", &[&object]) {
        let expected = [
            "guest: hello from the guest",
            "guest: hello from the guest",
            "it said so 2 times",
            "guest: hello from the guest",
            "then: that is enough",
        ];
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[..5], expected);
        assert!(lines[5].contains("hello!greet at 0x"), "{printed}");
    }
}

#[test]
fn with_the_shared_library() {
    hello(C.shared());
    wasi(C.shared());
    statically(C.shared());
}

#[test]
fn with_address_sanitizer() {
    let compiler = C.sanitized();
    hello(compiler);
    pool(compiler);
    deadline(compiler);
    wasi(compiler);
    statically(compiler);
}
