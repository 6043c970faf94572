//! What a host's own backtraces and a debugger attached to it see of guests: names, and the host's
//! frames on both sides.

use precast::{Caller, Linker, Module, Store};
use precast_compiler::{Options, Pass, Passes, compile};
use std::backtrace::Backtrace;
use std::process::Command;

const MODULE: &str = r#"
(module
  (import "host" "stop" (func $stop (param i32)))
  (func $guest_inner (param i32) (call $stop (local.get 0)))
  (func $guest_outer (export "run") (param i32)
    (call $guest_inner (i32.add (local.get 0) (i32.const 1)))
    (call $guest_inner (local.get 0))))
"#;

/// A place for a debugger to stop at, by a name that it finds without debug information.
// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stop_here(value: i32) {
    std::hint::black_box(value);
}

fn open() -> Module {
    let wasm = wat::parse_str(MODULE).expect("well-formed");
    // What is inlined has no frame that a debugger could know of.
    let options = Options {
        passes: Passes::ALL.without(Pass::Inline),
        ..Options::default()
    };
    let object = compile(&wasm, &options).expect("it compiles").bytes;
    // SAFETY: the compiler made this a line ago.
    unsafe { Module::from_bytes(&object) }.expect("it can be opened")
}

#[inline(never)]
fn call_the_guest() -> Vec<String> {
    let module = open();
    let mut linker = Linker::new();
    linker.func(
        "host",
        "stop",
        |mut caller: Caller<'_, Vec<String>>, value: i32| {
            stop_here(value);
            caller
                .data_mut()
                .push(Backtrace::force_capture().to_string());
        },
    );
    let mut store = Store::new(Vec::new());
    let instance = linker.instantiate(&mut store, &module).expect("it fits");
    let run = instance
        .func::<i32, ()>(&store, "run")
        .expect("it is exported");
    run.call(&mut store, 40).expect("it does not trap");
    store.into_data()
}

#[test]
fn backtraces_in_host_functions_show_both_sides_of_the_guest() {
    for trace in call_the_guest() {
        let place = |name| {
            trace
                .find(name)
                .unwrap_or_else(|| panic!("no {name} in {trace}"))
        };
        assert!(
            place("call_the_guest::{{closure}}") < place("debugger::call_the_guest\n"),
            "{trace}"
        );
        assert!(trace.contains("both_sides_of_the_guest"), "{trace}");
    }
}

/// What gdb prints when it runs these commands on this program, which calls the guest.
fn gdb(commands: &[&str]) -> Option<String> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off"]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    gdb.arg("--args")
        .arg(std::env::current_exe().expect("a path"));
    gdb.args([
        "--exact",
        "backtraces_in_host_functions_show_both_sides_of_the_guest",
    ]);
    gdb.args(["--test-threads", "1"]);
    let Ok(output) = gdb.output() else {
        eprintln!("SKIPPED: there is no gdb here to test with");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if String::from_utf8_lossy(&output.stderr).contains("ptrace: Operation not permitted") {
        eprintln!("SKIPPED: gdb may not trace processes here");
        return None;
    }
    Some(text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn gdb_names_guest_functions_and_unwinds_through_them() {
    let commands = [
        "break stop_here",
        "run",
        "backtrace",
        "frame function guest_outer",
        "info frame",
    ];
    let Some(text) = gdb(&commands) else { return };
    let mut rest = &text[..];
    for name in [
        "stop_here",
        "guest_inner",
        "guest_outer",
        "call_the_guest",
        "both_sides_of_the_guest",
    ] {
        match rest.find(name) {
            Some(at) => rest = &rest[at..],
            None => panic!("no {name} where it should be in:\n{text}"),
        }
    }
}

#[test]
fn gdb_stops_in_guest_functions() {
    let commands = [
        "set breakpoint pending on",
        "break guest_inner",
        "run",
        "backtrace",
        "finish",
        "x/2i $pc",
    ];
    let Some(text) = gdb(&commands) else { return };
    assert!(text.contains("Breakpoint 1, 0x"), "{text}");
    assert!(text.contains("in guest_inner ()"), "{text}");
    assert!(text.contains("<guest_outer+"), "{text}");
}
