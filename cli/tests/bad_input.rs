//! Bad input of every kind: one line that says who is at fault, exit code 1, nothing half-written.

mod support;

use support::{Place, expect_snapshot};

/// Modules that cannot be compiled, under the name of their file.
const MODULES: [(&str, &[u8]); 12] = [
    ("empty.wasm", b""),
    ("garbage.wasm", b"\x7fGARBAGE\0\xff\xfe"),
    ("prose.wat", b"Dear compiler, please compile this.\n"),
    ("header-only.wasm", b"\0asm"),
    ("version.wasm", b"\0asm\x07\0\0\0"),
    ("component.wasm", b"\0asm\x0d\0\x01\0"),
    ("truncated.wasm", b"\0asm\x01\0\0\0\x01\x7f\x60"),
    ("syntax.wat", b"(module\n  (func (resul i32)))"),
    ("invalid.wat", b"(module (func (result i32) i64.const 1))"),
    ("stacks.wat", b"(module (type $f (func)) (type (cont $f)))"),
    ("shared.wat", b"(module (memory 1 shared))"),
    ("object.so", b"\x7fELF\x02\x01\x01\0"),
];

#[test]
fn modules_that_cannot_be_compiled() {
    let place = Place::new();
    let mut transcript = String::new();
    for (name, bytes) in MODULES {
        place.write(name, bytes);
        let line = format!("compile {name} -o out.so");
        let ran = place.run(&line);
        transcript += &place.transcript(&line, &ran);
        ran.one_error_line();
        assert!(!place.path("out.so").exists(), "{name} left something");
    }
    expect_snapshot("modules", &transcript);
}

#[test]
fn modules_that_cannot_be_compiled_do_not_run_either() {
    let place = Place::new();
    for (name, bytes) in MODULES {
        place.write(name, bytes);
        let message = place.run(&format!("run {name}")).one_error_line();
        assert!(message.starts_with(&format!("{name}: ")), "{message}");
    }
}

#[test]
fn files_and_options_that_do_not_fit() {
    let place = Place::new();
    place.write("ok.wat", "(module)");
    place.write("file", "");
    std::fs::create_dir(place.path("dir")).unwrap();
    let mut transcript = String::new();
    for line in [
        "compile missing.wasm",
        "compile dir -o out.so",
        "compile file/below.wasm",
        "compile ok.wat -o dir",
        "compile ok.wat -o no/such/dir/out.so",
        "compile ok.wat -o file/out.so",
        "compile ok.wat -o /dev/full",
        "compile - ",
        "compile ok.wat --target m68k-linux",
        "compile ok.wat --cpu z80",
        "compile ok.wat --cpu baseline,+warp",
        "run missing.so",
        "run dir",
        "run --dir missing ok.wat",
        "inspect missing.so",
        "inspect dir",
        "inspect ok.wat",
    ] {
        let ran = place.run_with(line, b"(module)");
        transcript += &place.transcript(line, &ran);
        ran.one_error_line();
    }
    expect_snapshot("files", &transcript);
    assert_eq!(place.names(), ["cache", "dir", "file", "ok.wat"]);
}

#[test]
fn usage_errors_exit_with_2_and_say_what_is_wrong() {
    let place = Place::new();
    for (line, word) in [
        ("compile", "IN"),
        ("compile a.wasm --opt fast", "speed"),
        ("compile a.wasm --emit exe", "clif"),
        ("run --timeout soon a.so", "500ms"),
        ("run --max-memory much a.so", "64M"),
        ("run --env NAME a.so", "NAME=value"),
        ("run --dir ::/x a.so", "HOST::GUEST"),
        ("frobnicate", "frobnicate"),
        ("compile a.wasm -j many", "--jobs"),
        ("compile a.wasm -j -1", "-1"),
        ("inspect a.so b.so", "b.so"),
        ("run --frobnicate", "--frobnicate"),
        ("inspect --jsno a.so", "--json"),
    ] {
        let ran = place.run(line);
        assert_eq!(ran.code, Some(2), "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{line}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("precast: "), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{line}: {}", ran.stderr);
    }
}

#[test]
fn no_number_of_threads_is_too_large() {
    let place = Place::new();
    place.write("ok.wat", "(module)");
    for jobs in ["1", "100000", "18446744073709551615"] {
        place.run(&format!("compile ok.wat -j {jobs}")).ok();
    }
}

#[test]
fn what_is_said_cannot_fail() {
    let place = Place::new();
    place.write(
        "trap.wat",
        r#"(module (func (export "_start") unreachable))"#,
    );
    for (line, code) in [
        ("compile trap.wat", 0),
        ("run trap.wat", 134),
        ("run missing.wat", 1),
        ("run --timeout soon trap.wat", 2),
    ] {
        let mut command = place.command();
        let full = std::fs::File::create("/dev/full").unwrap();
        command.args(line.split(' ')).stderr(full);
        let code = Some(code);
        assert_eq!(command.status().unwrap().code(), code, "{line}");
    }
}

#[test]
fn names_in_a_module_cannot_forge_a_backtrace() {
    let place = Place::new();
    place.write(
        "forged.wat",
        r#"(module (func $"f\0a   1: forged\1b[31m" unreachable) (func (export "_start") (call 0)))"#,
    );
    let ran = place.run("run forged.wat");
    assert_eq!(ran.code, Some(134));
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
}

#[test]
fn a_directory_that_cannot_be_written_to_stays_as_it_is() {
    let place = Place::new();
    place.write("ok.wat", "(module)");
    // Not even the superuser can make files there.
    let message = place.run("compile ok.wat -o /proc/out.so").one_error_line();
    assert!(
        message.starts_with("/proc/out.so: cannot be written"),
        "{message}"
    );
    assert_eq!(place.names(), ["ok.wat"]);
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let place = Place::new();
    place.write(
        "big.wat",
        r#"(module (memory 2) (data (i32.const 0) "x") (data (i32.const 70000) "y"))"#,
    );
    place.write("out.so", "old");
    let mut shell = std::process::Command::new("sh");
    // A limit on the size of files, in place of a disk that is full.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" compile big.wat -o out.so";
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_precast")])
        .current_dir(place.path(""));
    let message = support::finish(shell, b"").one_error_line();
    assert!(
        message.starts_with("HERE/out.so: ") || message.contains("out.so: cannot be written"),
        "{message}"
    );
    assert_eq!(place.read("out.so"), b"old");
    assert_eq!(place.names(), ["big.wat", "out.so"]);
}

/// Offset of the metadata in an object: where its magic stands.
fn metadata_of(object: &[u8]) -> usize {
    let magic = precast_abi::object::MAGIC;
    object
        .windows(magic.len())
        .position(|bytes| bytes == magic)
        .expect("an object of ours")
}

/// How large objects are is the compiler's business.
fn without_sizes(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.parse::<u64>() {
        Ok(_) => "N",
        Err(_) => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn objects_that_are_damaged_or_for_someone_else() {
    use precast_abi::object::ObjectHeader;
    use std::mem::offset_of;
    let place = Place::new();
    place.write("a.wat", r#"(module (func (export "_start")))"#);
    place.run("compile a.wat -o good.so --cpu baseline").ok();
    place.run("run good.so").ok();
    let good = place.read("good.so");
    let start = metadata_of(&good);
    let patch = |name: &str, field: usize, bytes: &[u8]| {
        let mut object = good.clone();
        object[start + field..][..bytes.len()].copy_from_slice(bytes);
        place.write(name, object);
    };
    patch("arch.so", offset_of!(ObjectHeader, arch), &[2, 0]);
    let mut foreign = place.read("arch.so");
    // ELF's own number for AArch64 stands in its header.
    foreign[18] = 183;
    place.write("arch.so", foreign);
    patch("os.so", offset_of!(ObjectHeader, os), &[2, 0]);
    patch(
        "cpu.so",
        offset_of!(ObjectHeader, cpu_features) + 7,
        &[0x80],
    );
    patch("newer.so", offset_of!(ObjectHeader, version), &[0xff, 0]);
    patch("types.so", offset_of!(ObjectHeader, types), &[0xff; 8]);
    place.write("short.so", &good[..good.len() / 2]);
    place.write("head.so", &good[..64]);
    std::fs::copy(env!("CARGO_BIN_EXE_precast"), place.path("other.so")).unwrap();
    let mut transcript = String::new();
    for name in [
        "arch", "os", "cpu", "newer", "types", "short", "head", "other",
    ] {
        let line = format!("run {name}.so");
        let ran = place.run(&line);
        transcript += &without_sizes(&place.transcript(&line, &ran));
        ran.one_error_line();
    }
    expect_snapshot("objects", &transcript);
}

#[test]
fn missing_imports_are_listed_at_once() {
    let place = Place::new();
    place.write(
        "needy.wat",
        r#"(module
            (import "env" "log" (func (param i32 i64) (result f32)))
            (import "env" "memory" (memory 1 2))
            (import "env" "level" (global i32))
            (import "wasi_snapshot_preview1" "sched_yield" (func (param i32)))
            (func (export "_start")))"#,
    );
    let message = place.run("run needy.wat").one_error_line();
    for part in [
        "needy.wat: ",
        "`env::log`: expected function (i32, i64) -> (f32)",
        "`env::memory`",
        "`env::level`",
        "`wasi_snapshot_preview1::sched_yield`",
        "WASI preview 1 and threads only",
    ] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
}

#[test]
fn what_cannot_be_invoked() {
    let place = Place::new();
    place.write(
        "lib.wat",
        r#"(module (func (export "add") (param i32 i32) (result i32) local.get 0))"#,
    );
    let mut transcript = String::new();
    for line in [
        "run lib.wat",
        "run --invoke sub lib.wat 1 2",
        "run --invoke add lib.wat 1",
        "run --invoke add lib.wat 1 two",
        "run --invoke add lib.wat 1 4294967296",
    ] {
        let ran = place.run(line);
        transcript += &place.transcript(line, &ran);
        ran.one_error_line();
    }
    expect_snapshot("invoke", &transcript);
}

#[test]
fn profiles_that_do_not_fit() {
    let place = Place::new();
    place.write("counts.wat", r#"(module (func (export "_start") (loop)))"#);
    place.run("compile counts.wat").ok();
    place
        .run("compile --instrument counts.wat -o counting.so")
        .ok();
    let message = place.run("run --profile p counts.so").one_error_line();
    assert!(message.contains("--instrument"), "{message}");
    assert!(!place.path("p").exists());

    place.run("run --profile p counting.so").ok();
    place.write("other.wat", "(module (func))");
    let message = place.run("compile other.wat --profile p").one_error_line();
    assert!(message.contains("another module"), "{message}");

    place.write("none", "precast profile 1\nmodule x\n");
    for line in [
        "compile counts.wat --profile none",
        "run --profile none counting.so",
    ] {
        let message = place.run(line).one_error_line();
        assert!(message.starts_with("none: line 2"), "{message}");
    }
    place.write("bytes", [0xff, 0xfe]);
    let message = place.run("compile counts.wat --profile bytes");
    assert_eq!(message.one_error_line(), "bytes: is not a profile");
}
