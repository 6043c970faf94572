//! Guests that are stopped from outside while they wait in a call of WASI.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use precast::{Error, Store, TrapCode};
use precast_tests::wasi::{compile, linker};
use precast_wasi::{Input, Output, Perms, WasiCtxBuilder};

/// A guest whose `_start` makes one call, which must never return to it.
fn guest(import: &str, params: &str, data: &str, call: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{import}" (func $call (param {params}) (result i32)))
            (memory (export "memory") 1)
            {data}
            (func (export "_start") (drop (call $call {call})) (loop (br 0))))"#
    )
}

/// Runs a guest, and stops it after a while: it must end soon, as interrupted.
fn stop(wat: &str, builder: &mut WasiCtxBuilder) {
    let module = compile(wat.as_bytes());
    let mut store = Store::new(builder.build().expect("a world"));
    let instance = linker()
        .instantiate(&mut store, &module)
        .expect("all imports");
    let start = instance.func::<(), ()>(&store, "_start").expect("a start");
    let handle = store.interrupt_handle();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        handle.kill();
        Instant::now()
    });
    let error = start.call(&mut store, ()).expect_err("it waits for ever");
    let ended = Instant::now();
    let killed = killer.join().expect("no panic");
    assert!(ended.saturating_duration_since(killed) < Duration::from_secs(5));
    assert!(
        matches!(&error, Error::Trap(trap) if trap.code() == TrapCode::Interrupted),
        "{error}"
    );
}

/// An iovec at 0 for 4096 bytes at 1024.
const IOVEC: &str = r#"(data (i32.const 0) "\00\04\00\00\00\10\00\00")"#;

#[test]
fn a_sleeper_is_stopped() {
    // A clock subscription at 0: the monotonic clock, an hour.
    let data = r#"(data (i32.const 16) "\01\00\00\00\00\00\00\00\00\a0\b8\30\46\03\00\00")"#;
    let call = "(i32.const 0) (i32.const 512) (i32.const 1) (i32.const 64)";
    stop(
        &guest("poll_oneoff", "i32 i32 i32 i32", data, call),
        &mut WasiCtxBuilder::new(),
    );
}

#[test]
fn a_reader_of_a_silent_pipe_is_stopped() {
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let call = "(i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)";
    let wat = guest("fd_read", "i32 i32 i32 i32", IOVEC, call);
    stop(&wat, WasiCtxBuilder::new().stdin(Input::file(reader)));
}

#[test]
fn a_writer_to_a_pipe_that_nobody_reads_is_stopped() {
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $call (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\00\04\00\00\00\10\00\00")
        (func (export "_start")
            (loop (drop (call $call (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64))) (br 0))))"#;
    stop(wat, WasiCtxBuilder::new().stdout(Output::file(writer)));
}

#[test]
fn a_listener_that_nobody_calls_is_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let call = "(i32.const 3) (i32.const 0) (i32.const 64)";
    let wat = guest("sock_accept", "i32 i32 i32", "", call);
    stop(&wat, WasiCtxBuilder::new().socket(listener));
}

#[test]
fn an_opener_of_a_pipe_that_nobody_writes_to_is_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = std::process::Command::new("mkfifo")
        .arg(directory.path().join("p"))
        .status();
    assert!(made.expect("mkfifo").success());
    let call = "(i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
        (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)";
    let wat = guest(
        "path_open",
        "i32 i32 i32 i32 i32 i64 i64 i32 i32",
        r#"(data (i32.const 0) "p")"#,
        call,
    );
    let mut builder = WasiCtxBuilder::new();
    builder
        .preopen_dir(directory.path(), "/", Perms::ReadOnly)
        .expect("the directory");
    stop(&wat, &mut builder);
}

#[test]
fn a_receiver_of_nothing_is_stopped() {
    let (ours, _theirs) = UnixStream::pair().expect("sockets");
    let call =
        "(i32.const 3) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 64) (i32.const 68)";
    let wat = guest("sock_recv", "i32 i32 i32 i32 i32 i32", IOVEC, call);
    stop(&wat, WasiCtxBuilder::new().socket(ours));
}
