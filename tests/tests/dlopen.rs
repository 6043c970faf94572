//! Objects in the hands of the system's own tools: the dynamic linker, and the linker of C.
//!
//! Our loader never uses either; that they accept what we write is what lets debuggers,
//! profilers and build systems work with it.

use object::{Object, ObjectSymbol};
use precast_compiler::{Emit, Options, compile};
use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

const SAMPLE: &str = r#"(module
    (type $binary (func (param i32 i32) (result i32)))
    (memory 2)
    (data (i32.const 70000) "initial")
    (table 2 funcref)
    (elem (i32.const 0) $add $subtract)
    (func $add (export "add") (type $binary) (i32.add (local.get 0) (local.get 1)))
    (func $subtract (export "größe") (type $binary) (i32.sub (local.get 0) (local.get 1)))
    (func $pick (export "pick") (param i32 i32 i32) (result i32)
        (call_indirect (type $binary) (local.get 1) (local.get 2) (local.get 0)))
)"#;

fn compile_sample(emit: Emit) -> Vec<u8> {
    let wasm = wat::parse_str(SAMPLE).unwrap();
    let options = Options {
        emit,
        cpu: precast_compiler::Cpu::BASELINE,
        ..Options::default()
    };
    compile(&wasm, &options).unwrap().bytes
}

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlclose(handle: *mut c_void) -> c_int;
}

/// `RTLD_NOW` of Linux.
const RTLD_NOW: c_int = 2;

#[test]
fn the_dynamic_linker_finds_exported_functions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.so");
    std::fs::write(&path, compile_sample(Emit::SharedObject)).unwrap();
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the compiler made the object from the module above; it has no constructors.
    let handle = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
    assert!(!handle.is_null());
    let call = |name: &str, args: [i32; 3]| {
        let name = CString::new(name).unwrap();
        // SAFETY: the handle is open.
        let code = unsafe { dlsym(handle, name.as_ptr()) };
        assert!(!code.is_null(), "{name:?}");
        // SAFETY: all functions of the module take integers only, which travel as those of C do,
        // behind the instance base. None of them looks at the instance.
        unsafe {
            let code: extern "C" fn(*mut c_void, i32, i32, i32) -> i32 = std::mem::transmute(code);
            code(std::ptr::null_mut(), args[0], args[1], args[2])
        }
    };
    assert_eq!(call("add", [2, 3, 0]), 5);
    assert_eq!(call("größe", [2, 3, 0]), -1);
    assert_eq!(call("pick", [0, 20, 3]), 23);
    assert_eq!(call("pick", [1, 20, 3]), 17);
    // SAFETY: the handle is open, and nothing of it is used after.
    assert_eq!(unsafe { dlclose(handle) }, 0);
}

/// Checks the metadata, and calls the function `pick` at the text offset `PICK`.
const PROGRAM: &str = r#"
#include <stdint.h>
#include <string.h>

extern const char precast_object[];

static const char *segment(int field) {
    int64_t distance;
    memcpy(&distance, precast_object + field + 8, sizeof distance);
    return precast_object + distance;
}

int main(void) {
    const char *text = segment(32), *image = segment(56);
    int (*pick)(void *, int, int, int) = (int (*)(void *, int, int, int))(text + PICK);
    if (memcmp(precast_object, "PRECAST", 8)) return 1;
    if (memcmp(image + 70000 % 4096, "initial", 7)) return 2;
    if (pick(0, 0, 20, 3) != 23) return 3;
    if (pick(0, 1, 20, 3) != 17) return 4;
    return 0;
}
"#;

#[test]
fn a_relocatable_object_links_into_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let object = compile_sample(Emit::Object);
    let pick = object::File::parse(&*object)
        .unwrap()
        .symbol_by_name("pick")
        .unwrap()
        .address();
    std::fs::write(dir.path().join("sample.o"), &object).unwrap();
    std::fs::write(dir.path().join("program.c"), PROGRAM).unwrap();
    for flags in [&["-static"][..], &["-pie", "-fPIE"], &["-no-pie"]] {
        link_and_run(dir.path(), pick, flags);
    }
}

fn link_and_run(dir: &Path, pick: u64, flags: &[&str]) {
    let output = Command::new("cc")
        .current_dir(dir)
        .arg(format!("-DPICK={pick}"))
        .args([
            "-Wl,--fatal-warnings",
            "-o",
            "program",
            "program.c",
            "sample.o",
        ])
        .args(flags)
        .output()
        .expect("a C compiler");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cc {flags:?}: {message}");
    let status = Command::new(dir.join("program")).status().unwrap();
    assert_eq!(status.code(), Some(0), "program linked with {flags:?}");
}
