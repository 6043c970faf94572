//! Programs that `precast bundle` makes.

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use support::Place;

/// Writes its first argument but the name and a newline, and exits with how many there are.
const ARGS: &str = r#"(module $args
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $end i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 64) (i32.const 1024)))
    (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 1)) (then
      (i32.store (i32.const 16) (i32.load (i32.const 68)))
      (local.set $end (i32.load (i32.const 68)))
      (loop $again
        (if (i32.load8_u (local.get $end)) (then
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $again))))
      (i32.store (i32.const 20) (i32.sub (local.get $end) (i32.load (i32.const 16))))
      (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 32)))))
    (call $exit (i32.load (i32.const 0)))))"#;

const FOREVER: &str = r#"(module $forever (func $spin (export "_start") (loop (br 0))))"#;

fn run(program: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir("/")
        .env_remove("RUST_BACKTRACE");
    command.output().expect("it can be run")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn all_arguments_go_to_the_guest() {
    let place = Place::new();
    place.write("args.wat", ARGS);
    let told = place.run("bundle args.wat -o args").ok().stderr;
    assert!(
        told.starts_with("args: ") && told.ends_with(" bytes\n"),
        "{told}"
    );
    // It needs nothing beside it.
    let program = place.path("elsewhere");
    fs::rename(place.path("args"), &program).expect("it can be moved");
    fs::remove_file(place.path("args.wat")).expect("it is there");
    let mode = fs::metadata(&program)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o700, 0o700);
    for args in [&["--help", "run", "-"][..], &["inspect"], &[]] {
        let output = run(&program, args);
        assert_eq!(output.status.code(), Some(args.len() as i32 + 1));
        let first = args.first().copied().unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&output.stdout), first);
        assert_eq!(stderr(&output), "");
    }
    // And cannot be bundled once more.
    place.write("args.wat", ARGS);
    let error = place
        .run("bundle --runner elsewhere args.wat -o again")
        .one_error_line();
    assert_eq!(error, "elsewhere: is a bundle already");
    assert!(!place.path("again").exists());
}

#[test]
fn settings_are_part_of_it() {
    let place = Place::new();
    place.write("forever.wat", FOREVER);
    place.run("compile -q forever.wat").ok();
    place
        .run("bundle -q --timeout 50ms forever.so -o forever")
        .ok();
    let output = run(&place.path("forever"), &[]);
    assert_eq!(output.status.code(), Some(134));
    let told = stderr(&output);
    assert!(told.contains("stopped after 50ms"), "{told}");
    assert!(told.contains("forever!spin"), "{told}");
    let error = place.run("bundle --timeout soon forever.so -o bad");
    assert_eq!(error.code, Some(2), "{}", error.stderr);
    let error = place.run("bundle --dir ::x forever.so -o bad");
    assert_eq!(error.code, Some(2), "{}", error.stderr);
}

#[test]
fn a_real_program_reads_its_directory() {
    let place = Place::new();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/wordfreq");
    let line = format!(
        "bundle -q --dir {}::/text:ro --max-memory 64M {} -o wordfreq",
        files.display(),
        files.join("wordfreq.wasm").display()
    );
    place.run(&line).ok();
    let output = run(&place.path("wordfreq"), &["-n", "3", "/text/text.txt"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.split(|&byte| byte == b'\n').count() > 3);
}

/// One line on standard error, and exit code 1.
#[track_caller]
fn is_damaged(program: &Path, words: &str) {
    let output = run(program, &["x"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(output.stdout, b"");
    let is_one_line = told.lines().count() == 1 && told.starts_with("precast: ");
    let says = told.contains("the bundle is damaged") && told.contains(words);
    assert!(is_one_line && says, "{told}");
}

#[test]
fn damaged_bundles_say_so() {
    let place = Place::new();
    place.write("args.wat", ARGS);
    place.run("compile -q args.wat").ok();
    place.run("bundle -q --env A=b args.so -o args").ok();
    let program = place.path("args");
    let object = place.read("args.so").len() as u64;
    let open = || {
        let options = OpenOptions::new().read(true).write(true).open(&program);
        options.expect("it is there")
    };
    let len = open().metadata().expect("it has a length").len();
    let settings = "eA=b\0".len() as u64;
    let flip = |at: u64| {
        let file = open();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("it is that long");
        file.write_all_at(&[byte[0] ^ 1], at)
            .expect("it can be written");
    };
    let start = len - settings - object;
    for (at, words) in [
        (len - 3, "its settings were changed"),
        (start, "this is no object"),
        (start + 4, "not one that Precast made"),
    ] {
        flip(at);
        is_damaged(&program, words);
        flip(at);
    }
    assert_eq!(
        run(&program, &[]).status.code(),
        Some(1),
        "it is whole again"
    );
    assert_eq!(stderr(&run(&program, &[])), "");
    for cut in [1, settings + 1, settings + object, settings + object + 1] {
        open().set_len(len - cut).expect("it can be cut");
        is_damaged(&program, &format!("{} of {len} bytes are there", len - cut));
    }
}

#[test]
fn only_a_precast_can_be_a_runner() {
    let place = Place::new();
    place.write("args.wat", ARGS);
    place.write("text", "#!/bin/sh\n");
    let mut other = vec![0; 4096];
    other[..6].copy_from_slice(b"\x7fELF\x02\x01");
    other[18] = 183;
    place.write("arm", &other);
    other[18] = 62;
    place.write("x86", &other);
    for (runner, words) in [
        ("text", "no program"),
        ("arm", "another CPU"),
        ("x86", "no place for an object"),
        ("nothing", "no such file"),
    ] {
        let line = format!("bundle --runner {runner} args.wat -o out");
        let error = place.run(&line).one_error_line();
        assert!(
            error.starts_with(runner) && error.contains(words),
            "{error}"
        );
    }
    let error = place.run("bundle text -o out").one_error_line();
    assert!(error.starts_with("text: "), "{error}");
    assert!(!place.path("out").exists());
}

#[test]
fn objects_for_other_systems_are_refused() {
    let place = Place::new();
    place.write("args.wat", ARGS);
    for line in [
        "bundle --target x86_64-macos args.wat -o out",
        "bundle args.dylib -o out",
    ] {
        place
            .run("compile --target x86_64-macos args.wat -o args.dylib")
            .ok();
        let error = place.run(line).one_error_line();
        assert!(error.contains("another system than Linux"), "{error}");
    }
    assert!(!place.path("out").exists());
}
