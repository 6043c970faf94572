//! A progress bar: on a terminal, where compiling takes long, and nowhere else.

use std::fmt::Write;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A module that takes some seconds to compile on one thread.
fn large() -> String {
    let mut text = String::from("(module");
    for index in 0..7000 {
        text.push_str("(func (param i64) (result i64) (local.get 0)");
        for step in 1..25 {
            let constant = index * 7919 + step * 0x1234_5677_i64;
            write!(
                text,
                "(i64.const {constant}) i64.xor (local.get 0) (i64.const {step}) i64.rotl i64.add \
                 (local.tee 0)"
            )
            .expect("strings grow");
        }
        text.push(')');
    }
    text.push(')');
    text
}

fn compile(dir: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_precast"));
    command
        .args(["compile", "large.wat", "-j", "1", "-o", "large.so"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

#[test]
fn a_bar_is_drawn_on_terminals_only() {
    let dir = tempfile::tempdir().expect("there is room");
    std::fs::write(dir.path().join("large.wat"), large()).expect("there is room");

    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    grantpt(&terminal).expect("it is ours");
    unlockpt(&terminal).expect("it is ours");
    let name = ptsname(&terminal, Vec::new()).expect("it has a name");
    let other_end = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().expect("a plain name"))
        .expect("the other end opens");
    let mut child = compile(dir.path())
        .stderr(other_end)
        .env("TERM", "xterm")
        .spawn()
        .expect("the command runs");
    let mut drawn = String::new();
    let mut terminal = std::fs::File::from(terminal);
    let mut buffer = [0; 4096];
    // Reading fails once nobody has the other end any more.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        drawn.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(child.wait().expect("it ends").success(), "{drawn}");
    assert!(
        drawn.contains("compiling") && drawn.contains('%'),
        "{drawn}"
    );
    assert!(drawn.contains("7000 functions"), "{drawn}");

    let output = compile(dir.path()).output().expect("the command runs");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    assert_eq!(printed.lines().count(), 1, "the summary alone: {printed}");
    assert!(
        !printed.contains('%') && !printed.contains('\u{1b}'),
        "{printed}"
    );
}
