//! The command when all goes well.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Place, expect_snapshot, names_in};

/// A program that writes `hi` and exits with code 7.
const HI: &str = r#"(module $hi
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\03\00\00\00hi\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
    (call $exit (i32.const 7))))"#;

const TRAPS: &str = r#"(module $traps
  (func $inner (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
  (func $outer (call $inner (i32.const 0)) (call $inner (i32.const 1)))
  (func (export "_start") (call $outer)))"#;

const FOREVER: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

/// Where the command keeps what it compiles.
fn cache(place: &Place) -> PathBuf {
    place.path("cache/precast")
}

#[test]
fn the_guests_exit_code_is_ours() {
    let place = Place::new();
    place.write("hi.wat", HI);
    place.run("compile hi.wat").ok();
    for file in ["hi.so", "hi.wat"] {
        let ran = place.run(&format!("run {file}"));
        assert_eq!(
            (ran.code, ran.stdout().as_str(), ran.stderr.as_str()),
            (Some(7), "hi\n", "")
        );
    }
}

#[test]
fn what_comes_through_a_pipe_runs_too() {
    let place = Place::new();
    place.write("hi.wat", HI);
    place.run("compile hi.wat").ok();
    let (module, object) = (place.read("hi.wat"), place.read("hi.so"));
    for input in [module, object.clone()] {
        for file in ["-", "/dev/stdin"] {
            let ran = place.run_with(&format!("run {file}"), &input);
            assert_eq!(
                (ran.code, ran.stdout().as_str()),
                (Some(7), "hi\n"),
                "{}",
                ran.stderr
            );
        }
    }
    let inspected = place.run_with("inspect -", &object).ok().stdout();
    assert_eq!(inspected, place.run("inspect hi.so").ok().stdout());
}

#[test]
fn a_trap_prints_its_code_and_the_calls_by_name_and_exits_with_134() {
    let place = Place::new();
    place.write("traps.wat", TRAPS);
    let ran = place.run("run traps.wat");
    expect_snapshot("trap", &place.transcript("run traps.wat", &ran));
    assert_eq!(ran.code, Some(134));
    assert!(
        ran.stderr
            .starts_with("precast: traps.wat: trap: integer divide by zero\n")
    );
    assert!(
        ran.stderr.contains("inner") && ran.stderr.contains("outer"),
        "{}",
        ran.stderr
    );
}

#[test]
fn summaries_tell_functions_bytes_and_time() {
    let place = Place::new();
    place.write("hi.wat", HI);
    let ran = place.run("compile hi.wat -o out.so").ok();
    assert_eq!(ran.stdout(), "");
    assert!(
        ran.stderr.starts_with("out.so: 1 functions, "),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with(" s\n") && ran.stderr.contains(" bytes of code, "));
    assert_eq!(place.run("compile --quiet hi.wat").ok().stderr, "");
    assert_eq!(place.names(), ["hi.so", "hi.wat", "out.so"]);
}

#[test]
fn the_output_does_not_depend_on_threads_or_on_where_it_goes() {
    let place = Place::new();
    place.write("hi.wat", HI);
    place.run("compile hi.wat -o one.so -j 1").ok();
    place.run("compile hi.wat -o two.so -j 2").ok();
    let piped = place.run_with("compile - -o -", HI.as_bytes()).ok();
    assert!(piped.stderr.is_empty());
    assert!(place.read("one.so") == place.read("two.so"));
    assert!(place.read("one.so") == piped.stdout);
}

#[test]
fn an_output_that_exists_is_replaced_in_one_step() {
    let place = Place::new();
    place.write("hi.wat", HI);
    place.run("compile hi.wat").ok();
    let running = fs::File::open(place.path("hi.so")).unwrap();
    let before = running.metadata().unwrap().len();
    place.run("compile hi.wat --opt none").ok();
    assert_eq!(
        running.metadata().unwrap().len(),
        before,
        "the old file was written to"
    );
    assert_eq!(place.names(), ["hi.so", "hi.wat"]);
}

#[test]
fn every_kind_of_output_can_be_emitted() {
    let place = Place::new();
    place.write("traps.wat", TRAPS);
    for (kind, ending, word) in [
        ("obj", "o", &b"\x7fELF"[..]),
        ("clif", "clif", b"function "),
        ("asm", "s", b"inner"),
    ] {
        place.run(&format!("compile traps.wat --emit {kind}")).ok();
        let emitted = place.read(&format!("traps.{ending}"));
        assert!(
            emitted.windows(word.len()).any(|bytes| bytes == word),
            "{kind}"
        );
    }
}

#[test]
fn functions_are_called_by_name_with_typed_arguments() {
    let place = Place::new();
    place.write(
        "math.wat",
        r#"(module
            (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
            (func (export "half") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))
            (func (export "swap") (param i64 f32) (result f32 i64) local.get 1 local.get 0)
            (func (export "nothing")))"#,
    );
    for (line, expected) in [
        ("add math.wat 2 3", "5\n"),
        ("add math.wat -1 -2", "-3\n"),
        ("add math.wat 0xffffffff 1", "0\n"),
        ("half math.wat 3", "1.5\n"),
        ("half math.wat -inf", "-inf\n"),
        ("swap math.wat -9 2.5", "2.5\n-9\n"),
        ("nothing math.wat", ""),
    ] {
        assert_eq!(
            place.run(&format!("run --invoke {line}")).ok().stdout(),
            expected,
            "{line}"
        );
    }
}

#[test]
fn a_guest_that_does_not_end_is_stopped() {
    let place = Place::new();
    place.write("forever.wat", FOREVER);
    let start = Instant::now();
    let ran = place.run("run --timeout 200ms forever.wat");
    assert_eq!(ran.code, Some(134));
    assert!(ran.stderr.contains("stopped after 200ms"), "{}", ran.stderr);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn memory_is_limited() {
    let place = Place::new();
    place.write(
        "grow.wat",
        r#"(module (memory 1) (func (export "grow") (param i32) (result i32)
            (memory.grow (local.get 0))))"#,
    );
    let run = |limit: &str, pages: u32| {
        place.run(&format!(
            "run --max-memory {limit} --invoke grow grow.wat {pages}"
        ))
    };
    assert_eq!(run("1M", 15).ok().stdout(), "1\n");
    assert_eq!(run("1M", 16).ok().stdout(), "-1\n");
    let message = run("1K", 0).one_error_line();
    assert!(
        message.contains("limit") && message.contains("--max-memory"),
        "{message}"
    );
}

#[test]
fn the_cache_is_private_and_heals_itself() {
    let place = Place::new();
    place.write("hi.wat", HI);
    assert_eq!(place.run("run hi.wat").code, Some(7));
    let [entry] = <[String; 1]>::try_from(names_in(&cache(&place))).unwrap();
    let entry = cache(&place).join(entry);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&cache(&place)), mode(&entry)), (0o700, 0o600));

    let good = fs::read(&entry).unwrap();
    for damage in [&good[..100], &[0; 10_000], b""] {
        fs::write(&entry, damage).unwrap();
        let ran = place.run("run hi.wat");
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(7), ""));
        assert!(fs::read(&entry).unwrap() == good, "it was not rebuilt");
    }
}

#[test]
fn a_cache_that_others_can_write_to_is_not_used() {
    let place = Place::new();
    place.write("hi.wat", HI);
    fs::create_dir_all(cache(&place)).unwrap();
    fs::set_permissions(cache(&place), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = place.run("run hi.wat");
    assert_eq!((ran.code, ran.stdout().as_str()), (Some(7), "hi\n"));
    assert!(ran.stderr.contains("without the cache") && ran.stderr.contains("chmod go-w"));
    assert!(names_in(&cache(&place)).is_empty());
}

#[test]
fn concurrent_runs_share_the_cache() {
    let place = Place::new();
    place.write("hi.wat", HI);
    let start = || {
        let mut command = place.command();
        command
            .args(["run", "hi.wat"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..8).map(|_| start()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(7), &b"hi\n"[..])
        );
    }
    assert_eq!(names_in(&cache(&place)).len(), 1);
}

#[test]
fn inspect_shows_what_is_in_an_object() {
    let place = Place::new();
    place.write("hi.wat", HI);
    place.run("compile hi.wat --cpu baseline").ok();
    let text = place.run("inspect --verify hi.so").ok().stdout();
    for part in [
        "target        x86_64-linux",
        "module name   hi",
        "functions     1 defined, 2 imported",
        "function wasi_snapshot_preview1::fd_write (i32, i32, i32, i32) -> (i32)",
        "memory memory 1",
        "function _start () -> ()",
        "verified",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&place.run("inspect --json hi.so").ok().stdout).unwrap();
    assert_eq!(json["abi"], "1.3");
    assert_eq!(json["imports"][1]["name"], "proc_exit");
    assert_eq!(json["exports"][0]["kind"], "function");
    assert_eq!(json["verified"], serde_json::Value::Null);
}

#[test]
fn help_has_examples_everywhere() {
    let place = Place::new();
    for command in [
        "",
        "compile",
        "run",
        "bundle",
        "keygen",
        "sign",
        "verify",
        "inspect",
        "targets",
        "completions",
    ] {
        let help = place.run(&format!("{command} --help")).ok().stdout();
        assert!(help.contains("Examples:"), "{help}");
        let name = if command.is_empty() { "help" } else { command };
        expect_snapshot(&format!("help-{name}").replace("help-help", "help"), &help);
    }
}

#[test]
fn every_target_that_is_listed_is_one() {
    let place = Place::new();
    let listed = place.run("targets").ok().stdout();
    let names: Vec<_> = listed
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains(&"aarch64-linux"), "{listed}");
    place.write("hi.wat", HI);
    for name in names {
        place
            .run(&format!("compile hi.wat --target {name} -o {name}.so"))
            .ok();
        let inspected = place.run(&format!("inspect {name}.so")).ok().stdout();
        assert!(
            inspected.contains(&format!("target        {name}\n")),
            "{inspected}"
        );
    }
}

#[test]
fn shells_can_complete_the_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&format!("completions {shell}")).ok().stdout();
        assert!(script.contains("max-memory"), "{shell}");
    }
}

#[test]
fn nobody_is_told_when_the_reader_has_gone() {
    let place = Place::new();
    let mut command = place.command();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command
        .args(["completions", "bash"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(141), &b""[..])
    );
}

#[test]
fn directories_arguments_and_variables_reach_the_guest() {
    let place = Place::new();
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/wordfreq/wordfreq.wasm"
    );
    fs::copy(example, place.path("wordfreq.wasm")).unwrap();
    fs::create_dir(place.path("data")).unwrap();
    place.write("data/in.txt", "b a b");
    let ran = place
        .run("run --dir data::/ wordfreq.wasm -o /out.csv /in.txt")
        .ok();
    assert!(
        ran.stdout().starts_with("3 words, 2 different\n"),
        "{}",
        ran.stdout()
    );
    assert_eq!(place.read("data/out.csv"), b"b,2\na,1\n");
    let read_only = place.run("run --dir data::/:ro wordfreq.wasm -o /out2.csv /in.txt");
    assert_eq!(read_only.code, Some(1));
    assert!(
        read_only.stderr.contains("cannot write /out2.csv"),
        "{}",
        read_only.stderr
    );
    let outside = place.run("run --dir data::/ wordfreq.wasm /../wordfreq.wasm");
    assert_eq!(outside.code, Some(1));
    let piped = place
        .run_with("run wordfreq.wasm", b"to be or not to be")
        .ok();
    assert!(piped.stdout().starts_with("6 words, 4 different\n"));
}

/// Calls a function as often as its argument says, then exits with that.
const COUNTS: &str = r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func $step)
  (func (export "_start") (local $left i32)
    (local.set $left (i32.const 7))
    (loop $again
      (call $step)
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $exit (i32.const 3))))"#;

/// An object of [`COUNTS`] that counts.
fn instrumented() -> Place {
    let place = Place::new();
    place.write("counts.wat", COUNTS);
    place
        .run("compile --instrument counts.wat -o counting.so")
        .ok();
    place
}

#[test]
fn runs_add_up_however_they_end() {
    let place = instrumented();
    for times in 1..=2 {
        let ran = place.run("run --profile app.profile counting.so");
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), ""));
        let profile = String::from_utf8(place.read("app.profile")).unwrap();
        let counts: Vec<&str> = profile.lines().skip(2).collect();
        let expected = [
            "counters 4".to_owned(),
            format!("0 {}", 7 * times),
            format!("1 {times}"),
            format!("2 {}", 7 * times),
            format!("3 {times}"),
        ];
        assert_eq!(counts, expected);
    }
}

#[test]
fn code_is_compiled_from_several_profiles() {
    let place = instrumented();
    for name in ["a", "b"] {
        place.run(&format!("run --profile {name} counting.so"));
    }
    place.run("compile counts.wat --profile a --profile b").ok();
    assert_eq!(place.run("run counts.so").code, Some(3));
}
