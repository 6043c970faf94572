//! Programs in C: what they print is what it would be natively.

use precast_tests::wasi::{Ran, compile, run};
use precast_wasi::{Input, Perms, WasiCtxBuilder};

fn files(describe: impl FnOnce(&mut WasiCtxBuilder)) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    let mut builder = WasiCtxBuilder::new();
    builder.arg("files");
    builder
        .preopen_dir(directory.path(), "/", Perms::ReadWrite)
        .expect("the directory");
    describe(&mut builder);
    run(&compile(include_bytes!("files.wasm")), &mut builder)
}

#[test]
fn files_do_what_posix_says() {
    let ran = files(|_| {});
    assert_eq!(ran.stdout, include_str!("files.txt"));
    assert_eq!((ran.end, ran.stderr.as_str()), (Ok(0), ""));
}

#[test]
fn files_do_the_same_where_the_kernel_has_no_openat2() {
    let ran = files(|builder| {
        builder.walk_paths();
    });
    assert_eq!(ran.stdout, include_str!("files.txt"));
}

const WORLD: &str = "\
argument \"7\"
argument \"x y\"
variable A=B
variable LANG=C
sleep 0, long enough 1
calendar 1
resolution 1
entropy 0
random 1
yield 0
ready 1, writable 1
line \"one\"
line \"two\"
terminal 0 0
seek -1 Invalid seek
";

#[test]
fn a_program_sees_the_world_it_was_given() {
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(["world", "7", "x y"])
        .env("A", "B")
        .env("LANG", "C")
        .stdin(Input::bytes(*b"one\ntwo"));
    let ran = run(&compile(include_bytes!("world.wasm")), &mut builder);
    assert_eq!(ran.stdout, WORLD);
    assert_eq!(ran.stderr, "on standard error\n");
    assert_eq!(ran.end, Ok(7));
}

#[test]
fn a_program_sees_nothing_that_it_was_not_given() {
    let mut builder = WasiCtxBuilder::new();
    let ran = run(&compile(include_bytes!("world.wasm")), &mut builder);
    let expected: String = WORLD
        .lines()
        .filter(|line| {
            !["argu", "vari", "line"]
                .iter()
                .any(|start| line.starts_with(start))
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(ran.stdout, expected);
    assert_eq!(ran.end, Ok(0));
}

#[test]
fn exit_codes_and_traps_reach_the_host() {
    let module = compile(include_bytes!("world.wasm"));
    for code in [0, 1, 125, 255] {
        let mut builder = WasiCtxBuilder::new();
        builder.args(["world", &code.to_string()]);
        assert_eq!(run(&module, &mut builder).end, Ok(code));
    }
    let mut builder = WasiCtxBuilder::new();
    builder.args(["world", "99"]);
    let end = run(&module, &mut builder).end.expect_err("it aborts");
    assert!(end.contains("unreachable"), "{end}");
}

#[test]
fn one_builder_makes_worlds_that_know_nothing_of_each_other() {
    let module = compile(include_bytes!("world.wasm"));
    let mut builder = WasiCtxBuilder::new();
    builder.args(["world", "3"]).stdin(Input::bytes(*b"one"));
    let first = run(&module, &mut builder);
    let second = run(&module, &mut builder);
    assert_eq!(first, second);
    assert!(first.stdout.contains("line \"one\""));
}
