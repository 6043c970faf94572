//! Running where a process may have little address space (`ulimit -v`).

mod support;

use support::{Place, Ran, finish};

/// A program that says a word, and takes 40 pages.
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2 100)
  (data (i32.const 16) "hello\n")
  (func (export "_start")
    (drop (memory.grow (i32.const 38)))
    (i32.store (i32.const 2500000) (i32.const 16))
    (i32.store offset=4 (i32.const 2500000) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 2500000) (i32.const 1) (i32.const 0)))))"#;

/// Runs the command with at most `mib` MiB of address space.
fn limited(place: &Place, mib: u64, line: &str) -> Ran {
    let mut command = std::process::Command::new("sh");
    command
        .current_dir(place.path("."))
        .env("XDG_CACHE_HOME", place.path("cache"))
        .args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh"])
        .arg((mib << 10).to_string())
        .arg(env!("CARGO_BIN_EXE_precast"))
        .args(line.split_whitespace());
    finish(command, b"")
}

#[test]
fn programs_with_checks_run_and_others_are_told_what_to_do() {
    let place = Place::new();
    place.write("hello.wat", HELLO);
    place.run("compile hello.wat -o guarded.so").ok();
    place
        .run("compile --memory-reservation 8M hello.wat -o compact.so")
        .ok();
    for mib in [4096, 256] {
        let ran = limited(&place, mib, "run compact.so").ok();
        assert_eq!(
            (ran.stdout().as_str(), ran.stderr.as_str()),
            ("hello\n", "")
        );
        let line = limited(&place, mib, "run guarded.so").one_error_line();
        let limit = (mib << 20).to_string();
        for part in [
            "guarded.so: ",
            &limit,
            "`ulimit -v`",
            "--memory-reservation",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
}
